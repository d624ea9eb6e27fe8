"""Shards that cannot be read by random access, written out once as files that can.

The copies lie below `.ilsvrc/.cache`, in a folder named after the names, sizes, times and last
bytes of the originals: changed files are written out anew. Each copy is whole or absent, so that a
killed run goes on at the next shard.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.errors import SourceError, first_line
from pipelines.files.index_cache import FOLDER
from pipelines.progress import Progress, say

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
TAIL_BYTES = 4096  # of a gzip file its checksum, of Parquet its table of contents
COPY_BYTES = 4 * 1024**2
GIGABYTE = 1e9
GZIP = b"\x1f\x8b"
Rewrite = Callable[[Path, Path], None]


def unpacked(
    spec: str, why: str, root: Path, paths: Sequence[Path], ending: str, rewrite: Rewrite, *how: str
) -> list[Path]:
    """Of each shard below `root` its copy, made now where it is missing.

    why       reads after the spec: "Parquet has no random access"
    rewrite   (shard, file to write); may raise OSError, EOFError, ValueError
    how       what else the copies depend on
    Raises SourceError that names a damaged shard, or the folder where there is no room.
    """
    scheme = spec.partition(":")[0]
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in root.resolve().name)
    folder = FOLDER / scheme / f"{name}-{_identity(scheme, root, paths, how)[:16]}"
    copies = [folder.absolute() / f"{_plain(path.relative_to(root))}{ending}" for path in paths]
    todo = [i for i, copy in enumerate(copies) if not copy.exists()]
    if not todo:
        return copies
    total = sum(paths[i].stat().st_size for i in todo) / GIGABYTE
    say(f"{spec}: {why}; writing {len(todo)} shards ({total:.2f} GB) out once, into {folder}")
    before = len(paths) - len(todo)
    advance = Progress(f"{spec}: written out {{}} shards", len(paths), before)
    for done, i in enumerate(todo, before):
        advance(done)
        if not copies[i].exists():  # by another process meanwhile
            _write(scheme, paths[i], copies[i], rewrite)
    for partial in copies[0].parent.glob(".*"):  # of a process that was killed
        partial.unlink(missing_ok=True)
    return copies


def plain_or_gunzipped(
    spec: str, why: str, root: Path, paths: Sequence[Path], ending: str
) -> dict[Path, Path]:
    """Of each file itself, or its copy where its contents are behind gzip, whatever its name."""
    plain = {path: path for path in paths}
    try:
        packed = [path for path in paths if _is_gzip(path)]
    except OSError as error:
        scheme = spec.partition(":")[0]
        raise SourceError(f"{scheme}: {error.filename} cannot be read ({error.strerror})") from None
    if packed:
        copies = unpacked(spec, why, root, packed, ending, _gunzip)
        plain |= dict(zip(packed, copies, strict=True))
    return plain


def _gunzip(path: Path, out: Path) -> None:
    with gzip.open(path, "rb") as packed, open(out, "wb") as plain:
        shutil.copyfileobj(packed, plain, COPY_BYTES)


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(GZIP)) == GZIP


def _write(scheme: str, path: Path, copy: Path, rewrite: Rewrite) -> None:
    partial = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        rewrite(path, partial)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, copy)
    except SourceError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        if copy.exists():  # another process was quicker, and has removed what was partial
            return
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise SourceError(
                f"{scheme}: {copy.parent} has no room for a copy of {path.name} "
                f"({first_line(error)}): free some, or work in a folder of a larger disk; "
                "what is written stays and the next start goes on from there"
            ) from None
        raise SourceError(
            f"{scheme}: {path} is damaged or truncated ({first_line(error)[:200]}): download it "
            "again"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _plain(relative: Path) -> str:
    return "-".join(relative.parts)


def _identity(scheme: str, root: Path, paths: Sequence[Path], how: Sequence[str]) -> str:
    shards = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                file.seek(max(0, status.st_size - TAIL_BYTES))
                tail = hashlib.sha256(file.read()).hexdigest()
        except OSError as error:
            raise SourceError(f"{scheme}: {path} cannot be read ({error.strerror})") from None
        name = path.relative_to(root).as_posix()
        shards.append([name, status.st_size, status.st_mtime_ns, tail])
    return hashlib.sha256(json.dumps([shards, *how]).encode()).hexdigest()
