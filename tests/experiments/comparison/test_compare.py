"""Grouping, dedupe, Pareto marking and the files, against a real MLflow store."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_store import COSTS, FakeStore, row
from scipy import stats
from typer.testing import CliRunner

from experiments.cli import commands
from experiments.comparison import compare, grouping, pareto_front, table
from experiments.comparison.frame import frame
from experiments.comparison.pair_tests import common
from experiments.comparison.plots import learning_curves
from experiments.comparison.table import render
from experiments.errors import BadInput
from experiments.jobs.job import ROOT
from experiments.jobs.predictions import Evaluation, write_predictions
from experiments.presentation.formatting import percent, si, significant
from experiments.reporting.output import log, run, to_json, write
from experiments.tracking.journal import Journal
from tuning.statistics.intervals import corrected, of_folds


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """Making the tables takes seconds: one database for the module, one experiment a test."""
    return FakeStore(tmp_path_factory.mktemp("store"))


@pytest.fixture
def store(empty_store, request):
    empty_store.name = request.node.name.replace("[", "-").strip("]")
    empty_store.experiment(empty_store.name)
    return empty_store


def top1(value, macs=1e6, **more):
    return {"test_top1": value, "val_top1": value - 0.01, "macs": macs, "params": 5e5, **more}


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
    assert "2 failed, 1 killed, 1 running" in text_of(found, 100)


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
    assert "validation" in text_of(found, 100)


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


def test_two_experiments_side_by_side(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(f"{store.name}-b", "lenet5", 1, top1(0.8))

    found = compare.compare(store.client, [store.name, f"{store.name}-b"])

    assert [r["experiment"] for r in found.rows] == [store.name, f"{store.name}-b"]
    assert len({r["name"] for r in found.rows}) == 2


def test_rows_hold_one_level_only_and_others_are_named(store):
    store.run(store.name, "nin", 1, {"val_top1": 0.9, "macs": 1e6}, level="trial")
    store.run(store.name, "nin", 2, {"val_top1": 0.8, "macs": 1e6}, level="trial")
    with pytest.raises(BadInput, match=r"no runs of level run; there are 2 trial: --level trial"):
        compare.compare(store.client, [store.name])
    store.run(store.name, "lenet5", 1, top1(0.7))

    assert [r["name"] for r in compare.compare(store.client, [store.name]).rows] == ["lenet5"]
    trials = compare.compare(store.client, [store.name], level="trial")
    assert [(r["name"], r["n"]) for r in trials.rows] == [("nin", 2)]
    with pytest.raises(BadInput, match="--level"):
        compare.compare(store.client, [store.name], level="run' or '1")


def test_outer_folds_of_one_nested_search_are_one_row(store):
    folds = [(0, 0.90, 0.1), (1, 0.94, 0.1), (2, 0.95, 0.01)]
    for parent in ("first", "second"):
        for fold, value, rate in folds:
            store.run(
                store.name, "lenet5", 1, top1(value), level="outer_fold",
                tags={"path": f"outer/{fold}", "mlflow.parentRunId": parent,
                      "config_hash": f"{parent}-{fold}"},
                train__optimizer__learning_rate=rate, data__test_images=600 - (fold > 0),
            )  # fmt: skip

    found = compare.compare(store.client, [store.name], level="outer_fold")

    assert found.varying == ["train.optimizer.learning_rate"], "sizes are no setting"

    assert [(r["n"], r["folds"]) for r in found.rows] == [(3, 3), (3, 3)]
    assert found.rows[0]["top1_mean"] == pytest.approx(0.93)
    assert found.rows[0]["top1_std"] == pytest.approx(math.sqrt(0.0014 / 2))
    assert found.rows[0]["train.optimizer.learning_rate"] == grouping.DIFFERS
    assert {v["fold"] for v in found.rows[0]["values"]} == {"outer/0", "outer/1", "outer/2"}


def test_nested_searches_are_compared_at_their_outer_folds_without_being_told(store):
    names = [f"{store.name}-{model}" for model in ("nin", "mlp")]
    for name, shift in zip(names, (0.0, 0.1), strict=True):
        for fold, value in enumerate((0.70, 0.75, 0.72)):
            store.run(
                name, name[-3:], 1, top1(value - shift * (1 + 0.1 * fold)), level="outer_fold",
                tags={"path": f"outer/{fold}", "mlflow.parentRunId": name,
                      "config_hash": f"{name}-{fold}"},
                data__train_images=60, data__test_images=30,
            )  # fmt: skip
        store.run(name, name[-3:], 1, {"val_top1": 0.99}, level="trial")

    found = compare.compare(store.client, names, test="auto")

    assert found == compare.compare(store.client, names, test="auto", level="outer_fold")
    assert (found.level, [(r["model"], r["n"]) for r in found.rows]) == (
        "outer_fold",
        [("nin", 3), ("mlp", 3)],
    )
    assert found.rows[1]["tested_by"] == "corrected resampled t over folds"
    told = of_folds([0.70, 0.75, 0.72], held=[30] * 3, trained=[60] * 3, images=90)
    best = found.rows[0]
    assert (best["interval_low"], best["interval_high"]) == pytest.approx((told.low, told.high))
    assert best["interval_method"] == "corrected resampled t"
    said = " ".join(text_of(found, 160).split())
    assert f"(corrected resampled t): nin {100 * told.low:.2f} to " in said
    assert "A ± over folds is their standard deviation, no interval" in said
    assert "Rows are the outer folds of nested searches" in text_of(found, 160)
    plain = f"{store.name}-plain"
    store.run(plain, "lenet5", 1, top1(0.9))
    mixed = compare.compare(store.client, [plain, names[0]])
    assert (mixed.level, [r["model"] for r in mixed.rows]) == ("run", ["lenet5"])
    assert "(it has 3 outer_fold, 1 trial: --level)" in mixed.warnings[0]


def test_inner_folds_of_a_trial_are_its_values(store):
    run = store.run(store.name, "nin", 1, {"val_top1": 0.8, "macs": 1e6}, level="trial")
    for fold, value in enumerate((0.7, 0.8, 0.9)):
        store.client.log_metric(run, "fold_val_top1", value, step=fold)

    (row,) = compare.compare(store.client, [store.name], level="trial").rows

    assert (row["n"], row["folds"]) == (3, 3)
    assert (row["top1_mean"], row["top1_std"]) == (pytest.approx(0.8), pytest.approx(0.1))
    assert row["val_top1_std"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("level", "protocol"),
    [
        ("search", {"validation.folds": "3"}),
        ("nested", {"validation.inner": "3"}),
        ("nested", {"validation.inner": "shared", "validation.outer": "4"}),
    ],
)
def test_trials_are_tested_by_the_corrected_t_in_the_proportion_of_their_folds(
    store, level, protocol
):
    parent = store.client.create_run(
        store.experiment(store.name), tags={"level": level}
    ).info.run_id
    for key, value in protocol.items():
        store.client.log_param(parent, key, value)
    scores = {"nin": (0.7, 0.8, 0.9), "mlp": (0.6, 0.65, 0.7)}
    for model, values in scores.items():
        run = store.run(
            store.name, model, 1, {"val_top1": sum(values) / 3}, level="trial",
            tags={"mlflow.parentRunId": parent},
        )  # fmt: skip
        for fold, value in enumerate(values):
            store.client.log_metric(run, "fold_val_top1", value, step=fold)

    found = compare.compare(store.client, [store.name], level="trial", test="auto")

    d = np.subtract(*scores.values())
    t = d.mean() / np.sqrt((1 / 3 + 1 / 2) * d.var(ddof=1))  # validation : training = 1 : 2
    assert found.rows[1]["p_value"] == pytest.approx(2 * stats.t(2).sf(t))
    # a trial's run does not say how many images its folds have, but in what proportion
    told = corrected(scores["mlp"], held=[1] * 3, trained=[2] * 3)
    assert found.rows[1]["interval_low"] == pytest.approx(told.low)
    assert found.rows[1]["interval_high"] == pytest.approx(told.high)
    assert found.rows[0]["interval_high"] == 1.0
    said = " ".join(text_of(found, 400).split())
    assert "a row that was picked for its score is optimistic" in said


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


def test_curves_come_from_the_store_and_end_with_the_last_epoch_itself(store):
    run = store.run(store.name, "nin", 1, {"test_top1": 0.9, "macs": 1e6})
    for epoch, value in enumerate((0.5, 0.7, 0.6), start=1):
        store.client.log_metric(run, "val_top1", value, step=epoch, timestamp=epoch)
    store.client.log_metric(run, "val_top1", 0.7, step=3, timestamp=9)  # the restored best epoch
    found = compare.compare(store.client, [store.name])
    assert learning_curves.fetch(store.client, found) == {
        "nin": {"val_top1": [{1: 0.5, 2: 0.7, 3: 0.6}]}
    }


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
    shown = text_of(found, 200)
    assert "these networks" in shown
    assert "0.002" in shown
    assert "*" not in shown.splitlines()[8]


def test_command_line_passes_its_options_on(store, capsys):
    for rate in (0.1, 0.2, 0.3):
        store.run(store.name, "mlp", 1, top1(rate), train__optimizer__learning_rate=rate)
    words = [store.name, "--uri", store.uri, "--json", "--test", "none"]
    words += ["--where", "learning_rate!=0.2", "--sort", "-top1_mean"]
    done = CliRunner().invoke(commands.app, ["compare", *words])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert [r["top1_mean"] for r in printed["rows"]] == [0.1, 0.3]
    assert printed["where"] == ["learning_rate!=0.2"]
    assert printed["significance"] is None


def test_runs_are_printed_and_taken_by_the_first_digits_of_their_ids(store):
    for seed in (1, 2, 3):
        store.run(store.name, "mlp", seed, top1(seed / 10))
    [row] = compare.compare(store.client, [store.name]).rows
    printed = text_of(compare.compare(store.client, [store.name]), 140)
    short = [run_id[:8] for run_id in row["run_ids"]]
    assert f"Runs: mlp {' '.join(short)}" in printed
    found = compare.compare(store.client, [short[0], row["run_ids"][2]])
    assert found.rows[0]["run_ids"] == [row["run_ids"][0], row["run_ids"][2]]
    assert found.experiments == [store.name]
    again = compare.compare(store.client, [store.name], where=found.where)
    assert again.rows == found.rows
    with pytest.raises(BadInput, match="name experiments or runs, not both"):
        compare.compare(store.client, [store.name, short[0]])
    with pytest.raises(BadInput, match="0123456789: no such run"):
        compare.compare(store.client, ["0123456789"])


def test_named_trials_are_compared_without_the_level_being_told(store):
    ids = [
        store.run(store.name, "mlp", seed, {"val_top1": seed / 10}, level="trial")
        for seed in (1, 2)
    ]
    assert compare.compare(store.client, ids).level == "trial"


def test_a_reproduction_is_not_offered_as_a_level(store):
    store.run(store.name, "mlp", 1, top1(0.9), level="reproduction", tags={"reproduces": "x"})
    with pytest.raises(BadInput, match="no runs of sweep or train to compare"):
        compare.compare(store.client, [store.name])


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
    ("points", "optimal"),
    [
        ([(1, 0.9), (2, 0.8), (3, 0.95)], [True, False, True]),
        ([(1, 0.9), (1, 0.9)], [True, True]),  # equal in both: neither is better
        ([(1, 0.9), (1, 0.8)], [True, False]),  # equal MACs
        ([(1, 0.9), (2, 0.9)], [True, False]),  # equal accuracy
        ([(None, 0.99), (2, 0.9)], [False, True]),  # no cost: not on the plane
        ([(1, None), (2, 0.9)], [False, True]),
    ],
)
def test_pareto_marking(points, optimal):
    rows = [
        {"macs": macs, "top1_mean": accuracy, "pareto": None, "at": i}
        for i, (macs, accuracy) in enumerate(points)
    ]
    pareto_front.mark(rows)
    assert [r["pareto"] for r in rows] == optimal


def test_files_hold_the_numbers_and_are_logged_on_the_sweep(store, tmp_path):
    store.sweep(store.name)
    newest = store.sweep(store.name)
    for seed, value in ((1, 0.9), (2, 1 / 3)):
        store.run(store.name, "lenet5", seed, top1(value, **COSTS))
    store.run(store.name, "nin", 1, top1(0.97, macs=2e6))
    found = compare.compare(store.client, [store.name])

    files = write(found, tmp_path / "new" / "folder")
    logged = log(store.client, found, files)

    written = pd.read_csv(files[0]).set_index("name")
    assert written.loc["lenet5", "top1_mean"] == (0.9 + 1 / 3) / 2  # every digit
    assert written.loc["lenet5", "n"] == 2
    assert math.isnan(written.loc["nin", "top1_std"])
    assert written.loc["nin", "macs"] == 2_000_000
    assert list(written["pareto"]) == [True, True]
    assert not {"values"} & set(written.columns)
    assert files[1].stat().st_size > 20_000
    assert files[2].read_text().count('class="point"') == 2
    document = json.loads((files[0].parent / "table.json").read_text())
    assert document == to_json(found)
    assert [v["score"] for v in document["rows"][1]["values"]] == [0.9, 1 / 3]
    assert logged == [newest]
    names = {Path(file.path).name for file in store.client.list_artifacts(newest, "comparison")}
    assert names == {file.name for file in files}
    axes = ("", "_params", "_latency", "_memory", "_images_per_second")
    pictures = {f"pareto{axis}.{end}" for axis in axes for end in ("png", "svg", "html")}
    assert {"table.csv", "table.md", "table.json"} | pictures <= names


def test_markdown_table_has_every_column_and_is_not_broken_by_a_name(store, tmp_path):
    for seed, value in ((1, 0.9), (2, 0.92)):
        store.run(store.name, "a|b<c>_d", seed, top1(value))
    store.run(store.name, "nin", 1, top1(0.89, macs=2e6))
    found = compare.compare(store.client, [store.name], test="auto")
    table.write_markdown(found, tmp_path / "table.md")

    lines = (tmp_path / "table.md").read_text().splitlines()
    head, _rule, first, second = lines[2:6]
    cells = [part.strip() for part in re.split(r"(?<!\\)\|", first)[1:-1]]
    assert len(cells) == len(re.split(r"(?<!\\)\|", head)[1:-1])
    assert cells[0] == "●"
    assert cells[1] == r"a\|b\<c>\_d"
    assert "91.0 ± 1.4" in cells
    assert second.startswith("| ○ | nin |")  # dearer and worse
    assert any("Not tested against" in line for line in lines)


def test_out_that_is_a_file_is_refused(store, tmp_path):
    store.run(store.name, "lenet5", 1, top1(0.9))
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(BadInput, match="taken"):
        write(compare.compare(store.client, [store.name]), taken)


def test_command_prints_one_json_object(store, capsys):
    store.run(store.name, "lenet5", 1, top1(0.9))
    run(store.uri, [store.name], None, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"][0]["name"] == "lenet5"
    assert printed["score"] == "test_top1"


@pytest.mark.parametrize("width", [80, 100, 160, 200])
def test_table_fits_the_terminal_and_keeps_what_matters(width):
    rows = [
        row("resnet20", 40.6e6, 270e3, 0.974, 0.003, pareto=True),
        row("lenet5", 4.2e5, 61_706, 0.942, None, pareto=True),
        row("plain20", 40.6e6, 269_722, 0.958, 0.008),
    ]
    found = grouping.Comparison(["history"], "test_top1", rows, ["model.name"])
    lines = text_of(found, width).splitlines()
    line = next(line for line in lines if "resnet20" in line)
    assert max(map(len, lines)) <= width
    assert line.lstrip().startswith("●")
    for part in ("97.4 ± 0.3", "40.6 M", "270 k"):
        assert part in line
    assert ("512" in line) == (width >= 160)  # memory only where there is room
    dropped = " ".join(" ".join(lines).split()).partition("Left out for want of width: ")[2]
    assert ("memory MiB" in dropped) == (width < 160)
    assert not any(name in dropped for name in ("MACs", "params", "test top-1 %"))
    plain = next(line for line in lines if "plain20" in line)
    assert "●" not in plain
    one_seed = next(line for line in lines if "lenet5" in line)
    assert one_seed.index("94.2") == line.index("97.4")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (40_551_552, "40.6 M"),
        (269_722, "270 k"),
        (999_600, "1.00 M"),
        (15.47e9, "15.5 G"),
        (7, "7"),
    ],
)
def test_counts_read_well(value, text):
    assert si(value) == text


def test_numbers_read_well():
    assert [significant(v) for v in (0.01234, 4.056, 1234.5, 0)] == ["0.0123", "4.06", "1230", "0"]
    assert percent({"top1_mean": 0.9741, "top1_std": 0.0031}, "top1_mean") == "97.4 ± 0.3"
    assert percent({"top1_mean": 0.9741, "top1_std": None}, "top1_mean") == "97.4"


def text_of(comparison: grouping.Comparison, width: int) -> str:
    from rich.console import Console

    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render(comparison, width))
    return console.export_text()


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
