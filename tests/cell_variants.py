"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "min_lstm(candidate=positive)",
    "mlstm(heads=2,forget_gate=exponential)",
    "rnn(nonlinearity=relu)",
    "s4d(discretisation=bilinear,pairs=2)",
    "s5(discretisation=bilinear,pairs=2)",
    "slstm(heads=2,forget_gate=exponential,floor=True)",
]
