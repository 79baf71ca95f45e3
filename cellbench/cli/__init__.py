"""The command line: options in, one call, print, exit code. One command a module.

A command's module is imported when the command is used, and imports what it needs when it runs:
`cellbench --help` must not wait for torch.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

from cellbench import __version__
from cellbench.errors import CellbenchError, Exit, did_you_mean

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "run": ("cellbench.cli.run", "Train and measure cells on tasks; print a table."),
        "report": ("cellbench.cli.report", "Print the table of earlier results."),
        "gate": ("cellbench.cli.gate", "Tell whether a change made cells worse; for CI."),
        "calibrate": ("cellbench.cli.calibrate", "Measure how well a gate can tell here."),
        "perf": ("cellbench.cli.perf", "Time cells at many sizes; tables, exponents, plots."),
        "history": ("cellbench.cli.history", "Speed over commits: changes, and who made them."),
        "export": ("cellbench.cli.export", "Write results for other programs: CSV, Bencher, ..."),
        "list": ("cellbench.cli.names", "List cells, tasks or suites."),
        "show": ("cellbench.cli.explain", "Show a cell: equations, options, what it was held to."),
        "check": ("cellbench.cli.check", "Check that a cell keeps its contract."),
        "doctor": ("cellbench.cli.doctor", "Say what this machine is, and what may disturb."),
    }
)
"""Name -> module with a function `command`, and one line of help."""


class Commands(click.Group):
    """Imports a command when it is used; turns what it raises into a message and an exit code."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            raise _in_one_line(error) from None

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMANDS)
            ctx.fail(f"There is no command {args[0]!r}{hint} `cellbench --help` shows all.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _in_one_line(error) from None
        except CellbenchError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit)
        except KeyboardInterrupt:  # click would exit 1, which is our "regressed"
            click.echo("Interrupted.", err=True)
            ctx.exit(Exit.INTERRUPTED)
        except BrokenPipeError:  # click would exit 1, which is our "regressed"
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(Exit.UNREAD)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception:  # noqa: BLE001 -- Python would exit 1, which is our "regressed"
            click.echo(traceback.format_exc(), err=True)
            click.echo("Error: this is a defect of cellbench; please report it.", err=True)
            ctx.exit(Exit.FAILED)


class _Mistake(click.ClickException):
    """A usage error without the lines on usage before it."""

    exit_code = Exit.USAGE


def _in_one_line(error: click.UsageError) -> click.ClickException:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # it is there to show the usage
        return error
    return _Mistake(" ".join(error.format_message().split()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cellbench")
def main() -> None:
    """Tell whether a recurrent cell learns long-term tasks, how surely, and at what cost.

    \b
    cellbench run --cells lstm,hyperlstm
    cellbench run --cells lstm,my_cell.py:MyCell --tasks copying/delay-100 --seeds 5
    cellbench report
    """  # noqa: D301 -- click's mark for lines to leave as they are
