"""The cells that ship with cellbench. To add one: a file here, and a line in its family below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cellbench.cells.base import Cell
from cellbench.cells.brc import BRC
from cellbench.cells.cfn import CFN
from cellbench.cells.gru import GRU
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.irnn import IRNN
from cellbench.cells.janet import JANET
from cellbench.cells.ln_gru import LNGRU
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.cells.lstm import LSTM
from cellbench.cells.lstm_variant import LSTMVariant
from cellbench.cells.lstmn import LSTMN
from cellbench.cells.mgu import MGU
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.minimal_rnn import MinimalRNN
from cellbench.cells.mogrifier import Mogrifier
from cellbench.cells.multiplicative_lstm import MultiplicativeLSTM
from cellbench.cells.mut1 import MUT1
from cellbench.cells.mut2 import MUT2
from cellbench.cells.mut3 import MUT3
from cellbench.cells.nas import NAS
from cellbench.cells.nbrc import NBRC
from cellbench.cells.peephole_lstm import PeepholeLSTM
from cellbench.cells.qrnn import QRNN
from cellbench.cells.ran import RAN
from cellbench.cells.rhn import RHN
from cellbench.cells.rnn import RNN
from cellbench.cells.scrn import SCRN
from cellbench.cells.sru import SRU
from cellbench.cells.sub_lstm import SubLSTM
from cellbench.cells.ugrnn import UGRNN

Factory = Callable[..., Cell]
"""`(input_size, hidden_size, **options) -> Cell`."""

FAMILIES: Mapping[str, Mapping[str, Factory]] = MappingProxyType(
    {
        "Gates": {
            "brc": BRC,
            "cfn": CFN,
            "gru": GRU,
            "irnn": IRNN,
            "janet": JANET,
            "ln_gru": LNGRU,
            "ln_lstm": LNLSTM,
            "lstm": LSTM,
            "lstm_variant": LSTMVariant,
            "mgu": MGU,
            "minimal_rnn": MinimalRNN,
            "mogrifier": Mogrifier,
            "multiplicative_lstm": MultiplicativeLSTM,
            "mut1": MUT1,
            "mut2": MUT2,
            "mut3": MUT3,
            "nas": NAS,
            "nbrc": NBRC,
            "peephole_lstm": PeepholeLSTM,
            "ran": RAN,
            "rhn": RHN,
            "rnn": RNN,
            "scrn": SCRN,
            "sub_lstm": SubLSTM,
            "ugrnn": UGRNN,
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
            "min_gru": MinGRU,
            "qrnn": QRNN,
            "sru": SRU,
        },
    }
)
"""Family -> name on the command line and in records -> what makes the cell."""

CELLS: Mapping[str, Factory] = MappingProxyType(
    {name: cell for family in FAMILIES.values() for name, cell in family.items()}
)
"""Name -> what makes the cell."""
