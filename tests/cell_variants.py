"""Cells with options that change what they do: held to the contract beside the defaults."""

VARIANTS = [
    "bhn_lstm(couplings=2, flow_size=3, prior_mean=zero, prior_precision=2.0)",
    "hyperlstm(hyper_source=prev)",
    "hyperlstm(layer_norm=False)",
    "compressed(by_gate=True, coefficients=5, residual=True)",
    "compressed(lstm(forget_bias=1.0), coefficients=7, init=rms)",
    "lstmn(attention_size=3)",
    "lstmn(tape=4)",
    "lstmn(tape=9)",
    "rnn(nonlinearity=relu)",
]

AROUND = [
    "compressed(hyperlstm(hyper_size=3), coefficients=5)",
    "compressed(lstmn(tape=4), coefficients=5)",
    "compressed(min_gru, coefficients=3)",
]
"""Cells around others: their formulas count parameters with the default cell inside only."""
