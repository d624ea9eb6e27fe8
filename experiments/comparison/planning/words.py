"""A plan in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuning.statistics.power import MOST_IMAGES, MOST_SEEDS

FROM = {
    "training": "training: other seeds",
    "images": "images: other test images",
    "both": "both at once: single images that a training moves",
}


def text(document: Mapping[str, Any]) -> str:
    """What is known, what that can show, what would settle it, and what was assumed."""
    lead, wanted = _points(document["detect"]), f"{document['wanted_power']:.0%}"
    pairs, now = document["pairs_of_rows"], document["present"]
    corrected = f", Holm over {pairs} pairs of rows" if pairs > 1 else ""
    seeds = f"{now['seeds']:,} seeds"
    here = f"{seeds} and {now['images']:,} test images"
    lines = [
        f"To find a difference of {lead} with a probability of {wanted}, by the test over seeds "
        f"and images at {document['alpha']:g}{corrected}:",
        f"  {here} find it in {_percent(document['power'])}; what they find in {wanted} is "
        f"{_points(document['detectable'])} or more",
        f"  at {now['images']:,} images {_takes(document, 'seeds', MOST_SEEDS, 'seeds', ' a row')}",
        f"  at {seeds} {_takes(document, 'images', MOST_IMAGES, 'test images')}",
        "",
        f"Where the variance of a difference comes from, at {here}:",
        *_shares(document["components"]),
        "",
        "Probability of finding it:",
        *_table(document["table"]),
    ]
    if document["against_best"]:
        lines += ["", f"Against {document['rows'][0]['row']}, {lead} would take:"]
        lines += [f"  {_of_row(row)}" for row in document["against_best"]]
    for crossing in document["components"].get("crossed", ()):
        lines += ["", f"Variance of the score of {crossing['row']}, {crossing['runs']} runs:"]
        lines += [_factor(factor) for factor in crossing["factors"]]
    lines += ["", *(f"assumed: {said}" for said in document["assumed"])]
    lines += [f"note: {note}" for note in document["notes"]]
    return "\n".join(lines).rstrip()


def _takes(document: Mapping[str, Any], what: str, most: int, unit: str, each: str = "") -> str:
    """How many of `what`, seeds or images, suffice; or that `most` do not."""
    if document[what] is not None:
        return f"it takes {document[what]:,} {unit}{each}"
    power = _percent(document["most_power"][what])
    return f"{most:,} {unit} are too few; with ever more they find it in {power}"


def _shares(components: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, words in FROM.items():
        part = components[name]
        ends = "" if part["low"] is None else f" ({part['low']:.0%} to {part['high']:.0%})"
        lines.append(f"  {part['share']:>4.0%}{ends}  {words}")
    lines.append(
        f"  a training moves a score by {_points(components['training_sd'])} (standard deviation)"
    )
    if components["pairing"] is not None:
        lines.append(
            f"  pairing: common images spare {components['pairing']:.0%} of what each row's own "
            "would add"
        )
    return lines


def _table(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = sorted({cell["images"] for cell in cells})
    power = {(cell["seeds"], cell["images"]): cell["power"] for cell in cells}
    lines = ["  seeds" + "".join(f"{f'{n:,} images':>20}" for n in columns)]
    for seeds in sorted({cell["seeds"] for cell in cells}):
        percents = "".join(f"{_percent(power[seeds, n]):>20}" for n in columns)
        lines.append(f"  {seeds:>5}{percents}")
    return lines


def _of_row(row: Mapping[str, Any]) -> str:
    seeds = f"over {MOST_SEEDS:,}" if row["seeds"] is None else f"{row['seeds']:,}"
    images = "no number of" if row["images"] is None else f"{row['images']:,}"
    return (
        f"{row['row']}, {_points(-row['difference'])} behind: {seeds} seeds, or {images} images "
        f"at {max(row['common_seeds'], 2)} seeds; now {_percent(row['power'])}"
    )


def _factor(factor: Mapping[str, Any]) -> str:
    sd, low, high = (_points(factor[key] ** 0.5) for key in ("variance", "low", "high"))
    name = factor["factor"]
    words = "rest: interactions, and what equal runs differ by" if name == "rest" else name
    return f"  {factor['share']:>4.0%}  {words}: {sd} ({low} to {high})"


def _percent(share: float) -> str:
    return f"{share:.0%}" if 0.01 <= share <= 0.99 else "under 1%" if share < 0.5 else "over 99%"


def _points(fraction: float) -> str:
    return f"{100 * fraction:.2g} points"
