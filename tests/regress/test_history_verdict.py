"""What decides an exit code: changes for the worse that are recent and were not acknowledged."""

from __future__ import annotations

import msgspec
import pytest
from histories import OTHER, SLOWER_FROM, commit, drifting, flat, missing, point
from records import ENVIRONMENT

from cellbench.errors import Exit, NothingMeasuredError, OptionError, StoreError
from cellbench.regress.acknowledged import (
    Acknowledged,
    acknowledge,
    idle,
    path_beside,
    read_acknowledged,
    write_acknowledged,
)
from cellbench.regress.history_verdict import judge
from cellbench.report.history_rows import make_series

MEANT = Acknowledged(commit=commit(SLOWER_FROM)[:9], cell="gru", metric="train_step", reason="more")


def series(points):
    return make_series([ENVIRONMENT, OTHER, *points])


def code(points, *, inconclusive: bool = False, recent: int = 30) -> Exit:
    return judge(series(points), recent).exit(inconclusive=inconclusive)


def test_a_recent_change_for_the_worse_fails() -> None:
    assert code(drifting()) is Exit.REGRESSED


def test_one_for_the_better_and_none_do_not() -> None:
    assert code(drifting(slower=0.8)) is Exit.OK
    assert code(flat(25)) is Exit.OK


def test_an_old_change_does_not() -> None:
    """It is at the 26th of 40: the 15th from the end."""
    assert code(drifting(), recent=15) is Exit.REGRESSED
    assert code(drifting(), recent=14) is Exit.OK


def test_a_machine_that_is_no_longer_used_does_not_fail_for_ever() -> None:
    newer = [point(n, "rnn", env="other") for n in range(40, 60)]

    assert code([*drifting(), *newer]) is Exit.OK
    assert code([*drifting(), *newer], recent=40) is Exit.REGRESSED


def test_what_was_repaired_does_not() -> None:
    sizes = [1.0] * 3 + [2.0] * 3 + [1.0] * 3
    points = [point(n, exact=True, value=size) for n, size in enumerate(sizes)]

    assert code(points[:6]) is Exit.REGRESSED
    assert code(points) is Exit.OK


def test_changes_of_the_reference_are_the_machines() -> None:
    alone = [one for one in drifting() if one.cell == "lstm"]
    slower = [msgspec.structs.replace(one, value=n // 20 + 1.0) for n, one in enumerate(alone)]

    assert series(slower)[0].changes[0].worse
    assert code([*slower, *flat(40, cell="rnn")]) is Exit.OK


def test_a_cell_that_failed_at_its_newest_commit_fails() -> None:
    assert code([*flat(25), missing(point(25))]) is Exit.FAILED
    assert code([*flat(25), missing(point(25)), point(26)]) is Exit.OK


def test_nothing_to_judge_is_never_success() -> None:
    with pytest.raises(NothingMeasuredError, match="None of 1 series"):
        code(flat(19))
    with pytest.raises(NothingMeasuredError):
        code([one for one in drifting() if one.cell == "lstm"])


def test_one_that_cannot_be_judged_is_inconclusive_where_that_is_asked() -> None:
    points = [*flat(25), *flat(7, cell="rnn")]

    assert code(points) is Exit.OK
    assert code(points, inconclusive=True) is Exit.INCONCLUSIVE
    assert code(flat(25), inconclusive=True) is Exit.OK


def test_a_cell_that_is_no_longer_measured_cannot_be_judged() -> None:
    points = [*flat(60), *flat(25, cell="rnn")]

    assert [one.cell for one in judge(series(points)).unknown] == ["rnn"]


def test_what_was_acknowledged_does_not_fail() -> None:
    found = acknowledge(series(drifting()), [MEANT])

    assert judge(found).exit(inconclusive=False) is Exit.OK
    assert found[0].changes[0].acknowledged == "more"
    assert idle(found, [MEANT]) == []


@pytest.mark.parametrize("off", [-2, -1, 1, 2])
def test_a_change_may_move_by_two_commits(off) -> None:
    near = msgspec.structs.replace(MEANT, commit=commit(SLOWER_FROM + off))

    assert not judge(acknowledge(series(drifting()), [near])).worse


@pytest.mark.parametrize(
    "other",
    [{"cell": "rnn"}, {"metric": "inference"}, {"commit": commit(3)}, {"commit": commit(28)}],
)
def test_an_acknowledgement_of_something_else_does_not_help(other) -> None:
    entry = msgspec.structs.replace(MEANT, **other)
    found = acknowledge(series(drifting()), [entry])

    assert judge(found).worse
    assert idle(found, [entry]) == [entry]


def test_what_is_written_is_read(tmp_path) -> None:
    path = path_beside(tmp_path / "history.jsonl")
    quoted = msgspec.structs.replace(MEANT, reason='a "better" gate\\ – über')
    for entry in (MEANT, quoted):
        change = write_acknowledged(path, entry, series(drifting()))
        assert change.after == commit(SLOWER_FROM)

    assert path.name == "history-acknowledged.toml"
    assert read_acknowledged(path) == (MEANT, quoted)


@pytest.mark.parametrize(
    "bad", [{"commit": commit(3)}, {"cell": "grru"}, {"reason": " "}, {"commit": "2525"}]
)
def test_what_is_no_change_cannot_be_acknowledged(tmp_path, bad) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(OptionError):
        write_acknowledged(path, msgspec.structs.replace(MEANT, **bad), series(drifting()))

    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "acknowledged = 3",
        "[[acknowledged]]\ncommit = 'abcdefg'",
        "[[acknowledged]]\ncommit='abcdefg'\ncell='a'\nmetric='m'\nreason=''",
        "[[acknowledged]]\ncommit='abc'\ncell='a'\nmetric='m'\nreason='r'",
        "[[acknowledged]]\ncommit='abcdefg'\ncell='a'\nmetric='m'\nreason='r'\nwhy=1",
        "[[accepted]]\n",
        "not toml",
    ],
)
def test_a_file_that_is_damaged_acknowledges_nothing(tmp_path, text) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)

    with pytest.raises(StoreError, match=r"a\.toml"):
        read_acknowledged(path)
