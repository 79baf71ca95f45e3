"""Records to test with."""

from __future__ import annotations

from typing import Any

from cellbench.record import (
    Environment,
    Level,
    Measurement,
    Memory,
    Parameters,
    Settings,
    Status,
    Timings,
    Trial,
)

LEVEL = Level(
    id="copying/delay-10",
    version=1,
    digest="level",
    metric="accuracy",
    trivial=0.125,
    perfect=1.0,
    solved=0.99,
    batch=64,
)
SETTINGS = Settings(hidden=64, steps=2000, device="cpu")
ENVIRONMENT = Environment(
    digest="env",
    key={"device": "Some CPU", "torch": "2.13.0", "dtype": "float32", "threads": "1"},
    facts={},
)


def trial(cell: str = "lstm", seed: int = 0, **changes: Any) -> Trial:
    given: dict[str, Any] = {
        "unit_id": f"{cell}-{seed}-{changes.get('settings', SETTINGS)}",
        "cell": cell,
        "cell_source": "source",
        "level": LEVEL,
        "seed": seed,
        "settings": SETTINGS,
        "status": Status.OK,
        "steps": 1500,
        "steps_to_solve": 1500,
        "sequences_to_solve": 96_000,
        "test_metric": 0.995,
        "skill": 0.994,
        "exact_rate": 0.95,
        "train_s": 3.0,
        "env": "env",
    }
    return Trial(**given | changes)


def timings(call_s: float, batch: int = 64) -> Timings:
    return Timings(
        blocks_s=(call_s,) * 5, calls_per_block=1, batch=batch, time=20, first_call_s=call_s
    )


def measurement(cell: str = "lstm", **changes: Any) -> Measurement:
    given: dict[str, Any] = {
        "measurement_id": f"{cell}-{changes.get('env', 'env')}",
        "cell": cell,
        "cell_source": "source",
        "level": LEVEL,
        "settings": SETTINGS,
        "status": Status.OK,
        "unrolled": "parallel",
        "parity_error": 1e-7,
        "parity_ok": True,
        "parameters": Parameters(cell=19_456, hyper=0, model=20_041),
        "operations": 37_888,
        "state_bytes": 512,
        "train_step": timings(0.01),
        "inference": timings(0.002),
        "streaming": timings(0.00002, batch=1),
        "memory": Memory(static_bytes=320_000, peak_allocated_bytes=11 << 20),
        "env": "env",
    }
    return Measurement(**given | changes)
