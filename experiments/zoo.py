"""`ilsvrc models`: the registry as a table. Reads cards only; no network is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import models
from experiments.numbers import si

if TYPE_CHECKING:
    from rich.table import Table


def rows() -> list[dict[str, Any]]:
    """One row an architecture, oldest first."""
    listing = []
    for name in models.list_models():
        card = models.card(name)
        listing.append(
            {
                "name": card.name,
                "family": card.family,
                "year": card.year,
                "params": card.params,
                "macs": card.macs,
                "input_shape": list(card.input_shape),
                "published_top1_error": _published(card, "top-1"),
                "published_top5_error": _published(card, "top-5"),
            }
        )
    return sorted(listing, key=lambda row: (row["year"] or 0, row["name"]))


def table(listing: list[dict[str, Any]]) -> Table:
    """The rows for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(
        box=SIMPLE_HEAD,
        collapse_padding=True,
        caption="top-1, top-5: published single-model error on ILSVRC-2012 validation, %",
    )
    for title in ("name", "family", "year"):
        shown.add_column(title, no_wrap=True)
    for title in ("params", "MACs", "input", "top-1", "top-5"):
        shown.add_column(title, justify="right", no_wrap=True)
    for row in listing:
        shown.add_row(
            row["name"],
            row["family"],
            str(row["year"] or ""),
            si(row["params"]),
            si(row["macs"]),
            "x".join(map(str, row["input_shape"])),
            _figure(row["published_top1_error"]),
            _figure(row["published_top5_error"]),
        )
    return shown


def _published(card: Any, metric: str) -> float | None:
    """Published error in percent on the ILSVRC-2012 validation set, single model, first named."""
    for figure in card.published:
        if "ILSVRC-2012 val" not in figure["dataset"] or not figure["metric"].startswith(metric):
            continue
        value = figure["value"]
        if isinstance(value, int | float):
            return float(value) if "error" in figure["metric"] else round(100 - value, 3)
    return None


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
