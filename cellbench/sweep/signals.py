"""Ctrl-C, which a terminal sends to every process at once: what is on its way is finished first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back, where signals can be, and until the end of this."""
    if threading.current_thread() is not threading.main_thread() or not _can_hold_back():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start(process: BaseProcess) -> None:
    """Start a process that Ctrl-C cannot reach before it has called `leave_to_parent`.

    It imports torch first, which takes seconds.
    """
    if _can_hold_back():
        resource_tracker.ensure_running()  # it would lift the mask between here and there
    with uninterrupted():
        process.start()


def leave_to_parent() -> None:
    """Let the parent decide what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _can_hold_back():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _can_hold_back() -> bool:
    return hasattr(signal, "pthread_sigmask")  # not on Windows
