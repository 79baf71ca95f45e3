"""The cells that ship with cellbench. To add one: a file here, and a line in its family below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cellbench.cells.base import Cell
from cellbench.cells.gru import GRU
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.irnn import IRNN
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.cells.lru import LRU
from cellbench.cells.lstm import LSTM
from cellbench.cells.lstmn import LSTMN
from cellbench.cells.mamba import Mamba
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.min_lstm import MinLSTM
from cellbench.cells.mlstm import MLSTM
from cellbench.cells.rg_lru import RGLRU
from cellbench.cells.rnn import RNN
from cellbench.cells.s4d import S4D
from cellbench.cells.s5 import S5
from cellbench.cells.slstm import SLSTM

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
            "hyperlstm": HyperLSTM,
        },
        "Attention": {
            "lstmn": LSTMN,
        },
        "External memory": {},
        "Orthogonal, diagonal and continuous in time": {},
        "Linear in the state": {
            "lru": LRU,
            "mamba": Mamba,
            "min_gru": MinGRU,
            "min_lstm": MinLSTM,
            "mlstm": MLSTM,
            "rg_lru": RGLRU,
            "s4d": S4D,
            "s5": S5,
            "slstm": SLSTM,
        },
    }
)
"""Family -> name on the command line and in records -> what makes the cell."""

CELLS: Mapping[str, Factory] = MappingProxyType(
    {name: cell for family in FAMILIES.values() for name, cell in family.items()}
)
"""Name -> what makes the cell."""
