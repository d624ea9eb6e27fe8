"""What papers publish: errors of a card and the one to compare by; Szegedy et al. 2015, Table 1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from models.cards import ModelCard

# How many views of an image a prediction is made of, from the plainest protocol on.
VIEWS = (
    "1 crop", "1 view", "10 crops", "12 crops", "144 crops", "dense", "multi-scale dense",
    "multi-crop", "multi-crop and dense",
)  # fmt: skip
PROTOCOL = re.compile(rf"(?P<networks>\d+) networks?, (?P<views>{'|'.join(VIEWS)})(; .+)?")
SINGLE_CROP_SET = "ILSVRC-2012 val"


@dataclass(frozen=True)
class Published:
    """One measurement: errors in per cent (None where not reported) under one protocol."""

    dataset: str
    protocol: str
    source: str
    verified: bool
    top1_error: float | None = None
    top5_error: float | None = None

    @property
    def networks(self) -> int:
        """How many networks were averaged."""
        return int(_parts(self.protocol)["networks"])

    @property
    def views(self) -> str:
        """One of VIEWS."""
        return _parts(self.protocol)["views"]

    @property
    def own(self) -> bool:
        """Whether the network's authors reported it, not somebody who built it again."""
        return self.source.partition(",")[0] in ("paper", "authors")


def figures(card: ModelCard) -> list[Published]:
    """The measurements of a card in its order, top-1 and top-5 of one source side by side."""
    errors: dict[tuple[str, str, str, bool], dict[str, float]] = {}
    for figure in card.published:
        key = (figure["dataset"], figure["protocol"], figure["source"], figure["verified"])
        rank, kind = figure["metric"].split()[:2]
        value = float(figure["value"])
        errors.setdefault(key, {})[rank] = value if kind == "error" else round(100 - value, 3)
    return [Published(*key, e.get("top-1"), e.get("top-5")) for key, e in errors.items()]


def headline(card: ModelCard) -> Published | None:
    """The single-network figure that compares best: fewest views, both errors, first named.

    On ILSVRC-2012 validation images if there is one, else on the card's own data set.
    """
    single = [f for f in figures(card) if f.networks == 1]
    on_ilsvrc = [f for f in single if f.dataset == SINGLE_CROP_SET]
    return min(on_ilsvrc or single, key=_rank, default=None)


def _rank(figure: Published) -> tuple[int, bool, bool]:
    missing = (figure.top1_error is None, figure.top5_error is None)
    return (VIEWS.index(figure.views), *missing)


def _parts(protocol: str) -> dict[str, str]:
    match = PROTOCOL.fullmatch(protocol)
    if match is None:
        raise ValueError(
            f"a protocol reads 'N network(s), VIEWS; details', VIEWS one of {', '.join(VIEWS)}. "
            f"Received: {protocol!r}"
        )
    return match.groupdict()


class PrintedCost(NamedTuple):
    """One row: weights without biases in units of 1024, and millions of multiply-accumulates.

    `layers` is what our names of the row's layers begin with.
    """

    row: str
    layers: str
    kilo_params: float
    mega_macs: float


GOOGLENET = (
    PrintedCost("convolution 7x7", "conv1", 2.7, 34),
    PrintedCost("convolution 3x3", "conv2", 112, 360),
    PrintedCost("inception (3a)", "inception_3a", 159, 128),
    PrintedCost("inception (3b)", "inception_3b", 380, 304),
    PrintedCost("inception (4a)", "inception_4a", 364, 73),
    PrintedCost("inception (4b)", "inception_4b", 437, 88),
    PrintedCost("inception (4c)", "inception_4c", 463, 100),
    PrintedCost("inception (4d)", "inception_4d", 580, 119),
    PrintedCost("inception (4e)", "inception_4e", 840, 170),
    PrintedCost("inception (5a)", "inception_5a", 1072, 54),
    PrintedCost("inception (5b)", "inception_5b", 1388, 71),
    PrintedCost("linear", "fc", 1000, 1),
)

# The first row as printed is what a separable 7x7 of channel multiplier 8 costs (2,712 weights and
# 34.0 M); the paper's text and every copy of the network have a plain 7x7 (9,408 and 118.0 M).

PRINTED_COSTS = {"googlenet": GOOGLENET}
