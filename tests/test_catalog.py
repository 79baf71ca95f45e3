"""The catalogue: every mistake in a task file has a message, every name finds its tasks."""

from __future__ import annotations

import dataclasses
import math
import pickle
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from importlib.resources import files

import pytest
import torch

from cellbench import loading
from cellbench.catalog import (
    Budget,
    find_suite,
    find_task,
    load_suites,
    load_tasks,
    parse_suites,
    parse_task_file,
    resolve,
)
from cellbench.errors import OptionError, PluginError, TaskFileError, UnknownNameError
from cellbench.generators.stream import Stream
from cellbench.loading import load_named

GOOD = """
generator = "adding"
version = 1
summary = "Add two numbers."
source = "A paper"
metric = "mse"
solved = 0.01

[fixed]
positions = "halves"

[levels]
short = { length = 10 }
long = { length = 100, budget = { steps = 500 } }

[budget]
steps = 200
batch = 64
learning_rate = 3e-3
clip = 1.0
validate_every = 100
validation = 256
test = 1024

[variants.any]
summary = "Anywhere."
positions = "any"
"""

LEVELS = """[levels]
short = { length = 10 }
long = { length = 100, budget = { steps = 500 } }
"""

VARIANTS = ("arjovsky", "exprnn", "tcn", "s4")

EVERY = {"sum/short", "sum/long", "sum-any/short", "sum-any/long"}


def changed(*edits):
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


def digests(text):
    return {name: task.digest for name, task in parse_task_file("sum", text).items()}


# --- a file that is right ---------------------------------------------------------------


def test_a_task_file_is_read() -> None:
    tasks = parse_task_file("sum", GOOD)
    task = tasks["sum/long"]

    assert list(tasks) == ["sum/short", "sum/long", "sum-any/short", "sum-any/long"]
    assert (task.id, task.family, task.level, task.version) == ("sum/long", "sum", "long", 1)
    assert (task.summary, task.source) == ("Add two numbers.", "A paper")
    assert (task.generator_name, task.metric, task.solved) == ("adding", "mse", 0.01)
    assert task.settings == {"length": 100, "positions": "halves"}
    assert task.budget == Budget(
        steps=500,
        batch=64,
        learning_rate=3e-3,
        clip=1.0,
        validate_every=100,
        validation=256,
        test=1024,
    )


def test_a_level_replaces_only_what_it_names_of_the_budget() -> None:
    tasks = parse_task_file("sum", GOOD)

    assert tasks["sum/short"].budget == dataclasses.replace(tasks["sum/long"].budget, steps=200)
    assert tasks["sum-any/long"].budget == tasks["sum/long"].budget


def test_a_level_may_have_its_own_mark() -> None:
    own = changed(("length = 10 }", "length = 10, solved = 0.1 }"))
    tasks = parse_task_file("sum", own)

    assert {name: task.solved for name, task in tasks.items()} == {
        "sum/short": 0.1,
        "sum/long": 0.01,
        "sum-any/short": 0.1,
        "sum-any/long": 0.01,
    }
    assert "solved" not in tasks["sum/short"].settings
    assert digests(changed(("length = 10 }", "length = 10, solved = 0.01 }"))) == digests(GOOD)


def test_a_variant_replaces_settings_and_perhaps_the_texts() -> None:
    task = parse_task_file("sum", GOOD)["sum-any/short"]

    assert task.settings == {"length": 10, "positions": "any"}
    assert (task.family, task.summary, task.source) == ("sum-any", "Anywhere.", "A paper")


def test_a_whole_number_will_do_where_any_number_would() -> None:
    assert digests(changed(("clip = 1.0", "clip = 1"))) == digests(GOOD)
    assert (
        parse_task_file("sum", changed(("clip = 1.0", "clip = inf")))["sum/long"].budget.clip
        == math.inf
    )


@pytest.mark.parametrize(
    ("metric", "skill"), [(1 / 6, 0), (0.0, 1), (1 / 12, 0.5), (1 / 3, -1), (math.nan, math.nan)]
)
def test_skill_is_0_without_memory_and_1_when_perfect(metric, skill) -> None:
    task = parse_task_file("sum", GOOD)["sum/short"]

    assert task.skill(metric) == pytest.approx(skill, nan_ok=True)


