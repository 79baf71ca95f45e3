"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "deltanet(beta=double,conv=0,feature=elu)",
    "gated_deltanet(beta=double,conv=0,expand=1)",
    "hgrn(lower_bound=0.5,phase=False)",
    "hgrn2(lower_bound=0.5,query=silu)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "retnet(expand=1,rotary=False)",
    "rnn(nonlinearity=relu)",
]
