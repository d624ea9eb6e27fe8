"""The lists that published sets come with: which image is of which class and part.

Oxford Flowers 102       imagelabels.mat, setid.mat           jpg/image_00001.jpg
Stanford Dogs            train_list.mat, test_list.mat        Images/<class>/
Stanford Cars            devkit/cars_train_annos.mat, devkit/cars_meta.mat, cars_train/, and
                         cars_test_annos_withlabels.mat with cars_test/; or cars_annos.mat
CUB-200-2011             images.txt, image_class_labels.txt, train_test_split.txt, classes.txt
Oxford-IIIT Pet          annotations/trainval.txt, annotations/test.txt    images/
Food-101                 meta/{train,test}.{txt,json}          images/<class>/
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import SourceError
from pipelines.files.naming import Part
from pipelines.sources.tables.matlab import column_of, read_matlab
from pipelines.sources.tables.reading import table_text


class Kit(NamedTuple):
    """files   by which a folder is known to hold the set
    rows       of that folder: its images, and the class names in their order
    """

    title: str
    files: tuple[str, ...]
    rows: Callable[[Path], tuple[list[Row], list[str]]]


class Row(NamedTuple):
    """One image of a kit; its path is relative to the folder of the kit."""

    path: str
    name: str
    part: Part


def kit_at(path: Path) -> tuple[Kit, Path] | None:
    """The kit of a folder, or of one of its files, with its folder; None for other tables."""
    whole = Path(os.path.abspath(path))
    for kit in KITS:
        if os.path.isdir(path):
            roots = [path]
        elif path.suffix.lower() == ".mat":  # of no use but here
            roots = [*whole.parents][:2]
        else:
            named = (Path(file) for file in kit.files)
            roots = [whole.parents[len(f.parts) - 1] for f in named if whole.match(str(f))]
        for root in roots:
            if all(os.path.isfile(root / file) for file in kit.files):
                return kit, root
    return None


def _flowers(root: Path) -> tuple[list[Row], list[str]]:
    labels = _numbers(root / "imagelabels.mat", "labels")
    sets: dict[str, Part] = {"trnid": "train", "valid": "validation", "tstid": "test"}
    held = read_matlab(root / "setid.mat")
    rows = []
    for name, part in sets.items():
        for number in _numbers(root / "setid.mat", name, held):
            if not 1 <= number <= len(labels):
                raise SourceError(
                    f"csv: setid.mat, {name}: image {number} is not one of the {len(labels)} of "
                    "imagelabels.mat: download both again"
                )
            rows.append(Row(f"jpg/image_{number:05}.jpg", str(labels[number - 1]), part))
    return rows, [str(number) for number in range(1, max(labels, default=0) + 1)]


def _dogs(root: Path) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    names: dict[int, str] = {}
    lists: dict[str, Part] = {"train_list.mat": "train", "test_list.mat": "test"}
    images = next((n for n in ("Images", "images") if os.path.isdir(root / n)), "../Images")
    for file, part in lists.items():
        held = read_matlab(root / file)
        files = [str(name) for name in column_of(held, "file_list", root / file)]
        for name, label in _both(files, _numbers(root / file, "labels", held), file):
            breed = os.path.dirname(name)
            if names.setdefault(label, breed) != breed:
                raise SourceError(
                    f"csv: {file}: label {label} is {names[label]} and {breed}: download it again"
                )
            rows.append(Row(f"{images}/{name}", breed, part))
    return rows, [names[label] for label in sorted(names)]


def _cars(root: Path) -> tuple[list[Row], list[str]]:
    meta = root / "devkit" / "cars_meta.mat"
    names = [str(name) for name in column_of(read_matlab(meta), "class_names", meta)]
    rows: list[Row] = []
    lists: dict[str, Part] = {
        "devkit/cars_train_annos.mat": "train",
        "cars_test_annos_withlabels.mat": "test",
        "devkit/cars_test_annos_withlabels.mat": "test",
    }
    for file, part in lists.items():
        if os.path.isfile(root / file) and not (
            part == "test" and rows and rows[-1].part == "test"
        ):
            entries = column_of(read_matlab(root / file), "annotations", root / file)
            for entry in entries:
                label, name = _of(entry, "class", file), str(_of(entry, "fname", file))
                rows.append(Row(f"cars_{part}/{name}", _name(names, label, file), part))
    return rows, names


def _cars_in_one(root: Path) -> tuple[list[Row], list[str]]:
    file = root / "cars_annos.mat"
    held = read_matlab(file)
    names = [str(name) for name in column_of(held, "class_names", file)]
    rows = []
    for entry in column_of(held, "annotations", file):
        part: Part = "test" if _of(entry, "test", file.name) else "train"
        name = _name(names, _of(entry, "class", file.name), file.name)
        rows.append(Row(str(_of(entry, "relative_im_path", file.name)), name, part))
    return rows, names


def _birds(root: Path) -> tuple[list[Row], list[str]]:
    names = dict(_pairs(root / "classes.txt"))
    labels = dict(_pairs(root / "image_class_labels.txt"))
    trained = dict(_pairs(root / "train_test_split.txt"))
    rows = []
    for number, path in _pairs(root / "images.txt"):
        try:
            name, part = names[labels[number]], trained[number]
        except KeyError as error:
            raise SourceError(
                f"csv: images.txt: image {number} has no line for {error.args[0]} in "
                "image_class_labels.txt, classes.txt or train_test_split.txt: download them again"
            ) from None
        rows.append(Row(f"images/{path}", name, "train" if part == "1" else "test"))
    used = set(labels.values())  # classes.txt may hold groups of classes too
    return rows, [name for number, name in names.items() if number in used]


def _pets(root: Path) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    names: dict[int, str] = {}
    lists: dict[str, Part] = {"trainval.txt": "train", "test.txt": "test"}
    for file, part in lists.items():
        for image, rest in _pairs(root / "annotations" / file):
            label, breed = rest.split()[0], image.rpartition("_")[0]
            if not label.isdecimal() or names.setdefault(int(label), breed) != breed:
                raise SourceError(
                    f"csv: {file}: {image} has class {label!r}: expected 'BREED_NUMBER CLASS "
                    "SPECIES BREED', the same class for all of a breed"
                )
            rows.append(Row(f"images/{image}.jpg", breed, part))
    return rows, [names[label] for label in sorted(names)]


def _food(root: Path) -> tuple[list[Row], list[str]]:
    rows = []
    lists: dict[str, Part] = {"train.txt": "train", "test.txt": "test"}
    for file, part in lists.items():
        for line in table_text(root / "meta" / file).split():
            rows.append(Row(f"images/{line}.jpg", os.path.dirname(line), part))
    return rows, sorted({row.name for row in rows})


def _numbers(file: Path, name: str, held: dict[str, object] | None = None) -> list[int]:
    values = column_of(read_matlab(file) if held is None else held, name, file)
    try:
        return [int(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        raise SourceError(f"csv: {file.name}: expected numbers in {name!r}") from None


def _both(names: Sequence[str], labels: Sequence[int], file: str) -> list[tuple[str, int]]:
    if len(names) != len(labels):
        raise SourceError(
            f"csv: {file} has {len(names)} files and {len(labels)} labels: download it again"
        )
    return list(zip(names, labels, strict=True))


def _of(entry: object, field: str, file: str) -> object:
    if not isinstance(entry, dict) or field not in entry:
        raise SourceError(f"csv: {file}: an annotation has no {field!r}: download it again")
    return entry[field]


def _name(names: list[str], label: object, file: str) -> str:
    if not isinstance(label, int) or not 1 <= label <= len(names):
        raise SourceError(
            f"csv: {file}: class {label!r} is not one of the {len(names)} of class_names"
        )
    return names[label - 1]


def _pairs(path: Path) -> list[tuple[str, str]]:
    """First word and the rest of each line."""
    pairs = []
    for number, line in enumerate(table_text(path).split("\n"), 1):
        first, _, rest = line.strip().partition(" ")
        if first and not rest.strip():
            raise SourceError(
                f"csv: {path.name}, line {number}: expected two words or more, received {first!r}"
            )
        if first:
            pairs.append((first, rest.strip()))
    return pairs


KITS = (
    Kit("Oxford Flowers 102", ("imagelabels.mat", "setid.mat"), _flowers),
    Kit("Stanford Dogs", ("train_list.mat", "test_list.mat"), _dogs),
    Kit("Stanford Cars", ("devkit/cars_train_annos.mat", "devkit/cars_meta.mat"), _cars),
    Kit("Stanford Cars", ("cars_annos.mat",), _cars_in_one),
    Kit(
        "CUB-200",
        ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"),
        _birds,
    ),
    Kit("Oxford-IIIT Pet", ("annotations/trainval.txt", "annotations/test.txt"), _pets),
    Kit(
        "Food-101", ("meta/train.txt", "meta/test.txt", "meta/train.json", "meta/test.json"), _food
    ),
)
