"""Labels of a table as numbers of classes, in their order or in that of a file."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.errors import SourceError, nearest
from pipelines.files.naming import NUMBER, class_order
from pipelines.sources.tables.reading import table_text

WHOLE = re.compile(r"(-?[0-9]+)\.0+")  # as pandas writes whole numbers of a column with gaps
GAPS = {"", "nan", "na", "null", "none"}  # among numbers; among words they may be classes
FRACTION = re.compile(r"-?[0-9]*\.[0-9]+(e[-+]?[0-9]+)?", re.IGNORECASE)
NUMBERED = re.compile(r"(?P<number>[0-9]+)[\s,:]+(?P<name>\S.*)")
NUMBER_LAST = re.compile(r"(?P<name>.*\S)[\s,:]+(?P<number>[0-9]+)")


class Classes(NamedTuple):
    """labels int64 [n] into names; titles and notes as in Source."""

    labels: np.ndarray
    names: list[str]
    titles: Mapping[str, str]
    notes: list[str]


def whole_numbers(labels: list[str], where: str) -> list[str]:
    """Labels that are all whole numbers without their ".0", gaps and -1 among them as "".

    `where` names them for messages.

    Raises SourceError where they are measurements and no classes.
    """
    unique = {label for label in set(labels) if label.lower() not in GAPS}
    whole = {label: match[1] for label in unique if (match := WHOLE.fullmatch(label))}
    if all(label in whole or re.fullmatch(r"-?[0-9]+", label) for label in unique):
        told = {label: whole.get(label, label) for label in unique}
        told |= {label: "" for label, number in told.items() if number == "-1"}
        if all(NUMBER.fullmatch(number) for number in told.values() if number):
            return [told.get(label, "") for label in labels]
    numbers = [label for label in unique if FRACTION.fullmatch(label) and label not in whole]
    if numbers and all(re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", label) for label in unique):
        raise SourceError(
            f"csv: {where} has fractions, such as {min(numbers)}: expected classes; name another "
            "column, label=COLUMN"
        )
    return labels


def number_classes(
    labels: Sequence[str], file: Path | None = None, order: list[str] | None = None
) -> Classes:
    """Classes in `class_order`, or in this order, or as the lines of a file have them.

    Lines may be names, `NUMBER NAME`, `NAME NUMBER`, or `LABEL readable name`; a .json holds a list
    of names or a name for each label. Numbers of lines count from 0, or from 1 where only that
    fits. Raises SourceError for labels that the file does not have, and where it cannot be told.
    """
    unique = set(labels)
    if odd := [label for label in unique if not label.isprintable()]:
        raise SourceError(f"csv: {min(odd)!r} is no name of a class: rename it")
    if file is None:
        return _numbered(labels, {name: name for name in unique}, order or class_order(unique))
    lines, of_number = _read(file)
    order = list(of_number.values()) if of_number else lines
    name, count = Counter(order).most_common(1)[0] if order else ("", 0)
    if count != 1:
        why = f"has {name!r} twice: make them differ" if order else "has no class"
        raise SourceError(f"csv: classes={file.name} {why}")
    numeric = all(NUMBER.fullmatch(label) for label in unique)
    if of_number and unique <= of_number.keys():
        return _numbered(labels, of_number, order)
    if unique <= set(order):
        return _numbered(labels, {name: name for name in order}, order)
    first_words = {line.split()[0]: line for line in lines}
    if unique <= first_words.keys():
        titles = {word: line[len(word) :].strip(" ,:\t") for word, line in first_words.items()}
        words = [line.split()[0] for line in lines]
        if len(first_words) == len(lines):
            return _numbered(labels, {word: word for word in words}, words, titles)
    if not numeric or of_number:
        other = min(unique - set(of_number or order))
        raise SourceError(
            f"csv: classes={file.name} has no class {other!r}{nearest(other, order)}: add it there"
        )
    return _positions(labels, order, file)


def _positions(labels: Sequence[str], order: list[str], file: Path) -> Classes:
    numbers = {int(label) for label in labels}
    low, high = min(numbers), max(numbers)
    base = 0 if low == 0 and high < len(order) else 1 if high == len(order) and low else None
    if base is None and high > len(order) - (low == 0):
        raise SourceError(
            f"csv: labels {low} to {high} have no place in classes={file.name}, which has "
            f"{len(order)}: add the others there"
        )
    if base is None:
        raise SourceError(
            f"csv: labels {low} to {high} may count the {len(order)} lines of classes={file.name} "
            f"from 0 or from 1: write each line as NUMBER NAME, such as '0 {order[0]}'"
        )
    return _numbered(
        labels,
        {label: order[int(label) - base] for label in set(labels)},
        order,
        notes=[f"label {base} is the first line of {file.name}, {order[0]}"],
    )


def _numbered(
    labels: Sequence[str],
    name_of: Mapping[str, str],
    order: list[str],
    titles: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
) -> Classes:
    place = {name: i for i, name in enumerate(order)}
    number = {label: place[name_of[label]] for label in set(labels)}
    absent = len(order) - len(set(number.values()))
    said = [f"{absent} of {len(order)} classes have no image"] if absent else []
    return Classes(
        np.array([number[label] for label in labels], np.int64),
        order,
        titles or {},
        [*notes, *said],
    )


def _read(file: Path) -> tuple[list[str], dict[str, str]]:
    """Its lines, and the names by their numbers where every line has one."""
    if not os.path.isfile(file):
        raise SourceError(
            f"csv: classes={file.name}: {file} does not exist: it is looked for beside the table"
        )
    text = table_text(file)
    if file.suffix.lower() == ".json":
        try:
            names = json.loads(text)
        except (ValueError, RecursionError):
            names = None
        if isinstance(names, dict) and all(isinstance(name, str) for name in names.values()):
            return [], {key: names[key] for key in class_order(names)}
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names, {}
        raise SourceError(
            f"csv: classes={file.name}: expected a list of names, or a name for each label"
        )
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    for pattern in (NUMBERED, NUMBER_LAST):
        matches = [pattern.fullmatch(line) for line in lines]
        of_number = {match["number"]: match["name"] for match in matches if match}
        if lines and len(of_number) == len(lines):
            return lines, {number: of_number[number] for number in class_order(of_number)}
    return lines, {}
