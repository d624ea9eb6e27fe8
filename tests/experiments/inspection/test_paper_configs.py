"""The papers' configs: made from the cards, listed apart, planned and trained by one command."""

from __future__ import annotations

import json

import pytest
from blank_store import blank_store
from command import inside, refused
from sets.ilsvrc_set import write_folders, write_names

import models
from experiments.config import settings
from experiments.config.meant import shipped
from experiments.inspection.configs import rows
from experiments.inspection.paper_configs import PAPERS, images_of, text
from experiments.inspection.recipe import sections
from experiments.jobs.pace import Pace
from experiments.runs import forecast

NAMES = [name for name in shipped() if name.startswith("papers/")]


@pytest.fixture(scope="module")
def ilsvrc(tmp_path_factory):
    """Three classes of two images to train on, four to validate."""
    root = tmp_path_factory.mktemp("papers") / "imagenet"
    return write_names(write_folders(root))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forecast, "probe", lambda: Pace(1e6, 1e-9, 5.0))


def test_there_is_one_for_each_paper():
    assert sorted(NAMES) == sorted(f"papers/{name}" for name in PAPERS)
    commands = {row["name"]: row["command"] for row in rows()}
    assert commands["papers/vgg"] == "ilsvrc train papers/vgg data.source=..."


@pytest.mark.parametrize("name", PAPERS)
def test_a_config_says_what_its_card_says(name):
    file = shipped()[f"papers/{name}"]
    assert file.read_text(encoding="utf-8") == text(name), "make papers"
    config = settings.load(file, ["data.source=digits"])
    card = models.card(PAPERS[name][0])
    assert config.model.name == card.name
    written = settings.flatten(config.model_dump(mode="json"))
    said = settings.flatten(sections(card.recipe))
    assert {key: written[key] for key in said} == said


def test_every_network_of_a_paper_has_a_recipe_that_its_config_becomes():
    networks = [network for names in PAPERS.values() for network in names]
    assert len(networks) == len(set(networks))
    on_paper = {n for n in models.list_models() if models.card(n).recipe and models.card(n).year}
    assert on_paper == set(networks)


def test_the_comment_has_the_cost_and_the_errors():
    words = " ".join(line.removeprefix("# ") for line in text("vgg").splitlines())
    # by hand: 74 x 1,281,167 images; 5,005 updates an epoch; 3 x 15.47 G MACs an image
    assert "74 epochs of 1,281,167 images of ILSVRC-2012, 94.8 M in all in 370,370 updates" in words
    assert "4.4e+18 MACs" in words
    assert "0.01 x B / 256, the linear rule" in words
    assert "25.6 / 8.1: ILSVRC-2012 val, 1 network, dense" in words
    assert "ilsvrc evaluate RUN evaluate.protocol=dense evaluate.sides=[384]" in words
    assert "model.name=vgg_a" in words
    assert images_of(models.card("resnet20_cifar"))[1:] == ("CIFAR-10", 45_000)


@pytest.mark.parametrize("name", ["alexnet", "lenet5_1998"])
def test_without_images_it_is_refused_in_one_line(monkeypatch, capsys, name):
    line = refused(monkeypatch, capsys, "train", f"papers/{name}", "--dry-run")
    assert line.count("\n") == 1
    assert "data.source: not given; add data.source=ilsvrc:DIR" in line


@pytest.mark.parametrize("name", PAPERS)
def test_a_dry_run_plans_it(monkeypatch, capsys, ilsvrc, name):
    built = []
    outline = models.outline
    monkeypatch.setattr(models, "outline", lambda *a, **k: built.append(k) or outline(*a, **k))
    words = f"train papers/{name} data.source=ilsvrc:{ilsvrc} --dry-run --json"
    if models.card(PAPERS[name][0]).input_shape[2] == 1:
        words += " data.channels=1"
    assert inside(monkeypatch, *words.split(), "--images-per-second", "2") == 0
    told = json.loads(capsys.readouterr().out)
    training, train = told["training"], told["config"]["train"]
    assert training["images_an_epoch"] == told["data"]["train"]
    assert training["hours"] == pytest.approx(training["images"] / 2 / 3600)
    assert training["macs"] == pytest.approx(3 * training["images"] * told["cost"]["macs"])
    assert training["updates"] > 0
    assert train["optimizer"]["learning_rate"] > 0
    # its cost is counted once; its options may have been checked at its own size
    assert sum("input_shape" in each for each in built) <= 1


def test_the_plan_is_said(monkeypatch, capsys, ilsvrc):
    words = f"train papers/alexnet data.source=ilsvrc:{ilsvrc} --dry-run".split()
    assert inside(monkeypatch, *words) == 0
    out = capsys.readouterr().out
    # 90 epochs of 6 images, an update each; three classes in place of 1,000
    assert "training: 6 images an epoch, 90 updates, 540 images and" in out
    assert "hours: give --images-per-second, which `ilsvrc bench train bench.names=[alex" in out
    assert inside(monkeypatch, *words, "--images-per-second", "0.05") == 0
    assert "; 3 hours at 0.05 images a second" in capsys.readouterr().out


SMALL = (
    "model.options.width=0.05 data.batch_size=3 tracking.save_model=none launch.executor=inline "
    "bench.latency_calls=3 bench.throughput_batches=1"
)


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("alexnet", 67, ["train.epochs=2"]),
        ("resnet_imagenet", 32, ["train.updates=3", "model.name=resnet18"]),
        # the recipe of a network that takes long to trace, on another
        (
            "inception_v3",
            32,
            ["train.epochs=2", "model.name=nin_cifar", "model.options={width: 0.05}"],
        ),
    ],
)
def test_it_trains_as_it_is_written(monkeypatch, capsys, tmp_path, ilsvrc, name, size, words):
    command = f"train papers/{name} data.source=ilsvrc:{ilsvrc} {SMALL} data.image_size={size}"
    words = [*words, f"tracking.uri={blank_store(tmp_path)}"]
    assert inside(monkeypatch, *command.split(), *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "finished"
