"""The GitHub action, the GitLab template and docs/ci.md: they parse, and do what they say."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import plain_yaml
import pytest

from cellbench.cli import COMMANDS
from cellbench.errors import Exit
from cellbench.report.gate_markdown import COMMENT_BYTES, MARKER
from cellbench.report.gate_rows import Overall
from cellbench.verdicts import Verdict

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "ci").glob("*.sh"))
DOCS = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
YAML = {
    "action.yml": (ROOT / "action.yml").read_text(encoding="utf-8"),
    "gitlab.yml": (ROOT / "ci" / "gitlab.yml").read_text(encoding="utf-8"),
    **{
        text.partition("\n")[0].removeprefix("# "): text
        for text in re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    },
}
ACTION = plain_yaml.read(YAML["action.yml"])
GITLAB = plain_yaml.read(YAML["gitlab.yml"])["cellbench-gate"]
COMMENT = plain_yaml.read(YAML[".github/workflows/gate-comment.yml"])
INLINE = {
    "gitlab": GITLAB["script"][0],
    **{f"action: {s['name']}": s["run"] for s in ACTION["runs"]["steps"] if "run" in s},
    **{
        f"comment: {s['name']}": s["run"] for s in COMMENT["jobs"]["comment"]["steps"] if "run" in s
    },
}

FAKE = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$CALLED"
[ -z "${SAYS:-}" ] || printf 'verdict=%s\\nexit-code=%s\\n' "$SAYS" "$CODE" >>"$GITHUB_OUTPUT"
exit "$CODE"
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """A folder with a fake cellbench and pip on PATH, and what a runner sets."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("cellbench", "python"):
        (programs / name).write_text(FAKE)
        (programs / name).chmod(0o755)
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLED": str(tmp_path / "called"),
        "CODE": "0",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_ACTION_PATH": str(ROOT),
        "REPORTS": str(tmp_path / "reports of a gate"),
        "BASE": "origin/main",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
    monkeypatch.chdir(tmp_path)
    return environ


def run(script: Path | str, environ: dict[str, str], shell: str = "bash", **changes: str):
    command = [shell, str(script)] if isinstance(script, Path) else [shell, "-c", script]
    return subprocess.run(
        command, env=environ | changes, capture_output=True, text=True, check=False
    )


def outputs(environ: dict[str, str]) -> dict[str, str]:
    path = Path(environ["GITHUB_OUTPUT"])
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(line.split("=", 1) for line in lines)