def test_skill_of_an_accuracy_is_not_the_accuracy() -> None:
    task = find_task("copying/delay-10")

    assert (task.trivial, task.perfect) == (1 / 8, 1.0)
    assert task.skill(1 / 8) == 0
    assert task.skill(1.0) == 1
    assert task.skill(0.5) == pytest.approx(3 / 7)


def test_solved_knows_which_way_is_better_and_nan_never_solves() -> None:
    by_error, by_accuracy = find_task("adding/length-50"), find_task("copying/delay-10")

    assert [by_error.is_solved(m) for m in (0.0, 0.01, 0.011, math.nan)] == [
        True,
        True,
        False,
        False,
    ]
    assert [by_accuracy.is_solved(m) for m in (1.0, 0.99, 0.98, math.nan)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_task_travels_to_another_process() -> None:
    task = find_task("copying/delay-10")

    assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301 -- our own
    assert hash(task) == hash(pickle.loads(pickle.dumps(task)))  # noqa: S301


# --- the digest -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        ("Add two numbers.", "Sum them."),
        ("A paper", "Another"),
        ("Anywhere.", "Wherever."),
        ("version = 1", "version = 1  # a comment"),
        ("learning_rate = 3e-3", "learning_rate = 0.003"),
    ],
)
def test_words_do_not_change_a_digest(edit) -> None:
    assert digests(changed(edit)) == digests(GOOD)


@pytest.mark.parametrize(
    ("edit", "touched"),
    [
        (("version = 1", "version = 2"), EVERY),
        (("solved = 0.01", "solved = 0.02"), EVERY),
        (("batch = 64", "batch = 32"), EVERY),
        (("clip = 1.0", "clip = 2.0"), EVERY),
        (("length = 10 ", "length = 11 "), {"sum/short", "sum-any/short"}),
        (("length = 10 ", "length = 10, solved = 0.1 "), {"sum/short", "sum-any/short"}),
        (("steps = 500", "steps = 600"), {"sum/long", "sum-any/long"}),
        (("steps = 200", "steps = 300"), {"sum/short", "sum-any/short"}),
        (('"any"', '"halves"'), {"sum-any/short", "sum-any/long"}),
    ],
)
def test_what_decides_a_result_changes_its_digest(edit, touched) -> None:
    before, after = digests(GOOD), digests(changed(edit))

    assert {name for name in before if before[name] != after[name]} == touched


def test_a_digest_is_the_same_on_every_machine_and_day() -> None:
    """From the JSON written out by hand; if it changes, every old record is a stranger."""
    assert digests(GOOD)["sum/short"] == (
        "4951bca63217a7f512f1651a67939a87464d9b54d1de267bf5ef8d5289bfed7c"
    )


