"""A journal with one of each: what worked, what failed, what was refused."""

from __future__ import annotations

from msgspec.structs import replace
from records import ENVIRONMENT, measurement, trial

from cellbench.record import Cost, Failure, Sizes, Speed, Status, Timings, Work

BLOCKS_S = (0.4, 0.2, 0.6, 0.3, 1.0)
"""Of two calls each: 0.2 s a call at the median."""


def timings(**changes) -> Timings:
    given = {"blocks_s": BLOCKS_S, "calls_per_block": 2, "batch": 16, "time": 8}
    return Timings(**given | {"first_call_s": 1.0} | changes)


def speed(cell: str = "lstm", **changes) -> Speed:
    cost = Cost(timings=timings(), work=Work(operations=1, bytes=1))
    given = {
        "speed_id": f"speed-{cell}-{changes.get('sizes')}",
        "cell": cell,
        "cell_source": "source",
        "sizes": Sizes(time=8, batch=16, input=64, hidden=64),
        "device": "cpu",
        "dtype": "float32",
        "unroll": "auto",
        "status": Status.OK,
        "unrolled": "parallel",
        "parity_error": 0.0,
        "parity_ok": True,
        "train_step": cost,
        "env": "env",
    }
    return Speed(**given | changes)


CRASH = Failure(type="ValueError", message="no", where="mine.py:3")
GOOD = [
    ENVIRONMENT,
    trial(seed=0, commit="abc-dirty"),
    trial(seed=1, skill=0.5, steps_to_solve=None, sequences_to_solve=None),
    measurement(started_at="2026-01-01T00:00:00+00:00", commit="abc"),
    speed(),
]
NOTHING = dict.fromkeys(("test_metric", "skill", "exact_rate", "steps_to_solve"))
BAD = [
    trial("mine.py:Mine", status=Status.CRASHED, error=CRASH, **NOTHING),
    speed("mine.py:Mine", status=Status.CRASHED, error=CRASH, train_step=None, parity_ok=False),
    speed("split", train_step=None, parity_ok=False, warnings=("they differ; not timed",)),
]
OTHER_MACHINE = replace(ENVIRONMENT, digest="other", key=ENVIRONMENT.key | {"device": "Other CPU"})
