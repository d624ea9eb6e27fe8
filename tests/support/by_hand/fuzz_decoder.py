"""Mutated image files through the folder source: each is decoded whole or refused by name.

    python tests/support/by_hand/fuzz_decoder.py 20000         count of files; a ledger at the end
    python tests/support/by_hand/fuzz_decoder.py --write 123 x.bin one of them, to look at

File number n of a seed is always the same. The files are tried in processes of their own, so that
one that ends its process, hangs or takes too much memory is counted and named.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MAX_PIXELS = 4_000_000
BATCH = 1000
BATCH_SECONDS = 600
CLASSES = ("ant", "cat")
Mutation = Callable[[np.random.Generator, bytearray], bytes]


def drawn(size: tuple[int, int] = (24, 40), seed: int = 0) -> Image.Image:
    """A smooth picture of this height and width with a few hard edges."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    image.paste((255, 0, 128), (size[1] // 3, size[0] // 3, size[1] // 2, size[0] // 2))
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def originals() -> dict[str, bytes]:
    """Valid files of every kind that people have, by what they are."""
    image, large = drawn(), drawn((120, 90), 1)
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "jpeg": encoded(image, "JPEG"),
        "jpeg 444": encoded(image, "JPEG", quality=95, subsampling=0),
        "jpeg progressive": encoded(large, "JPEG", progressive=True),
        "jpeg grey": encoded(image.convert("L"), "JPEG"),
        "jpeg CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "jpeg turned": encoded(large, "JPEG", exif=turned),
        "jpeg restarts": encoded(large, "JPEG", restart_marker_blocks=2),
        "jpeg profile": encoded(image, "JPEG", icc_profile=bytes(range(256)) * 4),
        "png": encoded(large, "PNG"),
        "png grey": encoded(image.convert("L"), "PNG"),
        "png bits": encoded(image.convert("1"), "PNG"),
        "png palette": encoded(image.convert("P"), "PNG", transparency=3),
        "png transparent": encoded(image.convert("RGBA"), "PNG"),
        "png 16": encoded(
            Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"
        ),
        "gif": encoded(image, "GIF"),
        "gif animated": encoded(image, "GIF", save_all=True, append_images=[drawn(seed=2)]),
        "bmp": encoded(image, "BMP"),
        "bmp palette": encoded(image.convert("P"), "BMP"),
        "bmp runs": RUNS,
        "webp": encoded(image, "WEBP"),
        "webp lossless": encoded(image.convert("RGBA"), "WEBP", lossless=True),
        "webp turned": encoded(image, "WEBP", exif=turned),
        "webp animated": encoded(image, "WEBP", save_all=True, append_images=[drawn(seed=2)]),
        "tiff": encoded(image, "TIFF"),
        "tiff palette": encoded(image.convert("P"), "TIFF", compression="packbits"),
        "tiff bits": encoded(image.convert("1"), "TIFF", compression="group4"),
        "tiff lzw": encoded(image.convert("RGBA"), "TIFF", compression="tiff_lzw"),
        "tiff deflate": encoded(large, "TIFF", compression="tiff_adobe_deflate", exif=turned),
        "tiff jpeg": encoded(image, "TIFF", compression="jpeg"),
        "tiff CMYK": encoded(image.convert("CMYK"), "TIFF"),
        "tiff 16": encoded(
            Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "TIFF"
        ),
    }


# Two rows of eight pixels, run-length encoded; Pillow reads these and writes none.
RUNS = (
    struct.pack("<2sIHHI", b"BM", 74, 0, 0, 62)
    + struct.pack("<IiiHHIIiiII", 40, 8, 2, 1, 8, 1, 12, 0, 0, 2, 0)
    + bytes([10, 20, 30, 0, 200, 150, 100, 0])
    + bytes([8, 0, 0, 0, 3, 1, 5, 0, 0, 0, 0, 1])
)


