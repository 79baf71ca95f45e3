"""The cells that ship with cellbench. To add one: a file here, and a line in its family below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from cellbench.cells.antisymmetric import AntisymmetricRNN
from cellbench.cells.attention import Attention
from cellbench.cells.base import Cell
from cellbench.cells.bhn_lstm import BHNLSTM
from cellbench.cells.bn_lstm import BNLSTM
from cellbench.cells.brc import BRC
from cellbench.cells.cbn_lstm import CBNLSTM
from cellbench.cells.cfc import CfC
from cellbench.cells.cfn import CFN
from cellbench.cells.compressed import compressed
from cellbench.cells.cornn import CoRNN
from cellbench.cells.deltanet import DeltaNet
from cellbench.cells.dnc import DNC
from cellbench.cells.exprnn import ExpRNN
from cellbench.cells.fast_weights import FastWeights
from cellbench.cells.fastgrnn import FastGRNN
from cellbench.cells.fastrnn import FastRNN
from cellbench.cells.film_lstm import FiLMLSTM
from cellbench.cells.gated_deltanet import GatedDeltaNet
from cellbench.cells.gla import GLA
from cellbench.cells.gru import GRU
from cellbench.cells.hgrn import HGRN
from cellbench.cells.hgrn2 import HGRN2
from cellbench.cells.hyper_rnn import HyperRNN
from cellbench.cells.hyperlstm import HyperLSTM
from cellbench.cells.indrnn import IndRNN
from cellbench.cells.irnn import IRNN
from cellbench.cells.janet import JANET
from cellbench.cells.lem import LEM
from cellbench.cells.linear_attention import LinearAttention
from cellbench.cells.lmu import LMU
from cellbench.cells.ln_gru import LNGRU
from cellbench.cells.ln_lstm import LNLSTM
from cellbench.cells.lru import LRU
from cellbench.cells.lstm import LSTM
from cellbench.cells.lstm_variant import LSTMVariant
from cellbench.cells.lstmn import LSTMN
from cellbench.cells.ltc import LTC
from cellbench.cells.mamba import Mamba
from cellbench.cells.mann import MANN
from cellbench.cells.memrnn import MemRNN
from cellbench.cells.mgu import MGU
from cellbench.cells.min_gru import MinGRU
from cellbench.cells.min_lstm import MinLSTM
from cellbench.cells.minimal_rnn import MinimalRNN
from cellbench.cells.mlstm import MLSTM
from cellbench.cells.mogrifier import Mogrifier
from cellbench.cells.multiplicative_lstm import MultiplicativeLSTM
from cellbench.cells.mut1 import MUT1
from cellbench.cells.mut2 import MUT2
from cellbench.cells.mut3 import MUT3
from cellbench.cells.nas import NAS
from cellbench.cells.nbrc import NBRC
from cellbench.cells.ntm import NTM
from cellbench.cells.peephole_lstm import PeepholeLSTM
from cellbench.cells.qrnn import QRNN
from cellbench.cells.ran import RAN
from cellbench.cells.rellstm import RelLSTM
from cellbench.cells.relrnn import RelRNN
from cellbench.cells.retnet import RetNet
from cellbench.cells.rg_lru import RGLRU
from cellbench.cells.rhn import RHN
from cellbench.cells.rnn import RNN
from cellbench.cells.rwkv import RWKV
from cellbench.cells.rwkv4 import RWKV4
from cellbench.cells.rwkv6 import RWKV6
from cellbench.cells.s4d import S4D
from cellbench.cells.s5 import S5
from cellbench.cells.sab import SAB
from cellbench.cells.scrn import SCRN
from cellbench.cells.slstm import SLSTM
from cellbench.cells.sru import SRU
from cellbench.cells.stack_rnn import StackRNN
from cellbench.cells.sub_lstm import SubLSTM
from cellbench.cells.tape_rnn import TapeRNN
from cellbench.cells.ugrnn import UGRNN
from cellbench.cells.unicornn import UnICORNN

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
            "bhn_lstm": BHNLSTM,
            "bn_lstm": BNLSTM,
            "cbn_lstm": CBNLSTM,
            "compressed": compressed,
            "film_lstm": FiLMLSTM,
            "hyper_rnn": HyperRNN,
            "hyperlstm": HyperLSTM,
        },
        "Attention": {
            "attention": Attention,
            "fast_weights": FastWeights,
            "linear_attention": LinearAttention,
            "lstmn": LSTMN,
            "memrnn": MemRNN,
            "rellstm": RelLSTM,
            "relrnn": RelRNN,
            "sab": SAB,
        },
        "External memory": {
            "dnc": DNC,
            "mann": MANN,
            "ntm": NTM,
            "stack_rnn": StackRNN,
            "tape_rnn": TapeRNN,
        },
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
            "deltanet": DeltaNet,
            "gated_deltanet": GatedDeltaNet,
            "gla": GLA,
            "hgrn": HGRN,
            "hgrn2": HGRN2,
            "lru": LRU,
            "mamba": Mamba,
            "min_gru": MinGRU,
            "min_lstm": MinLSTM,
            "mlstm": MLSTM,
            "qrnn": QRNN,
            "retnet": RetNet,
            "rg_lru": RGLRU,
            "rwkv": RWKV,
            "rwkv4": RWKV4,
            "rwkv6": RWKV6,
            "s4d": S4D,
            "s5": S5,
            "slstm": SLSTM,
            "sru": SRU,
        },
    }
)
"""Family -> name on the command line and in records -> what makes the cell."""

CELLS: Mapping[str, Factory] = MappingProxyType(
    {name: cell for family in FAMILIES.values() for name, cell in family.items()}
)
"""Name -> what makes the cell."""
