"""Autoencoders by the same command: squared error of pixels instead of accuracy."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from command import inside, write_config
from mlflow import MlflowClient

from experiments.config import settings
from experiments.errors import BadInput
from experiments.fitting import fit
from experiments.jobs.plan import prepare

BASE = {
    "data": {"source": "digits", "image_size": 8, "train_fraction": 0.2},
    "model": {"name": "autoencoder_undercomplete"},
    "train": {"epochs": 3, "optimizer": {"name": "adam", "learning_rate": 0.01}},
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder where `ilsvrc train` has trained two, by seed, and the rows that it printed."""
    folder = tmp_path_factory.mktemp("trained")
    # By its whole path: MLflow keeps a store open by its address, for other tests' folders too.
    config = write_config(
        folder, name="made", tracking={"uri": f"sqlite:///{folder}/mlflow.db"}, **BASE
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        printed: list[str] = []
        patch.setattr(
            "experiments.presentation.console.print",
            lambda text, **_: printed.append(text),
            raising=False,
        )
        assert inside(patch, "train", config, "--json") == 0
        assert inside(patch, "train", config, "seed=2", "--json") == 0
    return folder, [json.loads(row) for row in printed]


def test_the_command_reports_squared_errors_and_no_accuracy(trained):
    folder, [row, _] = trained
    assert row["status"] == "finished"
    assert 0 < row["test_mse"] < 0.12
    assert row["val_loss"] == row["val_mse"]
    assert row["train_mse"] > 0
    assert not [key for key in row if "top" in key]
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.get_run(row["run_id"])
    assert run.data.params["data.normalise"] == "unit"
    assert run.data.params["train.loss.name"] == "mean_squared_error"
    curve = [m.value for m in client.get_metric_history(row["run_id"], "val_mse")]
    assert min(curve) == curve[-1] < curve[0]
    found = {f.path for f in client.list_artifacts(row["run_id"])}
    assert {"reconstructions.png", "predictions.parquet", "model.keras"} <= found


def test_the_error_is_of_pixels_of_0_to_1_image_by_image(trained):
    """From the saved network and the source, without our loss."""
    import pipelines
    import pipelines.build

    folder, [row, _] = trained
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    table = pd.read_parquet(client.download_artifacts(row["run_id"], "predictions.parquet"))
    assert list(table.columns) == ["part", "index", "label", "mse"]
    test = table[table["part"] == "test"]
    assert test["mse"].mean() == pytest.approx(row["test_mse"], rel=1e-5)
    model = keras.saving.load_model(client.download_artifacts(row["run_id"], "model.keras"))
    [(images, labels)] = pipelines.build.evaluation_dataset(
        pipelines.open_source("digits"), test["index"].to_numpy(), size=(8, 8), batch_size=1000
    )
    images, made = np.asarray(images), np.asarray(model(images))
    assert 0 <= made.min() <= made.max() <= 1
    errors = ((made - images / 255) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(errors, test["mse"], rtol=1e-4)
    assert (np.asarray(labels) == test["label"]).all()


def test_the_picture_shows_originals_over_reconstructions(trained):
    from matplotlib.image import imread

    folder, [row, _] = trained
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    pixels = imread(client.download_artifacts(row["run_id"], "reconstructions.png"))
    assert pixels.shape[1] > 3 * pixels.shape[0]
    assert pixels[..., :3].std() > 0.2


def test_compare_shows_the_squared_error(trained, monkeypatch, capsys):
    folder, rows = trained
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    assert inside(monkeypatch, "compare", "made", "--out", "files", "--json") == 0
    [found] = json.loads(capsys.readouterr().out)["rows"]
    assert found["n"] == 2
    assert found["test_mse"] == pytest.approx(np.mean([row["test_mse"] for row in rows]))
    assert found["test_mse_std"] > 0
    assert found["top1_mean"] is None
    assert found["pareto"] is False
    assert (folder / "files" / "pareto.png").exists()
    assert "MSE" in table_of(monkeypatch, capsys)


def table_of(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "160")
    assert inside(monkeypatch, "compare", "made") == 0
    shown = capsys.readouterr().out
    assert "top-1" not in shown
    return shown


def test_the_input_may_be_normalised_otherwise_and_the_error_stays_comparable():
    standard = plan("data.normalise=mean_std", "train.epochs=8")
    outcome = fit.run(standard.job(("run",)), lambda event: None)
    default = fit.run(plan("train.epochs=8").job(("run",)), lambda event: None)
    assert outcome.scores["test_mse"] == pytest.approx(default.scores["test_mse"], rel=0.5)
    assert outcome.scores["test_mse"] != default.scores["test_mse"]


def test_early_stopping_and_the_best_model_follow_val_loss():
    words = ["train.early_stopping.monitor=val_loss", "train.early_stopping.patience=1"]
    words += ["train.epochs=6", "train.optimizer.learning_rate=0.3"]
    outcome = fit.run(plan(*words).job(("run",)), lambda event: None)
    best = min(epoch["val_mse"] for epoch in outcome.history)
    assert outcome.scores["val_mse"] == pytest.approx(best, rel=1e-6)
    saved = fit.run(plan("tracking.save_model=best").job(("run",)), lambda event: None)
    assert Path(saved.model).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.early_stopping.patience=1"], r"has no val_top1; set .*monitor=val_loss"),
        (["train.early_stopping.monitor=val_macro_f1"], r"has no val_macro_f1; set .*=val_loss"),
        (["train.class_weights=balanced"], r"train\.class_weights.*no classes"),
        (["train.loss.name=hinge"], r"train\.loss.*squared error.*hinge"),
        (["train.loss.label_smoothing=0.1"], r"train\.loss.*label_smoothing 0\.1"),
    ],
)
def test_what_needs_labels_is_refused(words, said):
    with pytest.raises(BadInput, match=said):
        plan(*words)


def test_the_overcomplete_network_removes_the_noise_it_is_given(tmp_path):
    outcome = fit.run(
        plan("model.name=autoencoder_overcomplete", "model.options.width=0.25").job(("run",)),
        lambda event: None,
    )
    assert outcome.scores["test_mse"] < 0.1
    assert [Path(file).name for file in outcome.files] == ["reconstructions.png"]
