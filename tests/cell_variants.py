"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "antisymmetric(gated=True)",
    "cfc(mode=no_gate)",
    "cfc(mode=pure,backbone_layers=2)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "indrnn(steps=2,nonlinearity=tanh)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "mogrifier(rank=2)",
    "mogrifier(shared=True)",
    "nas(bias=True)",
    "qrnn(window=3,pooling=ifo)",
    "rnn(nonlinearity=relu)",
    "scrn(learn_alpha=True)",
]
