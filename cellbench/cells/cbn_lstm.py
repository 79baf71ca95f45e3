"""CBN-LSTM: a batch-normalised LSTM whose gains and shifts change at every step."""

from __future__ import annotations

from typing import final

from torch import nn

from cellbench import options
from cellbench.cells.batch_norm import BatchNormLSTM
from cellbench.cells.conditioner import Conditioner


@final
class CBNLSTM(BatchNormLSTM):
    """Long short-term memory with conditional batch normalisation.

    It is a BN-LSTM whose gains and shifts are changed by what a small network makes of an
    embedding e_t:

        d_h, d_x, d_b, d_c, s_c = B relu(A e_t + a) + k                 changes

        i, f, o, g = BN(W_h h_{t-1}; gamma_h + d_h) + BN(W_x x_t; gamma_x + d_x) + b + d_b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(BN(c_t; gamma_c + d_c) + beta_c + s_c)  and y_t = h_t

        BN(a; gamma) = gamma * (a - mean_t) / sqrt(var_t + eps)

    Statistics are those of BN-LSTM: of the batch in training mode, and of buffers that
    `population` makes in evaluation, for each time step. `condition` says what e_t is: x_t
    ("input"), h_{t-1} ("state"), or the state h'_t of a small normalised LSTM that reads x
    and h ("hyper"). B and k start at 0: the cell starts as a BN-LSTM.

    Source: de Vries, Strub, Mary, Larochelle, Pietquin & Courville 2017, "Modulating early
    visual processing by language", arXiv:1707.00683; the LSTM, Cooijmans et al. 2016,
    "Recurrent Batch Normalization", arXiv:1603.09025.
    Differs from it: the first source changes the normalisation of a convolutional network
    that was trained before and is conditioned on a question; its changes start near 0. Of
    the second, what BN-LSTM says.

    Parameters: 4*H*(X + H) + 12*H + 4*H + 14*H*(mlp_size + 1)
        + mlp_size*((condition == "input")*X + (condition == "state")*H
        + (condition == "hyper")*hyper_size + 1)
        + (condition == "hyper")*(4*hyper_size*(X + H + hyper_size) + 14*hyper_size)

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        condition: What e_t is: "input", "state" or "hyper".
        mlp_size: Features of the small network's hidden layer.
        hyper_size: Features of the hyper cell's state, if there is one.
        max_steps: How many time steps have statistics of their own; that many rows of
            18 * hidden_size numbers are saved with the cell.
        eps: Added to each variance over the batch.
        initial_gamma: Every gain at the start.
        forget_bias: The forget gate's part of b at the start; learned from there.
        init: W_h at the start: "orthogonal" or "identity", as in BN-LSTM.
        h0_noise: Standard deviation of what is added to h_0, once a sequence, in training.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        condition: str = "input",
        mlp_size: int = 32,
        hyper_size: int = 32,
        max_steps: int = 256,
        eps: float = 1e-5,
        initial_gamma: float = 0.1,
        forget_bias: float = 1.0,
        init: str = "orthogonal",
        h0_noise: float = 0.0,
    ) -> None:
        options.whole("input_size", input_size, low=1)
        options.whole("hidden_size", hidden_size, low=1)
        conditioner = Conditioner(
            input_size,
            hidden_size,
            self.NUMBERS * hidden_size,
            condition=condition,
            mlp_size=mlp_size,
            hyper_size=hyper_size,
        )
        super().__init__(
            input_size,
            hidden_size,
            conditioner=conditioner,
            max_steps=max_steps,
            eps=eps,
            initial_gamma=initial_gamma,
            forget_bias=forget_bias,
            init=init,
            h0_noise=h0_noise,
        )

    def weight_makers(self) -> list[nn.Parameter]:
        """Return what makes the changes."""
        return [] if self.conditioner is None else list(self.conditioner.parameters())
