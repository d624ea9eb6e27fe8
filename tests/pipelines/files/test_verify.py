"""A first opening reads the ends of files: what it finds, what it leaves, and how it is stopped."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.errors import SourceError
from pipelines.files import ends, verify
from pipelines.progress import Progress, duration
from pipelines.sources import duplicates
from pipelines.sources.file_source import FileSource
from pipelines.sources.open import open_source


def photograph(seed: int, size: tuple[int, int] = (150, 200), **options: Any) -> bytes:
    """A JPEG file of noise, longer than the bytes that are read of its beginning."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (*size, 3), np.uint8)
    return bytes(tf.io.encode_jpeg(noise, quality=95, **options).numpy())


LARGE = photograph(99)
assert len(LARGE) > 2 * ends.HEAD
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def segments(contents: bytes, *pieces: bytes, marker: int = 0xE1) -> bytes:
    """With these application segments before what it had."""
    joined = b"".join(
        bytes((0xFF, marker)) + (len(piece) + 2).to_bytes(2, "big") + piece for piece in pieces
    )
    return contents[:2] + joined + contents[2:]


def png(seed: int, size: tuple[int, int] = (150, 200)) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return bytes(tf.io.encode_png(noise).numpy())


def bad_tables(contents: bytes) -> bytes:
    """A JPEG file whose ends are whole, and whose Huffman tables are none."""
    at = contents.index(b"\xff\xc4") + 5
    return contents[:at] + b"\xff" * 16 + contents[at + 16 :]


