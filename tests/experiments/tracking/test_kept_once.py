"""A network and its predictions lie on the disk once: the journal's file is the run's artifact."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from blank_store import blank_store
from mlflow import MlflowClient
from scripted import Scripted, execute, job

from experiments.tracking import upload
from experiments.tracking.store import local_path
from experiments.tracking.tracked_run import find_run

NETWORK, PREDICTIONS = "model.keras", "predictions.parquet"


class Trained(Scripted):
    """Its fits leave a network and predictions, as `fit` does: under another name first."""

    def __init__(self, content):
        super().__init__(1)
        self.content = content

    def run(self, jobs, on_event):
        for one, outcome in super().run(jobs, on_event):
            files = [Path(one.directory) / name for name in (NETWORK, PREDICTIONS)]
            for file in files:
                unfinished = file.with_name("writing")
                unfinished.write_bytes(self.content)
                os.replace(unfinished, file)
            yield one, replace(outcome, model=str(files[0]), predictions=str(files[1]))


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
