"""Odd images are decoded right; unusable ones are named in one line, or skipped and counted."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from pipelines.errors import SourceError
from pipelines.files.image_header import HeaderError, read_header
from pipelines.sources.base import Source
from pipelines.sources.open import open_source


def picture(size: tuple[int, int] = (24, 40), seed: int = 0) -> Image.Image:
    """Smooth, with no symmetry: height 24, width 40."""
    small = np.random.default_rng(seed).integers(20, 236, (3, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def folder(root: Path, contents: bytes | None = None, name: str = "odd.jpg", good: int = 3) -> Path:
    """Two classes of good photographs, and one file more in the second."""
    for label, kind in enumerate(("ant", "cat")):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for i in range(good):
            plain = encoded(picture(seed=10 * label + i + 1), "JPEG")
            (root / kind / f"{i}.jpg").write_bytes(plain)
    if contents is not None:
        (root / "cat" / name).write_bytes(contents)
    return root


def last(source: Source) -> np.ndarray:
    return np.asarray(source.images(tf.constant(len(source) - 1)))


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None]


def transparent_palette() -> bytes:
    return encoded(picture().convert("P"), "PNG", transparency=3)


def sixteen_bits() -> bytes:
    wide = np.asarray(picture().convert("L")).astype(np.uint16) * 256 + 77
    return encoded(Image.fromarray(wide), "PNG")


DECODED_AS_PILLOW = {
    "cmyk": lambda: encoded(picture().convert("CMYK"), "JPEG", quality=95),
    "grey": lambda: encoded(picture().convert("L"), "JPEG"),
    "progressive": lambda: encoded(picture(), "JPEG", progressive=True),
    "RGB inside": lambda: encoded(picture(), "JPEG", keep_rgb=True),
    "PNG": lambda: encoded(picture(), "PNG"),
    "grey PNG": lambda: encoded(picture().convert("L"), "PNG"),
    "palette": lambda: encoded(picture().convert("P"), "PNG"),
    "transparent palette": transparent_palette,
    "transparent": lambda: encoded(picture().convert("RGBA"), "PNG"),
    "black and white": lambda: encoded(picture().convert("1"), "PNG"),
}


@pytest.mark.parametrize("kind", DECODED_AS_PILLOW)
def test_odd_images_are_decoded_right(tmp_path: Path, kind: str) -> None:
    contents = DECODED_AS_PILLOW[kind]()
    truth = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    folder(tmp_path, contents)
    colour = last(open_source(f"folder:{tmp_path}"))
    assert np.array_equal(colour, truth)
    single = last(open_source(f"folder:{tmp_path}", channels=1))
    assert single.shape == (24, 40, 1)
    # A colour JPEG holds its luma; through RGB and back it is rounded twice.
    assert np.abs(single.astype(int) - grey(truth)).max() <= 1


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path) -> None:
    truth = np.asarray(picture().convert("L"))
    for channels in (1, 3):
        pixels = last(open_source(f"folder:{folder(tmp_path, sixteen_bits())}", channels=channels))
        assert np.array_equal(pixels, np.repeat(truth[..., None], channels, axis=-1))


def adobe(contents: bytes) -> tuple[int, int]:
    """Where Adobe's segment lies in a JPEG, and its length."""
    at = contents.index(b"\xff\xee")
    return at, 2 + int(struct.unpack_from(">H", contents, at + 2)[0])


def test_inverted_and_plain_cmyk_are_told_apart(tmp_path: Path) -> None:
    """Adobe stores CMYK inverted and says so; without its mark the values are ink as they are."""
    inverted = picture().convert("CMYK").point(lambda value: 255 - value)
    contents = encoded(inverted, "JPEG", quality=100)
    at, length = adobe(contents)
    folder(tmp_path, contents[:at] + contents[at + length :])
    pixels = last(open_source(f"folder:{tmp_path}")).astype(int)
    assert np.abs(pixels - np.asarray(picture())).mean() < 1


