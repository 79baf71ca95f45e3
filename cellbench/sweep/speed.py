"""How fast a cell is at one size: parity first, then the machine's ceilings, then the timing."""

from __future__ import annotations

import math

import torch
from msgspec.structs import replace
from torch import Tensor

from cellbench.cells.base import Cell, State
from cellbench.measure.precision import precision_flags, set_precision
from cellbench.measure.replay import CudaRecorder, Recorder, with_replay
from cellbench.measure.roofline import measure_ceilings
from cellbench.measure.timing import Stopwatch, stopwatch, time_blocks
from cellbench.record import Ceilings, Cost, Failure, Speed, Status
from cellbench.sweep.calls import Call, Inference, OneStep, TrainStep
from cellbench.sweep.failure import failure
from cellbench.sweep.speed_jobs import SpeedJob
from cellbench.sweep.worker import now
from cellbench.unroll import Carrier

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}

MOST_ERROR = 0.1
"""Largest parity error that may be rounding, in any dtype. Numbers of bfloat16 lie 0.8 % apart;
after 64 steps our own cells' ways differ by 1 to 3 %, gradients included."""

TRAINING_CALLS = 2000
"""For how many training steps "auto" chooses the way: as many as a usual task's budget has."""

BUDGET_S = 0.5
"""Seconds of timed blocks of each kind of call."""

FLAGS_CHANGED = "the cell changed torch's precision flags; its speed is not comparable"


def measure_speed(
    found: Speed,
    cell: Cell,
    carrier: Carrier,
    watch: Stopwatch,
    *,
    ceilings: Ceilings | None = None,
) -> Speed:
    """Return `found` with everything filled in.

    Args:
        found: Says what is asked for.
        cell: On the device, in the dtype.
        carrier: Carries it through time; not prepared yet.
        watch: Times on that device.
        ceilings: The machine's, if they are known.
    """
    set_precision()
    flags = precision_flags()
    like = next(cell.parameters()).detach()
    x = like.new_empty(found.sizes.time, found.sizes.batch, cell.input_size).normal_()
    found = prepared(found, cell, carrier, x)
    if not found.parity_ok:
        return found
    inference = Inference(cell, carrier, x)
    y, state = inference()
    if not is_finite(y):
        return _diverged(found, "before timing")
    ceilings = ceilings or measure_ceilings(x.device, x.dtype, watch)
    calls = {
        "train_step": TrainStep(cell, carrier, x),
        "inference": inference,
        "streaming": OneStep(cell, state, 1),
        "streaming_batch": OneStep(cell, state, found.sizes.batch),
    }
    costs = {name: _cost(call, state, watch) for name, call in calls.items()}
    if not is_finite(inference()[0]):
        return _diverged(found, "after timing")
    changed = precision_flags() != flags
    if x.is_cuda:  # last: an attempt that fails may leave the device useless
        recorder = CudaRecorder(x.device)
        costs = {name: _replayed(c, calls[name], recorder, watch) for name, c in costs.items()}
    warnings = (FLAGS_CHANGED,) if changed else ()
    return replace(found, ceilings=ceilings, warnings=warnings, **costs)


def prepared(found: Speed, cell: Cell, carrier: Carrier, x: Tensor) -> Speed:
    """Settle how `cell` is carried over inputs like `x`; return `found` with what came of it.

    Unless it is `parity_ok`, the cell must not be timed; its only warning says why.
    """
    carried = carrier.prepare(cell, x, calls=TRAINING_CALLS)
    error = carried.parity_error
    ok = carried.parity_ok and error <= MOST_ERROR
    differs = carried.fallback or f"{carried.way} and stepwise differ by {error:.1e}"
    return replace(
        found,
        unrolled=carried.way.value,
        fallback=carried.fallback,
        compile_s=carried.compile_s,
        parity_error=error if math.isfinite(error) else None,
        parity_ok=ok,
        warnings=() if ok else (f"{differs}; not timed",),
    )


def is_finite(y: Tensor) -> bool:
    """Tell whether all of `y` is: arithmetic on NaN is not the cell's."""
    return bool(torch.isfinite(y).all())


def _diverged(found: Speed, when: str) -> Speed:
    """Return a row without speeds: arithmetic on NaN is not the cell's."""
    why = Failure(type="NotFinite", message=f"an output was not finite {when}")
    return replace(found, status=Status.DIVERGED, error=why)


def _cost(call: Call, state: State, watch: Stopwatch) -> Cost:
    call.cell.train(isinstance(call, TrainStep))
    time, batch = call.x.shape[:2]
    timings = time_blocks(
        call, watch, batch=batch, time=time, budget_s=BUDGET_S, refresh=call.refresh
    )
    return Cost(timings=timings, work=call.work(state))


def _replayed(cost: Cost, call: Call, recorder: Recorder, watch: Stopwatch) -> Cost:
    call.cell.train(isinstance(call, TrainStep))
    timings, why = with_replay(cost.timings, call, recorder, watch, refresh=call.refresh)
    return replace(cost, timings=timings, unreplayed=why)


def run_speed(job: SpeedJob, device: torch.device, env: str) -> Speed:
    """Time a cell; alone on the machine, in a process that holds nothing else."""
    blank = blank_speed(job, env)
    try:
        torch.manual_seed(0)  # for torch's own initialisations
        cell = job.spec.build(job.sizes.input, job.sizes.hidden)
        cell = cell.to(device=device, dtype=DTYPES[job.dtype])
        return measure_speed(blank, cell, job.carrier, stopwatch(device))
    except Exception as error:  # noqa: BLE001 -- whatever a cell does is a row
        return failed_speed(job, env, *failure(error))


def failed_speed(job: SpeedJob, env: str, status: Status, error: Failure) -> Speed:
    """Return the row of a job that could not be timed."""
    return replace(blank_speed(job, env), status=status, error=error)


def blank_speed(job: SpeedJob, env: str) -> Speed:
    """Return the record of `job` before anything was found."""
    return Speed(
        speed_id=job.speed_id(env),
        cell=job.spec.text,
        cell_source=job.spec.source_digest,
        sizes=job.sizes,
        device=job.device,
        dtype=job.dtype,
        unroll=job.unroll.value,
        status=Status.OK,
        time_limit_s=job.time_limit_s,
        started_at=now(),
        env=env,
    )
