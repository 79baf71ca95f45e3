from __future__ import annotations

import dataclasses
import hashlib
import inspect
import pickle
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from torch import nn

from cellbench import loading, plugins
from cellbench.cells import CELLS
from cellbench.cells.base import Cell
from cellbench.cells.rnn import RNN
from cellbench.errors import CellbenchError, OptionError, PluginError, UnknownNameError
from cellbench.plugins import CellSpec, cell_names, check_buildable, parse_cell, split_cells
from cellbench.unroll import unroll

MY_CELL = """
from __future__ import annotations
import torch
from torch import nn
from cellbench.cells.base import Cell

class MyCell(Cell):
    def __init__(self, input_size, hidden_size, k=1, *, mode="a"):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.k, self.mode = k, mode
        self.w = nn.Linear(input_size, hidden_size)

    def initial_state(self, batch):
        return (self.w.weight.new_zeros(batch, self.hidden_size),)

    def step(self, p_t, state):
        h = torch.tanh(self.w(p_t) + state[0])
        return h, (h,)

class Plain(nn.GRUCell):
    pass

class HalfDone(Cell):
    def initial_state(self, batch):
        return ()

class Moody(MyCell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        raise ArithmeticError("not today")

class NoModule:
    pass

class Doubled(Cell):
    def __init__(self, input_size, hidden_size, *, inner_cell, times=2):
        super().__init__()
        self.inner = inner_cell(input_size, hidden_size)
        self.input_size, self.hidden_size, self.times = input_size, self.inner.hidden_size, times

    def initial_state(self, batch):
        return self.inner.initial_state(batch)

    def project(self, x):
        return self.inner.project(x)

    def step(self, p_t, state):
        y, state = self.inner.step(p_t, state)
        return self.times * y, state

def by_function(input_size, hidden_size):
    return MyCell(input_size, hidden_size, k=5)

def of_something_else(input_size, hidden_size):
    return "a string"

class Answers(nn.Linear):
    def forward(self, x):
        return {"y": super().forward(x)}

NUMBER = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where we are, with a `my_cell.py` in it."""
    (tmp_path / "my_cell.py").write_text(MY_CELL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclasses.dataclass
class Package:
    name: str


class Point(EntryPoint):
    """An entry point of a package that is not installed."""

    dist = property(lambda self: Package(self.package))  # type: ignore[assignment]


def point(name: str, value: str, package: str = "a-package") -> Point:
    made = Point(name, value, plugins.GROUP)
    vars(made)["package"] = package
    return made


@pytest.fixture
def install(monkeypatch):
    """Return `install(*points)`, after which these are all that is installed."""

    def install(*points: Point) -> None:
        monkeypatch.setattr(
            loading, "entry_points", lambda *, group: [p for p in points if p.group == group]
        )

    return install


# --- What can be asked for ----------------------------------------------------------------


def test_a_name_of_ours_means_our_cell() -> None:
    spec = parse_cell("rnn")

    assert (spec.text, spec.name, dict(spec.options)) == ("rnn", "rnn", {})
    assert type(spec.build(3, 5)) is RNN
    assert str(spec) == "rnn"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("written", "value", "canonical"),
    [
        ("1", 1, "1"),
        ("-1.50", -1.5, "-1.5"),
        ("1e-3", 0.001, "0.001"),
        ("True", True, "True"),
        ("None", None, "None"),
        ("word", "word", "word"),
        ("'word'", "word", "word"),
        ('"two, words)"', "two, words)", "'two, words)'"),
        ("'True'", "True", "'True'"),
        ("'1'", "1", "'1'"),
        ("''", "", "''"),
        ("'\ufb01'", "\ufb01", "'\ufb01'"),  # bare, Python would read these as two letters
        ("[1, word]", [1, "word"], "[1, 'word']"),
        ("(1,)", (1,), "(1,)"),
    ],
)
def test_a_value_is_a_literal_or_a_word(written, value, canonical) -> None:
    spec = parse_cell(f"my_cell.py:MyCell(k={written})")
    again = parse_cell(spec.text)

    assert spec.options["k"] == value
    assert type(spec.options["k"]) is type(value)
    assert spec.text == f"my_cell.py:MyCell(k={canonical})"
    assert again.options == spec.options


