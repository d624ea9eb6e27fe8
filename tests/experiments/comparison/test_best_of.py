"""`--best-of`: validation picks a setting a row, test is only read off, and all of it is said."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from fake_store import FakeStore
from terminal_text import shown
from typer.testing import CliRunner

from experiments.cli import commands
from experiments.comparison import best_of, best_of_notes, compare, table
from experiments.comparison.grouping import Comparison
from experiments.errors import BadInput
from experiments.reporting.caveats import caveats
from experiments.reporting.facts import gather
from experiments.reporting.protocol import sentences

RATE, DECAY = "train.optimizer.learning_rate", "train.optimizer.weight_decay"
SEEDS = (1, 2, 3)

TRUTH, IMAGES, SETTINGS, SIMULATIONS = 0.8, 400, 30, 60
"""Of the simulation: every setting has this accuracy, whatever it is."""


def a_run(number, rate, seed, val=None, test=None, model="nin", **params):
    """A finished run in memory, as the store gives it."""
    params = {"model.name": model, RATE: json.dumps(rate), "seed": str(seed), **params}
    group = json.dumps({key: value for key, value in params.items() if key != "seed"})
    metrics = {"val_top1": val, "test_top1": test}
    data = SimpleNamespace(
        params=params,
        metrics={key: value for key, value in metrics.items() if value is not None},
        tags={"group_hash": group, "config_hash": f"{group}{seed}"},
    )
    info = SimpleNamespace(
        run_id=f"run{number}", start_time=number, experiment_id="1", run_name="run"
    )
    return "history", SimpleNamespace(data=data, info=info)


def test_picking_by_test_is_optimistic_and_picking_by_validation_is_not():
    draw = np.random.default_rng(16)
    by_validation, by_test = [], []
    for _ in range(SIMULATIONS):
        scores = draw.binomial(IMAGES, TRUTH, (2, SETTINGS, len(SEEDS))) / IMAGES
        runs = [
            a_run(setting * len(SEEDS) + k, setting, seed, *scores[:, setting, k])
            for setting in range(SETTINGS)
            for k, seed in enumerate(SEEDS)
        ]
        (family,) = best_of.choose(runs, ["learning_rate"]).families
        kept = family.chosen.values[RATE]
        assert scores[0, kept].mean() == scores[0].mean(axis=1).max()
        by_validation.append(scores[1, kept].mean())
        by_test.append(scores[1].mean(axis=1).max())
    of_a_row = np.sqrt(TRUTH * (1 - TRUTH) / (IMAGES * len(SEEDS)))
    of_the_mean = of_a_row / np.sqrt(SIMULATIONS)
    assert abs(np.mean(by_validation) - TRUTH) < of_the_mean < of_a_row
    assert np.mean(by_test) - TRUTH > 1.5 * of_a_row > 10 * of_the_mean


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two networks, three rates; the rate that is best on test is not that of validation."""
    made = FakeStore(tmp_path_factory.mktemp("best_of"))
    scores = {  # validation, test
        "nin": {0.01: (0.80, 0.95), 0.03: (0.90, 0.85), 0.1: (0.85, 0.90)},
        "mlp": {0.01: (0.70, 0.60), 0.03: (0.60, 0.70), 0.1: (0.50, 0.40)},
    }
    for model, of_rate in scores.items():
        for rate, (val, test) in of_rate.items():
            for seed in SEEDS:
                shift = 0.001 * (seed if model == "nin" else seed**2)
                made.run(
                    "history", model, seed,
                    {"val_top1": val + shift, "test_top1": test - shift, "macs": 1e6},
                    train__optimizer__learning_rate=rate,
                )  # fmt: skip
    return made


def test_a_row_a_network_with_the_rate_of_validation_and_its_test_figures(store):
    found = compare.compare(store.client, ["history"], test="paired", best_of_keys=["lr"])

    assert [(r["name"], r[RATE], r["n"]) for r in found.rows] == [
        ("nin", 0.03, 3),
        ("mlp", 0.01, 3),
    ]
    assert [r["top1_mean"] for r in found.rows] == pytest.approx([0.848, 0.6 - 0.014 / 3])
    assert [r["settings_tried"] for r in found.rows] == [3, 3]
    assert found.varying == ["model.name"]
    assert found.significance["pairs"] == 1  # over kept rows alone
    assert found.best_of["keys"] == [RATE]
    first, edge = found.best_of["notes"]
    assert "best mean validation top-1 over its seeds; test was not used to choose" in first
    assert "6 of 18 runs are in the rows" in first
    assert edge.endswith("mlp: learning_rate=0.01 is the smallest of 3")