def mutated(originals: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """(what it is, contents) of one file; the same for the same seed and number."""
    rng = np.random.default_rng((seed, number))
    kind = str(rng.choice(list(originals)))
    contents = originals[kind]
    names = []
    for _ in range(int(rng.choice([1, 1, 1, 2]))):
        name = str(rng.choice(list(MUTATIONS)))
        if name == "splice":
            contents = _splice(rng, contents, originals[str(rng.choice(list(originals)))])
        else:
            contents = MUTATIONS[name](rng, bytearray(contents))
        names.append(name)
    return f"{kind}: {', '.join(names)}", contents


def _places(rng: np.random.Generator, contents: bytes | bytearray, most: int) -> Iterable[int]:
    """Positions, half of the time among the headers."""
    stop = len(contents) if rng.random() < 0.5 else min(len(contents), 200)
    if not stop:
        return []
    return [int(i) for i in rng.integers(0, stop, int(rng.integers(1, most + 1)))]


def _bits(rng: np.random.Generator, contents: bytearray) -> bytes:
    for i in _places(rng, contents, 16):
        contents[i] ^= 1 << int(rng.integers(8))
    return bytes(contents)


def _bytes(rng: np.random.Generator, contents: bytearray) -> bytes:
    for i in _places(rng, contents, 8):
        contents[i] = int(rng.choice([0, 1, 0x7F, 0x80, 0xC0, 0xC2, 0xD9, 0xDA, 0xFE, 0xFF]))
    return bytes(contents)


def _cut(rng: np.random.Generator, contents: bytearray) -> bytes:
    return bytes(contents[: int(rng.integers(0, len(contents) + 1))])


def _remove(rng: np.random.Generator, contents: bytearray) -> bytes:
    for i in _places(rng, contents, 1):
        del contents[i : i + int(rng.integers(1, 64))]
    return bytes(contents)


def _repeat(rng: np.random.Generator, contents: bytearray) -> bytes:
    for i in _places(rng, contents, 1):
        part = contents[i : i + int(rng.integers(1, 200))]
        contents[i:i] = part * int(rng.choice([1, 2, 50]))
    return bytes(contents)


def _noise(rng: np.random.Generator, contents: bytearray) -> bytes:
    for i in _places(rng, contents, 1):
        contents[i:i] = rng.bytes(int(rng.integers(1, 100)))
    return bytes(contents)


def _splice(rng: np.random.Generator, contents: bytes, other: bytes) -> bytes:
    head = contents[: int(rng.integers(0, len(contents) + 1))]
    return head + other[int(rng.integers(0, len(other) + 1)) :]


def _dimension(rng: np.random.Generator) -> int:
    """Small, near the limits of the formats, or anything: bombs are among them."""
    return int(rng.choice([0, 1, 2, 7, 16, 41, 1999, 2000, 30_000, 65_535, rng.integers(1 << 16)]))


def _resized(rng: np.random.Generator, contents: bytearray) -> bytes:
    """Other sizes in the header, with a right checksum."""
    height, width = _dimension(rng), _dimension(rng)
    if contents.startswith(b"\x89PNG") and len(contents) >= 33:
        scale = int(rng.choice([1, 1, 1 << 15]))
        struct.pack_into(">II", contents, 16, width * scale % 2**32, height * scale % 2**32)
        _sign(contents)
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = contents.find(marker)
        if at >= 0 and at + 9 <= len(contents):
            struct.pack_into(">HH", contents, at + 5, height, width)
            break
    with contextlib.suppress(struct.error):  # cut off before
        if contents.startswith(b"BM"):
            struct.pack_into("<ii", contents, 18, width, height)
        if contents.startswith(b"GIF8"):
            struct.pack_into("<HH", contents, 6, width, height)
        if contents.startswith(b"VP8X", 12):
            struct.pack_into("<HBHB", contents, 24, width, 0, height, 0)
        for tag, value in ((256, width), (257, height)):
            _set_field(contents, tag, value)
    return bytes(contents)


def _kind(rng: np.random.Generator, contents: bytearray) -> bytes:
    """Another kind of its format: bits, colours, interlacing, components, sampling."""
    if contents.startswith(b"\x89PNG") and len(contents) >= 33:
        contents[int(rng.choice([24, 25, 28]))] = int(rng.choice([0, 1, 2, 3, 4, 6, 8, 16]))
        _sign(contents)
    if contents.startswith(b"II*\0"):
        # bits, compression, photometric, orientation, samples, planes, predictor, tile, format
        tag = int(rng.choice([258, 259, 262, 274, 277, 278, 284, 317, 322, 323, 338, 339]))
        values = [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 30_000, 32_773]
        with contextlib.suppress(struct.error):
            _set_field(contents, tag, int(rng.choice(values)))
    if contents.startswith(b"BM") and len(contents) > 32:
        contents[int(rng.choice([14, 28, 30]))] = int(rng.choice([0, 1, 2, 3, 4, 8, 12, 16, 32]))
    if contents.startswith(b"RIFF") and len(contents) > 24:
        contents[int(rng.choice([15, 20, 21]))] ^= 1 << int(rng.integers(8))
    at = max(contents.find(b"\xff\xc0"), contents.find(b"\xff\xc2"))
    if at >= 0 and at + 20 <= len(contents):
        where = int(rng.choice([1, 4, 9, 10, 11, 12, 13, 14, 15, 16]))
        contents[at + where] = int(rng.choice([0, 1, 2, 3, 4, 8, 0x11, 0x22, 0x41, 0x44, 0xC1]))
    return bytes(contents)


def _set_field(contents: bytearray, tag: int, value: int) -> None:
    """The value of a field of a little-endian TIFF, where it has it."""
    if contents.startswith(b"II*\0"):
        (at,) = struct.unpack_from("<I", contents, 4)
        for where in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", contents, at)[0], 12):
            if struct.unpack_from("<H", contents, where)[0] == tag:
                struct.pack_into("<HII", contents, where + 2, 4, 1, value)


def _lengths(rng: np.random.Generator, contents: bytearray) -> bytes:
    """Another length of a JPEG segment or of a PNG chunk."""
    if contents.startswith(b"\x89PNG"):
        at = contents.find(b"IDAT") - 4
        if at >= 0:
            wrong = int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.integers(1 << 32)]))
            struct.pack_into(">I", contents, at, wrong)
        return bytes(contents)
    found = [i for i in range(len(contents) - 4) if contents[i] == 0xFF and contents[i + 1] > 0xBF]
    if found:
        wrong = int(rng.choice([0, 1, 2, 3, 0xFFFF, rng.integers(1 << 16)]))
        struct.pack_into(">H", contents, int(rng.choice(found)) + 2, wrong)
    return bytes(contents)


