"""`cellbench export`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from cellbench.cli.options import DEFAULT_OUTPUT
from cellbench.errors import Exit, OptionError, StoreError
from cellbench.report.export import FORMATS, TABLES


@click.command(name="export")
@click.argument("results", nargs=-1, type=click.Path(path_type=Path), envvar="CELLBENCH_OUTPUT")
@click.option(
    "--to", "form", type=click.Choice(list(FORMATS)), required=True, help="Whose format to write."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="File, or a folder that is there; standard output if not given.",
)  # fmt: skip
@click.option("--samples", is_flag=True, help="csv, parquet: a row a timed block, raw.")
@click.option(
    "--direction", type=click.Choice(["smaller", "bigger"]), default=None,
    help="github-action-benchmark: values of which smaller or bigger is better. Without it, both "
    "files, in the folder -o.",
)  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    results: tuple[Path, ...],
    form: str,
    output: Path | None,
    *,
    samples: bool,
    direction: str | None,
) -> None:
    """Write the RESULTS for another program: folders that `run` or `perf` wrote to, or .jsonl.

    Several are read as one. By default, results/local.

    A table (csv, parquet) has a row for each failure too. The others have no place for one: what
    has no value is left out, never written as 0, and told; the exit code then is 4, though the
    file is whole, since a chart that loses a line looks like one where nothing is wrong. With
    nothing to export it is 5; with results of several machines, 6.
    """
    _check(form, samples=samples, direction=direction)
    from cellbench.report.export.ask import Ask
    from cellbench.store.folder import read_lines

    lines = [line for path in results or (DEFAULT_OUTPUT,) for line in read_lines(path)]
    ask = Ask(samples=samples, direction=direction or "")
    _write(importlib.import_module(FORMATS[form]).export(lines, ask), form, output)
    if form not in TABLES:
        from cellbench.report.export.points import left_out

        ctx.exit(_tell(left_out(lines)))


def _check(form: str, *, samples: bool, direction: str | None) -> None:
    if samples and form not in TABLES:
        raise OptionError(f"--samples is for {' and '.join(sorted(TABLES))}; {form} has no such.")
    if direction and form != "github-action-benchmark":
        raise OptionError(f"--direction is for github-action-benchmark; {form} needs none.")


def _write(files: Mapping[str, bytes], form: str, output: Path | None) -> None:
    if output is None:
        _print(files, form)
        return
    folder = output.is_dir() or len(files) > 1
    try:
        if folder:
            output.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (output / name if folder else output).write_bytes(content)
    except OSError as error:
        raise StoreError(
            f"Cannot write {output}: {error.strerror or error}. Choose another --output."
        ) from None


def _print(files: Mapping[str, bytes], form: str) -> None:
    if len(files) > 1:
        raise OptionError(f"{form} is {len(files)} files: give --direction, or a folder with -o.")
    (content,) = files.values()
    if form == "parquet":
        raise OptionError("Parquet is not for a terminal: give a file with -o.")
    click.echo(content.decode(), nl=False)


def _tell(found: Sequence[str]) -> Exit:
    for one in found:
        click.echo(f"Left out, since it has no value: {one}", err=True)
    return Exit.FAILED if found else Exit.OK
