"""`mnist:DIR`: idx files, the form of MNIST, Fashion-MNIST, KMNIST and EMNIST.

The magic number is 0, 0, the type (8: bytes) and the number of dimensions; then each dimension as a
big-endian int32, then the values. LeCun, Cortes and Burges, The MNIST database.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipelines.errors import SourceError, nearest
from pipelines.files.naming import split_of
from pipelines.files.text import read_lines
from pipelines.sources.array_checks import check_count
from pipelines.sources.arrays.parts import (
    Part,
    array_source,
    block_ranges,
    check_packing,
    reading,
    stamped,
)
from pipelines.sources.base import Opening, Source
from pipelines.sources.spec import place_and_settings

FORM = "mnist:DIR"
NAME = re.compile(
    r"(?P<set>.*?)-?(?P<part>train|t10k|test|valid|validation)[-_.](?P<kind>images|labels)"
    r"[-_.]idx[13][-_.]ubyte(\.gz)?",
    re.IGNORECASE,
)
BYTES = 8  # the type of a value, as idx numbers them
DIGITS = [str(digit) for digit in range(10)]


def open_idx(rest: str, opening: Opening) -> Source:
    """`DIR[,set=NAME]` of train-images-idx3-ubyte.gz and the like.

    `set` chooses one of several, such as emnist-letters. Raises SourceError for anything else.
    """
    place, settings = place_and_settings("mnist", rest, {"set": ()}, FORM)
    root = Path(place).expanduser()
    return idx_source(f"mnist:{rest}", root, opening, settings.get("set"))


def idx_source(
    spec: str,
    root: Path,
    opening: Opening,
    chosen: str | None = None,
    class_names: Sequence[str] | None = None,
) -> Source:
    """The idx files of a folder, or of the folders in it; a file before its gzipped copy."""
    files = _listed(root)
    name = _chosen(root, sorted(files), chosen)
    of_set = files[name]
    names = [part for part in ("train", "validation", "test") if (part, "images") in of_set]
    for part in names:
        if (part, "labels") not in of_set:
            alone = of_set[part, "images"].name
            beside = alone.replace("images", "labels").replace("idx3", "idx1")
            raise SourceError(f"mnist: {root}: {alone} has no labels: put {beside} beside it")
    if not names:
        raise SourceError(f"mnist: {root} has labels and no images: put them beside")
    paths = [of_set[part, kind] for part in names for kind in ("images", "labels")]
    stamps = stamped("mnist", paths)
    # NIST's own scans lie on their side: EMNIST kept that, MNIST did not.
    turned = name.lower().startswith("emnist")
    parts, sizes = [], set()
    for part in names:
        images, labels = of_set[part, "images"], of_set[part, "labels"]
        count, height, width = _shape(images, 3)
        check_packing(spec, count, (height, width, 1), stamps, opening)
        check_count(count, _shape(labels, 1)[0], f"mnist: {labels}")
        known = np.concatenate(list(_blocks(labels, 1)))
        parts.append(Part(part, known, partial(_blocks, images, 3, turned)))
        sizes.add((height, width))
    if len(sizes) > 1:
        raise SourceError(f"mnist: {root}: its parts differ in size: {sorted(sizes)}")
    shape = (width, height, 1) if turned else (height, width, 1)
    notes = ["images are turned upright: the files have them mirrored about the diagonal"] * turned
    mapping = paths[0].parent / f"{name}-mapping.txt"
    if mapping.is_file():
        parts, class_names = _mapped(mapping, parts)
    elif class_names is None and all(part.labels.max(initial=0) < 10 for part in parts):
        class_names = DIGITS
    return array_source(spec, parts, shape, stamps, opening, class_names=class_names, notes=notes)


def _listed(root: Path) -> dict[str, dict[tuple[str, str], Path]]:
    """set -> (part, kind) -> file, of the first level of folders that has any."""
    with reading("mnist", root, "folder of idx files"):
        next(root.iterdir(), None)
        levels = [sorted(root.glob(pattern)) for pattern in ("*", "*/*", "*/*/*")]
    files: dict[str, dict[tuple[str, str], Path]] = {}
    for level in levels:
        for path in sorted(level, key=lambda path: path.suffix == ".gz"):
            match = NAME.fullmatch(path.name)
            if match is None or not path.is_file():
                continue
            part = "test" if match["part"].lower() == "t10k" else split_of(match["part"])
            role = str(part), match["kind"].lower()
            before = files.setdefault(match["set"], {}).setdefault(role, path)
            if before.parent != path.parent:
                raise SourceError(
                    f"mnist: {root} has {before.relative_to(root)} and {path.relative_to(root)}: "
                    f"name one folder, as mnist:{path.parent}"
                )
        if files:
            break
    return files


def _chosen(root: Path, sets: list[str], name: str | None) -> str:
    if not sets:
        raise SourceError(
            f"mnist: {root} has no idx files: expected train-images-idx3-ubyte(.gz), "
            "train-labels-idx1-ubyte(.gz), t10k-images-idx3-ubyte(.gz), t10k-labels-idx1-ubyte(.gz)"
        )
    if name is not None and name not in sets:
        raise SourceError(
            f"mnist: set: {root} has no {name!r}{nearest(name, sets)}; it has {', '.join(sets)}"
        )
    if name is None and len(sets) > 1:
        raise SourceError(
            f"mnist: {root} has {', '.join(sets)}: name one, as mnist:{root},set={sets[-1]}"
        )
    return sets[0] if name is None else name


def _mapped(mapping: Path, parts: list[Part]) -> tuple[list[Part], list[str]]:
    """Labels and names by EMNIST's lines "label code [code]", characters by their ASCII codes."""
    with reading("mnist", mapping, "list of labels and ASCII codes"):
        lines = [[int(word) for word in line.split()] for line in read_lines(mapping)]
        names = {label: chr(code) for label, code, *_ in filter(None, lines)}
        position = {label: i for i, label in enumerate(sorted(names))}
        mapped = [
            part._replace(labels=np.array([position[label] for label in part.labels.tolist()]))
            for part in parts
        ]
    return mapped, [names[label] for label in sorted(names)]


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # type: ignore[return-value]  # reads bytes as well


def _shape(path: Path, dimensions: int) -> tuple[int, ...]:
    """The shape that a file's header declares. Raises SourceError for another kind of file."""
    with reading("mnist", path, "idx file"), _open(path) as file:
        return _header(file, dimensions)


def _header(file: BinaryIO, dimensions: int) -> tuple[int, ...]:
    header = file.read(4 + 4 * dimensions)
    if header[:4] != bytes([0, 0, BYTES, dimensions]) or len(header) < 4 + 4 * dimensions:
        raise ValueError(
            f"expected the magic number {BYTES * 256 + dimensions}, received "
            f"{int.from_bytes(header[:4], 'big')}"
        )
    shape = tuple(np.frombuffer(header[4:], ">u4").tolist())
    if 0 in shape:
        raise ValueError(f"a shape of {list(shape)}")
    return shape


def _blocks(path: Path, dimensions: int, turned: bool = False) -> Iterator[np.ndarray]:
    """The values in order, as many as the header says and not one more."""
    with reading("mnist", path, "idx file"), _open(path) as file:
        count, *shape = _header(file, dimensions)
        each = int(np.prod(shape))
        for start, stop in block_ranges(count, each):
            block = np.frombuffer(file.read((stop - start) * each), np.uint8)
            block = block.reshape(stop - start, *shape)
            yield block.transpose(0, 2, 1) if turned else block
        if file.read(1):
            raise ValueError(f"more bytes than {[count, *shape]} need")
