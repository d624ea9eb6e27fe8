"""ILSVRC 2012 in its official layout, as downloaded or unpacked.

    ILSVRC2012_img_train.tar   or   train/<wnid>/*.JPEG
    ILSVRC2012_img_val.tar     or   val/*.JPEG   or   val/<wnid>/*.JPEG
    the development kit, or val_wnids.txt: see `validation_labels`

A tar is read in place and preferred to a folder: it is whole. Pixels are as stored: the published
results ignore EXIF orientation.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.layout import EXTENSIONS, join, list_folders, list_images
from pipelines.files.tars import list_tar
from pipelines.files.verify import Files, stamps_of, verify
from pipelines.sources.base import Opening, Source
from pipelines.sources.file_source import file_source
from pipelines.sources.listed.ilsvrc_labels import WNID, validation_wnids

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
PARTS = ["train", "validation"]


def open_ilsvrc(directory: str, opening: Opening) -> Source:
    """Official splits: train, and the validation set as "validation"; test labels are not public.

    Classes are the wnids of both parts in alphabetical order, the order of published weights; one
    that only the validation part has is kept, with a warning. Images are in the order of class and
    name (train) and of name (validation), whatever the layout. Each is looked at once, as
    `folder.open_folder` does. Raises SourceError that says which files to put where.
    """
    if not directory:
        raise SourceError("ilsvrc: expected a directory, received none: write 'ilsvrc:DIR'")
    root = Path(directory).expanduser()
    if not root.is_dir():
        raise SourceError(f"ilsvrc: {root} is not a directory: check the path")
    train, train_wnids = _train(root)
    held, held_wnids = _validation(root)
    class_names = sorted({*train_wnids, *held_wnids})
    unseen = sorted({*held_wnids} - {*train_wnids})
    if unseen:
        warnings.warn(
            f"ilsvrc: {len(unseen)} of {len(class_names)} classes are in the validation part only, "
            f"such as {unseen[0]}: no network can learn them",
            stacklevel=3,
        )
    number = {name: i for i, name in enumerate(class_names)}
    labels = np.array([number[wnid] for wnid in train_wnids + held_wnids], np.int64)
    files = join([train, held])
    return file_source(
        f"ilsvrc:{os.path.normpath(directory)}",
        files,
        verify(
            files,
            root=os.path.realpath(root),
            max_pixels=opening.max_pixels,
            decode_all=opening.decodes,
        ),
        labels,
        class_names,
        np.repeat(np.arange(2), [len(train), len(held)]),
        PARTS,
        upright=False,
        opening=opening,
    )


def _train(root: Path) -> tuple[Files, list[str]]:
    if (root / TRAIN_TAR).is_file():
        return _sorted_by_class(_in_tar(root / TRAIN_TAR, nested=True), TRAIN_TAR)
    if not (root / "train").is_dir():
        raise SourceError(
            f"ilsvrc: {root} has no training images: put {TRAIN_TAR} there, or its class folders "
            "as train/<wnid>/"
        )
    return _class_folders(root, root / "train")


def _validation(root: Path) -> tuple[Files, list[str]]:
    if (root / VAL_TAR).is_file():
        files, where = _in_tar(root / VAL_TAR), VAL_TAR
        if any(WNID.fullmatch(_parent(name)) for name in files.names):
            files, wnids = _sorted_by_class(files, VAL_TAR)
            return _sorted_by_name(files, wnids)
    elif not (root / "val").is_dir():
        raise SourceError(
            f"ilsvrc: {root} has no validation images: put {VAL_TAR} there, or its images into val/"
        )
    else:
        files, where = list_images(root, root / "val"), "val/"
        if not len(files):
            return _sorted_by_name(*_class_folders(root, root / "val"))
    names = [os.path.basename(name) for name in files.names]
    if not names:
        raise SourceError(f"ilsvrc: {root / where} has no images ({', '.join(EXTENSIONS)})")
    labels = validation_wnids(root, names)
    return _sorted_by_name(files, [labels[name] for name in names])


def _in_tar(path: Path, *, nested: bool = False) -> Files:
    members = list_tar(path, nested=nested)
    images = [i for i, name in enumerate(members.names) if name.lower().endswith(EXTENSIONS)]
    stamps = stamps_of(path.stat())
    return Files(
        [f"{path.name}/{members.names[i]}" for i in images],
        [str(path)] * len(images),
        members.offsets[images],
        members.sizes[images],
        np.tile(np.array(stamps, np.int64), (len(images), 1)),
    )


def _class_folders(root: Path, folder: Path) -> tuple[Files, list[str]]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name for entry in entries if entry.name[0] != "." and entry.is_dir()
            )
    except OSError as error:
        raise SourceError(f"ilsvrc: {folder} cannot be read ({error.strerror})") from None
    if not names:
        raise SourceError(f"ilsvrc: {folder} has no class folders: expected {folder.name}/<wnid>/")
    for name in names:
        if not WNID.fullmatch(name):
            raise SourceError(
                f"ilsvrc: {folder / os.fsencode(name).decode('utf-8', 'backslashreplace')}: "
                "expected class folders named after wnids, such as n01440764; for others write "
                "folder:DIR"
            )
    listed = list_folders(root, [folder / name for name in names])
    for name, files in zip(names, listed, strict=True):
        if not len(files):
            raise SourceError(f"ilsvrc: class folder {folder / name} has no images")
    return join(listed), [
        name for name, files in zip(names, listed, strict=True) for _ in range(len(files))
    ]


def _parent(name: str) -> str:
    return os.path.basename(os.path.dirname(name))


def _sorted_by_class(files: Files, where: str) -> tuple[Files, list[str]]:
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


def _sorted_by_name(files: Files, wnids: list[str]) -> tuple[Files, list[str]]:
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
