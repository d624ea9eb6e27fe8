"""The classes of validation images that lie in no folder of their class, from any file of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.errors import SourceError
from pipelines.files.text import read_lines
from pipelines.sources.ilsvrc.kit import (
    DEVKIT,
    GROUND_TRUTH,
    META,
    find_file,
    kit_files,
    synsets,
)

WNID = re.compile(r"n\d{8}")
TEXT_FILE = "val_wnids.txt"
SOLUTION = "LOC_val_solution.csv"
SOLUTION_HEADER = "ImageId,PredictionString"
ANNOTATIONS = "val_annotations.txt"
IN_ORDER = ("synset_labels.txt", "imagenet_2012_validation_synset_labels.txt")


def validation_wnids(
    folders: Sequence[Path], names: Sequence[str], others: Sequence[str] = ()
) -> dict[str, str]:
    """Of each validation image (its file name) the class.

    From the first of these files that is in one of the folders:
    `val_wnids.txt`         "name wnid" lines
    `LOC_val_solution.csv`  of Kaggle: the first word after the image's name; boxes are passed over
    `val_annotations.txt`   of Tiny ImageNet: name, wnid, box
    `synset_labels.txt`     line k is the wnid of ILSVRC2012_val_<k as 8 digits>
    the development kit     line k of the ground truth is the ILSVRC2012_ID of that image, and
                            meta.mat maps ids to wnids

    others   further validation images, whose class is known already
    Raises SourceError when there is none, or it does not fit the images.
    """
    labels, where = _labels(folders, names[0].rpartition(".")[2] if names else "JPEG")
    missing = [name for name in names if name not in labels]
    if missing:
        raise SourceError(
            f"ilsvrc: {where} has no class for {missing[0]!r}"
            f"{_more(len(missing))}: the file and the validation images must belong together"
        )
    absent = sorted(set(labels) - {*names, *others})
    if absent:
        raise SourceError(
            f"ilsvrc: {where} has {len(labels)} images but {len(labels) - len(absent)} are there, "
            f"{absent[0]!r} is missing{_more(len(absent))}: accuracy on a part of the validation "
            "set could not be compared; add them"
        )
    return labels


def _labels(folders: Sequence[Path], ending: str) -> tuple[dict[str, str], str]:
    """The class of every image that the file has, and the file's name."""
    if path := find_file(folders, TEXT_FILE):
        return _named(path, 2, "ILSVRC2012_val_00000001.JPEG n01751748"), path.name
    if path := find_file(folders, SOLUTION):
        return _solution(path, ending), path.name
    if path := find_file(folders, ANNOTATIONS):
        return _named(path, 6, "val_0.JPEG n03444034 0 32 44 62"), path.name
    if path := find_file(folders, *IN_ORDER):
        return _in_order(path, ending), path.name
    kit = kit_files(folders, GROUND_TRUTH, META)
    if kit is None:
        raise SourceError(
            f"ilsvrc: {folders[0]} has no classes for the validation images: put {DEVKIT}.tar.gz "
            f"there, or {GROUND_TRUTH} with {META}, or {TEXT_FILE} with lines 'NAME WNID', or "
            f"{SOLUTION}, or {IN_ORDER[0]}, or sort val/ into folders named after wnids"
        )
    wnids = {synset.id: synset.wnid for synset in synsets(kit[1])}
    return _numbered(kit[0], wnids, ending), GROUND_TRUTH


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    try:
        lines = read_lines(path)
    except OSError as error:
        raise SourceError(f"ilsvrc: {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise SourceError(f"ilsvrc: {path} is no text in UTF-8: save it as such") from None
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _named(path: Path, words: int, example: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for number, line in _lines(path):
        fields = line.split()
        if len(fields) != words or not WNID.fullmatch(fields[1]):
            raise _unlike(path, number, f"'NAME WNID', such as {example!r}", line)
        _enter(labels, fields[0], fields[1], path, number)
    return labels


def _solution(path: Path, ending: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for number, line in _lines(path):
        image, _, boxes = line.strip().partition(",")
        if number == 1 and line.strip() == SOLUTION_HEADER:
            continue
        wnid = boxes.strip('" ').partition(" ")[0]
        if not image or not WNID.fullmatch(wnid):
            example = "ILSVRC2012_val_00000001,n01751748 111 108 431 202"
            raise _unlike(path, number, f"'IMAGE,WNID BOX', such as {example!r}", line)
        _enter(labels, f"{image}.{ending}", wnid, path, number)
    return labels


def _in_order(path: Path, ending: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for number, line in _lines(path):
        if not WNID.fullmatch(line.strip()):
            raise _unlike(path, number, "a wnid, such as 'n01751748'", line)
        labels[official_name(number, ending)] = line.strip()
    return labels


def _numbered(truth: bytes, wnids: Mapping[int, str], ending: str) -> dict[str, str]:
    labels = {}
    for number, line in enumerate(truth.decode("utf-8-sig", "replace").split(), 1):
        wnid = wnids.get(int(line)) if line.isdecimal() else None
        if wnid is None or not WNID.fullmatch(wnid):
            raise SourceError(
                f"ilsvrc: {GROUND_TRUTH}, line {number}: expected an id of {META} "
                f"(1 to {max(wnids, default=0)}), received {line[:80]!r}"
            )
        labels[official_name(number, ending)] = wnid
    return labels


def official_name(number: int, ending: str) -> str:
    """Of the validation image of this number, from 1."""
    return f"ILSVRC2012_val_{number:08}.{ending}"


def _enter(labels: dict[str, str], name: str, wnid: str, path: Path, number: int) -> None:
    if name in labels:
        raise SourceError(
            f"ilsvrc: {path.name}, line {number}: {name!r} is named twice: remove one line"
        )
    labels[name] = wnid


def _unlike(path: Path, number: int, form: str, line: str) -> SourceError:
    return SourceError(
        f"ilsvrc: {path.name}, line {number}: expected {form}, received {line.strip()[:80]!r}"
    )
