"""Carrying out a list of timings: what is missing, one at a time, each on disk before the next."""

from __future__ import annotations

import datetime
from collections.abc import Generator, Sequence

from cellbench.measure.environment import load_average
from cellbench.store.folder import Folder
from cellbench.store.manifest import Run, add_run
from cellbench.sweep.alone import SpeedEvent, time_jobs
from cellbench.sweep.machine import Machine
from cellbench.sweep.run import Keeper, current_commit, share_of_memory
from cellbench.sweep.speed_jobs import SpeedJob, is_timed, timed_before


def execute_speeds(
    jobs: Sequence[SpeedJob],
    folder: Folder,
    *,
    device: str,
    threads: int,
    argv: Sequence[str],
    again: bool = False,
) -> Generator[SpeedEvent]:
    """Time what is missing of `jobs`; every record is on disk before the event that tells of it.

    What is missing depends on the environment, and is found out as it goes.

    Args:
        jobs: Of one dtype.
        device: As torch names it.
        threads: CPU threads while timing.
        argv: The command, for the manifest.
        again: Whether to time again what has been timed before.
    """
    commit = current_commit()
    now = datetime.datetime.now(datetime.UTC)
    run = Run(
        run_id=f"{now:%Y%m%dT%H%M%SZ}-{commit[:7] or 'nocommit'}",
        argv=tuple(argv),
        unit_ids=(),
        measurement_count=len(jobs),
        started_at=now.isoformat(timespec="seconds"),
        commit=commit,
        load_average=load_average(),
    )
    folder.path.mkdir(parents=True, exist_ok=True)
    before = {} if again else timed_before(folder.journal)
    add_run(folder.manifest, run)
    yield from time_jobs(
        jobs,
        Machine(device, threads, folder.logs, share_of_memory(device, 1)),
        jobs[0].dtype,
        is_done=lambda job, env: is_timed(job, env, before),
        keep=Keeper(folder, run.run_id, commit),
    )
