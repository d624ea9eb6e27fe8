"""BMP, GIF, WebP and TIFF: Pillow's pixels, by their contents, of one frame, within max_pixels."""

from __future__ import annotations

import io
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from pipelines import build
from pipelines.errors import SourceError
from pipelines.files.decode import cut_of, decode, decode_cut, decode_window
from pipelines.files.image_header import EXTENSIONS, HeaderError, read_header
from pipelines.files.pillow import pixels_of
from pipelines.resize import resize_centre
from pipelines.sources.check import check, open_to_check
from pipelines.sources.open import open_source

HEIGHT, WIDTH = 24, 40


def picture(seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    small = np.random.default_rng(seed).integers(20, 236, (3, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def transparent() -> Image.Image:
    image = picture()
    alpha = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    image.putalpha(Image.fromarray(alpha))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def frames(count: int) -> dict[str, Any]:
    return {"save_all": True, "append_images": [picture(5 + i) for i in range(count - 1)]}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def from_the_top() -> bytes:
    """A BMP with its rows in the other order, and so of negative height."""
    contents = bytearray(encoded(ImageOps.flip(picture()), "BMP"))
    struct.pack_into("<i", contents, 22, -HEIGHT)
    return bytes(contents)


IMAGES = {
    **{f"BMP {mode}": encoded(picture().convert(mode), "BMP") for mode in ("1", "L", "P", "RGB")},
    "BMP RGBA": encoded(transparent(), "BMP"),
    "BMP from the top": from_the_top(),
    **{f"GIF {mode}": encoded(picture().convert(mode), "GIF") for mode in ("L", "P", "RGB")},
    "GIF transparent": encoded(picture().convert("P"), "GIF", transparency=3),
    "GIF animated": encoded(picture(), "GIF", **frames(3)),
    "GIF comment": encoded(picture(), "GIF", comment=b"x" * 1000),
    "WebP lossy": encoded(picture(), "WEBP"),
    "WebP lossless": encoded(picture(), "WEBP", lossless=True),
    "WebP alpha": encoded(transparent(), "WEBP"),
    "WebP lossless alpha": encoded(transparent(), "WEBP", lossless=True, exact=True),
    "WebP animated": encoded(picture(), "WEBP", **frames(3)),
    **{
        f"TIFF {mode}": encoded(transparent().convert(mode), "TIFF")
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
    },
    **{
        f"TIFF {how}": encoded(picture(), "TIFF", compression=how)
        for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    },
    "TIFF fax": encoded(picture().convert("1"), "TIFF", compression="group4"),
    "TIFF pages": encoded(picture(), "TIFF", **frames(2)),
}


@tf.function(autograph=False)
def parts(contents: tf.Tensor, channels: int) -> list[tf.Tensor]:
    window = tf.constant([3, 5, 12, 14])
    cut = cut_of(window, tf.constant([HEIGHT, WIDTH]), channels)
    return [
        decode(contents, channels),
        decode_window(contents, channels, lambda shape: window),
        decode_cut(contents, channels, cut),
    ]


@pytest.mark.parametrize("what", IMAGES)
def test_pixels_are_pillows_whole_and_in_parts(what: str) -> None:
    contents = IMAGES[what]
    truth = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    assert read_header(contents) == (what.split()[0], HEIGHT, WIDTH, 1)
    grey = np.asarray(Image.fromarray(truth).convert("L"))[..., None]  # BT.601, as decoded
    for channels, whole in ((3, truth), (1, grey)):
        for make in (parts, parts.python_function):
            made = make(tf.constant(contents), channels)
            assert np.array_equal(made[0], whole)
            assert np.array_equal(made[1], whole[3:15, 5:19])
            assert np.array_equal(made[2], whole[3:15, 5:19])


def test_transparency_is_dropped_and_the_stored_colours_stay() -> None:
    stored = np.asarray(picture())
    for kind, options in (("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        assert np.array_equal(pixels_of(encoded(transparent(), kind, **options)), stored)


def tiff(pixels: np.ndarray, order: str, photometric: int, bits: int = 16) -> bytes:
    """A TIFF of one strip, its directory behind the pixels."""
    height, width, samples = pixels.shape
    data = pixels.astype(f"{order}u{bits // 8}").tobytes()
    at = 8 + len(data)
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, samples, 0), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, samples), (278, 3, 1, height),
        (279, 4, 1, len(data)),
    ]  # fmt: skip
    behind = at + 2 + 12 * len(entries) + 4
    directory = struct.pack(order + "H", len(entries))
    for tag, kind, count, value in entries:
        directory += struct.pack(order + "HHI", tag, kind, count)
        if tag == 258 and count > 2:
            directory += struct.pack(order + "I", behind)
        else:
            value = bits if tag == 258 else value
            directory += struct.pack(order + ("HH" if kind == 3 else "I"), *(value, 0)[: 5 - kind])
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", at)
    return magic + data + directory + bytes(4) + struct.pack(order + "H", bits) * samples


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("photometric", "samples"), [(1, 1), (2, 3)])
def test_sixteen_bits_keep_the_upper_eight(order: str, photometric: int, samples: int) -> None:
    upper = np.asarray(picture())[..., :samples].astype(np.uint16)
    contents = tiff(upper * 256 + 77, order, photometric)
    assert read_header(contents) == ("TIFF", HEIGHT, WIDTH, 1)
    assert np.array_equal(pixels_of(contents), np.broadcast_to(upper, (HEIGHT, WIDTH, 3)))


def test_where_white_is_zero_sixteen_bits_are_inverted_as_eight_are() -> None:
    upper = np.asarray(picture())[..., :1]
    eight = pixels_of(tiff(upper, "<", 0, bits=8))
    assert np.array_equal(eight[..., :1], 255 - upper)
    assert np.array_equal(pixels_of(tiff(upper.astype(np.uint16) * 256 + 77, "<", 0)), eight)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
def test_photographs_are_turned_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    if kind == "TIFF":
        contents = encoded(picture(), kind, tiffinfo={0x0112: orientation})
    else:
        contents = encoded(picture(), kind, exif=turned(orientation))
    truth = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(contents))).convert("RGB"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.img.jpg").write_bytes(contents)
    source = open_source(f"folder:{tmp_path}", memory_limit_bytes=0)
    assert np.array_equal(source.images(tf.constant(0)), truth)
    part = source.images(tf.constant(0), lambda shape: tf.constant([2, 4, 11, 9]))
    assert np.array_equal(part, truth[2:13, 4:13])


def test_a_text_does_not_turn_a_tiff() -> None:
    xmp = b'<x:xmpmeta tiff:Orientation="6"/>'
    assert pixels_of(encoded(picture(), "TIFF", tiffinfo={700: xmp})).shape == (HEIGHT, WIDTH, 3)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder of every format, and what its images look like."""
    root = tmp_path_factory.mktemp("mixed")
    truth = {}
    for label, name in enumerate(("ant", "cat")):
        (root / name).mkdir()
        for number, end in enumerate(EXTENSIONS):
            image = picture(10 * label + number, 40 + number, 50)
            kind = {"jpg": "JPEG", "jpe": "JPEG", "jfif": "JPEG", "tif": "TIFF"}
            contents = encoded(image, kind.get(end[1:], end[1:].upper()))
            (root / name / f"{number}{end}").write_bytes(contents)
            stored = Image.open(io.BytesIO(contents)).convert("RGB")
            truth[f"{name}/{number}{end}"] = np.asarray(stored)
    return root, truth


def test_a_folder_of_all_formats_is_read_checked_and_scored(
    mixed: tuple[Path, dict[str, np.ndarray]],
) -> None:
    root, truth = mixed
    source = open_source(f"folder:{root}", memory_limit_bytes=0)
    assert sorted(source.files.names) == sorted(truth)
    for example in source.dataset(range(len(source))):
        name = source.files.names[int(example["index"])]
        assert np.array_equal(example["image"], truth[name]), name
        assert source.class_names[int(example["label"])] == name.split("/")[0]
    batches = build.evaluation_dataset(
        source, range(len(source)), size=(24, 24), batch_size=7, crop_fraction=0.875
    )
    views = np.concatenate([images.numpy() for images, _ in batches])
    view = resize_centre((24, 24), 0.875)
    for made, name in zip(views, source.files.names, strict=True):
        assert np.abs(made - view(tf.constant(truth[name]))).max() < 0.02
    assert check(open_to_check(f"folder:{root}")).findings == []


def test_images_of_one_size_are_held_in_memory_whatever_their_format(tmp_path: Path) -> None:
    for name in ("ant", "cat"):
        (tmp_path / name).mkdir()
        for number, (what, contents) in enumerate(IMAGES.items()):
            ending = what.split()[0].lower()
            (tmp_path / name / f"{number:02}.{ending}").write_bytes(contents)
    source = open_source(f"folder:{tmp_path}")
    assert source.array is not None
    assert np.array_equal(source.array[: len(IMAGES)], [pixels_of(x) for x in IMAGES.values()])


def test_names_that_promise_another_format_are_reported(tmp_path: Path) -> None:
    for name in ("ant", "cat"):
        (tmp_path / name).mkdir()
    kinds = {"0.bmp": "WEBP", "1.tif": "GIF", "2.jpg": "BMP", "3.webp": "TIFF", "4.gif": "PNG"}
    for number, (name, kind) in enumerate(kinds.items()):
        (tmp_path / "ant" / name).write_bytes(encoded(picture(number, 40, 50), kind))
    (tmp_path / "cat" / "good.webp").write_bytes(encoded(picture(9, 40, 50), "WEBP"))
    report = check(open_to_check(f"folder:{tmp_path}"))
    assert {(each.image, each.problem, each.detail) for each in report.findings} == {
        ("ant/0.bmp", "mislabelled format", "is a WebP file"),
        ("ant/1.tif", "mislabelled format", "is a GIF file"),
        ("ant/2.jpg", "mislabelled format", "is a BMP file"),
        ("ant/3.webp", "mislabelled format", "is a TIFF file"),
        ("ant/4.gif", "mislabelled format", "is a PNG file"),
    }


def long_gif(count: int) -> bytes:
    """One picture, then one small frame again and again."""
    contents = encoded(picture(), "GIF")
    frame = encoded(picture(1).resize((2, 2)).convert("L"), "GIF")
    return contents[:-1] + frame[frame.index(b",") : -1] * count + contents[-1:]


def test_of_an_animation_only_the_first_frame_costs() -> None:
    still, animated = encoded(picture(), "GIF"), long_gif(200_000)
    assert np.array_equal(pixels_of(animated), pixels_of(still))
    began = time.perf_counter()
    pixels_of(animated)
    assert time.perf_counter() - began < 0.5  # all of them take far longer


def sized(kind: str, height: int, width: int) -> bytes:
    """A small file whose header claims another size."""
    contents = bytearray(
        encoded(picture(), kind, **({"exif": turned(1)} if kind == "WEBP" else {}))
    )
    if kind == "BMP":
        struct.pack_into("<ii", contents, 18, width, height)
    elif kind == "GIF":
        struct.pack_into("<HH", contents, 6, width, height)
    elif kind == "WEBP":
        contents[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    else:
        directory = struct.unpack_from("<I", contents, 4)[0]
        for at in range(directory + 2, len(contents) - 12, 12):
            (tag,) = struct.unpack_from("<H", contents, at)
            if tag in (256, 257):
                struct.pack_into("<HHII", contents, at, tag, 4, 1, width if tag == 256 else height)
            if tag == 257:
                break
    return bytes(contents)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF"])
def test_pillows_own_limit_neither_warns_nor_refuses(kind: str) -> None:
    contents = sized(kind, 20_000, 20_000)  # only the header is read
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Image.open(io.BytesIO(contents)).size == (20_000, 20_000)


def half(contents: bytes) -> bytes:
    return contents[: len(contents) // 2]


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
FOUR = ("BMP", "GIF", "WEBP", "TIFF")
HUGE = "has 60000 x 50000 pixels where data.max_pixels allows"
REFUSED = {
    **{f"{kind} bomb": (sized(kind, 60_000, 50_000), HUGE) for kind in FOUR},
    **{
        f"half a {kind}": (half(encoded(NOISE, kind)), f"is a truncated or damaged {name} file")
        for kind, name in (("BMP", "BMP"), ("GIF", "GIF"), ("WEBP", "WebP"), ("TIFF", "TIFF"))
    },
    **{
        f"{name} magic": (magic, f"is a truncated or damaged {name} file")
        for name, magic in (
            ("BMP", b"BM"), ("GIF", b"GIF89a"), ("WebP", b"RIFF\x10\0\0\0WEBP"), ("TIFF", b"II*\0")
        )
    },
    "half an LZW TIFF": (
        half(encoded(NOISE, "TIFF", compression="tiff_lzw")),
        "is a truncated or damaged TIFF file",
    ),
    "TIFF of floats": (
        encoded(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"),
        "is a TIFF file of 32 signed or floating-point bits a sample; unsigned ones up to 16",
    ),
    "GIF without a frame": (b"GIF89a\x09\0\x09\0\0\0\0;", "is a GIF file without an image"),
    "BMP of no width": (sized("BMP", 24, 0), "is a truncated or damaged BMP file"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_unusable_files_are_named(tmp_path: Path, what: str) -> None:
    contents, why = REFUSED[what]
    for name in ("ant", "cat"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "good.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "cat" / "odd.img.tif").write_bytes(contents)
    with pytest.raises(SourceError) as caught:
        open_source(f"folder:{tmp_path}")
    assert f"cat/odd.img.tif {why}" in str(caught.value)
    assert "\n" not in str(caught.value)
    source = open_source(f"folder:{tmp_path}", on_corrupt="skip", max_corrupt_fraction=0.5)
    assert len(source) == 2


def test_of_a_damaged_tiff_libtiff_says_nothing_by_itself(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for how in ("tiff_lzw", "tiff_adobe_deflate"):
        contents = encoded(NOISE, "TIFF", compression=how)
        with pytest.raises(ValueError, match=f"Invalid TIFF data, size {len(contents)}: "):
            pixels_of(contents[:100] + b"\xff" * 5000 + contents[5100:])
    assert capfd.readouterr() == ("", "")


def test_a_tile_far_larger_than_its_image_is_refused() -> None:
    contents = bytearray(tiff(np.asarray(picture())[..., :1], "<", 1, bits=8))
    at = struct.unpack_from("<I", contents, 4)[0] + 2
    for entry, tag in ((7, 322), (8, 323)):  # in place of what is not needed for a header
        struct.pack_into("<HHII", contents, at + 12 * entry, tag, 4, 1, 30_000)
    with pytest.raises(HeaderError, match="tiles far larger than the image"):
        read_header(bytes(contents))


@pytest.mark.parametrize("what", IMAGES)
def test_a_header_is_read_or_refused_whatever_the_bytes(what: str) -> None:
    rng = np.random.default_rng(0)
    contents = IMAGES[what]
    for _ in range(60):
        spoilt = bytearray(contents[: rng.integers(4, len(contents))])
        for at in rng.integers(4, len(spoilt), 8) if len(spoilt) > 4 else []:
            spoilt[at] = rng.integers(0, 256)
        try:
            height, width = read_header(bytes(spoilt))[1:3]
        except HeaderError:
            continue
        assert height > 0
        assert width > 0
