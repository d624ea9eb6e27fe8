"""`ilsvrc describe NAME`: what is known of one network, and its cost layer by layer."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import models
from experiments.config.settings import override
from experiments.errors import BadInput
from experiments.inspection import recipe
from experiments.presentation.formatting import si
from experiments.runtime.startup import load_tensorflow
from models.published import PRINTED_COSTS, figures

if TYPE_CHECKING:
    from rich.table import Table

    from models.cards import ModelCard
    from models.cost import LayerProfile

FLOAT32_BYTES = 4

CONVENTIONS = """\
memory   floats of one image that a layer hands on; flattening, dropout and padding count none
weights  of kernels alone; params adds biases and trained normalisation
MACs     multiply-accumulates of convolutions and dense layers; some call two of them FLOPs
field    pixels that one output position sees, jump: pixels between neighbouring positions"""
PRINTED_CAPTION = """\
Weights without biases in K = 1024, MACs in millions. wrong: more than 1 off in the printed unit, so
not what the channels in the paper's own table cost. The first row as printed is what a separable
7x7 of 8 maps a channel costs."""


def describe(name: str, changes: Iterable[str] = ()) -> dict[str, Any]:
    """The card, the counts and the layers of a network as one JSON document.

    Args:
        name: a registered network.
        changes: words classes=..., input_shape=[h, w, c] or OPTION=..., values in YAML.

    Raises:
        BadInput: an unknown network or option, or a value it does not take.
    """
    options = override({}, changes)
    try:
        card = models.card(name)
        load_tensorflow()
        cost = models.profile(models.outline(name, **options))
    except ValueError as error:
        raise BadInput(str(error)) from None
    return {
        "name": name,
        "card": dataclasses.asdict(card),
        "options": options,
        "valid_options": _options(card),
        "params": cost.params,
        "params_total": cost.params_total,
        "kernel_params": sum(layer.kernel_params for layer in cost.layers),
        "macs": cost.macs,
        "activation_bytes": cost.activation_bytes,
        "memory_floats": cost.activation_bytes // FLOAT32_BYTES,
        "layers": [
            dataclasses.asdict(layer) | {"memory_floats": layer.activation_bytes // FLOAT32_BYTES}
            for layer in cost.layers
        ],
        "published": [dataclasses.asdict(figure) for figure in figures(card)],
        "printed_costs": [] if options else _printed_costs(name, cost.layers),
    }


def _options(card: ModelCard) -> dict[str, Any]:
    """The network's own options and their defaults, then those that every network takes."""
    from models import choices

    network = getattr(importlib.import_module(card.module), card.name)
    parameters = inspect.signature(network).parameters.values()
    of_the_network = {
        p.name: p.default
        for p in parameters
        if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name != "choices"
    }
    return of_the_network | dataclasses.asdict(choices.PAPER)


def _printed_costs(name: str, layers: list[LayerProfile]) -> list[dict[str, Any]]:
    """The paper's table of costs beside the exact ones; they agree if less than 1 unit apart."""
    rows = []
    for printed in PRINTED_COSTS.get(name, ()):
        prefix = printed.layers
        block = [x for x in layers if x.name == prefix or x.name.startswith(f"{prefix}_")]
        kernel_params = sum(layer.kernel_params for layer in block)
        macs = sum(layer.macs for layer in block)
        rows.append(
            {
                "row": printed.row,
                "layers": prefix,
                "printed_kilo_params": printed.kilo_params,
                "kernel_params": kernel_params,
                "params_agree": abs(kernel_params / 1024 - printed.kilo_params) <= 1,
                "printed_mega_macs": printed.mega_macs,
                "macs": macs,
                "macs_agree": abs(macs / 1e6 - printed.mega_macs) <= 1,
            }
        )
    return rows


