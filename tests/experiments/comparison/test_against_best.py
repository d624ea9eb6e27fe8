"""Tests against the best row: which one is made, its p-value, Holm, and what is not tested."""

from __future__ import annotations

import numpy as np
import pytest
from fake_store import row
from power_over_seeds import answers as drawn
from scipy import stats

from experiments.comparison import grouping
from experiments.comparison.against_best import checked, difference_text, with_significance
from experiments.comparison.pair_tests import (
    CORRECTED,
    MCNEMAR,
    PAIRED_T,
    SEEDS_AND_IMAGES,
    SIGN_FLIP,
)
from experiments.comparison.plots import differences
from experiments.errors import BadInput
from tuning.statistics import over_seeds

SIZES = {f"{name}{i}": (800.0, 200.0) for name in "abcd" for i in range(12)}


def scored(name, scores, folds=None, first_seed=1, **more):
    values = [
        {
            "run_id": f"{name}{i}",
            "seed": 1 if folds else first_seed + i,
            "fold": f"outer/{i}" if folds else "",
            "score": score,
        }
        for i, score in enumerate(scores)
    ]
    made = row(name, 1e6, 1e4, float(np.mean(scores)), 0.01, source_fingerprint="f", **more)
    return made | {"values": values, "n": len(scores)}


def compared(rows, test="auto", answers=lambda run_id, part: None, margin=None):
    found = grouping.Comparison(["history"], "test_top1", rows, ["model.name"])
    return with_significance(found, test, SIZES, answers, margin)


def test_seeds_are_paired_and_holm_is_by_hand():
    best = [0.90, 0.91, 0.92, 0.93]
    near, far = [0.89, 0.91, 0.91, 0.93], [0.80, 0.82, 0.81, 0.84]
    found = compared([scored("a", best), scored("b", near), scored("c", far)])

    p_near = stats.ttest_rel(best, near).pvalue
    p_far = stats.ttest_rel(best, far).pvalue
    assert p_far < p_near / 2
    top, second, third = found.rows
    assert top["vs_best"] == "best"
    assert top["p_value"] is None
    assert second["p_value"] == pytest.approx(p_near)
    assert third["p_value"] == pytest.approx(p_far)
    # Holm over all three pairs: each is held against what is left of them
    p_between = stats.ttest_rel(near, far).pvalue
    assert p_between < p_far < p_near
    assert third["p_holm"] == pytest.approx(max(3 * p_between, 2 * p_far))
    assert second["p_holm"] == pytest.approx(p_near)
    assert third["vs_best"].endswith("*")
    assert not second["vs_best"].endswith("*")
    assert third["difference"] == pytest.approx(np.mean(far) - np.mean(best))
    assert found.significance["tests"] == [PAIRED_T]
    assert found.significance["pairs"] == 2
    assert any("Holm over the 3 pairs" in note and "4 seeds" in note for note in
               found.significance["notes"])  # fmt: skip
    # the interval is Student's, at a third of the level
    d = np.subtract(best, far)
    reach = stats.t.isf(0.05 / 3 / 2, 3) * d.std(ddof=1) / 2
    assert third["difference_interval"] == pytest.approx([-d.mean() - reach, -d.mean() + reach])
    assert [one["verdict"] for one in found.rows] == ["best", "undecided", "worse"]
    assert difference_text(third) == "-9.8 (-12.1 to -7.4)"


def test_folds_are_tested_with_the_corrected_variance():
    best, other = [0.90, 0.92, 0.94, 0.91], [0.88, 0.91, 0.90, 0.90]
    found = compared([scored("a", best, folds=True), scored("b", other, folds=True)])

    d = np.subtract(best, other)
    t = d.mean() / np.sqrt((1 / 4 + 200 / 800) * d.var(ddof=1))  # Nadeau and Bengio 2003
    assert found.rows[1]["p_value"] == pytest.approx(2 * stats.t(3).sf(t))
    assert found.rows[1]["tested_by"] == CORRECTED


