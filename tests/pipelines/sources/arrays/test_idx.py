"""`mnist:`: idx files, as MNIST, Fashion-MNIST, KMNIST and EMNIST are given out."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from array_files import DIGITS, idx, idx_folder, write
from drawn_arrays import class_in, drawn

from pipelines.errors import SourceError
from pipelines.sources.open import open_source

NAMES = [
    "{part}-{kind}-idx{rank}-ubyte.gz",
    "{part}-{kind}-idx{rank}-ubyte",
    "{part}-{kind}.idx{rank}-ubyte",
    "MNIST/raw/{part}-{kind}-idx{rank}-ubyte",
    "{part}-{kind}-idx{rank}-ubyte/{part}-{kind}-idx{rank}-ubyte",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_naming_gives_the_right_label_to_the_right_image(tmp_path, name):
    source = open_source(f"mnist:{idx_folder(tmp_path, name)}")
    assert source.spec == f"mnist:{tmp_path}"
    assert source.image_shape == (9, 7, 1)
    assert source.class_names == [str(digit) for digit in range(10)]
    for part, stored in (("train", "train"), ("test", "t10k")):
        indices = source.official_splits[part]
        assert source.labels[indices].tolist() == DIGITS[stored].tolist()
        assert np.array_equal(source.array[indices], drawn(DIGITS[stored], 9, 7, 1))
    assert class_in(source.array).tolist() == source.labels.tolist()
    source.check_unchanged()


def test_packed_or_not_it_is_the_same_set_and_three_channels_repeat_the_one(tmp_path):
    sources = [open_source(f"mnist:{idx_folder(tmp_path / str(i), NAMES[i])}") for i in range(3)]
    assert len({source.fingerprint for source in sources}) == 1
    colour = open_source(f"mnist:{tmp_path / '0'}", channels=3)
    assert np.array_equal(colour.array, np.repeat(sources[0].array, 3, axis=-1))
    idx_folder(tmp_path / "0", NAMES[1])  # an unpacked copy beside
    assert open_source(f"mnist:{tmp_path / '0'}").fingerprint == sources[0].fingerprint


def test_emnist_is_turned_upright_and_named_by_its_mapping(tmp_path):
    letters = {"train": np.arange(30) % 3, "test": np.arange(9) % 3}
    name = "emnist-letters-{part}-{kind}-idx{rank}-ubyte.gz"
    idx_folder(tmp_path, name, letters, turned=True)
    for part in letters:  # letters are counted from 1
        write(tmp_path / name.format(part=part, kind="labels", rank=1), idx(letters[part] + 1))
    numbered = open_source(f"mnist:{tmp_path}")
    names = [int(numbered.class_names[label]) for label in numbered.labels]
    assert names == (class_in(numbered.array) + 1).tolist()
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n3 67 99\n")
    source = open_source(f"mnist:{tmp_path}")
    assert source.class_names == ["A", "B", "C"]
    for part, labels in letters.items():
        assert np.array_equal(source.array[source.official_splits[part]], drawn(labels, 9, 7, 1))
    assert class_in(source.array).tolist() == source.labels.tolist()
    assert "turned upright" in source.notes[0]
    idx_folder(tmp_path, "emnist-digits-{part}-{kind}-idx{rank}-ubyte.gz", letters, turned=True)
    with pytest.raises(
        SourceError, match=r"has emnist-digits, emnist-letters: name one, as .*,set="
    ):
        open_source(f"mnist:{tmp_path}")
    chosen = open_source(f"mnist:{tmp_path},set=emnist-letters")
    assert chosen.fingerprint == source.fingerprint
    with pytest.raises(
        SourceError, match=r"no 'emnist-leters' \(did you mean 'emnist-letters'\?\)"
    ):
        open_source(f"mnist:{tmp_path},set=emnist-leters")


def test_damaged_files_are_refused_in_one_line(tmp_path):
    images = "train-images-idx3-ubyte"
    good = idx(drawn(DIGITS["train"], 9, 7, 1)[..., 0])
    cases = {
        "magic": (b"\0\0\x0d\x03" + good[4:], "expected the magic number 2051, received 3331"),
        "labels": (idx(DIGITS["train"]), "expected the magic number 2051, received 2049"),
        "empty": (b"", "is damaged, or no idx file"),
        "short": (good[:-1], "is damaged, or no idx file"),
        "long": (good + b"x", "more bytes than [50, 9, 7] need"),
        "none": (struct.pack(">HBB3I", 0, 8, 3, 0, 9, 7), "a shape of [0, 9, 7]"),
        "bomb": (
            struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**20, 2**20),
            "no packing of images",
        ),
        "count": (idx(drawn(DIGITS["train"][:49], 9, 7, 1)[..., 0]), "expected 49, one an image"),
    }
    for name, (contents, line) in cases.items():
        for end in ("", ".gz"):
            root = idx_folder(tmp_path / f"{name}{end}", "{part}-{kind}-idx{rank}-ubyte" + end)
            write(root / f"{images}{end}", contents)
            with pytest.raises(SourceError) as refused:
                _ = open_source(f"mnist:{root}").array
            assert line in str(refused.value), (name, end)
            assert "\n" not in str(refused.value)
    root = idx_folder(tmp_path / "gzip")
    path = root / f"{images}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=rf"{images}\.gz is damaged"):
        _ = open_source(f"mnist:{root}").array


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path):
    idx_folder(tmp_path)
    header = struct.pack(">HBB3I", 0, 8, 3, 10**5, 100, 200)
    write(tmp_path / "train-images-idx3-ubyte.gz", header + bytes(1000))
    with pytest.raises(
        SourceError, match=r"need 2,000,000,000 bytes, from [\d,]+ on disk, which is no"
    ):
        open_source(f"mnist:{tmp_path}", memory_limit_bytes=100_000)


def test_what_is_missing_is_named(tmp_path):
    idx_folder(tmp_path / "a")
    (tmp_path / "a" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        SourceError, match=r"t10k-images-idx3-ubyte\.gz has no labels: put t10k-lab"
    ):
        open_source(f"mnist:{tmp_path / 'a'}")
    (tmp_path / "b").mkdir()
    with pytest.raises(SourceError, match="has no idx files: expected train-images-idx3-ubyte"):
        open_source(f"mnist:{tmp_path / 'b'}")
    with pytest.raises(SourceError, match=r"c cannot be read \(No such file or directory\)"):
        open_source(f"mnist:{tmp_path / 'c'}")
    for name in ("MNIST", "FashionMNIST"):
        idx_folder(tmp_path / "d" / name / "raw")
    with pytest.raises(SourceError, match="name one folder, as mnist:"):
        open_source(f"mnist:{tmp_path / 'd'}")
    idx_folder(tmp_path / "e", parts={"train": DIGITS["train"]})
    assert open_source(f"mnist:{tmp_path / 'e'}").official_splits is None
