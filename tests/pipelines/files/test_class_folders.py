"""Any tree of folders: no image is lost in silence, and the order of a disk changes nothing."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import SourceError
from pipelines.files.class_folders import Listing, list_directory
from pipelines.files.naming import class_order, part_name

FOLDERS = (
    "train", "val", "test", "dev", "eval", "Training", "test1", "seg_train", "seg_test", "seg_pred",
    "train_images", "cat", "dog", "1", "01", "2", "10", "images", "data", "__MACOSX", ".hidden",
)  # fmt: skip
FILES = ("a.jpg", "b.PNG", "c.tiff", "d.webp", "notes.txt", ".e.jpg", "list.csv")
IMAGES = (".jpg", ".png", ".tiff", ".webp")

loose = st.frozensets(st.sampled_from(FILES), max_size=3).map(dict.fromkeys)
trees = st.recursive(
    loose,
    lambda inner: st.builds(
        dict.__or__, loose, st.dictionaries(st.sampled_from(FOLDERS), inner, max_size=4)
    ),
    max_leaves=14,
)
class_folders = st.builds(
    dict.__or__,
    loose,
    st.dictionaries(
        st.sampled_from(("cat", "dog", "1", "2")),
        st.sampled_from(({"a.jpg": None}, {"in": {"b.PNG": None}, "c.tiff": None}, {"e.jpg": {}})),
        min_size=2,
    ),
)
sets = st.builds(
    lambda train, test, others, more: {"train": train, "test": test} | others | more,
    class_folders,
    loose | class_folders,
    st.dictionaries(st.sampled_from(FOLDERS), class_folders | trees, max_size=1),
    loose,
)


def build(root: Path, tree: dict[str, Any]) -> None:
    root.mkdir()
    for name, inner in tree.items():
        if inner is None:
            (root / name).write_bytes(b"x")
        else:
            build(root / name, inner)


def images_of(tree: dict[str, Any]) -> int:
    """Those that somebody means: neither hidden nor the system's."""
    return sum(
        images_of(inner) if inner is not None else name.lower().endswith(IMAGES)
        for name, inner in tree.items()
        if name[0] not in "._"
    )


def listing_of(root: Path) -> Listing | str:
    try:
        return list_directory(root)
    except SourceError as error:
        return str(error)


@contextmanager
def disk_order(seed: int) -> Iterator[None]:
    """Directories hand out their entries in another order."""
    real = os.scandir

    class Shuffled:
        def __init__(self, path: Any) -> None:
            with real(path) as entries:
                self.entries = list(entries)
            random.Random(seed).shuffle(self.entries)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "scandir", Shuffled)
        yield


@given(tree=trees | class_folders | sets, seed=st.integers(0, 2**16))
def test_every_image_is_used_or_counted_or_the_set_is_refused(
    tree: dict[str, Any], seed: int
) -> None:
    base = Path(tempfile.mkdtemp())
    try:
        root = base / "set"
        build(root, tree)
        listing = listing_of(root)
        with disk_order(seed):
            again = listing_of(root)
    finally:
        shutil.rmtree(base)
    if isinstance(listing, str) or isinstance(again, str):
        assert listing == again
        assert "\n" not in again
        return
    assert again.files.names == listing.files.names
    assert again.labels.tolist() == listing.labels.tolist()
    assert again[5:] == listing[5:]
    names = listing.files.names
    assert len(names) + sum(images for _, images, _ in listing.unused) == images_of(tree)
    assert len({*names}) == len(names) == len(listing.labels) == len(listing.part)
    for name, label in zip(names, listing.labels.tolist(), strict=True):
        assert listing.class_names[label] in name.split("/")[:-1]
    assert listing.class_names == class_order(listing.class_names)
    assert {*listing.labels[listing.part == 0].tolist()} == {*range(len(listing.class_names))}


@pytest.mark.parametrize(
    ("name", "part", "rest"),
    [
        ("train", "train", ()),
        ("Test1", "test", ()),
        ("seg_train", "train", ("seg",)),
        ("trainingSet", "train", ("set",)),
        ("chest-xray.VAL", "validation", ("chest", "xray")),
        ("train2017", "train", ()),
    ],
)
def test_names_that_hold_the_word_of_a_part(name: str, part: str, rest: tuple[str, ...]) -> None:
    assert part_name(name) == (part, {*rest})


@pytest.mark.parametrize("name", ["trainer", "train_test", "contest", "trainval", "n01440764", ""])
def test_names_that_hold_none(name: str) -> None:
    assert part_name(name) is None
