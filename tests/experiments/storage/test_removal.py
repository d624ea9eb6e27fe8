"""`ilsvrc rm` removes one experiment whole, or all but the best, and nothing else; `du` counts."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from blank_store import blank_store
from command import inside, refused
from fake_store import FakeStore
from mlflow import MlflowClient
from mlflow.entities import ViewType
from scripted import Scripted, Trained, execute, job

from experiments.errors import BadInput
from experiments.storage import removal, stored, usage
from experiments.tracking import status
from experiments.tracking.lock import held
from experiments.tracking.run_log import JOURNAL_TAG
from experiments.tracking.store import connect
from experiments.tracking.tracked_run import find_run

NETWORK = 1000  # bytes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the experiment `scripted` of three runs, and one of the experiment `other`."""
    folder = tmp_path_factory.mktemp("ran")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        uri = blank_store(folder)
        execute(Trained(b"x" * NETWORK), [job(seed) for seed in (1, 2, 3)], uri)
        execute(Trained(b"y" * NETWORK), [job(1, "other")], uri)
    return folder


@pytest.fixture
def store(folder, tmp_path):
    """The store of a copy, which is the current folder."""
    subprocess.run(["cp", "-a", f"{folder}/.", tmp_path], check=True)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    connect(uri)  # which finds its files in the copy
    return uri


def below(*folders):
    return {path: path.read_bytes() for folder in folders for path in Path(folder).rglob("*")
            if path.is_file()}  # fmt: skip


def runs(uri, name="scripted"):
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    return client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL)


