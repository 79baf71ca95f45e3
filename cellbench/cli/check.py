"""`cellbench check`."""

from __future__ import annotations

import json

import click

from cellbench.cli.options import format_option
from cellbench.errors import Exit


@click.command(name="check")
@click.argument("cell")
@format_option
@click.pass_context
def command(ctx: click.Context, cell: str, form: str) -> None:
    """Check that CELL keeps its contract: shapes, gradients, state, parallel form, and more.

    CELL is a name, or FILE.py:CLASS. Exits with 4 if it does not.
    """
    from cellbench.plugins import check_buildable, parse_cell
    from cellbench.testing import check_cell

    spec = parse_cell(cell)
    check_buildable(spec)
    findings = check_cell(spec.build)
    rows = [
        {"id": f.check, "outcome": str(f.outcome.value), "message": f.message} for f in findings
    ]
    failed = sum(row["outcome"] == "failed" for row in rows)
    if form == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            detail = f"  {row['message']}" if row["message"] else ""
            click.echo(f"{row['outcome']:8}{row['id']}{detail}")
        click.echo(f"{spec.text}: {len(rows) - failed} of {len(rows)} hold")
    ctx.exit(Exit.FAILED if failed else Exit.OK)