# --- files that are wrong ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("version = 1", "versoin = 1"),
            "tasks/sum.toml has an unknown key 'versoin'; did you mean 'version'?",
        ),
        (("version = 1", ""), "tasks/sum.toml lacks the key 'version'."),
        (
            ("version = 1", 'version = "1"'),
            "tasks/sum.toml: version: expected `int`, got `str`.",
        ),
        (("version = 1", "version = 0"), "tasks/sum.toml: version: expected `int` >= 1."),
        (
            ('"adding"', '"ading"'),
            "tasks/sum.toml: there is no generator named 'ading'; did you mean 'adding'?",
        ),
        (
            ('"mse"', '"mes"'),
            "tasks/sum.toml: metric must be one of accuracy, exact, mse, excess, not 'mes'.",
        ),
        (
            ('"mse"', '"accuracy"'),
            "tasks/sum.toml, level short: generator 'adding' is scored by mse, not accuracy.",
        ),
        (
            ("solved = 0.01", "solved = 0.2"),
            (
                "tasks/sum.toml, level short: solved = 0.2 must be better than 0.166667, which "
                "takes no memory, and no better than 0, which is perfect."
            ),
        ),
        (
            ("solved = 0.01", "solved = nan"),
            (
                "tasks/sum.toml, level short: solved = nan must be better than 0.166667, which "
                "takes no memory, and no better than 0, which is perfect."
            ),
        ),
        (
            ("solved = 0.01", "solved = -0.01"),
            (
                "tasks/sum.toml, level short: solved = -0.01 must be better than 0.166667, which "
                "takes no memory, and no better than 0, which is perfect."
            ),
        ),
        (
            ("batch = 64", "bach = 64"),
            "tasks/sum.toml [budget] has an unknown key 'bach'; did you mean 'batch'?",
        ),
        (("batch = 64", ""), "tasks/sum.toml [budget] lacks the key 'batch'."),
        (("batch = 64", "batch = 0"), "tasks/sum.toml: budget.batch: expected `int` >= 1."),
        (
            ("batch = 64", "batch = true"),
            "tasks/sum.toml: budget.batch: expected `int`, got `bool`.",
        ),
        (
            ("learning_rate = 3e-3", "learning_rate = nan"),
            "tasks/sum.toml: budget.learning_rate: expected `float` > 0.0.",
        ),
        (
            ("steps = 200", "steps = 50"),
            (
                "tasks/sum.toml, level short: validate_every = 100 is more than steps = 50, so "
                "that nothing would ever be validated."
            ),
        ),
        (
            ("steps = 500", "step = 500"),
            "tasks/sum.toml [levels.long.budget] has an unknown key 'step'; did you mean 'steps'?",
        ),
        (
            ("steps = 500", "steps = 1.5"),
            "tasks/sum.toml: levels.long.budget.steps: expected `int`, got `float`.",
        ),
        (
            ("length = 10 }", "length = 10, solved = 0.2 }"),
            (
                "tasks/sum.toml, level short: solved = 0.2 must be better than 0.166667, which "
                "takes no memory, and no better than 0, which is perfect."
            ),
        ),
        (
            ("length = 10 }", 'length = 10, solved = "0.1" }'),
            "tasks/sum.toml: levels.short.solved: expected `float`, got `str`.",
        ),
        (
            ("budget = { steps = 500 }", "budget = 500"),
            "tasks/sum.toml: levels.long.budget: expected a table, got `int`.",
        ),
        (
            ("short = { length = 10 }", "short = { lenght = 10 }"),
            "tasks/sum.toml [levels.short] has an unknown key 'lenght'; did you mean 'length'?",
        ),
        (
            ("long = { length = 100, budget", "long = { length = 100, bugdet"),
            "tasks/sum.toml [levels.long] has an unknown key 'bugdet'; did you mean 'budget'?",
        ),
        (
            ("short = { length = 10 }", "short = 10"),
            "tasks/sum.toml: levels.short: expected a table, got `int`.",
        ),
        (
            ("short = { length = 10 }", 'short = { length = "10" }'),
            "tasks/sum.toml: levels.short.length: expected `int`, got `str`.",
        ),
        (
            ("short = { length = 10 }", "short = { length = 1 }"),
            "tasks/sum.toml, level short: length must be a whole number of at least 2, not 1.",
        ),
        (
            ("short = { length = 10 }", "short = {}"),
            "tasks/sum.toml [levels.short] lacks the setting 'length'; put it there or in [fixed].",
        ),
        (
            ("short = { length = 10 }", '"a/b" = { length = 10 }'),
            (
                "tasks/sum.toml: the name of a level is of letters, digits, '-', '_' and '.', "
                "not 'a/b'."
            ),
        ),
        (
            (LEVELS, "[levels]\n"),
            "tasks/sum.toml has no level; add one under [levels].",
        ),
        (
            ('positions = "halves"', 'positons = "halves"'),
            "tasks/sum.toml [fixed] has an unknown key 'positons'; did you mean 'positions'?",
        ),
        (
            ('positions = "halves"', "positions = 3"),
            "tasks/sum.toml: fixed.positions: expected `str`, got `int`.",
        ),
        (
            ('positions = "any"', 'sumary = "any"'),
            "tasks/sum.toml [variants.any] has an unknown key 'sumary'; did you mean 'summary'?",
        ),
        (
            ('"Anywhere."', "3"),
            "tasks/sum.toml: variants.any.summary: expected `str`, got `int`.",
        ),
        (
            ("[variants.any]", '[variants."a b"]'),
            (
                "tasks/sum.toml: the name of a variant is of letters, digits, '-', '_' and '.', "
                "not 'a b'."
            ),
        ),
    ],
)
def test_every_mistake_in_a_file_says_what_and_where(edit, message) -> None:
    with pytest.raises(TaskFileError) as caught:
        parse_task_file("sum", changed(edit))

    assert str(caught.value) == message


