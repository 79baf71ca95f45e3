"""What a process of one side does: it answers orders, on the code of that side.

Run by its path, not as a module. `cellbench` comes from the side's own tree; only this room comes
from where the gate itself does, so that both sides are asked in the same way, and a base from
before there was a gate can be asked at all. What this room uses of the rest is little, and old.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any


def adopt(room: Path) -> None:
    """Let `cellbench.regress` be the folder `room`, whatever cellbench this process imports."""
    name = "cellbench.regress"
    spec = importlib.util.spec_from_file_location(
        name, room / "__init__.py", submodule_search_locations=[str(room)]
    )
    if spec is None or spec.loader is None:  # never for a file that ends in .py
        raise ImportError(f"{room} is no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)


def serve(connection: socket.socket) -> None:
    """Answer one line of JSON with another, until the parent is gone."""
    from cellbench.regress.subject import Side  # noqa: PLC0415 -- only once the room is adopted

    with connection, connection.makefile("rw", encoding="utf-8") as lines:
        side: Side | None = None
        for line in lines:
            order: dict[str, Any] = json.loads(line)
            try:
                if side is None:
                    side = Side(order)
                    answer = side.greeting()
                else:
                    answer = side.answer(order)
            except Exception as error:  # noqa: BLE001 -- whatever a cell does is an answer
                answer = {"error": described(error)}
            lines.write(json.dumps(answer) + "\n")
            lines.flush()


def described(error: BaseException) -> dict[str, str]:
    """Return type, first line and place of an error."""
    from cellbench.sweep.failure import failure  # noqa: PLC0415 -- of the side's own tree

    found = failure(error)[1]
    return {"type": found.type, "message": found.message, "where": found.where}


def main() -> None:
    """Serve on the socket whose number is the argument; print nothing there."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    os.dup2(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
    os.dup2(1, 2)
    adopt(Path(__file__).parent)
    serve(connection)


if __name__ == "__main__":
    main()
