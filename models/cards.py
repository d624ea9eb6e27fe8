"""Model cards: what is known of each network, readable without loading Keras.

cards.json holds facts typed by hand (paper, published figures, recipe) and counts measured on the
built network (parameters, multiply-accumulates, smallest input). `python -m models.cards` measures
the counts again and keeps the rest.
"""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CARDS = Path(__file__).with_name("cards.json")


@dataclass(frozen=True)
class ModelCard:
    """The facts about one network at its own input size and number of classes.

    Shapes are (height, width, channels). Counts are for one image. `published` errors are in per
    cent, each with its protocol and source; `recipe` is the training as published.
    """

    name: str
    family: str
    module: str
    task: str
    title: str
    paper: str | None
    authors: str
    year: int | None
    venue: str
    input_shape: tuple[int, int, int]
    classes: int
    smallest_input: tuple[int, int]
    params: int
    params_total: int
    macs: int
    activation_bytes: int
    published: list[dict[str, Any]]
    recipe: dict[str, Any]
    preprocessing: dict[str, Any] | None
    auxiliary_loss_weights: dict[str, float]
    deviations: list[str]

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> ModelCard:
        """A card from its entry in cards.json; TypeError if a field is missing or unknown."""
        height, width, channels = entry["input_shape"]
        fields = copy.deepcopy(entry)  # a caller may change the lists of its card
        fields["input_shape"] = (height, width, channels)
        fields["smallest_input"] = tuple(entry["smallest_input"])
        return cls(**fields)


@functools.cache
def entries() -> dict[str, dict[str, Any]]:
    """The entries of cards.json by name, in the order of the file."""
    return {entry["name"]: entry for entry in json.loads(CARDS.read_text(encoding="utf-8"))}


def measure(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with its counts taken from the network as built now."""
    from models import registry
    from models.cost import profile

    def outline(height: int, width: int) -> Any:
        shape = (height, width, entry["input_shape"][2])
        return registry.assemble(
            entry["name"], entry["module"], shape, entry["classes"], {}, draw_weights=False
        )

    cost = profile(outline(*entry["input_shape"][:2]))
    counts = {
        "smallest_input": [_smallest_side(outline, max(entry["input_shape"][:2]))] * 2,
        "params": cost.params,
        "params_total": cost.params_total,
        "macs": cost.macs,
        "activation_bytes": cost.activation_bytes,
    }
    return {**entry, **counts}


def _smallest_side(outline: Any, works: int) -> int:
    """The side of the smallest square image the network takes; `works` is one that it does."""

    def takes(side: int) -> bool:
        try:
            outline(side, side)
        except ValueError:  # how Keras refuses a window larger than its image
            return False
        return True

    fails = 0
    while works - fails > 1:
        middle = (works + fails) // 2
        if takes(middle):
            works = middle
        else:
            fails = middle
    return works


def main() -> None:
    """Rewrite the counts in cards.json."""
    before = list(entries().values())
    after = [measure(entry) for entry in before]
    CARDS.write_text(json.dumps(after, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    changed = [new["name"] for old, new in zip(before, after, strict=True) if old != new]
    print(f"{len(after)} cards; changed: {', '.join(changed) or 'none'}")


if __name__ == "__main__":
    main()
