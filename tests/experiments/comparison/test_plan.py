"""`ilsvrc plan` on runs whose noise is known, before any run, and on what it cannot tell."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from command import inside, refused
from fake_store import FakeStore

from experiments.comparison.planning.crossed import crossed
from experiments.comparison.planning.plan import plan, question
from experiments.comparison.planning.words import text
from experiments.jobs.predictions import Evaluation, write_predictions
from tuning.statistics.over_seeds import difference, training_variances
from tuning.statistics.power import Noise, power

IMAGES = 400
NOISE = 0.02


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FakeStore(tmp_path_factory.mktemp("plan"))


def settings_of(seeds):
    return {f"seeds__{key}": value for key, value in seeds.items()}


def add(store, name, model, seed, right, keep=None, **settings):
    metrics = {"test_top1": float(right.mean()), "macs": 1e6, "params": 1e4}
    run = store.run(name, model, seed, metrics, data__test_images=len(right), **settings)
    if keep is not None:
        probabilities = np.where(right[:, None], [[0.9, 0.1]], [[0.1, 0.9]]).astype(np.float32)
        labels = np.zeros(len(right), np.int32)
        columns = {"label": labels, "predicted": labels, "probabilities": probabilities}
        part = ("test", np.arange(len(right)), Evaluation({}, 0.0, columns))
        store.client.log_artifact(run, write_predictions(keep / "predictions.parquet", [part]))


@pytest.fixture(scope="module")
def hits(store, tmp_path_factory):
    """Of the experiment `two`: bool [seeds, images] of each of two networks, predictions kept."""
    draw, made = np.random.default_rng(0), {}
    hard = 0.2 + 0.7 * draw.beta(3, 1, IMAGES)
    for model, lead in (("nin", 0.06), ("mlp", 0.0)):
        own = hard + lead + 0.1 * draw.normal(size=IMAGES)
        shift = NOISE * draw.normal(size=(4, 1))
        made[model] = draw.random((4, IMAGES)) < own + shift
        for seed, right in enumerate(made[model], 1):
            add(store, "two", model, seed, right, keep=tmp_path_factory.mktemp("kept"))
    return made


def asked(detect=5.0, power=0.8, alpha=0.05, seed_sd=None, images=None, top1=None):
    return question(detect, power, alpha, seed_sd, images, top1)


def test_the_noise_is_that_of_the_test_which_compare_makes(store, hits):
    made = plan(store.client, "two", asked())
    known = training_variances({name: of.mean(axis=1) for name, of in hits.items()})
    tested = difference(hits["nin"], hits["mlp"], (known["nin"], known["mlp"]))
    parts = made["components"]
    # what a training does at single images is counted once: with training, as the test does
    training = sum(variance for variance, _ in tested.training)
    total = training + tested.images
    # (the test takes a training's shift off the images' part, too: a small part of it)
    assert parts["images"]["share"] == pytest.approx(tested.images / total, abs=0.01)
    assert parts["training"]["share"] + parts["both"]["share"] == pytest.approx(
        training / total, abs=0.01
    )
    for name in ("training", "images", "both"):
        assert parts[name]["low"] <= parts[name]["share"] <= parts[name]["high"]
    assert 0 < parts["pairing"] < 1
    assert made["present"] == {"seeds": 4, "images": IMAGES}
    assert made["assumed"] == []
    [row] = made["against_best"]
    assert row["row"] == "mlp"
    assert row["difference"] == pytest.approx(-tested.mean)
    # of one pair, what is said in general is what is said of it
    assert {key: row[key] for key in ("seeds", "images", "power", "detectable")} == {
        key: made[key] for key in ("seeds", "images", "power", "detectable")
    }


def test_what_is_said_to_settle_it_does(store, hits):
    made = plan(store.client, "two", asked())
    cells = {(cell["seeds"], cell["images"]): cell["power"] for cell in made["table"]}
    assert cells[4, IMAGES] == made["power"]
    assert cells[made["seeds"], IMAGES] >= 0.8
    smaller = plan(store.client, "two", asked(detect=100 * made["detectable"]))
    assert smaller["power"] == pytest.approx(0.8)
    more = plan(store.client, "two", asked(images=4 * IMAGES))
    assert more["present"]["images"] == 4 * IMAGES
    assert more["power"] == cells[4, 4 * IMAGES]
    assert any("in place of the 400" in said for said in more["assumed"])


def test_before_any_run_it_takes_what_is_expected():
    made = plan(None, None, asked(1.3, seed_sd=0.6, images=10_000, top1=80))
    noise = Noise(0.006**2, 0.0, 0.16)
    assert made["power"] == pytest.approx(power(noise, 0.013, 3, 10_000))
    assert power(noise, 0.013, made["seeds"], 10_000) >= 0.8
    assert power(noise, 0.013, made["seeds"] - 1, 10_000) < 0.8
    assert made["images"] is None
    assert made["most_power"]["images"] < 0.8  # three seeds, whatever the images
    assert any("16.0% of the images" in said for said in made["assumed"])
    said = text(made)
    assert f"it takes {made['seeds']} seeds a row" in said
    assert "test images are too few; with ever more they find it in" in said


def test_an_experiment_without_runs_is_planned_by_what_is_expected(store):
    store.experiment("empty")
    made = plan(store.client, "empty", asked(seed_sd=0.6, images=500))
    assert made == plan(None, None, asked(seed_sd=0.6, images=500)) | {
        "experiment": "empty", "notes": made["notes"],
    }  # fmt: skip
    assert "no runs were read: empty" in made["notes"][0]


def test_without_predictions_what_images_add_is_assumed(store):
    draw = np.random.default_rng(2)
    for model, seed in product(("nin", "mlp"), (1, 2, 3)):
        add(store, "bare", model, seed, draw.random(IMAGES) < 0.8)
    made = plan(store.client, "bare", asked())
    assert "kept no predictions" in made["assumed"][0]
    assert made["components"]["pairing"] is None
    assert made["components"]["images"]["low"] is None
    assert made["present"] == {"seeds": 3, "images": IMAGES}


def test_a_row_with_fewer_seeds_is_planned_from_what_it_shares(store):
    draw = np.random.default_rng(4)
    for model, seeds in (("nin", 5), ("mlp", 5), ("lenet5", 3)):
        for seed in range(seeds):
            add(store, "uneven", model, seed, draw.random(IMAGES) < 0.8)
    made = plan(store.client, "uneven", asked())
    common = {row["row"]: row["common_seeds"] for row in made["against_best"]}
    best = made["rows"][0]["row"]
    assert common == {
        name: 3 if "lenet5" in (name, best) else 5
        for name in ("nin", "mlp", "lenet5") if name != best
    }  # fmt: skip
    assert made["present"]["seeds"] == min(common.values())
    assert made["pairs_of_rows"] == 3


def test_a_lone_row_tells_training_alone(store):
    draw = np.random.default_rng(3)
    for seed in (1, 2, 3):
        add(store, "lone", "nin", seed, draw.random(IMAGES) < 0.8)
    made = plan(store.client, "lone", asked())
    assert "there is one row" in made["assumed"][0]
    assert made["pairs_of_rows"] == 1


def a_crossing(store, name, keys, sds, model="mlp"):
    """A full crossing of four values each, whose scores have these standard deviations."""
    draw = np.random.default_rng(len(name))
    effects = [sd * draw.normal(size=4) for sd in sds]
    for cell in product(range(4), repeat=len(keys)):
        score = 0.9 + sum(of[k] for of, k in zip(effects, cell, strict=True))
        score += 0.0005 * draw.normal()
        metrics = {"test_top1": score, "macs": 1e6, "params": 1e4}
        apart = settings_of(dict(zip(keys, cell, strict=True)))
        store.run(name, model, 1, metrics, data__test_images=IMAGES, **apart)
    return [float(of.var(ddof=1)) for of in effects]


def test_components_of_a_crossed_sweep(store):
    drawn = a_crossing(store, "crossed", ("order", "weights"), (0.02, 0.005))
    made = plan(store.client, "crossed", asked(), components=True)
    [row] = made["components"]["crossed"]
    assert row["row"] == "mlp"
    assert row["runs"] == 16
    parts = {factor["factor"]: factor for factor in row["factors"]}
    assert list(parts) == ["seeds.order", "seeds.weights", "rest"]
    for key, variance in zip(("seeds.order", "seeds.weights"), drawn, strict=True):
        assert parts[key]["variance"] == pytest.approx(variance, rel=0.2)
        assert parts[key]["low"] <= variance <= parts[key]["high"]
    assert sum(factor["share"] for factor in row["factors"]) == pytest.approx(1)
    assert parts["rest"]["low"] <= 0.0005**2 <= parts["rest"]["high"]
    said = text(made)
    assert "Variance of the score of mlp, 16 runs:" in said
    assert "rest: interactions" in said
    assert any("runs share some" in note for note in made["notes"])


def test_without_seeds_that_were_varied_apart_there_are_no_components(store, hits):
    from experiments.comparison.planning.measured import settings
    from experiments.errors import BadInput

    rows, _ = settings(store.client, "two")
    with pytest.raises(BadInput, match=r"in two no seeds were varied against each other"):
        crossed(rows, "two")


def test_the_command_line(store, hits, monkeypatch, capsys, tmp_path):
    words = ("plan", "two", "--uri", store.uri, "--detect", 5)
    assert inside(monkeypatch, *words, "--out", tmp_path / "plan") == 0
    said = capsys.readouterr().out
    assert "4 seeds and 400 test images find it in" in said
    assert "Against nin, 5 points would take:" in said
    assert (tmp_path / "plan" / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert inside(monkeypatch, *words, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made == json.loads(json.dumps(plan(store.client, "two", asked())))
    assert {"seeds", "images", "power", "components"} <= made.keys()


@pytest.mark.parametrize(("words", "line"), [
    (["--detect", 0], "--detect 0: expected points of accuracy above 0"),
    (["--power", 1], "--power 1: expected a probability between 0 and 1"),
    (["--alpha", -1], "--alpha -1: expected a level between 0 and 1"),
    (["--seed-sd", -1], "--seed-sd -1: expected points from 0 on"),
    (["--images", 1], "--images 1: expected 2 test images or more"),
    (["--top1", 100], "--top1 100: expected percent between 0 and 100"),
    (["--power", 0.02], "--power 0.02: chance alone gives as much"),
    ([], "name an experiment, or say what is expected: --seed-sd POINTS --images N"),
    (["--seed-sd", 0.6], "--seed-sd: without runs it takes the number of test images"),
    (["--seed-sd", 0.6, "--images", 9, "--components"], "--components: takes runs whose seeds"),
    (["a", "b"], "plan: name one experiment. Received: a b"),
])  # fmt: skip
def test_what_cannot_be_planned_is_said_in_a_line(words, line, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert line in refused(monkeypatch, capsys, "plan", *words)


def test_experiments_that_tell_too_little_are_said_in_a_line(store, hits, monkeypatch, capsys):
    add(store, "once", "nin", 1, np.ones(5, bool))
    add(store, "once", "mlp", 1, np.arange(5) > 1)
    at = ("--uri", store.uri)
    line = refused(monkeypatch, capsys, "plan", "once", *at)
    assert "once: every row has one seed" in line
    assert "--seed-sd POINTS" in line
    line = refused(monkeypatch, capsys, "plan", "onse", *at)
    assert "No experiment named onse" in line
    assert "nearest: once" in line
    line = refused(monkeypatch, capsys, "plan", "two", "--components", *at)
    assert "no seeds were varied against each other" in line
    # and with the scatter said, one seed is enough
    assert inside(monkeypatch, "plan", "once", *at, "--seed-sd", 1) == 0
    assert "assumed: 2 seeds a row, in place of one" in capsys.readouterr().out
