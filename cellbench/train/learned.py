"""What training one model came to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from cellbench.record import Point, Rung, Status, Unrolled
from cellbench.train.scores import Scores


@dataclass(frozen=True, slots=True)
class How:
    """In what way a model was trained; its results are the same in every way, beyond rounding.

    Attributes:
        unrolled: How the cell was carried through time.
        captured: Whether whole training steps were replayed as one CUDA graph, to the end.
        fallback: Why not in the way that was asked for, or that would have been faster.
        parity_error: Of that way against stepwise; 0 for stepwise itself.
        compile_s: Seconds of tracing, compiling and capturing, of the whole stack; in no `train_s`.
        stacked: Seeds that were trained at once.
    """

    unrolled: Unrolled = ""
    captured: bool = False
    fallback: str = ""
    parity_error: float = 0.0
    compile_s: float = 0.0
    stacked: int = 1


@dataclass(slots=True)
class Learned:
    """What training came to.

    Attributes:
        status: OK whether or not the level was solved; DIVERGED; TIMEOUT.
        steps_to_solve: Steps until validation reached the mark; None if it never did.
        test: On the test split, read once, at the end; None if it did not get there.
        ladder: What was learned, tested at other lengths.
        train_s: Seconds in the loop, looks included, the test excluded; of a stack, its share.
        how: In what way.
    """

    status: Status = Status.OK
    reason: str = ""
    curve: list[Point] = field(default_factory=list)
    steps: int = 0
    steps_to_solve: int | None = None
    test: Scores | None = None
    ladder: tuple[Rung, ...] = ()
    train_s: float = 0.0
    how: How = How()

    def note(self, step: int, train_loss: float, seen: Scores, elapsed_s: float) -> None:
        """Add a look at validation; it has diverged if anything in it is not finite."""
        self.steps = step
        finite = seen.finite
        point = Point(
            step=step,
            train_loss=_finite(train_loss),
            metric=seen.metric if finite else None,
            elapsed_s=elapsed_s,
        )
        self.curve.append(point)
        if point.train_loss is None:
            self.reason = f"the training loss became {train_loss:g} by step {step}"
        elif not finite:
            self.reason = f"the validation loss was {seen.loss} at step {step}"
        if self.reason:
            self.status = Status.DIVERGED


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
