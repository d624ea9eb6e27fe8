"""What a file is, from its first bytes: format, size, and how the camera was held. No pixel yet."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

# Formats that people keep beside JPEG and PNG, so that a refusal can name them: offset, bytes.
OTHERS = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (8, b"WEBP", "WebP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (4, b"ftyp", "HEIF or AVIF"),
    (0, b"%PDF", "PDF"),
)
ORIENTATION_TAG, SHORT = 0x0112, 3

# A marker that a length follows, or the end of the picture. Markers 01 and D0 to D8 have no length,
# and FF 00 is a byte of compressed pixels.
MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
SCAN = 0xDA

# Each costs the decoder time out of all proportion to its bytes: a scan of 31 bytes is a pass over
# all of the picture, a text of 8 kB inflates to 8 MB. Encoders write about ten of either.
MOST_SCANS, MOST_TEXTS, MOST_SEGMENTS = 100, 100, 100_000


class HeaderError(ValueError):
    """Why the bytes are no image that can be used; reads after the name of the file."""


class Header(NamedTuple):
    """height and width as stored; orientation 1..8 as in EXIF, 1 = upright."""

    kind: str
    height: int
    width: int
    orientation: int


def read_header(contents: bytes) -> Header:
    """Of a JPEG or PNG file, by its bytes and not by its name. Raises HeaderError."""
    if not contents:
        raise HeaderError("is empty")
    if contents.startswith(b"\xff\xd8\xff"):
        return _jpeg(contents)
    if contents.startswith(b"\x89PNG"):
        return _png(contents)
    for offset, magic, name in OTHERS:
        if contents.startswith(magic, offset):
            raise HeaderError(f"is a {name} image, not JPEG or PNG")
    raise HeaderError("is not a JPEG or PNG image")


def _png(contents: bytes) -> Header:
    if contents[4:16] != b"\r\n\x1a\n\0\0\0\x0dIHDR" or len(contents) < 33:
        raise HeaderError("is a truncated or damaged PNG file")
    width, height = struct.unpack_from(">II", contents, 16)
    if not (0 < width < 2**31 and 0 < height < 2**31):  # the limits of the format
        raise HeaderError("is a truncated or damaged PNG file")
    if contents.count(b"zTXt") + contents.count(b"iTXt") > MOST_TEXTS:
        raise HeaderError(f"is a PNG file with more than {MOST_TEXTS} compressed texts")
    return Header("PNG", height, width, 1)


def _jpeg(contents: bytes) -> Header:
    """ITU T.81, annex B: segments up to the frame header."""
    orientation = 1
    for marker, at, length in _segments(contents):
        if marker == SCAN:  # the picture starts without a frame header
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if at + 8 > len(contents):
                break
            precision, height, width = struct.unpack_from(">BHH", contents, at + 2)
            if precision != 8:
                raise HeaderError(f"is a JPEG file of {precision} bits a sample; 8 can be read")
            if not height or not width:
                break
            if contents.count(b"\xff\xda", at) > MOST_SCANS:  # those of appended films included
                scans = sum(marker == SCAN for marker, _, _ in _segments(contents))
                if scans > MOST_SCANS:
                    raise HeaderError(f"is a JPEG file of {scans} scans; {MOST_SCANS} are read")
            return Header("JPEG", height, width, orientation)
        if marker == 0xE1 and contents.startswith(b"Exif\0\0", at + 2):
            orientation = _orientation(contents[at + 8 : at + length])
    raise HeaderError("is a truncated or damaged JPEG file")


def _segments(contents: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, where its length stands, length) up to the end of the picture, as libjpeg finds
    them: over whatever lies between, compressed pixels too. Raises HeaderError for far too many.
    """
    at = 2
    for _ in range(MOST_SEGMENTS):
        marker = MARKER.search(contents, at)
        if marker is None or marker.end() + 2 > len(contents) or marker[1] == b"\xd9":
            return
        at = marker.end()
        (length,) = struct.unpack_from(">H", contents, at)
        yield marker[1][0], at, length
        at += max(length, 2)
    raise HeaderError(f"is a JPEG file of more than {MOST_SEGMENTS} segments")


def _orientation(tiff: bytes) -> int:
    """EXIF 2.32, section 4.6.4; 1 for whatever cannot be read, as viewers do."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(entries):
            where = at + 2 + 12 * entry
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, where)
            if tag == ORIENTATION_TAG:
                return value if kind == SHORT and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
