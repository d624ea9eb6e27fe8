"""Model cards: what is known of each network, readable without loading Keras.

cards.json holds facts typed by hand (paper, published figures, recipe), counts measured on the
built network (parameters, multiply-accumulates, smallest input), and the deviations that its
module's docstring lists. `python -m models.recount [NAME...]` takes counts and deviations anew and
keeps the rest.
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

    Shapes are (height, width, channels). Counts are for one image.

    Attributes:
        task: "classification" or "reconstruction" (images in, images out; `classes` unused).
        smallest_input: (height, width) of the smallest square image the network takes.
        params: what training moves; `params_total` adds moving statistics and other fixed weights.
        macs, activation_bytes: as `models.cost.Profile` counts them.
        published: figures in per cent. Their protocol reads "N network(s), VIEWS; details", their
            source "WHO, WHERE", WHO being "paper" or "authors" if it is the network's own; where
            not `verified`, the source was not read again.
        recipe: the training as published, empty where nothing was. Sections of the config in its
            own keys: data, augment, train, evaluate, and validation where the split is known.
            Beside them: source (paper, section), assumed (why, by the dotted key of what the
            source leaves open), verified (was the source read again?), unverified_because (a
            word, else null), prose (lines on what no key says).
        preprocessing: by whose weights expect it: pixels of `value_range` in this order of
            channels, less `centre`, divided by `scale` (None: not divided).
        auxiliary_loss_weights: of the outputs that auxiliary=True adds.
        deviations: from the paper, taken from the module's docstring.
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
