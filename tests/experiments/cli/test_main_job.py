"""The line that people use: train, sweep, compare, stop, continue.

Workers, signals and continuing are tested by the installed command; what does not depend on the
process runs in this one, without the seconds that TensorFlow takes to load.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from command import answer, inside, outside, write_config
from mlflow import MlflowClient

from experiments.tracking.store import connect

INLINE = {"executor": "inline"}

SWEEP = {"train.optimizer.learning_rate": [0.05, 0.02], "seed": [1, 2]}


def runs_of(folder, name, level="run"):
    client = MlflowClient(uri_of(folder))
    experiment = client.get_experiment_by_name(name)
    return client.search_runs([experiment.experiment_id], f"tags.level = '{level}'")


def artifact(folder, run, name):
    client = MlflowClient(uri_of(folder))
    return Path(client.download_artifacts(run.info.run_id, name, str(folder)))


@pytest.fixture
def here(monkeypatch, capsys):
    """What a command answers in a folder, run in this process; its last line on stderr is kept."""

    def run(folder, *words, code=0):
        monkeypatch.chdir(folder)
        capsys.readouterr()
        assert inside(monkeypatch, *words, "--json") == code
        out, run.err = capsys.readouterr()
        return json.loads(out)

    return run


def uri_of(folder):
    """For several folders in one process: MLflow holds a database by its name."""
    return f"sqlite:///{folder}/mlflow.db"


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A database without runs, whose tables take MLflow seconds to make."""
    folder = tmp_path_factory.mktemp("empty")
    connect(uri_of(folder))
    return folder / "mlflow.db"