def test_without_yes_it_only_says_what_would_go(store, monkeypatch, capsys, tmp_path):
    before = below(tmp_path)
    assert inside(monkeypatch, "rm", "scripted", f"tracking.uri={store}", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert below(tmp_path) == before
    assert len(runs(store)) == len(said["runs"]) == len(said["folders"]) == 3
    gone = below(".ilsvrc/scripted", "mlruns/scripted")
    shared = 3 * 2 * NETWORK  # network and predictions, under two names each
    assert said["bytes"] == sum(map(len, gone.values())) - shared
    assert said["bytes"] == sum(row["bytes"] for row in said["runs"] + said["folders"])
    assert inside(monkeypatch, "rm", "scripted", f"tracking.uri={store}") == 0
    out = capsys.readouterr().out
    assert out.endswith(f"to remove it: ilsvrc rm scripted tracking.uri={store} --yes\n")


def test_with_yes_nothing_is_left_and_the_others_are_untouched(store, monkeypatch, capsys):
    others = below(".ilsvrc/other", "mlruns/other")
    assert len(others) > 4
    assert inside(monkeypatch, "rm", "scripted", f"tracking.uri={store}", "--yes") == 0
    assert runs(store) is None
    assert not below(".ilsvrc/scripted", "mlruns/scripted")
    assert not Path(".ilsvrc/scripted").exists()
    assert not Path("mlruns/scripted").exists()
    assert below(".ilsvrc/other", "mlruns/other") == others
    [other] = runs(store, "other")
    assert find_run(MlflowClient(store), other.info.run_id).config.name == "other"
    capsys.readouterr()
    uri = f"tracking.uri={store}"
    assert "no experiment scripted in" in refused(monkeypatch, capsys, "rm", "scripted", uri)
    execute(Trained(b"again"), [job(1)], store)
    assert len(runs(store)) == 1, "what was removed came back"


def scored(store):
    """Validation scores of two architectures: the best of the first is its oldest run."""
    fake = FakeStore(Path.cwd())
    fake.sweep("scored")
    scores = {("mlp", 1): 0.9, ("mlp", 2): 0.5, ("nin", 1): 0.4, ("nin", 2): 0.6}
    ids = {}
    for (model, seed), score in scores.items():
        metrics = {"val_top1": score, "test_top1": 1 - score}
        ids[model, seed] = fake.run("scored", model, seed, metrics)
    ids["failed"] = fake.run("scored", "mlp", 3, {"val_top1": 0.99}, status="FAILED")
    ids["tested"] = fake.run("scored", "lenet5", 1, {"test_top1": 0.9})
    return ids


def test_the_best_of_each_architecture_by_validation_stays(store):
    ids = scored(store)
    plan = removal.plan("scored", store, keep_best=True)
    removal.carry_out(plan)
    left = {run.info.run_id: run.data.tags["level"] for run in runs(store, "scored")}
    best = {ids["mlp", 1], ids["nin", 2], ids["tested"]}
    assert {run_id for run_id, level in left.items() if level == "run"} == best
    assert sorted(left.values()) == ["run", "run", "run", "sweep"]
    assert "validation score" in plan.kept[ids["tested"]][1]
    assert "%, of " in plan.kept[ids["mlp", 1]][1]


def test_a_run_that_mlflow_deleted_is_not_the_best_that_stays(store):
    ids = scored(store)
    MlflowClient(store).delete_run(ids["mlp", 1])
    plan = removal.plan("scored", store, keep_best=True)
    assert ids["mlp", 1] not in plan.kept
    assert any("best mlp by val_top1" in why for _, why in plan.kept.values())


def test_files_of_the_best_stay_and_nothing_is_said_to_be_left_to_train(store):
    client = MlflowClient(store)
    newest, best, _ = runs(store)
    for run, score in ((newest, 0.1), (best, 0.8)):
        client.log_metric(run.info.run_id, "val_top1", score, step=9)
    removal.carry_out(removal.plan("scripted", store, keep_best=True))
    [kept] = runs(store)
    assert kept.info.run_id == best.info.run_id
    [folder] = Path(".ilsvrc/scripted").iterdir()
    assert best.data.tags[JOURNAL_TAG] in (folder / "journal.jsonl").read_text()
    with find_run(client, best.info.run_id).fetched("model.keras") as path:
        assert path.read_bytes() == b"x" * NETWORK
    [row] = status.status("scripted")
    assert (row["runs"], row["done"], row["left"]) == (1, 1, 0)


def test_an_experiment_that_is_worked_on_is_refused(store, monkeypatch, capsys):
    before = below(".ilsvrc", "mlruns")
    with held(Path(job(2).directory)):
        line = refused(monkeypatch, capsys, "rm", "scripted", f"tracking.uri={store}", "--yes")
    assert re.search(r"scripted/\w+: in use by process \d+ on .*; wait for it, or stop it", line)
    assert len(runs(store)) == 3
    assert below(".ilsvrc", "mlruns").keys() == before.keys()


@pytest.mark.parametrize("name", ["..", ".cache", "a/b", "", "other/../scripted"])
def test_a_name_that_is_a_path_is_no_experiment(store, name):
    with pytest.raises(BadInput, match="is no name of an experiment"):
        removal.plan(name, store)


def test_what_the_suite_did_not_write_or_is_registered_stays(store):
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("scripted").experiment_id
    foreign = client.create_run(experiment).info.run_id
    client.log_text(foreign, "mine", "mine.txt")
    elsewhere = client.create_run(experiment, tags={"level": "run"}).info.run_id
    [first, *_] = [run for run in runs(store) if JOURNAL_TAG in run.data.tags]
    served = first.info.run_id
    client.create_registered_model("flowers")
    client.create_model_version("flowers", f"{first.info.artifact_uri}/model.keras", served)
    plan = removal.plan("scripted", store)
    removal.carry_out(plan)
    assert {run.info.run_id for run in runs(store)} == {foreign, elsewhere, served}
    assert client.download_artifacts(foreign, "mine.txt")
    assert find_run(client, served).files >= {"model.keras", "config.yaml"}
    assert plan.kept[served][1] == "registered as flowers 1"
    assert [line.split(":")[0] for line in plan.left] == [
        "1 runs that this suite did not write",
        "1 runs that are RUNNING and were begun in another folder",
    ]


def test_files_of_a_run_that_mlflow_deleted_go_too(store):
    client, [run, *_] = MlflowClient(store), runs(store)
    client.delete_run(run.info.run_id)
    assert list(Path("mlruns/scripted").glob(f"{run.info.run_id}/artifacts/*"))
    removal.carry_out(removal.plan("scripted", store))
    assert not below("mlruns/scripted")


def test_artifacts_elsewhere_are_not_touched(store, tmp_path):
    client = MlflowClient(store)
    folder = tmp_path / "mine"
    experiment = client.create_experiment("apart", artifact_location=folder.as_uri())
    run = client.create_run(experiment, tags={"level": "run"})
    client.set_terminated(run.info.run_id)
    client.log_text(run.info.run_id, "x", "x.txt")
    (folder / "thesis.txt").write_text("mine")
    removal.carry_out(removal.plan("apart", store))
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_journals_without_a_store_go_and_a_stopped_removal_is_ended(store, tmp_path):
    nowhere = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(BadInput, match="has no runs of scripted to choose from"):
        removal.plan("scripted", nowhere, keep_best=True)
    removal.carry_out(removal.plan("scripted", nowhere))
    assert not (tmp_path / "none.db").exists()
    assert not Path(".ilsvrc/scripted").exists()
    assert len(runs(store)) == 3
    removal.carry_out(removal.plan("scripted", store))
    assert runs(store) is None


def test_what_takes_space_is_counted_once(store, monkeypatch, capsys):
    cache = Path(".ilsvrc/.cache")
    (cache / "tfds" / "x").mkdir(parents=True)
    (cache / "tfds" / "x" / "shard").write_bytes(b"1" * 70)
    for key in ("a", "b"):
        (cache / f"images-{key}.npz").write_bytes(b"1" * 5)
    assert inside(monkeypatch, "du", f"tracking.uri={store}", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in said["experiments"]}
    assert list(rows) == ["scripted", "other"], "the largest first"
    for name, number in (("scripted", 3), ("other", 1)):
        row = rows[name]
        assert (row["runs"], row["models"]) == (number, number * NETWORK)
        here = below(f".ilsvrc/{name}", f"mlruns/{name}")
        assert row["total"] == sum(map(len, here.values())) - number * 2 * NETWORK
        assert row["total"] == row["models"] + row["journals"] + row["artifacts"]
    assert said["caches"] == [
        {"kind": "images", "files": 2, "bytes": 10}, {"kind": "tfds", "files": 1, "bytes": 70},
    ]  # fmt: skip
    assert said["database"] >= Path("mlflow.db").stat().st_size
    assert said["total"] == sum(row["total"] for row in rows.values()) + 80 + said["database"]
    assert inside(monkeypatch, "du", f"tracking.uri={store}") == 0
    out = capsys.readouterr().out
    assert re.search(r"scripted +3 +3\.00 kB", out)
    assert "cache tfds: 70 B in 1 files" in out


def test_a_folder_where_nothing_has_run_is_empty(tmp_path):
    said = usage.usage(f"sqlite:///{tmp_path}/none.db")
    assert (said["experiments"], said["caches"], said["total"]) == ([], [], 0)


def test_unsent_fits_are_of_this_folder(store):
    """A run that a kill left RUNNING goes, since its journal is here."""
    client = MlflowClient(store)
    [run, *_] = runs(store)
    client.update_run(run.info.run_id, status="RUNNING")
    execute(Scripted(1), [job(4)], store)
    removal.carry_out(removal.plan("scripted", store))
    assert runs(store) is None


def test_a_server_deletes_runs_in_its_own_way_and_keeps_its_artifacts(store, monkeypatch):
    monkeypatch.setattr(stored.database, "path_of", lambda uri: None)
    client = MlflowClient(store)
    experiment = client.create_experiment("served", artifact_location="mlflow-artifacts:/9")
    run = client.create_run(experiment, tags={"level": "run"})
    client.set_terminated(run.info.run_id)
    plan = removal.plan("served", store)
    assert plan.left == ["artifacts that the server keeps: remove them there with mlflow gc"]
    for name in ("served", "scripted"):
        removal.carry_out(removal.plan(name, store))
        assert {run.info.lifecycle_stage for run in runs(store, name)} == {"deleted"}
        again = removal.plan(name, store)
        assert (again.runs, again.folders, again.artifacts) == ([], [], {})
        answer = removal.document(again, removed=False)
        assert removal.text(answer, "ilsvrc rm").endswith("nothing is left to remove")
    assert not below("mlruns/scripted", ".ilsvrc/scripted"), "these are here"
    rows = usage.usage(store)["experiments"]
    assert [row["name"] for row in rows] == ["other"], "deleted runs are on the server alone"
    execute(Trained(b"again"), [job(1)], store)
    assert len(client.search_runs([client.get_experiment_by_name("scripted").experiment_id])) == 1
