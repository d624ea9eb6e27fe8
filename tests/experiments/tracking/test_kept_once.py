"""A network and its predictions lie on the disk once: the journal's file is the run's artifact."""

from __future__ import annotations

from pathlib import Path

import pytest
from blank_store import blank_store
from mlflow import MlflowClient
from scripted import NETWORK, PREDICTIONS, Trained, execute, job

from experiments.tracking import upload
from experiments.tracking.store import local_path
from experiments.tracking.tracked_run import find_run


@pytest.fixture
def store(tmp_path):
    return blank_store(tmp_path)


def artifact(uri, run_id, name=NETWORK):
    return local_path(MlflowClient(uri).get_run(run_id).info.artifact_uri) / name


@pytest.mark.parametrize("name", [NETWORK, PREDICTIONS])
def test_the_file_of_the_journal_is_that_of_the_run(store, name):
    _, [run], _ = execute(Trained(b"network"), [job(1)], store)
    assert artifact(store, run.id, name).samefile(Path(job(1).directory) / name)
    with find_run(MlflowClient(store), run.id).fetched(name) as path:
        assert path.read_bytes() == b"network"
    names = {path.name for path in Path(job(1).directory).iterdir()}
    assert names == {"journal.jsonl", "lock", NETWORK, PREDICTIONS}


def test_another_store_beside_it_has_the_same_file(store, tmp_path):
    _, [run], _ = execute(Trained(b"network"), [job(1)], store)
    other = blank_store(tmp_path / "other")
    [sent] = upload.upload("scripted", other, print)["sent"]
    there = artifact(other, sent["run_id"])
    assert there.samefile(artifact(store, run.id))
    assert there.is_relative_to(tmp_path / "other")


def test_a_fit_that_is_made_anew_changes_no_run_that_there_is(store):
    _, [before], _ = execute(Trained(b"before"), [job(1)], store)
    _, [after], _ = execute(Trained(b"after"), [job(1)], store)
    assert artifact(store, before.id).read_bytes() == b"before"
    assert artifact(store, after.id).read_bytes() == b"after"


def test_a_run_outlives_its_journal(store):
    _, [run], _ = execute(Trained(b"network"), [job(1)], store)
    (Path(job(1).directory) / NETWORK).unlink()
    assert artifact(store, run.id).read_bytes() == b"network"


def test_a_file_system_without_links_has_two_files(store, monkeypatch):
    def refuse(path, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    _, [run], said = execute(Trained(b"network"), [job(1)], store)
    stored = artifact(store, run.id)
    assert stored.read_bytes() == b"network"
    assert stored.stat().st_nlink == 1
    assert "tracking failed" not in said


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a%20b/c", "/a b/c"),
        ("/a%20b/c", "/a%20b/c"),
        ("mlflow-artifacts:/1/2/artifacts", None),
        ("s3://bucket/1", None),
        ("file://host/share", None),
        (None, None),
    ],
)
def test_artifacts_are_here_or_with_a_server(uri, path):
    assert local_path(uri) == (None if path is None else Path(path))
