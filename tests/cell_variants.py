"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "bn_lstm(max_steps=3)",
    "cbn_lstm(condition=hyper)",
    "cbn_lstm(condition=state)",
    "film_lstm(condition=hyper)",
    "film_lstm(condition=state)",
    "hyper_rnn(form=full)",
    "hyper_rnn(hyper_source=prev)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "rnn(nonlinearity=relu)",
]
