"""What a file is, from its first bytes: format, size, and how the camera was held. No pixel yet."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

# What the end of a name promises. A file is judged by its contents: a JPEG called .bmp is used.
KINDS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WebP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
EXTENSIONS = tuple(KINDS)

# Listed as well, to be refused by name: an image that is passed over in silence is data lost.
SUSPECTS = (".heic", ".heif", ".avif")

READ = "JPEG, PNG, BMP, GIF, WebP or TIFF"

# Formats that people keep beside these, so that a refusal can name them: offset, bytes.
OTHERS = (
    (4, b"ftyp", "HEIF or AVIF"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"%PDF", "PDF"),
)

# Tags of TIFF 6.0, which EXIF shares, and the formats of their values.
WIDTH, HEIGHT, BITS, ORIENTATION, TILE_WIDTH, TILE_HEIGHT, SAMPLE_FORMAT = (
    256, 257, 258, 274, 322, 323, 339
)  # fmt: skip
SHORT, LONG = 3, 4
MOST_TILE_PIXELS = 2**22  # of a tile that is larger than its image: decoders make room for it

# Sizes of the headers of BMP that name 32 bits a side; the older one has 12 bytes.
BMP_HEADERS = (40, 52, 56, 64, 108, 124)

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
    """height and width as stored; orientation 1..8 as in EXIF, 1 = upright.

    Of a TIFF, whose orientation is part of how its pixels are stored, the upright height and width.
    """

    kind: str
    height: int
    width: int
    orientation: int


def read_header(contents: bytes) -> Header:
    """Of an image file, by its bytes and not by its name. Raises HeaderError."""
    if not contents:
        raise HeaderError("is empty")
    if contents.startswith(b"\xff\xd8\xff"):
        return _jpeg(contents)
    for offset, magic, parse in PARSERS:
        if contents.startswith(magic, offset):
            return parse(contents)
    for offset, magic, name in OTHERS:
        if contents.startswith(magic, offset):
            raise HeaderError(f"is a {name} image, not {READ}")
    raise HeaderError(f"is not a {READ} image")


def _header(kind: str, height: int, width: int, orientation: int = 1) -> Header:
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise HeaderError(f"is a truncated or damaged {kind} file")
    return Header(kind, height, width, orientation)


def _png(contents: bytes) -> Header:
    if contents[4:16] != b"\r\n\x1a\n\0\0\0\x0dIHDR" or len(contents) < 33:
        raise HeaderError("is a truncated or damaged PNG file")
    width, height = struct.unpack_from(">II", contents, 16)
    if contents.count(b"zTXt") + contents.count(b"iTXt") > MOST_TEXTS:
        raise HeaderError(f"is a PNG file with more than {MOST_TEXTS} compressed texts")
    return _header("PNG", height, width)


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
            orientation = _exif_orientation(contents[at + 8 : at + length])
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


def _bmp(contents: bytes) -> Header:
    try:
        (size,) = struct.unpack_from("<I", contents, 14)
        if size == 12:
            width, height = struct.unpack_from("<HH", contents, 18)
        elif size in BMP_HEADERS:
            width, height = struct.unpack_from("<ii", contents, 18)
        else:
            raise HeaderError(f"is a BMP file with a header of {size} bytes, which is unknown")
    except struct.error:
        raise HeaderError("is a truncated or damaged BMP file") from None
    return _header("BMP", abs(height), width)  # below 0: rows from the top


def _gif(contents: bytes) -> Header:
    """GIF89a, up to the first frame, which may be larger than the screen."""
    try:
        width, height, flags = struct.unpack_from("<HHB", contents, 6)
        at = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0)
        while contents[at] != 0x2C:
            if contents[at] == 0x3B:  # the end, and no frame before it
                raise HeaderError("is a GIF file without an image")
            if contents[at] == 0x21:
                at += 2
                while contents[at]:
                    at += 1 + contents[at]
            at += 1
        x, y, w, h = struct.unpack_from("<HHHH", contents, at + 1)
    except (struct.error, IndexError):
        raise HeaderError("is a truncated or damaged GIF file") from None
    return _header("GIF", max(height, y + h), max(width, x + w))


def _webp(contents: bytes) -> Header:
    """RFC 9649: a lossy, a lossless, or an extended file; of an animation the canvas."""
    try:
        if contents.startswith(b"VP8X", 12):
            w, w_high, h, h_high = struct.unpack_from("<HBHB", contents, 24)
            orientation = _webp_orientation(contents) if contents[20] & 8 else 1
            return _header("WebP", 1 + h + (h_high << 16), 1 + w + (w_high << 16), orientation)
        if contents.startswith(b"VP8L", 12) and contents[20] == 0x2F:
            (bits,) = struct.unpack_from("<I", contents, 21)
            return _header("WebP", (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1)
        if contents.startswith(b"VP8 ", 12) and contents.startswith(b"\x9d\x01\x2a", 23):
            width, height = struct.unpack_from("<HH", contents, 26)
            return _header("WebP", height & 0x3FFF, width & 0x3FFF)
    except (struct.error, IndexError):
        pass
    raise HeaderError("is a truncated or damaged WebP file")


def _webp_orientation(contents: bytes) -> int:
    """By the EXIF chunk, which lies behind the pixels. Raises struct.error for a truncated file."""
    end = 8 + struct.unpack_from("<I", contents, 4)[0]
    at = 12
    for _ in range(MOST_SEGMENTS):
        if at + 8 > end:
            break
        name, size = struct.unpack_from("<4sI", contents, at)
        if name == b"EXIF":
            return _exif_orientation(contents[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
        at += 8 + size + size % 2
    return 1


def _tiff(contents: bytes) -> Header:
    """TIFF 6.0, the first image of the file."""
    fields: dict[int, int] = {}
    for tag, _, value in _entries(contents):
        fields.setdefault(tag, value)
    height, width = fields.get(HEIGHT, 0), fields.get(WIDTH, 0)
    bits = fields.get(BITS, 1)
    if bits not in (1, 2, 4, 8, 16) or fields.get(SAMPLE_FORMAT, 1) != 1:
        numbers = "" if fields.get(SAMPLE_FORMAT, 1) == 1 else " signed or floating-point"
        raise HeaderError(
            f"is a TIFF file of {bits}{numbers} bits a sample; unsigned ones up to 16 can be read"
        )
    tile = fields.get(TILE_WIDTH, 0) * fields.get(TILE_HEIGHT, 0)
    if tile > max(height * width, MOST_TILE_PIXELS):
        raise HeaderError("is a TIFF file with tiles far larger than the image")
    if 5 <= fields.get(ORIENTATION, 1) <= 8:
        height, width = width, height
    return _header("TIFF", height, width)


def _exif_orientation(tiff: bytes) -> int:
    """EXIF 2.32, section 4.6.4; 1 for whatever cannot be read, as viewers do."""
    for tag, kind, value in _entries(tiff):
        if tag == ORIENTATION:
            return value if kind == SHORT and 1 <= value <= 8 else 1
    return 1


def _entries(tiff: bytes) -> Iterator[tuple[int, int, int]]:
    """(tag, kind, first value) of the first directory, as far as it can be read; 0 for values that
    are no whole numbers."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, at)
        for where in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(order + "HHI", tiff, where)
            where += 8
            value = 0
            if kind in (SHORT, LONG):
                if count > (2 if kind == SHORT else 1):  # elsewhere
                    (where,) = struct.unpack_from(order + "I", tiff, where)
                (value,) = struct.unpack_from(order + ("H" if kind == SHORT else "I"), tiff, where)
            yield tag, kind, value
    except struct.error:
        return


PARSERS = (
    (0, b"\x89PNG", _png),
    (0, b"BM", _bmp),
    (0, b"GIF8", _gif),
    (8, b"WEBP", _webp),
    (0, b"II*\0", _tiff),
    (0, b"MM\0*", _tiff),
)