def test_what_is_not_toml_says_so() -> None:
    with pytest.raises(TaskFileError, match=r"^tasks/sum\.toml is not TOML: .*line 1"):
        parse_task_file("sum", "generator = adding")


def test_a_file_of_ones_own_is_called_by_its_path() -> None:
    with pytest.raises(TaskFileError, match=r"^my/sum\.toml lacks the key"):
        parse_task_file("sum", "", where="my/sum.toml")


# --- the files that ship ----------------------------------------------------------------


def test_ids_can_be_said_aloud_and_are_unique() -> None:
    tasks = load_tasks()

    assert all(task.id == name == f"{task.family}/{task.level}" for name, task in tasks.items())
    assert {"copying/tiny", "copying/delay-1000", "adding/length-750"} <= set(tasks)
    assert {"copying-arjovsky/delay-100", "adding-any/length-400"} <= set(tasks)
    assert len({task.digest for task in tasks.values()}) == len(tasks)


def test_every_file_in_the_folder_is_read() -> None:
    names = {
        file.name for file in files("cellbench._tasks").iterdir() if file.name.endswith(".toml")
    }

    assert {f"{task.family.partition('-')[0]}.toml" for task in load_tasks().values()} == names - {
        "suites.toml"
    }


def test_the_levels_are_those_the_papers_print() -> None:
    def levels(family, setting):
        return [t.settings[setting] for t in load_tasks().values() if t.family == family]

    assert levels("copying", "delay")[2:] == [10, 30, 100, 200, 300, 500, 1000, 2000]
    assert levels("adding", "length") == [10, 50, 100, 200, 400, 600, 750, 1000, 2000]


def test_trivial_and_marks_leave_room_to_learn() -> None:
    for task in load_tasks().values():
        assert 0 < task.skill(task.solved) <= 1
        assert not task.is_solved(task.trivial)
        assert task.is_solved(task.perfect)


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        load_tasks()["mine"] = find_task("copying/tiny")  # type: ignore[index]


# --- names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ("copying/delay-10", ["copying/delay-10"]),
        (" copying/delay-30 , copying/delay-10,", ["copying/delay-30", "copying/delay-10"]),
        ("copying/delay-30,copying/delay-30", ["copying/delay-30"]),
        ("copying/delay-?0", ["copying/delay-10", "copying/delay-30"]),
        ("copying-*/delay-30", [f"copying-{v}/delay-30" for v in VARIANTS]),
        ("ci", ["copying/tiny", "adding/length-10"]),
        ("adding/length-10,ci", ["adding/length-10", "copying/tiny"]),
    ],
)
def test_names_find_their_tasks(names, ids) -> None:
    assert [task.id for task in resolve(names)] == ids


@pytest.mark.parametrize("names", ["adding", "adding/*"])
def test_a_family_is_all_its_levels_and_no_variant(names) -> None:
    assert {task.family for task in resolve(names)} == {"adding"}
    assert len(resolve(names)) == 9


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("copying/delay-31", "'copying/delay-31'; did you mean 'copying/delay-30'?"),
        ("copyng", "'copyng'; did you mean 'copying'?"),
        ("clasic", "'clasic'; did you mean 'classic'?"),
        ("qqq/*", "'qqq/*'."),
        ("copying,addin", "'addin'; did you mean 'adding'?"),
    ],
)
def test_an_unknown_name_gets_the_nearest(names, message) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve(names)

    assert str(caught.value).startswith(f"There is no task named {message}")
    assert "`cellbench list tasks` shows all" in str(caught.value)


