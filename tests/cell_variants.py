"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "deltanet(beta=double,conv=0,feature=elu)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "rnn(nonlinearity=relu)",
]
