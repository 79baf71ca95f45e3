"""Carrying out a plan: train what is missing, then measure what is missing."""

from __future__ import annotations

import datetime
from collections.abc import Generator, Sequence

import psutil
from msgspec.structs import replace

from cellbench.measure.environment import load_average
from cellbench.record import AnyLine, Environment
from cellbench.store.folder import Folder
from cellbench.store.journal import environments
from cellbench.store.manifest import Run, add_run
from cellbench.sweep.events import Event
from cellbench.sweep.git import ask_git
from cellbench.sweep.local import measure_jobs, train_stacks
from cellbench.sweep.machine import Machine
from cellbench.sweep.plan import Job, Plan, Remaining, measurement_id
from cellbench.sweep.schedule import Schedule
from cellbench.sweep.signals import uninterrupted
from cellbench.sweep.workers import room_for, threads_each

MEASURING_THREADS = 1
"""CPU threads while measuring: what a small recurrent step uses best, and the same everywhere."""

MEMORY_SHARE = 0.9
"""How much of the available memory workers may hold together."""


def execute(
    plan: Plan,
    left: Remaining,
    schedule: Schedule,
    folder: Folder,
    *,
    device: str,
    argv: Sequence[str],
) -> Generator[Event]:
    """Do what is left of `plan`; every record is on disk before the event that tells of it.

    Args:
        plan: All that was asked for.
        left: What of it is missing.
        schedule: How to do that.
        folder: Where the results are.
        device: As torch names it.
        argv: The command, for the manifest.
    """
    commit = current_commit()
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{commit[:7] or 'nocommit'}"
    folder.path.mkdir(parents=True, exist_ok=True)
    keep = Keeper(folder, run_id, commit)
    workers = schedule.workers
    add_run(folder.manifest, _manifest_entry(plan, run_id, argv, commit, workers))
    threads = threads_each((stack.job for stack in schedule.stacks), device, workers)
    trainers = Machine(device, threads, folder.logs, share_of_memory(device, workers))
    room = room_for(device, workers)
    yield from train_stacks(schedule.stacks, trainers, jobs=workers, keep=keep, room=room)

    def is_done(job: Job, env: str) -> bool:
        return measurement_id(job, env) in left.measured

    alone = Machine(device, MEASURING_THREADS, folder.logs, share_of_memory(device, 1))
    yield from measure_jobs(plan.jobs, alone, is_done=is_done, keep=keep)


def share_of_memory(device: str, jobs: int) -> int | None:
    """Return each worker's share of the memory that there is; a GPU keeps its own accounts."""
    if device.startswith("cuda"):
        return None
    return int(MEMORY_SHARE * psutil.virtual_memory().available / jobs)


class Keeper:
    """Appends lines to the journal, each environment once."""

    def __init__(self, folder: Folder, run_id: str, commit: str) -> None:
        self._journal = folder.journal
        self._known = set(environments(folder.journal))
        self._run_id = run_id
        self._commit = commit

    def __call__(self, line: AnyLine) -> None:
        if isinstance(line, Environment):
            if line.digest in self._known:
                return
            self._known.add(line.digest)
        else:
            line = replace(line, run_id=self._run_id, commit=self._commit)
        with uninterrupted():
            self._journal.append(line)


def _manifest_entry(plan: Plan, run_id: str, argv: Sequence[str], commit: str, jobs: int) -> Run:
    return Run(
        run_id=run_id,
        argv=tuple(argv),
        unit_ids=tuple(unit.unit_id for unit in plan.units),
        measurement_count=len(plan.jobs),
        started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        commit=commit,
        load_average=load_average(),
        jobs=jobs,
    )


def current_commit() -> str:
    """Return the commit of the working directory, "-dirty" if files differ; "" outside git."""
    head = ask_git("rev-parse", "HEAD")
    if not head:
        return ""
    return f"{head}-dirty" if ask_git("status", "--porcelain", "--untracked-files=no") else head
