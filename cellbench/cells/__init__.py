"""The cells that ship with cellbench. To add one: a file here, and a line in its family below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cellbench.cells.antisymmetric import AntisymmetricRNN
from cellbench.cells.base import Cell
from cellbench.cells.cfc import CfC
from cellbench.cells.cornn import CoRNN
from cellbench.cells.exprnn import ExpRNN
from cellbench.cells.fastgrnn import FastGRNN
from cellbench.cells.fastrnn import FastRNN
from cellbench.cells.gru import GRU
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.indrnn import IndRNN
from cellbench.cells.irnn import IRNN
from cellbench.cells.lem import LEM
from cellbench.cells.lmu import LMU
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.cells.lstm import LSTM
from cellbench.cells.lstmn import LSTMN
from cellbench.cells.ltc import LTC
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.rnn import RNN
from cellbench.cells.unicornn import UnICORNN

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
        "Orthogonal, diagonal and continuous in time": {
            "antisymmetric": AntisymmetricRNN,
            "cfc": CfC,
            "cornn": CoRNN,
            "exprnn": ExpRNN,
            "fastgrnn": FastGRNN,
            "fastrnn": FastRNN,
            "indrnn": IndRNN,
            "lem": LEM,
            "lmu": LMU,
            "ltc": LTC,
            "unicornn": UnICORNN,
        },
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
