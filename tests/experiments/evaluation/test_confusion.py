"""Confusion, per-class accuracy and calibration against sums done by hand."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from experiments.evaluation import calibration, confusion

LABELS = np.array([0, 0, 0, 1, 1, 2])
ANSWERS = np.array([0, 1, 1, 1, 0, 2])
NAMES = ["cat", "dog", "bird"]


def test_the_matrix_counts_true_classes_by_answers():
    counts = confusion.matrix(LABELS, ANSWERS, 3)
    assert counts.tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    rows = confusion.per_class(counts, NAMES)
    assert [(row["class"], row["images"], row["correct"]) for row in rows] == [
        ("cat", 3, 1),
        ("dog", 2, 1),
        ("bird", 1, 1),
    ]
    assert rows[0]["accuracy"] == pytest.approx(1 / 3)
    assert rows[0]["low"] < 1 / 3 < rows[0]["high"]


def test_precision_recall_and_f1_are_scikit_learns():
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(4)
    labels = random.integers(0, 6, 200)
    answers = np.where(random.uniform(size=200) < 0.6, labels, random.integers(0, 5, 200))
    answers[answers == 5] = 0  # never answered
    rows = confusion.per_class(confusion.matrix(labels, answers, 7), list("abcdefg"))
    numbers = range(6)
    wanted = precision_recall_fscore_support(labels, answers, labels=numbers, zero_division=0)
    for rate, values in zip(("precision", "recall", "f1"), wanted, strict=False):
        np.testing.assert_allclose([row[rate] for row in rows[:6]], values)
    assert rows[6]["f1"] is rows[6]["precision"] is None  # without images
    macro = confusion.macro_averages(confusion.matrix(labels, answers, 7))
    assert list(macro) == ["macro_precision", "macro_recall", "macro_f1"]
    np.testing.assert_allclose(list(macro.values()), [np.mean(x) for x in wanted[:3]])


def test_answers_outside_the_set_cost_recall_and_no_precision():
    rows = confusion.per_class(confusion.matrix(LABELS, np.array([0, 7, 3, 1, 0, 2]), 3), NAMES)
    assert [row["precision"] for row in rows] == [0.5, 1.0, 1.0]
    assert [row["recall"] for row in rows] == [pytest.approx(1 / 3), 0.5, 1.0]


def test_the_worst_pairs_are_named_with_their_share():
    pairs = confusion.worst_pairs(confusion.matrix(LABELS, ANSWERS, 3), NAMES)
    assert [(pair["class"], pair["taken_for"], pair["images"]) for pair in pairs] == [
        ("cat", "dog", 2),
        ("dog", "cat", 1),
    ]
    assert pairs[0]["share"] == pytest.approx(2 / 3)


def test_readable_names_stand_beside_the_classes():
    counts = confusion.matrix(LABELS, np.array([0, 1, 7, 1, 0, 2]), 3)
    titles = {"cat": "Felis", "dog": "Canis"}
    pairs = confusion.worst_pairs(counts, NAMES, titles=titles)
    assert [(pair["class"], pair["title"]) for pair in pairs] == [("cat", "Felis")] * 2 + [
        ("dog", "Canis")
    ]
    assert [pair.get("taken_for_title") for pair in pairs] == ["Canis", None, "Felis"]
    rows = confusion.per_class(counts, NAMES, titles)
    assert [row["title"] for row in rows] == ["Felis", "Canis", ""]
    assert list(rows[0])[:3] == ["class", "title", "images"]
    assert "title" not in confusion.per_class(counts, NAMES)[0]
    assert "title" not in confusion.worst_pairs(counts, NAMES)[0]


def test_answers_outside_the_set_have_a_column_of_their_own(tmp_path):
    counts = confusion.matrix(LABELS, np.array([0, 7, 3, 1, 0, 2]), 3)
    assert counts.tolist() == [[1, 0, 0, 2], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert confusion.worst_pairs(counts, NAMES)[0]["taken_for"] == confusion.OUTSIDE
    confusion.write_matrix(tmp_path / "c.csv", counts, NAMES)
    with open(tmp_path / "c.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["true class", *NAMES, confusion.OUTSIDE]
    assert rows[1] == ["cat", "1", "0", "0", "2"]


def test_a_class_without_images_has_no_accuracy():
    rows = confusion.per_class(confusion.matrix(np.array([0]), np.array([0]), 2), ["a", "b"])
    assert rows[1]["images"] == 0
    assert rows[1]["accuracy"] is None


def test_the_calibration_error_is_the_weighted_gap_of_the_bins():
    """Two bins: .6 and .8 said and one of two right, .9 and 1 said and both right."""
    chances = np.array([[0.4, 0.6], [0.8, 0.2], [0.1, 0.9], [1.0, 0.0]])
    correct = np.array([True, False, True, True])
    found = calibration.measure(chances, correct, bins=20)
    by_hand = (abs(0.6 - 1) + abs(0.8 - 0) + abs(0.9 - 1) + abs(1.0 - 1)) / 4
    assert found.ece == pytest.approx(by_hand)
    assert found.largest_gap == pytest.approx(0.8)
    coarse = calibration.measure(chances, correct, bins=2)
    assert coarse.ece == pytest.approx(abs(3.3 / 4 - 3 / 4))
    assert [each.images for each in coarse.bins] == [0, 4]
    assert coarse.bins[0].accuracy is None
    assert coarse.confidence == pytest.approx(0.825)


def test_a_bin_includes_its_upper_end():
    chances = np.array([[0.5, 0.5]])
    found = calibration.measure(chances, np.array([True]), bins=2)
    assert [each.images for each in found.bins] == [1, 0]


def test_the_figures_are_drawn_for_few_and_for_many_classes(tmp_path):
    from matplotlib.image import imread

    random = np.random.default_rng(0)
    for classes in (3, 80):
        labels = random.integers(0, classes, 500)
        answers = np.where(random.uniform(size=500) < 0.7, labels, random.integers(0, classes, 500))
        counts = confusion.matrix(labels, answers, classes)
        path = tmp_path / f"{classes}.png"
        confusion.draw(counts, [f"class {i}" for i in range(classes)], "title", path)
        pixels = imread(path)
        assert pixels.shape[0] > 500
        assert pixels[..., :3].std() > 0.05
    chances = random.dirichlet(np.ones(4), 300)
    calibration.draw(
        calibration.measure(chances, random.uniform(size=300) < 0.5), "title", tmp_path / "r.png"
    )
    assert imread(tmp_path / "r.png")[..., :3].std() > 0.05


def test_no_text_of_the_calibration_picture_lies_on_a_bar(tmp_path, monkeypatch):
    """Of a network that is always right and seldom sure: high bars to the left."""
    from matplotlib.patches import Rectangle
    from matplotlib.text import Text

    figures = []
    monkeypatch.setattr(calibration, "save_picture", lambda figure, path: figures.append(figure))
    sure = np.linspace(0.12, 0.5, 300)
    chances = np.concatenate([sure[:, None], np.repeat((1 - sure[:, None]) / 9, 9, axis=1)], axis=1)
    measured = calibration.measure(chances, np.ones(300, bool))
    calibration.draw(measured, "a title", tmp_path / "r.png")
    [figure] = figures
    figure.canvas.draw()
    bars = [
        bar.get_window_extent()
        for axes in figure.axes
        for bar in axes.patches
        if isinstance(bar, Rectangle)
    ]
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    [told] = [text.get_window_extent() for text in texts if "ECE" in text.get_text()]
    [title] = [text.get_window_extent() for text in texts if text.get_text() == "a title"]
    assert len(bars) > 10
    assert not any(told.overlaps(other) for other in [*bars, title])
