"""Bisecting, with judges made up: what is asked, what is found, what is left open."""

from __future__ import annotations

import itertools
import math

import pytest

from cellbench.errors import OptionError
from cellbench.regress.bisect import Answer, bisect

LETTERS = {"-": Answer.NOT_WORSE, "+": Answer.WORSE, "?": Answer.CANNOT_TELL}


def find(answers: str):
    """Bisect commits c0, c1, ..., each with a letter's answer."""
    commits = [f"c{n}" for n in range(len(answers))]
    return bisect(commits, lambda commit: LETTERS[answers[int(commit[1:])]])


@pytest.mark.parametrize("length", [2, 3, 10, 33])
def test_every_first_commit_is_found_in_as_few_questions_as_halving_needs(length) -> None:
    for first in range(1, length):
        found = find("-" * first + "+" * (length - first))

        assert found.suspects == (f"c{first}",)
        assert found.last_good == f"c{first - 1}"
        assert len(found.answers) <= 2 + math.ceil(math.log2(length - 1))


@pytest.mark.parametrize(
    ("answers", "suspects"),
    [
        ("-?+", ["c1", "c2"]),
        ("-?????+", ["c1", "c2", "c3", "c4", "c5", "c6"]),
        ("--?++", ["c2", "c3"]),
        ("-?-+?+", ["c3"]),
        ("--??-+", ["c5"]),
        ("-+??++", ["c1"]),
        ("-?+??+", ["c1", "c2"]),
    ],
)
def test_what_cannot_be_told_is_skipped_and_the_answer_is_a_range(answers, suspects) -> None:
    found = find(answers)

    assert list(found.suspects) == suspects
    assert found.problem == ""


@pytest.mark.parametrize("middle", list(itertools.product("-+?", repeat=5)), ids="".join)
def test_whatever_is_answered_the_range_begins_behind_a_good_and_ends_with_a_worse(middle) -> None:
    """All answers there are for seven commits, those that go back and forth among them."""
    answers = "-" + "".join(middle) + "+"
    found = find(answers)
    *open_, last = [int(commit[1:]) for commit in found.suspects]

    assert answers[last] == "+"
    assert answers[int(found.last_good[1:])] == "-"
    assert all(answers[n] == "?" for n in open_)
    assert [*open_, last] == list(range(int(found.last_good[1:]) + 1, last + 1))


@pytest.mark.parametrize(
    ("answers", "asked", "problem"),
    [
        ("+-+", 1, "worse than itself"),
        ("?-+", 1, "cannot be judged against itself"),
        ("-++-", 2, "nothing to find"),
        ("-+?", 2, "cannot be told"),
    ],
)
def test_ends_that_do_not_fit_find_nobody_guilty(answers, asked, problem) -> None:
    found = find(answers)

    assert found.suspects == ()
    assert problem in found.problem
    assert len(found.answers) == asked


@pytest.mark.parametrize("commits", [[], ["a"], ["a", "b", "a"]])
def test_fewer_than_two_commits_are_refused(commits) -> None:
    with pytest.raises(OptionError, match="two commits"):
        bisect(commits, lambda _: Answer.WORSE)


def test_no_commit_is_judged_twice() -> None:
    asked: list[str] = []

    def judge(commit: str) -> Answer:
        asked.append(commit)
        return Answer.NOT_WORSE if int(commit) < 70 else Answer.WORSE

    bisect([str(n) for n in range(100)], judge)

    assert len(asked) == len(set(asked))
