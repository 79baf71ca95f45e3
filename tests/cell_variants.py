"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "attention(heads=1,positions=none)",
    "attention(tape=3)",
    "attention(tape=9)",
    "fast_weights(form=tape,inner=2)",
    "fast_weights(form=tape,nonlinearity=tanh,tape=3)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "memrnn(tape=3)",
    "rellstm(recent=2,relevant=2)",
    "relrnn(recent=2,relevant=2)",
    "rnn(nonlinearity=relu)",
    "sab(every=2,top=1)",
    "sab(every=2,tape=3,top=2)",
]
