"""Change one sign, gate or factor of a cell at a time, and see that its own tests notice.

    python tests/mutate_cells.py              those that changed since they were last looked at
    python tests/mutate_cells.py lstm gru     these

Every change (a *mutant*) is made in a process of its own, in which `cellbench.cells.NAME` is the
changed source, and in which `tests/cells/test_NAME.py` alone is run until the first test fails. One
that no test notices has *survived*. What was found is kept in `results/mutations.json`, from which
`docs/mutations.md` is written; `tests/test_mutations.py` holds both to be of today's source.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent
CELLS = ROOT / "cellbench" / "cells"
FOUND = ROOT / "results" / "mutations.json"
PAGE = ROOT / "docs" / "mutations.md"

SHARED: dict[str, tuple[str, ...]] = {
    "addressing": ("addressing", "ntm", "dnc"),
    "batch_norm": ("bn_lstm", "cbn_lstm"),
    "conditioner": ("film_lstm", "cbn_lstm"),
    "controller": ("ntm", "dnc"),
    "delta_scan": ("delta_scan", "deltanet"),
    "diagonal": ("lru", "s5", "s4d"),
    "flow": ("bhn_lstm",),
    "frequencies": ("compressed",),
    "gates": ("ln_lstm", "hyperlstm"),
    "matrix_scan": ("matrix_scan",),
    "relevance": ("relrnn", "rellstm"),
    "short_conv": ("deltanet",),
    "skew": ("skew", "exprnn"),
    "stacked_gates": ("mgu", "brc", "sru"),
    "tape": ("memrnn", "lstmn"),
    "token_shift": ("rwkv", "rwkv4"),
}
"""Modules of arithmetic that several cells share -> the tests that must notice a change there."""

LONGEST_S = 300
"""After so long a mutant counts as noticed: it does not end."""

NOT_MUTATED = {"__init__", "extra_repr", "weight_makers"}
"""Methods without arithmetic of the cell: what `__init__` draws has tests of its own."""

SWAPPED = {"sigmoid": "tanh", "tanh": "sigmoid", "softplus": "relu", "relu": "tanh",
           "exp": "expm1", "cos": "sin", "sin": "cos", "cumsum": "cumprod",
           "elu": "relu", "silu": "relu", "log": "log1p", "sqrt": "square",
           "logsigmoid": "softplus", "amax": "amin", "maximum": "minimum"}  # fmt: skip

SLOW_TO_IMPORT = (
    "torch", "torch._dynamo", "torch._inductor.decomposition", "pytest", "cellbench.plugins",
    "cellbench.testing", "cellbench.unroll", "cellbench.train.stacked", "labml_nn.lstm",
    "torchrecurrent", "scipy.linalg", "scipy.signal", "scipy.fft", "einops", "sru", "ncps.torch",
    "fla.ops.gla.naive", "fla.ops.delta_rule.naive", "fla.ops.gated_delta_rule.naive",
    "fla.ops.retention.naive", "fla.ops.hgrn.naive", "fla.ops.linear_attn.naive",
    "fla.ops.generalized_delta_rule.dplr.naive", "fla.ops.rwkv6.recurrent_naive",
    "xlstm.blocks.slstm.cell", "xlstm.blocks.mlstm.backends", "mambapy.mamba", "s5", "dnc",
    "LRU_pytorch", "minGRU_pytorch", "mogrifier", "brc_pytorch.modules", "subLSTM.functional",
)  # fmt: skip

SAME: dict[str, dict[str, str]] = {
    "batch_norm": {
        "h + self.h0_noise * torch.randn_like(h) -> h - self.h0_noise * torch.randn_like(h)": (
            "a normal number is drawn as often with the other sign"
        ),
    },
    "delta_scan": {"time - 1 -> time + 1": "a longer chunk is filled up with steps of nothing"},
    "frequencies": {
        "rows + columns - 1 -> rows + columns + 1": "the anti-diagonals beyond the last are empty"
    },
    "matrix_scan": {"time - 1 -> time + 1": "a longer chunk is filled up with steps of nothing"},
    "skew": {
        "fourth @ e + sum(terms, start=torch.zeros_like(scaled)) -> "
        "fourth @ e - sum(terms, start=torch.zeros_like(scaled))": (
            "the whole series changes its sign, and is then squared"
        )
    },
}
"""Cell -> mutant, in its words -> why it computes the same, and no test can see it."""


def reason(name: str, what: str) -> str:
    """Return why no test can see a mutant; "" if one can."""
    return SAME.get(name, {}).get(what.partition(": ")[2], "")


@dataclass(frozen=True)
class Mutant:
    """A changed source, and what was changed: `line: before -> after`."""

    what: str
    source: str


def mutants(source: str) -> list[Mutant]:
    """Return every mutant of a cell's source, in order."""
    tree = ast.parse(source)
    found = []
    for function in _functions(tree):
        for node in ast.walk(function):
            for changed in _changes(node):
                what = f"{node.lineno}: {ast.unparse(node)[:60]} -> {ast.unparse(changed)[:60]}"
                found.append(Mutant(what, _with(tree, node, changed)))
    return found


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and not _is_plain(part.name):
                    yield part


