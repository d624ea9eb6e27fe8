"""`ilsvrc models`: the registry as a table. Reads cards only; no network is built."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import models
from experiments.errors import BadInput
from experiments.presentation.formatting import si
from models.published import SINGLE_CROP_SET, headline

if TYPE_CHECKING:
    from rich.table import Table

CAPTION = (
    "Error in % of one network on ILSVRC-2012 validation images or the data set named. Figures of "
    "different views do not compare. * re-implemented by others than the authors; ? not re-read in "
    "its source. Every figure and its source: ilsvrc describe NAME"
)


def rows(containing: str = "") -> list[dict[str, Any]]:
    """One row an architecture whose name contains the word, by family, oldest first.

    Raises:
        BadInput: no name contains it.
    """
    names = [name for name in models.list_models() if containing.lower() in name]
    if not names:
        raise BadInput(f"no architecture has {containing!r} in its name (ilsvrc models lists all)")
    return [_row(models.card(name)) for name in names]


def _row(card: models.ModelCard) -> dict[str, Any]:
    figure = headline(card)
    return {
        "name": card.name,
        "family": card.family,
        "year": card.year,
        "params": card.params,
        "macs": card.macs,
        "input_shape": list(card.input_shape),
        "published_top1_error": figure and figure.top1_error,
        "published_top5_error": figure and figure.top5_error,
        "protocol": figure and figure.protocol,
        "dataset": figure and figure.dataset,
        "source": figure and figure.source,
        "own": figure and figure.own,
        "verified": figure and figure.verified,
        "views": figure and figure.views,
    }


def table(listing: list[dict[str, Any]]) -> Table:
    """The rows for people, 80 columns wide, a blank line between families."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(
        box=SIMPLE_HEAD,
        padding=0,  # the box itself leaves one column between two
        pad_edge=False,
        show_edge=False,
        caption=CAPTION,
        caption_justify="left",
    )
    shown.add_column("name", no_wrap=True)
    for title in ("year", "params", "MACs", "input", "top-1", "top-5"):
        shown.add_column(title, justify="right", no_wrap=True)
    shown.add_column("views", no_wrap=True)
    families = [row["family"] for row in listing]
    ends = [a != b for a, b in pairwise(families)] + [False]
    for row, end in zip(listing, ends, strict=True):
        shown.add_row(
            row["name"],
            str(row["year"] or ""),
            si(row["params"]),
            si(row["macs"]),
            "x".join(map(str, row["input_shape"])),
            _percent(row["published_top1_error"]),
            _percent(row["published_top5_error"]),
            _views(row),
        )
        if end:
            shown.add_row()
    return shown


def _views(row: dict[str, Any]) -> str:
    """`10 crops`, `1 crop *`, or the data set where it is not ILSVRC-2012."""
    if row["views"] is None:
        return ""
    elsewhere = row["dataset"] != SINGLE_CROP_SET
    text = row["dataset"].removesuffix(" test") if elsewhere else row["views"]
    return text + ("" if row["own"] else " *") + ("" if row["verified"] else " ?")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{round(value, 2):g}"
