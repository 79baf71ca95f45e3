"""What is left behind by a run: environments, trials, measurements and speeds, a JSON line each.

A *trial* is what training one unit left. A *measurement* is what a cell costs on a level: it
does not depend on the seed, and is taken after all training, alone on the machine; so it is a
line of its own, and a crash between the two loses neither. A *speed* is what a cell costs by
itself, without a task, at one size. An *environment* says on what they were made; the others
refer to it by its digest. A journal is whole by itself, and two journals
are merged by concatenation.

Schema history: 1, first version; 2, settings of models of several cells and of matched sizes;
3, learning rates of a grid: who does not know them takes trials at all rates for so many seeds.
Raise `SCHEMA` when an old reader would misread a new line.
"""

from __future__ import annotations

import enum
import statistics
from typing import Any, Literal

import msgspec

SCHEMA = 3


class Status(enum.StrEnum):
    """How a trial or a measurement ended: a failure is a row, not a gap."""

    OK = "ok"
    DIVERGED = "diverged"  # the loss or an output is not finite
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    SKIPPED = "skipped"


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every line of a journal has."""

    schema: int = SCHEMA


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no result.

    Attributes:
        type: Name of the exception.
        message: What it said, in one line.
        where: The innermost frame outside torch, as `file.py:line`, if known.
    """

    type: str
    message: str
    where: str = ""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the validation split.

    Attributes:
        step: Training steps done.
        train_loss: Mean loss over the steps since the last look; None if not finite.
        metric: The level's metric on validation; None if not finite.
        elapsed_s: Seconds of training so far, looks included.
    """

    step: int
    train_loss: float | None
    metric: float | None
    elapsed_s: float


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit fixes besides cell, level and seed.

    Attributes:
        hidden: Features of the cell's output.
        steps: Most training steps.
        device: Kind of device, "cpu" or "cuda".
        dtype: Of parameters and inputs.
        unroll: How cells are carried through time, as asked: "auto", "stepwise", "compiled",
            "parallel".
        checkpoint: Whether steps are computed again in the backward pass, to save memory.
        depth: Cells one above the other.
        block: What they stand in: "plain" or "residual".
        dropout: Between plain cells, or of what each part of a residual block adds.
        bidirectional: Whether a second network reads the sequence from its end.
        match: What all cells were given alike, by their width: "params", "state" or
            "operations"; "" for the same width.
        budget: How much of that: numbers, bytes, or operations a step; 0 without `match`.
        learning_rate: Of a grid of rates, this one; 0 for the level's own. A measurement has 0:
            what a cell costs does not depend on it.
    """

    hidden: int
    steps: int
    device: str
    dtype: str = "float32"
    unroll: str = "auto"
    checkpoint: bool = False
    depth: int = 1
    block: str = "plain"
    dropout: float = 0.0
    bidirectional: bool = False
    match: str = ""
    budget: int = 0
    learning_rate: float = 0.0


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """The level as it was when it was run; never joined with today's task file.

    Attributes:
        digest: Over all that decides a result.
        metric: "accuracy", "exact", "mse" or "excess".
        trivial: Metric of the best predictor that remembers nothing: skill 0.
        perfect: Metric of the oracle: skill 1.
        solved: The mark to reach on validation.
        batch: Sequences a training step.
    """

    id: str
    version: int
    digest: str
    metric: str
    trivial: float
    perfect: float
    solved: float
    batch: int


