"""A bad setting is answered before any image is looked at."""

from __future__ import annotations

import sys

import pytest
from command import refused, write_config

from experiments.evaluation import image_set
from experiments.inference import class_names
from experiments.inspection import data, preview, survey
from experiments.jobs import dataset, plan
from experiments.runs import cells, members
from experiments.search import candidates, study
from models.registry import _keywords_in, _keywords_of, card, list_models

SEARCH = {"strategy": "grid", "space": {"train.optimizer.learning_rate": [0.1, 0.01]}}
ROOMS = (
    dataset, plan, cells, members, study, candidates, preview, data, survey, image_set, class_names,
)  # fmt: skip
"""All that take open_source by name: one imported while it stands replaced would keep that."""
WRONG = {
    "train.epochz=3": "unknown key; did you mean train.epochs?",
    "train.epochs=-1": "greater than or equal to 0",
    "train.epochs=abc": "valid integer",
    "train.optimizer.name=adm": "'adam'",
    "train.schedule.name=cosin": "'cosine'",
    "augment.preset=cifr": "'cifar'",
    "augment={preset: cifar": "quote it for the shell",
    "model.name=lenet": "model.name: unknown model 'lenet'; did you mean lenet5",
    "model.options.widht=2": "lenet5 has no option 'widht'; did you mean width?",
    "model.options.width=-1": "width must be a number above 0",
    "model.options.activation=rellu": "activation must be one of relu",
    "model.weights=no.pth": "no.pth: no such file",
    "data.image_size=1": "data.image_size: lenet5 takes images of",
    "data.normalise=published": "data.normalise",
    "train.stages=[{model: {name: foo}, epochs: 1}]": "train.stages.0.model.name: unknown model",
    "train.stages=[{model: {name: mlp, options: {a: 1}}, epochs: 1}]": "mlp has no option 'a'",
    "evaluate.dropout_samples=5": "model.options.monte_carlo=true",
}
COMMANDS = ("train", "sweep", "search", "nested", "ensemble", "data preview")
OF_ONE = {
    "sweep": {
        "sweep.train.optimizer.learing_rate=[1, 2]": "learning_rate",
        "sweep.model.name=[lenet5, foo]": "unknown model 'foo'",
        "sweep.model.options.width=[1, -2]": "width must be a number above 0",
    },
    "train": {"sweep.train.optimizer.learing_rate=[1, 2]": "learning_rate"},
    "search": {
        "search.space.train.lr=[0.1, 0.2]": "train.optimizer.learning_rate",
        "search.space.model.name=[lenet5, foo]": "unknown model 'foo'",
        "search.strategy=foo": "search.strategy",
    },
    "ensemble": {"evaluate.ensemble={kind: checkpoints, size: 9, every: 1}": "need 9 epochs"},
}
OF_NETWORKS = {"train.epochz=3": "unknown key", "evaluate.protocol=ten": "evaluate.protocol"}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config whose source fails where it is opened."""

    def opened(*_):
        raise AssertionError("the images were opened")

    for room in ROOMS:
        monkeypatch.setattr(room, "open_source", opened)
    monkeypatch.chdir(tmp_path)
    return write_config(
        tmp_path, launch={"executor": "inline"}, search=SEARCH, sweep={"seed": [1, 2]},
        evaluate={"ensemble": {"kind": "seeds", "size": 2}}, validation={"folds": 2},
    )  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_wrong_is_said_before_the_images_are_opened(config, monkeypatch, capsys, command):
    words = [*command.split(), config, *([] if command == "sweep" else ["sweep={}"])]
    for word, said in (WRONG | OF_ONE.get(command, {})).items():
        assert said in refused(monkeypatch, capsys, *words, word), word


@pytest.mark.parametrize("command", [["evaluate", "lenet5:imagenet"], ["predict", "a.keras", "b"]])
def test_of_commands_that_take_networks_too(config, monkeypatch, capsys, command):
    for word, said in OF_NETWORKS.items():
        assert said in refused(monkeypatch, capsys, *command, word)


def test_files_of_names_and_labels_are_read_before_networks_and_images(config, monkeypatch, capsys):
    a_run = "0123456789abcdef0123456789abcdef"  # which there is not, as the next answer would be
    for command in (["evaluate", a_run, "data.source=folder:gone"], ["predict", a_run, "b.png"]):
        line = refused(monkeypatch, capsys, *command, "evaluate.class_names=no.txt")
        assert line == "ilsvrc: evaluate.class_names: no.txt: no such text file\n"
    line = refused(monkeypatch, capsys, "evaluate", a_run, "evaluate.labels=no.json")
    assert line.startswith("ilsvrc: evaluate.labels: no.json cannot be read")


def test_options_are_known_from_the_text_as_from_the_function():
    for name in list_models():
        module = card(name).module
        __import__(module)
        assert _keywords_in(module)[name] == _keywords_of(getattr(sys.modules[module], name))


def test_values_of_a_networks_own_options_are_seen_before_files_are_opened(
    config, monkeypatch, capsys
):
    words = ["sweep={}", "data.source=folder:nowhere", "model.name=resnet20_cifar"]
    line = refused(monkeypatch, capsys, "train", config, *words, "model.options.shortcut=Z")
    assert "model: shortcut must be one of" in line