def test_seeds_of_a_fold_are_no_samples_of_their_own():
    def over(name, by_seed):
        values = [
            {"run_id": f"{name}{seed}", "seed": seed, "fold": f"outer/{fold}", "score": score}
            for seed, scores in by_seed.items()
            for fold, score in enumerate(scores)
        ]
        return scored(name, [score["score"] for score in values]) | {"values": values}

    best = over("a", {1: [0.90, 0.92, 0.94], 2: [0.92, 0.92, 0.92]})
    found = compared([best, over("b", {1: [0.88, 0.91, 0.90], 2: [0.88, 0.89, 0.90]})])

    d = np.array([0.03, 0.02, 0.03])  # a fold: (0.02 + 0.04) / 2, (0.01 + 0.03) / 2, ...
    t = d.mean() / np.sqrt((1 / 3 + 200 / 800) * d.var(ddof=1))
    assert found.rows[1]["p_value"] == pytest.approx(2 * stats.t(2).sf(t))
    assert found.rows[1]["difference"] == pytest.approx(-d.mean())
    assert "3 folds" in found.significance["notes"][0]


def test_only_common_seeds_are_paired():
    best = scored("a", [0.9, 0.91, 0.93, 0.94, 0.95])
    other = scored("b", [0.92, 0.90, 0.91], first_seed=3)  # seeds 3, 4 and 5
    found = compared([best, other])
    expected = stats.ttest_rel([0.93, 0.94, 0.95], [0.92, 0.90, 0.91]).pvalue
    assert found.rows[1]["p_value"] == pytest.approx(expected)
    assert "3 seeds" in found.significance["notes"][0]


def test_one_seed_tests_the_networks_and_not_the_settings():
    index = np.arange(40)
    right = {"a0": index < 38, "b0": (index >= 8) & (index < 39)}

    def answers(run_id, part):
        assert part == "test"
        return index, right[run_id]

    found = compared([scored("a", [0.95]), scored("b", [0.775])], answers=answers)
    row = found.rows[1]
    assert (row["vs_best"], row["p_value"], row["tested_by"]) == ("1 seed", None, None)
    assert (row["verdict"], row["difference"], row["difference_interval"]) == (None, None, None)
    # 8 images only a has right, 1 only b: exact binomial
    assert row["networks_p_value"] == pytest.approx(stats.binomtest(1, 9).pvalue)
    assert row["networks_tested_by"] == MCNEMAR
    notes = " ".join(found.significance["notes"])
    assert "40 images, seed 1)" in notes
    assert "not of other seeds" in notes
    assert "seed: [1, 2, 3]" in notes


INDEX = np.arange(40)
RIGHT = {"a0": INDEX < 38, "b0": INDEX < 38, "a1": INDEX >= 1, "b1": INDEX >= 9}


def test_two_seeds_are_tested_over_seeds_and_images():
    asked = []

    def answers(run_id, part):
        asked.append(run_id)
        return INDEX, RIGHT[run_id]

    rows = [scored("a", [0.95, 0.975]), scored("b", [0.95, 0.775])]
    found = compared(rows, answers=answers)
    assert set(asked) == set(RIGHT)
    training = over_seeds.training_variances({0: [0.95, 0.975], 1: [0.95, 0.775]})
    hits = [np.array([RIGHT[f"{name}{seed}"] for seed in (0, 1)]) for name in "ab"]
    made = over_seeds.difference(*hits, (training[0], training[1]))
    row = found.rows[1]
    assert row["p_value"] == row["p_holm"] == pytest.approx(made.p_value)
    assert row["difference"] == pytest.approx(0.8625 - 0.9625)
    assert row["difference_interval"] == pytest.approx(
        np.clip([-made.interval().high, -made.interval().low], -1, 1)
    )
    assert row["tested_by"] == SEEDS_AND_IMAGES
    assert row["networks_p_value"] is None
    assert "2 seeds, 40 images" in found.significance["notes"][0]
    # the networks alone differ: on 8 images, all of them in favour of a
    assert row["p_value"] > 0.05
    alone = compared(rows, "mcnemar", answers=answers).rows[1]
    assert alone["networks_p_value"] == pytest.approx(2 * 0.5**8)
    assert (alone["networks_tested_by"], alone["p_value"]) == (SIGN_FLIP, None)


