"""`npz:FILE`: arrays as NumPy, Keras and MedMNIST store them. Nothing in the file is unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.naming import PARTS, split_of
from pipelines.sources.array_checks import check_count, image_shape
from pipelines.sources.arrays.parts import (
    Part,
    array_source,
    block_ranges,
    check_packing,
    reading,
    stamped,
)
from pipelines.sources.base import MEMORY_LIMIT_BYTES, Opening, Source
from pipelines.sources.spec import place_and_settings

FORM = "npz:FILE[,images=KEY,labels=KEY]"
KINDS = {
    **dict.fromkeys(("x", "image", "images", "data"), "images"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "labels"),
}
CLASS_NAMES = ("class_names", "label_names", "classes")
ANY_PART: tuple[str, ...] = ("", *PARTS)
ROLES = [f"{part}_{kind}".lstrip("_") for part in ANY_PART for kind in ("images", "labels")]


class Member(NamedTuple):
    """An array in the file, known from its header alone.

    start   first byte of its values in the member `name`
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    start: int


def open_npz(rest: str, opening: Opening) -> Source:
    """`FILE[,images=KEY,labels=KEY,test_images=KEY,test_labels=KEY,...]`.

    By themselves are read: x_train y_train x_test y_test x_val y_val, train_images train_labels
    ..., images labels, x y, data labels; class_names where there are any.
    Raises SourceError for anything that is no such file, and for arrays that are no uint8 images.
    """
    place, settings = place_and_settings("npz", rest, dict.fromkeys(ROLES, ()), FORM)
    path = Path(place).expanduser()
    return npz_source(f"npz:{rest}", path, opening, settings)


def npz_source(
    spec: str,
    path: Path,
    opening: Opening,
    settings: Mapping[str, str] | None = None,
    class_names: Sequence[str] | None = None,
) -> Source:
    """`settings`: role -> key of the array, such as test_images -> x_held_out."""
    files = stamped("npz", [path])
    with reading("npz", path, ".npz file"):
        members = members_of(path)
        keys = _roles(path, members, settings or {})
        pairs = {
            part: (keys[part, "images"], keys[part, "labels"])
            for part in ANY_PART
            if (part, "images") in keys and (part, "labels") in keys
        }
        if not pairs:
            raise SourceError(
                f"npz: {path} holds {', '.join(members) or 'no arrays'}: expected x_train and "
                f"y_train, or images and labels; name yours, as {FORM!r}"
            )
        shapes = {
            images: image_shape(
                f"npz: {path}: {images}", members[images].dtype, members[images].shape
            )
            for images, _ in pairs.values()
        }
        if len(set(shapes.values())) > 1:
            sizes = ", ".join(f"{key} {list(shape)}" for key, shape in shapes.items())
            raise SourceError(f"npz: {path}: its parts differ in shape ({sizes}): make them alike")
        shape = next(iter(shapes.values()))
        check_packing(spec, sum(members[key].shape[0] for key in shapes), shape, files, opening)
        parts = []
        for part, (images, labels) in pairs.items():
            check_count(
                members[images].shape[0], members[labels].shape[0], f"npz: {path}: {labels}"
            )
            blocks = partial(_blocks, path, members[images])
            name = part or ("train" if len(pairs) > 1 else "")
            parts.append(Part(name, values(path, members[labels]), blocks))
        named = next((key for key in CLASS_NAMES if key in members), None)
        if class_names is None and named is not None:
            class_names = [str(name) for name in values(path, members[named]).reshape(-1)]
    used = {named, *(key for pair in pairs.values() for key in pair)}
    notes = [
        f"array {key} {list(member.shape)} is not used: {_why_unused(key, keys)}"
        for key, member in members.items()
        if key not in used
    ]
    return array_source(spec, parts, shape, files, opening, class_names=class_names, notes=notes)


