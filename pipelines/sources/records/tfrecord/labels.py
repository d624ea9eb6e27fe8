"""Which class each TFRecord example belongs to, when its label may be numbered from 0 or from 1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.sources.records.source import classified
from pipelines.sources.records.tfrecord.files import NOTHING, Keys

ONE_BASED = "image/class/label"  # the scripts of Inception and of the TPU guide count from 1
FIRST = ("0", "1")


class Labels(NamedTuple):
    """positions in the class names, of all examples; titles: synset -> readable name; notes: what
    was decided, a line each."""

    positions: np.ndarray
    class_names: list[str]
    titles: dict[str, str]
    notes: list[str]


def class_of_each(
    spec: str,
    keys: Keys,
    numbers: np.ndarray,
    synsets: Sequence[str],
    texts: Sequence[str],
    names: list[str] | None,
    first: str | None,
) -> Labels:
    """Classes are the synsets in their order, where there are any; else the numbers in theirs.

    names   of the classes, where the user gave a list
    first   "0" or "1", the number of the first class, where the user says so. Else numbers that
            begin with 0 count from 0; those that run from 1 without a gap, and those of
            `image/class/label`, count from 1.

    Raises SourceError for another `first`, and for labels that are not in the list.
    """
    if first is not None and first not in FIRST:
        raise SourceError(f"{spec}: first: expected 0 or 1, received {first!r}")
    if any(synsets):
        positions, classes = classified(spec, [name or None for name in synsets], names)
        titles = {name: text for name, text in _by(synsets, texts).items() if name and text}
        key = keys.synset or keys.label
        return Labels(positions, classes, titles, [_agreement(keys, key, positions, numbers)])
    known = numbers[numbers != NOTHING]
    start = int(first) if first is not None else _first(keys.label, known, names)
    positions = np.where(numbers == NOTHING, NOTHING, numbers - start)
    if (known < start).any():
        raise SourceError(f"{spec}: {keys.label} has 0, which cannot be with first=1")
    note = f"{keys.label} counts from {start}" if len(known) else f"there is no {keys.label}"
    if start:
        low, high = known.min(), known.max()
        note += f": its {low} to {high} are classes {low - start} to {high - start}"
    labels = [None if number == NOTHING else str(number) for number in positions.tolist()]
    where, classes = classified(spec, labels, names)
    if names is None and any(texts):
        readable = _by(labels, texts)
        classes = [readable.get(name) or name for name in classes]
        note += f"; classes are named by {keys.text}"
    return Labels(where, classes, {}, [note])


def _first(key: str, known: np.ndarray, names: list[str] | None) -> int:
    distinct = np.unique(known)
    if not len(distinct) or distinct[0] == 0:
        return 0
    if names is not None:
        return int(distinct[-1] == len(names))
    return int(distinct[-1] == len(distinct) or key == ONE_BASED)


def _agreement(keys: Keys, key: str, positions: np.ndarray, numbers: np.ndarray) -> str:
    """What the numbers say beside the synsets, which decide."""
    note = f"classes are {key} in their order"
    both = (positions != NOTHING) & (numbers != NOTHING)
    if keys.label == key or not both.any():
        return note
    shift = np.unique(numbers[both] - positions[both])
    if len(shift) == 1:
        return f"{note}; {keys.label} counts them from {shift[0]}"
    return f"{note}; {keys.label} numbers them otherwise and is not used"


def _by(keys: Sequence[str | None], texts: Sequence[str]) -> Mapping[str | None, str]:
    """key -> its text; "" where examples of a key have several."""
    seen: defaultdict[str | None, set[str]] = defaultdict(set)
    for key, text in zip(keys, texts, strict=True):
        if key and text:
            seen[key].add(text)
    return {key: words.pop() if len(words) == 1 else "" for key, words in seen.items()}