@pytest.mark.parametrize("names", ["", " , "])
def test_no_name_is_an_error_that_gives_one(names) -> None:
    with pytest.raises(OptionError, match=r"No task is named; try copying/delay-10"):
        resolve(names)


def test_finding_one_task_or_suite_that_is_not_there() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no task named 'adding/length-51'.*'adding/length-5"
    ):
        find_task("adding/length-51")
    with pytest.raises(UnknownNameError, match=r"no suite named 'quik'; did you mean 'quick'\?"):
        find_suite("quik")


def test_a_file_of_ones_own_is_found_by_its_path(tmp_path) -> None:
    path = tmp_path / "sum.toml"
    path.write_text(GOOD, encoding="utf-8")

    def found(suffix):
        return [task.id for task in resolve(f"{path}{suffix}")]

    assert found("") == ["sum/short", "sum/long"]
    assert found(":long") == ["sum/long"]
    assert found(":*o*") == ["sum/short", "sum/long"]
    assert found(":sum-any/long") == ["sum-any/long"]
    assert found(",ci,adding/length-10")[-2:] == ["copying/tiny", "adding/length-10"]
    with pytest.raises(
        TaskFileError, match=r"sum\.toml has no level 'lung'; did you mean 'long'\?"
    ):
        found(":lung")


def test_a_file_that_is_not_there_or_not_text(tmp_path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(TaskFileError, match=r"nowhere\.toml cannot be read: No such file"):
        resolve(str(tmp_path / "nowhere.toml"))
    with pytest.raises(TaskFileError, match=r"bytes\.toml is not TOML: .*can't decode"):
        resolve(str(tmp_path / "bytes.toml"))


def test_one_id_cannot_mean_two_tasks(tmp_path) -> None:
    path = tmp_path / "adding.toml"
    path.write_text(changed(("short = { length", "length-10 = { length")), encoding="utf-8")

    with pytest.raises(TaskFileError, match=r"Two different tasks are called adding/length-10"):
        resolve(f"adding/length-10,{path}")


# --- suites -----------------------------------------------------------------------------


def test_suites_are_lists_of_ids() -> None:
    suites = load_suites()
    tasks = load_tasks()

    assert {
        "ci",
        "quick",
        "classic",
        "recall",
        "state-tracking",
        "chomsky",
        "order",
        "full",
    } <= set(suites)
    for name, suite in suites.items():
        assert suite.name == name
        assert suite.summary
        assert suite.levels
        assert set(suite.levels) <= set(tasks)
        assert [task.id for task in resolve(name)] == list(suite.levels)


def test_the_full_suite_is_every_level_of_every_file() -> None:
    texts = {
        file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8"))
        for file in files("cellbench._tasks").iterdir()
        if file.name.endswith(".toml") and file.name != "suites.toml"
    }

    assert set(find_suite("full").levels) == {
        f"{name}/{level}" for name, table in texts.items() for level in table["levels"]
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[s]\nlevels = []", "tasks/suites.toml [s] lacks the key 'summary'."),
        ("s = 3", "tasks/suites.toml: s: expected a table, got `int`."),
        (
            '[s]\nsummary = ""\nlevel = []',
            "tasks/suites.toml [s] has an unknown key 'level'; did you mean 'levels'?",
        ),
        (
            '[s]\nsummary = ""\nlevels = [3]',
            "tasks/suites.toml: s.levels[0]: expected `str`, got `int`.",
        ),
        (
            '[adding]\nsummary = ""\nlevels = []',
            "tasks/suites.toml: adding is the name of a task; give the suite another.",
        ),
        (
            '[s]\nsummary = ""\nlevels = ["adding/length-51"]',
            "tasks/suites.toml [s]: There is no task named 'adding/length-51'",
        ),
        (
            '[s]\nsummary = ""\nlevels = []',
            "tasks/suites.toml [s] has no levels.",
        ),
    ],
)
def test_every_mistake_in_the_suites_says_what_and_where(text, message) -> None:
    with pytest.raises(TaskFileError) as caught:
        parse_suites(text, load_tasks())

    assert str(caught.value).startswith(message)