@pytest.mark.usefixtures("folder")
def test_values_reach_the_constructor() -> None:
    cell = parse_cell("my_cell.py:MyCell(mode=b, k=2)").build(3, 5)

    assert (cell.k, cell.mode) == (2, "b")


@pytest.mark.usefixtures("folder")
def test_a_plain_module_is_adapted() -> None:
    cell = parse_cell("my_cell.py:Plain").build(3, 5)
    y, _ = unroll(cell, torch.zeros(4, 2, 3))

    assert isinstance(cell, Cell)
    assert y.shape == (4, 2, 5)


@pytest.mark.usefixtures("folder")
def test_a_function_may_build_the_cell() -> None:
    assert parse_cell("my_cell.py:by_function").build(3, 5).k == 5


def test_a_class_of_an_importable_module_can_be_asked_for() -> None:
    assert isinstance(parse_cell("torch.nn:GRU(num_layers=2)").build(3, 5).module, nn.GRU)


def test_a_file_may_import_its_neighbours(folder) -> None:
    (folder / "my_neighbour.py").write_text("from my_cell_base import Base\n")
    (folder / "my_cell_base.py").write_text(MY_CELL.replace("MyCell", "Base"))
    (folder / "it.py").write_text("from my_neighbour import Base\nclass It(Base): pass\n")

    assert parse_cell("it.py:It").build(3, 5).hidden_size == 5


@pytest.mark.usefixtures("folder")
def test_the_canonical_form_sorts_options_and_drops_what_says_nothing() -> None:
    first = parse_cell("  ./my_cell.py:MyCell( mode=b,k=2 ) ")
    second = parse_cell("my_cell.py:MyCell(k=2, mode='b')")

    assert first.text == "my_cell.py:MyCell(k=2, mode=b)"
    assert first == second
    assert hash(first) == hash(second)
    assert parse_cell("rnn()").text == "rnn"


# --- Which cell it is ---------------------------------------------------------------------


def test_the_digest_is_of_the_file_that_defines_it(folder) -> None:
    ours = Path(inspect.getfile(RNN)).read_bytes()
    theirs = (folder / "my_cell.py").read_bytes()

    assert parse_cell("rnn").source_digest == hashlib.sha256(ours).hexdigest()
    assert parse_cell("my_cell.py:MyCell").source_digest == hashlib.sha256(theirs).hexdigest()


def test_the_digest_does_not_see_line_endings(folder) -> None:
    before = parse_cell("my_cell.py:MyCell").source_digest
    (folder / "my_cell.py").write_bytes(MY_CELL.replace("\n", "\r\n").encode())

    assert parse_cell("my_cell.py:MyCell").source_digest == before


def test_a_changed_file_is_another_cell_at_once(folder) -> None:
    """Same size, same second: a cache of bytecode would not see it."""
    before = parse_cell("my_cell.py:MyCell")
    (folder / "my_cell.py").write_text(MY_CELL.replace("k=1", "k=9"))
    after = parse_cell("my_cell.py:MyCell")

    assert (before.build(3, 5).k, after.build(3, 5).k) == (1, 9)
    assert before != after
    assert not (folder / "__pycache__").exists()


@pytest.mark.usefixtures("folder")
def test_an_unchanged_file_is_imported_once() -> None:
    assert parse_cell("my_cell.py:MyCell").factory is parse_cell("my_cell.py:MyCell").factory


def test_a_spec_finds_its_file_from_anywhere(folder, tmp_path_factory, monkeypatch) -> None:
    spec = parse_cell("my_cell.py:MyCell(k=2)")
    sent = pickle.dumps(spec)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert pickle.loads(sent) == spec  # noqa: S301 -- made two lines above
    assert parse_cell(spec.text, spec.root).build(3, 5).k == 2
    assert str(folder) not in spec.text


def test_a_spec_refuses_a_file_that_changed_under_it(folder) -> None:
    sent = pickle.dumps(parse_cell("my_cell.py:MyCell"))
    (folder / "my_cell.py").write_text(MY_CELL + "\n# changed\n")

    with pytest.raises(PluginError, match=r"my_cell.py:MyCell has changed .* start again"):
        pickle.loads(sent)  # noqa: S301 -- made above


