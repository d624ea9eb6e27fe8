"""Where the files of a tar lie in it: read from its headers, nothing is ever unpacked."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.index_cache import cache_file, load_columns, save_columns
from pipelines.files.verify import stamps_of

BLOCK = tarfile.BLOCKSIZE


class Members(NamedTuple):
    """Regular files of a tar, in the order in which they lie there: name, first byte, bytes."""

    names: list[str]
    offsets: np.ndarray
    sizes: np.ndarray


def list_tar(path: Path, *, nested: bool = False, scheme: str = "ilsvrc") -> Members:
    """The files in a tar, or with `nested` those in the tars in it, as "inner/name".

    scheme   of the source that asks, for refusals

    Headers are read once; the list is kept by the tar's place, size and times of change. Hidden
    files do not count. Raises SourceError for links, devices, names that lead out of the archive,
    names given twice, and a damaged or truncated archive.
    """
    try:
        status = os.stat(path)
        key = (os.path.realpath(path), str(status.st_size), *map(str, stamps_of(status)))
        cached = cache_file("tar", str(nested), *key)
        columns = load_columns(cached, ["names", "offsets", "sizes"])
        if columns is not None:
            return Members(**columns)
        archive = f"{scheme}: {path.name}"
        with open(path, "rb") as file:
            members = _members(file, archive, 0, status.st_size)
            if nested:
                members = _inner(file, archive, members)
    except OSError as error:
        raise SourceError(f"{scheme}: {path} cannot be read ({error.strerror})") from None
    twice = _repeated(members.names)
    if twice is not None:
        raise SourceError(f"{archive} holds {twice!r} twice: pack or download it again")
    save_columns(cached, members._asdict())
    return members


def _inner(file: BinaryIO, archive: str, outer: Members) -> Members:
    names: list[str] = []
    offsets, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for name, offset, size in zip(outer.names, outer.offsets, outer.sizes, strict=True):
        if not name.endswith(".tar"):
            raise SourceError(
                f"{archive} holds {name!r}: expected one tar a class, such as n01440764.tar"
            )
        within = _members(file, f"{archive}/{name}", int(offset), int(size))
        stem = os.path.basename(name)[: -len(".tar")]
        names += [f"{stem}/{inner}" for inner in within.names]
        offsets.append(within.offsets)
        sizes.append(within.sizes)
    return Members(names, np.concatenate(offsets), np.concatenate(sizes))


def _members(file: BinaryIO, archive: str, start: int, length: int) -> Members:
    names: list[str] = []
    offsets: list[int] = []
    sizes: list[int] = []
    broken = SourceError(f"{archive} is damaged or truncated after {{}} files: download it again")
    end = start + length
    file.seek(start)
    try:
        # Positions are those in `file`, wherever the archive starts in it.
        with tarfile.TarFile(fileobj=file, mode="r", errorlevel=2) as tar:
            while tar.offset < end:
                member = tar.next()
                if member is None:
                    break
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep 1.28 million
                if member.isdir():
                    continue
                name = _safe(member, archive)
                if member.offset_data + member.size > end:
                    raise tarfile.ReadError
                if not os.path.basename(name).startswith("."):
                    names.append(name)
                    offsets.append(member.offset_data)
                    sizes.append(member.size)
            stopped = tar.offset
    except tarfile.TarError:
        raise SourceError(str(broken).format(len(names))) from None
    # tarfile takes a damaged header for the end: the true end is a block of zeros.
    file.seek(stopped)
    if stopped + BLOCK > end or file.read(BLOCK) != bytes(BLOCK):
        raise SourceError(str(broken).format(len(names)))
    return Members(names, np.array(offsets, np.int64), np.array(sizes, np.int64))


def _safe(member: tarfile.TarInfo, archive: str) -> str:
    """The member's name as a plain relative path. Raises SourceError for anything else."""
    name = member.name
    steps = name.split("/")
    if member.issym() or member.islnk():
        what = f"is a link to {member.linkname!r}"
    elif not member.isreg() or member.issparse():
        what = "is not a plain file"
    elif name.startswith("/") or ".." in steps or "\\" in name or "\0" in name or ":" in name:
        what = "leads out of the archive"
    else:
        return "/".join(step for step in steps if step not in ("", "."))
    raise SourceError(f"{archive}: {name!r} {what}: only plain files are read from a tar")


def _repeated(names: list[str]) -> str | None:
    if len(set(names)) == len(names):
        return None
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