# --- generators of one's own ------------------------------------------------------------

ECHO = '''
from dataclasses import dataclass
import torch
from cellbench.generators.base import Batch, Generator, Tokens
from cellbench.options import whole

@dataclass(frozen=True, slots=True, kw_only=True)
class Echo(Generator):
    """Say the first bit again at the end."""

    length: int

    def __post_init__(self):
        whole("length", self.length, low=2)

    reads = answers = property(lambda self: Tokens(2))

    def sample(self, stream, index):
        bits = stream.integers("bits", index, self.length, below=2)
        asked = torch.zeros_like(bits).bool()
        asked[-1] = True
        return Batch(bits, bits[:1].expand_as(bits).clone(), asked, asked)

    def trivial(self):
        return 0.5

    def oracle(self, inputs):
        return inputs[:1].expand_as(inputs)

class NoGenerator: ...
class Half(Generator): ...
'''

OWN = GOOD.replace('"adding"', '"echo.py:Echo"').replace('"mse"', '"accuracy"')
OWN = OWN.replace("solved = 0.01", "solved = 0.99").replace('positions = "halves"\n', "")
OWN = OWN.partition("[variants")[0]


@pytest.fixture
def own(tmp_path):
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "echoes.toml").write_text(OWN)
    return tmp_path / "echoes.toml"


def test_a_generator_may_be_in_a_file_beside_the_task_file(own) -> None:
    (short, _) = resolve(str(own))
    batch = short.generator.sample(Stream(0, "train"), torch.arange(4))

    assert (short.id, short.settings) == ("echoes/short", {"length": 10})
    assert torch.equal(batch.targets[-1], batch.inputs[0])


def test_it_travels_to_a_process_that_knows_nothing_of_it(own) -> None:
    (short, _) = resolve(str(own))
    sent = pickle.dumps(short)
    found = "import pickle, sys; print(pickle.load(sys.stdin.buffer).settings)"
    done = subprocess.run([sys.executable, "-c", found], input=sent, capture_output=True)  # noqa: PLW1510

    assert done.stdout.decode().strip() == "{'length': 10}", done.stderr.decode()


def test_a_change_in_its_file_is_another_task_and_does_not_travel(own) -> None:
    before = resolve(str(own))[0]
    sent = pickle.dumps(before)
    (own.parent / "echo.py").write_text(ECHO + "# changed\n")

    assert resolve(str(own))[0].digest != before.digest
    with pytest.raises(PluginError, match="has changed: start again"):
        pickle.loads(sent)  # noqa: S301 -- our own


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("echo.py:Ehco", "has no class 'Ehco'; did you mean 'Echo'?"),
        ("echo.py", "name the class in it, as in echo.py:MyGenerator"),
        ("nowhere.py:Echo", "nowhere.py cannot be read"),
        ("echo.py:NoGenerator", "is no generator: derive it from"),
        ("echo.py:Half", "is abstract: it must define answers, oracle, reads, sample, trivial"),
        ("ehco", "there is no generator named 'ehco'"),
    ],
)
def test_a_generator_that_is_none_is_refused(own, name, told) -> None:
    own.write_text(OWN.replace("echo.py:Echo", name))
    with pytest.raises((PluginError, TaskFileError)) as error:
        resolve(str(own))

    assert str(own) in str(error.value)
    assert told in str(error.value)


def test_a_generator_of_an_installed_package_is_found_by_its_name(own, monkeypatch) -> None:
    class Point(EntryPoint):
        dist = None  # type: ignore[assignment]

        def load(self):
            return load_named("echo.py:Echo", own.parent, "generator")

    point = Point("echo", "echo:Echo", "cellbench.generators")
    monkeypatch.setattr(
        loading, "entry_points", lambda *, group: [point] if group == point.group else []
    )
    own.write_text(OWN.replace("echo.py:Echo", "echo"))

    assert resolve(str(own))[0].settings == {"length": 10}
