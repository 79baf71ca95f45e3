"""What to time: the cross of cells and sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import msgspec

from cellbench.plugins import CellSpec
from cellbench.record import AnyLine, Sizes, Status
from cellbench.store.journal import speeds
from cellbench.sweep.plan import digest
from cellbench.unroll import Carrier, Way

TIME_LIMIT_S = 900.0
"""How long one cell at one size may take, in all."""


@dataclass(frozen=True, slots=True)
class SpeedJob:
    """One cell at one size with one group of settings.

    Attributes:
        spec: The cell and its options.
        sizes: Steps, batch, features.
        device: Kind of device.
        dtype: Of parameters and inputs.
        unroll: How to carry it through time, as asked.
        time_limit_s: After which it is given up.
    """

    spec: CellSpec
    sizes: Sizes
    device: str
    dtype: str
    unroll: Way
    time_limit_s: float = TIME_LIMIT_S

    @property
    def carrier(self) -> Carrier:
        """A new carrier for it."""
        return Carrier(self.unroll)

    def speed_id(self, env: str) -> str:
        """Digest of cell, its source, sizes, settings and environment; not of the time limit."""
        spec, sizes = self.spec, msgspec.to_builtins(self.sizes)
        kind = (self.device, self.dtype, self.unroll.value)
        return digest("speed", spec.text, spec.source_digest, sizes, *kind, env)

    def __str__(self) -> str:
        sizes = self.sizes
        return f"{self.spec.text} T={sizes.time} B={sizes.batch} H={sizes.hidden}"


def make_speed_jobs(
    cells: Sequence[CellSpec],
    *,
    times: Sequence[int],
    batches: Sequence[int],
    hiddens: Sequence[int],
    device: str,
    dtype: str,
    unroll: Way,
    time_limit_s: float = TIME_LIMIT_S,
) -> tuple[SpeedJob, ...]:
    """Cross cells and sizes; as many input features as hidden ones, as in a stack of layers.

    Small sizes first, and all cells at one size before the next, so that a run cut short can be
    compared.
    """
    return tuple(
        SpeedJob(
            spec,
            Sizes(time=time, batch=batch, input=hidden, hidden=hidden),
            device,
            dtype,
            unroll,
            time_limit_s,
        )
        for hidden, batch, time, spec in product(
            sorted(hiddens), sorted(batches), sorted(times), cells
        )
    )


def timed_before(lines: Iterable[AnyLine]) -> dict[str, float | None]:
    """Return the ids of what has been timed -> the limit it ran out of; None if it did not.

    A failure is a result, and is not tried again. But what ran out of a smaller limit than
    today's is: see `is_timed`.
    """
    return {
        speed.speed_id: speed.time_limit_s if speed.status is Status.TIMEOUT else None
        for speed in speeds(lines)
    }


def is_timed(job: SpeedJob, env: str, before: dict[str, float | None]) -> bool:
    """Tell whether `job` needs no timing in the environment of digest `env`.

    Args:
        before: See `timed_before`.
    """
    speed_id = job.speed_id(env)
    if speed_id not in before:
        return False
    limit_s = before[speed_id]
    return limit_s is None or job.time_limit_s <= limit_s
