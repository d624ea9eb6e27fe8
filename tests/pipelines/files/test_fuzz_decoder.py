"""Mutated image files are read whole or refused by name; more in `by_hand/fuzz_decoder.py`."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_decoder import CLASSES, MUTATIONS, drawn, encoded, mutated, originals, tried, write_folder

from pipelines.files.image_header import MOST_SCANS, MOST_TEXTS, HeaderError, read_header

FILES, SEED = 200, 7


def test_each_mutated_file_is_read_whole_or_refused_by_name(tmp_path: Path) -> None:
    said = write_folder(tmp_path / "set", SEED, range(FILES))
    tried_names = {name for what in said.values() for name in what.partition(": ")[2].split(", ")}
    assert tried_names == set(MUTATIONS)
    assert {what.partition(":")[0] for what in said.values()} == set(originals())
    ledger = tried(tmp_path / "set", said)
    assert ledger["read"] + ledger["refused"] == FILES
    assert ledger["read"] > FILES // 10
    assert ledger["refused"] > FILES // 2


def test_unchanged_files_are_all_read(tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "good.jpg").write_bytes(encoded(drawn(), "JPEG"))
    said = {}
    for number, (what, contents) in enumerate(originals().items()):
        file = f"ant/{number:02d}.{what.split()[0]}"
        (tmp_path / "set" / file).write_bytes(contents)
        said[file] = what
    ledger = tried(tmp_path / "set", said)
    assert ledger["reasons"] == {}
    assert ledger["read"] == len(said)


def test_a_file_of_a_number_is_always_the_same() -> None:
    known = originals()
    assert [mutated(known, SEED, n) for n in range(20)] == [
        mutated(known, SEED, n) for n in range(20)
    ]
    assert mutated(known, SEED, 1) != mutated(known, SEED + 1, 1)


def repeated(contents: bytes, part: bytes, at: int, times: int) -> bytes:
    return contents[:at] + part * times + contents[at:]


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded() -> None:
    """A scan of 30 bytes is a pass over the whole picture: a megabyte of them takes minutes."""
    contents = encoded(drawn((120, 90)), "JPEG", progressive=True)
    at, end = contents.rfind(b"\xff\xda"), contents.rfind(b"\xff\xd9")
    own = contents.count(b"\xff\xda")
    scan = contents[at:end]
    assert read_header(repeated(contents, scan, end, MOST_SCANS - own)).kind == "JPEG"
    with pytest.raises(
        HeaderError, match=f"is a JPEG file of {MOST_SCANS + 1} scans; 100 are read"
    ):
        read_header(repeated(contents, scan, end, MOST_SCANS - own + 1))
    assert read_header(contents + scan * 500).kind == "JPEG", "what is appended is never decoded"


def test_a_png_of_endless_texts_is_refused_before_it_is_decoded() -> None:
    contents = encoded(drawn(), "PNG")
    assert read_header(repeated(contents, b"\0\0\0\0zTXt\0\0\0\0", 33, MOST_TEXTS)).kind == "PNG"
    with pytest.raises(HeaderError, match="more than 100 compressed texts"):
        read_header(repeated(contents, b"\0\0\0\0iTXt\0\0\0\0", 33, MOST_TEXTS + 1))


@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x00", b"\xff\xe1\0\2", b"\xff\xd0"])
def test_a_header_is_looked_for_in_time_that_grows_with_the_file_only(filler: bytes) -> None:
    with pytest.raises(HeaderError, match=r"damaged JPEG file|more than 100000 segments"):
        read_header(b"\xff\xd8\xff\xfe\0\2" + filler * (4_000_000 // len(filler)))
