"""Rows of runs: which ones count, what differs between them, and what is flagged."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from fake_store import top1
from terminal_text import shown

from experiments.comparison import compare, table
from experiments.comparison.frame import frame
from experiments.comparison.pair_tests import common
from experiments.errors import BadInput
from experiments.jobs.job import ROOT
from experiments.jobs.predictions import Evaluation, write_predictions
from experiments.tracking.journal import Journal


def test_means_and_spread_are_those_of_the_seeds(store):
    for seed, value in ((1, 0.90), (2, 0.94), (3, 0.95)):
        store.run(store.name, "lenet5", seed, top1(value, test_top5=1.0))
    store.run(store.name, "nin", 1, top1(0.97, macs=2e6))

    found = compare.compare(store.client, [store.name])

    assert [r["name"] for r in found.rows] == ["nin", "lenet5"]
    lenet = found.rows[1]
    assert (lenet["n"], lenet["seeds"]) == (3, [1, 2, 3])
    assert lenet["top1_mean"] == pytest.approx(0.93)
    # sample variance: (0.03^2 + 0.01^2 + 0.02^2) / 2
    assert lenet["top1_std"] == pytest.approx(math.sqrt(0.0014 / 2))
    assert lenet["top1_error"] == pytest.approx(0.07)
    assert lenet["val_top1"] == pytest.approx(0.92)
    assert lenet["test_top5"] == 1.0
    assert len(lenet["run_ids"]) == 3
    assert found.rows[0]["top1_std"] is None
    assert found.rows[0]["test_top5"] is None
    assert found.score == "test_top1"
    assert found.varying == ["model.name"]
    assert (found.sources, found.devices) == (["digits"], ["AMD EPYC, 2 threads"])


def over_classes(part, balanced, f1):
    return {f"{part}_balanced_top1": balanced, f"{part}_macro_f1": f1}


def test_means_over_classes_are_shown_of_unequal_classes_only(store):
    unequal, equal = ({"class_sizes": json.dumps({"test": sizes})} for sizes in ([4, 40], [30, 45]))
    for seed, balanced in ((1, 0.6), (2, 0.7)):
        metrics = top1(0.9) | over_classes("test", balanced, 0.5)
        store.run(store.name, "lenet5", seed, metrics, tags=unequal)
    found = compare.compare(store.client, [store.name])
    [one] = found.rows
    assert one["class_sizes"] == [4, 40]
    assert one["test_balanced_top1"] == pytest.approx(0.65)
    assert one["test_macro_f1_std"] == 0
    shown = table.markdown(found)
    assert "test balanced top-1 %" in shown
    assert "65.0 ± 7.1" in shown
    assert "A class has 4 to 40 test images" in shown

    for number, tags in enumerate((equal, {})):
        name = f"{store.name}-{number}"
        store.run(name, "lenet5", 1, top1(0.9) | over_classes("test", 0.6, 0.5), tags=tags)
        even = table.markdown(compare.compare(store.client, [name]))
        assert "balanced" not in even
        assert "macro" not in even


def test_a_repeat_of_config_and_seed_counts_once_and_the_newest(store):
    store.run(store.name, "lenet5", 1, top1(0.10))
    store.run(store.name, "lenet5", 2, top1(0.80))
    store.run(store.name, "lenet5", 1, top1(0.90))

    found = compare.compare(store.client, [store.name])

    assert len(found.rows) == 1
    assert found.rows[0]["n"] == 2
    assert found.rows[0]["top1_mean"] == pytest.approx(0.85)
    assert found.repeats == 1


def test_a_reproduction_does_not_stand_in_for_its_original(store):
    original = store.run(store.name, "lenet5", 1, top1(0.80))
    store.run(store.name, "lenet5", 1, top1(0.70), tags={"reproduces": original})

    [row] = compare.compare(store.client, [store.name]).rows

    assert (row["n"], row["top1_mean"]) == (1, pytest.approx(0.80))


def test_runs_that_differ_in_seeds_are_one_row_and_pair_with_those_that_drew_alike(store):
    crossed = [(weights, order) for weights in (1, 2) for order in (1, 2)]
    for model, lead in (("lenet5", 0.0), ("nin", 0.1)):
        for weights, order in crossed if model == "nin" else crossed[::-1]:
            score = 0.5 + 0.2 * weights + 0.01 * order + lead
            apart = {"seeds__weights": weights, "seeds__order": order}
            store.run(store.name, model, 1, top1(score), **apart)

    found = compare.compare(store.client, [store.name])

    assert [(row["name"], row["n"], row["seeds"]) for row in found.rows] == [
        ("nin", 4, [1]),
        ("lenet5", 4, [1]),
    ]
    assert found.varying == ["model.name"]
    pairs = common(*found.rows)
    assert [first["seeds"] for first, _ in pairs] == [
        {"order": order, "weights": weights} for order in (1, 2) for weights in (1, 2)
    ]
    for first, second in pairs:
        assert first["seeds"] == second["seeds"]
        assert first["score"] - second["score"] == pytest.approx(0.1)
    shared = "2 seeds of weights and 2 seeds of order and 1 seed of augmentation and 1 seed of"
    assert [w for w in found.warnings if shared in w and w.startswith("nin: its 4 runs")]
    table = frame(store.client, store.name)
    assert sorted(zip(table["seeds.weights"], table["seeds.order"], strict=True)) == sorted(
        2 * crossed
    )


def test_runs_beyond_the_first_page_are_read(store, monkeypatch):
    monkeypatch.setattr(compare, "PAGE", 2)
    for seed in (1, 2, 3):
        store.run(store.name, "lenet5", seed, top1(0.80))

    [row] = compare.compare(store.client, [store.name]).rows

    assert (row["n"], row["seeds"]) == (3, [1, 2, 3])


def test_rows_of_one_model_are_named_by_what_differs(store):
    for rate in (0.1, 0.01):
        for seed in (1, 2):
            store.run(store.name, "lenet5", seed, top1(rate), train__optimizer__learning_rate=rate)
    store.run(store.name, "nin", 1, top1(0.5), train__optimizer__learning_rate=0.1)

    found = compare.compare(store.client, [store.name])

    assert [(r["name"], r["n"]) for r in found.rows] == [
        ("nin", 1),
        ("lenet5 learning_rate=0.1", 2),
        ("lenet5 learning_rate=0.01", 2),
    ]
    assert found.varying == ["model.name", "train.optimizer.learning_rate"]
    assert found.rows[2]["train.optimizer.learning_rate"] == 0.01


def test_failed_killed_and_running_are_counted_and_shown(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(store.name, "nin", 1, {}, status="FAILED")
    store.run(store.name, "nin", 2, {}, status="FAILED")
    store.run(store.name, "nin", 3, {}, status="KILLED")
    store.run(store.name, "nin", 4, {}, status="RUNNING")
    store.run(store.name, "vgg16", 1, top1(0.99), level="trial")

    found = compare.compare(store.client, [store.name])

    assert [r["name"] for r in found.rows] == ["lenet5"]
    assert found.left_out == {"FAILED": 2, "KILLED": 1, "RUNNING": 1}
    assert "2 failed, 1 killed, 1 running" in shown(table.render(found, 100), width=100)


def test_an_attempt_that_was_made_again_is_not_left_out(store):
    store.run(store.name, "lenet5", 1, {}, status="KILLED")
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(store.name, "lenet5", 2, {}, status="KILLED")
    assert compare.compare(store.client, [store.name]).left_out == {"KILLED": 1}


def test_validation_stands_in_when_no_run_was_tested_and_says_so(store):
    store.run(store.name, "lenet5", 1, {"val_top1": 0.8, "macs": 1e6})

    found = compare.compare(store.client, [store.name])

    assert (found.score, found.rows[0]["top1_mean"]) == ("val_top1", 0.8)
    assert any("validation" in warning for warning in found.warnings)
    assert "validation" in shown(table.render(found, 100), width=100)


def test_different_data_are_not_comparable(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(store.name, "lenet5", 1, top1(0.8), tags={"source_fingerprint": "other"})

    found = compare.compare(store.client, [store.name])

    assert len(found.rows) == 2
    assert len({r["name"] for r in found.rows}) == 2
    assert any(warning.startswith("Not comparable") for warning in found.warnings)


def test_a_run_without_a_score_is_named(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(store.name, "lenet5", 2, {"val_top1": 0.5, "macs": 1e6})

    found = compare.compare(store.client, [store.name])

    assert found.rows[0]["top1_mean"] == 0.9
    assert found.warnings == ["lenet5: 1 of 2 runs have no test_top1"]


def test_mixed_devices_and_precisions_are_noted(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    other = {"device": "Apple M2, 8 threads", "precision": "mixed_bfloat16"}
    store.run(store.name, "nin", 1, top1(0.8), tags=other)

    found = compare.compare(store.client, [store.name])

    assert found.devices == ["AMD EPYC, 2 threads", "Apple M2, 8 threads"]
    assert found.precisions == ["float32", "mixed_bfloat16"]
    assert len(found.warnings) == 2


def test_code_versions_and_machines_are_flagged_within_a_row_and_between_rows(store):
    one = {"git_commit": "a" * 40, "git_dirty": "false", "machine": "Linux x86_64, 2 cores"}
    other = {"git_commit": "b" * 40, "git_dirty": "true", "machine": "Darwin arm64, 8 cores"}
    store.run(store.name, "lenet5", 1, top1(0.9), tags=one)
    store.run(store.name, "lenet5", 2, top1(0.9), tags=other)
    store.run(store.name, "nin", 1, top1(0.8), tags=one)

    found = compare.compare(store.client, [store.name])

    assert found.rows[0]["git_commit"] == f"{'a' * 40}; {'b' * 40}"
    assert found.warnings == [
        "The runs were made by different versions of the code (commits aaaaaaa, bbbbbbb)",
        "lenet5: its own runs come from different commits (aaaaaaa, bbbbbbb)",
        "1 of 3 runs were made with uncommitted changes in the code; "
        "their commit does not tell what ran",
        "The runs were made on different machines (Darwin arm64, 8 cores, Linux x86_64, 2 cores)",
        "lenet5: its own runs come from different machines",
    ]
    alike = compare.compare(store.client, [store.name], where=["git_commit=a*"])
    assert alike.warnings == []


def test_one_seed_is_tested_on_the_predictions_that_the_runs_kept(store, tmp_path):
    # of 30 images `good` has all right, `bad` the last 20
    for model, first_right in (("good", 0), ("bad", 10)):
        run = store.run(store.name, model, 1, top1(1 - first_right / 30))
        right = np.arange(30) >= first_right
        probabilities = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]]).astype(np.float32)
        labels = np.zeros(30, np.int32)
        columns = {"label": labels, "predicted": labels, "probabilities": probabilities}
        part = ("test", np.arange(30), Evaluation({}, 0.0, columns))
        file = write_predictions(tmp_path / "predictions.parquet", [part])
        store.client.log_artifact(run, file)

    found = compare.compare(store.client, [store.name], test="auto")

    assert found.rows[1]["vs_best"] == "1 seed"
    assert found.rows[1]["networks_tested_by"] == "McNemar"
    assert found.rows[1]["networks_p_value"] == pytest.approx(2 * 0.5**10)  # 10 to 0, exact
    text = shown(table.render(found, 200), width=200)
    assert "these networks" in text
    assert "0.002" in text
    assert "*" not in text.splitlines()[8]


def test_unknown_experiment_names_the_nearest(store):
    with pytest.raises(BadInput, match=store.name):
        compare.compare(store.client, [store.name[:-1]])


def test_nothing_finished_says_how_many_and_what_to_do(store):
    with pytest.raises(BadInput, match="ilsvrc sweep"):
        compare.compare(store.client, [store.name])
    store.run(store.name, "nin", 1, {}, status="FAILED")
    store.run(store.name, "nin", 2, {}, status="RUNNING")
    with pytest.raises(BadInput, match=r"1 failed, 1 running.*resumes"):
        compare.compare(store.client, [store.name])


@pytest.mark.parametrize(
    ("events", "advice"),
    [
        ([], "wait for them: ilsvrc status NAME"),
        (["started"], "nobody is at work on them: run the same command again to continue"),
        (
            ["started", "ended"],
            "they have ended, and this store was not told all: ilsvrc upload NAME",
        ),
    ],
    ids=["elsewhere", "killed", "not sent"],
)
def test_of_runs_that_the_store_takes_for_running_the_journals_are_asked(store, events, advice):
    store.run(store.name, "nin", 1, {}, status="RUNNING")
    for event in events:
        book = Journal(ROOT / store.name / "fit").open()
        book.append(event, outcome={"status": "finished"})
    with pytest.raises(BadInput, match=r"no finished runs yet \(1 running\)") as refused:
        compare.compare(store.client, [store.name])
    assert str(refused.value).endswith(advice.replace("NAME", store.name))