# --- A cell around another ----------------------------------------------------------------


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("compressed( lstm )", "compressed(lstm)"),
        ("compressed(coefficients=8, lstm)", "compressed(lstm, coefficients=8)"),
        (
            "compressed(rnn(nonlinearity='relu'),coefficients=8,)",
            "compressed(rnn(nonlinearity=relu), coefficients=8)",
        ),
        ("compressed(./my_cell.py:MyCell)", "compressed(my_cell.py:MyCell)"),
        (
            "my_cell.py:Doubled(my_cell.py:MyCell(mode='a,)', k=[1, (2)]), times=3)",
            "my_cell.py:Doubled(my_cell.py:MyCell(k=[1, 2], mode='a,)'), times=3)",
        ),
        (
            "my_cell.py:Doubled(my_cell.py:Doubled(rnn(),times=3))",
            "my_cell.py:Doubled(my_cell.py:Doubled(rnn, times=3))",
        ),
    ],
)
def test_the_cell_inside_is_written_first_and_in_its_canonical_form(written, canonical) -> None:
    spec = parse_cell(written)

    assert spec.text == canonical
    assert parse_cell(canonical) == spec
    assert split_cells(f"{written}, gru") == [written, "gru"]


@pytest.mark.usefixtures("folder")
def test_the_cell_inside_is_built_with_its_options() -> None:
    cell = parse_cell("my_cell.py:Doubled(my_cell.py:MyCell(k=7), times=3)").build(3, 5)

    assert (cell.times, cell.inner.k, cell.inner.input_size, cell.inner.hidden_size) == (3, 7, 3, 5)


@pytest.mark.usefixtures("folder")
def test_a_plain_module_inside_is_adapted() -> None:
    cell = parse_cell("my_cell.py:Doubled(torch.nn:GRUCell)").build(3, 5)
    y, (h,) = unroll(cell, torch.ones(2, 1, 3))

    torch.testing.assert_close(y[-1], 2 * h)


def test_a_change_in_either_file_is_another_cell(folder) -> None:
    (folder / "other.py").write_text(MY_CELL)
    written = "my_cell.py:Doubled(other.py:MyCell)"
    digests = [parse_cell(written).source_digest]
    for file in ("my_cell.py", "other.py"):
        (folder / file).write_text(f"{MY_CELL}\n# changed\n")
        digests.append(parse_cell(written).source_digest)

    assert len(set(digests)) == 3
    assert digests[0] != parse_cell("other.py:MyCell").source_digest


def test_the_cell_that_is_inside_by_default_counts_too(folder) -> None:
    header = "from my_cell import MyCell\nfrom other import Default\n"
    source = "class By(MyCell):\n    def __init__(self, i, h, *, inner_cell=Default):\n"
    (folder / "around.py").write_text(f"{header}{source}        super().__init__(i, h)\n")
    (folder / "other.py").write_text("class Default: pass\n")
    parts = [(folder / file).read_bytes() for file in ("around.py", "other.py")]
    both = "".join(hashlib.sha256(part).hexdigest() for part in parts)

    digest = parse_cell("around.py:By").source_digest
    assert digest == hashlib.sha256(both.encode()).hexdigest()


def test_a_spec_finds_the_file_inside_from_anywhere(folder, tmp_path_factory, monkeypatch) -> None:
    spec = parse_cell("compressed(my_cell.py:MyCell(k=2), coefficients=3)")
    sent = pickle.dumps(spec)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert pickle.loads(sent) == spec  # noqa: S301 -- made two lines above
    assert parse_cell(spec.text, spec.root).build(3, 5).hidden_size == 5

    (folder / "my_cell.py").write_text(f"{MY_CELL}\n# changed\n")
    with pytest.raises(PluginError, match=r"has changed .* start again"):
        pickle.loads(sent)  # noqa: S301 -- made above


