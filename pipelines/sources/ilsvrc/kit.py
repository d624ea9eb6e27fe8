"""The development kit of ILSVRC 2012, unpacked or not: ids, wnids and words of its classes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import SourceError

GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
DEVKIT = "ILSVRC2012_devkit_t12"
KIT_FOLDERS = ("", "data", f"{DEVKIT}/data")
LARGEST_BYTES = 64 * 1024**2  # of a file of the kit: the true ones have 0.2 and 0.5 MB


class Synset(NamedTuple):
    """A row of meta.mat; the 1,000 classes have ids 1 to 1000, what is above them higher ones."""

    id: int
    wnid: str
    words: str


def find_file(folders: Sequence[Path], *names: str) -> Path | None:
    """The first file of one of these names; an earlier name counts for more than its folder."""
    paths = (folder / name for name in names for folder in folders)
    return next((path for path in paths if path.is_file()), None)


def kit_files(folders: Sequence[Path], *names: str) -> list[bytes] | None:
    """Contents of files of the kit, all from one place; None where there is no kit.

    Raises SourceError for an archive that is damaged or lacks one.
    """
    for folder in folders:
        for inside in KIT_FOLDERS:
            paths = [folder / inside / name for name in names]
            if all(path.is_file() for path in paths):
                return [_read(path) for path in paths]
    archive = find_file(folders, f"{DEVKIT}.tar.gz")
    return None if archive is None else _in_archive(archive, names)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_BYTES)
    except OSError as error:
        raise SourceError(f"ilsvrc: {path} cannot be read ({error.strerror})") from None


def _in_archive(archive: Path, names: Sequence[str]) -> list[bytes]:
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in names and member.isreg():
                    file = tar.extractfile(member)  # a view: nothing is unpacked
                    contents[name] = file.read(LARGEST_BYTES) if file else b""
    except (OSError, EOFError, tarfile.TarError) as error:
        raise SourceError(
            f"ilsvrc: {archive} is damaged or truncated ({error}): download it again"
        ) from None
    for name in names:
        if name not in contents:
            raise SourceError(f"ilsvrc: {archive} holds no {name}: download it again")
    return [contents[name] for name in names]


def synsets(meta: bytes) -> list[Synset]:
    """The rows of meta.mat. Raises SourceError for other files."""
    from scipy.io import loadmat

    try:
        table = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"].reshape(-1)
        columns = table["ILSVRC2012_ID"], table["WNID"], table["words"]
        return [
            Synset(int(i), str(wnid), str(words)) for i, wnid, words in zip(*columns, strict=True)
        ]
    except Exception as error:  # of many kinds, for bytes that are no MATLAB file
        raise SourceError(
            f"ilsvrc: {META} cannot be read ({type(error).__name__}): expected the table 'synsets' "
            "with ILSVRC2012_ID, WNID and words; take it from the development kit"
        ) from None
