"""The images of a part of ILSVRC and the class of each, from a tar or from folders."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError, printable
from pipelines.files.image_header import EXTENSIONS
from pipelines.files.layout import SCANNERS, is_image, join, list_folders, list_images
from pipelines.files.readings import refuse
from pipelines.files.tars import list_tar
from pipelines.files.verify import Files, stamps_of
from pipelines.sources.ilsvrc.labels import WNID, validation_wnids
from pipelines.sources.ilsvrc.layout import TARS, Layout, folders_of, tree

IMAGES = "images"  # where Tiny ImageNet has those of a class, and of the validation part
Part = tuple[Files, list[str]]
"""Images, and the wnid of each."""


def train_part(layout: Layout) -> Part:
    """In the order of class and name. Raises SourceError for what is not in wnids."""
    path = layout.parts["train"]
    if path.is_file():
        return _sorted_by_class(_in_tar(path, nested=True), path.name)
    return _class_folders(layout.root, path, [path / name for name in folders_of(path)])


def validation_part(layout: Layout) -> Part:
    """In the order of the names, whatever the layout.

    Of images in folders named after wnids the folder is the class; of the others
    `labels.validation_wnids` tells it. Raises SourceError.
    """
    path = layout.parts["validation"]
    folders: list[Path] = []
    if path.is_file():
        flat = _in_tar(path)
        if any(WNID.fullmatch(_parent(name)) for name in flat.names):
            return _sorted_by_name(*_sorted_by_class(flat, path.name))
    else:
        bases = [base for base in (path, path / IMAGES) if base.is_dir()]
        flat = join([list_images(layout.root, base) for base in bases])
        if path not in layout.levels:  # of which the other folders are not the part's
            folders = [base / name for base in bases for name in folders_of(base)]
            folders = [folder for folder in folders if folder not in bases]
    in_folders, wnids = _class_folders(layout.root, path, folders) if folders else (join([]), [])
    names = [os.path.basename(name) for name in flat.names]
    if not folders and not names:
        raise SourceError(f"ilsvrc: {path} has no images ({', '.join(EXTENSIONS)})")
    if names:
        others = [os.path.basename(name) for name in in_folders.names]
        labels = validation_wnids(layout.beside, names, others)
        wnids = [labels[name] for name in names] + wnids
    return _sorted_by_name(join([flat, in_folders]), wnids)


def _in_tar(path: Path, *, nested: bool = False) -> Files:
    members = list_tar(path, nested=nested)
    images = [i for i, name in enumerate(members.names) if is_image(name)]
    stamps = stamps_of(path.stat())
    return Files(
        [f"{path.name}/{members.names[i]}" for i in images],
        [str(path)] * len(images),
        members.offsets[images],
        members.sizes[images],
        np.tile(np.array(stamps, np.int64), (len(images), 1)),
    )


def _class_folders(root: Path, part: Path, folders: list[Path]) -> Part:
    """What lies in folders named after wnids, or in folders inside these."""
    if not folders:
        tars = any(name.endswith(".tar") for name in os.listdir(part))
        instead = f"; unpack its tars, or put {TARS['train']}, which holds them, beside it"
        raise SourceError(
            f"ilsvrc: {part} has no class folders: expected {part.name}/<wnid>/{instead * tars}"
        )
    for folder in folders:
        if not WNID.fullmatch(folder.name):
            refuse(
                "ilsvrc",
                root,
                f"{printable(str(folder))}: expected class folders named after wnids, such as "
                "n01440764",
            )
    with ThreadPoolExecutor(SCANNERS) as pool:
        trees = list(pool.map(lambda folder: [path for path, _ in tree(folder)], folders))
    listed = iter(list_folders(root, [path for paths in trees for path in paths]))
    parts, wnids = [], []
    for folder, paths in zip(folders, trees, strict=True):
        files = join(list(islice(listed, len(paths))))
        if not len(files):
            raise SourceError(f"ilsvrc: class folder {folder} has no images")
        parts.append(files)
        wnids += [folder.name] * len(files)
    return join(parts), wnids


def _parent(name: str) -> str:
    return os.path.basename(os.path.dirname(name))


def _sorted_by_class(files: Files, where: str) -> Part:
    wnids = [_parent(name) for name in files.names]
    for name, wnid in zip(files.names, wnids, strict=True):
        if not WNID.fullmatch(wnid):
            raise SourceError(
                f"ilsvrc: {name}: expected the images of {where} in classes named after wnids, "
                "such as n01440764"
            )
    if not wnids:
        raise SourceError(f"ilsvrc: {where} has no images ({', '.join(EXTENSIONS)})")
    # By folder: class and name together, as a directory of class folders is listed.
    order = sorted(range(len(wnids)), key=lambda i: (wnids[i], os.path.basename(files.names[i])))
    return _ordered(files, order), [wnids[i] for i in order]


def _sorted_by_name(files: Files, wnids: list[str]) -> Part:
    order = sorted(range(len(wnids)), key=lambda i: (os.path.basename(files.names[i]), wnids[i]))
    return _ordered(files, order), [wnids[i] for i in order]


def _ordered(files: Files, order: list[int]) -> Files:
    position = {old: new for new, old in enumerate(order)} if files.problems else {}
    return Files(
        [files.names[i] for i in order],
        [files.paths[i] for i in order],
        files.offsets[order],
        files.sizes[order],
        files.stamps[order],
        {position[i]: why for i, why in files.problems.items()},
    )