def called(environ: dict[str, str]) -> list[str]:
    return Path(environ["CALLED"]).read_text().splitlines()


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *who, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path) -> Path:
    """A repository whose branch `change` left `main` two commits ago, and which has a tag."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for n in range(3):
        git(folder, "commit", "-q", "--allow-empty", "-m", f"main {n}")
    git(folder, "tag", "v1")
    git(folder, "checkout", "-q", "-b", "change")
    for n in range(3):
        git(folder, "commit", "-q", "--allow-empty", "-m", f"change {n}")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    return folder


def clone(origin: Path, *options: str) -> Path:
    folder = origin.parent / "clone"
    git(origin, "clone", "-q", *options, "--branch", "change", f"file://{origin}", str(folder))
    return folder


# What is written in them


@pytest.mark.parametrize("name", YAML)
def test_the_yaml_parses(name) -> None:
    assert plain_yaml.read(YAML[name])


def test_another_reader_of_yaml_agrees() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed; our own reader read it")
    for text in YAML.values():
        found = plain_yaml.read(text)
        if "on" in found:
            found[True] = found.pop("on")  # what YAML 1.1 makes of it

        assert yaml.safe_load(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "a: b: c",
        "a:\n\t- b",
        "a: &x b",
        "a: 1\na: 2",
        "a: 1\n  b: 2",
        "a: {b: c}",
        "a: *x",
        "- - a:",
    ],
)
def test_our_own_reader_refuses_what_it_does_not_know(text) -> None:
    with pytest.raises(plain_yaml.PlainYamlError):
        plain_yaml.read(text)


@pytest.mark.parametrize("script", [*INLINE.values(), *SCRIPTS], ids=[*INLINE, *map(str, SCRIPTS)])
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_scripts_parse(script, shell, tmp_path) -> None:
    if shell == "sh" and script != INLINE["gitlab"]:
        return  # only GitLab may lack bash
    path = script if isinstance(script, Path) else tmp_path / "script"
    if path != script:
        path.write_text(script)
    done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", INLINE)
def test_no_input_is_pasted_into_a_script(name) -> None:
    assert "${{" not in INLINE[name]
    assert "eval" not in INLINE[name]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_evaluates_text(path) -> None:
    code = [line for line in path.read_text().splitlines() if not line.startswith("#")]

    assert not re.search(r"\b(eval|source|bash -c|sh -c)\b", "\n".join(code))


def test_nothing_runs_a_fork_s_code_with_a_token_that_can_write() -> None:
    gate = plain_yaml.read(YAML[".github/workflows/gate.yml"])

    assert all("pull_request_target" not in text for text in (*YAML.values(), DOCS))
    assert gate["permissions"] == {"contents": "read"}
    assert "checkout" not in YAML[".github/workflows/gate-comment.yml"]
    assert COMMENT["on"]["workflow_run"]["workflows"] == [gate["name"]]


def test_every_input_is_used_and_only_those() -> None:
    steps = YAML["action.yml"].partition("runs:")[2]

    assert set(re.findall(r"inputs\.([\w-]+)", steps)) == set(ACTION["inputs"])
    with_inputs = plain_yaml.read(YAML[".github/workflows/gate.yml"])["jobs"]["gate"]["steps"][1]
    assert set(with_inputs["with"]) <= set(ACTION["inputs"])


def test_every_output_comes_of_a_step_that_is_there() -> None:
    ids = {step["id"] for step in ACTION["runs"]["steps"] if "id" in step}
    used = {i for o in ACTION["outputs"].values() for i in re.findall(r"steps\.(\w+)", o["value"])}

    assert used <= ids


def test_the_reports_are_kept_whatever_happened() -> None:
    last = ACTION["runs"]["steps"][-1]

    assert last["uses"].startswith("actions/upload-artifact@")
    assert last["if"] == "always()"
    assert GITLAB["artifacts"]["when"] == "always"
    assert GITLAB["artifacts"]["reports"] == {"junit": "$CELLBENCH_REPORTS/junit.xml"}
    assert GITLAB["allow_failure"] == {"exit_codes": [Exit.INCONCLUSIVE]}
    assert GITLAB["variables"]["GIT_DEPTH"] == "0"


def test_the_comment_is_found_by_the_mark_and_fits() -> None:
    (script,) = [text for name, text in INLINE.items() if name.startswith("comment")]

    assert f"mark='{MARKER}'" in script
    assert f"-ge {COMMENT_BYTES}" in script


# What they do


def test_the_gate_s_words_are_passed_on_and_its_exit_code_and_verdict_too(runner) -> None:
    done = run(
        ROOT / "ci" / "gate.sh", runner, CELLS="lstm,a.py:B(c=1)", METRICS="train_step",
        FAIL_ON="inconclusive, missing", ARGS="--launches 12\n  --margin 5%\n", SAYS="regressed",
        CODE="1",
    )  # fmt: skip
    reports = runner["REPORTS"]

    assert done.returncode == 1, done.stderr
    assert called(runner) == [
        "gate", "--base=origin/main", f"--output={reports}/raw", f"--junit={reports}/junit.xml",
        f"--json={reports}/gate.json", f"--markdown={reports}/gate.md", "--cells=lstm,a.py:B(c=1)",
        "--metrics=train_step", "--fail-on=inconclusive", "--fail-on=missing", "--launches", "12",
        "--margin", "5%",
    ]  # fmt: skip
    assert outputs(runner) == {"verdict": "regressed", "exit-code": "1"}
    assert Path(reports).is_dir()


def test_what_is_not_asked_for_is_not_passed_on(runner) -> None:
    done = run(ROOT / "ci" / "gate.sh", runner, SAYS="passed")

    assert done.returncode == 0
    assert len(called(runner)) == 6
    assert outputs(runner)["verdict"] == "passed"


@pytest.mark.parametrize(
    ("code", "verdict"),
    [(2, "error"), (4, "error"), (5, "nothing"), (6, "incomparable"), (130, "interrupted")],
)
def test_a_gate_that_ended_before_its_verdict_has_one_for_later_steps(
    code, verdict, runner
) -> None:
    done = run(ROOT / "ci" / "gate.sh", runner, CODE=str(code))

    assert done.returncode == code
    assert outputs(runner) == {"verdict": verdict, "exit-code": str(code)}


@pytest.mark.parametrize("place", ["BASE", "CELLS", "METRICS", "FAIL_ON", "ARGS", "INSTALL"])
def test_text_that_looks_like_code_stays_text(place, runner, tmp_path) -> None:
    bad = "$(touch${IFS}pwned);`touch${IFS}pwned`;*;\";touch${IFS}pwned;'"
    for name in ("gate.sh", "install.sh", "fetch_base.sh"):
        run(ROOT / "ci" / name, runner, **{place: bad})

    assert not list(tmp_path.rglob("pwned"))
    if place not in {"INSTALL", "FAIL_ON", "BASE"}:
        assert any(bad in word for word in _gate_words(runner, place, bad))


def _gate_words(runner, place: str, text: str) -> list[str]:
    run(ROOT / "ci" / "gate.sh", runner, **{place: text})
    return called(runner)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [("", [str(ROOT)]), ("  ", [str(ROOT)]), ("-r a.txt cellbench[pytest]",
     ["-r", "a.txt", "cellbench[pytest]"])],
)  # fmt: skip
def test_what_is_installed_is_this_version_or_what_was_asked(wanted, words, runner) -> None:
    (Path(runner["PATH"].split(":")[0]) / "cellbench").write_text("#!/bin/sh\n")
    done = run(ROOT / "ci" / "install.sh", runner, INSTALL=wanted)

    assert done.returncode == 0, done.stderr
    assert called(runner)[:3] == ["-m", "pip", "install"]
    assert called(runner)[5:] == words


def test_an_installation_that_fails_is_no_gate(runner) -> None:
    assert run(ROOT / "ci" / "install.sh", runner, CODE="1").returncode != 0


def find_base(folder: Path, environ: dict[str, str], **changes: str):
    script = f'cd "{folder}" && exec bash "{ROOT}/ci/fetch_base.sh"'
    return run(script, environ, **changes)


@pytest.mark.parametrize("options", [(), ("--depth", "1"), ("--single-branch",)])
@pytest.mark.parametrize(
    ("changes", "base"),
    [
        ({"BASE": "", "GITHUB_BASE_REF": "main"}, "origin/main"),
        ({"BASE": "origin/main"}, "origin/main"),
        ({"BASE": "v1"}, "v1"),
    ],
)
def test_a_base_is_found_or_fetched(options, changes, base, origin, runner) -> None:
    folder = clone(origin, *options)
    done = find_base(folder, runner, **changes)

    assert done.returncode == 0, done.stdout
    assert outputs(runner) == {"base": base}
    assert git(folder, "merge-base", base, "HEAD") == git(origin, "rev-parse", "main")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"BASE": ""}, 'the input "base" must name a revision'),
        ({"BASE": "--upload-pack=x"}, "is no revision"),
        ({"BASE": "a\nverdict=passed"}, "is no revision: a%0Averdict=passed"),
        ({"BASE": "no/such%branch"}, "git knows no no/such%25branch"),
        ({"BASE": "", "GITHUB_BASE_REF": "gone"}, "git knows no origin/gone"),
    ],
)
def test_no_base_is_exit_code_5_with_an_error_that_says_what_to_do(
    changes, said, origin, runner
) -> None:
    done = find_base(clone(origin), runner, **changes)

    assert done.returncode == Exit.NOTHING
    assert done.stdout.startswith("::error title=cellbench::")
    assert said in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert outputs(runner) == {}


def test_a_shallow_clone_that_cannot_fetch_says_fetch_depth(origin, runner) -> None:
    folder = clone(origin, "--depth", "1", "--no-single-branch")
    git(folder, "remote", "set-url", "origin", "file:///nowhere")
    done = find_base(folder, runner, BASE="origin/main")

    assert done.returncode == Exit.NOTHING
    assert "no commit in common here. Give actions/checkout fetch-depth: 0" in done.stdout


def test_no_repository_is_said(runner, tmp_path) -> None:
    done = find_base(tmp_path, runner, GIT_CEILING_DIRECTORIES=str(tmp_path.parent))

    assert done.returncode == Exit.NOTHING
    assert "no git repository here" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_gitlab_compares_with_where_the_request_left_its_target(shell, origin, runner) -> None:
    folder = clone(origin)
    base = git(origin, "rev-parse", "main")
    done = run(
        f'cd "{folder}"\n{INLINE["gitlab"]}', runner | gitlab_variables(), shell,
        CI_MERGE_REQUEST_DIFF_BASE_SHA=base, CI_MERGE_REQUEST_TARGET_BRANCH_NAME="main",
        CELLBENCH_ARGS="--cells a.py:B(c=*) --fail-on inconclusive",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert called(runner) == [
        "gate", f"--base={base}", "--output=cellbench-gate/raw",
        "--junit=cellbench-gate/junit.xml", "--json=cellbench-gate/gate.json",
        "--markdown=cellbench-gate/gate.md", "--cells", "a.py:B(c=*)", "--fail-on", "inconclusive",
    ]  # fmt: skip
    assert (folder / "cellbench-gate").is_dir()


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5])
def test_gitlab_passes_the_exit_code_on(code, origin, runner) -> None:
    (Path(runner["PATH"].split(":")[0]) / "python").write_text("#!/bin/sh\n")
    folder = clone(origin)
    done = run(
        f'cd "{folder}"\n{INLINE["gitlab"]}', runner | gitlab_variables(), CODE=str(code),
        CELLBENCH_BASE="origin/main",
    )  # fmt: skip

    assert done.returncode == code


@pytest.mark.parametrize("base", ["", "0123456789012345678901234567890123456789"])
def test_gitlab_without_a_base_is_exit_code_5(base, origin, runner) -> None:
    folder = clone(origin)
    done = run(
        f'cd "{folder}"\n{INLINE["gitlab"]}', runner | gitlab_variables(), CELLBENCH_BASE=base
    )

    assert done.returncode == Exit.NOTHING
    assert not Path(runner["CALLED"]).exists()


def gitlab_variables() -> dict[str, str]:
    return {name: str(value) for name, value in GITLAB["variables"].items()}


GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" | tr '\\n' ' ' >>"$CALLED"
echo >>"$CALLED"
case "$*" in
  *--paginate*) printf '%s\\n' ${COMMENTS:-} ;;
  *pulls*) echo "${PULL:-}" ;;
esac
"""


