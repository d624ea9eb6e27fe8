"""The report: facts from the store, sentences a reader needs, and a page that is all text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fake_store import COSTS, FakeStore
from typer.testing import CliRunner

from experiments.cli import commands
from experiments.comparison import compare
from experiments.comparison.plots import learning_curves
from experiments.errors import BadInput
from experiments.reporting import report
from experiments.reporting.caveats import caveats, chosen_by_validation
from experiments.reporting.facts import gather
from experiments.reporting.page import report_page, sort_key
from experiments.reporting.protocol import sentences
from tuning.statistics.intervals import of_folds

EVIL = '<img src=x onerror="alert(1)">&'
ORIGIN = {"git_commit": "c" * 40, "git_dirty": "true", "machine": "Linux x86_64, 2 cores",
          "python": "3.12.1", "augment": "pad_and_crop(2)"}  # fmt: skip
SETTINGS = {
    "train__epochs": 10, "train__optimizer__learning_rate": 0.05, "train__optimizer__name": "sgd",
    "validation__seed": 1, "data__train_images": 1000, "data__validation_images": 300,
    "data__test_images": 300, "bench__latency_calls": 50,
}  # fmt: skip

TEST_PART = {"images": 300, "classes": 10, "smallest": 28, "median": 30.5, "largest": 33,
             "origin": "held out", "class_images": {}}  # fmt: skip
LOOSE = {"path": "loose", "files": 5, "why": "lie beside the class folders"}
TOLD = {"parts": {"test": TEST_PART}, "class_names": list("abcdef"), "unused": [LOOSE]}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = FakeStore(tmp_path_factory.mktemp("store"))
    parent = store.sweep("history")
    store.client.log_text(parent, "name: history\nsweep: {model.name: [nin]}\n", "config.yaml")
    # the best by test is not the best by validation
    for model, test, validation in (("nin", 0.9, 0.7), ("lenet5", 0.8, 0.85), (EVIL, 0.7, 0.6)):
        for seed in (1, 2):
            metrics = {"test_top1": test + seed / 100, "val_top1": validation, "macs": 1e6 * seed}
            run = store.run("history", model, seed, metrics | COSTS | {"params": 1e5},
                            tags=ORIGIN, **SETTINGS)  # fmt: skip
            store.client.log_text(run, json.dumps({"keras": f"3.15.{seed}"}), "versions.json")
            store.client.log_text(run, json.dumps(TOLD), "data.json")
    store.run("history", "vgg16", 1, {}, status="FAILED")
    return store


@pytest.fixture(scope="module")
def found(store):
    comparison = compare.compare(store.client, ["history"], test="auto")
    facts = gather(store.client, comparison)
    curves = learning_curves.fetch(store.client, comparison)
    return comparison, facts, report_page(comparison, facts, curves)


def test_fronts_of_searches_have_a_section_each(found):
    comparison, facts, _ = found
    trials = [
        {"number": at, "hyperparameters": {"model.name": name}, "values": values,
         "spread": {"val_top1": 0.01, "macs": None}}
        for at, (name, values) in enumerate([
            (EVIL, {"val_top1": 0.9, "macs": 4e6}), ("nin", {"val_top1": 0.8, "macs": 1e6}),
            ("lenet5", {"val_top1": 0.7, "macs": 2e6}),
        ])
    ]  # fmt: skip
    front = [{**one, "trial": one["number"], "settings": one["hyperparameters"]} for one in trials]
    result = {
        "name": "s", "trials": trials, "front": front[:2], "knee": 1,
        "hypervolume": [0.1, 0.2, 0.2],
        "objectives": [{"name": "val_top1", "direction": "max", "log": False},
                       {"name": "macs", "direction": "min", "log": False}],
    }  # fmt: skip
    page = report_page(comparison, replace(facts, fronts=[result, result]), {})
    assert page.count("<h2>Front of the search s</h2>") == 2
    assert "<li>trial 1 (knee): model.name=nin, val_top1 80.00% ± 1.00%, macs 1.00 M.</li>" in page
    assert EVIL not in page
    ids = re.findall(r' id="(search-[^"]*)"', page)
    assert len(ids) == len(set(ids)) == 6


def test_facts_are_those_of_the_runs(found):
    _, facts, _ = found
    assert facts.runs == 6
    assert facts.versions == {"keras": ["3.15.1", "3.15.2"]}
    assert facts.tags["git_commit"] == ["c" * 40]
    assert facts.settings["train.epochs"] == 10
    assert "model.name" not in facts.settings
    assert "seed" not in facts.settings
    (data,) = facts.data
    assert (data["source"], data["fingerprint"]) == ("digits", "fingerprint1")
    assert (data["train"], data["test"]) == (1000, 300)
    assert facts.train_seconds == 6 * COSTS["train_seconds"]
    (command,) = facts.commands
    assert command.words == "ilsvrc sweep history.yaml"
    assert command.config.startswith("name: history")


def test_caveats_name_what_is_to_be_doubted(found):
    comparison, facts, page = found
    text = "\n".join(caveats(comparison, facts))
    for part in (
        "6 of 6 runs were made with uncommitted changes",
        "ranked by that test",
        "A standard deviation of 2 values",
        "different versions of keras (3.15.1, 3.15.2)",
        "1 failed",
        "All architectures share one recipe",
        # 274.5 rounds to 274 of 300: bootstrap over images
        "300 test images: a top-1 of 91.5 %",
    ):
        assert part in text
    assert "One seed each" not in text
    assert chosen_by_validation(comparison)["name"] == "lenet5"
    assert "Chosen by validation: lenet5" in page
    searched = "\n".join(caveats(replace(comparison, level="outer_fold"), facts))
    assert "share one recipe" not in searched  # each architecture had a search of its own


def test_protocol_reads_as_a_methods_section(found):
    comparison, facts, _ = found
    text = "\n".join(sentences(comparison, facts))
    for part in ("1,000 training, 300 validation and 300 test", "10 epochs", "sgd at 0.05",
                 "pad_and_crop(2)", "split seed 1", "last epoch", "median of 50 calls",
                 "sample standard deviation over seeds"):  # fmt: skip
        assert part in text


def test_protocol_of_outer_folds_says_what_they_are_tested_on(found):
    comparison, facts, _ = found
    told = "\n".join(sentences(replace(comparison, level="outer_fold"), facts))
    assert (
        "the test images of a run are those of its outer fold, which its search never saw" in told
    )
    assert "parts without an official one" not in told


def test_protocol_tells_of_what_updates_have_that_most_have_not(found):
    comparison, facts, _ = found
    assert "clipped" not in "\n".join(sentences(comparison, facts))
    special = {
        "train.accumulate": 4,
        "train.optimizer.learning_rate_scaling": "sqrt",
        "train.optimizer.learning_rate_for_batch": 256,
        "train.optimizer.clip.norm": None,
        "train.optimizer.clip.global_norm": 2.0,
        "train.optimizer.ema.momentum": 0.99,
        "train.optimizer.ema.warmup": True,
    }
    told = "\n".join(sentences(comparison, replace(facts, settings=facts.settings | special)))
    for part in ("rate as for batches of 256, sqrt scaling", "clipped to a global norm of 2.0",
                 "averages of the weights, momentum 0.99, warmed up", "over 4 parts"):  # fmt: skip
        assert part in told


def test_settings_that_vary_are_told_in_a_sentence(found):
    comparison, facts, _ = found

    def training(varying, settings):
        lines = sentences(replace(comparison, varying=varying), replace(facts, settings=settings))
        return next(line for line in lines if line.startswith("Training: "))

    varying = ["train.optimizer.learning_rate", "train.schedule.warmup_epochs", "model.name"]
    settings = {key: value for key, value in facts.settings.items() if key not in varying}
    settings |= {"train.optimizer.weight_decay": 0.0005, "data.image_size": [32, 32],
                 "data.normalise": "mean_std", "train.class_weights.cat": 2.0,
                 "train.class_weights.ice bear": 1.0}  # fmt: skip
    assert training(varying, settings) == (
        "Training: 10 epochs, sgd with weight decay 0.0005, loss weighted by class (cat 2.0, "
        "ice bear 1.0; rescaled to mean 1), images 32 x 32, normalised by mean and deviation of "
        "the training part, augmentation: pad_and_crop(2), precision float32; "
        "varied between runs: learning rate, schedule"
    )
    varying = ["train.optimizer.name", "train.class_weights"]
    told = training(varying, {"train.optimizer.weight_decay": 0.0})
    assert told.startswith("Training: several optimizers without weight decay, ")
    assert told.endswith("; varied between runs: optimizer, class weights")
    told = training([], facts.settings | {"train.class_weights": "balanced"})
    assert "loss weighted by class (balanced: by the inverse of its number of images)" in told
    assert "varied" not in told
    assert "?" not in told


def test_what_varies_of_the_timing_is_said_in_words(found):
    comparison, facts, _ = found

    def latency(**settings):
        lines = sentences(comparison, replace(facts, settings=settings))
        return next(line for line in lines if line.startswith("Latency: ")).partition("rates: ")[2]

    calls, batches = {"bench.latency_calls": 3}, {"bench.throughput_batches": 4}
    assert latency(**calls) == "median of several batches of a size that varies"
    known = calls | batches | {"data.eval_batch_size": 256}
    assert latency(**known) == "median of 4 batches of 256"


class Reader(HTMLParser):
    """What a browser makes of the page: texts of cells, and whether all that opens closes."""

    VOID = ("meta", "br", "link", "img", "input")

    def __init__(self):
        super().__init__()
        self.open, self.bad, self.rows, self.tags = [], [], [], []
        self.cell = None

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(tag)
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data


def test_page_is_well_formed_and_what_users_wrote_stays_text(found):
    _, _, page = found
    reader = Reader()
    reader.feed(page)
    assert reader.bad == []
    assert reader.open == []
    assert [tag for tag, _ in reader.tags if tag == "img"] == []
    assert not any(name.startswith("on") for _, attributes in reader.tags for name in attributes)
    assert any(EVIL in cell for cells in reader.rows for cell in cells)
    for tag, attributes in reader.tags:
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    addresses = set(re.findall(r"https?://[^\"\s<]*", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "@media print" in page


def test_table_points_and_sections_are_all_there(found):
    comparison, _, page = found
    reader = Reader()
    reader.feed(page)
    head, *rows = reader.rows[:4]
    assert head[:3] == ["●", "model", "n"]
    assert [cells[1] for cells in rows] == ["nin", "lenet5", EVIL]
    assert rows[0][head.index("test top-1 %")] == "91.5 ± 0.7"
    shown = page[: page.index("<template")]
    assert shown.count('class="point"') == len(comparison.rows)
    axes = [a["data-axis"] for tag, a in reader.tags if tag == "template"]
    assert axes == ["macs", "params", "latency", "memory", "images_per_second"]
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles[:2] == ["Results", "Accuracy against cost"]
    assert titles[-4:] == ["What was run on what", "Protocol", "Caveats", "To repeat it"]
    assert f"git checkout {'c' * 40}" in page
    part = "test: 300 images of 10 classes, held out; a class has 28 to 33, median 30.5"
    assert f"<dt>Part</dt><dd>{part}</dd>" in page
    assert "<dt>Classes</dt><dd>a, b, c, ..., f</dd>" in page
    assert "<dt>Not used</dt><dd>5 files in loose lie beside the class folders</dd>" in page
    assert "ilsvrc report history --out report.html" in page
    single = [cells for cells in reader.rows if len(cells) == 5 and cells[0] == "nin"]
    assert [(cells[1], cells[3]) for cells in single] == [("1", "91.00"), ("2", "92.00")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("40.6 M", "40600000"),
        ("270 k", "270000"),
        ("97.4 ± 0.3", "97.4"),
        ("< 0.001 *", "0.001"),
        ("resnet20", "resnet20"),
        ("3x3 stack", "3"),
        ("●", "0"),
        ("–", ""),
        ("", ""),
    ],
)
def test_cells_are_ordered_by_their_number(text, key):
    assert sort_key(text) == key


def test_command_writes_the_page_and_takes_the_options_of_compare(store, tmp_path):
    out = tmp_path / "new" / "page.html"
    words = ["report", "history", "--uri", store.uri, "--where", "model.name=nin", "--out"]
    done = CliRunner().invoke(commands.app, [*words, str(out)])
    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert "history (model.name=nin)" in page
    assert "--where model.name=nin" in page
    assert page.count('data-name="nin"') == 1 + 5  # shown, and kept for each axis
    assert "lenet5" not in page
    with pytest.raises(BadInput, match="--out"):
        report.run(store.uri, ["history"], tmp_path / "new" / "page.html" / "below")


def test_trials_have_their_versions_and_command_from_their_search(store):
    parent = store.client.create_run(
        store.experiment("searched"), tags={"level": "search"}, run_name="search"
    ).info.run_id
    store.client.log_text(parent, "name: searched\n", "config.yaml")
    store.client.log_text(parent, '{"keras": "3.15.9"}', "versions.json")
    for rate in (0.1, 0.2):
        store.run(
            "searched", "mlp", 1, {"val_top1": rate}, level="trial",
            tags={"mlflow.parentRunId": parent}, train__optimizer__learning_rate=rate,
        )  # fmt: skip
    comparison = compare.compare(store.client, ["searched"], level="trial")

    facts = gather(store.client, comparison)

    assert facts.versions == {"keras": ["3.15.9"]}
    assert [command.words for command in facts.commands] == ["ilsvrc search searched.yaml"]
    page = report_page(comparison, facts, {})
    assert "No row has both a top-1 and a cost" in page
    assert "ilsvrc compare searched --level trial --out comparison" in page
    assert "<dd>digits</dd>" in page


def test_rows_over_folds_have_the_interval_of_all_folds_and_not_of_one_folds_images(store):
    for fold, top1 in enumerate((0.9, 0.95, 0.85)):
        store.run(
            "folds", "mlp", 1, {"test_top1": top1, "macs": 1e6, "params": 1e5}, level="outer_fold",
            tags={"path": f"outer/{fold}", "mlflow.parentRunId": "nested",
                  "config_hash": str(fold)},
            data__train_images=200, data__test_images=100,
        )  # fmt: skip
    comparison = compare.compare(store.client, ["folds"])
    facts = gather(store.client, comparison)

    told = of_folds([0.9, 0.95, 0.85], held=[100] * 3, trained=[200] * 3, images=300)
    ends = f"mlp {100 * told.low:.2f} to {100 * told.high:.2f} %"
    page = report_page(comparison, facts, {})
    assert f"95 % interval for new images (corrected resampled t): {ends}" in page
    assert "A ± over folds is their standard deviation, no interval" in page
    assert not any("interval of" in doubt for doubt in caveats(comparison, facts))
