"""What holds for every cell of the page of contents, and is no part of the contract tests."""

import inspect
import pkgutil

import pytest
from cell_parity import parameter_count
from cell_variants import VARIANTS

import cellbench.cells
from cellbench.cells import CELLS, FAMILIES
from cellbench.cells.about import about, count_parameters
from cellbench.errors import OptionError
from cellbench.plugins import parse_cell

SHARED = {
    *("about", "adapter", "base", "gates", "skew", "stacked_gates", "torch_layer"),
    *("batch_norm", "conditioner", "flow", "frequencies", "methods"),
    *("scan", "scan_operator", "host_scan", "doubling_scan", "triton_scan", "triton_kernels"),
    *("matrix_scan", "compiled_scan", "delta_scan", "diagonal", "short_conv", "token_shift"),
    *("relevance", "tape", "addressing", "controller", "truncated_linear"),
}


def test_every_cell_file_is_in_the_table() -> None:
    """A cell that nobody can ask for is a cell that nobody tests."""
    files = {module.name for module in pkgutil.iter_modules(cellbench.cells.__path__)} - SHARED

    assert files == set(CELLS)


def test_a_cell_is_of_one_family() -> None:
    assert sum(map(len, FAMILIES.values())) == len(CELLS)


@pytest.mark.parametrize("name", sorted(CELLS))
def test_a_docstring_has_all_its_parts(name: str) -> None:
    """Equations, where they come from, what is different, how many parameters, every option."""
    text = CELLS[name].__doc__
    parts = (" = ", "Source: ", "Differs from it: ", "Parameters: ", "Args:")
    places = [text.find(part) for part in parts]

    assert -1 not in places
    assert places == sorted(places)
    assert 1980 <= about(CELLS[name]).year <= 2026
    args = f"\n{about(CELLS[name]).args}"
    assert [option for option in defaults(name) if f"\n{option}: " not in args] == []


def defaults(name: str) -> dict[str, object]:
    """Return the options of a cell, with what they are if they are not given."""
    options = inspect.signature(CELLS[name]).parameters.values()
    return {option.name: option.default for option in options if option.kind is option.KEYWORD_ONLY}


@pytest.mark.parametrize("expression", [*sorted(CELLS), *VARIANTS])
def test_the_formula_of_its_docstring_counts_its_parameters(expression: str) -> None:
    spec = parse_cell(expression)
    formula = about(CELLS[spec.name]).parameters
    for x, h in ((7, 12), (3, 24)):
        sizes = {"X": x, "H": h} | defaults(spec.name) | spec.options

        assert parameter_count(spec.build(x, h)) == count_parameters(formula, sizes)


@pytest.mark.parametrize("formula", ["H*Y", "().__class__", "H[0]", "(lambda: 1)()"])
def test_a_formula_is_arithmetic_of_sizes_and_options(formula: str) -> None:
    with pytest.raises(ValueError, match=r"is neither X, H nor an option|is no arithmetic"):
        count_parameters(formula, {"X": 1, "H": 2})


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("rnn", {"nonlinearity": "tahn"}, "nonlinearity must be one of tanh, relu"),
        ("lstm", {"forget_bias": -1.0}, "forget_bias must be a number of at least 0"),
        ("ln_lstm", {"ln_eps": 0.0}, "ln_eps must be a number of at least 1e-12"),
        ("ln_lstm", {"forget_bias": float("nan")}, "forget_bias must be"),
        ("hyperlstm", {"hyper_size": 0}, "hyper_size must be a whole number of at least 1"),
        ("hyperlstm", {"embedding_size": 0}, "embedding_size must be a whole number"),
        ("hyperlstm", {"ln_eps": -1.0}, "ln_eps must be"),
        ("hyperlstm", {"forget_bias": -1.0}, "forget_bias must be"),
        ("hyperlstm", {"hyper_source": "old"}, "hyper_source must be one of new, prev"),
        ("hyperlstm", {"init": "papers"}, "init must be one of .* did you mean 'paper'"),
        ("hyperlstm", {"recurrent_dropout": 1.0}, "recurrent_dropout must be .* below 1"),
        ("hyperlstm", {"hyper_recurrent_dropout": -0.1}, "hyper_recurrent_dropout must be"),
        ("lstmn", {"attention_size": -1}, "attention_size must be a whole number of at least 0"),
        ("lstmn", {"tape": -1}, "tape must be a whole number of at least 0"),
        ("min_gru", {"candidate": "log"}, "candidate must be one of linear, positive"),
        *((name, {"hidden_size": 0}, "hidden_size must be") for name in sorted(CELLS)),
        *((name, {"input_size": 0}, "input_size must be") for name in sorted(CELLS)),
    ],
    ids=str,
)
def test_an_option_it_cannot_take_is_named(name: str, options: dict, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        CELLS[name](**{"input_size": 3, "hidden_size": 5} | options)
