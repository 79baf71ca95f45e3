"""`cellbench history`, as a user and a CI job go it: commands in, output and exit codes out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from histories import SLOWER_FROM, commit, drifting, flat, missing, point, write
from records import ENVIRONMENT, measurement, timings

from cellbench.cli import history_bisect, main
from cellbench.errors import Exit
from cellbench.regress.bisect import Answer
from cellbench.store.folder import Folder
from cellbench.store.journal import Journal
from cellbench.verdicts import Finding, GateReport, HistoryLine, HistoryPoint, Kind, Verdict

HISTORY = Path("results/history.jsonl")
PAGE = Path(__file__).parents[2] / "docs" / "history.md"
BLOCKS = re.findall(r"```console\n\$ cellbench (.*?)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A repository of three commits; the last but one is the folder's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "A")
        monkeypatch.setenv(f"{name}_EMAIL", "a@b.c")
    git("init", "--quiet", "--initial-branch", "main")
    for day in (1, 2, 3):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-03-0{day}T12:00:00+01:00")
        git("commit", "--quiet", "--allow-empty", "--message", str(day))
    return tmp_path


def git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def history(*arguments: str):
    return CliRunner().invoke(main, ["history", *arguments])


def measured(name: str, **changes) -> str:
    """Write a results folder in which GRU takes three times as long as LSTM."""
    folder = Folder(Path(name))
    folder.journal.append(ENVIRONMENT)
    given = {"commit": git("rev-parse", "HEAD"), "run_id": name} | changes
    folder.journal.append(measurement("lstm", **given))
    folder.journal.append(measurement("gru", **given, train_step=timings(0.03)))
    return name


def points() -> dict[str, HistoryPoint]:
    found = [line for line in Journal(HISTORY, HistoryLine) if isinstance(line, HistoryPoint)]
    return {f"{one.cell} {one.metric}": one for one in found}


@pytest.mark.usefixtures("here")
def test_a_run_is_appended_once_with_what_git_knows() -> None:
    folder = measured("run")
    first = history("append", folder)
    gru = points()["gru train_step"]

    assert first.exit_code == 0, first.output
    assert first.stdout == "14 points appended to results/history.jsonl.\n"
    assert (gru.commit, gru.branch) == (git("rev-parse", "HEAD"), "main")
    assert gru.committed_at == "2026-03-03T11:00:00+00:00"
    assert gru.ratio == pytest.approx(3.0)
    again = history("append", folder)
    assert again.exit_code == 0
    assert again.stdout == ("0 points appended to results/history.jsonl; 14 were there before.\n")
    assert history("append", folder, "--branch", "topic", "--history", "b.jsonl").exit_code == 0
    assert Path("b.jsonl").read_text().count('"branch":"topic"') == 14


@pytest.mark.usefixtures("here")
def test_changed_files_are_refused_unless_allowed_and_nothing_is_written() -> None:
    clean, dirty = measured("clean"), measured("dirty", commit=git("rev-parse", "HEAD") + "-dirty")
    refused = history("append", clean, dirty)

    assert refused.exit_code == Exit.USAGE
    assert "--allow-dirty" in refused.stderr
    assert not HISTORY.exists()
    assert history("append", clean, dirty, "--allow-dirty").exit_code == 0
    assert points()["gru train_step"].dirty
    shown = json.loads(history("show", "--format", "json").stdout)
    assert {len(one["entries"]) for one in shown} == {2}


@pytest.mark.usefixtures("here")
def test_nothing_to_append_is_no_success() -> None:
    Folder(Path("empty")).journal.append(ENVIRONMENT)

    assert history("append", "empty").exit_code == Exit.NOTHING
    assert history("append", "nowhere").exit_code == Exit.USAGE
    assert history("append").exit_code == Exit.USAGE
    assert not HISTORY.exists()


@pytest.mark.usefixtures("here")
def test_without_the_reference_it_is_said_and_a_wrong_one_is_an_error() -> None:
    folder = Folder(Path("run"))
    folder.journal.append(ENVIRONMENT)
    folder.journal.append(measurement("gru", commit=git("rev-parse", "HEAD")))
    done = history("append", "run")

    assert done.exit_code == 0
    assert "run: lstm was not measured, so there is no ratio" in done.stderr
    assert points()["gru train_step"].ratio is None
    assert history("append", "run", "--reference", "rnn").exit_code == Exit.USAGE


@pytest.mark.usefixtures("here")
def test_a_void_gate_is_not_kept() -> None:
    Path("gate.json").write_bytes(msgspec.json.encode(gate(void="the control moved")))
    done = history("append", "gate.json")

    assert done.exit_code == Exit.NOTHING
    assert "gate.json is void, and nothing in it is kept: the control moved" in done.stderr


@pytest.mark.usefixtures("here")
def test_a_torn_line_is_told_and_never_success() -> None:
    write(HISTORY, flat(25))
    with HISTORY.open("a") as file:
        file.write('{"kind":"po')
    shown, judged = history("show"), history("show", "--fail-on", "change")

    assert (shown.exit_code, judged.exit_code) == (0, Exit.USAGE)
    assert "the last line was cut short; a point is missing" in shown.stderr
    assert judged.stdout == ""
    assert "cut short" in history("append", measured("run")).stderr
    assert history("show", "--fail-on", "change", "--cells", "gru").exit_code == 0


@pytest.mark.usefixtures("here")
def test_damage_in_the_middle_is_an_error() -> None:
    write(HISTORY, flat(25))
    HISTORY.write_text(HISTORY.read_text().replace('"kind":"point"', '"kind":"pont"', 1))

    assert history("show").exit_code == Exit.USAGE


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("lines", "options", "code"),
    [
        (drifting(), ["change"], Exit.REGRESSED),
        (drifting(), ["change", "--recent", "3"], Exit.OK),
        (drifting(), ["change", "--min-change", "30%"], Exit.OK),
        (drifting(), ["change", "--cells", "lstm"], Exit.NOTHING),
        (drifting(slower=0.8), ["change"], Exit.OK),
        (flat(25), ["change"], Exit.OK),
        (flat(19), ["change"], Exit.NOTHING),
        (flat(19), ["change", "--min-points", "10"], Exit.OK),
        ([*flat(25), missing(point(25))], ["change"], Exit.FAILED),
        ([*flat(25), *flat(5, cell="rnn")], ["change"], Exit.OK),
        ([*flat(25), *flat(5, cell="rnn")], ["inconclusive"], Exit.INCONCLUSIVE),
        ([], ["change"], Exit.NOTHING),
    ],
)
def test_exit_codes(lines, options, code) -> None:
    write(HISTORY, lines)

    assert history("show", "--fail-on", *options).exit_code == code


@pytest.mark.usefixtures("here")
def test_what_fails_is_named_on_standard_error() -> None:
    write(HISTORY, [*drifting(), *flat(5, cell="rnn"), missing(point(50, "rnn", reference="x"))])
    done = history("show", "--fail-on", "change", "--format", "csv")

    assert re.search(r"^worse: gru train_step.*for the worse$", done.stderr, re.MULTILINE)
    assert re.search(r"^failed: rnn train_step.*RuntimeError: no$", done.stderr, re.MULTILINE)
    assert re.search(r"^cannot be judged: rnn train_step", done.stderr, re.MULTILINE)
    assert "worse:" not in done.stdout


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "options",
    [
        ["--cells", "grru"], ["--metrics", "time"], ["--since", "nothing"],
        ["--min-change", "much"], ["--min-change", "-1%"], ["--min-change", "100%"],
        ["--fail-on", "luck"], ["--min-points", "3"],
    ],
)  # fmt: skip
def test_a_misprint_is_never_a_history_without_change(options) -> None:
    write(HISTORY, flat(25))

    assert history("show", *options).exit_code == Exit.USAGE


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "cells", "lengths"),
    [
        ([], ["gru", "lstm"], [40, 40]),
        (["--cells", "gru"], ["gru"], [40]),
        (["--metrics", "train_step"], ["gru", "lstm"], [40, 40]),
        (["--since", commit(30)[:9]], ["gru", "lstm"], [10, 10]),
        (["--branch", "main"], ["gru", "lstm"], [40, 40]),
    ],
)
def test_only_what_is_asked_for_is_shown(options, cells, lengths) -> None:
    write(HISTORY, drifting())
    found = json.loads(history("show", "--format", "json", *options).stdout)

    assert [one["cell"] for one in found] == cells
    assert [len(one["entries"]) for one in found] == lengths


@pytest.mark.usefixtures("here")
def test_another_branch_has_nothing() -> None:
    write(HISTORY, drifting())

    assert history("show", "--branch", "topic").exit_code == Exit.NOTHING


def test_since_asks_git(here) -> None:
    for day in (1, 2, 3):
        name = f"run-{day}"
        git("checkout", "--quiet", "--detach", f"main~{3 - day}")
        history("append", measured(name))
    found = json.loads(history("show", "--since", "main~1", "--format", "json").stdout)

    assert {len(one["entries"]) for one in found} == {2}
    assert (here / HISTORY).exists()


@pytest.mark.usefixtures("here")
def test_an_acknowledged_change_passes_and_one_that_is_gone_is_told() -> None:
    write(HISTORY, drifting())
    arguments = [commit(SLOWER_FROM)[:7], "gru", "train_step", "--reason", "it learns more"]
    done = history("acknowledge", *arguments)

    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("for the worse, acknowledged: it learns more\n")
    assert history("show", "--fail-on", "change").exit_code == 0
    assert history("acknowledge", commit(3), *arguments[1:]).exit_code == Exit.USAGE
    HISTORY.unlink()
    write(HISTORY, flat(25))
    assert "gru train_step at 2525252 is no change for the worse" in history("show").stderr


def gate(verdict: Verdict = Verdict.EQUIVALENT, ratio: float | None = 1.0, **changes) -> GateReport:
    finding = Finding(cell="gru", metric="train_step", kind=Kind.TIME, verdict=verdict, ratio=ratio)
    given = {"run_id": "g", "base": "b", "base_commit": "b", "head_commit": "h"}
    return GateReport(**given | {"findings": (finding,)} | changes)


@pytest.mark.parametrize(
    ("code", "report", "answer"),
    [
        (0, gate(), Answer.NOT_WORSE),
        (0, gate(Verdict.IMPROVED, 0.9), Answer.NOT_WORSE),
        (1, gate(Verdict.REGRESSED, 1.2), Answer.WORSE),
        (1, gate(Verdict.REGRESSED, 1.04), Answer.NOT_WORSE),  # below the threshold of 5 %
        (1, gate(Verdict.CHANGED, None), Answer.WORSE),
        (0, gate(Verdict.INCONCLUSIVE, 1.1), Answer.CANNOT_TELL),
        (0, gate(Verdict.FAILED, None), Answer.CANNOT_TELL),
        (0, gate(Verdict.REGRESSED, 1.2), Answer.CANNOT_TELL),
        (1, gate(), Answer.CANNOT_TELL),
        (0, gate(void="the control moved"), Answer.CANNOT_TELL),
        (0, gate(findings=()), Answer.CANNOT_TELL),
        (0, None, Answer.CANNOT_TELL),
        *((code, gate(), Answer.CANNOT_TELL) for code in (2, 3, 4, 5, 6, 130, -9)),
    ],
)
def test_only_a_clear_gate_is_an_answer(monkeypatch, code, report, answer) -> None:
    text = msgspec.json.encode(report) if report else b"Traceback"
    asked = []
    monkeypatch.setattr(history_bisect, "_run", lambda argv: asked.append(argv) or (code, text))

    judge = history_bisect._judge_with_gate  # noqa: SLF001 -- the seam between driver and gate
    assert judge("good", "this", "gru", "train_step", 0.05) is answer
    assert asked[0][3:] == [
        "gate", "--base", "good", "--head", "this", "--cells", "gru", "--metrics", "train_step",
        "--format", "json",
    ]  # fmt: skip


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ("-++", Exit.OK, "{1} is the first commit with a worse train_step of gru."),
        ("--+", Exit.OK, "{2} is the first commit"),
        ("-?+", Exit.INCONCLUSIVE, "could not be told:\n{1}\n{2}"),
        ("---", Exit.INCONCLUSIVE, "there is nothing to find."),
        ("+-+", Exit.INCONCLUSIVE, "worse than itself"),
    ],
)
def test_bisecting_a_repository(monkeypatch, answers, code, said) -> None:
    commits = git("rev-list", "--reverse", "HEAD").split()
    known = dict(zip(commits, answers, strict=True))
    letters = {"-": Answer.NOT_WORSE, "+": Answer.WORSE, "?": Answer.CANNOT_TELL}
    monkeypatch.setattr(
        history_bisect, "_judge_with_gate", lambda _good, candidate, *_: letters[known[candidate]]
    )
    wanted = ["--good", "HEAD~2", "--bad", "main", "--cell", "gru", "--metric", "train_step"]
    done = history("bisect", *wanted)

    assert done.exit_code == code
    assert said.format(*commits) in done.stdout


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("ends", [("HEAD", "HEAD"), ("HEAD", "HEAD~1"), ("nowhere", "HEAD")])
def test_bisecting_needs_commits_one_after_the_other(ends) -> None:
    good, bad = ends
    options = ["--good", good, "--bad", bad, "--cell", "gru", "--metric", "train_step"]

    assert history("bisect", *options).exit_code == Exit.USAGE


@pytest.mark.usefixtures("here")
def test_the_page_is_true(monkeypatch) -> None:
    """Its blocks, one after the other, on the history that it speaks of."""
    write(HISTORY, [*drifting(), *drifting(7, env="other")])
    monkeypatch.setattr(
        history_bisect,
        "_judge_with_gate",
        lambda _good, candidate, *_: (
            Answer.WORSE if candidate == git("rev-parse", "HEAD") else Answer.NOT_WORSE
        ),
    )
    measured("results/local")
    for command, shown in BLOCKS:
        arguments = shlex.split(command.replace("v1.2", "HEAD~2"))
        given = CliRunner().invoke(main, arguments).stdout
        given = given.replace(git("rev-parse", "HEAD"), "5" * 40)
        assert [line.rstrip() for line in given.splitlines()] == shown.splitlines(), command
    assert {command.split()[1] for command, _ in BLOCKS} == {
        "append", "show", "acknowledge", "bisect",
    }  # fmt: skip
