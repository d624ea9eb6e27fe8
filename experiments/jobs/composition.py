"""Where the images of each part come from: how many, of which classes, official or held out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

IMBALANCED = 2.0  # largest class over smallest from which it is said
DATA = "data.json"  # what a run keeps of it
NAMED = 3  # classes, before the last
SHOWN = {"train": "train", "validation": "val", "test": "test"}


def composition(
    source: Any,
    train: np.ndarray | None,
    validation: np.ndarray | None,
    test: np.ndarray | None,
) -> dict[str, dict[str, Any]]:
    """Of each part that there is, by name.

    Keys: images, classes (that it has images of), smallest, median, largest (images of these
    classes), origin (official: the set's own; held out: split from it here), class_images (images
    of each class that it has, in order).
    """
    parts = {"train": train, "validation": validation, "test": test}
    official = source.official_splits or {}
    described = {}
    for name, indices in parts.items():
        if indices is None:
            continue
        counts = np.bincount(source.labels[indices], minlength=len(source.class_names))
        present = counts[counts > 0]
        own = name in official and bool(np.isin(indices, official[name]).all())
        described[name] = {
            "images": len(indices),
            "classes": len(present),
            "smallest": int(present.min()) if len(present) else 0,
            "median": float(np.median(present)) if len(present) else 0.0,
            "largest": int(present.max(initial=0)),
            "origin": "official" if own else "held out",
            "class_images": {
                source.class_names[i]: int(counts[i]) for i in np.flatnonzero(counts).tolist()
            },
        }
    return described


CLASS_SIZES = "class_sizes"  # tag of a run


def class_sizes(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """For a tag: images of the smallest and of the largest class by part, as JSON:
    {"val": [9, 40], "test": [9, 41]}."""
    sizes = {SHOWN[name]: [part["smallest"], part["largest"]] for name, part in parts.items()}
    return json.dumps(sizes)


def document(source: Any, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """For JSON and the store: class_names, parts, unused (path, files, why), notes."""
    return {
        "class_names": list(source.class_names),
        "parts": parts,
        "unused": [unused._asdict() for unused in source.unused],
        "notes": list(source.notes),
    }


def _origin(name: str, part: Mapping[str, Any]) -> str:
    rest = name == "train" and part["origin"] != "official"
    return "what was not held out" if rest else str(part["origin"])


def in_detail(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a part: its images, its classes, how many images one has, where they are from."""
    return [
        f"{name}: {part['images']:,} images of {part['classes']:,} classes, {_origin(name, part)}; "
        f"a class has {part['smallest']:,} to {part['largest']:,}, median {part['median']:g}"
        for name, part in parts.items()
    ]


def some_of(names: Sequence[str]) -> str:
    """The first names and the last one; all of a few."""
    if len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])}, ..., {names[-1]}"


def in_words(source: Any, parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Classes and images of each part, in one clause."""
    words = []
    for name, part in parts.items():
        smallest, largest = part["smallest"], part["largest"]
        details = [] if name == "train" and part["origin"] != "official" else [part["origin"]]
        if name == "train":
            each = f"{smallest:,}" if smallest == largest else f"{smallest:,} to {largest:,}"
            details.append(f"{each} a class")
        missing = len(source.class_names) - part["classes"]
        if missing:
            details.append(f"{missing} classes have none")
        words.append(f"{part['images']:,} {SHOWN[name]} ({', '.join(details)})")
    classes = f"{len(source.class_names)} classes ({some_of(source.class_names)})"
    return f"{classes}, {' + '.join(words)} images"


def lines(source: Any, parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is said of the images before work starts: what there is, then `remarks`."""
    return [f"{source.spec}: {in_words(source, parts)}", *remarks(source, parts)]


def origins(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Where each part is from, as a tag: "train official, test held out"."""
    return ", ".join(f"{name} {part['origin']}" for name, part in parts.items())


def unused_in_words(path: str, files: int, why: str) -> str:
    """One of `Source.unused` as a clause."""
    return f"{files:,} {'files' if files > 1 else 'file'} in {path} {why}"


def remarks(source: Any, parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What a user must know of the images before believing a figure, a line each: classes of
    unequal size, what was left out, what reading decided."""
    lines = [f"{source.spec}: {note}" for note in source.notes]
    if source.headline == "validation" and "train" in parts and "test" not in parts:
        lines.append(
            f"{source.spec}: validation is the official one, no test part is held out "
            "(validation.test_fraction=0.1 holds one out)"
        )
    lines += [f"{source.spec}: not used: {unused_in_words(*unused)}" for unused in source.unused]
    skipped = len(source.corrupt)
    if skipped:
        path, why = source.corrupt[0]
        lines.append(
            f"{source.spec}: {skipped:,} corrupt {'images' if skipped > 1 else 'image'} left out, "
            f"such as {path}, which {why}"
        )
    counts = parts["train"]["class_images"] if "train" in parts else {}
    if counts and max(counts.values()) >= IMBALANCED * min(counts.values()):
        large, small = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        named = {name: f"{name} {source.titles.get(name, '')}".rstrip() for name in (large, small)}
        lines.append(
            f"{source.spec}: classes of unequal size: {named[large]} has {counts[large]:,} "
            f"training images, {named[small]} {counts[small]:,}; train.class_weights=balanced "
            "weighs them, and per-class accuracy tells more than top-1"
        )
    return lines