def _is_plain(name: str) -> bool:
    return name in NOT_MUTATED or name.startswith(("_initialise", "_init", "_check", "_reset"))


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in for `node`, one at a time."""
    if isinstance(node, ast.BinOp) and not _is_text_or_size(node):
        yield from _of_operation(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if not isinstance(node.operand, ast.Constant):  # -1 is an axis
            yield node.operand
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.Assign):
        yield from _swapped_targets(node)


def _of_operation(node: ast.BinOp) -> Iterator[ast.AST]:
    if isinstance(node.op, ast.Add | ast.Sub):
        if isinstance(node.op, ast.Sub) and _is_number(node.left):
            yield node.right  # 1 - z -> z
            return
        other = copy.copy(node)
        other.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield other
    elif isinstance(node.op, ast.Mult | ast.Div | ast.MatMult):
        kept = node.right if _is_number(node.left) else node.left
        if isinstance(node.op, ast.MatMult):
            return  # shapes alone would tell
        yield kept


def _of_call(node: ast.Call) -> Iterator[ast.AST]:
    function = node.func
    if not isinstance(function, ast.Attribute):
        return
    name = function.attr
    if name in SWAPPED:
        other = copy.deepcopy(node)
        other.func.attr = SWAPPED[name]  # type: ignore[attr-defined]
        yield other
    elif name in {"addmm", "baddbmm"} and len(node.args) == 3:
        other = copy.deepcopy(node)
        other.func.attr = {"addmm": "mm", "baddbmm": "bmm"}[name]  # type: ignore[attr-defined]
        other.args = other.args[1:]
        yield other
    elif name in {"addcmul", "lerp"} and len(node.args) == 3:
        yield node.args[0]
    elif name == "linear" and len(node.args) == 3:
        other = copy.deepcopy(node)
        other.args = other.args[:2]
        yield other


def _swapped_targets(node: ast.Assign) -> Iterator[ast.AST]:
    """Two gates for one another, where they are taken apart by a call."""
    (target,) = node.targets if len(node.targets) == 1 else (None,)
    called = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute)
    apart = called and node.value.func.attr in {"chunk", "unbind", "split", "tensor_split"}
    named = isinstance(target, ast.Tuple) and all(isinstance(n, ast.Name) for n in target.elts)
    if not (apart and named):
        return
    for place in range(len(target.elts) - 1):
        if {target.elts[place].id, target.elts[place + 1].id} & {"_"}:
            continue
        other = copy.deepcopy(node)
        names = other.targets[0].elts  # type: ignore[attr-defined]
        names[place], names[place + 1] = names[place + 1], names[place]
        yield other


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _is_text_or_size(node: ast.BinOp) -> bool:
    """Whether it makes a shape, an index or a message rather than a value."""
    if isinstance(node.op, ast.Mod | ast.FloorDiv | ast.BitOr | ast.BitAnd):
        return True

    def tells(part: ast.AST) -> bool:
        if isinstance(part, ast.Attribute):
            return part.attr.endswith("_size") or part.attr == "shape"
        if isinstance(part, ast.Call):
            return isinstance(part.func, ast.Name) and part.func.id == "len"
        return isinstance(part, ast.Constant) and isinstance(part.value, str)

    return any(map(tells, ast.walk(node)))


def _with(tree: ast.Module, node: ast.AST, changed: ast.AST) -> str:
    """Return the source in which `changed` stands for `node`."""

    class Replace(ast.NodeTransformer):
        def visit(self, here: ast.AST) -> ast.AST:
            return changed if here is node else self.generic_visit(here)

    before = [(n, {k: (list(v) if isinstance(v, list) else v) for k, v in ast.iter_fields(n)})
              for n in ast.walk(tree)]  # fmt: skip
    text = ast.unparse(Replace().visit(tree))
    for part, fields in before:  # as it was, for the next
        for name, value in fields.items():
            setattr(part, name, value)
    return text


# --- Trying them --------------------------------------------------------------------------


def noticed(name: str, source: str, tests: Sequence[Path]) -> str:
    """Return which test notices the mutant; "" if none does."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.setpgrp()
        _try(name, source, tests, write)
    os.close(write)
    deadline = time.monotonic() + LONGEST_S
    os.set_blocking(read, False)
    while time.monotonic() < deadline:
        ended, how = os.waitpid(child, os.WNOHANG)
        if ended:
            with open(read, "rb") as pipe:  # noqa: PTH123 -- a descriptor
                said = pipe.read() or b""
            return said.decode() or ("the process died" if how else "")
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(read)
    return "it does not end"


