"""Which commit made it worse: halving a line of commits."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cellbench.errors import OptionError


class Answer(enum.StrEnum):
    """What one commit is, against the good one."""

    WORSE = "worse"
    NOT_WORSE = "not worse"
    CANNOT_TELL = "cannot tell"  # inconclusive, or it cannot be built: it is skipped


Judge = Callable[[str], Answer]


@dataclass(frozen=True)
class Bisected:
    """What was found.

    Attributes:
        answers: Commits that were judged, in that order.
        last_good: Newest commit that is known not to be worse, before the first that is.
        suspects: Commits one of which made it worse, oldest first: one, or those that could not be
            told and the first that is worse. Empty if the ends do not fit.
        problem: Why there is no suspect; "" if there is.
    """

    answers: dict[str, Answer]
    last_good: str = ""
    suspects: tuple[str, ...] = ()
    problem: str = ""


def bisect(commits: Sequence[str], judge: Judge) -> Bisected:
    """Find the commit that made it worse, if once worse it stayed so.

    If it did not stay so, what is found is one commit that is worse while the one before is not;
    there may be others. The ends are judged first: a good end that is worse than itself says that
    the judge cannot be believed.

    Args:
        commits: The good one, those after it, and the bad one, oldest first.
        judge: Says what a commit is; asked once for each, at most.

    Raises:
        OptionError: There are fewer than two commits, or one twice.
    """
    if len(commits) < 2 or len(set(commits)) < len(commits):  # noqa: PLR2004 -- two ends
        raise OptionError(f"Bisecting needs two commits or more, each once; not {len(commits)}.")
    answers: dict[str, Answer] = {}

    def ask(place: int) -> Answer:
        commit = commits[place]
        answers[commit] = judge(commit)
        return answers[commit]

    problem = _problem(commits, ask)
    if problem:
        return Bisected(answers, problem=problem)
    good, bad = 0, len(commits) - 1
    while (
        place := _middle(good, bad, {n for n, c in enumerate(commits) if c in answers})
    ) is not None:
        found = ask(place)
        if found is Answer.WORSE:
            bad = place
        elif found is Answer.NOT_WORSE:
            good = place
    return Bisected(answers, commits[good], tuple(commits[good + 1 : bad + 1]))


def _problem(commits: Sequence[str], ask: Callable[[int], Answer]) -> str:
    first = ask(0)
    if first is Answer.WORSE:
        return f"{commits[0]} is worse than itself: the noise is too large to find anything in"
    if first is Answer.CANNOT_TELL:
        return f"{commits[0]} cannot be judged against itself: nothing else can be against it"
    last = ask(len(commits) - 1)
    if last is Answer.NOT_WORSE:
        return f"{commits[-1]} is not worse than {commits[0]}: there is nothing to find"
    if last is Answer.CANNOT_TELL:
        return f"of {commits[-1]} it cannot be told whether it is worse than {commits[0]}"
    return ""


def _middle(good: int, bad: int, judged: set[int]) -> int | None:
    """Return the place nearest to the middle that was not judged; None if there is none between."""
    left = [place for place in range(good + 1, bad) if place not in judged]
    return min(left, key=lambda place: (abs(2 * place - good - bad), place), default=None)