def folder(root: Path, odd: bytes | None = None, each: int = 2) -> Path:
    for c, name in enumerate(("ant", "cat")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            (root / name / f"{i}.jpg").write_bytes(photograph(10 * c + i))
    if odd is not None:
        (root / "cat" / "odd.jpg").write_bytes(odd)
    return root


@pytest.fixture
def never_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(verify, "decode", refuse)


def of_kind(kind: str, **options: Any) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, (150, 200, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind, **options)
    return buffer.getvalue()


LYING = Image.Exif()
LYING[0x0112] = 6
KINDS = {
    "JPEG": of_kind("JPEG", quality=95),
    "lying JPEG": of_kind("JPEG", quality=95, exif=LYING),
    "progressive JPEG": of_kind("JPEG", quality=95, progressive=True),
    "PNG": of_kind("PNG"),
    "GIF": of_kind("GIF"),
    "BMP": of_kind("BMP"),
    "WebP": of_kind("WEBP", quality=95),
    "lying WebP": of_kind("WEBP", quality=95, exif=LYING),
    "TIFF": of_kind("TIFF"),
    "compressed TIFF": of_kind("TIFF", compression="tiff_lzw", exif=LYING),
}


HEALTHY = {
    "JPEG": (LARGE, (150, 200), 1),
    "small JPEG": (photograph(2, (20, 30)), (20, 30), 1),
    "PNG": (png(3), (150, 200), 1),
    "progressive": (photograph(4, format="rgb", progressive=True), (150, 200), 1),
    "lying": (segments(LARGE, EXIF), (150, 200), 6),
    "header of 40 kB": (segments(LARGE, b"x" * 40_000, EXIF), (150, 200), 6),
    "bytes behind the end": (LARGE + bytes(100), (150, 200), 1),
    "GIF": (KINDS["GIF"], (150, 200), 1),
    "WebP": (KINDS["WebP"], (150, 200), 1),
    "lying WebP": (KINDS["lying WebP"], (150, 200), 6),
}


@pytest.mark.parametrize("kind", HEALTHY)
def test_header_and_orientation_without_decoding(
    tmp_path: Path, never_decodes: None, kind: str
) -> None:
    contents, shape, orientation = HEALTHY[kind]
    path = tmp_path / "x"
    path.write_bytes(contents)
    examined = verify.look(str(path), -1, len(contents), 10**6)
    assert examined.reason == ""
    assert (examined.height, examined.width) == shape
    assert examined.orientation == orientation
    assert not examined.decoded
    inside = tmp_path / "archive"
    inside.write_bytes(b"before" + contents + b"behind")
    assert verify.look(str(inside), 6, len(contents), 10**6) == examined


def test_bytes_read_of_a_healthy_file(tmp_path: Path) -> None:
    pieces: list[tuple[int, int]] = []

    def read(first: int, size: int) -> bytes:
        pieces.append((first, size))
        return LARGE[first : first + size]

    ends.read_ends(read, len(LARGE))
    assert pieces == [(0, ends.HEAD), (len(LARGE) - ends.TAIL, ends.TAIL)]


@pytest.mark.parametrize("how", ["look", "examine"])
@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (LARGE[: len(LARGE) // 2], "is a truncated or damaged JPEG file"),
        (LARGE[:-2], "is a truncated or damaged JPEG file"),
        (png(3)[:-400], "is a truncated or damaged PNG file"),
        (b"\xff\xd8\xff" + bytes(50_000), "is a truncated or damaged JPEG file"),
        (bytes(50_000), "is not a JPEG"),
        (b"", "is empty"),
    ],
)
def test_what_the_ends_tell_is_what_decoding_tells(
    tmp_path: Path, how: str, contents: bytes, reason: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(contents)
    examined = getattr(verify, how)(str(path), -1, len(contents), 10**6)
    assert examined.reason.startswith(reason)


@pytest.mark.parametrize("kind", KINDS)
def test_cut_anywhere_a_file_is_judged_as_by_decoding(tmp_path: Path, kind: str) -> None:
    contents = KINDS[kind]
    assert len(contents) > ends.HEAD + ends.TAIL
    for missing in (0, 1, 2, 300, len(contents) // 3, len(contents) - ends.HEAD - 1):
        path = tmp_path / f"{missing}"
        path.write_bytes(contents[: len(contents) - missing])
        size = len(contents) - missing
        by_ends, decoded = (f(str(path), -1, size, 10**6) for f in (verify.look, verify.examine))
        columns = "reason", "height", "width", "orientation", "quick"
        assert [getattr(by_ends, c) for c in columns] == [getattr(decoded, c) for c in columns]


def test_in_doubt_a_file_is_decoded_and_used(tmp_path: Path) -> None:
    """What TensorFlow decodes is no damaged file, wherever its end mark stands."""
    contents = LARGE + bytes(ends.TAIL)
    path = tmp_path / "x"
    path.write_bytes(contents)
    examined = verify.look(str(path), -1, len(contents), 10**6)
    assert (examined.reason, examined.height, examined.decoded) == ("", 150, True)


def test_scans_of_a_progressive_file_are_counted_in_all_of_it(tmp_path: Path) -> None:
    contents = photograph(4, progressive=True)
    scan = contents.rindex(b"\xff\xda")
    bomb = contents[:scan] + contents[scan:-2] * 120 + contents[-2:]
    path = tmp_path / "x"
    path.write_bytes(bomb)
    assert "scans; 100 are read" in verify.look(str(path), -1, len(bomb), 10**6).reason


def test_one_fingerprint_in_both_modes_and_a_second_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SETTLED_NS", 0)
    root = folder(tmp_path / "set")
    header = open_source(f"folder:{root}")
    decode = open_source(f"folder:{root}", verify="decode")
    again = open_source(f"folder:{root}", verify="header")
    assert header.fingerprint == decode.fingerprint == again.fingerprint
    assert decode.changed == again.changed == ()
    assert np.array_equal(header.quick_digests, decode.quick_digests)  # type: ignore[arg-type]
    assert header.digests is None
    assert again.digests is not None  # the index knows them by now


def test_decode_mode_is_what_leaves_files_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SETTLED_NS", 0)
    root = folder(tmp_path / "set", bad_tables(LARGE))
    assert len(open_source(f"folder:{root}", max_corrupt_fraction=0.2)) == 5
    skipped = open_source(f"folder:{root}", on_corrupt="skip", max_corrupt_fraction=0.2)
    assert len(skipped) == 4
    assert skipped.corrupt == [("cat/odd.jpg", "is a truncated or damaged JPEG file")]
    with pytest.raises(SourceError, match=r"cat/odd\.jpg is a truncated .*on_corrupt: skip"):
        open_source(f"folder:{root}")  # the index knows it by now
    with pytest.raises(SourceError, match=r"1 of 5 files do not decode.*allows 0\.1"):
        open_source(f"folder:{root}", on_corrupt="skip", max_corrupt_fraction=0.1)


def test_a_set_opened_with_header_is_decoded_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "SETTLED_NS", 0)
    root = folder(tmp_path / "set", bad_tables(LARGE))
    open_source(f"folder:{root}")
    with pytest.raises(SourceError, match=r"cat/odd\.jpg is a truncated"):
        open_source(f"folder:{root}", verify="decode")


def test_a_former_fingerprint_is_known_by_reading_files_whole_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    from pipelines.files import whole

    monkeypatch.setattr(verify, "SETTLED_NS", 0)
    root = folder(tmp_path / "set")
    names = ["ant/0.jpg", "ant/1.jpg", "cat/0.jpg", "cat/1.jpg"]
    sha256 = hashlib.sha256()
    for name in names:
        sha256.update(hashlib.sha256((root / name).read_bytes()).digest())
    sha256.update(repr((3, False, [0, 0, 0, 0])).encode())
    sha256.update(np.array([0, 0, 1, 1], "<i8").tobytes())
    sha256.update(b"ant\0cat")
    former = sha256.hexdigest()
    read: list[str] = []
    read_range = whole.read_range

    def counted(path: str, *rest: int) -> bytes:
        read.append(path)
        return read_range(path, *rest)

    monkeypatch.setattr(whole, "read_range", counted)
    header = open_source(f"folder:{root}")
    name = header.fingerprint
    assert len(name) == len(former)
    assert not header.is_known_as("0" * 59 + "-ends")
    assert header.is_known_as(name)
    assert read == []  # only what a former version may have recorded is worth reading for
    assert header.is_known_as(former)
    assert not header.is_known_as(former[::-1])
    assert len(read) == 4
    header.go_on_as(former)
    assert header.fingerprint == former
    assert header.is_known_as(name)
    assert open_source(f"folder:{root}").is_known_as(former)
    assert len(read) == 4  # once: the index has it
    decoded = open_source(f"folder:{root}", verify="decode")
    assert decoded.former_fingerprint == former


def test_images_in_memory_know_their_former_fingerprint_too(tmp_path: Path) -> None:
    held = open_source(f"folder:{folder(tmp_path / 'set')}")
    assert held.array is not None
    former = open_source(f"folder:{tmp_path / 'set'}", verify="decode").former_fingerprint
    assert held.former_fingerprint is None
    assert held.is_known_as(former)
    assert held.former_fingerprint == former


def test_only_candidates_are_read_whole_to_find_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "set", each=4)
    shutil.copy(root / "ant" / "2.jpg", root / "cat" / "copy.jpg")
    middle = len(LARGE) // 2
    other = LARGE[:middle] + bytes((LARGE[middle] ^ 1,)) + LARGE[middle + 1 :]
    (root / "cat" / "x.jpg").write_bytes(LARGE)
    (root / "cat" / "y.jpg").write_bytes(other)  # the same ends and size, another image
    header = open_source(f"folder:{root}", memory_limit_bytes=0)
    read: list[str] = []
    whole = duplicates.read_range

    def counted(path: str, *rest: int) -> bytes:
        read.append(Path(path).name)
        return whole(path, *rest)

    monkeypatch.setattr(duplicates, "read_range", counted)
    keys = duplicates.content_digests(header)
    assert sorted(read) == ["2.jpg", "copy.jpg", "x.jpg", "y.jpg"]
    assert [m.tolist() for m in duplicates.clusters(keys)] == [[2, 8]]
    duplicates.content_digests(header)
    assert len(read) == 4  # once
    decode = open_source(f"folder:{root}", memory_limit_bytes=0, verify="decode")
    assert [m.tolist() for m in duplicates.clusters(duplicates.content_digests(decode))] == [[2, 8]]


def test_splits_around_copies_are_the_same_in_both_modes(tmp_path: Path) -> None:
    """Groups of copies are dealt in the order of their digests, which must be the same ones."""
    from pipelines import splits

    root = folder(tmp_path / "set", each=12)
    for i in range(0, 12, 3):
        shutil.copy(root / "ant" / f"{i}.jpg", root / "ant" / f"copy{i}.jpg")
        shutil.copy(root / "cat" / f"{i}.jpg", root / "cat" / f"copy{i}.jpg")
    parts = []
    for how in ("header", "decode"):
        source = open_source(f"folder:{root}", verify=how)
        groups = duplicates.groups(duplicates.content_digests(source))
        assert groups is not None
        parts.append(splits.holdout(source.labels, 0.3, 1, groups=groups))
    for header, decode in zip(*parts, strict=True):
        assert np.array_equal(header, decode)


def test_a_touched_file_is_known_by_its_ends(tmp_path: Path) -> None:
    root = folder(tmp_path / "set")
    source = open_source(f"folder:{root}", memory_limit_bytes=0)
    assert isinstance(source, FileSource)
    os.chmod(root / "cat" / "1.jpg", 0o600)
    source.check_unchanged()
    before = (root / "cat" / "1.jpg").stat()
    contents = bytearray((root / "cat" / "1.jpg").read_bytes())
    contents[100] ^= 1
    (root / "cat" / "1.jpg").write_bytes(contents)
    os.utime(root / "cat" / "1.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SourceError, match=r"cat/1\.jpg changed its contents"):
        source.check_unchanged()


KILLED = """
import os, sys
from pipelines.files import verify
from pipelines.sources.open import open_source

verify.CHUNK, verify.SAVE_SECONDS, verify.workers = 5, 0.0, lambda: 1
look = verify.look

def stop(path, *rest):
    if path.endswith("cat/30.jpg"):
        os._exit(9)  # no chance to put anything in order
    return look(path, *rest)

verify.look = stop
open_source("folder:" + sys.argv[1])
"""


def test_a_killed_opening_goes_on_from_what_it_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "set")
    for name in ("ant", "cat"):
        for i in range(2, 50):
            shutil.copy(root / name / "0.jpg", root / name / f"{i}.jpg")
    monkeypatch.setattr(verify, "SETTLED_NS", 0)
    child = subprocess.run([sys.executable, "-c", KILLED, str(root)], cwd=tmp_path)
    assert child.returncode == 9
    monkeypatch.chdir(tmp_path)
    read: list[str] = []
    look = verify.look

    def counted(path: str, *rest: int) -> verify.Examined:
        read.append(path)
        return look(path, *rest)

    monkeypatch.setattr(verify, "look", counted)
    assert len(open_source(f"folder:{root}")) == 100
    assert 0 < len(read) <= 45
    read.clear()
    assert len(open_source(f"folder:{root}")) == 100
    assert read == []


def test_the_measuring_command_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import open_many

    monkeypatch.chdir(tmp_path)
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    photographs = open_many.draw(drawn, 2)
    assert all(80_000 < path.stat().st_size < 140_000 for path in photographs)
    open_many.link(tmp_path / "set", photographs, 2_000)
    figures = open_many.measure(str(tmp_path / "set"), None)
    assert set(figures) == {"listing", "listing processor", "opening", "opening processor"}


def test_progress_tells_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress("set: {} files checked", 1_281_167)
    now[0] += 10
    progress(1)
    assert capsys.readouterr().err == ""
    now[0] += 10
    progress(400_000)
    assert capsys.readouterr().err == (
        "set: 400,000 of 1,281,167 files checked, 20,000 a second, 44 s left\n"
    )
    now[0] += 5
    progress(500_000)
    assert capsys.readouterr().err == ""
    assert [duration(s) for s in (59.4, 200, 7500)] == ["59 s", "3 min 20 s", "2 h 05 min"]
