"""Runs on a source whose classes differ in size: what they log, and what `compare` shows of it."""

import json

import pytest
from blank_store import blank_store
from command import TINY
from mlflow import MlflowClient
from PIL import Image

from experiments.comparison import compare, table
from experiments.config import settings
from experiments.runs import sweep


def test_a_run_on_unequal_classes_is_shown_with_its_means_over_classes(own_folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name, count, shade in (("many", 60, 30), ("few", 12, 220)):
        folder = own_folder / "images" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (16, 16), (shade, number, shade)).save(folder / f"{number}.png")
    uri = blank_store(own_folder)
    chosen = {
        "data": {"source": f"folder:{own_folder / 'images'}", "image_size": 16},
        "train": {"epochs": 1},
        "tracking": {"uri": uri},
        "launch": {"executor": "inline"},
        "sweep": {"seed": [1]},
        "bench": {"latency_calls": 2, "throughput_batches": 1},
    }
    result = sweep.sweep(settings.parse(TINY | chosen), "u.yaml")
    client = MlflowClient(uri)
    run = client.get_run(result["runs"][0]["run_id"])
    low, high = json.loads(run.data.tags["class_sizes"])["test"]
    assert high == pytest.approx(5 * low, abs=3)
    experiment = client.get_experiment(run.info.experiment_id).name
    shown = compare.compare(client, [experiment])
    assert shown.rows[0]["class_sizes"] == [low, high]
    assert shown.rows[0]["test_balanced_top1"] == run.data.metrics["test_balanced_top1"]
    assert f"A class has {low} to {high} test images" in table.markdown(shown)