@pytest.fixture
def commenter(runner, tmp_path):
    """The script of the workflow that comments, with a fake gh."""
    (script,) = [text for name, text in INLINE.items() if name.startswith("comment")]
    path = tmp_path / "programs" / "gh"
    path.write_text(GH)
    path.chmod(0o755)
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "gate.md").write_text(f"{MARKER}\n**no regression**\n")
    given = {"REPO": "a/b", "OWNER": "c", "BRANCH": "d", "COMMIT": "e"}
    return lambda **changes: run(script, runner | given, **changes)


@pytest.mark.parametrize(
    ("comments", "last"),
    [
        ("", "api --method POST repos/a/b/issues/7/comments -F body=@gate/gate.md"),
        ("41 42", "api --method PATCH repos/a/b/issues/comments/41 -F body=@gate/gate.md"),
    ],
)
def test_a_comment_is_written_or_replaced(comments, last, commenter, runner) -> None:
    done = commenter(PULL="7", COMMENTS=comments)

    assert done.returncode == 0, done.stderr
    assert "head=c:d" in called(runner)[0]
    assert '.head.sha == "e"' in called(runner)[0]
    assert f'startswith("{MARKER}")' in called(runner)[1]
    assert called(runner)[-1].strip() == last


def test_no_comment_where_there_is_no_pull_request_or_no_file(commenter, runner, tmp_path) -> None:
    assert commenter(PULL="").returncode == 0
    assert len(called(runner)) == 1

    (tmp_path / "gate" / "gate.md").unlink()
    (tmp_path / "gate" / "gate.md").symlink_to("/etc/hostname")
    assert commenter(PULL="7").returncode == 0
    assert len(called(runner)) == 1, "a link is no report"


