"""The cells that ship with cellbench. To add one: a file here, and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cellbench.cells.base import Cell
from cellbench.cells.gru import GRU
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.irnn import IRNN
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.cells.lstm import LSTM
from cellbench.cells.lstmn import LSTMN
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.rnn import RNN

CELLS: Mapping[str, Callable[..., Cell]] = MappingProxyType(
    {
        "gru": GRU,
        "hyperlstm": HyperLSTM,
        "irnn": IRNN,
        "ln_lstm": LNLSTM,
        "lstm": LSTM,
        "lstmn": LSTMN,
        "min_gru": MinGRU,
        "rnn": RNN,
    }
)
"""Name on the command line and in records -> `(input_size, hidden_size, **options) -> Cell`."""
