"""Timing a cell with pytest-benchmark's clock and with cellbench's calls, checks and settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, final

import msgspec
import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from cellbench.cells.base import Cell, State
from cellbench.errors import CellbenchError, OptionError
from cellbench.measure.device import choose_device
from cellbench.measure.environment import environment
from cellbench.measure.memory import keep_freed_memory, measure_memory, tensor_bytes
from cellbench.measure.precision import precision_flags
from cellbench.measure.timing import BLOCK_S, MOST_BLOCKS
from cellbench.plugins import parse_cell
from cellbench.pytest_plugin.asked import Asked
from cellbench.pytest_plugin.saved import Saved, another_question, without_partner
from cellbench.record import Environment, Memory, Sizes, Speed
from cellbench.sweep.calls import Call, Inference, OneStep, TrainStep
from cellbench.sweep.machine import settle
from cellbench.sweep.speed import DTYPES, FLAGS_CHANGED, blank_speed, is_finite, prepared
from cellbench.sweep.speed_jobs import SpeedJob
from cellbench.unroll import Carrier, Way

WARMUP = 3
"""Untimed calls, as many as cellbench's own timing makes."""

MIN_TIME_S = 0.000005
"""pytest-benchmark's own default of --benchmark-min-time: nobody asked for another."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A cell that may be timed.

    Attributes:
        found: How it is carried through time.
        state: What it remembers after `x`.
    """

    cell: Cell
    carrier: Carrier
    x: Tensor
    state: State
    found: Speed


@final
class BenchmarkCell:
    """One cell, to be timed by pytest-benchmark: one kind of call, once in a test.

    Args:
        cell: Its expression.
        asked: Sizes, device, dtype, how to carry it through time.
        env: The machine.
        benchmark: pytest-benchmark's fixture.
        saved: Runs that will be compared with.
        warn: Attaches a warning to the test.

    Attributes:
        cell: The expression in canonical form.
    """

    def __init__(
        self,
        cell: str,
        asked: Asked,
        env: Environment,
        benchmark: Any,
        *,
        saved: Sequence[Saved],
        warn: Callable[[Warning], None],
    ) -> None:
        self.cell = cell
        self._asked = asked
        self._env = env
        self._benchmark = benchmark
        self._saved = saved
        self._warn = warn

    def train_step(self) -> None:
        """Time forward over whole sequences, and backward to the inputs and all parameters."""
        self._time("train_step", lambda ready: TrainStep(ready.cell, ready.carrier, ready.x))

    def inference(self) -> None:
        """Time forward over whole sequences, without gradients."""
        self._time("inference", lambda ready: Inference(ready.cell, ready.carrier, ready.x))

    def streaming(self) -> None:
        """Time one step of one sequence without gradients: latency."""
        self._time("streaming", lambda ready: OneStep(ready.cell, ready.state, 1))

    def _time(self, metric: str, make: Callable[[Ready], Call]) -> None:
        benchmark, question = self._benchmark, self._question(metric)
        self._check_partners(question)
        benchmark.extra_info.update(question)
        benchmark.group = benchmark.group or group_name(metric, self._asked)
        with warnings.catch_warnings():
            # torch's compiler uses it; as an error it would leave a cell uncompiled, hence slower
            warnings.filterwarnings("ignore", ".torch.jit", DeprecationWarning)
            self._time_checked(metric, make)

    def _time_checked(self, metric: str, make: Callable[[Ready], Call]) -> None:
        benchmark = self._benchmark
        flags = precision_flags()
        ready = self._ready()
        call = make(ready)
        ready.cell.train(metric == "train_step")
        benchmark.extra_info.update(_facts(ready))
        if benchmark.enabled:
            benchmark.extra_info.update(_memory(call, ready))
            for _ in range(WARMUP):
                call()
        benchmark(call)
        self._check_afterwards(ready, flags)

    def _question(self, metric: str) -> dict[str, Any]:
        asked = self._asked
        return {
            "cell": self.cell,
            "metric": metric,
            "time": asked.time,
            "batch": asked.batch,
            "input": asked.hidden,
            "hidden": asked.hidden,
            "dtype": asked.dtype,
            "unroll": asked.unroll,
            "key": dict(self._env.key),
        }

    def _check_partners(self, question: Mapping[str, Any]) -> None:
        fullname = self._benchmark.fullname
        why = another_question(fullname, question, self._saved)
        if why:
            raise self._refusal(why)
        for run in without_partner(fullname, self._saved):
            self._warn(pytest.PytestWarning(f"not compared: {run} has no {fullname}"))

    def _ready(self) -> Ready:
        """Build the cell, and look whether it may be timed."""
        try:
            cell, carrier, x, found = self._prepared()
        except CellbenchError as error:
            raise self._refusal(str(error)) from None
        if not found.parity_ok:
            raise self._refusal("; ".join(found.warnings))
        y, state = Inference(cell, carrier, x)()
        if not is_finite(y):
            raise self._refusal("an output was not finite before timing; not timed")
        return Ready(cell, carrier, x, state, found)

    def _prepared(self) -> tuple[Cell, Carrier, Tensor, Speed]:
        asked = self._asked
        device = torch.device(choose_device(asked.device, "--cellbench-device"))
        sizes = Sizes(time=asked.time, batch=asked.batch, input=asked.hidden, hidden=asked.hidden)
        spec = parse_cell(self.cell, asked.root)
        torch.manual_seed(0)  # for torch's own initialisations, and the inputs
        cell = spec.build(sizes.input, sizes.hidden).to(device, DTYPES[asked.dtype])
        job = SpeedJob(spec, sizes, device.type, asked.dtype, Way(asked.unroll))
        like = next(cell.parameters()).detach()
        x = like.new_empty(sizes.time, sizes.batch, sizes.input).normal_()
        carrier = job.carrier
        return cell, carrier, x, prepared(blank_speed(job, self._env.digest), cell, carrier, x)

    def _check_afterwards(self, ready: Ready, flags: Mapping[str, str]) -> None:
        y, _ = Inference(ready.cell, ready.carrier, ready.x)()
        if not is_finite(y):
            raise self._refusal("an output was not finite after timing")
        if precision_flags() != flags:
            raise self._refusal(FLAGS_CHANGED)

    def _refusal(self, why: str) -> BaseException:
        """Return what fails the test in one line; what was timed of it is not saved."""
        self._benchmark.has_error = True
        return pytest.fail.Exception(f"{self.cell}: {why}", pytrace=False)


