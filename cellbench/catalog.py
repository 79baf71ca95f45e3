"""Task files: read, checked to the last key, and found by name.

A task file is TOML, and data only; `tasks/copying.toml` is one to read. Its keys:

    generator     name in `cellbench.generators.GENERATORS`, or of an installed package's entry
                  point in the group `cellbench.generators`; or one of your own, FILE.py:CLASS
                  relative to the task file, or package.module:CLASS
    version       raised when old results stop being comparable
    summary, source
    metric        "accuracy", "exact", "mse" or "excess"; see `Generator.metric`
    solved        the mark to reach on validation
    [fixed]       settings that are the same at every level
    ladder        lengths at which what was learned is tested besides, if any
    [levels]      name = settings, and perhaps `budget = {...}`, `ladder = [...]` and `solved = x`
                  where they differ
    [budget]      see `Budget`
    [variants.X]  settings in place of those of [fixed]; perhaps its own summary and source

The levels of copying.toml are tasks `copying/<level>`; of its variant X, `copying-X/<level>`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, cast, final, get_type_hints

import msgspec

from cellbench.errors import OptionError, PluginError, TaskFileError, UnknownNameError, did_you_mean
from cellbench.generators.base import Generator
from cellbench.generators.elsewhere import Origin, find_generator, generator_names
from cellbench.generators.zeros import trivial
from cellbench.loading import described

PERFECT: Mapping[str, float] = MappingProxyType(
    {"accuracy": 1.0, "exact": 1.0, "mse": 0.0, "excess": 0.0}
)
"""Metric -> its best value."""

_SUITES = "suites"
_TEXTS = ("summary", "source")
_BESIDES = ("budget", "ladder", "solved")  # what a level may have that is no setting of a generator
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_OWN_FILE = re.compile(r"(.+\.toml)(?::(.+))?")
_T = TypeVar("_T")

Settings = dict[str, Any]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How long, and how, a cell may learn. The same for every cell.

    Attributes:
        steps: Updates of the weights, at most.
        batch: Sequences an update.
        learning_rate: Of the optimiser.
        clip: Norm to which the gradient is cut; `inf` leaves it as it is.
        validate_every: Steps from one validation to the next.
        validation: Sequences of a validation.
        test: Sequences of the test, which is read once.
    """

    steps: Annotated[int, msgspec.Meta(ge=1)]
    batch: Annotated[int, msgspec.Meta(ge=1)]
    learning_rate: Annotated[float, msgspec.Meta(gt=0, lt=1e6)]  # so, not inf
    clip: Annotated[float, msgspec.Meta(gt=0)]
    validate_every: Annotated[int, msgspec.Meta(ge=1)]
    validation: Annotated[int, msgspec.Meta(ge=1)]
    test: Annotated[int, msgspec.Meta(ge=1)]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One level of one task.

    Attributes:
        id: `family/level`: how one names it, and what records say.
        family: The name of its file, and of its variant where it is of one.
        level: One difficulty of it.
        version: Results of two versions are not compared.
        summary: One sentence.
        source: Where it comes from.
        generator_name: Its name in the table of generators.
        generator: What draws its sequences; its fields are the settings.
        metric: `accuracy` or `exact` (more is better), `mse` or `excess` (less is).
        solved: The mark to reach on validation.
        budget: How long a cell may learn.
        ladder: Lengths at which what was learned is tested besides.
        digest: Of all the above that decides a result: not of the id or the texts.
        origin: Of a generator that is not ours; None of ours.
    """

    id: str
    family: str
    level: str
    version: int
    summary: str
    source: str
    generator_name: str
    generator: Generator
    metric: str
    solved: float
    budget: Budget
    digest: str
    ladder: tuple[int, ...] = ()
    origin: Origin | None = None

    def __reduce__(self) -> tuple[Callable[[Settings], Task], tuple[Settings]]:
        """Travel to another process, which finds a generator that is not ours by itself."""
        fields = _fields_of(self)
        if self.origin:
            fields["generator"] = self.settings
        return _arrived, (fields,)

    @property
    def settings(self) -> Settings:
        """The settings of the generator, by name."""
        return _fields_of(self.generator)

    @property
    def perfect(self) -> float:
        """The best metric there can be."""
        return PERFECT[self.metric]

    @property
    def trivial(self) -> float:
        """The metric of the best predictor that remembers nothing."""
        return trivial(self.generator)

    def skill(self, metric: float) -> float:
        """Return where `metric` lies between trivial, 0, and perfect, 1; worse is negative."""
        return (metric - self.trivial) / (self.perfect - self.trivial)

    def is_solved(self, metric: float) -> bool:
        """Tell whether `metric` reaches the mark; NaN does not."""
        better_is_more = self.perfect > self.trivial
        return metric >= self.solved if better_is_more else metric <= self.solved


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Levels that are run together.

    Attributes:
        name: How one asks for it.
        summary: One sentence.
        levels: Ids of tasks.
    """

    name: str
    summary: str
    levels: tuple[str, ...]