@pytest.mark.parametrize("width", [100, 160])
def test_table_and_report_say_what_was_chosen_and_how(store, width):
    found = compare.compare(store.client, ["history"], best_of_keys=[RATE])
    text = " ".join(shown(table.render(found, width), width=width).split())
    assert "history (best of learning_rate by validation)" in text
    assert "chosen" in text
    assert "nin 0.03 3" in text
    assert "test was not used to choose" in text
    facts = gather(store.client, found)
    assert found.best_of["notes"][0] in sentences(found, facts)
    assert f"validation chose {RATE}" in " ".join(sentences(found, facts))
    doubts = " ".join(caveats(found, facts))
    assert "the rows' validation figures are optimistic" in doubts
    assert "share one recipe" not in doubts


def test_commands_take_it_and_repeat_it(store, tmp_path):
    words = ["history", "--uri", store.uri, "--best-of", "learning_rate"]
    done = CliRunner().invoke(commands.app, ["compare", *words, "--json"])
    assert [r["name"] for r in json.loads(done.stdout)["rows"]] == ["nin", "mlp"]
    page = tmp_path / "page.html"
    CliRunner().invoke(commands.app, ["report", *words, "--out", str(page)])
    assert f"--best-of {RATE}" in page.read_text()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["seed"], "seed: this is no setting"),
        (["learning_rat"], f"no run has a setting of this name; nearest: {RATE}"),
        (["data.source"], f"no two configs differ in that alone; what differs: model.name, {RATE}"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(store, keys, message):
    with pytest.raises(BadInput, match=message):
        compare.compare(store.client, ["history"], best_of_keys=keys)


def notes_of(runs, keys=("learning_rate",)):
    choice = best_of.choose(runs, keys)
    rows = [
        {"name": f.model, "run_ids": [f.chosen.runs[0].info.run_id]}
        for f in choice.families
        if f.chosen
    ]
    made = best_of_notes.described(Comparison(["history"], "test_top1", rows, []), choice)
    return choice, made.best_of["notes"][1:]


def test_a_tie_is_said_and_test_does_not_break_it():
    runs = [a_run(1, 0.1, 1, 0.9, 0.5), a_run(2, 0.2, 1, 0.9, 0.8)]
    choice, (tie,) = notes_of(runs)
    assert choice.families[0].chosen.values[RATE] == 0.1
    assert tie == (
        "Ties: nin: learning_rate=0.1 and learning_rate=0.2 at 90.00 %, "
        "the one begun first is shown"
    )
    runs[0][1].data.metrics["val_loss"], runs[1][1].data.metrics["val_loss"] = 0.4, 0.3
    choice, (tie,) = notes_of(runs)
    assert choice.families[0].chosen.values[RATE] == 0.2
    assert tie.endswith("the lower validation loss decided")


def test_missing_validation_and_missing_seeds_are_said():
    runs = [
        a_run(1, 0.1, 1, 0.8),
        a_run(2, 0.1, 2, 0.8),
        a_run(3, 0.2, 1, 0.9),
        a_run(4, 0.3, 1, None, 0.99),
        a_run(5, 0.3, 2, None, 0.99),
        *(a_run(10 + i, rate, 1, None, 0.9, "mlp") for i, rate in enumerate((0.1, 0.2))),
        a_run(20, 0.1, 1, 0.9, model="vgg_a"),
    ]
    _, notes = notes_of(runs)
    assert notes == [
        "Settings without a validation score, not chosen from: nin: learning_rate=0.3",
        "Not every setting was run for every seed: nin: learning_rate=0.2 1 of 2",
        "Nothing to choose from, one setting only: vgg_a",
        "No row, for want of any validation score: mlp (2 settings)",
    ]
    with pytest.raises(BadInput, match="no run has val_top1 or val_mse"):
        best_of.choose(runs[3:7], ["learning_rate"])


def test_several_keys_a_section_and_reconstructions():
    runs = [
        a_run(i, rate, 1, model="autoencoder", **{DECAY: decay, "data.train_images": str(i)})
        for i, (rate, decay) in enumerate([(0.1, "0.0"), (0.1, "0.1"), (0.2, "0.0")])
    ]
    for (_, run), mse in zip(runs, (0.3, 0.1, 0.2), strict=True):
        run.data.metrics["val_mse"] = mse
    for keys in ([RATE, "weight_decay"], ["lr,wd"], ["train.optimizer"]):
        (family,) = best_of.choose(runs, keys).families
        assert family.chosen.values == {RATE: 0.1, DECAY: 0.1}  # the least error
    assert len(best_of.choose(runs, ["wd"]).families) == 2  # the rate still tells rows apart


def test_outer_folds_have_chosen_already():
    with pytest.raises(BadInput, match="has chosen its settings already"):
        best_of.choose([], ["lr"], "outer_fold")
