"""`cellbench check`."""

from __future__ import annotations

import json
from collections import Counter

import click

from cellbench.errors import Exit


@click.command(name="check")
@click.argument("cell")
@click.option("--hidden", type=click.IntRange(1), default=4, show_default=True, help="Cell width.")
@click.option("--input", "features", type=click.IntRange(1), default=3, show_default=True)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
@click.pass_context
def command(ctx: click.Context, cell: str, hidden: int, features: int, form: str) -> None:
    """Check that CELL keeps its contract: shapes, gradients, state, parallel form, and more.

    CELL is a name, or FILE.py:CLASS. Exits with 4 if it does not.
    """
    from cellbench.plugins import check_buildable, parse_cell
    from cellbench.testing import check_cell

    spec = parse_cell(cell)
    check_buildable(spec, features, hidden)
    findings = check_cell(spec.build, input_size=features, hidden_size=hidden)
    rows = [
        {"id": f.check, "outcome": str(f.outcome.value), "message": f.message} for f in findings
    ]
    count = Counter(row["outcome"] for row in rows)
    if form == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            detail = f"  {row['message']}" if row["message"] else ""
            click.echo(f"{row['outcome']:8}{row['id']}{detail}")
        counted = f"{count['passed']} passed, {count['failed']} failed"
        click.echo(f"{spec.text}: {counted}, {count['skipped']} do not apply")
    ctx.exit(Exit.FAILED if count["failed"] else Exit.OK)