def _arrived(fields: Settings) -> Task:
    """Make a task of what came from another process."""
    origin: Origin | None = fields["origin"]
    if origin:
        kind, now = find_generator(origin.name, origin.root)
        if now != origin:
            raise PluginError(f"The source of {origin.name} has changed: start again.")
        fields = fields | {"generator": kind(**fields["generator"])}
    return Task(**fields)


@dataclass(frozen=True, kw_only=True)
class _File:
    """A task file's own keys and their types."""

    generator: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    summary: str
    source: str
    metric: str
    solved: float
    levels: dict[str, Any]
    budget: dict[str, Any]
    ladder: list[int] = field(default_factory=list)
    fixed: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Ladder:
    """Lengths of a ladder, and their type."""

    lengths: list[int]


@dataclass(frozen=True, kw_only=True)
class _SuiteEntry:
    """A suite's keys and their types."""

    summary: str
    levels: list[str]


# --- one file ---------------------------------------------------------------------------


def parse_task_file(
    name: str, text: str, *, where: str = "", root: Path | None = None
) -> dict[str, Task]:
    """Return the tasks that the text of task file `name` describes, by id.

    Args:
        name: Of the file, without `.toml`.
        text: Its contents.
        where: What messages call the file; `tasks/<name>.toml` by default.
        root: The folder to which a generator's file is relative; the current one if None.

    Raises:
        TaskFileError: The text is not TOML, lacks or misspells a key, or gives a value
            that cannot be used.
        PluginError: A generator that is not ours cannot be used.
    """
    where = where or f"tasks/{name}.toml"
    file = _read(where, text)
    kind, origin = _found_generator(where, file.generator, (root or Path.cwd()).absolute())
    _check_names(where, {"file": [name], "level": file.levels, "variant": file.variants})
    families = {name: ""} | {f"{name}-{variant}": variant for variant in file.variants}
    return {
        f"{family}/{level}": _task(where, file, kind, origin, family, variant, level)
        for family, variant in families.items()
        for level in file.levels
    }


def _read(where: str, text: str) -> _File:
    """Return the file's own keys, with the names and types they must have."""
    table = _toml(where, text)
    _check_keys(where, table, _File)
    file = _convert(where, "", table, _File)
    if file.metric not in PERFECT:
        known = ", ".join(PERFECT)
        raise TaskFileError(f"{where}: metric must be one of {known}, not {file.metric!r}.")
    if not file.levels:
        raise TaskFileError(f"{where} has no level; add one under [levels].")
    _check_keys(f"{where} [budget]", file.budget, Budget)
    _convert(where, "budget", file.budget, Budget)
    return file


def _found_generator(where: str, name: str, root: Path) -> tuple[type[Generator], Origin | None]:
    """Return the generator of a task file, and where it comes from if it is not ours."""
    try:
        return find_generator(name, root)
    except UnknownNameError:
        hint = did_you_mean(name, generator_names())
        raise TaskFileError(f"{where}: there is no generator named {name!r}{hint}") from None
    except PluginError as error:
        raise PluginError(f"{where}: {error}") from error


