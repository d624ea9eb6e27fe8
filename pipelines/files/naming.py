"""What names of folders, columns and shards say: a part of the set, or a class and its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")
SPLIT_WORDS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
NUMBER = re.compile(r"[0-9]+")


def split_of(word: str) -> Part | None:
    """The part of a set that a word names, in any case; None for other words."""
    return SPLIT_WORDS.get(word.strip().lower())


def class_order(names: Iterable[str]) -> list[str]:
    """Class names in their order, each once: whole numbers as numbers where all are, else as text.

    So the thousand folders of ImageNet-V2, 0 to 999, are classes 0 to 999.
    """
    unique = set(names)
    if all(NUMBER.fullmatch(name) for name in unique):
        return sorted(unique, key=lambda name: (int(name), name))
    return sorted(unique)
