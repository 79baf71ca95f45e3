"""`--lr-grid`: how it is typed, and a whole run with one."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from cellbench.catalog import find_task
from cellbench.cli import main
from cellbench.cli.rates import parse_rates
from cellbench.cli.running import _conclude
from cellbench.errors import Exit, OptionError
from cellbench.plugins import parse_cell
from cellbench.record import Failure, Measurement, Point, Status, Trial
from cellbench.store.folder import Folder
from cellbench.sweep.plan import make_plan
from cellbench.sweep.worker import failed_trial


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("1e-4,1e-3,1e-2", (1e-4, 1e-3, 1e-2)),
        ("0.1, 1e-3,", (1e-3, 0.1)),
        ("1e-4:1e-1:4", (1e-4, 1e-3, 1e-2, 1e-1)),
        ("1e-1:1e-3:3", (1e-3, 1e-2, 1e-1)),
        ("1e-4:1e-1:7", (1e-4, 3.16e-4, 1e-3, 3.16e-3, 1e-2, 3.16e-2, 1e-1)),
        ("1.2345e-3:2:2", (1.2345e-3, 2.0)),
    ],
)
def test_rates_are_a_list_or_evenly_spaced_on_a_logarithmic_axis(text, rates) -> None:
    assert parse_rates(text) == rates


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1e-3", "2 to 100 rates"),
        ("1e-3:1e-1:1", "2 to 100 rates"),
        ("1e-3:1e-1:1000000000", "2 to 100 rates"),
        ("1e-3,0", "above 0 and finite, not 0"),
        ("-1:1:3", "above 0 and finite, not -1"),
        ("1e-3,inf", "not inf"),
        ("1e-3,nan", "not nan"),
        ("1e-3,0.001", "twice"),
        ("1:1.001:5", "twice"),
        ("1:1:2", "twice"),
        ("1e-3:1e-1", "--lr-grid must be"),
        ("1e-3:1e-1:3:4", "--lr-grid must be"),
        ("1e-3:1e-1:2.5", "--lr-grid must be"),
        ("low,high", "--lr-grid must be"),
        ("1e-3,,1e-2", "--lr-grid must be"),
    ],
)
def test_other_rates_are_refused_in_one_line(text, told) -> None:
    with pytest.raises(OptionError) as caught:
        parse_rates(text)

    assert told in str(caught.value)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grid_is_checked_before_anything_is_written(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["run", "--lr-grid", "1e-3,0"])

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --lr-grid 1e-3,0: a rate is above 0")
    assert list(tmp_path.iterdir()) == []


COMMAND = ["run", "--cells", "lstm,position", "--tasks", "copying/tiny", "--hidden", "8"]
COMMAND += ["--steps", "30", "--seeds", "1", "--device", "cpu", "-j", "1"]


def test_a_run_trains_at_every_rate_measures_once_and_a_wider_grid_adds_only_its_own(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, invoke = Folder(tmp_path / "results" / "local"), CliRunner().invoke
    planned = invoke(main, [*COMMAND, "--lr-grid", "1e-3,1e-1", "--dry-run"]).stdout

    assert "lstm @ copying/tiny lr 0.001: seeds 0 to train, at most 30 steps each" in planned
    assert "lstm @ copying/tiny lr 0.1: seeds 0 to train" in planned
    assert planned.count("position @ copying/tiny") == 1
    assert "3 trials, 0 of them done before; 1 measurements" in planned

    first = invoke(main, [*COMMAND, "--lr-grid", "1e-3,1e-1"])
    assert first.exit_code == 0, first.stderr
    assert "lstm @ copying/tiny lr 0.1 seed 0: not solved in 30 steps" in first.stderr
    assert "learning rate 0.1, the best on validation of 2 tried" in " ".join(first.stdout.split())

    wider = invoke(main, [*COMMAND, "--lr-grid", "1e-3,1e-2,1e-1", "--format", "json"])
    assert "2 of 4 trials" not in wider.stderr
    assert "3 of 4 trials are done from before" in wider.stderr
    lines = list(folder.journal)
    tried = [line for line in lines if isinstance(line, Trial)]
    assert [t.settings.learning_rate for t in tried if t.cell == "lstm"] == [1e-3, 1e-1, 1e-2]
    assert [t.settings.learning_rate for t in tried if t.cell == "position"] == [0.0]
    assert sum(isinstance(line, Measurement) for line in lines) == 1
    losses = {t.settings.learning_rate: t.test_loss for t in tried if t.cell == "lstm"}
    assert len(set(losses.values())) == 3, "each rate learned something else"
    lstm, position = json.loads(wider.stdout)
    assert lstm["rates_tried"] == [1e-3, 1e-2, 1e-1]
    assert lstm["learning_rate"] in lstm["rates_tried"]
    assert lstm["train_sequences_per_s"] > 0, "the one measurement is of its row"
    assert position["rates_tried"] == []


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        ((Status.OK, Status.OK), Exit.OK),
        ((Status.OK, Status.DIVERGED), Exit.OK),  # that is what a grid is there to find out
        ((Status.DIVERGED, Status.DIVERGED), Exit.FAILED),
        ((Status.OK, Status.CRASHED), Exit.FAILED),
    ],
)
def test_to_diverge_at_a_rate_that_was_not_chosen_is_no_failure_of_the_run(ended, code) -> None:
    plan = make_plan(
        [parse_cell("lstm")], [find_task("copying/tiny")], [0],
        hidden=8, device="cpu", learning_rates=[1e-2, 1.0],
    )  # fmt: skip
    look = Point(step=9, train_loss=1.0, metric=0.9, elapsed_s=1.0)
    why = Failure(type="x", message="y")
    lines = [
        replace(
            failed_trial(unit, status, why, "now"), curve=(look,) if status is Status.OK else ()
        )
        for unit, status in zip(plan.units, ended, strict=True)
    ]

    assert _conclude(plan, lines, "json") is code
