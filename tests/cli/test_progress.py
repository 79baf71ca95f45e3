"""What a run shows while it goes on: at a terminal of 80 columns, and in a pipe."""

from __future__ import annotations

import io
import itertools

import pytest
from msgspec.structs import replace
from records import measurement, trial
from rich.console import Console

from cellbench.catalog import find_task
from cellbench.cli.display import Display, bars
from cellbench.cli.progress import follow
from cellbench.cli.wording import of_time, shortened
from cellbench.plugins import parse_cell
from cellbench.record import Point
from cellbench.sweep.events import Finished, Looked, Returned, Started
from cellbench.sweep.plan import Stack, make_plan
from cellbench.sweep.schedule import Schedule
from cellbench.sweep.time_left import TimeLeft

LONG = "hyperlstm(embedding_size=4, hyper_size=32, layer_norm=False)"


def planned(cell: str = "hyperlstm", level: str = "copying-arjovsky/delay-1000", seeds: int = 10):
    """Return a plan of one cell on one level, and a schedule of one stack."""
    plan = make_plan([parse_cell(cell)], [find_task(level)], range(seeds), hidden=8, device="cpu")
    (job,) = plan.jobs
    schedule = Schedule((Stack(plan.units),), plan.jobs, 1, {job.key: 0.1}, {job.key: 60.0})
    return plan, schedule


def looked(unit, step: int) -> Looked:
    return Looked(unit, Point(step=step, train_loss=1.0, metric=0.98765, elapsed_s=step / 10))


def ended(unit, steps: int) -> Finished:
    made = replace(trial(), unit_id=unit.unit_id, seed=unit.seed, steps=steps, train_s=steps / 10)
    return Finished(unit, made)


def frames(schedule, events, width: int = 80) -> list[str]:
    """Return what is on the screen after each of `events`, 100 s apart."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    ticks = itertools.count(0.0, 100.0)
    progress = bars(console)
    display = Display(progress, schedule, len(schedule.jobs), lambda: next(ticks))
    found = []
    for event in events:
        display.show(event)
        with console.capture() as capture:
            console.print(progress.get_renderable())
        found.append(capture.get())
    return found


def whole_run(plan, schedule):
    (stack,) = schedule.stacks
    return [
        Started(stack),
        *(looked(unit, 5000) for unit in stack.units),
        ended(stack.units[0], 5000),
        *(looked(unit, 10_000) for unit in stack.units[1:]),
        *(ended(unit, 10_000) for unit in stack.units[1:]),
        Started(plan.jobs[0]),
        Finished(plan.jobs[0], measurement()),
    ]


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("cell", ["lstm", LONG])
def test_the_display_stays_within_the_terminal(cell, width) -> None:
    plan, schedule = planned(cell)
    screens = frames(schedule, whole_run(plan, schedule), width)

    assert max(len(line) for screen in screens for line in screen.splitlines()) <= width


def test_at_eighty_columns_nothing_that_counts_is_cut() -> None:
    plan, schedule = planned(LONG)
    screens = frames(schedule, whole_run(plan, schedule))
    wanted = ("10 seeds", "5000/10000", "accuracy 0.9877", "1/10", "min left", "measuring")

    for part in wanted:
        assert any(part in screen for screen in screens), part


def test_time_left_comes_with_the_first_look_and_has_a_lower_end_after_the_first_result() -> None:
    _, schedule = planned(seeds=2)
    (stack,) = schedule.stacks
    one, other = stack.units
    events = [Started(stack), looked(one, 5000), looked(other, 5000), ended(one, 5000)]
    started, _, seen, result = frames(schedule, events)

    assert "left" not in started
    assert "up to ~18 min left" in seen
    assert "~1–9 min left" in result


def test_a_stack_has_one_bar_until_its_last_unit_has_ended() -> None:
    _, schedule = planned(seeds=2)
    (stack,) = schedule.stacks
    screens = frames(schedule, [Started(stack), *(ended(unit, 10) for unit in stack.units)])

    assert ["2 seeds" in screen for screen in screens] == [True, True, False]


def test_what_goes_back_to_the_queue_has_no_bar_until_it_is_started_again() -> None:
    _, schedule = planned(seeds=2)
    (stack,) = schedule.stacks
    alone = tuple(Stack((unit,)) for unit in stack.units)
    back = Returned(stack, alone, "each seed alone now: it branches")
    screens = frames(schedule, [Started(stack), back, Started(alone[0])])

    assert ["2 seeds" in screen for screen in screens] == [True, False, False]
    assert ["seed 0" in screen for screen in screens] == [False, False, True]


def test_at_a_terminal_results_are_lines_above_the_bars() -> None:
    plan, schedule = planned("lstm", seeds=1)
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None)
    follow(whole_run(plan, schedule), plan, schedule, console, quiet=False, verbose=False)

    assert "seed 0: solved at step 1500" in file.getvalue()


def piped(events, plan, schedule, **given) -> list[str]:
    console = Console(file=io.StringIO(), width=80)
    follow(events, plan, schedule, console, **{"quiet": False, "verbose": False} | given)
    return console.file.getvalue().splitlines()


def test_in_a_pipe_there_is_a_line_a_result_and_no_guess_of_the_time() -> None:
    plan, schedule = planned("lstm", "copying/tiny", seeds=2)
    (stack,) = schedule.stacks
    alone = tuple(Stack((unit,)) for unit in stack.units)
    back = Returned(stack, alone, "each seed alone now: it branches")
    events = [
        Started(stack), looked(stack.units[0], 50), back,
        *(ended(unit, 400) for unit in stack.units), Finished(plan.jobs[0], measurement()),
    ]  # fmt: skip

    assert piped(events, plan, schedule) == [
        "lstm @ copying/tiny 2 seeds: each seed alone now: it branches",
        "lstm @ copying/tiny seed 0: solved at step 1500, skill 0.99 (40 s)",
        "lstm @ copying/tiny seed 1: solved at step 1500, skill 0.99 (40 s)",
        "lstm @ copying/delay-10: measured",
    ]
    assert "lstm @ copying/tiny seed 0: step 50: accuracy 0.9877" in piped(
        events, plan, schedule, verbose=True
    )
    assert piped(events, plan, schedule, quiet=True) == []


@pytest.mark.parametrize(
    ("low_s", "high_s", "told"),
    [
        (None, 59, "under 1 min left"), (0, 59, "under 1 min left"),
        (None, 800, "up to ~13 min left"), (200, 800, "~3–13 min left"),
        (790, 800, "~13 min left"), (None, 7200, "up to ~2.0 h left"),
        (600, 12_600, "~0.2–3.5 h left"), (12_600, 12_700, "~3.5 h left"),
        (20, 800, "~0–13 min left"),
    ],
)  # fmt: skip
def test_time_is_told_as_roughly_as_it_is_known(low_s, high_s, told) -> None:
    assert of_time(TimeLeft(high_s, low_s)) == told


def test_nothing_is_told_of_what_nobody_knows() -> None:
    assert of_time(None) == ""


def test_a_name_is_shortened_in_its_middle() -> None:
    assert shortened("lstm @ copying/tiny seed 0", 30) == "lstm @ copying/tiny seed 0"
    assert shortened("hyperlstm @ copying/delay-1000 seed 12", 24) == "hyperlstm @ cop… seed 12"
    assert all(len(shortened("x" * 99, width)) == width for width in (12, 30, 98))
