"""Plots of characters: markers where they belong, and nothing outside the frame."""

from __future__ import annotations

import pytest

from cellbench.report.plot import MARKERS, SEVERAL, plot

WRITE = {"write_x": lambda x: f"{x:.0f}", "write_y": lambda y: f"{y:.3g}"}
SQUARES = [(1, 1), (10, 100), (100, 10_000)]


def test_a_power_is_a_straight_line() -> None:
    assert plot({"lstm": SQUARES}, title="squares", width=27, height=5, **WRITE) == [
        "squares",
        "1e+04 ┤                 ··●",
        "      │             ····",
        "  100 ┤        ··●··",
        "      │   ·····",
        "    1 ┤●··",
        "      └┬─────────┬────────┬",
        "       1        10      100",
        "       ● lstm",
    ]


def test_where_two_lines_meet_it_says_several() -> None:
    lines = plot({"a": SQUARES, "b": [(1, 1), (100, 100)]}, title="", width=30, height=6, **WRITE)
    text = "\n".join(lines)

    assert (text.count("●"), text.count("○"), text.count(SEVERAL)) == (2 + 1, 1 + 1, 1 + 1)
    assert lines[-1].strip() == f"● a   ○ b   {SEVERAL} several"


def test_markers_stand_over_lines_whichever_is_drawn_first() -> None:
    crossing = {"a": [(1, 1), (100, 100)], "b": [(1, 10), (10, 10), (100, 10)]}
    for lines in (crossing, dict(reversed(crossing.items()))):
        field = "".join(plot(lines, title="", width=40, height=9, **WRITE)[1:10])

        assert sum(field.count(marker) for marker in MARKERS[:2]) == 5


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_line_is_wider_than_it_is_told(width) -> None:
    names = {f"a_cell_of_some_name_{n}": [(2**n, 3**n), (2**n * 5, 4**n)] for n in range(12)}
    lines = plot(names, title="t", width=width, **WRITE)
    text = "\n".join(lines)

    assert max(map(len, lines)) <= width
    for name in names:
        assert name in text


def test_one_point_is_in_the_middle() -> None:
    lines = plot({"lstm": [(5, 3)]}, title="", width=20, height=5, **WRITE)

    assert "●" in lines[3]


def test_labels_that_have_no_room_are_left_out_and_their_ticks_stay() -> None:
    points = [(x, x) for x in (1000, 1001, 1002, 2000)]
    *_, axis, labels, _ = plot({"a": points}, title="", width=40, height=4, **WRITE)

    assert labels.split() == ["1000", "2000"]
    assert axis.count("┬") == 2, "three of them fall together"


def test_without_a_point_there_is_no_plot() -> None:
    assert plot({"lstm": []}, title="squares", **WRITE) == []
