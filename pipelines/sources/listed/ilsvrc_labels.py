"""The classes of the ILSVRC validation images: from a text file, or from the development kit."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from pipelines.errors import SourceError
from pipelines.files.text import read_lines

WNID = re.compile(r"n\d{8}")
TEXT_FILE = "val_wnids.txt"
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
DEVKIT = "ILSVRC2012_devkit_t12"
KIT_FOLDERS = ("", "data", f"{DEVKIT}/data")
LARGEST_BYTES = 64 * 1024**2  # of a file of the kit: the true ones have 0.2 and 0.5 MB


def validation_wnids(root: Path, names: list[str]) -> dict[str, str]:
    """Of each validation image (its file name) the class.

    From `val_wnids.txt` ("name wnid" lines) or, failing that, the development kit: line k of the
    ground truth is the ILSVRC2012_ID of ILSVRC2012_val_<k as 8 digits>, and meta.mat maps ids to
    wnids. Raises SourceError when there is neither, or one does not fit the images.
    """
    text = root / TEXT_FILE
    if text.is_file():
        labels, where = _named(text), TEXT_FILE
    else:
        truth, meta = _kit(root)
        labels, where = _numbered(truth, _wnids_of_ids(meta), names), GROUND_TRUTH
    missing = [name for name in names if name not in labels]
    if missing:
        raise SourceError(
            f"ilsvrc: {where} has no class for {missing[0]!r}"
            f"{_more(len(missing))}: the file and the validation images must belong together"
        )
    if len(labels) > len(names):
        absent = sorted(set(labels) - set(names))
        raise SourceError(
            f"ilsvrc: {where} has {len(labels)} images but {len(names)} are there, "
            f"{absent[0]!r} is missing{_more(len(absent))}: accuracy on a part of the validation "
            "set could not be compared; add them"
        )
    return labels


def _more(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_BYTES)
    except OSError as error:
        raise SourceError(f"ilsvrc: {path} cannot be read ({error.strerror})") from None


def _named(path: Path) -> dict[str, str]:
    labels: dict[str, str] = {}
    try:
        lines = read_lines(path)
    except OSError as error:
        raise SourceError(f"ilsvrc: {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise SourceError(f"ilsvrc: {path} is no text in UTF-8: save it as such") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not WNID.fullmatch(words[1]):
            raise SourceError(
                f"ilsvrc: {path.name}, line {number}: expected 'NAME WNID', such as "
                f"'ILSVRC2012_val_00000001.JPEG n01751748', received {line.strip()[:80]!r}"
            )
        if words[0] in labels:
            raise SourceError(
                f"ilsvrc: {path.name}, line {number}: {words[0]!r} is named twice: remove one line"
            )
        labels[words[0]] = words[1]
    return labels


def _kit(root: Path) -> tuple[bytes, bytes]:
    """(ground truth, meta.mat), from files or from the kit's archive."""
    for folder in KIT_FOLDERS:
        truth, meta = root / folder / GROUND_TRUTH, root / folder / META
        if truth.is_file() and meta.is_file():
            return _read(truth), _read(meta)
    archive = root / f"{DEVKIT}.tar.gz"
    if not archive.is_file():
        raise SourceError(
            f"ilsvrc: {root} has no classes for the validation images: put {DEVKIT}.tar.gz there, "
            f"or {GROUND_TRUTH} with {META}, or {TEXT_FILE} with lines 'NAME WNID', or sort val/ "
            "into folders named after wnids"
        )
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in (GROUND_TRUTH, META) and member.isreg():
                    file = tar.extractfile(member)  # a view: nothing is unpacked
                    contents[name] = file.read(LARGEST_BYTES) if file else b""
    except (OSError, EOFError, tarfile.TarError) as error:
        raise SourceError(
            f"ilsvrc: {archive} is damaged or truncated ({error}): download it again"
        ) from None
    for name in (GROUND_TRUTH, META):
        if name not in contents:
            raise SourceError(f"ilsvrc: {archive} holds no {name}: download it again")
    return contents[GROUND_TRUTH], contents[META]


def _wnids_of_ids(meta: bytes) -> dict[int, str]:
    from scipy.io import loadmat

    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"].reshape(-1)
        pairs = zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
        return {int(number): str(wnid) for number, wnid in pairs}
    except Exception as error:  # of many kinds, for bytes that are no MATLAB file
        raise SourceError(
            f"ilsvrc: {META} cannot be read ({type(error).__name__}): expected the table 'synsets' "
            "with ILSVRC2012_ID and WNID; take it from the development kit"
        ) from None


def _numbered(truth: bytes, wnids: Mapping[int, str], names: list[str]) -> dict[str, str]:
    ending = names[0].rpartition(".")[2] if names else "JPEG"
    labels = {}
    for number, line in enumerate(truth.decode("utf-8-sig", "replace").split(), 1):
        wnid = wnids.get(int(line)) if line.isdecimal() else None
        if wnid is None or not WNID.fullmatch(wnid):
            raise SourceError(
                f"ilsvrc: {GROUND_TRUTH}, line {number}: expected an id of {META} "
                f"(1 to {max(wnids, default=0)}), received {line[:80]!r}"
            )
        labels[f"ILSVRC2012_val_{number:08}.{ending}"] = wnid
    return labels
