"""Stored baselines: what is written, what is refused, what is compared."""

from __future__ import annotations

import pytest
from fake_arms import gate, plan

from cellbench.errors import IncomparableError, NothingMeasuredError, OptionError, StoreError
from cellbench.regress.stored import against, read_stored, save
from cellbench.verdicts import Stage, Verdict


def alone(head, **given):
    made = gate(plan(level=""), head, **given)
    made.commits = {"head": given.pop("commit", "h" * 40)}
    return made


def stored(path, head=None):
    made = alone(head or {})
    made.count()
    made.time(Stage.FIRST, made.timeable())
    save(made, path)
    return read_stored(path)


@pytest.mark.parametrize(
    ("head", "verdict"), [({}, "equivalent"), ({"slower": {"slow": 1.2}}, "regressed")]
)
def test_head_is_judged_by_its_ratio_to_the_control(tmp_path, head, verdict) -> None:
    baseline = stored(tmp_path / "b.jsonl")
    found = against(baseline, alone(head))
    (seen,) = [f for f in found if (f.cell, f.metric) == ("slow", "train_step")]

    assert seen.verdict.value == verdict


def test_a_machine_that_is_slower_today_moves_nothing(tmp_path) -> None:
    baseline = stored(tmp_path / "b.jsonl")
    everything = dict.fromkeys(("slow", "steady", "control"), 3.0)
    found = against(baseline, alone({"slower": everything}))

    assert {f.verdict for f in found} == {Verdict.EQUIVALENT}


def test_another_machine_is_refused(tmp_path) -> None:
    path = tmp_path / "b.jsonl"
    stored(path)
    path.write_text(path.read_text().replace('"device":"toy"', '"device":"other"', 1))

    with pytest.raises(IncomparableError, match="another machine: device 'other' and 'toy'"):
        against(read_stored(path), alone({}))


def test_no_baseline_a_torn_one_and_an_empty_one_never_pass(tmp_path) -> None:
    path = tmp_path / "b.jsonl"
    with pytest.raises(NothingMeasuredError, match="There is no baseline"):
        read_stored(path)
    stored(path)
    whole = path.read_text()
    path.write_text(whole[:-5])
    with pytest.raises(StoreError, match="torn"):
        read_stored(path)
    path.write_text(whole.splitlines()[0] + "\n")
    with pytest.raises(NothingMeasuredError, match="nothing to compare with"):
        read_stored(path)


def test_a_cell_that_is_not_in_it_is_new_and_one_that_failed_is_never_stored(tmp_path) -> None:
    baseline = stored(tmp_path / "b.jsonl")
    baseline.facts.pop("steady")
    found = against(baseline, alone({}))
    error = {"type": "X", "message": "m", "where": ""}

    assert [f.verdict for f in found if f.cell == "steady"] == [Verdict.NEW]
    with pytest.raises(OptionError, match="No baseline was written"):
        stored(tmp_path / "c.jsonl", {"broken": {("prepare", "slow"): error}})
    assert not (tmp_path / "c.jsonl").exists()


def test_a_time_limit_holds_against_a_stored_baseline_too(tmp_path) -> None:
    baseline = stored(tmp_path / "b.jsonl")
    made = gate(plan(level="", time_limit_s=1), {}, clock=iter(map(float, range(10_000))).__next__)
    made.commits = {"head": "h" * 40}
    against(baseline, made)

    assert len(made.launches[Stage.FIRST]) == 5