def test_a_seed_without_predictions_leaves_two_seeds_untested():
    kept = {name: (INDEX, hits) for name, hits in RIGHT.items() if name != "b1"}
    rows = [scored("a", [0.95, 0.975]), scored("b", [0.95, 0.775])]
    found = compared(rows, answers=lambda run_id, part: kept.get(run_id))
    assert found.rows[1]["vs_best"] == "not tested: 2 common seeds"


def test_a_margin_tells_equal_from_undecided():
    draw = np.random.default_rng(1)
    images = 20_000
    index, hard = np.arange(images), draw.random(images)
    share = {"a": 0.90, "b": 0.899, "c": 0.80}
    right = {
        f"{name}{seed}": (hard + 0.02 * draw.normal(size=images)) < level
        for name, level in share.items()
        for seed in range(3)
    }
    rows = [scored(n, [right[f"{n}{s}"].mean() for s in range(3)]) for n in share]
    rows.append(scored("d", [0.85], first_seed=9))
    answers = {run: (index, hits) for run, hits in right.items()}.get
    found = compared(rows, answers=lambda run, part: answers(run), margin=0.01)
    assert [row["verdict"] for row in found.rows] == ["best", "equivalent", "worse", None]
    narrow = compared(rows, answers=lambda run, part: answers(run), margin=0.0001)
    assert narrow.rows[1]["verdict"] in ("undecided", "worse")
    # the picture: a line a tested row, its ends those of the interval, its colour the verdict's
    drawn = differences.draw(found)
    assert "worse" in drawn.hovers["difference-1"]
    assert difference_text(found.rows[1]) in drawn.hovers["difference-0"].replace(" points", "")
    lines = [line for line in drawn.figure.axes[0].lines if line.get_linewidth() == 1.6]
    assert len(lines) == 2
    for line, one in zip(lines, found.rows[1:3], strict=True):
        assert list(line.get_xdata()) == pytest.approx(np.multiply(100, one["difference_interval"]))
        assert line.get_color() == differences.COLOURS[one["verdict"]]
    key = drawn.figure.axes[0].get_legend().get_texts()
    assert [text.get_text() for text in key] == ["worse", "equivalent"]
    assert differences.draw(compared(rows, "none")) is None
    assert any("within 1 points" in note for note in found.significance["notes"])
    assert (found.significance["margin"], narrow.significance["margin"]) == (0.01, 0.0001)
    # without a margin no row is equivalent, however near
    assert compared(rows).rows[1]["verdict"] in ("undecided", "worse")


@pytest.mark.parametrize(
    ("rows", "seeds", "noise", "repeats"), [(2, 2, 0.006, 120), (4, 3, 0.01, 30), (14, 2, 0.0, 4)]
)
def test_of_equal_rows_the_winner_is_not_found_better_oftener_than_promised(
    rows, seeds, noise, repeats
):
    """The winner's curse: the best of equal rows is picked by the scores that it is tested on."""
    draw, wrong, index = np.random.default_rng(rows), 0, np.arange(400)
    for _ in range(repeats):
        hits = drawn(draw, rows, seeds, len(index), noise)
        names = [f"n{k}-" for k in range(rows)]
        right = {f"{name}{s}": hits[k, s] for k, name in enumerate(names) for s in range(seeds)}
        table = [scored(name, hits[k].mean(axis=1).tolist()) for k, name in enumerate(names)]
        found = compared(table, answers=lambda run, _, right=right: (index, right[run]))
        assert found.significance["pairs_of_rows"] == rows * (rows - 1) // 2
        wrong += any(one["verdict"] == "worse" for one in found.rows)
    assert wrong <= 0.05 * repeats + 2.5 * np.sqrt(0.05 * 0.95 * repeats)