def group_name(metric: str, asked: Asked) -> str:
    """Name the table in which cells stand beside one another."""
    if metric == "streaming":
        return f"{metric} H={asked.hidden}"
    return f"{metric} T={asked.time} B={asked.batch} H={asked.hidden}"


def _facts(ready: Ready) -> dict[str, Any]:
    cell, found = ready.cell, ready.found
    return {
        "cell_source": found.cell_source,
        "unrolled": found.unrolled,
        "fallback": found.fallback,
        "compile_s": found.compile_s,
        "parity_error": found.parity_error,
        "parameters": sum(p.numel() for p in cell.parameters()),
        "env": found.env,
    }


def _memory(call: Call, ready: Ready) -> dict[str, Any]:
    """Measure the tensors that one call holds, apart from its time."""
    call()  # lazy set-up is no memory of the call
    held = [v for v in pytree.tree_leaves(list(vars(call).values())) if isinstance(v, Tensor)]
    static = [*ready.cell.parameters(), *ready.cell.buffers()]
    memory: Memory = measure_memory(
        call,
        ready.carrier.release,  # what a compiled cell keeps for its next sequence counts as well
        held_bytes=tensor_bytes([*held, *static]),
        static_bytes=tensor_bytes(static),
        device=ready.x.device,
    )
    found: dict[str, Any] = msgspec.to_builtins(memory)
    del found["process_bytes"]  # of all tests together
    return found


def rounds_of(option: Callable[[str], Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return how pytest-benchmark is to time cells: arguments of its mark.

    A round is a block of calls that takes `BLOCK_S`, unless --benchmark-min-time says otherwise;
    on CUDA the clock waits for the device before it is read, so a round has two synchronisations,
    however many calls are in it: what they cost is 0.1 % of it or less.

    Args:
        option: Returns what the command line says.
        given: Arguments of the mark that the test has.

    Raises:
        DeviceError: The device is none of this machine.
    """
    rounds: dict[str, Any] = {}
    most_s = float(given.get("max_time", option("benchmark_max_time")))
    if float(option("benchmark_min_time")) == MIN_TIME_S:
        rounds["min_time"] = min(BLOCK_S, most_s / MOST_BLOCKS)
    device = torch.device(choose_device(option("cellbench_device"), "--cellbench-device"))
    if device.type == "cuda":
        rounds["timer"] = synchronised(device)
    return rounds


def synchronised(device: torch.device) -> Callable[[], float]:
    """Return a clock that waits for all work queued on `device` before it is read."""

    def synchronised_perf_counter() -> float:
        torch.cuda.synchronize(device)
        return perf_counter()

    return synchronised_perf_counter


def describe(asked: Asked) -> Environment:
    """Describe the machine, with the flags that cells are timed under.

    Raises:
        DeviceError: The device is none of this machine.
    """
    device = torch.device(choose_device(asked.device, "--cellbench-device"))
    with settled(asked.threads):
        return environment(device, asked.dtype, asked.threads)


@contextmanager
def settled(threads: int) -> Iterator[None]:
    """Set what is global in torch as cellbench's workers do, and put it back afterwards.

    But for one thing, which cannot be put back: freed memory is kept for the next allocation.

    Raises:
        OptionError: Something else in this process set torch's precision in its newer way.
    """
    keep_freed_memory()
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    matmul, cudnn = _switches()
    with torch.random.fork_rng():
        settle(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_default_dtype(before[1])
            torch.set_grad_enabled(before[2])
            with suppress(RuntimeError):  # the cell used torch's newer switches
                torch.backends.cuda.matmul.allow_tf32 = matmul
                torch.backends.cudnn.allow_tf32 = cudnn


def _switches() -> tuple[bool, bool]:
    """Return whether products may be rounded to TF32, in matrix products and in cuDNN."""
    backends = torch.backends
    try:
        return backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32
    except RuntimeError:
        raise OptionError(
            "Something set torch.backends.*.fp32_precision in this process, after which the flags "
            "that all cells are timed under cannot be read: set allow_tf32 there, or time cells "
            "in a run of pytest of their own."
        ) from None