def test_ycck(tmp_path: Path) -> None:
    contents = bytearray(encoded(picture().convert("CMYK"), "JPEG", quality=95))
    at, length = adobe(bytes(contents))
    contents[at + length - 1] = 2  # the first three channels are YCC
    truth = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    assert truth.std() > 10
    folder(tmp_path, bytes(contents))
    assert np.abs(last(open_source(f"folder:{tmp_path}")).astype(int) - truth).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    contents = encoded(picture(), "JPEG", exif=exif, quality=95, subsampling=0)
    stored = Image.open(io.BytesIO(contents))
    truth = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    folder(tmp_path, contents)
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    held = open_source(f"folder:{tmp_path}")
    assert np.array_equal(last(source), truth)
    assert np.array_equal(last(held), truth)
    assert source.fingerprint == held.fingerprint
    assert (source.image_shape[0] is None) == (orientation >= 5)
    index = tf.constant(len(source) - 1)
    height, width = truth.shape[:2]
    rng = np.random.default_rng(orientation)
    for _ in range(12):
        h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
        y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))

        def window(shape: tf.Tensor, box: tuple[int, ...] = (y, x, h, w)) -> tf.Tensor:
            tf.debugging.assert_equal(shape, [height, width])
            return tf.constant(box)

        part = source.images(index, window).numpy()
        assert np.array_equal(part, truth[y : y + h, x : x + w])


def test_orientation_works_inside_a_graph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    folder(tmp_path, encoded(picture(), "JPEG", exif=exif))
    source = open_source(f"folder:{tmp_path}")
    shapes = [tuple(example["image"].shape) for example in source.dataset(range(len(source)))]
    assert shapes == [(24, 40, 3)] * 6 + [(40, 24, 3)]


