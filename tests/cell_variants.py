"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstm_variant(kind=nig)",
    "lstm_variant(kind=np)",
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
