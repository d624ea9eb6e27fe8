"""Sets of the Hub that lack files, or hold what is no image: each is named in one line."""

from __future__ import annotations

import errno
import os

import numpy as np
import pyarrow as pa
import pytest
from drawn import drawn, read_back
from hub_set import (
    SHARDED,
    as_arrow,
    as_parquet,
    expected,
    features,
    save_to_disk,
    table,
)

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


def test_missing_shards_are_named_unless_part_of_a_set_is_meant(tmp_path):
    root = tmp_path / "set"
    as_parquet(root / "train-00001-of-00003.parquet", table("train", range(6)))
    with pytest.raises(
        SourceError,
        match=r"2 of the 3 shards like train-00001-of-00003\.parquet are missing, number 0",
    ):
        open_source(f"hf:{root}")
    assert read_back(open_source(f"hf:{root},partial=yes")) == expected(train=6)
    as_parquet(root / "train-00000-of-00002.parquet", table("train", range(6)))
    with pytest.raises(SourceError, match="two versions of a set"):
        open_source(f"hf:{root}")


def test_a_saved_file_that_is_missing_is_named(tmp_path):
    root = save_to_disk(tmp_path / "set", {"train": [table("train", range(3))] * 2})
    (root / "train" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(SourceError, match=r"data-00001-of-00002\.arrow is missing"):
        open_source(f"hf:{root}")


def test_shards_that_number_their_classes_otherwise_are_refused(tmp_path):
    as_parquet(tmp_path / "set/train.parquet", table("train", range(3)))
    other = features(label={"_type": "ClassLabel", "names": ["dog", "cat", "emu"]})
    as_parquet(tmp_path / "set/test.parquet", table("test", range(3), metadata=other))
    with pytest.raises(SourceError, match=r"test\.parquet has other columns or classes than"):
        open_source(f"hf:{tmp_path / 'set'}")


def test_damaged_images_are_named_by_split_and_number(tmp_path):
    root = tmp_path / "set"
    rows = table("train", range(9)).to_pydict()
    rows["image"][7]["bytes"] = b"no image at all"
    as_parquet(root / "train.parquet", pa.Table.from_pydict(rows, table("train", [0]).schema))
    with pytest.raises(SourceError, match=r"train\[7\] is not a JPEG"):
        open_source(f"hf:{root}")
    source = open_source(f"hf:{root}", on_corrupt="skip", max_corrupt_fraction=0.5)
    assert [name for name, _ in source.corrupt] == ["train[7]"]
    left = expected(train=9)
    del left["train", 7]
    assert read_back(source) == left
    with pytest.raises(SourceError, match=r"train\[0\] has 6 x 8 pixels where data.max_pixels"):
        open_source(f"hf:{root}", max_pixels=40)


def test_a_label_out_of_range_is_named(tmp_path):
    as_parquet(tmp_path / "set/train.parquet", table("train", range(3), labels=[0, 3, 1]))
    with pytest.raises(SourceError, match=r"train\[1\]: label: expected from 0 to 2 .* received 3"):
        open_source(f"hf:{tmp_path / 'set'}")


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_truncated_files_and_lfs_pointers_are_named(tmp_path, ending):
    path = tmp_path / "set" / f"train.{ending}"
    (as_parquet if ending == "parquet" else as_arrow)(path, table("train", range(9)))
    os.truncate(path, path.stat().st_size - 700)
    with pytest.raises(
        SourceError, match=rf"train\.{ending} is damaged or truncated .*again"
    ) as error:
        open_source(f"hf:{path.parent}")
    assert "\n" not in str(error.value)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n")
    with pytest.raises(SourceError, match=rf"train\.{ending} is a pointer of Git LFS"):
        open_source(f"hf:{path.parent}")


def test_an_arrow_file_that_ends_between_two_batches_is_truncated(tmp_path):
    path = tmp_path / "set" / "train.arrow"
    as_arrow(path, table("train", range(9)))
    os.truncate(path, path.stat().st_size - 8)  # the mark of the end
    with pytest.raises(SourceError, match=r"train\.arrow is damaged or truncated .*ends early"):
        open_source(f"hf:{path.parent}")


def test_a_kill_and_a_full_disk_keep_the_shards_that_are_written(tmp_path, monkeypatch):
    root = tmp_path / "set"
    for name, (split, numbers) in SHARDED.items():
        as_parquet(root / name, table(split, numbers))
    real, written = os.replace, []

    def fails(error):
        def replace(partial, path):
            if str(path).endswith(".arrow"):
                if len(written) == 1:
                    raise error
                written.append(str(path))
            real(partial, path)

        return replace

    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for error, seen in ((KeyboardInterrupt(), KeyboardInterrupt), (full, SourceError)):
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", fails(error))
            with pytest.raises(seen) as caught:
                open_source(f"hf:{root}")
    assert "has no room for a copy of" in str(caught.value)
    folder = os.path.dirname(written[0])
    assert os.listdir(folder) == [os.path.basename(written[0])]  # nothing half written
    stamp = os.stat(written[0]).st_mtime_ns
    assert read_back(open_source(f"hf:{root}")) == expected(train=9, validation=4)
    assert os.stat(written[0]).st_mtime_ns == stamp
    assert len(os.listdir(folder)) == 3


def test_what_a_killed_process_left_is_removed(tmp_path):
    root = tmp_path / "set"
    as_parquet(root / "train.parquet", table("train", range(6)))
    copy = open_source(f"hf:{root}", memory_limit_bytes=0).files.paths[0]
    assert os.path.isabs(copy)
    os.rename(copy, os.path.join(os.path.dirname(copy), ".train.parquet.arrow.123"))
    assert read_back(open_source(f"hf:{root}")) == expected(train=6)
    assert os.listdir(os.path.dirname(copy)) == ["train.parquet.arrow"]


def test_a_folder_that_holds_something_else_is_told(tmp_path):
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "a.jpg").write_bytes(b"")
    with pytest.raises(
        SourceError, match=r"no Parquet shards .* but 1 folder \(cat\) and 1 .jpg file"
    ):
        open_source(f"hf:{tmp_path / 'set'}")
    with pytest.raises(SourceError, match="expected a place, received none: write 'hf:DIR'"):
        open_source("hf:")
    as_parquet(tmp_path / "text/train.parquet", pa.table({"text": ["a"], "label": [0]}))
    with pytest.raises(SourceError, match="has no image column that can be used, but text: string"):
        open_source(f"hf:{tmp_path / 'text'}")


def test_ranges_that_lie_outside_of_an_arrow_file_are_refused(tmp_path):
    path = tmp_path / "set" / "train.arrow"
    as_arrow(path, table("train", range(3)), batch=3)
    size = len(drawn("train", 0))
    whole = path.read_bytes()
    ends = np.array([0, size, 2 * size, 3 * size], np.int32).tobytes()
    assert ends in whole
    for wrong in ([0, size, 10**9, 10**9], [0, size, 5, 3 * size], [-9, size, 2 * size, 3 * size]):
        path.write_bytes(whole.replace(ends, np.array(wrong, np.int32).tobytes()))
        with pytest.raises(SourceError, match=r"train\.arrow is damaged or truncated"):
            open_source(f"hf:{path.parent}")
