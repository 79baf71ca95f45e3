"""A series in one line of characters."""

from __future__ import annotations

import pytest

from cellbench.report.sparkline import sparkline

RAMP = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7]


def test_as_it_looks() -> None:
    assert sparkline(RAMP, width=8) == "▁▂▃▄▅▆▇█"
    assert sparkline(RAMP, width=8, ascii_only=True) == "_.-=+*#@"


def test_only_the_newest_are_shown() -> None:
    assert sparkline([9.0, *RAMP], width=8) == "▁▂▃▄▅▆▇█"


def test_where_there_is_no_value_there_is_a_gap() -> None:
    assert sparkline([1.0, None, 2.0], width=8) == "▁·█"
    assert sparkline([1.0, None, 2.0], width=8, ascii_only=True) == "_?@"
    assert sparkline([None, None], width=8) == "··"
    assert sparkline([], width=8) == ""


def test_noise_of_one_percent_is_no_mountain() -> None:
    assert sparkline([1.0, 1.01, 1.0, 0.99], width=8) == "▅▅▅▄"


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_what_never_changes_is_a_flat_line(value) -> None:
    assert sparkline([value] * 3, width=8) == "▅▅▅"