# --- What goes wrong ----------------------------------------------------------------------


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("expression", "error", "says"),
    [
        ("gro", UnknownNameError, "no cell named 'gro'; did you mean 'gru'? `cellbench list"),
        ("", OptionError, "names no cell: write NAME"),
        ("(k=1)", OptionError, "names no cell: write NAME"),
        ("rnn,lstm", OptionError, "is more than one cell: give one"),
        ("rnn(", OptionError, "'rnn(' ends before ')': balance"),
        ("rnn)", OptionError, "'rnn)' closes ')', which is not open: balance"),
        ("rnn(a=[1)", OptionError, "closes ')'"),
        ("rnn(a='x)", OptionError, "balance brackets and quotes"),
        ("rnn(a=1)b", OptionError, "has 'b' after its options: take it out"),
        ("rnn(a=1)(b=1)", OptionError, "cannot be read; write them as NAME=VALUE"),
        ("rnn(a==1)", OptionError, "an option without a name; write them as NAME=VALUE"),
        ("rnn(a=)", OptionError, "cannot be read; write them as NAME=VALUE"),
        ("rnn(relu)", OptionError, "an option without a name; write them as NAME=VALUE"),
        ("rnn(**a)", OptionError, "an option without a name; write them as NAME=VALUE"),
        ("rnn(a=1, a=2)", OptionError, "gives a twice: take one out"),
        ("rnn(a=b+c)", OptionError, "the value of a is no plain value. Give"),
        ("rnn(a=f())", OptionError, "the value of a is no plain value. Give"),
        ("rnn(a={1: 2})", OptionError, "the value of a is no plain value. Give"),
        ("rnn(a=1e999)", OptionError, "the value of a is no plain value. Give"),
        ("rnn(hidden_size=3)", OptionError, "hidden_size is set by the run: take it out"),
        ("rnn(nonlinearty=relu)", OptionError, "did you mean 'nonlinearity'? It takes nonlinear"),
        ("rnn(nonlinearity=sin)", OptionError, "rnn(nonlinearity=sin): nonlinearity must be one"),
        ("my_cell.py", PluginError, "is a file: name the class in it, as in my_cell.py:MyCell"),
        ("my_sell.py:MyCell", PluginError, "my_sell.py cannot be read: No such file"),
        ("my_cell.py:MyCel", PluginError, "has no class 'MyCel'; did you mean 'MyCell'?"),
        ("my_cell.py:NoModule", PluginError, "is no cell: derive it from cellbench.cells.base"),
        ("my_cell.py:HalfDone", PluginError, "is abstract: it must define step"),
        ("my_cell.py:NUMBER", PluginError, "is a int: name a class"),
        ("my_cell.py:MyCell(z=1)", OptionError, "has no option 'z'. It takes k, mode"),
        ("my_cell.py:Moody", PluginError, "ArithmeticError: not today (my_cell.py, line 31)"),
        ("rnn(lstm(forget_bias=1.0))", OptionError, "an option without a name; write them as NAME"),
        ("rnn(,)", OptionError, "cannot be read; write them as NAME=VALUE"),
        ("compressed(gro)", UnknownNameError, "no cell named 'gro'; did you mean 'gru'?"),
        ("compressed(lstm, gru)", OptionError, "has 2 inner cells: write one, as in compressed("),
        ("compressed(inner_cell=lstm)", OptionError, "without a name: write one, as in compress"),
        ("compressed(lstm, k=1)", OptionError, "has no option 'k'. It takes coefficients, by_ga"),
        ("compressed(rnn(k=1))", OptionError, "rnn has no option 'k'. It takes nonlinearity."),
        ("compressed(rnn(relu))", OptionError, "'rnn(relu)' has an option without a name; write"),
        ("compressed(rnn(nonlinearity=sin))", OptionError, "nonlinearity must be one of tanh"),
        ("compressed(compressed)", OptionError, "inner_cell is compressed already: give the cell"),
        ("compressed(my_cell.py:Moody)", PluginError, "ArithmeticError: not today (my_cell.py, "),
        ("my_cell.py:Doubled", OptionError, "has no inner cell: write one, as in my_cell.py:Doubl"),
        ("my_cell.py:Doubled(times=3)", OptionError, "Doubled(times=3) has no inner cell: write"),
        ("my_cell.py:Moody(k=1)", OptionError, "has no option 'k'. It takes no options"),
        ("my_cell.py:of_something_else", PluginError, "gives a str, which is no cell: derive"),
        ("no_such.module:C", PluginError, "No module named 'no_such'. Is it installed?"),
        ("torch.nn:LSTN", PluginError, "torch.nn has no class 'LSTN'; did you mean 'LSTM'?"),
        ("torch.nn:Linear", PluginError, "make forward(x, state=None) take its own state back"),
        ("torch.nn:Bilinear", PluginError, "missing 1 required positional argument"),
        ("torch.nn:LSTM(batch_first=True)", PluginError, "Build it with batch_first=False"),
        ("torch.nn:LSTM(bidirectional=True)", PluginError, "use bidirectional=False"),
        ("my_cell.py:Answers", PluginError, "For x [time=3, batch=2, input=8] it returned a dict"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(expression, error, says) -> None:
    with pytest.raises(CellbenchError) as caught:
        check_buildable(parse_cell(expression))

    assert type(caught.value) is error
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1\ny = missing\n", "NameError: name 'missing' is not defined (bad.py, line 2)"),
        ("def f(:\n", "SyntaxError: invalid syntax (line 1)"),
        ("import no_such_package\n", "No module named 'no_such_package' (bad.py, line 1)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3 (bad.py, line 2)"),
    ],
)
def test_a_file_that_does_not_import_is_told_with_its_line(folder, source, says) -> None:
    (folder / "bad.py").write_text(source)

    with pytest.raises(PluginError, match=r"^bad\.py failed to import: ") as caught:
        parse_cell("bad.py:C")

    assert says in str(caught.value)


