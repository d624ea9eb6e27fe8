"""`search.objectives`: what it takes, what it refuses in a line, and hashes that stay."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.config import settings
from experiments.config.search import Search
from experiments.errors import BadInput
from experiments.tracking.search_journal import what_matters
from tuning.objectives import Objective

GRID: dict[str, Any] = {"strategy": "grid", "space": {"seed": [1, 2]}}


def parsed(**more: Any) -> Search:
    section = settings.parse({"search": GRID | more}).search
    assert section
    return section


def test_directions_are_known_or_given() -> None:
    section = parsed(
        objectives=["val_loss", "val_top1", "macs", {"name": "params", "direction": "max"}]
    )
    assert section.objectives
    assert [one.resolved for one in section.objectives] == [
        Objective("val_loss", minimise=True),
        Objective("val_top1", minimise=False),
        Objective("macs", minimise=True),
        Objective("params", minimise=False),
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"objectives": ["val_top1", "mac"]},
            "search.objectives.1.name: no such objective: mac; did you mean macs",
        ),
        ({"objectives": ["val_top1", "colour"]}, "known: val_top1, val_balanced_top1"),
        ({"objectives": ["macs", "val_top1", "macs"]}, "objectives: macs is named twice"),
        ({"objectives": ["val_top1"]}, "objectives: expected two or more, such as"),
        ({"objectives": []}, "Received: none"),
        (
            {"objectives": ["macs", "params"]},
            "objectives: macs, params need no training; add a validation score: val_top1,",
        ),
        (
            {"objectives": [{"name": "val_top1", "direction": "min"}, "macs"]},
            "objectives: val_top1 is better the other way; leave direction out, or set "
            "direction: max",
        ),
        (
            {"objectives": ["val_top1", "macs"], "objective": "val_loss"},
            "objective: objectives takes its place; leave one of the two out",
        ),
        ({"objectives": ["val_top1", "macs"], "choose": "cheapest"}, "choose: cheapest looks at"),
        (
            {"objectives": ["val_top1", "macs"], "strategy": "bayesian", "trials": 9},
            "objectives: strategy bayesian proposes by one score; take manual, grid, random",
        ),
        (
            {"objectives": ["val_top1", "macs"], "strategy": "hyperband"},
            "objectives: strategy hyperband proposes by one score; take manual, grid, random",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        parsed(**more)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_search_without_objectives_is_what_it_was() -> None:
    one = settings.parse({"search": GRID})
    assert "objectives" not in one.model_dump(mode="json")["search"]
    assert not any("objectives" in key for key in what_matters(one, "search", "print"))
    several = settings.parse({"search": GRID | {"objectives": ["val_top1", "macs"]}})
    assert "search.objectives" in what_matters(several, "search", "print")
    assert settings.parse(several.model_dump(mode="json")) == several
