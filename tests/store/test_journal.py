"""The journal: only ever appended to, whole after a crash, an error after damage."""

from __future__ import annotations

import errno
import multiprocessing

import msgspec
import pytest
from records import ENVIRONMENT, measurement, trial

from cellbench.errors import StoreError
from cellbench.record import SCHEMA, Status
from cellbench.store.journal import Journal, environments, measurements, trials


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "new" / "results.jsonl")


def test_what_was_appended_is_read_back_in_order(journal) -> None:
    lines = [ENVIRONMENT, trial(), measurement(), trial(seed=1, status=Status.DIVERGED)]
    for line in lines:
        journal.append(line)

    assert list(journal) == lines


def test_a_journal_that_is_not_there_is_empty(journal) -> None:
    assert list(journal) == []


@pytest.mark.parametrize("length", [1, 50, 200_000])
def test_a_line_cut_short_by_a_crash_is_skipped_and_then_removed(journal, length) -> None:
    journal.append(trial())
    with journal.path.open("a") as file:
        file.write(('{"schema":1,"kind":"trial","cell":"' + "x" * length)[:length])

    assert list(journal) == [trial()]

    journal.append(trial(seed=2))

    assert list(journal) == [trial(), trial(seed=2)]


def test_a_journal_of_nothing_but_a_torn_line_starts_over(journal) -> None:
    journal.path.parent.mkdir()
    journal.path.write_text('{"schema":1,"ki')
    journal.append(trial())

    assert list(journal) == [trial()]


@pytest.mark.parametrize(
    "damage", ["not json", '{"schema":1,"kind":"trial"}', '{"kind":"trial"}', '{"schema":1}', ""]
)
def test_damage_elsewhere_names_file_and_line(journal, damage) -> None:
    journal.append(trial())
    with journal.path.open("a") as file:
        file.write(damage + "\n")
    journal.append(trial(seed=1))

    with pytest.raises(StoreError, match=r"results\.jsonl:2 is damaged: .*Restore"):
        list(journal)


def test_bytes_that_are_no_text_are_damage(journal) -> None:
    journal.append(trial())
    with journal.path.open("ab") as file:
        file.write(b'{"schema":1,"kind":"tri\xff"}\n')

    with pytest.raises(StoreError, match="2 is damaged"):
        list(journal)


def test_a_newer_line_is_refused_before_it_is_misread(journal) -> None:
    journal.append(trial())
    newer = msgspec.to_builtins(trial(seed=1)) | {"schema": SCHEMA + 1, "cell": ["of", "parts"]}
    with journal.path.open("ab") as file:
        file.write(msgspec.json.encode(newer) + b"\n")

    with pytest.raises(StoreError, match=r":2 was written by a newer cellbench .*Upgrade"):
        list(journal)


def test_a_key_that_a_later_minor_version_adds_is_passed_over(journal) -> None:
    journal.path.parent.mkdir()
    longer = msgspec.to_builtins(trial()) | {"mood": "good"}
    journal.path.write_bytes(msgspec.json.encode(longer) + b"\n")

    assert list(journal) == [trial()]


def test_a_full_disk_is_told_and_what_was_there_stays_whole(journal, monkeypatch) -> None:
    journal.append(trial())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cellbench.store.journal.os.fsync", full)
    with pytest.raises(StoreError, match=r"Cannot write to .*No space left.*run the same command"):
        journal.append(trial(seed=1))

    assert next(iter(journal)) == trial()


def _append_many(path, seeds) -> None:
    for seed in seeds:
        Journal(path).append(trial(seed=seed))


def test_two_writers_do_not_tear_each_others_lines(journal) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_append_many, args=(journal.path, range(n, 40, 2))) for n in (0, 1)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert sorted(line.seed for line in journal) == list(range(40))


def test_merging_is_concatenation(tmp_path, journal) -> None:
    other = Journal(tmp_path / "other.jsonl")
    journal.append(trial())
    other.append(trial(seed=1))
    with journal.path.open("ab") as file:
        file.write(other.path.read_bytes())

    assert list(journal) == [trial(), trial(seed=1)]


def test_of_a_unit_tried_again_the_newest_counts() -> None:
    lines = [trial(skill=0.1), measurement(), ENVIRONMENT, trial(skill=0.9), trial(seed=1)]

    assert [found.skill for found in trials(lines)] == [0.9, 0.994]
    assert measurements(lines) == [measurement()]
    assert environments(lines) == {"env": ENVIRONMENT}
