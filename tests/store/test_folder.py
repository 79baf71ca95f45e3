"""A results folder and its manifest."""

from __future__ import annotations

import os

import pytest
from records import trial

from cellbench.errors import StoreError
from cellbench.store.folder import Folder, read_lines
from cellbench.store.manifest import Manifest, Run, add_run, read_manifest


def run(name: str) -> Run:
    return Run(
        run_id=name,
        argv=("cellbench", "run"),
        unit_ids=("a",),
        measurement_count=1,
        started_at="now",
    )


def test_commands_add_up_in_the_manifest(tmp_path) -> None:
    path = tmp_path / "manifest.json"
    add_run(path, run("first"))
    add_run(path, run("second"))

    assert [found.run_id for found in read_manifest(path).runs] == ["first", "second"]
    assert {p.name for p in tmp_path.iterdir()} <= {"manifest.json", "manifest.json.lock"}


def test_no_manifest_is_an_empty_one(tmp_path) -> None:
    assert read_manifest(tmp_path / "manifest.json") == Manifest()


@pytest.mark.parametrize(("text", "told"), [("{", "is damaged"), ('{"schema": 99}', "newer")])
def test_a_manifest_that_cannot_be_read_is_not_overwritten(tmp_path, text, told) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)

    with pytest.raises(StoreError, match=told):
        add_run(path, run("first"))
    assert path.read_text() == text


def test_asking_whether_a_folder_can_be_written_leaves_nothing_behind(tmp_path) -> None:
    Folder(tmp_path / "a" / "b").check_writable()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"Cannot write results to .*--output"):
        Folder(tmp_path / "file" / "results").check_writable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_cannot_be_written(tmp_path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(StoreError, match="Permission denied"):
        Folder(tmp_path / "results").check_writable()


def test_results_are_read_from_a_folder_or_a_file(tmp_path) -> None:
    Folder(tmp_path).journal.append(trial())

    assert read_lines(tmp_path) == read_lines(tmp_path / "results.jsonl") == [trial()]


def test_no_results_are_an_error(tmp_path) -> None:
    with pytest.raises(StoreError, match="There are no results in"):
        read_lines(tmp_path)
