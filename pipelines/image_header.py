"""What a file is, from its first bytes: format, size, and how the camera was held. No pixel yet."""

from __future__ import annotations

import struct
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
    return Header("PNG", height, width, 1)


def _jpeg(contents: bytes) -> Header:
    """ITU T.81, annex B: segments up to the frame header, as libjpeg looks for them."""
    at, orientation = 2, 1
    while True:
        at = contents.find(b"\xff", at)
        while 0 <= at < len(contents) and contents[at] == 0xFF:
            at += 1
        if not 0 <= at < len(contents) - 3:
            break
        marker = contents[at]
        at += 1
        if marker <= 0x01 or 0xD0 <= marker <= 0xD8:  # has no length
            continue
        if marker in (0xD9, 0xDA):  # the picture starts or ends without a frame header
            break
        length = struct.unpack_from(">H", contents, at)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if at + 8 > len(contents):
                break
            precision, height, width = struct.unpack_from(">BHH", contents, at + 2)
            if precision != 8:
                raise HeaderError(f"is a JPEG file of {precision} bits a sample; 8 can be read")
            if not height or not width:
                break
            return Header("JPEG", height, width, orientation)
        if marker == 0xE1 and contents.startswith(b"Exif\0\0", at + 2):
            orientation = _orientation(contents[at + 8 : at + length])
        at += max(length, 2)
    raise HeaderError("is a truncated or damaged JPEG file")


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