@pytest.mark.parametrize(
    ("rows", "test", "answers", "why"),
    [
        ([scored("a", [0.9, 0.91]), scored("b", [0.8, 0.82])], "paired", {}, "2 common seeds"),
        (
            [scored("a", [0.9, 0.9]), scored("b", [0.8, 0.8])],
            "auto",
            {
                f"{name}{seed}": (np.arange(3) + (name == "b"), np.ones(3, bool))
                for name in "ab"
                for seed in (0, 1)
            },
            "other images",
        ),
        ([scored("a", [0.9]), scored("b", [0.8], first_seed=5)], "auto", {}, "no common seed"),
        (
            [scored("a", [0.9] * 3), scored("b", [0.8] * 3) | {"source_fingerprint": "g"}],
            "auto",
            {},
            "other data",
        ),
        ([scored("a", [0.9] * 3), scored("b", [0.8] * 3)], "auto", {}, "all 3 differences equal"),
        (
            [
                scored("a", [x / 58 for x in (50, 44, 40)]),
                scored("b", [x / 58 for x in (49, 43, 39)]),
            ],
            "auto",
            {},
            "all 3 differences equal",
        ),
    ],
)
def test_what_cannot_be_tested_is_said_and_not_tested(rows, test, answers, why):
    found = compared(rows, test, lambda run_id, part: answers.get(run_id))
    assert found.rows[1]["vs_best"] == f"not tested: {why}"
    assert found.rows[1]["p_value"] is None
    assert found.significance["pairs"] == 0
    assert any(why in note for note in found.significance["notes"])


def test_folds_whose_seeds_differ_alike_on_average_are_not_tested():
    differences = ((0.1, 0.3), (0.2, 0.2), (0.3, 0.1))

    def over(name, scores):
        values = [
            {"run_id": f"{name}{fold}", "seed": seed, "fold": f"fold/{fold}", "score": score}
            for fold, pair in enumerate(scores)
            for seed, score in enumerate(pair)
        ]
        return scored(name, [v["score"] for v in values]) | {"values": values}

    worse = over("b", [[0.9 - d for d in pair] for pair in differences])
    found = compared([over("a", [[0.9, 0.9]] * 3), worse])
    assert found.rows[1]["vs_best"] == "not tested: all 3 differences equal"


def test_it_is_said_which_row_validation_chose_and_how_that_one_tested():
    best = scored("a", [0.90, 0.92], val_top1=0.93)
    chosen = scored("b", [0.88, 0.89], val_top1=0.94)
    found = compared([best, chosen])
    assert found.significance["best"] == "a"
    assert found.significance["validation_chose"] == "b"
    [note] = [note for note in found.significance["notes"] if "validation chose" in note]
    assert note.startswith("validation chose b, whose test top-1 is 88.5")
    for rows in ([best], [best, chosen | {"val_top1": None}]):
        assert compared(rows).significance["validation_chose"] is None


def test_no_test_on_request_and_no_unknown_one():
    found = compared([scored("a", [0.9] * 3), scored("b", [0.8] * 3)], "none")
    assert found.significance is None
    assert [row["verdict"] for row in found.rows] == [None, None]
    with pytest.raises(BadInput, match="auto, paired, mcnemar, none"):
        checked("anova")


def test_scores_of_other_splits_are_not_paired():
    best = scored("a", [0.9, 0.92, 0.95], **{"validation.seed": 1})
    other = scored("b", [0.8, 0.83, 0.84], **{"validation.seed": 2})
    found = grouping.Comparison(["history"], "test_top1", [best, other], ["validation.seed"])
    tested = with_significance(found, "auto", SIZES, lambda run_id, part: None)
    assert tested.rows[1]["vs_best"] == "not tested: other split"

    sizes = SIZES | {"b1": (800.0, 201.0)}
    folds = [scored("a", [0.9, 0.92, 0.95], folds=True), scored("b", [0.8, 0.8, 0.9], folds=True)]
    found = grouping.Comparison(["history"], "test_top1", folds, [])
    tested = with_significance(found, "auto", sizes, lambda run_id, part: None)
    assert tested.rows[1]["vs_best"] == "not tested: other split"
