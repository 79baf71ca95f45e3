"""One side's process, as the gate sees it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, final, runtime_checkable

from cellbench.record import Failure
from cellbench.regress.trees import Tree
from cellbench.sweep.signals import uninterrupted

ARM = Path(__file__).with_name("arm.py")

STARTING_S = 180.0
"""How long importing torch and finding the device may take."""

MOST_PADDING = 4096
"""Bytes: the size of the environment moves the stack, and that alone can move a speed."""


@runtime_checkable
class Arm(Protocol):
    """Whoever answers orders for one side. Tests have one that is no process."""

    def ask(self, order: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """Return the answer; one with `error` if there is none."""

    def close(self) -> None:
        """Leave nothing behind."""


@final
class Process:
    """A fresh interpreter on a side's tree. Closing it kills it.

    Args:
        tree: Whose code it runs.
        setting: Its first order: device, threads, sizes, unroll.
        log: What it prints goes there.
        order: Of hashes, and the size of the environment.

    Attributes:
        greeting: Its environment; with `error` if it could not begin.
    """

    def __init__(
        self, tree: Tree, setting: Mapping[str, Any], log: Path, order: random.Random
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        ours, theirs = socket.socketpair()
        with theirs, uninterrupted():
            self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and file
                [sys.executable, "-P", str(ARM), str(theirs.fileno()), str(log.absolute())],
                cwd=tree.place,
                env=_environment(tree, order),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the gate to decide on
            )
        self._socket = ours
        self._read = b""
        self.greeting = self.ask(setting, STARTING_S)

    def ask(self, order: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        """Return the answer to `order`; one with `error` if the process died or took too long."""
        try:
            self._socket.sendall(json.dumps(order).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._line(limit_s))
        except TimeoutError:
            self.close()
            return _error("Hung", f"no answer within {limit_s:.0f} s")
        except (OSError, ValueError):
            self.close()
            return _error("WorkerDied", self._last_words())
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._socket.close()

    def _line(self, limit_s: float) -> bytes:
        due_s = time.monotonic() + limit_s
        while b"\n" not in self._read:
            self._socket.settimeout(max(1e-3, due_s - time.monotonic()))
            more = self._socket.recv(1 << 16)
            if not more:
                raise EOFError
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _last_words(self) -> str:
        code = self._process.returncode
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        with contextlib.suppress(OSError):
            lines = self._log.read_text(errors="replace").strip().splitlines()
            if lines:
                return f"the process ended ({how}): {lines[-1][:300]}"
        return f"the process ended ({how})"


def failure_of(answer: Mapping[str, Any]) -> Failure | None:
    """Return what an answer says went wrong."""
    found = answer.get("error")
    return None if found is None else Failure(**found)


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, "where": ""}}


def _environment(tree: Tree, order: random.Random) -> dict[str, str]:
    paths = [*map(str, tree.roots), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": str(order.randrange(2**32)),
        "CELLBENCH_PADDING": "x" * order.randrange(MOST_PADDING),
    }
