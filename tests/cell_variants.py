"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "mamba(d_conv=1,d_state=2,dt_rank=2)",
    "min_lstm(candidate=positive)",
    "mlstm(heads=2,forget_gate=exponential)",
    "rg_lru(blocks=2)",
    "rnn(nonlinearity=relu)",
    "s4d(discretisation=bilinear,pairs=2)",
    "s5(discretisation=bilinear,pairs=2)",
    "slstm(heads=2,forget_gate=exponential,floor=True)",
]
