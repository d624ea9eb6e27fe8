"""One reader for the text files that people write, on any system and with any editor."""

from __future__ import annotations

import pytest

from pipelines.errors import SourceError
from pipelines.files.text import read_lines, read_text
from pipelines.sources.ilsvrc.kit import GROUND_TRUTH
from pipelines.sources.ilsvrc.labels import TEXT_FILE, _numbered, validation_wnids

BOM = b"\xef\xbb\xbf"


def written_by_windows(text: str) -> bytes:
    return BOM + text.replace("\n", "\r\n").encode()


@pytest.mark.parametrize("mark", [b"", BOM])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_mark_and_line_ends_say_nothing(tmp_path, mark, end):
    file = tmp_path / "names.txt"
    file.write_bytes(mark + end.join([b"katze", "größe\u2028x".encode(), b""]))
    assert read_text(file) == "katze\ngröße\u2028x\n"
    assert read_lines(file) == ["katze", "größe\u2028x", ""]


def test_a_file_is_read_no_further_than_its_limit():
    with pytest.raises(ValueError, match="has more than 1,000 bytes"):
        read_text("/dev/zero", 1000)


def test_the_first_image_of_the_validation_labels_is_kept(tmp_path):
    (tmp_path / TEXT_FILE).write_bytes(written_by_windows("a.JPEG n00000001\nb.JPEG n00000002\n"))
    wnids = {"a.JPEG": "n00000001", "b.JPEG": "n00000002"}
    assert validation_wnids([tmp_path], ["a.JPEG", "b.JPEG"]) == wnids
    (tmp_path / TEXT_FILE).write_bytes(b"\xff\xfea")
    with pytest.raises(SourceError, match=rf"{TEXT_FILE} is no text in UTF-8"):
        validation_wnids([tmp_path], ["a.JPEG"])


def test_the_first_line_of_the_ground_truth_is_kept():
    labels = _numbered(written_by_windows("2\n1\n"), {1: "n00000001", 2: "n00000002"}, "JPEG")
    assert list(labels.values()) == ["n00000002", "n00000001"]
    with pytest.raises(SourceError, match=GROUND_TRUTH):
        _numbered(b"x", {1: "n00000001"}, "JPEG")