def _task(  # noqa: PLR0917 -- what a file and a place in it are
    where: str,
    file: _File,
    kind: type[Generator],
    origin: Origin | None,
    family: str,
    variant: str,
    level: str,
) -> Task:
    """Return the task of one level of one variant; without a variant, of the file itself."""
    texts = _texts(where, file, variant)
    generator = _generator(where, file, kind, variant, level)
    solved = _solved(where, file, level, generator)
    budget = _budget(where, file, level)
    ladder = _ladder(where, file, level, generator)
    return Task(
        id=f"{family}/{level}",
        family=family,
        level=level,
        version=file.version,
        summary=texts["summary"],
        source=texts["source"],
        generator_name=file.generator,
        generator=generator,
        metric=file.metric,
        solved=solved,
        budget=budget,
        ladder=ladder,
        digest=_digest(file, generator, origin, solved, budget, ladder),
        origin=origin,
    )


def _texts(where: str, file: _File, variant: str) -> dict[str, str]:
    own = _table(where, f"variants.{variant}", file.variants.get(variant, {}))
    return {
        key: _convert(where, f"variants.{variant}.{key}", own.get(key, getattr(file, key)), str)
        for key in _TEXTS
    }


def _generator(
    where: str, file: _File, kind: type[Generator], variant: str, level: str
) -> Generator:
    """Make the generator: settings of [fixed], then the variant's, then the level's."""
    types = get_type_hints(kind)
    known = _field_names(kind)
    tables = (
        ("fixed", file.fixed, ()),
        (f"variants.{variant}", file.variants.get(variant, {}), _TEXTS),
        (f"levels.{level}", file.levels[level], _BESIDES),
    )
    settings: Settings = {}
    for path, given, besides in tables:
        table = _table(where, path, given)
        _check_unknown(f"{where} [{path}]", table, (*known, *besides))
        settings |= {
            key: _convert(where, f"{path}.{key}", value, types[key])
            for key, value in table.items()
            if key not in besides
        }
    for key in known:
        if key not in settings:
            raise TaskFileError(
                f"{where} [levels.{level}] lacks the setting {key!r}; put it there or in [fixed]."
            )
    try:
        generator = kind(**settings)
    except OptionError as error:
        raise TaskFileError(f"{where}, level {level}: {error}") from None
    except Exception as error:
        raise PluginError(f"{where}, level {level}: {described(error)}.") from error
    return generator


def _solved(where: str, file: _File, level: str, generator: Generator) -> float:
    """Return the mark to reach: the level's own, or the file's."""
    given = file.levels[level].get("solved", file.solved)
    solved = _convert(where, f"levels.{level}.solved", given, float)
    _check_metric(f"{where}, level {level}", file, generator, solved)
    return solved


def _check_metric(where: str, file: _File, generator: Generator, solved: float) -> None:
    """Raise unless the metric fits the answers, and the mark is better than trivial."""
    fitting = generator.metric
    if file.metric != fitting:
        raise TaskFileError(
            f"{where}: generator {file.generator!r} is scored by {fitting}, not {file.metric}."
        )
    zero, perfect = trivial(generator), PERFECT[file.metric]
    if not 0 < (solved - zero) / (perfect - zero) <= 1:
        raise TaskFileError(
            f"{where}: solved = {solved:g} must be better than {zero:g}, which takes "
            f"no memory, and no better than {perfect:g}, which is perfect."
        )


def _budget(where: str, file: _File, level: str) -> Budget:
    """Return the budget of the file, with what the level replaces of it."""
    path = f"levels.{level}.budget"
    own = _table(where, path, file.levels[level].get("budget", {}))
    _check_unknown(f"{where} [{path}]", own, _field_names(Budget))
    budget = _convert(where, path, file.budget | own, Budget)
    if budget.validate_every > budget.steps:
        raise TaskFileError(
            f"{where}, level {level}: validate_every = {budget.validate_every} is more than "
            f"steps = {budget.steps}, so that nothing would ever be validated."
        )
    return budget


