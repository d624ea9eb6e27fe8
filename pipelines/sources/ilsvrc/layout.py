"""Where the parts of ILSVRC lie in a folder, and what lies there beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import SourceError, printable
from pipelines.files.layout import is_image
from pipelines.files.naming import split_of
from pipelines.files.readings import contents, refuse
from pipelines.sources.base import Unused

TARS = {"train": "ILSVRC2012_img_train.tar", "validation": "ILSVRC2012_img_val.tar"}
OFFICIAL = re.compile(r"ILSVRC2012_val_\d{8}\.")
STEPS = ("ILSVRC", "Data", "CLS-LOC")
"""Of Kaggle's download, from the outside in: the images are in ILSVRC/Data/CLS-LOC."""
DEEPEST = 6  # folders that are opened to come to the parts
NO_IMAGES = {"Annotations", "ImageSets", "__MACOSX"}  # half a million XML files need no count


class Layout(NamedTuple):
    """A folder that holds a part of ILSVRC at least.

    root      as the spec names it
    levels    folders from `root` to the one that has the parts, both included
    parts     "train" and "validation", those that there are: a tar or a folder
    beside    folders in which files of labels and names may lie, the nearest first
    """

    root: Path
    levels: tuple[Path, ...]
    parts: dict[str, Path]
    beside: tuple[Path, ...]


def locate(root: Path) -> Layout:
    """The parts in `root`, or in the folders inside it that lead to nothing else.

    Raises SourceError where there is no part, or one twice.
    """
    levels = [root]
    while not (parts := _parts(levels[-1])):
        inside = _way_down(levels[-1])
        if inside is None or len(levels) == DEEPEST:
            refuse(
                "ilsvrc",
                root,
                f"{root} has no training images: put {TARS['train']} there, or its class folders "
                f"as train/<wnid>/, and {TARS['validation']} or val/, as ImageNet is given out or "
                f"in Kaggle's ILSVRC/Data/CLS-LOC; {contents(root)}",
            )
        levels.append(inside)
    above, outside = Path(os.path.abspath(root)), []
    while above.name in STEPS:
        above = above.parent
        outside.append(above)
    folders = [path for path in parts.values() if path.is_dir()]
    return Layout(root, tuple(levels), parts, (*reversed(levels), *outside, *folders))


def _parts(folder: Path) -> dict[str, Path]:
    folders = folders_of(folder)
    parts = {}
    for part in TARS:
        names = [name for name in folders if split_of(name) == part]
        if (folder / TARS[part]).is_file():
            parts[part] = folder / TARS[part]
        elif len(names) > 1:
            raise SourceError(
                f"ilsvrc: {folder} has {' and '.join(names)}, and either may be the {part} part: "
                "keep one of them"
            )
        elif names:
            parts[part] = folder / names[0]
    if not parts and any(OFFICIAL.match(entry.name) for entry in os.scandir(folder)):
        return {"validation": folder}  # unpacked where it was
    return parts


def _way_down(folder: Path) -> Path | None:
    names = folders_of(folder)
    chosen = [name for name in names if name in STEPS] or [n for n in names if n not in NO_IMAGES]
    return folder / chosen[0] if len(chosen) == 1 else None


def folders_of(folder: Path) -> list[str]:
    """Names of the folders right in a folder, sorted; hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()
            )
    except OSError as error:
        raise SourceError(f"ilsvrc: {folder} cannot be read ({error.strerror})") from None


def tree(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folder and all inside it, links to others and hidden ones left out: (path, its files)."""

    def refuse(error: OSError) -> None:
        raise SourceError(f"ilsvrc: {error.filename} cannot be read ({error.strerror})") from None

    for path, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in NO_IMAGES)
        yield Path(path), files


def unused_files(layout: Layout) -> list[Unused]:
    """What lies in the root and on the way to the parts, and belongs to none of them."""
    used = {*layout.levels, *layout.parts.values()}
    unused = []
    for level in layout.levels:
        for name in folders_of(level):
            if name in NO_IMAGES or level / name in used:
                continue
            if images := sum(_images(files) for _, files in tree(level / name)):
                unused.append(Unused(_shown(layout, level / name), images, _why(layout, name)))
        files = [entry.name for entry in os.scandir(level) if entry.is_file()]
        if level not in layout.parts.values() and (images := _images(files)):
            unused.append(Unused(_shown(layout, level), images, "lie beside the parts of the set"))
        for name in sorted(files):
            if name.endswith(".tar") and name[0] != "." and level / name not in used:
                where = _shown(layout, level / name)
                unused.append(Unused(where, 1, "is an archive that is no part of the set"))
    train = layout.parts.get("train")
    if train and train.is_dir() and (images := _images(os.listdir(train))):
        unused.append(Unused(_shown(layout, train), images, "lie beside the class folders"))
    return unused


def _why(layout: Layout, name: str) -> str:
    part = split_of(name)
    if part in layout.parts:
        return f"stay unread: {layout.parts[part].name} is read instead"
    if part == "test":
        return "have no public labels; of an own set, folder:DIR reads test/<class>/"
    return "are in a folder that is no part of the set"


def _images(names: list[str]) -> int:
    return sum(is_image(name) and name[0] != "." for name in names)


def _shown(layout: Layout, path: Path) -> str:
    return printable(os.path.relpath(path, layout.root))
