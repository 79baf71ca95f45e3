"""Seconds of training, shared out among the seeds that are trained at once."""

from __future__ import annotations

from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since some fixed moment."""


class Watch:
    """Runs from when it is made: of n seeds on their way, 1/n of the time falls to each.

    Args:
        clock: What it reads.
        seeds: How many are on their way.
    """

    def __init__(self, clock: Clock, seeds: int) -> None:
        self._clock = clock
        self._seeds = seeds
        self._before_s = 0.0
        self._since = clock()

    def share_s(self) -> float:
        """Return the seconds that have fallen to each seed that is still on its way."""
        return self._before_s + (self._clock() - self._since) / self._seeds

    def stop(self) -> float:
        """Stop, and return the share."""
        self._before_s = self.share_s()
        return self._before_s

    def go_on(self, seeds: int) -> None:
        """Run again after a stop, for so many seeds."""
        self._seeds = seeds
        self._since = self._clock()
