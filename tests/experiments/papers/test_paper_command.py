"""`ilsvrc paper`: what it answers of networks whose hits are known, what it refuses, and that it
goes on where it stopped; once with networks that really learn."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from blank_store import blank_store
from command import inside, refused

from experiments.fitting import fit
from experiments.jobs.job import Outcome
from experiments.jobs.predictions import Evaluation, write_predictions
from experiments.metrics import accuracies
from experiments.papers.planning import plan
from experiments.papers.results import found, named
from experiments.papers.run import TABLES, requested
from experiments.tracking.journal import Journal

IMAGES = 400
SOURCE = f"data.source=synthetic:classes=10,size=32,examples={5 * IMAGES}"
INLINE = "launch.executor=inline"
TABLE_6 = {  # per cent that are right, by network and seed
    "resnet20_cifar": {1: 70, 2: 71}, "resnet32_cifar": {1: 72, 2: 73},
    "resnet44_cifar": {1: 80, 2: 81}, "resnet56_cifar": {1: 78, 2: 79},
    "resnet110_cifar": {1: 90, 2: 91}, "plain20_cifar": {1: 50, 2: 51},
    "plain56_cifar": {1: 30, 2: 31},
}  # fmt: skip


def outcome(job, share, history=(), **scores):
    """Of a network that has this share of its test images right, the first of them."""
    labels = np.arange(len(job.test)) % 10
    right = np.arange(len(labels)) < share * len(labels)
    chances = np.full((len(labels), 10), 0.01)
    chances[np.arange(len(labels)), np.where(right, labels, (labels + 1) % 10)] = 0.91
    scores = accuracies(chances, labels, "test") | scores
    columns = {"label": labels, "predicted": chances.argmax(1), "probabilities": chances}
    folder = Path(job.directory)
    folder.mkdir(parents=True, exist_ok=True)
    file = write_predictions(
        folder / "predictions.parquet", [("test", job.test, Evaluation(scores, 0.0, columns))]
    )
    cost = {"train_seconds": 2.0, "step_seconds": 1.0, "macs": 1e6}
    return Outcome(job.path, "finished", scores, list(history), cost, predictions=file)


@pytest.fixture
def paper(tmp_path, monkeypatch, capsys):
    """(exit code, JSON, what was said, names of networks that were trained, in order)."""
    store = blank_store(tmp_path)

    def run(attempt, *words):
        tried = []

        def counted(job, emit):
            tried.append(job.config.model.name)
            return attempt(job)

        monkeypatch.setattr(fit, "attempt", counted)
        code = inside(
            monkeypatch, "paper", *words, SOURCE, INLINE, f"tracking.uri={store}", "--json"
        )
        out, err = capsys.readouterr()
        return code, json.loads(out), err, tried

    return run


def of_table_6(job):
    return outcome(job, TABLE_6[job.config.model.name][job.config.seed] / 100)


def test_figures_verdicts_and_tau_of_known_hits(paper, capsys, monkeypatch):
    words = ("resnet", "--table", "table-6")
    code, document, said, tried = paper(of_table_6, *words)
    assert (code, document["status"]) == (0, "finished")
    assert tried[-1] == "resnet110_cifar"  # the dearest
    assert "7 figures of 7 fits with 7 graphs, the cheapest first" in said
    [table] = document["tables"]
    cells = {(cell["row"], cell["column"]): cell for cell in table["cells"]}
    cell = cells["44 layers", "residual"]
    assert (cell["published"], cell["ours"]) == (7.17, pytest.approx(20))
    assert cell["interval"] == pytest.approx([16.37, 24.20], abs=0.01)  # Wilson's, of 320 in 400
    assert {key[0]: cell["verdict"] for key, cell in cells.items() if key[1] == "residual"} == {
        "20 layers": "same order", "32 layers": "same order", "44 layers": "other order",
        "56 layers": "other order", "110 layers": "same order",
    }  # fmt: skip
    assert cells["56 layers", "plain"]["published"] is None
    assert cells["56 layers", "plain"]["verdict"] == "same order"
    assert cells["110 layers", "residual"]["settled"]
    assert not cells["44 layers", "residual"]["settled"]  # 44 and 56 are 8 images apart
    # 21 pairs, one the other way round; decided are those of 9 images and more: 2^-8 > 0.05 / 21
    assert table["tau"] == pytest.approx(19 / 21)
    assert (table["pairs"], table["undecided"]) == (21, 2)
    assert table["tau_interval"] == pytest.approx([17 / 21, 1.0])
    assert "of these trained networks" in table["tau_method"]
    assert table["train_seconds"] == 14.0

    code, again, said, tried = paper(of_table_6, *words, "--seeds", "2")
    assert (code, len(tried)) == (0, 7)  # the first seeds are there
    cell = again["tables"][0]["cells"][0]
    assert (cell["ours"], cell["seeds"]) == (pytest.approx(29.5), [1, 2])
    assert again["tables"][0]["tau_method"].startswith("pairs decided over seeds and images")

    assert inside(monkeypatch, "paper", "--results", "page.md") == 0
    page = Path("page.md").read_text(encoding="utf-8")
    assert "## Deep Residual Learning for Image Recognition (2016): table-6" in page
    assert "| 44 layers | residual | 7.17 | 19.50 |" in page
    assert (
        "10 classes, 1,600 images to train, 400 to score.\n" in page
    )  # no settings of the machine
    assert page.count("\n## ") == 1  # the one with more seeds stands for both


def test_a_failed_cell_is_left_out_and_tried_again(paper):
    def failing(job):
        if job.config.model.name == "resnet56_cifar":
            return Outcome(job.path, "failed", error="no such luck")
        return of_table_6(job)

    words = ("resnet", "--table", "table-6", "--row", "20 layers", "--row", "56 layers")
    code, document, said, tried = paper(failing, *words)
    assert (code, document["status"], len(tried)) == (1, "failed", 4)
    cells = {(cell["row"], cell["column"]): cell for cell in document["tables"][0]["cells"]}
    assert cells["56 layers", "residual"]["ours"] is None
    assert cells["56 layers", "residual"]["verdict"] == "not comparable"
    assert document["tables"][0]["tau"] == 1.0
    assert "no such luck" in said
    code, document, said, tried = paper(of_table_6, *words)
    assert (code, tried) == (0, ["resnet56_cifar"])
    assert document["fits"] == {"planned": 4, "done_before": 3}


def test_tables_share_fits_and_members_of_an_ensemble_are_averaged(paper):
    """Three networks that are wrong on different images are right together."""

    def attempt(job):
        made = outcome(job, 0.5)
        labels = np.arange(len(job.test)) % 10
        wrong = np.arange(len(labels)) % 3 == job.config.seed % 3
        if job.config.train.optimizer.learning_rate == 0.05:
            chances = np.full((len(labels), 10), 0.04)
            answers = np.where(wrong, (labels + job.config.seed) % 10, labels)
            chances[np.arange(len(labels)), answers] = 0.64
            columns = {"label": labels, "predicted": answers, "probabilities": chances}
            for epoch in job.prediction_epochs:  # others are wrong then: two of three are right
                shifted = np.where(np.roll(wrong, epoch), (labels + epoch) % 10, labels)
                earlier = np.full((len(labels), 10), 0.04)
                earlier[np.arange(len(labels)), shifted] = 0.64
                columns[f"probabilities_epoch_{epoch}"] = earlier
            parts = [("test", job.test, Evaluation({}, 0.0, columns))]
            write_predictions(Path(made.predictions), parts)
        return made

    code, document, _, tried = paper(attempt, "lectures", "--table", "ensembles")
    # five seeds, two more rates, one network for both, and one that keeps its last epochs
    assert (code, len(tried)) == (0, 8)
    cells = {cell["row"]: cell["ours"] for cell in document["tables"][0]["cells"]}
    assert cells["one network"] == pytest.approx(100 / 3, abs=0.3)
    assert cells["five seeds"] == 0.0
    assert cells["five last epochs"] < 5
    assert document["tables"][0]["pairs"] == 3


def test_updates_to_the_accuracy_of_another_row(paper):
    curves = {0.4: [0.1, 0.3, 0.5], 0.0: [0.2, 0.6, 0.7]}

    def attempt(job):
        options = job.config.model.options
        rate = job.config.train.optimizer.learning_rate
        curve = curves[options.get("dropout", 0.0)]
        if "normalization" not in options and "dropout" in options:
            curve = [0.1, 0.4, 0.4]  # never gets there
        history = [{"val_top1": value} for value in curve]
        return outcome(job, 0.5 + rate, history)

    code, document, _, _ = paper(attempt, "bn_inception", "--scale", "1/100")
    cells = {(c["row"], c["column"]): c for c in document["tables"][0]["cells"]}
    updates = -(-1400 // 32)  # 2,000 images less 400 to test and 200 to validate
    assert cells["Inception", "updates, M"]["ours"] == pytest.approx(3 * updates / 1e6)
    assert cells["BN-x5", "updates, M"]["ours"] == pytest.approx((1 + 0.3 / 0.4) * updates / 1e6)
    assert (cells["BN-Baseline", "updates, M"]["ours"], code) == (None, 0)
    assert cells["BN-Baseline", "updates, M"]["reached"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet"], "data.source: name the images"),
        (["resnet", SOURCE, "seed=3"], "seed: no setting of a paper's table; use --seeds N"),
        (["resnet", SOURCE, "model.name=mlp"], "model.name: that is what the table varies"),
        (["resnet", "vgg", SOURCE], "one paper at a time"),
        (["vgg", "data.source=digits", "--scale", "1/64"],
         "digits has 10 classes, and table-3 (ILSVRC-2012) asks for 16 at scale 1/64; use --scale "
         "1/96, the largest for them"),
        (["alexnet", SOURCE, "--scale", "1/200"],
         "--scale 1/200: claims leaves alexnet 60x60 pixels; it takes 67x67 or larger: --scale "
         "1/135 is the smallest for it, or set data.image_size=67"),
        (["resnet", SOURCE, "--table", "table-6", "validation.test_fraction=0"],
         "has no test and no validation images to score by"),
        (["resnet", SOURCE, "--table", "table-6", "validation.folds=3"],
         "a table is of one split; repeat it with --seeds N"),
        (["googlenet", SOURCE, "--table", "table-3", "--scale", "1/99", "tracking.save_model=none"],
         "tracking.save_model: table-3 is scored under protocols of crops"),
        (["--results", "page.md"], "no table was run in this folder"),
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_trains(words, message, monkeypatch, capsys):
    monkeypatch.setattr(fit, "attempt", None)
    assert message in refused(monkeypatch, capsys, "paper", *words)


def test_of_more_images_as_many_classes_and_images_as_the_scale_asks():
    words = ["data.source=synthetic:classes=20,size=32,examples=40000"]
    for table, classes, images in (("table-6", 10, 6250), ("table-2", 16, 8000)):
        planned = plan(requested("resnet", [table], [], "1/64", 1, words))
        [first, *_] = planned.fits
        assert first.plan.classes == first.plan.config.data.classes == classes
        assert len(first.job.train) == pytest.approx(images, abs=classes)
        assert len(first.job.test) == classes * 400  # a fifth of the 2,000 of each


def test_fits_of_one_graph_stand_side_by_side_and_tables_share_fits():
    planned = plan(requested("lectures", [], [], "1/64", 2, [SOURCE]))
    graphs = [fit.job.graph_key for fit in planned.fits]
    blocks = [key for key, _ in itertools.groupby(graphs)]
    assert len(blocks) == len(set(graphs)) == 3  # 3x3, 7x7, and one for the other three tables
    works = [fit.work.amount for fit in planned.fits]
    firsts = [works[graphs.index(key)] for key in blocks]
    assert firsts == sorted(firsts)
    by_cell = {
        (table, seed): keys for (table, at, seed), keys in planned.members.items() if at == 1
    }
    whole = by_cell[
        "little-data", 1
    ]  # all images, not augmented: one network of the ensembles' table
    assert whole == planned.members["ensembles", 3, 1]


def test_imagenet_without_labels_of_its_validation_part(tmp_path, monkeypatch, capsys):
    from PIL import Image

    for name in ("train/n01440764/a.JPEG", "train/n01443537/b.JPEG", "val/c.JPEG"):
        path = tmp_path / "imagenet" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40)).save(path)
    words = ("paper", "resnet", "--table", "table-2", "data.source=ilsvrc:imagenet")
    assert "has no classes for the validation images" in refused(monkeypatch, capsys, *words)


def test_for_real(tmp_path, monkeypatch, capsys):
    """Two small networks, two updates each; the page of the experiment and the list beside."""
    store = f"tracking.uri={blank_store(tmp_path)}"
    words = ("paper", "lectures", "--table", "small-kernels", SOURCE, INLINE, store,
             "train.epochs=1", "model.options.width=0.05", "data.batch_size=800",
             "--scale", "1/10000")  # fmt: skip
    assert inside(monkeypatch, *words) == 0
    out, err = capsys.readouterr()
    assert "three 3x3" in out
    assert "Kendall's tau" in out
    assert "of it in updates (x " in out
    assert "next: ilsvrc report paper-lectures" in err
    assert inside(monkeypatch, "report", "paper-lectures", store, "--out", "page.html") == 0
    capsys.readouterr()
    assert inside(monkeypatch, "paper", "--list") == 0
    assert "table-6" in capsys.readouterr().out
    assert inside(monkeypatch, "paper", "--list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "alexnet"


def test_a_page_names_no_folder_of_this_machine():
    assert named("folder:/data/x/flowers") == "folder:flowers"
    assert named("csv:a/b.csv,folder=c") == "csv:b.csv,folder=c"
    assert named("synthetic:classes=10,size=32") == "synthetic:classes=10,size=32"
    assert named("digits") == "digits"


def test_a_dry_run_says_which_rows_a_fit_is_of_and_what_it_costs(monkeypatch, capsys):
    words = ("paper", "lectures", "--table", "ensembles", SOURCE, "--dry-run")
    assert inside(monkeypatch, *words) == 0
    lines = capsys.readouterr().out.splitlines()
    [one] = [line for line in lines if "one network" in line]
    assert "five seeds; three learning rates; one network" in one
    assert one.split()[-7] == "36.7"  # k parameters, of the network at a quarter of its width
    [announced] = [line for line in lines if "--dry-run" in line]
    assert announced.startswith("8 fits, about ")


def test_the_page_leaves_out_what_a_later_table_holds(tmp_path):
    def ran(number, minute, seeds, *rows, settings=()):
        cells = [{"row": row, "column": "top-1"} for row in rows]
        document = {
            "paper": "vgg", "scale": "1/64", "source": "digits", "settings": list(settings),
            "seeds": seeds, "tables": [{"name": "table-3", "cells": cells}],
        }  # fmt: skip
        book = Journal(tmp_path / "paper-vgg" / f"sweep-{number}").open()
        book.append(TABLES, document=document, time=f"2026-01-01T00:0{minute}:00")

    ran(1, 1, 1, "A", "B")
    ran(2, 2, 1, "A", "B", "C")  # has all of the first
    ran(3, 3, 2, "A")
    ran(4, 4, 1, "A", "B", "C", settings=["train.epochs=9"])
    kept = [
        (entry["seeds"], entry["settings"], len(entry["tables"][0]["cells"]))
        for entry in found(tmp_path)
    ]
    assert kept == [(2, [], 1), (1, [], 3), (1, ["train.epochs=9"], 3)]