@pytest.mark.parametrize("kind", ["CMYK", "grey", "progressive", "PNG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_window_of_an_odd_image_is_that_part_of_the_whole(kind: str, channels: int) -> None:
    from pipelines.files.decode import cut_of, decode, decode_cut, decode_window

    image = picture()
    contents = {
        "CMYK": lambda: encoded(image.convert("CMYK"), "JPEG"),
        "grey": lambda: encoded(image.convert("L"), "JPEG"),
        "progressive": lambda: encoded(image, "JPEG", progressive=True),
        "PNG": lambda: encoded(image, "PNG"),
    }[kind]()
    whole = decode(tf.constant(contents), channels).numpy()
    assert whole.shape == (24, 40, channels)
    window = tf.constant([3, 7, 15, 21])
    part = decode_window(tf.constant(contents), channels, lambda _: window)
    assert np.array_equal(part, whole[3:18, 7:28])
    cut = cut_of(window, tf.constant([24, 40]), channels)
    assert np.array_equal(decode_cut(tf.constant(contents), channels, cut), part)


def jpeg_of_size(height: int, width: int) -> bytes:
    """A small photograph whose frame header claims another size."""
    contents = bytearray(encoded(picture(), "JPEG"))
    at = contents.index(b"\xff\xc0")
    struct.pack_into(">HH", contents, at + 5, height, width)
    return bytes(contents)


def png_of_size(height: int, width: int) -> bytes:
    contents = bytearray(encoded(picture(), "PNG"))
    struct.pack_into(">II", contents, 16, width, height)
    struct.pack_into(">I", contents, 29, zlib.crc32(contents[12:29]))
    return bytes(contents)


PHOTO = encoded(picture(), "JPEG")
PROGRESSIVE = encoded(picture((200, 300)), "JPEG", progressive=True)
DRAWING = encoded(picture(), "PNG")
FLIPPED = DRAWING[: len(DRAWING) // 2] + b"\x00\x01" + DRAWING[len(DRAWING) // 2 + 2 :]
DAMAGED_JPEG, DAMAGED_PNG = (f"is a truncated or damaged {kind} file" for kind in ("JPEG", "PNG"))
HEIF = b"\0\0\0\x20ftypheic" + bytes(500)
REFUSED = {
    "zero bytes": (b"", "is empty"),
    "text": (b"not an image", "is not a JPEG, PNG, BMP, GIF, WebP or TIFF image"),
    "half a JPEG": (PHOTO[: len(PHOTO) // 2], DAMAGED_JPEG),
    "JPEG without its last bytes": (PHOTO[:-2], DAMAGED_JPEG),
    "JPEG header only": (PHOTO[:30], DAMAGED_JPEG),
    "JPEG magic only": (b"\xff\xd8\xff", DAMAGED_JPEG),
    "JPEG of 0xFF": (b"\xff\xd8" + b"\xff" * 5000, DAMAGED_JPEG),
    "half a progressive JPEG": (PROGRESSIVE[: len(PROGRESSIVE) // 2], DAMAGED_JPEG),
    "JPEG of no height": (jpeg_of_size(0, 40), DAMAGED_JPEG),
    "half a PNG": (DRAWING[: len(DRAWING) // 2], DAMAGED_PNG),
    "PNG with flipped bits": (FLIPPED, DAMAGED_PNG),
    "PNG magic only": (DRAWING[:8], DAMAGED_PNG),
    "PNG of no width": (png_of_size(24, 0), DAMAGED_PNG),
    "HEIF": (HEIF, "is a HEIF or AVIF image, not JPEG, PNG, BMP, GIF, WebP or TIFF"),
    "AVIF": (HEIF.replace(b"heic", b"avif"), "is a HEIF or AVIF image, not JPEG"),
    "BigTIFF": (encoded(picture(), "TIFF", big_tiff=True), "is a BigTIFF image, not JPEG"),
    "JPEG bomb": (jpeg_of_size(60_000, 60_000), "has 60000 x 60000 pixels where data.max_pixels"),
    "PNG bomb": (png_of_size(60_000, 60_000), "has 60000 x 60000 pixels where data.max_pixels"),
    "PNG of 2**31 pixels a side": (
        png_of_size(2**31 - 1, 2**31 - 1),
        "has 2147483647 x 2147483647",
    ),
}


ONLY_DECODING_TELLS = {"PNG with flipped bits"}


@pytest.mark.parametrize("kind", REFUSED)
def test_unusable_files_are_named_or_skipped(tmp_path: Path, kind: str) -> None:
    contents, why = REFUSED[kind]
    folder(tmp_path, contents)
    with pytest.raises(SourceError) as caught:
        open_source(
            f"folder:{tmp_path}", verify="decode" if kind in ONLY_DECODING_TELLS else "header"
        )
    text = str(caught.value)
    assert f"cat/odd.jpg {why}" in text
    assert "data.on_corrupt: skip" in text
    assert "\n" not in text
    for _ in range(2):  # checked, then from the cache
        source = open_source(f"folder:{tmp_path}", on_corrupt="skip", max_corrupt_fraction=0.2)
        assert len(source) == 6
        ((name, reason),) = source.corrupt
        assert name == "cat/odd.jpg"
        assert why in reason
        assert source.image_shape == (24, 40, 3)


def test_a_bomb_is_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.files import verify

    def decode(contents: Any, *rest: Any) -> Any:
        assert read_header(contents.numpy()).height < 1000
        return whole(contents, *rest)

    whole = verify.decode
    monkeypatch.setattr(verify, "decode", decode)
    folder(tmp_path, png_of_size(60_000, 60_000))
    for how in ("header", "decode"):
        source = open_source(
            f"folder:{tmp_path}", on_corrupt="skip", max_corrupt_fraction=0.2, verify=how
        )
        assert len(source.corrupt) == 1


def test_max_pixels_is_a_setting_and_holds_for_what_is_cached(tmp_path: Path) -> None:
    root = folder(tmp_path, encoded(picture((50, 60)), "JPEG"))
    assert len(open_source(f"folder:{root}")) == 7
    with pytest.raises(SourceError, match=r"odd.jpg has 50 x 60 pixels.*allows 2999"):
        open_source(f"folder:{root}", max_pixels=2999)
    assert len(open_source(f"folder:{root}", max_pixels=3000)) == 7
    with pytest.raises(SourceError, match=r"data\.max_pixels: expected a number from 1"):
        open_source(f"folder:{root}", max_pixels=0)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    root = folder(tmp_path)
    with open(root / "cat" / "odd.jpg", "wb") as file:
        file.write(PHOTO)
        file.truncate(50 * 1024**3)  # takes no space on the disk
    with pytest.raises(SourceError, match=r"odd.jpg has 53687091200 bytes, more than an image"):
        open_source(f"folder:{root}")


@pytest.mark.parametrize("name", ["odd.heic", "odd.heif", "odd.avif"])
def test_images_of_other_formats_are_not_passed_over(tmp_path: Path, name: str) -> None:
    folder(tmp_path, HEIF, name)
    with pytest.raises(SourceError, match=f"{name} is a HEIF or AVIF image, not JPEG, PNG"):
        open_source(f"folder:{tmp_path}")


def test_contents_count_and_not_the_name(tmp_path: Path) -> None:
    folder(tmp_path, encoded(picture(), "PNG"), "png.jpg")  # as n02105855_2933.JPEG of ILSVRC
    (tmp_path / "cat" / "z.jfif").write_bytes(PHOTO)
    source = open_source(f"folder:{tmp_path}")
    assert len(source) == 8
    assert np.array_equal(source.images(tf.constant(6)), np.asarray(picture()))


def test_links_in_a_circle_pipes_and_broken_links(tmp_path: Path) -> None:
    root = folder(tmp_path, good=30)
    os.symlink("circle.jpg", root / "cat" / "circle.jpg")
    os.symlink("nothing", root / "cat" / "lost.jpg")
    os.mkfifo(root / "cat" / "pipe.jpg")
    source = open_source(f"folder:{root}", on_corrupt="skip", max_corrupt_fraction=0.1)
    assert [name for name, _ in source.corrupt] == [
        "cat/circle.jpg",
        "cat/lost.jpg",
        "cat/pipe.jpg",
    ]
    assert "symbolic links" in source.corrupt[0][1]
    assert "No such file" in source.corrupt[1][1]
    assert source.corrupt[2][1] == "is not a regular file"


def test_folders_that_lead_in_a_circle(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    os.symlink("round", root / "round")
    with pytest.raises(SourceError, match=r"round cannot be read .*symbolic links") as caught:
        open_source(f"folder:{root}")
    assert "\n" not in str(caught.value)
    (root / "round").unlink()
    os.symlink("..", root / "cat" / "up")  # folders in a class folder are not entered
    assert len(open_source(f"folder:{root}")) == 6
    os.symlink(root, root / "self")
    with pytest.raises(SourceError, match="self is a link to the folder that it is in: remove it"):
        open_source(f"folder:{root}")
    (root / "self").unlink()
    os.symlink("cat", root / "dog")
    with pytest.raises(SourceError, match="dog is a link to 'cat': remove it"):
        open_source(f"folder:{root}")


@pytest.mark.parametrize(("how", "opener"), [("header", "reader"), ("decode", "read_range")])
def test_a_file_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any, opener: str
) -> None:
    import pipelines.files.verify

    root = folder(tmp_path, PHOTO)
    read = getattr(pipelines.files.verify, opener)

    def refuse(path: str, *rest: int) -> Any:
        # Tests may run as root, who can read everything.
        if path.endswith("odd.jpg"):
            raise PermissionError(13, "Permission denied", path)
        return read(path, *rest)

    monkeypatch.setattr(pipelines.files.verify, opener, refuse)
    with pytest.raises(SourceError, match=r"cat/odd.jpg cannot be read \(Permission denied\)"):
        open_source(f"folder:{root}", verify=how)
    monkeypatch.undo()
    assert len(open_source(f"folder:{root}")) == 7  # not held against it later


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    root = folder(tmp_path)
    with open(os.path.join(os.fsencode(root), b"cat", b"caf\xe9.jpg"), "wb") as file:
        file.write(PHOTO)
    (root / "cat" / "line\nbreak.jpg").write_bytes(PHOTO)
    truth = np.asarray(Image.open(io.BytesIO(PHOTO)))
    for limit in (0, 2**30):
        source = open_source(f"folder:{root}", memory_limit_bytes=limit)
        assert len(source) == 8
        assert np.array_equal(source.images(tf.constant(6)), truth)
        assert np.array_equal(source.images(tf.constant(7)), truth)
    for name in (b"caf\xe9.jpg", b"line\nbreak.jpg"):
        with open(os.path.join(os.fsencode(root), b"cat", name), "wb"):
            pass
    source = open_source(f"folder:{root}", on_corrupt="skip", max_corrupt_fraction=0.5)
    assert [name for name, _ in source.corrupt] == ["cat/caf\\xe9.jpg", "cat/line\\nbreak.jpg"]
    os.mkdir(os.path.join(os.fsencode(root), b"vach\xe9"))
    with pytest.raises(SourceError, match=r"class folder b'vach\\xe9' of .* is not named in UTF-8"):
        open_source(f"folder:{root}")


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0", 6),
        (b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0\0\0\0\0", 8),
        (b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0", 1),
        (b"MM\0*\xff\xff\xff\xff", 1),
        (b"MM\0*\0\0\0\x08\xff\xff", 1),
        (b"XX", 1),
        (b"", 1),
    ],
)
def test_orientation_is_read_or_taken_as_upright(exif: bytes, orientation: int) -> None:
    segment = b"Exif\0\0" + exif
    contents = PHOTO[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + PHOTO[2:]
    assert read_header(contents) == ("JPEG", 24, 40, orientation)


def test_a_header_is_read_or_refused_whatever_the_bytes() -> None:
    rng = np.random.default_rng(0)
    for contents in (PHOTO, DRAWING, PROGRESSIVE):
        for _ in range(300):
            spoilt = bytearray(contents[: rng.integers(0, len(contents))])
            for at in rng.integers(0, max(len(spoilt), 1), 8):
                if spoilt:
                    spoilt[at] = rng.integers(0, 256)
            try:
                height, width = read_header(bytes(spoilt))[1:3]
            except HeaderError:
                continue
            assert height > 0
            assert width > 0
