"""Which runs are compared: one level of them, by one name or several."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fake_store import top1
from scipy import stats
from terminal_text import shown

from experiments.comparison import compare, grouping, table
from experiments.errors import BadInput
from tuning.statistics.intervals import corrected, of_folds


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
    said = " ".join(shown(table.render(found, 160), width=160).split())
    assert f"(corrected resampled t): nin {100 * told.low:.2f} to " in said
    assert "A ± over folds is their standard deviation, no interval" in said
    assert "Rows are the outer folds of nested searches" in said
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
    said = " ".join(shown(table.render(found, 400), width=400).split())
    assert "a row that was picked for its score is optimistic" in said


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