@pytest.fixture
def store(tmp_path, empty):
    """The section of a config whose runs go to a store in the test's folder."""
    shutil.copy(empty, tmp_path)
    return {"uri": uri_of(tmp_path)}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder where a sweep of four tiny runs has ended, and what the command printed."""
    folder = tmp_path_factory.mktemp("swept")
    config = write_config(
        folder, sweep=SWEEP, train={"epochs": 2}, tracking={"uri": uri_of(folder)}
    )
    return folder, config, answer(folder, "sweep", config)


def test_lenet5_learns_digits(tmp_path, here, store):
    config = write_config(
        tmp_path,
        data={"source": "digits"},
        launch=INLINE,
        tracking=store,
        train={"epochs": 8, "optimizer": {"learning_rate": 0.05}},
    )
    row = here(tmp_path, "train", config)
    assert row["status"] == "finished"
    assert row["test_top1"] > 0.95
    assert row["epochs"] == 8
    for key in ("train_top1", "val_top1", "val_top5", "test_top5", "train_images_per_second"):
        assert row[key] > 0

    [run] = runs_of(tmp_path, "tiny")
    assert run.info.status == "FINISHED"
    losses = MlflowClient(uri_of(tmp_path)).get_metric_history(run.info.run_id, "train_loss")
    by_epoch = [m.value for m in sorted(losses, key=lambda m: m.step) if m.step <= 8]
    assert by_epoch[7] < by_epoch[0] / 4


def test_a_run_holds_its_config_metrics_tags_and_files(swept):
    folder, _, printed = swept
    runs = runs_of(folder, "tiny")
    [parent] = runs_of(folder, "tiny", "sweep")
    assert parent.info.status == "FINISHED"
    assert parent.info.run_id == printed["run_id"]
    assert len(runs) == len(printed["runs"]) == 4
    run = next(r for r in runs if r.info.run_id == printed["runs"][0]["run_id"])
    params, metrics, tags = run.data.params, run.data.metrics, run.data.tags
    assert params["model.name"] == "lenet5"
    assert params["train.optimizer.learning_rate"] == "0.05"
    assert params["data.image_size"] == "[16, 16]"
    wanted = """train_loss val_loss train_top1 train_top5 val_top1 val_top5 test_top1 test_top5
        val_balanced_top1 test_balanced_top1 val_macro_f1 test_macro_f1
        params macs activation_bytes train_images_per_second infer_images_per_second
        latency_ms_p50 latency_ms_p95 peak_memory_bytes train_seconds
        latency_disturbed infer_disturbed latency_probe latency_switches latency_load"""
    assert set(wanted.split()) <= set(metrics)
    assert 0 < metrics["latency_ms_p50"] <= metrics["latency_ms_p95"]
    assert metrics["peak_memory_bytes"] > 50e6
    assert {metrics["latency_disturbed"], metrics["infer_disturbed"]} <= {0.0, 1.0}
    assert tags["backend"] == "tensorflow"
    for tag in ("config_hash", "group_hash", "source_fingerprint", "device", "git_dirty"):
        assert tags[tag]
    assert tags["mlflow.parentRunId"] == parent.info.run_id
    assert tags["precision"] == "float32"

    table = pd.read_parquet(artifact(folder, run, "predictions.parquet"))
    for part, metric in (("val", "val_top1"), ("test", "test_top1")):
        rows = table[table["part"] == part]
        assert len(rows) == int(params[f"data.{'validation' if part == 'val' else part}_images"])
        assert rows["index"].is_unique
        assert (rows["label"] == rows["predicted"]).mean() == pytest.approx(metrics[metric])
    chances = np.stack(table["probabilities"])
    assert chances.sum(axis=1) == pytest.approx(np.ones(len(table)), abs=1e-5)
    assert (chances.argmax(axis=1) == table["predicted"]).all()

    versions = json.loads(artifact(folder, run, "versions.json").read_text())
    assert versions["keras"] == keras.__version__
    statistics = json.loads(artifact(folder, run, "statistics.json").read_text())
    assert 0 < statistics["mean"][0] < 255
    data = json.loads(artifact(folder, run, "data.json").read_text())
    assert data["parts"]["test"]["images"] == int(params["data.test_images"])
    assert tags["data_parts"] == "train held out, validation held out, test held out"


def test_the_logged_model_repeats_the_logged_predictions(swept):
    import models.layers  # noqa: F401  (registers the custom layers)
    import pipelines
    import pipelines.build

    folder, _, printed = swept
    run = next(r for r in runs_of(folder, "tiny") if r.info.run_id == printed["runs"][0]["run_id"])
    model = keras.saving.load_model(artifact(folder, run, "model.keras"))
    table = pd.read_parquet(artifact(folder, run, "predictions.parquet"))
    test = table[table["part"] == "test"]
    images = pipelines.build.evaluation_dataset(
        pipelines.open_source("digits"), test["index"].to_numpy(), size=(16, 16), batch_size=64
    )
    logits = np.concatenate([np.asarray(model(batch)) for batch, _ in images])
    assert (logits.argmax(axis=1) == test["predicted"]).all()


def test_seeds_differ_and_share_their_group(swept):
    folder, _, _ = swept
    runs = runs_of(folder, "tiny")
    assert len({r.data.tags["config_hash"] for r in runs}) == 4
    assert len({r.data.tags["group_hash"] for r in runs}) == 2
    assert len({r.data.metrics["train_loss"] for r in runs}) == 4
    assert len({r.data.tags["source_fingerprint"] for r in runs}) == 1


def test_a_second_sweep_trains_nothing_and_says_the_same(swept, here):
    folder, config, printed = swept
    before = {r.info.run_id for r in runs_of(folder, "tiny")}
    again = here(folder, "sweep", config, "launch.executor=inline")
    assert again == printed
    assert {r.info.run_id for r in runs_of(folder, "tiny")} == before
    assert here(folder, "status", "tiny")[0] | {"seconds_left": None} == {
        "name": "tiny", "runs": 4, "done": 4, "failed": 0, "running": 0, "left": 0,
        "seconds_left": None, "under_way": [], "undecided": [],
    }  # fmt: skip


def test_a_store_that_was_lost_is_written_again_from_the_journal(swept, here):
    folder, config, printed = swept
    uri = f"tracking.uri=sqlite:///{folder}/other.db"
    again = here(folder, "sweep", config, uri, "launch.executor=inline")
    assert "4 already done" in here.err
    for old, new in zip(printed["runs"], again["runs"], strict=True):
        assert {k: v for k, v in old.items() if k != "run_id"} == {
            k: v for k, v in new.items() if k != "run_id"
        }
    client = MlflowClient(f"sqlite:///{folder}/other.db")
    run = client.get_run(again["runs"][0]["run_id"])
    assert run.info.status == "FINISHED"
    assert len(client.get_metric_history(run.info.run_id, "val_loss")) >= 2
    assert {f.path for f in client.list_artifacts(run.info.run_id)} >= {
        "predictions.parquet", "model.keras", "config.yaml",
    }  # fmt: skip


def test_compare_groups_the_seeds(swept, here):
    folder, _, printed = swept
    uri = f"tracking.uri={uri_of(folder)}"
    rows = here(folder, "compare", "tiny", uri, "--out", "made")["rows"]
    assert len(rows) == 2
    assert {row["n"] for row in rows} == {2}
    for row in rows:
        mine = [
            run["test_top1"]
            for run in printed["runs"]
            if str(run["train.optimizer.learning_rate"])
            == str(row["train.optimizer.learning_rate"])
        ]
        assert row["test_top1"] == pytest.approx(np.mean(mine))
        assert row["test_top1_std"] == pytest.approx(np.std(mine, ddof=1))
    assert (folder / "made" / "table.csv").exists()
    assert (folder / "made" / "pareto.png").stat().st_size > 10_000
    client = MlflowClient(uri_of(folder))
    logged = {f.path for f in client.list_artifacts(printed["run_id"], "comparison")}
    assert {"comparison/table.csv", "comparison/pareto.png"} <= logged


def test_a_failed_run_leaves_the_rest_going_and_is_tried_again(tmp_path, here, store):
    config = write_config(
        tmp_path,
        name="faulty",
        launch=INLINE,
        tracking=store,
        sweep={"train.optimizer.learning_rate": [0.05, 1e30, 0.02]},
        train={"epochs": 1, "loss": {"name": "mean_squared_error"}},
    )
    printed = here(tmp_path, "sweep", config, code=1)
    assert [run["status"] for run in printed["runs"]] == ["finished", "failed", "finished"]
    assert "learning_rate" in printed["runs"][1]["error"]
    states = sorted(r.info.status for r in runs_of(tmp_path, "faulty"))
    assert states == ["FAILED", "FINISHED", "FINISHED"]
    [row] = here(tmp_path, "status", "faulty")
    assert (row["done"], row["failed"]) == (2, 1)
    here(tmp_path, "sweep", config, code=1)
    assert "3 runs (3 train.optimizer.learning_rate), 2 already done" in here.err
    assert len(runs_of(tmp_path, "faulty")) == 4


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.full), signal.SIGTERM]
)
def test_an_interrupted_sweep_keeps_what_it_has_and_continues(tmp_path, number, here, store):
    long = {"epochs": 400, "optimizer": {"learning_rate": 0.01}}
    cut = {"name": "cut", "tracking": store}
    config = write_config(
        tmp_path, **cut, sweep={"train.epochs": [1, 400], "seed": [1]}, train=long
    )
    process = outside(tmp_path, "sweep", config)
    wait_until(lambda: epochs_logged(tmp_path) >= 3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command to continue" in err
    assert "Traceback" not in err
    states = {r.data.params["train.epochs"]: r for r in runs_of(tmp_path, "cut")}
    assert states["1"].info.status == "FINISHED"
    assert states["400"].info.status == "KILLED"
    assert states["400"].data.metrics["val_loss"] > 0
    [parent] = runs_of(tmp_path, "cut", "sweep")
    assert parent.info.status == "KILLED"
    [row] = here(tmp_path, "status", "cut")
    assert (row["done"], row["left"], row["running"]) == (1, 1, 0)

    long["epochs"] = 1
    config = write_config(
        tmp_path, **cut, sweep={"train.epochs": [1, 2]}, train=long, launch=INLINE
    )
    printed = here(tmp_path, "sweep", config)
    assert [run["status"] for run in printed["runs"]] == ["finished", "finished"]
    assert printed["runs"][0]["run_id"] == states["1"].info.run_id


def epochs_logged(folder):
    """Epochs that have reached the store for the run of many epochs."""
    try:
        with sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True) as database:
            query = "select max(step) from metrics where key = 'val_loss'"
            return database.execute(query).fetchone()[0] or 0
    except sqlite3.Error:
        return 0


def wait_until(condition, seconds=120):
    """Poll until it holds; the bound only keeps a broken program from hanging the tests."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.2)