def _ladder(where: str, file: _File, level: str, generator: Generator) -> tuple[int, ...]:
    """Return the lengths to test at besides: the level's own, or the file's."""
    given = {"lengths": file.levels[level].get("ladder", file.ladder)}
    ladder = _convert(where, f"levels.{level}.ladder", given, _Ladder).lengths
    for length in ladder:
        try:
            generator.at_length(length)
        except OptionError as error:
            raise TaskFileError(f"{where}, level {level}, ladder: {error}") from None
    if ladder != sorted(set(ladder)):
        raise TaskFileError(f"{where}, level {level}: ladder must rise, not be {ladder}.")
    return tuple(ladder)


def _digest(  # noqa: PLR0917 -- all that decides a result
    file: _File,
    generator: Generator,
    origin: Origin | None,
    solved: float,
    budget: Budget,
    ladder: tuple[int, ...],
) -> str:
    """Return the SHA-256 of all that decides a result."""
    decides: Settings = {
        "generator": file.generator,
        "version": file.version,
        "metric": file.metric,
        "solved": solved,
        "settings": _fields_of(generator),
        "budget": _fields_of(budget),
    }
    if ladder:  # keys that came later count where they are used
        decides["ladder"] = ladder
    if origin:
        decides["source"] = origin.digest
    text = json.dumps(decides, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# --- checks -----------------------------------------------------------------------------


def _toml(where: str, text: str) -> Settings:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TaskFileError(f"{where} is not TOML: {error}.") from None


def _check_keys(where: str, table: Settings, kind: type) -> None:
    """Raise unless `table` has the keys of `kind`: all that have no default, and no other."""
    fields = dataclasses.fields(cast("Any", kind))
    _check_unknown(where, table, [one.name for one in fields])
    for one in fields:
        if one.default_factory is dataclasses.MISSING and one.name not in table:
            raise TaskFileError(f"{where} lacks the key {one.name!r}.")


def _check_unknown(where: str, table: Settings, known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise TaskFileError(f"{where} has an unknown key {key!r}{did_you_mean(key, known)}")


def _check_names(where: str, names: Mapping[str, Iterable[str]]) -> None:
    for kind, given in names.items():
        for name in given:
            if not _NAME.fullmatch(name):
                raise TaskFileError(
                    f"{where}: the name of a {kind} is of letters, digits, '-', '_' and '.', "
                    f"not {name!r}."
                )


def _table(where: str, path: str, value: object) -> Settings:
    return _convert(where, path, value, dict)


def _convert(where: str, path: str, value: object, kind: type[_T]) -> _T:
    """Return `value` as a `kind`, or raise with the path of the key that is wrong."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, at = str(error).partition(" - at ")
        inner = at.strip("`").removeprefix("$").removeprefix(".")
        key = ".".join(part for part in (path, inner) if part)
        what = what[0].lower() + what[1:].replace("`object`", "a table")
        raise TaskFileError(f"{where}: {key}: {what}.") from None


def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in dataclasses.fields(cast("Any", kind)))


def _fields_of(instance: object) -> Settings:
    return {name: getattr(instance, name) for name in _field_names(type(instance))}


# --- all files, and names ---------------------------------------------------------------


@functools.cache
def load_tasks() -> Mapping[str, Task]:
    """Return every task that ships with cellbench, by id.

    Raises:
        TaskFileError: A file is wrong.
    """
    tasks: dict[str, Task] = {}
    for name, text in sorted(_shipped().items()):
        if name == _SUITES:
            continue
        for task in parse_task_file(name, text).values():
            if task.id in tasks:
                raise TaskFileError(f"tasks/{name}.toml: {task.id} is in another file too.")
            tasks[task.id] = task
    return MappingProxyType(tasks)


@functools.cache
def load_suites() -> Mapping[str, Suite]:
    """Return every suite that ships with cellbench, by name.

    Raises:
        TaskFileError: The file of suites is wrong, or names a task that is not there.
    """
    return MappingProxyType(parse_suites(_shipped()[_SUITES], load_tasks()))


def parse_suites(text: str, tasks: Mapping[str, Task]) -> dict[str, Suite]:
    """Return the suites that the text of `tasks/suites.toml` describes, by name.

    A suite lists ids of `tasks`, families, or patterns.

    Raises:
        TaskFileError: The text is wrong, or names a task that is not in `tasks`.
    """
    where = f"tasks/{_SUITES}.toml"
    families = {task.family for task in tasks.values()}
    suites: dict[str, Suite] = {}
    for name, given in _toml(where, text).items():
        table = _table(where, name, given)
        _check_keys(f"{where} [{name}]", table, _SuiteEntry)
        entry = _convert(where, name, table, _SuiteEntry)
        if name in families:
            raise TaskFileError(f"{where}: {name} is the name of a task; give the suite another.")
        if not entry.levels:
            raise TaskFileError(f"{where} [{name}] has no levels.")
        try:
            levels = [task.id for item in entry.levels for task in _expand(item, tasks, {})]
        except UnknownNameError as error:
            raise TaskFileError(f"{where} [{name}]: {error}") from None
        suites[name] = Suite(name=name, summary=entry.summary, levels=tuple(dict.fromkeys(levels)))
    return suites


def find_task(task_id: str) -> Task:
    """Return the task that ships as `task_id`.

    Raises:
        UnknownNameError: There is none.
    """
    tasks = load_tasks()
    if task_id not in tasks:
        raise UnknownNameError("task", task_id, tasks)
    return tasks[task_id]


def find_suite(name: str) -> Suite:
    """Return the suite called `name`.

    Raises:
        UnknownNameError: There is none.
    """
    suites = load_suites()
    if name not in suites:
        raise UnknownNameError("suite", name, suites)
    return suites[name]


def resolve(names: str) -> tuple[Task, ...]:
    """Return the tasks of a list of names with commas between, each once, in that order.

    A name is an id (`copying/delay-100`), a family (`copying`), a pattern (`adding/*`), a
    suite (`quick`), or a task file of one's own: `FILE.toml`, or with a level or pattern
    `FILE.toml:delay-100`. A bare `FILE.toml` leaves its variants out, as a family does.

    Raises:
        UnknownNameError: A name is in no table.
        TaskFileError: A task file is wrong.
        OptionError: There is no name.
    """
    items = [item for item in (part.strip() for part in names.split(",")) if item]
    if not items:
        raise OptionError("No task is named; try copying/delay-10, or a suite such as quick.")
    found: dict[str, Task] = {}
    for item in items:
        for task in _expand(item, load_tasks(), load_suites()):
            if found.setdefault(task.id, task).digest != task.digest:
                raise TaskFileError(f"Two different tasks are called {task.id}; rename your file.")
    return tuple(found.values())


def _expand(item: str, tasks: Mapping[str, Task], suites: Mapping[str, Suite]) -> list[Task]:
    """Return the tasks that one name stands for."""
    if own := _OWN_FILE.fullmatch(item):
        return _own(own[1], own[2] or "")
    if item in tasks:
        return [tasks[item]]
    if item in suites:
        return [tasks[name] for name in suites[item].levels]
    found = [task for task in tasks.values() if item == task.family or fnmatchcase(task.id, item)]
    if not found:
        families = {task.family for task in tasks.values()}
        raise UnknownNameError("task", item, {*tasks, *families, *suites})
    return found


def _own(path: str, level: str) -> list[Task]:
    """Return the tasks of a user's own file whose level, or id, matches `level`."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise TaskFileError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise TaskFileError(f"{path} is not TOML: {error}.") from None
    tasks = parse_task_file(file.stem, text, where=path, root=file.parent)
    plain = [task for task in tasks.values() if task.family == file.stem]
    if not level:
        return plain
    found = [task for task in plain if fnmatchcase(task.level, level)]
    found = found or [task for task in tasks.values() if fnmatchcase(task.id, level)]
    if not found:
        hint = did_you_mean(level, [task.level for task in plain])
        raise TaskFileError(f"{path} has no level {level!r}{hint}")
    return found


def _shipped() -> dict[str, str]:
    """Return the text of every file in `tasks/`, by name without `.toml`."""
    return {
        file.name.removesuffix(".toml"): file.read_text(encoding="utf-8")
        for file in files("cellbench._tasks").iterdir()
        if file.name.endswith(".toml")
    }
