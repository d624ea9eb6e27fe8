"""Which folders are the parts of a set, by their names and by what they hold.

A folder is a part by a word in its name: `train`, `Training`, `seg_train`, `train_images`, `test1`.
Where the other words differ the folders are not parts of one set.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipelines.errors import SourceError, printable
from pipelines.files.layout import Folder
from pipelines.files.naming import Part, part_name, split_of, words_of
from pipelines.files.readings import refuse

# Words of folders that a set was cut into, such as images_001, images_002.
PIECES = frozenset({"images", "image", "imgs", "img", "part", "batch", "chunk", "fold", "shard"})


def part_folders(top: Folder) -> dict[Part, Folder]:
    """The folders of official parts, train among them; empty where the folders are classes."""
    filled = filled_folders(top)
    named = [(folder, name) for folder in filled if (name := part_name(folder.base))]
    rests = {name.rest for _, name in named if name.part == "train"}
    if not rests:
        _refuse_without_train(top, [folder for folder, _ in named])
        return {}
    if len(rests) > 1 and frozenset() not in rests:
        return {}
    rest: frozenset[str] = frozenset() if frozenset() in rests else next(iter(rests))
    members: dict[Part, list[Folder]] = {}
    for folder, name in named:
        if name.rest == rest:
            members.setdefault(name.part, []).append(folder)
    others = len(filled) - sum(map(len, members.values()))
    classes = max(len(filled_folders(unwrapped(folder))) for folder in members["train"])
    if len(members) == 1 and others:
        # A class may itself be called "train": a part is a folder of class folders.
        related = all(rest <= {*words_of(folder.base)} for folder in filled)
        if classes < 2 or not related:
            return {}
    if not classes:
        return {}
    for part, folders in members.items():
        if len(folders) > 1:
            raise SourceError(
                f"folder: {top.path} has {len(folders)} folders for the {part} part, "
                f"{names_of(folders)}: keep one, or join them"
            )
    return {part: folders[0] for part, folders in members.items()}


def unwrapped(folder: Folder, classes: Iterable[str] | None = None) -> Folder:
    """Down through folders that hold one folder and no image, to the one that holds more.

    The one folder must hold folders only, so that it is no class; or, where the `classes` are
    known, have another name than these.
    """
    while len(folder.folders) == 1 and not len(folder.scan.images):
        (inner,) = folder.folders.values()
        if classes is None:
            holds_classes = inner.folders and not len(inner.scan.images)
            a_part = split_of(inner.base) and not part_name(folder.base)
            if a_part or not holds_classes:
                break
        elif inner.base in classes or inner.leads_to:
            break
        folder = inner
    return folder


def filled_folders(folder: Folder) -> list[Folder]:
    """The folders in it that have images, links to those above among them."""
    return [inner for inner in folder.folders.values() if inner.images or inner.leads_to]


def refuse_no_classes(root: Path, top: Folder) -> None:
    """Raises SourceError where the folders in `top` are no classes by their names, or by those of
    the folders in them: parts of a set, pieces of one folder, a copy of the set."""
    filled = filled_folders(top)
    _refuse_part_names(root, top, filled)
    words = {tuple(words_of(folder.base)) for folder in filled}
    if len(words) == 1 < len(filled) and not PIECES.isdisjoint(*words):
        refuse(
            "folder",
            root,
            f"{top.path}: expected class folders, received {names_of(filled)}, pieces of one "
            "folder by their names",
            otherwise="sort their images into folders named after their classes",
        )
    siblings = {folder.base for folder in filled}
    for folder in filled:
        copied = [inner for inner in filled_folders(folder) if inner.base in siblings]
        if len(copied) > 1:
            raise SourceError(
                f"folder: class folder {folder.path} holds {names_of(copied)}, the names of "
                f"classes beside it: remove the copy, or write 'folder:{folder.path}'"
            )
        for inner in folder.walk():
            named = [below for below in filled_folders(inner) if split_of(below.base)]
            if len({split_of(below.base) for below in named}) > 1:
                raise SourceError(
                    f"folder: class folder {folder.path} holds {names_of(named)}: parts go above "
                    f"the classes, as in train/{printable(folder.base)}; if that is the set, write "
                    f"'folder:{inner.path}'"
                )


def _refuse_part_names(root: Path, top: Folder, filled: list[Folder]) -> None:
    groups: dict[frozenset[str], dict[str, list[Folder]]] = {}
    for folder in filled:
        if name := part_name(folder.base):
            groups.setdefault(name.rest, {}).setdefault(name.part, []).append(folder)
    for parts in groups.values():
        folders = [folder for members in parts.values() for folder in members]
        with_train = "train" in parts and len(parts) > 1
        if with_train or (len(folders) == len(filled) and len(folders) > 1):
            refuse(
                "folder",
                root,
                f"{top.path}: expected class folders, received {names_of(folders)}, which name "
                "parts of a set",
                otherwise="sort the images of each into folders named after their classes",
            )


def _refuse_without_train(top: Folder, named: list[Folder]) -> None:
    official = [f for f in named if split_of(f.base) and len(filled_folders(unwrapped(f))) > 1]
    if len(named) == len(filled_folders(top)) and any(folder.folders for folder in named):
        official = named
    if official:
        raise SourceError(
            f"folder: {top.path} has {names_of(official)} but no train folder with images: add it, "
            f"or write 'folder:{official[0].path}' to take that alone"
        )


def names_of(folders: Iterable[Folder]) -> str:
    names = sorted(printable(folder.base) for folder in folders)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