def test_a_deeper_network_starts_from_a_run(swept, here):
    folder, _, printed = swept
    donor = printed["runs"][0]["run_id"]
    config = write_config(
        folder,
        name="child",
        train={"epochs": 0, "initialize_from": donor},
        launch=INLINE,
        tracking={"uri": uri_of(folder)},
    )
    row = here(folder, "train", config)
    assert row["status"] == "finished"
    assert row["test_top1"] == printed["runs"][0]["test_top1"]
    assert row["epochs"] == 0


def test_early_stopping_restores_and_scores_the_best_epoch(tmp_path, here, store):
    config = write_config(
        tmp_path,
        name="early",
        launch=INLINE,
        tracking=store,
        train={
            "epochs": 30,
            "optimizer": {"learning_rate": 0.1},
            "early_stopping": {"monitor": "val_loss", "patience": 2},
        },
    )
    row = here(tmp_path, "train", config)
    [run] = runs_of(tmp_path, "early")
    client = MlflowClient(uri_of(tmp_path))
    history = client.get_metric_history(run.info.run_id, "val_loss")
    curve = {m.step: m.value for m in reversed(history)}
    assert row["epochs"] < 30
    assert row["val_loss"] == pytest.approx(min(curve.values()), rel=1e-6)
    assert run.data.tags["stopped_early"] == "true"


