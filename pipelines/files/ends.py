"""What the first and the last bytes of an image file tell: its header, and whether it is whole.

Compressed pixels are neither read nor decoded, where the file looks healthy.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from pipelines.files.image_header import Header, HeaderError, read_header

HEAD, TAIL = 16 * 1024, 256  # bytes that are read; headers of photographs end before HEAD
START = 1024  # bytes in which most headers end, and which are quicker to look through
QUICK_BYTES = 16  # of the sha256 of size, first and last bytes

# Markers of JPEG: the first scan; frames of one scan, or of one a component (baseline, extended).
SCAN, SEQUENTIAL, FRAMES = 0xDA, (0xC0, 0xC1), range(0xC0, 0xD0)
NO_FRAMES = (0xC4, 0xC8, 0xCC)

Read = Callable[[int, int], bytes]  # (first byte, bytes) -> what is there, short at the file's end


class Ends(NamedTuple):
    """Of one file.

    header   None where it is damaged
    whole    the end of the picture stands where it must; if not, only decoding tells
    quick    see `quick_digest`
    digest   sha256 of all bytes, where they were read
    reason   what is wrong with the header
    """

    header: Header | None
    whole: bool
    quick: bytes
    digest: bytes | None
    reason: str = ""


def quick_digest(size: int, head: bytes, tail: bytes) -> bytes:
    """Of the size and the HEAD first and TAIL last bytes: equal for equal files; files of a size
    that differ only in between are told apart by all of their bytes alone."""
    sha256 = hashlib.sha256(size.to_bytes(8, "little"))
    sha256.update(head)
    sha256.update(tail)
    return sha256.digest()[:QUICK_BYTES]


def quick_digest_of(contents: bytes) -> bytes:
    """The quick digest of a file that was read whole."""
    return quick_digest(len(contents), contents[:HEAD], contents[-TAIL:])


def read_ends(read: Read, size: int) -> Ends:
    """Of a file of `size` bytes. All of it is read where its header lies further back, or where
    only all of it tells how many passes a decoder would make. Raises OSError."""
    head = read(0, min(size, HEAD))
    complete = size <= HEAD
    tail = head[-TAIL:] if complete else read(size - TAIL, TAIL)
    if len(head) < min(size, HEAD) or len(tail) < min(size, TAIL):
        raise OSError(0, "shorter than when it was listed")
    quick = quick_digest(size, head, tail)
    digest = hashlib.sha256(head).digest() if complete else None
    try:
        header = _header(head, tail, complete)
        if header is None:
            header = read_header(read(0, size))
    except HeaderError as error:
        return Ends(None, False, quick, digest, str(error))
    return Ends(header, _ends_well(header.kind, head, tail, size), quick, digest)


def reader(path: str, offset: int) -> tuple[Read, Callable[[], None]]:
    """How to read a file, or what begins at `offset` of an archive, and how to close it."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    start = max(offset, 0)

    def read(first: int, size: int) -> bytes:
        contents = os.pread(handle, size, start + first)
        while len(contents) < size:
            more = os.pread(handle, size - len(contents), start + first + len(contents))
            if not more:
                break
            contents += more
        return contents

    return read, lambda: os.close(handle)


def _header(head: bytes, tail: bytes, complete: bool) -> Header | None:
    """None: the rest of the file has to be seen, always of the rarer kinds. Raises HeaderError."""
    if complete:
        return read_header(head)
    for most in (START, HEAD):
        try:
            header = read_header(head[:most])
        except HeaderError:
            continue
        enough = {"JPEG": _one_scan, "PNG": _no_texts}.get(header.kind)
        return header if enough and enough(head, tail) else None
    return None


def _one_scan(head: bytes, tail: bytes) -> bool:
    """The first scan has all components of a sequential frame: decoders then take no other."""
    at, components = 2, 0
    try:
        while head[at] == 0xFF:
            marker = head[at + 1]
            if marker == 0xFF:  # a byte to fill up
                at += 1
                continue
            if marker == SCAN:
                return head[at + 4] == components
            if marker in FRAMES and marker not in NO_FRAMES:
                if marker not in SEQUENTIAL:
                    return False
                components = head[at + 9]
            at += 2 + (head[at + 2] << 8 | head[at + 3])
    except IndexError:
        pass
    return False


def _no_texts(head: bytes, tail: bytes) -> bool:
    """Pixels of a PNG begin in its head, and no compressed text lies before or behind them."""
    return b"IDAT" in head and not any(b"TXt" in part for part in (head, tail))


def _ends_well(kind: str, head: bytes, tail: bytes, size: int) -> bool:
    """Does the file end where its picture does? False in doubt, and for kinds that do not tell."""
    if kind == "JPEG":  # compressed pixels never hold this mark; bytes behind it are common
        return b"\xff\xd9" in tail
    if kind == "PNG":
        return b"IEND\xaeB\x60\x82" in tail  # with its checksum
    if kind == "GIF":
        return tail.endswith(b";")
    return kind == "WebP" and int.from_bytes(head[4:8], "little") + 8 <= size
