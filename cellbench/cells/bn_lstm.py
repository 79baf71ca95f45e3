"""BN-LSTM: an LSTM whose products and memory are normalised over the batch, step by step."""

from __future__ import annotations

from typing import final

from cellbench.cells.batch_norm import BatchNormLSTM


@final
class BNLSTM(BatchNormLSTM):
    """Long short-term memory with recurrent batch normalisation.

        i, f, o, g = BN(W_h h_{t-1}; gamma_h) + BN(W_x x_t; gamma_x) + b    stacked in this order

        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)               not normalised
        h_t = sigmoid(o) * tanh(BN(c_t; gamma_c) + beta_c)              and y_t = h_t

        BN(a; gamma) = gamma * (a - mean_t) / sqrt(var_t + eps)

    In training mode, mean_t and var_t are those of the batch at this step, and the sequences
    of a batch depend on each other: a batch of one is normalised to nothing. In evaluation
    they are buffers, a row for each time step, which the state counts; from max_steps on,
    the last row is used again. `population` makes them of training batches; each variance is
    the mean of the batches' own, which divide by their size. Gains and shifts are the same
    at every step.

    h_0 and c_0 are learned, but the batch mean takes out what all sequences share: without
    `h0_noise` W_h h_0 is normalised to 0, and with it, too, h_0 gets no gradient in training.

    Where the inputs of a step are the same in all sequences (borders of images, blanks), the
    variances fall towards 0, and each BN multiplies gradients by up to gamma / sqrt(eps);
    `h0_noise`, 0.1 in the paper, keeps the sequences apart.

    Source: Cooijmans, Ballas, Laurent, Gulcehre & Courville 2016, "Recurrent Batch
    Normalization", arXiv:1603.09025, and its authors' code.
    Differs from it: the order of the gates; `max_steps`, where the paper has the longest
    training sequence; h_0 is without noise in evaluation.

    Parameters: 4*H*(X + H) + 12*H + 4*H

    Args:
        input_size: Features of each input vector.
        hidden_size: Features of the state and of each output vector.
        max_steps: How many time steps have statistics of their own; that many rows of
            18 * hidden_size numbers are saved with the cell.
        eps: Added to each variance.
        initial_gamma: Every gain at the start. 1 makes gradients vanish.
        forget_bias: The forget gate's part of b at the start; learned from there.
        init: W_h at the start: "orthogonal", as a whole; or "identity", of g's block, with
            the others orthogonal together, as for the paper's pixel-by-pixel images.
        h0_noise: Standard deviation of what is added to h_0, once a sequence, in training.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        max_steps: int = 256,
        eps: float = 1e-5,
        initial_gamma: float = 0.1,
        forget_bias: float = 1.0,
        init: str = "orthogonal",
        h0_noise: float = 0.0,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            conditioner=None,
            max_steps=max_steps,
            eps=eps,
            initial_gamma=initial_gamma,
            forget_bias=forget_bias,
            init=init,
            h0_noise=h0_noise,
        )
