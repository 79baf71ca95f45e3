"""What a model costs: parity first, then time, memory, operations, sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from msgspec.structs import replace
from torch import Tensor

from cellbench.catalog import Task
from cellbench.cells.base import Cell
from cellbench.generators.stream import Stream
from cellbench.measure.memory import measure_memory, tensor_bytes
from cellbench.measure.operations import count_operations
from cellbench.measure.precision import precision_flags, set_precision
from cellbench.measure.timing import Stopwatch, doubts, stopwatch, time_blocks
from cellbench.record import Measurement, Parameters, Timings
from cellbench.train.draws import Question, draw
from cellbench.train.loop import Trainer
from cellbench.train.model import SequenceModel
from cellbench.unroll import slices, stepwise, unroll


def measure_costs(found: Measurement, model: SequenceModel, task: Task) -> Measurement:
    """Return `found` with everything filled in.

    A cell whose ways through time disagree is not timed: a speed of something else than the
    cell is no speed of it.
    """
    device = next(model.parameters()).device
    set_precision()
    flags = precision_flags()
    question = _questions(task, device)
    x = model.embedding(question.inputs).detach()
    carried = model.carrier.prepare(model.cell, x, calls=found.settings.steps)
    error = carried.parity_error
    found = replace(
        found,
        unrolled=carried.way.value,
        fallback=carried.fallback,
        compile_s=carried.compile_s,
        parity_error=error if math.isfinite(error) else None,
        parity_ok=carried.parity_ok,
        parameters=_parameters(model),
        operations=operations_per_step(model.cell, x),
        state_bytes=state_bytes(model.cell, x),
        state_grows=model.cell.grows,
    )
    if not found.parity_ok:
        return replace(found, warnings=(f"{carried.fallback}; not timed",))
    found = _time(found, model, task, question, x)
    if precision_flags() != flags:
        warning = "the cell changed torch's precision flags; its speed is not comparable"
        return replace(found, warnings=(*found.warnings, warning))
    return found


def _questions(task: Task, device: torch.device) -> Question:
    index = torch.arange(task.budget.batch, device=device)
    return draw(task.generator, Stream(0, "train"), index)


def _time(
    found: Measurement, model: SequenceModel, task: Task, question: Question, x: Tensor
) -> Measurement:
    device, (time, batch) = x.device, x.shape[:2]
    watch = stopwatch(device)
    budget = task.budget
    trainer = Trainer(model, learning_rate=budget.learning_rate, clip=budget.clip)
    train_step = time_blocks(lambda: trainer.step(question), watch, batch=batch, time=time)
    parameters = list(model.parameters())
    kept = tensor_bytes([*parameters, *trainer.state_tensors()])

    def clean() -> None:
        trainer.optimiser.zero_grad(set_to_none=True)
        model.carrier.release()  # what a compiled cell keeps for its next sequence counts as well

    memory = measure_memory(
        lambda: trainer.step(question),
        clean,
        held_bytes=kept + tensor_bytes([question.inputs, question.targets]),
        static_bytes=kept + tensor_bytes(parameters),
        device=device,
    )
    model.eval()
    with torch.no_grad():
        inference = time_blocks(
            lambda: model(question.inputs, start=question.start), watch, batch=batch, time=time
        )
        streaming = None if found.settings.bidirectional else _stream(model.cell, x, watch)
    timings = {"train step": train_step, "inference": inference, "streaming": streaming}
    return replace(
        found,
        train_step=train_step,
        inference=inference,
        streaming=streaming,
        memory=memory,
        warnings=tuple(text for name, t in timings.items() if t for text in doubts(name, t)),
    )


def _stream(cell: Cell, x: Tensor, watch: Stopwatch) -> Timings:
    """Time one step of one sequence, from the state that a sequence leaves."""
    one = x[:, :1].contiguous()
    p, state = cell.project(one[:1]), unroll(cell, one)[1]
    (p_t,) = slices(p)
    return time_blocks(lambda: cell.step(p_t, state), watch, batch=1, time=1)


def operations_per_step(cell: Cell, x: Tensor) -> int:
    """Return the operations of one step of one sequence, its projection included."""
    steps, one = x.shape[0], x[:, :1]
    with torch.no_grad():
        count = count_operations(lambda: stepwise(cell, cell.project(one), cell.initial_state(1)))
    return round(count / steps)


def state_bytes(cell: Cell, x: Tensor) -> int:
    """Return the bytes that one sequence's state takes after as many steps as `x` has."""
    with torch.no_grad():
        _, state = unroll(cell, x[:, :1])
    return sum(part.numel() * part.element_size() for part in state)


def _parameters(model: SequenceModel) -> Parameters:
    return Parameters(
        cell=_count(model.cell.parameters()),
        hyper=_count(model.cell.weight_makers()),
        model=_count(model.parameters()),
    )


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)
