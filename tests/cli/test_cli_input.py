"""Bad input: one line that says what, where and what to do; exit code 2; nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from records import trial

from cellbench.cli import COMMANDS, main
from cellbench.cli.options import parse_seeds
from cellbench.errors import OptionError
from cellbench.record import SCHEMA

TOYS = Path(__file__).parent.parent / "toy_cells.py"
TASK = """
generator = "copying"
version = 1
summary = "s"
source = "s"
metric = "accuracy"
solved = 0.99
[fixed]
symbols = 2
alphabet = 4
delay = 2
layout = "exprnn"
loss = "answer"
[levels]
only = {}
[budget]
steps = 10
batch = 4
learning_rate = 1e-3
clip = 1.0
validate_every = 5
validation = 4
test = 4
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toys.py").write_text(TOYS.read_text())
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "good.toml").write_text(TASK)
    (tmp_path / "typo.toml").write_text(TASK.replace("version", "versoin"))
    (tmp_path / "type.toml").write_text(TASK.replace("steps = 10", 'steps = "ten"'))
    (tmp_path / "short.toml").write_text(TASK.replace("solved = 0.99\n", ""))
    (tmp_path / "file").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("run --cells lsmt", ["no cell named 'lsmt'", "did you mean 'lstm'?", "list cells"]),
        ("run --cells lstm,lstm", ["lstm twice"]),
        ("run --cells lstm,", ["empty name"]),
        ("run --cells lstm(forget_bias=1", ["balance brackets"]),
        ("run --cells lstm(1.0)", ["option without a name"]),
        ("run --cells lstm(forget_bais=1.0)", ["forget_bais", "did you mean 'forget_bias'?"]),
        ("run --cells hyperlstm(hyper_size=0)", ["hyperlstm(hyper_size=0)", "at least 1, not 0"]),
        ("run --cells hyperlstm(init=papper)", ["did you mean 'paper'?"]),
        ("run --cells nowhere.py:Cell", ["nowhere.py"]),
        ("run --cells broken.py:Cell", ["broken.py", "nothing_of_that_name", "1"]),
        ("run --cells lstm,hyperlstm --unroll parallel", ["HyperLSTM has no parallel form"]),
        ("run --unroll paralel", ["paralel", "parallel"]),
        ("run --cells exits.py:Cell", ["exits.py", "SystemExit"]),
        ("run --cells toys.py:Plian", ["did you mean 'Plain'?"]),
        ("run --cells toys.py:NotACell", ["NotACell", "no cell"]),
        (
            "run --tasks copying/delay-31",
            ["'copying/delay-31'", "did you mean 'copying/delay-30'?"],
        ),
        ("run --suite quikc", ["no suite named 'quikc'", "did you mean 'quick'?"]),
        ("run --tasks typo.toml", ["typo.toml", "'versoin'", "did you mean 'version'?"]),
        ("run --tasks type.toml", ["type.toml", "budget.steps", "expected `int`"]),
        ("run --tasks short.toml", ["short.toml", "lacks the key 'solved'"]),
        ("run --tasks missing.toml", ["missing.toml cannot be read"]),
        ("run --tasks good.toml:onyl", ["good.toml has no level 'onyl'", "did you mean 'only'?"]),
        ("run --output file/results", ["file", "--output"]),
        ("run --device cuda", ["--device cuda", "--device cpu"]),
        ("run --device gpu", ["must be auto, cpu, cuda or cuda:N, not 'gpu'"]),
        ("run --device cuda:x", ["not 'cuda:x'"]),
        ("run --seeds 0", ["no seed at all"]),
        ("run --seeds 5-1", ["no seed at all"]),
        ("run --seeds many", ["--seeds must be", "'many'"]),
        ("run --seeds 1,1", ["twice"]),
        ("run --seeds -3", ["--seeds must be"]),
        ("run --steps 0", ["--steps", "0"]),
        ("run --steps -5", ["--steps", "-5"]),
        ("run --steps many", ["--steps", "many"]),
        ("run --time-limit 0", ["--time-limit", "above 0"]),
        ("run --time-limit nan", ["--time-limit"]),
        ("run --hidden 0", ["--hidden"]),
        ("run -j 0", ["jobs"]),
        ("run --stack 0", ["--stack must be auto", "'0'"]),
        ("run --stack -2", ["--stack must be auto", "'-2'"]),
        ("run --stack all", ["--stack must be auto, or a number of seeds from 1 on, not 'all'"]),
        ("run --depth 0", ["--depth"]),
        ("run --dropout 1.5", ["--dropout must be a number of at least 0 and below 1, not 1.5"]),
        ("run --dropout 0.1", ["--dropout", "--depth is 1", "--depth 2 or more"]),
        ("run --block dense", ["dense", "residual"]),
        ("run --match weights", ["weights", "params"]),
        ("run --cells lstm,lstmn --match state", ["the state of lstmn grows", "match params or"]),
        ("run --bidirectional --tasks copying/tiny", ["copying/tiny asks before its last step"]),
        ("show lsmt", ["did you mean 'lstm'?"]),
        ("show hyperlstm(hyper_size=0)", ["hyper_size must be a whole number of at least 1"]),
        ("run --format xml", ["xml", "markdown"]),
        ("run --celss lstm", ["--celss", "--cells"]),
        ("--versoin", ["--versoin", "--version"]),
        ("rum", ["no command 'rum'", "did you mean 'run'?"]),
        ("list clels", ["clels", "cells"]),
        ("check lsmt", ["did you mean 'lstm'?"]),
        ("report nowhere", ["no results in nowhere", "cellbench run"]),
        ("doctor --device cuda:99", ["cuda:99"]),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(here, arguments, told) -> None:
    if "--device cuda" in arguments and _has_cuda() and "x" not in arguments:
        pytest.skip("this machine has CUDA")
    before = sorted(here.rglob("*"))
    result = CliRunner().invoke(main, arguments.split(" "))
    (line,) = result.stderr.splitlines()

    assert line.startswith("Error: ")
    assert result.exit_code == 2
    assert result.stdout == ""
    for part in told:
        assert part in line, part
    assert [p for p in sorted(here.rglob("*")) if p not in before] == []