def parts(document: dict[str, Any]) -> list[Any]:
    """The document for people: facts, layers, totals, conventions; texts and tables in order."""
    shown: list[Any] = [_facts(document)]
    if document["published"]:
        shown += ["\nPublished errors, %", _published_table(document["published"])]
    if document["card"]["recipe"]:
        shown += ["\nRecipe", "\n".join(recipe.in_words(document["card"]["recipe"]))]
    if document["card"]["deviations"]:
        shown.append("\nDeviations from the original")
        shown += [f"- {line}" for line in document["card"]["deviations"]]
    shown += ["\nLayers", _layer_table(document), _totals(document)]
    if document["printed_costs"]:
        shown += ["\nThe paper's own table of costs", _printed_table(document["printed_costs"])]
        shown.append(PRINTED_CAPTION)
    return shown


def _facts(document: dict[str, Any]) -> str:
    card, options = document["card"], document["valid_options"]
    by = card["authors"]
    if card["paper"]:
        by += f" {card['year']}: {card['paper']}, {card['venue']}"
    size, smallest = _sides(card["input_shape"]), _sides(card["smallest_input"])
    outputs = f"{card['classes']} classes" if card["task"] == "classification" else "images out"
    specific = [f"{key}={value}" for key, value in options.items() if key not in _shared()]
    lines = [
        f"{card['name']}: {card['title']}",
        by,
        f"images of {size} (at least {smallest}), {outputs}, unless asked otherwise",
        f"options: {', '.join([*specific, *_shared()])} (the paper's own unless set)",
    ]
    if document["options"]:
        changes = ", ".join(f"{key}={value}" for key, value in document["options"].items())
        lines.append(f"here with {changes}")
    return "\n".join(lines)


def _shared() -> tuple[str, ...]:
    """Names of the options that every network takes."""
    from models import choices

    return choices.NAMES


def _published_table(published: list[dict[str, Any]]) -> Table:
    shown = _columns("top-1>", "top-5>", "data set", "protocol", "source")
    for figure in published:
        shown.add_row(
            _number(figure["top1_error"]),
            _number(figure["top5_error"]),
            figure["dataset"],
            figure["protocol"],
            figure["source"] + ("" if figure["verified"] else " (not re-read)"),
        )
    return shown


def _layer_table(document: dict[str, Any]) -> Table:
    shown = _columns(
        "layer", "output>", "memory>", "weights>", "params>", "MACs>", "field>", "jump>"
    )
    for layer in document["layers"]:
        shown.add_row(
            layer["name"],
            _sides(layer["output_shape"]),
            _count(layer["memory_floats"]),
            _count(layer["kernel_params"]),
            _count(layer["params"]),
            _count(layer["macs"]),
            str(layer["receptive_field"]),
            str(layer["jump"]),
        )
    shown.add_row()
    totals = ("memory_floats", "kernel_params", "params", "macs")
    shown.add_row("total", "", *(_count(document[key]) for key in totals), "", "")
    return shown


def _totals(document: dict[str, Any]) -> str:
    floats, activation_bytes = document["memory_floats"], document["activation_bytes"]
    memory = f"memory: {floats:,} floats = {_bytes(activation_bytes)} in float32"
    params = f"params: {document['params']:,} trained"
    if document["params_total"] != document["params"]:
        params += f", {document['params_total']:,} with moving statistics and other fixed weights"
    return f"\n{memory}\n{params}\n\n{CONVENTIONS}"


def _printed_table(rows: list[dict[str, Any]]) -> Table:
    shown = _columns("row", "printed K>", "exact K>", "", "printed M>", "exact M>", " ")
    for row in rows:
        shown.add_row(
            row["row"],
            f"{row['printed_kilo_params']:g}",
            f"{row['kernel_params'] / 1024:.1f}",
            "" if row["params_agree"] else "wrong",
            f"{row['printed_mega_macs']:g}",
            f"{row['macs'] / 1e6:.1f}",
            "" if row["macs_agree"] else "wrong",
        )
    return shown


def _columns(*titles: str) -> Table:
    """An empty table; columns whose title ends in > hold numbers: to the right, never broken."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    for title in titles:
        if title.endswith(">"):
            shown.add_column(title.removesuffix(">"), justify="right", no_wrap=True)
        else:
            shown.add_column(title, overflow="fold")
    return shown


def _sides(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))


def _bytes(count: int) -> str:
    text = si(count)
    return f"{text}B" if " " in text else f"{text} B"


def _count(value: int) -> str:
    return f"{value:,}" if value else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
