"""Searches by a mean over classes: which trial wins, by which score it is tested, what is said."""

import pytest
from small_search import quiet_folder, uri

from experiments.config import settings
from experiments.search.results import text
from experiments.search.results.plots import winners
from experiments.search.results.plots.view import view
from experiments.search.run import run

RATE = "train.optimizer.learning_rate"


def searched(kind, **search):
    made = settings.parse(
        {
            "name": "b",
            "data": {"source": "digits", "image_size": 16},
            "model": {"name": "mlp"},
            "train": {"epochs": 1},
            "validation": {"outer": 3, "inner": 2, "folds": 3},
            "search": {"strategy": "grid", "space": {RATE: [1e-6, 0.05]}, **search},
            "launch": {"executor": "inline"},
            "bench": {"latency_calls": 2, "throughput_batches": 1},
            "tracking": {"save_model": "none", "uri": uri()},
        }
    )
    return run(kind, made, "b.yaml")


@pytest.fixture(scope="module")
def nested(tmp_path_factory):
    with quiet_folder(tmp_path_factory.mktemp("nested")):
        return searched("nested", objective="val_balanced_top1", final=True)


def test_nested_winners_are_tested_by_the_objective(nested):
    assert nested["status"] == "finished"
    tests = [row["test_balanced_top1"] for row in nested["outer"]]
    assert nested["mean_test_balanced_top1"] == pytest.approx(sum(tests) / 3)
    assert "mean_test_top1" not in nested
    for row in nested["outer"]:
        trials = [t for t in nested["trials"] if t["outer"] == row["fold"]]
        best = max(trials, key=lambda trial: trial["val_balanced_top1"])
        assert (row["trial"], row["inner_score"]) == (best["number"], best["val_balanced_top1"])
        assert best["score"] == pytest.approx(best["val_balanced_top1"])
    assert nested["interval"]["low"] < nested["mean_test_balanced_top1"]
    expected = nested["final"]["expected_balanced_top1"]
    assert expected == pytest.approx(nested["mean_test_balanced_top1"])


def test_what_is_said_of_it_names_the_score_in_per_cent(nested):
    said = text.of_result(nested)
    mean = nested["mean_test_balanced_top1"]
    assert f"test_balanced_top1 {mean:.2%}" in said
    assert f"expected balanced top-1 on new images {100 * mean:.1f} %" in said
    assert f"optimism {100 * nested['optimism']:+.2f} points" in said
    shown = winners.table(nested)
    assert "inner balanced top-1 (%)" in shown.header
    assert "test balanced top-1 (%)" in shown.header
    assert f"not seen {100 * mean:.2f} %" in " ".join(shown.notes)


def test_a_lead_is_judged_by_folds_and_not_by_right_images(own_store):
    result = searched("search", objective="val_macro_f1", refit=True, choose="one_standard_error")
    assert result["best"]["score"] == pytest.approx(result["best"]["val_macro_f1"])
    assert result["choice"]["lead"]["of"] == "folds"
    assert "test_macro_f1" in result["refit"]
    assert "points ahead of trial" in text.of_result(result)
    axis = view(result["trials"], "t", score_name="val_macro_f1")
    assert axis.score_label == "validation macro F1 (%)"
    assert axis.text(0.5) == "50.00 %"