def _try(name: str, source: str, tests: Sequence[Path], write: int) -> None:
    """Run the tests of a cell in this process, with the mutant in its place, and leave."""
    import pytest  # noqa: PLC0415 -- in the child

    class First:
        found = ""

        def pytest_runtest_logreport(self, report) -> None:
            if report.failed and not self.found:
                self.found = report.nodeid.rpartition("::")[2]

        def pytest_collectreport(self, report) -> None:
            if report.failed and not self.found:
                self.found = "it cannot be imported"

    put_in_place(name, source)
    first = First()
    os.environ["CELLBENCH_RECORD_PARITY"] = os.devnull  # how close is a question for the page
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts="]
        arguments += ["--assert=plain", "-o", "filterwarnings=", "-W", "ignore"]
        try:
            code = pytest.main([*arguments, *map(str, tests)], plugins=[first])
        except BaseException as error:  # noqa: BLE001 -- nothing may leave the child
            code = repr(error)
    failed = first.found or ("" if code == 0 else f"pytest ended with {code}")
    os.write(write, failed.encode())
    os._exit(0)


def put_in_place(name: str, source: str) -> None:
    """Let a module be the changed source, and import again whatever had imported from it."""
    changed = f"cellbench.cells.{name}"
    exec(compile(source, str(CELLS / f"{name}.py"), "exec"), vars(sys.modules[changed]))  # noqa: S102 -- it is what this is for
    for module in dependents(changed):
        importlib.reload(module)


def dependents(changed: str) -> list[ModuleType]:
    """Return the modules that import from one, or from one that does, in the order of import."""
    ours = [name for name in sys.modules if name.partition(".")[0] == "cellbench"]
    stale, found = {changed}, []
    for name in ours:  # a module stands here behind those that it imports
        if name != changed and imported_by(name) & stale:
            stale.add(name)
            found.append(sys.modules[name])
    return found


@cache
def imported_by(name: str) -> frozenset[str]:
    """Return the modules that a module imports from."""
    path = getattr(sys.modules[name], "__file__", None)
    if path is None:
        return frozenset()
    nodes = ast.walk(ast.parse(Path(path).read_text()))
    return frozenset(str(node.module) for node in nodes if isinstance(node, ast.ImportFrom))


def warm_up() -> None:
    """Import everything once, for all children."""
    for module in SLOW_TO_IMPORT:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 -- the tests say what they do without it
            print(f"{module} cannot be imported: {error!r}", flush=True)
    import torch  # noqa: PLC0415 -- now it is there

    torch.set_num_threads(1)
    for name in list(sys.modules):
        if name.partition(".")[0] == "cellbench":
            imported_by(name)  # looked up in every child


# --- All of them --------------------------------------------------------------------------


