"""How a paper trained its network: the recipe of a card as a config, and in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from experiments.config import yaml_text

if TYPE_CHECKING:
    from models.cards import ModelCard

SECTIONS = ("data", "augment", "train", "evaluate", "validation")
"""Sections of the config that a recipe may hold; validation where the paper says how it splits."""

WHOLE = ("boundaries",)
"""Keys whose value is one thing, with what is below it."""


def sections(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe as sections of a config, but for the network and the source of the images."""
    return {key: recipe[key] for key in SECTIONS if key in recipe}


def config_of(card: ModelCard) -> dict[str, Any]:
    """The network and its recipe as a config; auxiliary heads are trained where a card has them.

    `data.source` stands open as null, which no config may be: it has to be given.
    """
    model: dict[str, Any] = {"name": card.name}
    if card.auxiliary_loss_weights:
        model["options"] = {"auxiliary": True}
    recipe = sections(card.recipe)
    return {"model": model} | recipe | {"data": {"source": None} | recipe["data"]}


def differences(recipe: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Words key=value that make the config of one recipe that of another."""
    return list(_differences(sections(recipe), sections(other)))


def _differences(mine: dict[str, Any], others: dict[str, Any], above: str = "") -> Iterator[str]:
    for key in others | mine:
        value, wanted = mine.get(key), others.get(key)
        if isinstance(value, dict) and isinstance(wanted, dict) and key not in WHOLE:
            yield from _differences(value, wanted, f"{above}{key}.")
        elif value != wanted:
            yield f"{above}{key}={json.dumps(wanted)}"


def source_in_words(recipe: dict[str, Any]) -> str:
    """`Paper, section 5`."""
    return f"{recipe['source']['paper']}, {recipe['source']['section']}"


def verified_in_words(recipe: dict[str, Any]) -> str:
    """Whether the source was read again for this recipe."""
    return "re-read" if recipe["verified"] else f"not re-read: {recipe['unverified_because']}"


def in_words(recipe: dict[str, Any]) -> list[str]:
    """Lines for people: source, sections as a config has them, what is assumed, what cannot be."""
    lines = [f"{source_in_words(recipe)} ({verified_in_words(recipe)})"]
    lines += yaml_text.write(sections(recipe)).rstrip().splitlines()
    if recipe["assumed"]:
        lines.append("assumed:")
        lines += [f"- {key}: {why}" for key, why in recipe["assumed"].items()]
    if recipe["prose"]:
        lines.append("not in the sections:")
        lines += [f"- {line}" for line in recipe["prose"]]
    return lines
