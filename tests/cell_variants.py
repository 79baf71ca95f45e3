"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "attention(heads=1,positions=none)",
    "attention(tape=3)",
    "attention(tape=9)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "rnn(nonlinearity=relu)",
]