def members_of(path: Path) -> dict[str, Member]:
    """The arrays of a file by their keys; only headers are read, and held against its sizes."""
    members = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            with archive.open(info) as stream:
                shape, fortran, dtype = _header(stream)
                start = stream.tell()
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if not dtype.hasobject and start + size != info.file_size:
                raise ValueError(
                    f"{info.filename}: {list(shape)} of {dtype} need {start + size} bytes, it has "
                    f"{info.file_size}"
                )
            key = info.filename[: -len(".npy")]
            members[key] = Member(info.filename, shape, dtype, fortran, start)
    return members


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): "read_array_header_1_0", (2, 0): "read_array_header_2_0"}.get(version)
    if read is None:
        raise ValueError(f"version {version} of the format of arrays is not read")
    shape, fortran, dtype = getattr(np.lib.format, read)(stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"a shape of {list(shape)}")
    return shape, fortran, dtype


def _role(key: str) -> tuple[str, str] | None:
    """(part, kind) that a key names, such as ("train", "images"); part "" where it names none."""
    words = key.lower().split("_")
    kinds = [KINDS[word] for word in words if word in KINDS]
    parts: list[str] = [part for part in map(split_of, words) if part]
    if len(kinds) == 1 and len(words) == 1 + len(parts) <= 2:
        return (parts or [""])[0], kinds[0]
    return None


def _roles(
    path: Path, members: Mapping[str, Member], settings: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """(part, kind) -> key: as the settings name them, else as the keys name themselves."""
    for setting, key in settings.items():
        if key not in members:
            raise SourceError(
                f"npz: {setting}: {path} has no array {key!r}; it has {', '.join(members)}"
            )
    if settings:
        named = {_role(role): key for role, key in settings.items()}
        return {role: key for role, key in named.items() if role is not None}
    keys: dict[tuple[str, str], str] = {}
    for key in members:
        role = _role(key)
        if role is None:
            continue
        if role in keys:
            part, kind = role
            setting = f"{part}_{kind}" if part else kind
            raise SourceError(
                f"npz: {path} has {keys[role]} and {key}: name the one that is meant, as "
                f"npz:FILE,{setting}={key}"
            )
        keys[role] = key
    return keys


def _why_unused(key: str, keys: Mapping[tuple[str, str], str]) -> str:
    kinds = [kind for (_, kind), chosen in keys.items() if chosen == key]
    if not kinds:
        return f"it names no part; where it is one: {FORM!r}"
    return "its images have no labels" if kinds == ["images"] else "there are no images to it"


def values(path: Path, member: Member) -> np.ndarray:
    """A whole array that is no objects, which only unpickling would read."""
    if member.dtype.hasobject:
        raise SourceError(
            f"npz: {path}: {member.name} holds Python objects, which are never unpickled: save it "
            'as numbers or text, .astype("int64") or .astype(str)'
        )
    if int(np.prod(member.shape, dtype=object)) * member.dtype.itemsize > MEMORY_LIMIT_BYTES:
        raise SourceError(
            f"npz: {path}: {member.name} of {list(member.shape)} is more than is held in memory"
        )
    with zipfile.ZipFile(path) as archive, archive.open(member.name) as stream:
        stream.read(member.start)
        flat = np.frombuffer(stream.read(), member.dtype)
    return flat.reshape(member.shape, order="F" if member.fortran else "C")


def _blocks(path: Path, member: Member) -> Iterator[np.ndarray]:
    """Images [n, ...] in order, some at a time."""
    with reading("npz", path, ".npz file"):
        if member.fortran:
            yield values(path, member)
            return
        count, *shape = member.shape
        each = int(np.prod(shape))
        with zipfile.ZipFile(path) as archive, archive.open(member.name) as stream:
            stream.read(member.start)
            for start, stop in block_ranges(count, each):
                block = np.frombuffer(stream.read((stop - start) * each), np.uint8)
                yield block.reshape(stop - start, *shape)
