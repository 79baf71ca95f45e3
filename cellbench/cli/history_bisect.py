"""`cellbench history bisect`: a gate for every halving."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import click
import msgspec

from cellbench.cli.history_show import parse_share
from cellbench.errors import Exit
from cellbench.regress.bisect import Answer, Bisected, bisect
from cellbench.regress.commits import commits_between
from cellbench.verdicts import Finding, GateReport, Verdict

NOT_WORSE = {Verdict.EQUIVALENT, Verdict.IMPROVED, Verdict.ACCEPTED, Verdict.NEW}
WORSE = {Verdict.REGRESSED, Verdict.CHANGED}


def find(*, good: str, bad: str, cell: str, metric: str, threshold: str | None) -> Exit:
    """Bisect, say what was found, and return the exit code."""
    least = parse_share("--threshold", threshold) if threshold else 0.0
    commits = commits_between(good, bad)

    def judge(candidate: str) -> Answer:
        answer = _judge_with_gate(commits[0], candidate, cell, metric, least)
        click.echo(f"{candidate[:12]} {answer}", err=True)
        return answer

    found = bisect(commits, judge)
    click.echo(_said(found, cell, metric))
    return Exit.OK if len(found.suspects) == 1 else Exit.INCONCLUSIVE


def _said(found: Bisected, cell: str, metric: str) -> str:
    if found.problem:
        return f"{found.problem}."
    if len(found.suspects) == 1:
        return f"{found.suspects[0]} is the first commit with a worse {metric} of {cell}."
    skipped = "\n".join(found.suspects)
    return (
        f"The first commit with a worse {metric} of {cell} is one of these; all but the last "
        f"could not be told:\n{skipped}"
    )


def _judge_with_gate(good: str, candidate: str, cell: str, metric: str, least: float) -> Answer:
    """Gate `candidate` against `good`: exit code and report must agree for an answer."""
    options = ["--base", good, "--head", candidate, "--cells", cell, "--metrics", metric]
    code, text = _run([sys.executable, "-m", "cellbench", "gate", *options, "--format", "json"])
    if code not in {Exit.OK, Exit.REGRESSED}:
        return Answer.CANNOT_TELL
    try:
        report = msgspec.json.decode(text, type=GateReport)
    except msgspec.DecodeError:
        return Answer.CANNOT_TELL
    found = [one for one in report.findings if (one.cell, one.metric) == (cell, metric)]
    if report.void or len(found) != 1:
        return Answer.CANNOT_TELL
    return _answer(found[0], Exit(code), least)


def _answer(found: Finding, code: Exit, least: float) -> Answer:
    if code is Exit.OK and found.verdict in NOT_WORSE:
        return Answer.NOT_WORSE
    if code is Exit.REGRESSED and found.verdict in WORSE:
        small = found.ratio is not None and found.ratio < 1 + least
        return Answer.NOT_WORSE if small else Answer.WORSE
    return Answer.CANNOT_TELL


def _run(command: Sequence[str]) -> tuple[int, bytes]:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603 -- a list
    return done.returncode, done.stdout