def _text_bomb(rng: np.random.Generator, contents: bytearray) -> bytes:
    """A PNG with a compressed text or profile of many megabytes."""
    if not contents.startswith(b"\x89PNG") or len(contents) < 33:
        return bytes(contents)
    packed = zlib.compress(bytes(16 * 2**20))
    name = (b"zTXt", b"iCCP")[int(rng.integers(2))]
    body = name + b"key\0\0" + packed
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return bytes(contents[:33] + chunk * int(rng.integers(1, 4)) + contents[33:])


def _scan_bomb(rng: np.random.Generator, contents: bytearray) -> bytes:
    """A JPEG whose last scan comes again and again: each costs a pass over the picture."""
    at, end = contents.rfind(b"\xff\xda"), contents.rfind(b"\xff\xd9")
    if not 0 <= at < end:
        return bytes(contents)
    scan = bytes(contents[at:end])
    return bytes(contents[:end]) + scan * int(rng.choice([1, 20, 2000])) + bytes(contents[end:])


def _sign(png: bytearray) -> None:
    struct.pack_into(">I", png, 29, zlib.crc32(png[12:29]))


MUTATIONS: dict[str, Mutation] = {
    "bits": _bits,
    "bytes": _bytes,
    "cut": _cut,
    "remove": _remove,
    "repeat": _repeat,
    "noise": _noise,
    "splice": lambda rng, contents: bytes(contents),
    "size": _resized,
    "kind": _kind,
    "lengths": _lengths,
    "text bomb": _text_bomb,
    "scan bomb": _scan_bomb,
}


def write_folder(root: Path, seed: int, numbers: Iterable[int]) -> dict[str, str]:
    """A class folder of good pictures and mutated ones. Gives {file: what it is}."""
    known = originals()
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        (root / name / "good.jpg").write_bytes(encoded(drawn(seed=50 + label), "JPEG"))
    said = {}
    for number in numbers:
        what, contents = mutated(known, seed, number)
        file = f"{CLASSES[number % 2]}/{number:07d}.{what.replace(':', ' ').split()[0]}"
        (root / file).write_bytes(contents)
        said[file] = what
    return said