class Environment(Line, frozen=True, kw_only=True, tag="environment"):
    """The machine, the software and the flags that other lines refer to.

    Attributes:
        digest: Of `facts` and `key`.
        key: The facts that must agree before two speeds may be compared.
        facts: Everything else that was found, for a reader.
    """

    digest: str
    key: dict[str, str]
    facts: dict[str, Any]


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned at one length, tested at another.

    Attributes:
        length: As the generator counts it.
        sequences: Of the test split there.
        metric: The level's metric; None if it did not come to one.
        skill: Of that metric, with the trivial one of this length; likewise.
        exact_rate: Share of sequences with every scored position right, where there is one.
        reason: Why there is no metric; "" if there is.
    """

    length: int
    sequences: int
    metric: float | None = None
    skill: float | None = None
    exact_rate: float | None = None
    reason: str = ""


Unrolled = Literal["", "stepwise", "compiled", "parallel"]
"""How a cell was carried through time; "" where it did not come to that."""


class Trial(Line, frozen=True, kw_only=True, tag="trial"):
    """What training one unit left.

    Attributes:
        unit_id: Digest of cell, its source, level, seed and settings.
        cell: Canonical cell expression.
        cell_source: Digest of the file that defines the cell.
        time_limit_s: What it was allowed; None for no limit.
        curve: Every look at validation, oldest first.
        steps: Training steps done.
        steps_to_solve: Steps until validation first reached the mark; None if it never did.
        sequences_to_solve: The same in sequences.
        test_metric: On the test split, at the end; None if it did not get there.
        test_loss: Likewise.
        skill: (test metric - trivial) / (perfect - trivial).
        exact_rate: Share of test sequences with every scored position right; for
            regression, and for what is drawn at random, None.
        ladder: The same model at other lengths, shortest first, where the level says so.
        train_s: Seconds of training, looks at validation included, compilation excluded. The
            machine may have been shared: no measure of speed. Of a stack, this seed's share.
        unrolled: How the cell was carried through time: "stepwise", "compiled" or "parallel".
        captured: Whether whole training steps were replayed as one CUDA graph.
        fallback: Why not in the way that was asked for, or that "auto" would have liked.
        parity_error: Largest difference between that way and stepwise, relative to the
            largest output, before training; 0 for stepwise itself.
        compile_s: Seconds of tracing and compiling before the first step.
        stacked: Seeds that were trained at once as one batched model, this one included.
        env: Digest of the environment.
        run_id: The run it came from.
    """

    unit_id: str
    cell: str
    cell_source: str
    level: Level
    seed: int
    settings: Settings
    status: Status
    error: Failure | None = None
    time_limit_s: float | None = None
    curve: tuple[Point, ...] = ()
    steps: int = 0
    steps_to_solve: int | None = None
    sequences_to_solve: int | None = None
    test_metric: float | None = None
    test_loss: float | None = None
    skill: float | None = None
    exact_rate: float | None = None
    ladder: tuple[Rung, ...] = ()
    train_s: float = 0.0
    unrolled: Unrolled = ""
    captured: bool = False
    fallback: str = ""
    parity_error: float | None = None
    compile_s: float = 0.0
    stacked: int = 1
    started_at: str = ""
    commit: str = ""
    env: str = ""
    run_id: str = ""


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How long repeated blocks of calls took; raw, in the order they ran, never trimmed.

    Attributes:
        blocks_s: Wall seconds of each block, the device's work included.
        device_blocks_s: Seconds of each block between two events on the device; empty on CPU.
            Gaps in which the device waits for the next launch are in them.
        replay_blocks_s: Seconds on the device of blocks of as many calls, each replayed as one
            CUDA graph: launches cost nothing there. Empty where there is no such graph.
        calls_per_block: Calls between two readings of the clock.
        batch: Sequences a call.
        time: Steps of each sequence a call.
        first_call_s: The first call of all: lazy set-up, compilation.
    """

    blocks_s: tuple[float, ...]
    device_blocks_s: tuple[float, ...] = ()
    replay_blocks_s: tuple[float, ...] = ()
    calls_per_block: int
    batch: int
    time: int
    first_call_s: float

    @property
    def call_s(self) -> float:
        """Seconds of one call at the median block: one slow block does not move it."""
        return statistics.median(self.blocks_s) / self.calls_per_block

    @property
    def device_call_s(self) -> float | None:
        """The same between two events on the device."""
        blocks = self.device_blocks_s
        return statistics.median(blocks) / self.calls_per_block if blocks else None

    @property
    def replay_call_s(self) -> float | None:
        """The same, replayed as a CUDA graph."""
        blocks = self.replay_blocks_s
        return statistics.median(blocks) / self.calls_per_block if blocks else None

    @property
    def sequences_per_s(self) -> float:
        """Sequences that went through in a second, at the median block."""
        return self.batch / self.call_s


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of one training step; None where this device cannot tell.

    Attributes:
        static_bytes: Parameters, gradients and optimiser state.
        peak_allocated_bytes: Most tensor memory held at once; static included.
        peak_reserved_bytes: Most the caching allocator held (CUDA).
        process_bytes: Most the whole process held: resident set (CPU), NVML (CUDA).
        alloc_retries: Times the allocator had to free its cache and try again (CUDA).
    """

    static_bytes: int
    peak_allocated_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    process_bytes: int | None = None
    alloc_retries: int | None = None


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """How many numbers are learned.

    Attributes:
        cell: In the cell, `hyper` included.
        hyper: In the parts of the cell that make weights for the rest of it.
        model: In all: embedding, cell and read-out.
    """

    cell: int
    hyper: int
    model: int


class Measurement(Line, frozen=True, kw_only=True, tag="measurement"):
    """What a cell costs on a level.

    Attributes:
        measurement_id: Digest of cell, its source, level, settings and environment.
        unrolled: How the cell was carried through time: "stepwise", "compiled" or "parallel".
        fallback: Why not in the way that was asked for.
        compile_s: Seconds of tracing and compiling, in no timing.
        parity_error: Largest difference between that way and stepwise, relative to the
            largest output; 0 for stepwise itself. Measured before any timing.
        parity_ok: Whether the error is one of rounding. If not, there are no timings.
        operations: Floating-point operations of matrix products in one step of one sequence,
            forward, projection included; from the cell's stepwise form.
        state_bytes: Size of the state of one sequence, walked, after `time` steps.
        state_grows: Whether that depends on the number of steps.
        train_step: Forward, backward, clipping and optimiser, of the level's batch.
        inference: Forward over whole sequences without gradients, of the level's batch.
        streaming: One step of one sequence without gradients: latency.
        warnings: What makes the timings hard to trust, and what to do.
    """

    measurement_id: str
    cell: str
    cell_source: str
    level: Level
    settings: Settings
    status: Status
    error: Failure | None = None
    unrolled: Unrolled = ""
    fallback: str = ""
    compile_s: float = 0.0
    parity_error: float | None = None
    parity_ok: bool = False
    parameters: Parameters | None = None
    operations: int | None = None
    state_bytes: int | None = None
    state_grows: bool = False
    train_step: Timings | None = None
    inference: Timings | None = None
    streaming: Timings | None = None
    memory: Memory | None = None
    warnings: tuple[str, ...] = ()
    started_at: str = ""
    commit: str = ""
    env: str = ""
    run_id: str = ""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """What a cell is timed on: steps, sequences at once, features in and out."""

    time: int
    batch: int
    input: int
    hidden: int


class Ceilings(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine can do at best: measured in the process that timed the cell.

    Attributes:
        operations_per_s: Of one large matrix product, by the quickest of torch's libraries; a
            multiply-add is two.
        bytes_per_s: Read and written, of one large copy.
    """

    operations_per_s: float
    bytes_per_s: float


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What one call must do at least, however it is done.

    Attributes:
        operations: Of matrix products; from the cell's stepwise form. A multiply-add is two.
        bytes: To and from memory.
    """

    operations: int
    bytes: int


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of call took, and what it had to do.

    Attributes:
        unreplayed: Why it could not be replayed as a CUDA graph; "" if it was, or on a CPU.
    """

    timings: Timings
    work: Work
    unreplayed: str = ""


