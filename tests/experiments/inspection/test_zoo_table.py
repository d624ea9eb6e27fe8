"""`ilsvrc models`: which published figure stands for a network, in a table that stays readable."""

from __future__ import annotations

import dataclasses
import json

import pytest
from command import inside
from terminal_text import shown

import models
from experiments.inspection import zoo
from models import cards
from models.published import VIEWS, figures, headline

FAKE = {"source": "paper, Table 1", "verified": True, "dataset": "ILSVRC-2012 val"}


def _card(*published: tuple[str, float, str, str]) -> models.ModelCard:
    """A card with these (metric, value, protocol, source)."""
    told = [
        {**FAKE, "metric": metric, "value": value, "protocol": protocol, "source": source}
        for metric, value, protocol, source in published
    ]
    return dataclasses.replace(models.card("alexnet"), published=told)


def test_every_network_has_a_row_in_the_order_of_the_registry(monkeypatch, capsys):
    assert inside(monkeypatch, "models", "--json") == 0
    listing = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in listing] == models.list_models()
    [row] = [row for row in listing if row["name"] == "zfnet"]
    assert row == {
        "name": "zfnet",
        "family": "zfnet",
        "year": 2013,
        "params": 62_357_608,
        "macs": 1_168_032_896,
        "input_shape": [224, 224, 3],
        "published_top1_error": 38.4,
        "published_top5_error": 16.5,
        "protocol": "1 network, 10 crops; as in Figure 3 (arXiv v1 prints 38.3 and 16.4)",
        "dataset": "ILSVRC-2012 val",
        "source": "paper, Table 2",
        "own": True,
        "verified": True,
        "views": "10 crops",
    }


@pytest.mark.parametrize(
    ("name", "top1", "top5", "views", "who"),
    [
        ("alexnet", 42.9, 19.8, "1 crop", "Caffe"),  # the paper's 40.7, 18.2 are of ten crops
        ("vgg16", 28.5, 9.9, "1 crop", "MatConvNet"),  # the paper's are dense
        ("vgg_c", 28.1, 9.4, "dense", "paper"),  # nothing else known
        ("googlenet", 31.3, 11.1, "1 crop", "Caffe"),  # the paper's crop has no top-1
        ("inception_v3", 21.2, 5.6, "1 crop", "paper"),
        ("plain34", 28.54, 10.02, "10 crops", "paper"),
        ("resnet50", 24.7, 7.8, "1 crop", "authors"),
        ("resnet152", 23.0, 6.7, "1 crop", "authors"),  # not 3.57, of six networks
        ("resnet50_v1_5", 23.87, 7.138, "1 crop", "torchvision"),
        ("resnet20_cifar", 8.75, None, "1 view", "paper"),
    ],
)
def test_the_figure_to_compare_by(name, top1, top5, views, who):
    figure = headline(models.card(name))
    assert figure is not None
    assert (figure.top1_error, figure.top5_error, figure.views) == (top1, top5, views)
    assert figure.source.partition(",")[0] == who
    assert figure.own == (who in ("paper", "authors"))


@pytest.mark.parametrize("name", models.list_models())
def test_no_ensemble_stands_for_a_network(name):
    figure = headline(models.card(name))
    assert figure is None or figure.networks == 1
    # no other figure of one network on the same images is of fewer views
    for other in figures(models.card(name)):
        if figure and other.networks == 1 and other.dataset == figure.dataset:
            assert VIEWS.index(figure.views) <= VIEWS.index(other.views)


def test_only_an_ensemble_is_no_figure():
    assert (
        headline(_card(("top-5 error %", 6.67, "7 networks, 144 crops", "paper, Table 3"))) is None
    )
    assert headline(_card()) is None


def test_errors_of_two_sources_are_never_set_side_by_side():
    card = _card(
        ("top-5 error %", 10.07, "1 network, 1 crop", "paper, Table 3"),
        ("top-1 accuracy %", 68.7, "1 network, 1 crop", "Caffe, readme"),
        ("top-5 accuracy %", 88.9, "1 network, 1 crop", "Caffe, readme"),
    )
    found = [(f.source, f.top1_error, f.top5_error) for f in figures(card)]
    assert found == [("paper, Table 3", None, 10.07), ("Caffe, readme", 31.3, 11.1)]


def test_a_protocol_that_does_not_say_its_views_is_refused():
    card = _card(("top-1 error %", 40.0, "one network, centre crop", "paper"))
    with pytest.raises(ValueError, match=r"a protocol reads 'N network\(s\), VIEWS; details'"):
        headline(card)


def test_the_table_fits_80_columns_and_says_the_protocol():
    lines = shown(zoo.table(zoo.rows()), width=80).splitlines()
    assert not any("…" in line for line in lines)
    rows = {line.split()[0]: line.split() for line in lines if line.strip()}
    assert set(models.list_models()) <= set(rows)  # no name is broken
    assert " ".join(rows["alexnet"]) == "alexnet 2012 61.0 M 724 M 227x227x3 42.9 19.8 1 crop *"
    assert rows["zfnet"][-2:] == ["10", "crops"]
    assert rows["resnet20_cifar"][-2:] == ["8.75", "CIFAR-10"]
    assert rows["lenet5_1998"][-2:] == ["0.95", "MNIST"]
    assert rows["mlp"][-1] == "28x28x1"


def test_an_error_that_was_not_read_again_is_marked(monkeypatch):
    [first, *_] = cards.entries()["lenet5_1998"]["published"]
    monkeypatch.setitem(first, "verified", False)
    lines = shown(zoo.table(zoo.rows()), width=80).splitlines()
    [row] = [line.split() for line in lines if "lenet5_1998" in line]
    assert row[-2:] == ["MNIST", "?"]


def test_a_word_narrows_the_list(monkeypatch, capsys):
    assert inside(monkeypatch, "models", "VGG", "--json") == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == ["vgg_a", "vgg_a_lrn", "vgg_b", "vgg_c", "vgg16", "vgg19"]
    assert inside(monkeypatch, "models", "vgg") == 0
    out = capsys.readouterr().out
    assert "vgg16" in out
    assert "alexnet" not in out


def test_a_word_in_no_name_is_bad_input(monkeypatch, capsys):
    assert inside(monkeypatch, "models", "transformer") == 2
    said = capsys.readouterr()
    assert said.err == (
        "ilsvrc: no architecture has 'transformer' in its name (ilsvrc models lists all)\n"
    )
    assert said.out == ""