def _has_cuda() -> bool:
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()


def test_a_damaged_journal_is_named_and_not_touched(here) -> None:
    journal = here / "results" / "local" / "results.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("so much for that\n")
    for arguments in (["run"], ["report"]):
        result = CliRunner().invoke(main, arguments)

        assert result.exit_code == 2
        assert "results.jsonl:1 is damaged" in result.stderr
    assert journal.read_text() == "so much for that\n"
    assert list(journal.parent.iterdir()) == [journal]


def test_a_newer_journal_is_refused(here) -> None:
    newer = msgspec.to_builtins(trial()) | {"schema": SCHEMA + 1}
    (here / "newer.jsonl").write_bytes(msgspec.json.encode(newer) + b"\n")
    result = CliRunner().invoke(main, ["report", "newer.jsonl"])

    assert result.exit_code == 2
    assert "Upgrade cellbench" in result.stderr


def test_an_empty_journal_is_nothing_and_no_success(here) -> None:
    (here / "empty.jsonl").touch()

    assert CliRunner().invoke(main, ["report", "empty.jsonl"]).exit_code == 5


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", (0, 1, 2)), ("0-2", (0, 1, 2)), ("1,4,7-8", (1, 4, 7, 8)), ("5,", (5,))],
)
def test_seeds_are_a_number_a_range_or_a_list(text, seeds) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "1-", "a", "1.5", "1,,2", "4294967296,"])
def test_other_seeds_are_refused(text) -> None:
    with pytest.raises(OptionError):
        parse_seeds(text)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name) -> None:
    result = CliRunner().invoke(main, [name, "--help"])

    assert result.exit_code == 0
    assert "Usage:" in result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_does_not_wait_for_torch(arguments) -> None:
    code = (
        "import sys\n"
        "from cellbench.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("raised", "code"),
    [(KeyboardInterrupt(), 130), (ZeroDivisionError(), 4), (OptionError("x"), 2)],
)
def test_no_mishap_looks_like_a_regression(monkeypatch, raised, code) -> None:
    def stand_in(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("cellbench.cli.running.run", stand_in)
    result = CliRunner().invoke(main, ["run"])

    assert result.exit_code == code
    assert result.stderr
