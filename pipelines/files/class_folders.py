"""What the folders of a set mean: its parts, their classes, and what belongs to neither.

A class is a folder right below a part (or the root), with everything below it. Where names could
mean two things the set is refused by these names: a guess would train on the wrong labels.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from pipelines.errors import SourceError, nearest, printable
from pipelines.files.layout import Folder, join, read_tree
from pipelines.files.naming import NUMBER, PARTS, Part, class_order, part_name, split_of
from pipelines.files.part_folders import (
    filled_folders,
    part_folders,
    refuse_no_classes,
    unwrapped,
)
from pipelines.files.readings import contents, refuse
from pipelines.files.verify import Files

USUAL_NAMES = ("train", "val", "valid", "validation", "test")


class Listing(NamedTuple):
    """What a directory holds, before any file is opened.

    part     of each file: which official split, as a position in `parts`
    parts    empty without official splits
    unused   (folder, images, why) of images that are no part of the set, as in `Source`
    notes    what reading decided, a line each
    """

    files: Files
    labels: np.ndarray
    class_names: list[str]
    part: np.ndarray
    parts: list[str]
    unused: list[tuple[str, int, str]]
    notes: list[str]


def list_directory(root: Path) -> Listing:
    """Classes and files by name. Raises SourceError when these are not images in class folders."""
    if not root.exists():
        raise SourceError(f"folder: {root} does not exist: check the path")
    if not root.is_dir():
        refuse("folder", root, f"{root} is a file: expected a directory of class folders")
    tree = read_tree(root)
    if not tree.images:
        refuse(
            "folder",
            root,
            f"{root} has no images: expected class folders with images, {contents(root)}",
        )
    top = unwrapped(tree)
    notes = [f"images are in {printable(top.name)}"] if top is not tree else []
    members = part_folders(top)
    listing = _official(root, top, members) if members else _one_set(root, top)
    return listing._replace(notes=notes + listing.notes)


def _one_set(root: Path, top: Folder) -> Listing:
    """The folders of `top` are the classes."""
    names = _class_names(root, top)
    files, labels = _labelled(top, names)
    notes = [
        f"{printable(name)} is taken for a class, not for a part"
        for name in names
        if split_of(name)
    ]
    return Listing(
        files,
        labels,
        names,
        np.zeros(len(files), np.int64),
        [],
        _loose(top, "lie beside the class folders"),
        notes + _said_of(top, names),
    )


def _official(root: Path, top: Folder, members: dict[Part, Folder]) -> Listing:
    inner = {part: unwrapped(folder) for part, folder in members.items()}
    names = _class_names(root, inner["train"])
    # A folder in a test part is a wrapper, too, where its name is that of no class.
    inner |= {part: unwrapped(members[part], names) for part in members if part != "train"}
    unused = _loose(top, "lie beside the folders of the parts")
    notes = _names_of_parts(top, inner)
    parts: list[str] = []
    listed: list[tuple[Files, np.ndarray]] = []
    for part in (part for part in PARTS if part in inner):
        folder = inner[part]
        if not filled_folders(folder):
            if part == "validation":
                _refuse_unlabelled(root, members[part])
            unused += _loose(folder, "have no class folders, so no labels")
            continue
        present = _classes_of_part(folder, names, inner["train"])
        listed.append(_labelled(folder, names))
        parts.append(part)
        unused += _loose(folder, "lie beside the class folders")
        notes += _said_of(folder, present)
    used = {below.scan.key for folder in members.values() for below in folder.walk()}
    for folder in top.folders.values():
        left = sum(len(f.scan.images) for f in folder.walk() if f.scan.key not in used)
        if left:
            unused.append((printable(folder.name), left, "belong to no part"))
        elif part_name(folder.base) and not folder.images:
            notes.append(f"{printable(folder.name)} has no images")
    return Listing(
        join([files for files, _ in listed]),
        np.concatenate([labels for _, labels in listed]),
        names,
        np.repeat(np.arange(len(parts)), [len(files) for files, _ in listed]).astype(np.int64),
        parts,
        unused,
        notes,
    )


def _class_names(root: Path, folder: Folder) -> list[str]:
    """The classes in their order. Raises SourceError where there are none, one, or empty ones."""
    names = class_order(folder.folders)
    if not filled_folders(folder):
        refuse(
            "folder",
            root,
            f"{folder.path} has images but no class folders: put each class's images into a "
            "folder of its own, named after the class",
        )
    _check_classes(folder, names)
    refuse_no_classes(root, folder)
    if len(names) == 1:
        (inner,) = folder.folders.values()
        problem = f"{folder.path} has images in one folder only ({names[0]!r})"
        if inner.folders:
            problem += f", in folders; if these are the classes, write 'folder:{inner.path}'"
        else:
            problem += ", expected a folder for each class, two or more"
        refuse("folder", root, problem)
    if all(NUMBER.fullmatch(name) for name in names):
        for name, following in itertools.pairwise(names):
            if int(name) == int(following):
                raise SourceError(
                    f"folder: class folders {name!r} and {following!r} of {folder.path} are the "
                    "same number: rename or join them"
                )
    for name in names:
        if not folder.folders[name].images:
            wrapper = max(folder.folders.values(), key=lambda inner: len(filled_folders(inner)))
            hint = f", or write 'folder:{wrapper.path}'" if len(filled_folders(wrapper)) > 1 else ""
            problem = (
                f"class folder {folder.folders[name].path} has no images: add some or remove it"
            )
            refuse("folder", root, problem + hint)
    return names


def _classes_of_part(folder: Folder, names: list[str], train: Folder) -> list[str]:
    """Those of the `names` that the part has images of."""
    present = class_order(inner.base for inner in filled_folders(folder))
    for name in present:
        if name not in names:
            alike = [known for known in names if known.lower() == name.lower()]
            raise SourceError(
                f"folder: class {printable(name)!r} of {printable(folder.name)} is missing from "
                f"{printable(train.name)}{nearest(name, alike or names)}: add it there or remove it"
            )
    _check_classes(folder, present)
    return present


def _labelled(folder: Folder, names: list[str]) -> tuple[Files, np.ndarray]:
    """All images below the class folders, by class, each folder before those that it holds."""
    files, labels, counts = [], [], []
    for label, name in enumerate(names):
        for below in folder.folders[name].walk() if name in folder.folders else ():
            files.append(below.scan.images)
            labels.append(label)
            counts.append(len(below.scan.images))
    return join(files), np.repeat(labels, counts).astype(np.int64)


def _loose(folder: Folder, why: str) -> list[tuple[str, int, str]]:
    images = len(folder.scan.images)
    return [(printable(folder.name), images, why)] if images else []


def _said_of(folder: Folder, names: list[str]) -> list[str]:
    """Notes on the class folders: what lies deeper in them, and links that were not followed."""
    classes = [folder.folders[name] for name in names]
    images = sum(inner.images for inner in classes)
    deeper = images - sum(len(inner.scan.images) for inner in classes)
    notes = []
    if deeper:
        where = "" if folder.name == "." else f" of {printable(folder.name)}"
        first = next(f for inner in classes for f in inner.walk() if f is not inner and f.images)
        notes.append(
            f"{deeper} of {images} images{where} lie in sub-folders of their class folders, "
            f"such as {printable(first.name)}"
        )
    for below in folder.walk():
        notes += [
            f"{printable(below.name)}/{printable(name)} is a link to nothing"
            for name in below.scan.dangling
        ]
        if below.leads_to is not None:
            notes.append(
                f"{printable(below.name)} is a link to a folder that it is in: not followed"
            )
    return notes


def _names_of_parts(top: Folder, inner: dict[Part, Folder]) -> list[str]:
    """One note where a part has another name, or lies deeper, than is usual."""
    if all(folder.above is top and folder.base in USUAL_NAMES for folder in inner.values()):
        return []
    return [
        "; ".join(f"{part} is {printable(inner[part].name)}" for part in PARTS if part in inner)
    ]


def _check_classes(folder: Folder, names: list[str]) -> None:
    """Names can be printed, and no folder has two of them (a link to another, or to its root)."""
    first_of = {folder.scan.key: folder}
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise SourceError(
                f"folder: class folder {os.fsencode(name)!r} of {folder.path} is not named in "
                "UTF-8: rename it"
            ) from None
        class_folder = folder.folders[name]
        for below in class_folder.walk():
            if below.leads_to is not None and below is not class_folder:
                continue  # not followed, and costs no image
            first = below.leads_to or first_of.setdefault(below.scan.key, below)
            if first is not below:
                target = "the folder that it is in" if first is folder else repr(first.base)
                raise SourceError(
                    f"folder: class folder {printable(below.path)} is a link to {target}: remove it"
                )


def _refuse_unlabelled(root: Path, folder: Folder) -> NoReturn:
    refuse(
        "folder",
        root,
        f"{folder.path} has {folder.images} images but no folders with the names of the classes, "
        "so no labels",
        otherwise="sort them into folders named after their classes, or move it away and the "
        "validation images are held out of train",
    )
