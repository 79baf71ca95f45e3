"""The cells that ship with cellbench. To add one: a file here, and a line in its family below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cellbench.cells.base import Cell
from cellbench.cells.bhn_lstm import BHNLSTM
from cellbench.cells.compressed import compressed
from cellbench.cells.gru import GRU
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.irnn import IRNN
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.cells.lstm import LSTM
from cellbench.cells.lstmn import LSTMN
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.rnn import RNN

Factory = Callable[..., Cell]
"""`(input_size, hidden_size, **options) -> Cell`."""

FAMILIES: Mapping[str, Mapping[str, Factory]] = MappingProxyType(
    {
        "Gates": {
            "gru": GRU,
            "irnn": IRNN,
            "ln_lstm": LNLSTM,
            "lstm": LSTM,
            "rnn": RNN,
        },
        "Weights that are made or conditioned": {
            "bhn_lstm": BHNLSTM,
            "compressed": compressed,
            "hyperlstm": HyperLSTM,
        },
        "Attention": {
            "lstmn": LSTMN,
        },
        "External memory": {},
        "Orthogonal, diagonal and continuous in time": {},
        "Linear in the state": {
            "min_gru": MinGRU,
        },
    }
)
"""Family -> name on the command line and in records -> what makes the cell."""

CELLS: Mapping[str, Factory] = MappingProxyType(
    {name: cell for family in FAMILIES.values() for name, cell in family.items()}
)
"""Name -> what makes the cell."""
