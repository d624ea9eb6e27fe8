"""Filters on params and tags, and the order of rows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from fake_store import row

from experiments.comparison import grouping, selection
from experiments.errors import BadInput

RATE = "train.optimizer.learning_rate"

SPEEDS = [
    f"{where}{mode}_images_per_second" for where in ("", "bench_") for mode in ("train", "infer")
]


def a_run(params, tags=None):
    data = SimpleNamespace(params=params, tags=tags or {})
    return ("history", SimpleNamespace(data=data))


RUNS = [
    a_run({"model.name": "nin", RATE: "0.001"}, {"device": "A"}),
    a_run({"model.name": "resnet20_cifar", RATE: "0.1"}, {"device": "B"}),
    a_run(
        {"model.name": "resnet56_cifar", RATE: "0.1", "model.options.activation": "gelu"},
        {"device": "B"},
    ),
]


@pytest.mark.parametrize(
    ("filters", "passing"),
    [
        ([], [0, 1, 2]),
        (["model.name=nin"], [0]),
        (["model.name!=nin"], [1, 2]),
        (["model.name=resnet*"], [1, 2]),
        (["train.optimizer.learning_rate=1e-3"], [0]),  # the same number, written otherwise
        (["learning_rate=0.10"], [1, 2]),
        (["device=B", "model.name=*56*"], [2]),  # a tag, and both must hold
        (["activation=null"], [0, 1]),  # not set
    ],
)
def test_filters_on_params_and_tags(filters, passing):
    assert selection.matching(RUNS, filters) == [RUNS[i] for i in passing]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.name", "KEY=VALUE"),
        ("model.nam=nin", "nearest: model.name"),
        ("model.name=lenet5", "no run passes; model.name is nin, resnet20_cifar, resnet56_cifar"),
    ],
)
def test_wrong_filters_say_what_there_is(text, message):
    with pytest.raises(BadInput, match=message):
        selection.matching(RUNS, [text])


def comparison():
    rows = [
        row("a", 3e6, 10, 0.9, 0.01, **{RATE: 0.1}),
        row("b", 1e6, 30, 0.8, None, **{RATE: "auto"}),
        row("c", None, 20, 0.7, 0.02, **{RATE: 0.01}),
    ]
    for rate in SPEEDS:
        for made, speed in zip(rows, (200.0, 300.0, 100.0), strict=True):
            made[rate] = speed
    return grouping.Comparison(["history"], "test_top1", rows, [RATE])


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (None, "abc"),
        ("macs", "bac"),  # less is better, and no value comes last
        ("-macs", "abc"),
        ("top1_mean", "abc"),  # more is better
        ("-top1_mean", "cba"),
        ("params", "acb"),
        ("name", "abc"),
        ("-name", "cba"),
        ("learning_rate", "cab"),  # numbers before words
        ("top1_std", "acb"),
        *((rate, "bac") for rate in SPEEDS),  # the fastest first
        *((f"-{rate}", "cab") for rate in SPEEDS),
    ],
)
def test_rows_are_sorted_by_any_column(column, names):
    assert "".join(r["name"] for r in selection.ordered(comparison(), column).rows) == names


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(BadInput, match="nearest: macs"):
        selection.ordered(comparison(), "mac")