def test_dry_run_tells_data_cost_and_fits_and_writes_nothing(swept, tmp_path, here):
    _, config, _ = swept
    rule = "train.optimizer.learning_rate"
    scaled = (f"{rule}_scaling=linear", f"{rule}_for_batch=32", "data.batch_size=96")
    told = here(tmp_path, "sweep", config, "--dry-run", *scaled)
    written = told["config"]["train"]["optimizer"]["learning_rate"]
    assert told["update"]["learning_rate"] == pytest.approx(3 * written)
    assert told["fits"] == 4
    assert told["data"]["images"] == 1797
    assert told["data"]["classes"] == 10
    assert told["cost"]["params"] > 0
    assert told["cost"]["macs"] > 0
    assert told["config"]["data"]["image_size"] == [16, 16]
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_held_out_parts_reports_training_accuracy_only(tmp_path, here, store):
    config = write_config(
        tmp_path,
        name="all",
        validation={"validation_fraction": 0, "test_fraction": 0},
        train={"epochs": 2, "class_weights": "balanced", "loss": {"name": "hinge"}},
        launch=INLINE,
        tracking=store,
    )
    row = here(tmp_path, "train", config)
    assert row["status"] == "finished"
    assert row["train_top1"] > 0.3
    assert not [key for key in row if key.startswith(("val_", "test_"))]
    [run] = runs_of(tmp_path, "all")
    assert int(run.data.params["data.train_images"]) == pytest.approx(1797 * 0.25, abs=10)
    assert run.data.params["data.test_images"] == "0"


def test_photographs_of_many_sizes_train_through_a_crop_recipe(tmp_path, here, store):
    from PIL import Image

    rng = np.random.default_rng(0)
    for label, colour in (("red", (200, 40, 40)), ("blue", (40, 40, 200))):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            height, width = rng.integers(40, 90, 2)
            pixels = np.clip(rng.normal(colour, 30, (height, width, 3)), 0, 255).astype(np.uint8)
            suffix = ("jpg", "JPEG", "png")[number % 3]
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.{suffix}")
    config = write_config(
        tmp_path,
        name="photos",
        launch=INLINE,
        tracking=store,
        data={"source": "folder:photos", "image_size": 32, "batch_size": 8},
        augment={"preset": "alexnet"},
        train={"epochs": 6, "precision": "mixed_bfloat16", "optimizer": {"learning_rate": 0.02}},
    )
    row = here(tmp_path, "train", config)
    assert row["test_top1"] == 1.0
    assert "test_top5" not in row
    [run] = runs_of(tmp_path, "photos")
    assert "pca_jitter(sigma=0.1)" in run.data.tags["augment"]
    statistics = json.loads(artifact(tmp_path, run, "statistics.json").read_text())
    assert len(statistics["eigenvalues"]) == 3
    assert statistics["eigenvalues"][0] > statistics["eigenvalues"][2] > 0