def names() -> list[str]:
    """Return the cells, without importing any, and the modules that they share."""
    return sorted({path.stem for path in CELLS.glob("*.py")} & in_the_table()) + sorted(SHARED)


def tests_of(name: str) -> list[Path]:
    """Return the files of tests that must notice a change."""
    folder = ROOT / "tests" / "cells"
    return [folder / f"test_{of}.py" for of in SHARED.get(name, (name,))]


def in_the_table() -> set[str]:
    """Return the names of `FAMILIES`."""
    tree = ast.parse((CELLS / "__init__.py").read_text())
    keys = (key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys)
    return {key.value for key in keys if isinstance(key, ast.Constant)}


def digest(source: str) -> str:
    """Return what changes when the code does, and not when a docstring or a comment does."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def try_all(name: str) -> dict[str, object]:
    """Return what came of every mutant of a cell."""
    source = (CELLS / f"{name}.py").read_text()
    tests = tests_of(name)
    unchanged = noticed(name, source, tests)
    if unchanged:
        raise SystemExit(f"{name}: its tests fail without any change: {unchanged}")
    rows = []
    for mutant in mutants(source):
        by = noticed(name, mutant.source, tests)
        if not by and not reason(name, mutant.what):
            print(f"  {name}: SURVIVED {mutant.what}", flush=True)
        rows.append({"mutant": mutant.what, "by": by})
    return {"digest": digest(source), "mutants": rows}


def read() -> dict[str, dict[str, object]]:
    """Return what was found so far."""
    return json.loads(FOUND.read_text()) if FOUND.exists() else {}


def write(found: dict[str, dict[str, object]]) -> None:
    """Keep it, and write the page."""
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    FOUND.write_text(text)
    PAGE.write_text(page(found))


HEAD = """\
# Mutations: what the tests of each cell notice

Written by `make mutations`. In every cell one sign, factor, squashing function or pair of gates is
changed at a time (`tests/mutate_cells.py` says how), and the cell's own tests are run until one
fails; modules that several cells share are changed as well. Every change must be noticed.
`results/mutations.json` has them all, and which test noticed each.

| cell | changes | noticed | not noticed |
| --- | ---: | ---: | --- |
"""


def page(found: dict[str, dict[str, object]]) -> str:
    """Return the report."""
    lines = HEAD.splitlines()
    for name, entry in sorted(found.items(), key=lambda item: (item[0] in SHARED, item[0])):
        rows = entry["mutants"]
        alive = [row["mutant"] for row in rows if not row["by"]]
        told = "; ".join(_told(name, what) for what in alive) or "–"
        shared = " (shared)" if name in SHARED else ""
        lines.append(f"| `{name}`{shared} | {len(rows)} | {len(rows) - len(alive)} | {told} |")
    total = sum(len(entry["mutants"]) for entry in found.values())
    seen = sum(bool(row["by"]) for entry in found.values() for row in entry["mutants"])
    cells = len(found.keys() - SHARED.keys())
    lines += ["", f"{cells} cells, {total} changes, {seen} noticed."]
    return "\n".join(lines) + "\n"


def _told(name: str, what: str) -> str:
    text = what.replace("|", "\\|")
    return f"`{text}`: {reason(name, what) or 'SURVIVED'}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cells", nargs="*")
    parser.add_argument("--part", default="0/1", help="I/N: every Nth of them, from the Ith on")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the work")
    given = parser.parse_args(arguments)
    if given.jobs > 1:
        shares = [["--part", f"{n}/{given.jobs}", *given.cells] for n in range(given.jobs)]
        workers = [subprocess.Popen([sys.executable, __file__, *share]) for share in shares]
        return max(worker.wait() for worker in workers)
    part, parts = map(int, given.part.split("/"))
    done = read()
    todo = given.cells or [
        name
        for name in names()
        if done.get(name, {}).get("digest") != digest((CELLS / f"{name}.py").read_text())
    ]
    warm_up()
    found = {}
    for name in todo[part::parts]:
        began = time.monotonic()
        found[name] = try_all(name)
        alive = sum(not row["by"] for row in found[name]["mutants"])
        print(f"{name}: {len(found[name]['mutants'])} changes, {alive} not noticed, "
              f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
        write({key: row for key, row in (read() | found).items() if key in names()})
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