def test_a_cell_whose_source_is_nowhere_is_refused(install) -> None:
    """Its results could not be told from those of another version of it."""
    install(point("built_in", "builtins:max"))

    with pytest.raises(PluginError, match="The file that defines built_in is not to be found"):
        parse_cell("built_in")


def test_checking_takes_no_random_numbers() -> None:
    before = torch.get_rng_state()

    check_buildable(parse_cell("lstm"))

    assert torch.equal(torch.get_rng_state(), before)


# --- Installed cells ----------------------------------------------------------------------


def test_installed_cells_are_named_without_being_imported(install) -> None:
    install(point("fancy", "no_such_module:Fancy"))

    assert cell_names() == sorted([*CELLS, "fancy"])


def test_an_installed_cell_is_found_by_its_name(install) -> None:
    install(point("fancy", "cellbench.cells.rnn:RNN"), point("bad", "no_such_module:Bad"))
    spec = parse_cell("fancy(nonlinearity=relu)")

    assert spec.text == "fancy(nonlinearity=relu)"
    assert type(spec.build(3, 5)) is RNN


def test_an_installed_cell_that_does_not_import_fails_by_name(install) -> None:
    install(point("bad", "no_such_module:Bad"))

    with pytest.raises(PluginError, match=r"'bad' of a-package \(no_such_module:Bad\) failed") as e:
        parse_cell("bad")

    assert "Update or uninstall a-package." in str(e.value)


def test_two_packages_with_one_name_are_both_named(install) -> None:
    install(point("fancy", "one:Fancy", "one-cells"), point("fancy", "two:Fancy", "two-cells"))

    with pytest.raises(PluginError, match="one-cells and two-cells both have a cell named 'fancy'"):
        parse_cell("fancy")


def test_no_package_can_take_one_of_our_names(install) -> None:
    install(point("rnn", "torch.nn:GRU"))

    assert type(parse_cell("rnn").build(3, 5)) is RNN
    assert cell_names().count("rnn") == 1


# --- Lists --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("lstm", ["lstm"]),
        ("lstm, gru", ["lstm", "gru"]),
        ("a(b=1,c=[2,3]),d", ["a(b=1,c=[2,3])", "d"]),
        ("a(b='x,)'),d", ["a(b='x,)')", "d"]),
        ("a(b=1),a(b=2)", ["a(b=1)", "a(b=2)"]),
        ("it's.py:A,b", ["it's.py:A", "b"]),
        ("a(b(c=1,d=2),e=3),f(g)", ["a(b(c=1,d=2),e=3)", "f(g)"]),
    ],
)
def test_commas_between_cells_split(text, items) -> None:
    assert split_cells(text) == items


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty name"),
        ("lstm,", "empty name between its commas: take it out"),
        ("lstm,,gru", "empty name"),
        ("lstm,gru,lstm", "has lstm twice: take one out"),
        ("a(b=1,c=2),a(c=2, b=1)", "twice"),
        ("a(b(c=1)),a( b(c=1) )", r"has a\(b\(c=1\)\) twice"),
        ("lstm(,gru", "balance"),
    ],
)
def test_a_list_with_a_slip_is_refused(text, says) -> None:
    with pytest.raises(OptionError, match=says):
        split_cells(text)


def test_a_spec_is_what_parse_cell_returns() -> None:
    assert isinstance(parse_cell("gru"), CellSpec)