def test_a_text_that_is_too_large_is_no_comment(commenter, runner, tmp_path) -> None:
    (tmp_path / "gate" / "gate.md").write_text("x" * COMMENT_BYTES)

    assert commenter(PULL="7").returncode == 1
    assert not Path(runner["CALLED"]).exists()


# What they ask of cellbench


def options_in(text: str) -> set[tuple[str, str]]:
    """Return the commands of cellbench in a text, and the options given to each."""
    joined = text.replace("\\\n", " ")
    found = re.findall(r"cellbench ([a-z]+)([^\n`|]*)", joined)
    spoken = {("gate", option) for option in re.findall(r"`(--[a-z-]+)[^`]*`", joined)}
    used = {
        (name, option) for name, rest in found for option in re.findall(r"--[a-z][a-z-]*", rest)
    }
    return used | spoken


def test_every_option_that_is_used_exists(runner) -> None:
    if importlib.util.find_spec("cellbench.cli.gate") is None:
        pytest.skip("there is no `cellbench gate` yet to ask for its options")
    command = importlib.import_module("cellbench.cli.gate").command
    known = {option for parameter in command.params for option in parameter.opts}
    run(ROOT / "ci" / "gate.sh", runner, CELLS="a", METRICS="b", FAIL_ON="inconclusive")
    passed = {("gate", word.partition("=")[0]) for word in called(runner) if word.startswith("--")}
    written = options_in(DOCS) | options_in(INLINE["gitlab"])
    used = {option for name, option in passed | written if name == "gate"}

    assert len(used) > 8
    assert used <= known


def test_every_command_that_is_named_exists() -> None:
    if importlib.util.find_spec("cellbench.cli.gate") is None:
        pytest.skip("there is no `cellbench gate` yet, nor what comes with it")
    named = set(re.findall(r"(?:`|\$ )cellbench ([a-z]+)", DOCS))

    assert named <= set(COMMANDS)


# What the page says


def test_the_page_has_every_exit_code_and_every_verdict() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE)}
    verdicts = re.search(r"\| verdict \|.*?\n\n", DOCS, re.DOTALL)[0]
    words = set(re.findall(r"`(\w+)`", re.search(r"\| code \|.*?\n\n", DOCS, re.DOTALL)[0]))

    assert codes == set(Exit) - {Exit.UNREAD}
    assert {v.value for v in Verdict} == set(re.findall(r"^\| (\w+) \|", verdicts, re.MULTILINE)) \
        - {"verdict"}  # fmt: skip
    assert {word.value for word in Overall} <= words
    assert words == set(re.findall(r"\w+", ACTION["outputs"]["verdict"]["description"])) - {"or"}


def test_git_and_bash_are_here() -> None:
    assert shutil.which("git")
    assert shutil.which("bash")
