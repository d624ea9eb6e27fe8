"""Which columns of a table are the images, the labels and the parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelines.errors import SourceError, nearest
from pipelines.files.image_header import EXTENSIONS, SUSPECTS
from pipelines.files.naming import NUMBER, Part, split_of
from pipelines.sources.tables.reading import Table
from pipelines.sources.tables.spec import TableSpec

IMAGE_NAMES = (
    "image", "images", "image_id", "image_name", "image_path", "img", "img_path",
    "file", "file_name", "filename", "file_path", "filepath", "path",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "class_id", "classid", "class_name", "category", "target",
)  # fmt: skip
PART_NAMES = (
    "split", "set", "subset", "part", "partition", "phase", "usage", "fold",
    "is_valid", "is_val", "is_validation", "is_test", "is_train", "is_training",
)  # fmt: skip
TRUE, FALSE = {"true", "1", "1.0", "yes", "t", "y"}, {"false", "0", "0.0", "no", "f", "n"}
ONE_HOT = {"0", "1", "0.0", "1.0"}


class Columns(NamedTuple):
    """Positions in a table.

    header   its names; "1", "2", ... where it has none
    skip     rows before the first image: 1 where the first row is the header
    labels   one column; none: the label is the folder of the image; several: one-hot
    part     the column of the parts; None: the table has none
    guessed  whether neither a setting nor its name tells of the column of labels
    """

    header: list[str]
    skip: int
    image: int
    labels: list[int]
    part: int | None
    guessed: bool

    def said(self, table: Table) -> str:
        """What was chosen, for people."""
        names = [self.header[i] for i in self.labels]
        if not names:
            labels = "labels from the folder of each image"
        elif len(names) == 1:
            labels = f"labels from column {names[0]}"
            if self.guessed and len(self.header) > 2:
                labels += ", the second (label= names another)"
        else:
            labels = f"labels from the columns {', '.join(names)}, of which one is 1"
        name = table.path.name if self.skip or table.names else f"{table.path.name} (no header)"
        return f"{name}: images from column {self.header[self.image]}, {labels}"


def choose_columns(table: Table, spec: TableSpec, is_image: Callable[[str], bool]) -> Columns:
    """From the settings; else by well-known names, each only where it is alone; else the first two.

    Raises SourceError where a setting names no column, or the labels cannot be told.
    """
    header, skip = _header(table, spec, is_image)
    for name in header:
        if not name.isprintable():
            raise SourceError(f"csv: {table.path.name}: {name!r} is no name of a column: rename it")
    headed = bool(skip or table.names)
    rows = table.first[skip:]
    if not rows:
        raise SourceError(f"csv: {table.path} has a header and no rows")
    labels = [column(table, header, "label", name) for name in _label_names(spec.label, header)]
    if spec.image:
        image = column(table, header, "image", spec.image)
    elif headed:
        image = _image(header, labels)
    else:
        images = [i for i, field in enumerate(rows[0]) if _names_image(field, is_image)]
        image = images[0] if images else 0
    guessed = not labels and _only(header, LABEL_NAMES, [image]) is None
    if not labels and len(header) > 1:
        labels = [_label(table, header, rows, image, headed)]
    part: int | None
    if spec.split:
        part = column(table, header, "split", spec.split)
    else:
        part = _only(header, PART_NAMES, [image, *labels])
    return Columns(header, skip, image, labels, part, guessed)


def column(table: Table, header: list[str], setting: str, name: str) -> int:
    """The position of a column by its name. Raises SourceError where there is none, or two."""
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise SourceError(f"csv: {table.path.name} has two columns {name!r}: rename one")
    raise SourceError(
        f"csv: {setting}={name}: {table.path.name} has no such column{nearest(name, header)}; "
        f"its columns: {', '.join(header[:40])}"
    )


def _header(
    table: Table, spec: TableSpec, is_image: Callable[[str], bool]
) -> tuple[list[str], int]:
    """The columns' names, and how many rows they take."""
    if table.names:
        return table.names, 0
    head, rows = table.first[0], table.first[1:]
    numbers = [str(i + 1) for i in range(len(head))]
    settings = {spec.image, spec.split, *_label_names(spec.label, head)} - {""}
    if settings & set(head) - set(numbers):
        return head, 1
    if settings and settings <= set(numbers):
        return numbers, 0
    return (numbers, 0) if _is_example(head, rows, is_image) else (head, 1)


def _is_example(head: list[str], rows: list[list[str]], is_image: Callable[[str], bool]) -> bool:
    """Whether the first row is one image more and no header; its file may be missing."""
    shape = _shape(head[0])
    return (
        any(_names_image(field, is_image) for field in head)
        or "/" in head[0]
        or any(NUMBER.fullmatch(field) for field in head[1:2])
        or any(row[1:2] == head[1:2] != [] for row in rows)
        or any(shape != head[0] and shape == _shape(row[0]) for row in rows[:1])
    )


def _shape(name: str) -> str:
    return re.sub(r"[0-9]+", "#", name)


def _names_image(field: str, is_image: Callable[[str], bool]) -> bool:
    return field.lower().endswith(EXTENSIONS + SUSPECTS) or is_image(field)


def _image(header: list[str], labels: list[int]) -> int:
    known = _only(header, IMAGE_NAMES, labels)
    if known is not None:
        return known
    label = _only(header, LABEL_NAMES, [])
    taken = labels or ([] if label is None else [label])
    return next((i for i in range(len(header)) if i not in taken), 0)


def _label(table: Table, header: list[str], rows: list[list[str]], image: int, headed: bool) -> int:
    others = [i for i in range(len(header)) if i != image]
    known = _only(header, LABEL_NAMES, [image])
    if known is not None:
        return known
    if len(others) == 1:
        return others[0]
    name = table.path.name
    marks = [i for i in others if all(row[i] in ONE_HOT for row in rows)]
    if headed and len(marks) > 1:
        names = "+".join(header[i] for i in marks)
        if all(sum(float(row[i]) for i in marks) == 1 for row in rows):
            raise SourceError(
                f"csv: {name} has a column for each class, one of them 1: write label={names}"
            )
        if others[0] in marks:
            raise SourceError(
                f"csv: {name} has no one column of labels ({names} hold 0 and 1, and not one 1 in "
                "each row): name the one to be learned, label=COLUMN"
            )
    if image:
        raise SourceError(
            f"csv: {name} has images in column {header[image]}; which column has the labels? write "
            f"label=COLUMN, one of {', '.join(header[i] for i in others[:40])}"
        )
    return 1


def _label_names(text: str, header: Sequence[str]) -> list[str]:
    """label=A+B+C names three columns, unless one is called so."""
    if not text or text in header:
        return [text] if text else []
    return text.split("+")


def _only(header: list[str], known: Sequence[str], taken: Sequence[int]) -> int | None:
    """The position of the only column with a well-known name."""
    places = [i for i, name in enumerate(header) if name.lower() in known and i not in taken]
    return places[0] if len(places) == 1 else None


def parts_of(name: str, fields: set[str]) -> dict[str, Part] | None:
    """What the fields of a column say: split words; or, where its name tells of what, yes and no.

    None where they are neither.
    """
    parts = {field: part for field in fields if (part := split_of(field)) is not None}
    if len(parts) == len(fields):
        return parts
    meanings: tuple[tuple[str, Part, Part], ...] = (
        ("val", "validation", "train"),
        ("test", "test", "train"),
        ("train", "train", "test"),
    )
    for word, yes, no in meanings:
        if word in name.lower() and {field.lower() for field in fields} <= TRUE | FALSE:
            return {field: yes if field.lower() in TRUE else no for field in fields}
    return None
