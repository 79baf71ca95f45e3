"""From what gates and runs left to points of a history, and into its file."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from histories import OTHER, point, write
from records import ENVIRONMENT, measurement, timings

from cellbench.errors import NothingMeasuredError, OptionError, StoreError
from cellbench.record import Cost, Environment, Failure, Sizes, Speed, Status, Work
from cellbench.regress.commits import Commit
from cellbench.regress.history import (
    append,
    is_torn,
    make_points,
    read_history,
    require_whole,
    split_commit,
)
from cellbench.regress.samples import Source, read_source, samples_of_gate, samples_of_records
from cellbench.store.folder import Folder
from cellbench.store.journal import Journal
from cellbench.verdicts import (
    Block,
    Calibration,
    Facts,
    Finding,
    GateLine,
    GateReport,
    HistoryLine,
    HistoryPoint,
    Kind,
    Launch,
    Stage,
    Verdict,
)

HEAD = "c" * 40


def block(cell: str, *head_s: float, **changes: Any) -> Block:
    given = {"cell": cell, "metric": "train_step", "calls": 10, "base_s": head_s, "head_s": head_s}
    return Block(**given | changes)


def launch(number: int, *blocks: Block, **changes: Any) -> Launch:
    given = {
        "run_id": "gate-1", "number": number, "stage": Stage.FIRST, "base": "b" * 40,
        "head": HEAD, "blocks": blocks, "env": "env", "started_at": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return Launch(**given | changes)


def report(**changes: Any) -> GateReport:
    finding = Finding(cell="gru", metric="train_step", kind=Kind.TIME, unit="s", head=0.004,
                      base=0.004, verdict=Verdict.EQUIVALENT)  # fmt: skip
    given = {
        "run_id": "gate-1", "base": "main", "base_commit": "b" * 40, "head_commit": HEAD,
        "findings": (finding,), "control": "lstm", "machine": "Some CPU",
    }  # fmt: skip
    return GateReport(**given | changes)


def points(samples, reference: str = "lstm", commits=None) -> dict[str, HistoryPoint]:
    """Return the points by cell and metric."""
    source = Source(tuple(samples), {"env": ENVIRONMENT})
    made = make_points(source, reference, commits or {}, "main")
    return {f"{one.cell} {one.metric}": one for one in made}


def test_of_a_gate_each_launch_gives_a_value_and_a_ratio_within_it() -> None:
    """Launch 0: 0.4 / 10 = 0.04 and ratio 2; launch 1: 0.9 and 3; launch 2: 0.2 and 0.5."""
    found = points(samples_of_gate([
        launch(0, block("lstm", 0.2), block("gru", 0.4, 0.4, 7.0)),
        launch(1, block("lstm", 3.0), block("gru", 9.0)),
        launch(2, block("lstm", 4.0), block("gru", 2.0)),
    ]))  # fmt: skip
    gru = found["gru train_step"]

    assert gru.values == pytest.approx((0.04, 0.9, 0.2))
    assert gru.value == pytest.approx(0.2)
    assert gru.ratio == pytest.approx(2.0)
    assert (gru.reference, gru.unit, gru.better, gru.exact) == ("lstm", "s", "lower", False)
    assert (gru.commit, gru.dirty, gru.branch, gru.run_id) == (HEAD, False, "main", "gate-1")
    assert found["lstm train_step"].ratio == 1.0


def test_disturbed_rounds_are_left_out() -> None:
    kept = block("gru", 0.4, 9.0, 0.4, dropped=(1,))
    none = block("rnn", 9.0, dropped=(0,))
    found = points(samples_of_gate([launch(0, kept, none)]))

    assert found["gru train_step"].value == pytest.approx(0.04)
    assert found["rnn train_step"].value is None
    assert found["rnn train_step"].error == "every round was disturbed"


def test_a_ratio_is_never_made_across_launches() -> None:
    found = points(samples_of_gate([launch(0, block("lstm", 1.0)), launch(1, block("gru", 1.0))]))

    assert found["gru train_step"].ratio is None
    assert found["gru train_step"].reference == "lstm"


def test_what_was_counted_of_head_is_exact_and_what_failed_is_a_row() -> None:
    counted = Facts(run_id="gate-1", side="head", commit=HEAD, cell="gru",
                    values={"parameters": 12.0, "peak_allocated_bytes": 4096.0})  # fmt: skip
    base = msgspec.structs.replace(counted, side="base", values={"parameters": 99.0})
    broken = Facts(run_id="gate-1", side="head", commit=HEAD, cell="rnn",
                   error=Failure(type="ValueError", message="no"))  # fmt: skip
    found = points(samples_of_gate([launch(0, block("gru", 1.0)), counted, base, broken]))

    assert found["gru parameters"].value == 12.0
    assert found["gru parameters"].exact
    assert found["gru peak_allocated_bytes"].unit == "bytes"
    assert found["rnn train_step"].value is None
    assert found["rnn train_step"].error == "ValueError: no"


def test_of_a_run_times_and_sizes_are_taken_at_their_setting() -> None:
    slow = measurement("gru", train_step=timings(0.03), commit="abc-dirty", run_id="run")
    found = points(samples_of_records([measurement(commit="abc-dirty", run_id="run"), slow]))
    gru = found["gru train_step"]

    assert gru.value == pytest.approx(0.03)
    assert gru.ratio == pytest.approx(3.0)
    assert gru.at == "copying/delay-10 (level), hidden 64, cpu, float32, auto"
    assert (gru.commit, gru.dirty) == ("abc", True)
    assert found["gru operations"].exact
    assert found["gru operations"].reference == ""
    assert not found["gru peak_allocated_bytes"].exact


@pytest.mark.parametrize("changes", [
    {"hidden": 128}, {"depth": 2}, {"block": "residual", "depth": 2}, {"bidirectional": True},
    {"dropout": 0.1}, {"checkpoint": True}, {"match": "params", "budget": 1000},
    {"dtype": "float64"}, {"unroll": "stepwise"}, {"device": "cuda"},
])  # fmt: skip
def test_what_is_measured_otherwise_is_at_another_setting(changes) -> None:
    usual = measurement()
    other = measurement(settings=msgspec.structs.replace(usual.settings, **changes))
    settings = {sample.at for sample in samples_of_records([usual, other])}

    assert len(settings) == 2


def test_a_matched_width_is_no_setting() -> None:
    found = set()
    for hidden in (60, 70):
        settings = msgspec.structs.replace(
            measurement().settings, hidden=hidden, match="params", budget=1000
        )
        found |= {sample.at for sample in samples_of_records([measurement(settings=settings)])}

    assert len(found) == 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"status": Status.OOM}, "oom"),
        ({"error": Failure(type="E", message="m"), "status": Status.CRASHED}, "E: m"),
        ({"parity_ok": False}, "another way through time gave other outputs"),
    ],
)
def test_a_measurement_that_failed_is_a_row_with_its_reason(changes, error) -> None:
    without = {"train_step": None, "inference": None, "streaming": None}
    found = points(samples_of_records([measurement(commit="abc", **without, **changes)]))

    assert found["lstm train_step"].value is None
    assert found["lstm train_step"].error == error


def test_of_a_speed_each_call_is_a_metric() -> None:
    cost = Cost(timings=timings(0.5), work=Work(operations=1, bytes=1))
    speed = Speed(
        speed_id="s", cell="gru", cell_source="", device="cpu", dtype="float32", unroll="auto",
        sizes=Sizes(time=8, batch=4, input=2, hidden=3), status=Status.OK, parity_ok=True,
        train_step=cost, inference=cost, streaming=cost, commit="abc", env="env",
    )  # fmt: skip
    found = points(samples_of_records([speed]))

    assert found["gru train_step"].value == 0.5
    assert found["gru train_step"].at == "time 8, batch 4, input 2, hidden 3, cpu, float32, auto"
    assert found["gru streaming_batch"].value is None


def test_a_value_that_is_not_finite_is_none() -> None:
    found = points(samples_of_gate([launch(0, block("gru", float("nan")))]))["gru train_step"]

    assert (found.value, found.values, found.error) == (None, (), "not finite")


def test_git_gives_the_whole_name_and_the_time() -> None:
    known = {HEAD: Commit(HEAD, "2026-01-02T00:00:00+00:00")}
    found = points(samples_of_gate([launch(0, block("gru", 1.0), head=f"{HEAD}+")]), commits=known)

    assert found["gru train_step"].committed_at == "2026-01-02T00:00:00+00:00"
    assert found["gru train_step"].dirty


@pytest.mark.parametrize(
    ("recorded", "wanted"),
    [("abc", ("abc", False)), ("abc+", ("abc", True)), ("abc-dirty", ("abc", True))],
)
def test_marks_of_changed_files_are_known(recorded, wanted) -> None:
    assert split_commit(recorded) == wanted


@pytest.mark.parametrize(
    ("changes", "words"), [({"head": ""}, "which commit"), ({"env": "gone"}, "which machine")]
)
def test_what_could_never_be_compared_is_refused(changes, words) -> None:
    with pytest.raises(OptionError, match=words):
        points(samples_of_gate([launch(0, block("gru", 1.0), **changes)]))


def test_a_folder_a_journal_and_a_report_are_read(tmp_path) -> None:
    folder = Folder(tmp_path / "run")
    folder.journal.append(ENVIRONMENT)
    folder.journal.append(measurement(commit="abc"))
    gate = Journal(tmp_path / "gate" / "journal.jsonl", GateLine)
    gate.append(ENVIRONMENT)
    gate.append(launch(0, block("gru", 1.0)))
    made = tmp_path / "gate" / "report.json"
    made.write_bytes(msgspec.json.encode(report(journal="journal.jsonl")))

    assert "operations" in {sample.metric for sample in read_source(folder.path).samples}
    for path in (gate.path, gate.path.parent, made):
        found = read_source(path)
        assert [sample.value for sample in found.samples] == [0.1]
        assert found.environments == {"env": ENVIRONMENT}
    assert read_source(made).control == "lstm"


def test_the_journal_may_be_named_from_where_the_gate_was_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Journal(tmp_path / "results" / "gate.jsonl", GateLine).append(launch(0, block("gru", 3.0)))
    made = tmp_path / "results" / "report.json"
    made.write_bytes(msgspec.json.encode(report(journal="results/gate.jsonl")))

    assert [sample.value for sample in read_source(made).samples] == [pytest.approx(0.3)]


def test_a_report_without_its_journal_gives_its_findings(tmp_path) -> None:
    counted = Finding(cell="gru", metric="parameters", kind=Kind.EXACT, head=7.0, base=7.0,
                      verdict=Verdict.EQUIVALENT)  # fmt: skip
    learned = Finding(cell="gru", metric="skill", kind=Kind.ACCURACY, head=0.5, base=0.5,
                      verdict=Verdict.EQUIVALENT)  # fmt: skip
    gone = Finding(cell="rnn", metric="train_step", kind=Kind.TIME, verdict=Verdict.MISSING)
    outputs = Finding(cell="gru", metric="outputs", kind=Kind.EXACT, verdict=Verdict.CHANGED)
    key = {"device": "Some CPU"}
    calibration = Calibration(key=key, launches=1, floors={}, gates=1, false_alarms=0.0,
                              detectable={}, per_gate=1)  # fmt: skip
    findings = (*report().findings, counted, learned, gone, outputs)
    made = tmp_path / "report.json"
    made.write_bytes(
        msgspec.json.encode(
            report(findings=findings, calibration=calibration, journal="/nowhere.jsonl")
        )
    )
    found = read_source(made)

    assert [(s.cell, s.metric, s.value, s.exact) for s in found.samples] == [
        ("gru", "train_step", 0.004, False),
        ("gru", "parameters", 7.0, True),
        ("rnn", "train_step", None, False),
    ]
    assert [env.key for env in found.environments.values()] == [key]


def test_a_void_report_is_void_even_beside_its_journal(tmp_path) -> None:
    Journal(tmp_path / "j.jsonl", GateLine).append(launch(0, block("gru", 1.0)))
    made = tmp_path / "report.json"
    made.write_bytes(msgspec.json.encode(report(journal="j.jsonl", void="the control moved")))

    assert read_source(made).void == "the control moved"


@pytest.mark.parametrize("name", ["nothing", "nothing.jsonl", "nothing.json", "bad.json"])
def test_what_is_no_source_is_told(tmp_path, name) -> None:
    (tmp_path / "bad.json").write_text('{"run_id": 3}')

    with pytest.raises(StoreError, match=name):
        read_source(tmp_path / name)


@pytest.fixture
def source() -> Source:
    return Source((), {"env": ENVIRONMENT, "other": OTHER})


def test_what_is_there_is_not_appended_again(tmp_path, source) -> None:
    path = tmp_path / "new" / "history.jsonl"
    first = append(path, [point(0), point(1)], source)
    second = append(path, [point(1), point(2)], source)

    assert ((first.new, first.known), (second.new, second.known)) == ((2, 0), (1, 1))
    assert list(Journal(path, HistoryLine)) == [ENVIRONMENT, point(0), point(1), point(2)]


@pytest.mark.parametrize(
    "change", [{"run_id": "again"}, {"env": "other"}, {"at": "x"}, {"dirty": True}]
)
def test_another_run_or_machine_or_setting_is_appended(tmp_path, source, change) -> None:
    path = tmp_path / "history.jsonl"
    append(path, [point(0)], source)

    assert append(path, [point(0, **change)], source).new == 1


def test_the_same_run_is_known_by_its_key_not_by_its_environment(tmp_path) -> None:
    path = tmp_path / "history.jsonl"
    renamed = Environment(digest="new", key=ENVIRONMENT.key, facts={"x": 1})
    append(path, [point(0)], Source((), {"env": ENVIRONMENT}))

    assert append(path, [point(0, env="new")], Source((), {"new": renamed})).known == 1


def test_a_history_without_a_point_is_nothing(tmp_path) -> None:
    for path in (tmp_path / "none.jsonl", write(tmp_path / "empty.jsonl", [])):
        with pytest.raises(NothingMeasuredError, match="history append"):
            read_history(path)


def test_a_torn_last_line_is_seen(tmp_path) -> None:
    path = write(tmp_path / "history.jsonl", [point(0)])

    assert not is_torn(path)
    require_whole(path)
    with path.open("a") as file:
        file.write('{"schema":2,"ki')

    assert is_torn(path)
    with pytest.raises(StoreError, match="cut short"):
        require_whole(path)
    assert not is_torn(tmp_path / "none.jsonl")
