"""What names of folders, columns and shards say: a part of the set, or a class and its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

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
BETWEEN_WORDS = re.compile(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])")  # seg_train, TrainImages, test1


class PartName(NamedTuple):
    """A name that holds the word of one part, and its other words: they tell sets apart."""

    part: Part
    rest: frozenset[str]


def split_of(word: str) -> Part | None:
    """The part of a set that a word names, in any case; None for other words."""
    return SPLIT_WORDS.get(word.strip().lower())


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case: parted by signs, digits and capitals inside."""
    return [word.lower() for word in BETWEEN_WORDS.split(name) if word]


def part_name(name: str) -> PartName | None:
    """The part that a name such as seg_train, TrainImages or test1 says; None for none or two."""
    words = words_of(name)
    parts = [part for word in words if (part := split_of(word))]
    if len(parts) != 1:
        return None
    return PartName(parts[0], frozenset(word for word in words if not split_of(word)))


def class_order(names: Iterable[str]) -> list[str]:
    """Class names in their order, each once: whole numbers as numbers where all are, else as text.

    So the thousand folders of ImageNet-V2, 0 to 999, are classes 0 to 999.
    """
    unique = set(names)
    if all(NUMBER.fullmatch(name) for name in unique):
        return sorted(unique, key=lambda name: (int(name), name))
    return sorted(unique)