COSTS = {
    "train_step": "train step",
    "inference": "inference",
    "streaming": "one step",
    "streaming_batch": "batch step",
}
"""The kinds of call of a `Speed`, and what they are called."""


class Speed(Line, frozen=True, kw_only=True, tag="speed"):
    """How fast a cell is at one size, by itself: no task, embedding, read-out or optimiser.

    Attributes:
        speed_id: Digest of cell, its source, sizes, settings and environment.
        device: Kind of device, "cpu" or "cuda".
        dtype: Of parameters and inputs.
        unroll: How the cell should be carried through time, as asked.
        time_limit_s: What it was allowed.
        unrolled: How it was; see `Trial`, and there for `fallback` and `parity_error` too.
        compile_s: Seconds of tracing and compiling, in no timing.
        parity_ok: Whether the parity error is one of rounding. If not, there are no costs.
        ceilings: The machine's.
        train_step: Forward, and backward from a random cotangent on all outputs to the inputs
            and all parameters. No loss, clipping or optimiser.
        inference: Forward over whole sequences without gradients.
        streaming: One step of one sequence without gradients, its projection included.
        streaming_batch: One step of the whole batch, likewise.
        warnings: What makes the timings hard to trust, and what to do.
    """

    speed_id: str
    cell: str
    cell_source: str
    sizes: Sizes
    device: str
    dtype: str
    unroll: str
    status: Status
    error: Failure | None = None
    time_limit_s: float | None = None
    unrolled: Unrolled = ""
    fallback: str = ""
    compile_s: float = 0.0
    parity_error: float | None = None
    parity_ok: bool = False
    ceilings: Ceilings | None = None
    train_step: Cost | None = None
    inference: Cost | None = None
    streaming: Cost | None = None
    streaming_batch: Cost | None = None
    warnings: tuple[str, ...] = ()
    started_at: str = ""
    commit: str = ""
    env: str = ""
    run_id: str = ""

    @property
    def costs(self) -> dict[str, Cost]:
        """The costs that there are, by their names in `COSTS`."""
        found = {name: getattr(self, name) for name in COSTS}
        return {name: cost for name, cost in found.items() if cost is not None}


Record = Trial | Measurement
AnyLine = Environment | Trial | Measurement | Speed
