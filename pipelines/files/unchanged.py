"""Whether files are still those that were checked: by their stamps, and in doubt by contents."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from pipelines.errors import SourceError, printable
from pipelines.files.verify import Files, stamps_of

AT_A_TIME = 1024  # files that one thread looks at before it gives way
LOOKERS = 16  # on a network drive each look waits for the server


def check_unchanged(
    spec: str, files: Files, rows: Sequence[int], same_contents: Callable[[int], bool]
) -> None:
    """Hold files against the sizes and times that were recorded when they were checked.

    rows            positions in `files` of the files to look at, each path once
    same_contents   asked of a file of which only the time of its metadata is another (by `chmod`,
                    by a hard link, or by contents with a forged time); one that is the same is
                    then recorded as it is now

    Raises SourceError that names the first file that is gone or has changed, and how.
    """

    def look(part: Sequence[int]) -> tuple[str, str] | None:
        for i in part:
            if why := _difference(files, i, same_contents):
                name = files.names[i] if files.offsets[i] < 0 else os.path.basename(files.paths[i])
                return printable(name), why
        return None

    parts = [rows[at : at + AT_A_TIME] for at in range(0, len(rows), AT_A_TIME)]
    if len(parts) == 1:
        changes = [look(parts[0])]
    else:
        with ThreadPoolExecutor(LOOKERS) as pool:
            changes = list(pool.map(look, parts))
    for name, why in filter(None, changes):
        raise SourceError(
            f"{spec}: {name} {why} since it was checked: what was computed meanwhile is not of "
            "the images that are recorded; put the file back, or begin anew"
        )


def _difference(files: Files, i: int, same_contents: Callable[[int], bool]) -> str:
    """How a file is no longer what was recorded; empty where it is."""
    try:
        status = os.stat(files.paths[i])
    except FileNotFoundError:
        return "was removed"
    except OSError as error:
        return f"became unreadable ({error.strerror})"
    now, (modified, changed) = stamps_of(status), files.stamps[i].tolist()
    if now == (modified, changed):
        return ""
    size = int(files.sizes[i])
    if files.offsets[i] < 0 and status.st_size != size:
        return f"changed from {size} to {status.st_size} bytes"
    if now[0] != modified:
        return f"was written again ({datetime.fromtimestamp(now[0] / 1e9):%Y-%m-%d %H:%M:%S})"
    if not same_contents(i):
        return "changed its contents"
    files.stamps[i] = now
    return ""
