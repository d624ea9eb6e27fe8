"""`evaluate.corruptions`: errors by content, paired intervals, the same images for networks."""

from __future__ import annotations

import csv
import json

import colour_network
import numpy as np
import pytest
import tensorflow as tf
from command import inside

import pipelines
from experiments.evaluation.corruption_error import differences, figures
from pipelines.augment.corruptions import NAMES, VERSIONS, all_versions
from tuning.statistics.significance import mean_interval

WORDS = ("bench.latency_calls=1", "bench.throughput_batches=1", "data.crop_fraction=1.0")


def test_errors_are_those_of_the_corrupted_images(tmp_path, monkeypatch, capsys):
    model = colour_network.network(9)
    model.save(tmp_path / "first.keras")
    kernel, bias = model.layers[-1].get_weights()
    bias[4] -= 300.0
    model.layers[-1].set_weights([kernel, bias])
    model.save(tmp_path / "second.keras")
    colour_network.folders(tmp_path / "set", {str(number): [number] * 2 for number in range(9)})
    words = ["evaluate", "first.keras", "second.keras", "data.source=folder:set", *WORDS]
    words += ["evaluate.corruptions=true", "--out", "made"]
    assert inside(monkeypatch, *words, "--json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert "8 corruptions x 5 severities, 40 x the cost of one view; 18 images" in captured.err

    source = pipelines.open_source("folder:set")
    versions = np.concatenate(
        [all_versions(tf.constant(image), tf.constant(at, tf.int64))
         for at, image in enumerate(source.array)]
    )  # fmt: skip
    wrong = []
    for name in ("first", "second"):
        import keras

        logits = np.asarray(keras.saving.load_model(f"{name}.keras")(versions.astype(np.float32)))
        answers = logits.argmax(axis=1).reshape(18, 8, 5)
        wrong.append(answers != source.labels[:, None, None])
    for row, errors in zip(document["rows"], wrong, strict=True):
        measured = row["corruptions"]
        assert list(measured["per"]) == list(NAMES)
        np.testing.assert_allclose(list(measured["per"].values()), errors.mean(axis=0))
        assert measured["mean_corruption_error"] == pytest.approx(errors.mean())
        low, high = measured["interval"]
        assert low < errors.mean() < high
    first, second = (row["corruptions"]["mean_corruption_error"] for row in document["rows"])
    assert second > first > 0
    relative = [row["corruptions"]["relative_to_first"] for row in document["rows"]]
    assert relative == [1.0, pytest.approx(second / first)]
    [pair] = document["corruptions"]["differences"]
    assert pair["difference"] == pytest.approx(first - second)
    interval = mean_interval(
        wrong[0].sum(axis=(1, 2)) - wrong[1].sum(axis=(1, 2)), -VERSIONS, VERSIONS
    )
    assert pair["interval"] == [interval.low / VERSIONS, interval.high / VERSIONS]
    assert document["corruptions"]["constants"] == ["CIFAR-10-C"]
    assert "not divided by AlexNet's" in document["corruptions"]["definition"]
    with open("made/corruptions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * VERSIONS
    assert float(rows[3]["error"]) == pytest.approx(wrong[0].mean(axis=0)[0, 3])

    assert inside(monkeypatch, *words) == 0
    shown = capsys.readouterr().out
    assert f"first.keras: mean corruption error {100 * first:.2f}% [" in shown
    assert "first.keras - second.keras: mean corruption error -" in shown
    assert inside(monkeypatch, *words, "evaluate.protocol=ten_crop") == 2
    assert "leave evaluate.protocol out" in capsys.readouterr().err


def test_versions_of_an_image_are_resampled_together():
    errors = np.zeros((30, 8, 5), bool)
    errors[:15] = True  # an image is wrong in all its versions or in none
    whole = figures(errors, errors)
    low, high = whole["interval"]
    assert (low, high) == pytest.approx((0.33, 0.67), abs=0.02)  # of 30 images, not of 1,200
    [same] = differences(["a", "b"], [errors, errors])
    assert same["difference"] == 0.0
    assert same["interval"][0] < 0 < same["interval"][1]
