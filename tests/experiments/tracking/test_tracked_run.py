"""A run read back from its store; one that is missing, files that are, a store that has gone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_store import FakeStore
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from experiments.errors import BadInput
from experiments.jobs.predictions import Evaluation, write_predictions
from experiments.tracking.tracked_run import TrackedRun, fetched_network, find_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    return FakeStore(tmp_path_factory.mktemp("store"))


def of(store: FakeStore, run_id: str) -> TrackedRun:
    run = find_run(store.client, run_id)
    assert run
    return run


def test_it_gives_what_was_written(store: FakeStore, tmp_path: Path) -> None:
    parent = store.sweep("history")
    run_id = store.run("history", "lenet5", 1, {"test_top1": 0.5}, train__epochs=3)
    for step, value in enumerate((0.25, 0.5), start=1):
        store.client.log_metric(run_id, "val_top1", value, step=step)
    probabilities = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    columns = {"label": np.array([1, 0]), "probabilities": probabilities}
    kept = tmp_path / "predictions.parquet"
    write_predictions(kept, [("test", np.array([8, 3]), Evaluation({}, 0.0, columns))])
    store.client.log_artifact(run_id, str(kept))
    store.client.log_text(run_id, "name: history\ntrain: {epochs: 3}", "config.yaml")

    run = of(store, run_id)

    assert (run.id, run.name, run.level, run.parent) == (run_id, "lenet5 seed 1", "run", parent)
    assert run.params["train.epochs"] == "3"
    assert run.metrics == {"test_top1": 0.5, "val_top1": 0.5}
    assert run.curve("val_top1") == [(1, 0.25), (2, 0.5)]
    assert run.is_complete
    assert run.files == {"config.yaml", "predictions.parquet"}
    assert run.config.train.epochs == 3
    assert run.predictions.fingerprint == run.fingerprint == "fingerprint1"
    assert run.predictions.name == f"run lenet5 seed 1 ({run_id})"
    np.testing.assert_array_equal(run.predictions.parts["test"].probabilities, probabilities[::-1])
    with run.fetched("config.yaml") as path:
        assert path.read_text().startswith("name: history")
    assert not path.exists(), "what was fetched stays behind"


def test_a_deleted_run_is_not_complete(store: FakeStore) -> None:
    run_id = store.run("history", "lenet5", 5, {})
    store.client.delete_run(run_id)
    assert not of(store, run_id).is_complete
    assert not of(store, store.run("history", "lenet5", 6, {}, status="FAILED")).is_complete


@pytest.mark.parametrize("word", ["0" * 32, "nothing", "", "a'b"])
def test_an_id_that_no_run_has_is_none(store: FakeStore, word: str) -> None:
    assert find_run(store.client, word) is None
    with (
        pytest.raises(BadInput, match=rf"^wanted: no run {word} with a model.keras in sqlite:.*\("
                                      r"no such run\); give a run id"),
        fetched_network(store.client, word, "wanted"),
    ):  # fmt: skip
        pytest.fail("something was fetched")


@pytest.mark.parametrize(
    ("level", "name", "advice"),
    [
        ("run", "predictions.parquet", "only finished runs with held-out images keep them"),
        ("run", "model.keras", "train with tracking.save_model=last, or set evaluate.reuse=true"),
        ("run", "config.yaml", "give one of the runs that trained a network, not their parent"),
        ("nested", "model.keras", "give one of the runs that trained a network, not their parent"),
    ],
)
def test_a_file_that_it_does_not_keep_is_told_with_a_way_out(
    store: FakeStore, level: str, name: str, advice: str
) -> None:
    run = of(store, store.run("history", "lenet5", 2, {}, level=level))
    said = f"run {run.id} (lenet5 seed 2) has no {name}; {advice}"
    with pytest.raises(BadInput, match=re.escape(said)), run.fetched(name):
        pytest.fail("something was fetched")
    assert run.text_if_any(name) is None
    if name == "predictions.parquet":
        with pytest.raises(BadInput, match=re.escape(said)):
            _ = run.predictions


def test_a_run_without_its_network_is_told_from_none(store: FakeStore) -> None:
    run_id = store.run("history", "lenet5", 3, {})
    with (
        pytest.raises(BadInput, match=rf"export: no run {run_id} with a model.keras.*it keeps"),
        fetched_network(store.client, run_id, "export"),
    ):
        pytest.fail("something was fetched")


def test_a_store_that_goes_away_is_not_a_missing_run(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = store.run("history", "lenet5", 4, {})
    store.client.log_text(run_id, json.dumps({}), "versions.json")
    run, later = of(store, run_id), of(store, run_id)
    assert run.files

    def away(*words: Any, **more: Any) -> Any:
        raise MlflowException("\nno answer from http://me:planted@host/api\nsecond line")

    for name in ("get_run", "list_artifacts", "download_artifacts"):
        monkeypatch.setattr(MlflowClient, name, away)
    gone = r"^tracking\.uri: sqlite:.* does not work: no answer from http://host/api$"
    with pytest.raises(BadInput, match=gone):
        find_run(store.client, run_id)
    with pytest.raises(BadInput, match=gone):
        _ = later.files
    with (
        pytest.raises(BadInput, match=rf"^run {run_id}: versions.json cannot be fetched \(no"),
        run.fetched("versions.json"),
    ):
        pytest.fail("something was fetched")
    assert run.text_if_any("versions.json") is None
