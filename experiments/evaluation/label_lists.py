"""`evaluate.labels`: all the right answers to each image, or none, in place of the set's labels.

ReaL (Beyer et al. 2020, "Are we done with ImageNet?") gives the 50,000 validation images a list of
classes each: an answer is a hit if it is in the list, and images of an empty list are left out. The
paper defines top-1 alone.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.errors import BadInput
from experiments.evaluation.image_set import Subject
from experiments.inference.class_match import all_numbers
from experiments.inference.names_file import WNID
from pipelines.files.text import read_text

KEY = "evaluate.labels"


def relabelled(subject: Subject, file: str) -> Subject:
    """The images of which the file has labels, with these.

    A JSON list has an entry an image, in the order of the images' file names; an object has them by
    file name. An entry is a list of class names or numbers. A number is the class of this number
    where classes are called by numbers, else its place among the sorted wnids, or in the set's
    order where they are none.

    Raises:
        BadInput: no such file, one of other images, or classes that are not the set's.
    """
    document = read_labels(file)
    names = _file_names(subject)
    if isinstance(document, list):
        entries, how = _by_order(subject, file, document, names), "in the order of the file names"
    else:
        entries, how = _by_name(subject, file, document, names), "by file name"
    label_of = _label_of(subject.class_names)
    accepted = [_labels(file, name, e, label_of) for name, e in zip(names, entries, strict=True)]
    kept = np.array([len(labels) > 0 for labels in accepted], bool)
    if not kept.any():
        raise BadInput(f"{KEY}: {file} has an empty list for every image")
    left_out = int((~kept).sum())
    note = (
        f"labels of {os.path.basename(file)}, {how}: any of an image's list is right; {left_out} "
        "images of an empty list are left out; top-5 is not defined for lists"
    )
    return replace(
        subject,
        indices=subject.indices[kept],
        labels=subject.labels[kept],
        accepted=[labels for labels in accepted if len(labels)],
        labels_file=os.path.basename(file),
        left_out=left_out,
        notes=(*subject.notes, note),
    )


def read_labels(file: str) -> Any:
    """The file's list, or object by file name. Raises BadInput: it is neither, or not there."""
    try:
        document = json.loads(read_text(file))
    except OSError as error:
        raise BadInput(f"{KEY}: {file} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{KEY}: {file} is no JSON ({error})") from None
    if not isinstance(document, list | dict):
        raise BadInput(f"{KEY}: {file}: expected a JSON list, or an object by file name")
    return document


def _file_names(subject: Subject) -> list[str]:
    """Of the images, relative to the source."""
    source = subject.source
    files = getattr(source.read_from or source, "files", None) if source is not None else None
    if files is None or len(files.names) != len(source):  # archives hold many images
        raise BadInput(
            f"{KEY}: the images of {subject.spec} have no file names here to order them by; name "
            "the files themselves, such as data.source=ilsvrc:DIR"
        )
    return [files.names[index] for index in subject.indices]


def _by_order(subject: Subject, file: str, entries: list[Any], names: list[str]) -> list[Any]:
    if len(entries) != len(names):
        raise BadInput(
            f"{KEY}: {file} has labels of {len(entries):,} images, {subject.spec}, {subject.part}, "
            f"has {len(names):,}; name the images that they are of with data.source and "
            "evaluate.part"
        )
    bare = [os.path.basename(name) for name in names]
    if len(set(bare)) < len(bare):
        raise BadInput(
            f"{KEY}: {subject.spec} has two files of one name, so the order of {file} is not told; "
            "give an object {file name: [labels]}"
        )
    place = np.argsort(np.argsort(np.array(bare)))
    return [entries[at] for at in place]


def _by_name(subject: Subject, file: str, entries: dict[str, Any], names: list[str]) -> list[Any]:
    bare = [os.path.basename(name) for name in names]
    keys = [name if name in entries else last for name, last in zip(names, bare, strict=True)]
    if missing := [key for key in keys if key not in entries]:
        raise BadInput(
            f"{KEY}: {file} has no labels of {len(missing)} of the {len(names)} images of "
            f"{subject.spec}, such as {missing[0]}; give an empty list to leave one out"
        )
    if len(set(keys)) < len(keys):
        raise BadInput(
            f"{KEY}: {subject.spec} has two files called {max(keys, key=keys.count)}; give their "
            f"paths below the set in {file}"
        )
    return [entries[key] for key in keys]


def _label_of(class_names: list[str]) -> dict[Any, int]:
    """Labels by class name and by class number."""
    labels: dict[Any, int] = {name: label for label, name in enumerate(class_names)}
    if all_numbers(class_names):
        return labels | {int(name): label for name, label in labels.items()}
    in_order = class_names
    if all(WNID.fullmatch(name) for name in class_names):
        in_order = sorted(class_names)
    return labels | {number: labels[name] for number, name in enumerate(in_order)}


def _labels(file: str, name: str, entry: Any, label_of: dict[Any, int]) -> np.ndarray:
    """int64, ascending, each once."""
    if not isinstance(entry, list):
        raise BadInput(
            f"{KEY}: {file}: {name}: expected a list of classes. Received: {entry!r:.60}"
        )
    for item in entry:
        if isinstance(item, bool) or not isinstance(item, int | str) or item not in label_of:
            raise BadInput(f"{KEY}: {file}: {name}: {item!r:.60} is no class of the set")
    return np.unique(np.array([label_of[item] for item in entry], np.int64))