def tried(root: Path, said: dict[str, str]) -> dict[str, Any]:
    """What became of each file. Raises AssertionError for one that is neither read nor refused."""
    import tensorflow as tf

    from pipelines.files.image_header import read_header
    from pipelines.sources.check import check
    from pipelines.sources.open import open_source
    from pipelines.views import CentreWindow

    options = {"max_pixels": MAX_PIXELS, "memory_limit_bytes": 0}
    source = open_source(f"folder:{root}", on_corrupt="skip", max_corrupt_fraction=1.0, **options)
    refused = dict(source.corrupt)
    names = source.files.names
    good = {f"{name}/good.jpg" for name in CLASSES}
    assert sorted([*names, *refused]) == sorted([*said, *good])
    for name, why in refused.items():
        assert why.isprintable(), (name, why)
    if refused:
        first = ": ".join(["folder", " ".join(source.corrupt[0])])
        assert _refusal(root, options).startswith(first)

    def views(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        whole = source.images(index)
        return index, whole, source.images(index, CentreWindow((16, 16), 0.875))

    data = tf.data.Dataset.range(len(source)).map(views, num_parallel_calls=2)
    seen = 0
    for index, whole, view in data.as_numpy_iterator():
        name, at = names[index], int(index)
        _, height, width, _ = read_header((root / name).read_bytes())
        assert whole.dtype == np.uint8, name
        assert sorted(whole.shape[:2]) == sorted([height, width]), (name, whole.shape)
        assert whole.shape[2] == 3, name
        assert whole.shape[0] * whole.shape[1] <= MAX_PIXELS, name
        assert view.shape == (16, 16, 3), name
        assert np.isfinite(view).all(), name
        assert at == seen, name
        seen += 1
    assert seen == len(source)
    report = check(source)
    assert report.images == len(source)
    listed = {
        finding.image
        for finding in report.findings
        if finding.problem in ("undecodable", "truncated")
    }
    assert listed == set(refused)
    return {"read": len(source) - len(good), "refused": len(refused), "reasons": refused}


def _refusal(root: Path, options: dict[str, int]) -> str:
    from pipelines.errors import SourceError
    from pipelines.sources.open import open_source

    try:
        open_source(f"folder:{root}", **options)
    except SourceError as error:
        return str(error)
    return "nothing was refused"


def _batch(seed: int, start: int, stop: int) -> None:
    """Try some files in this process, and print what became of them as JSON."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import pipelines.files.decode  # noqa: F401  (TensorFlow's own memory is not the files')

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        said = write_folder(Path(folder) / "set", seed, range(start, stop))
        ledger = tried(Path(folder) / "set", said)
    ledger["what"] = [said[name] for name in ledger["reasons"]]
    ledger["reasons"] = list(ledger["reasons"].values())
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ledger["kilobytes"] = after - before
    print(json.dumps(ledger))


def _run(seed: int, start: int, stop: int) -> dict[str, Any] | str:
    """The ledger of some files, or how their process ended."""
    words = [
        sys.executable,
        __file__,
        "--batch",
        str(seed),
        str(start),
        str(stop),
    ]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=BATCH_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer within {BATCH_SECONDS} s"
    if done.returncode:
        return f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
    return json.loads(done.stdout.splitlines()[-1])


def _ledger(seed: int, count: int) -> int:
    """Try so many files and print what became of them; the exit code."""
    began = time.monotonic()
    read = refused = memory = 0
    reasons: Counter[str] = Counter()
    failures = []
    todo = [(at, min(at + BATCH, count)) for at in range(0, count, BATCH)]
    while todo:
        start, stop = todo.pop(0)
        found = _run(seed, start, stop)
        if isinstance(found, str):
            if stop - start == 1:
                what = mutated(originals(), seed, start)[0]
                failures.append(f"file {start} ({what}): {found}")
                print(failures[-1], flush=True)
            else:  # halves, until the file is found
                middle = (start + stop) // 2
                todo = [(start, middle), (middle, stop), *todo]
            continue
        read, refused = read + found["read"], refused + found["refused"]
        memory = max(memory, found["kilobytes"])
        reasons.update(re.sub(r"\d+", "#", why) for why in found["reasons"])
        print(f"{stop} of {count}: {read} read, {refused} refused", flush=True)
    seconds = time.monotonic() - began
    print(f"seed {seed}: {count} files in {seconds:.0f} s: {read} read, {refused} refused,")
    print(f"{len(failures)} failures; memory beyond TensorFlow's own {memory / 1024:.0f} MB")
    for why, times in reasons.most_common(30):
        print(f"{times:7d} {why}")
    return 1 if failures else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the path from image files to pixels.")
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--write", nargs=2, metavar=("NUMBER", "FILE"), help="write one file")
    given = parser.parse_args()
    if given.batch:
        _batch(*given.batch)
        return 0
    if given.write:
        what, contents = mutated(originals(), given.seed, int(given.write[0]))
        Path(given.write[1]).write_bytes(contents)
        print(what)
        return 0
    return _ledger(given.seed, given.count)


if __name__ == "__main__":
    sys.exit(main())
