"""`npz:`: arrays in the forms of Keras, MedMNIST and NumPy; damaged and hostile files."""

from __future__ import annotations

import io
import os
import zipfile

import numpy as np
import pytest
from drawn_arrays import class_in, drawn

from pipelines.errors import SourceError
from pipelines.sources.array_checks import in_channels
from pipelines.sources.open import open_source

TRAIN, VALIDATION, TEST = np.arange(40) % 4, np.arange(9) % 4, 3 - np.arange(11) % 4


def opened(path, arrays, settings="", save=np.savez, **options):
    save(path, **arrays)
    return open_source(f"npz:{path}{settings}", **options)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    ("keys", "column"),
    [
        (("x_train", "y_train", "x_test", "y_test", "x_valid", "y_valid"), False),
        (("x_train", "y_train", "x_test", "y_test", "x_val", "y_val"), True),
        (
            (
                "train_images",
                "train_labels",
                "test_images",
                "test_labels",
                "val_images",
                "val_labels",
            ),
            True,
        ),
        (("X_train", "Y_train", "X_test", "Y_test", "X_dev", "Y_dev"), False),
    ],
)
def test_official_parts_of_the_usual_names(tmp_path, keys, column, save):
    sets = [TRAIN, TEST, VALIDATION]
    arrays = {}
    for image_key, label_key, labels in zip(keys[::2], keys[1::2], sets, strict=True):
        arrays[image_key] = drawn(labels, 9, 7)
        arrays[label_key] = labels[:, None] if column else labels.astype(np.uint8)
    source = opened(tmp_path / "set.npz", arrays, save=save)
    assert source.spec == f"npz:{tmp_path / 'set.npz'}"
    assert source.image_shape == (9, 7, 3)
    assert source.class_names == ["0", "1", "2", "3"]
    assert class_in(source.array).tolist() == source.labels.tolist()
    for part, key in (("train", keys[0]), ("validation", keys[4]), ("test", keys[2])):
        assert np.array_equal(source.array[source.official_splits[part]], arrays[key])
    assert (source.notes, source.corrupt) == ((), [])


@pytest.mark.parametrize(
    ("keys", "settings"),
    [
        (("images", "labels"), ""),
        (("x", "y"), ""),
        (("data", "labels"), ""),
        (("arr_0", "arr_1"), ",images=arr_0,labels=arr_1"),
    ],
)
def test_one_part_by_known_keys_or_by_named_ones(tmp_path, keys, settings):
    arrays = dict(zip(keys, (drawn(TRAIN, 8, 8, 1)[..., 0], TRAIN), strict=True))
    arrays["class_names"] = np.array(["ant", "bee", "cat", "dog"])
    source = opened(tmp_path / "a,b=c.npz", arrays, settings)
    assert source.official_splits is None
    assert source.image_shape == (8, 8, 1)
    assert source.class_names == ["ant", "bee", "cat", "dog"]
    assert class_in(source.array).tolist() == source.labels.tolist()
    assert np.array_equal(source.array[..., 0], arrays[keys[0]])


def test_arrays_that_are_not_used_are_named(tmp_path):
    arrays = {
        "x_train": drawn(TRAIN, 8, 8),
        "y_train": TRAIN,
        "x_test": drawn(TEST, 8, 8),
        "ids": TRAIN,
    }
    source = opened(tmp_path / "set.npz", arrays)
    assert source.notes == (
        "array x_test [11, 8, 8, 3] is not used: its images have no labels",
        "array ids [40] is not used: it names no part; where it is one: "
        "'npz:FILE[,images=KEY,labels=KEY]'",
    )
    assert (len(source), source.official_splits) == (40, None)


def test_one_hot_labels_are_taken_and_said(tmp_path):
    source = opened(tmp_path / "set.npz", {"x": drawn(TRAIN, 8, 8), "y": np.eye(4)[TRAIN]})
    assert class_in(source.array).tolist() == source.labels.tolist()
    assert "one-hot" in source.notes[0]


@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_channels(tmp_path, stored, channels):
    pixels = drawn(TRAIN, 8, 8, stored)
    source = opened(tmp_path / "set.npz", {"x": pixels, "y": TRAIN}, channels=channels)
    assert source.image_shape == (8, 8, channels or stored)
    assert np.array_equal(source.array, in_channels(pixels, channels or stored))


def test_column_major_arrays_are_read_as_they_are(tmp_path):
    pixels = drawn(TRAIN, 9, 7)
    source = opened(tmp_path / "set.npz", {"x": np.asfortranarray(pixels), "y": TRAIN})
    assert np.array_equal(source.array, pixels)


def test_the_fingerprint_is_of_the_contents(tmp_path):
    arrays = {"x": drawn(TRAIN, 8, 8), "y": TRAIN}
    first = opened(tmp_path / "a.npz", arrays).fingerprint
    assert opened(tmp_path / "b.npz", arrays, save=np.savez_compressed).fingerprint == first
    arrays["x"] = arrays["x"].copy()
    arrays["x"][3, 2, 1, 0] ^= 1
    assert opened(tmp_path / "c.npz", arrays).fingerprint != first


def test_a_file_that_changes_after_it_was_opened_is_named(tmp_path):
    arrays = {"x": drawn(TRAIN, 8, 8), "y": TRAIN}
    source = opened(tmp_path / "set.npz", arrays)
    source.check_unchanged()
    np.savez(tmp_path / "set.npz", x=arrays["x"][::-1], y=TRAIN)
    os.utime(tmp_path / "set.npz", (1, 1))
    with pytest.raises(SourceError, match=r"set\.npz was written again"):
        source.check_unchanged()
    with pytest.raises(SourceError, match=r"set\.npz was written again"):
        _ = source.array  # read for the first time: of what was checked, or not at all


X, Y = drawn(TRAIN, 8, 8), TRAIN


@pytest.mark.parametrize(
    ("arrays", "settings", "line"),
    [
        ({"x": X / 255.0, "y": Y}, "", 'x: expected uint8 from 0 to 255, received float64: use (2'),
        ({"x": X.astype(np.int32), "y": Y}, "", 'received int32: use images.astype("uint8")'),
        ({"x": X.transpose(0, 3, 1, 2), "y": Y}, "", "images.transpose(0, 2, 3, 1) puts them last"),
        ({"x": X, "y": Y[:39]}, "", "y: expected 40, one an image, received 39"),
        ({"x": X, "y": Y + 0.5}, "", "labels: expected whole numbers from 0, received 0.5"),
        ({"x": X, "y": np.ones((40, 2), int)}, "", "one class an image"),
        ({"x": X, "y": Y * 0}, "", "one class only"),
        ({"x": X, "y": Y, "class_names": np.array(["a", "b"])}, "", "from 0 to 1 (2 class names)"),
        ({"a": X, "b": Y}, "", "holds a, b: expected x_train and y_train, or images and labels"),
        ({}, "", "holds no arrays"),
        ({"x": X, "y": Y, "data": X}, "", "has x and data: name the one that is meant"),
        ({"x": X, "y": Y}, ",images=z", "images: {path} has no array 'z'; it has x, y"),
        ({"x": X, "y": Y}, ",image=x", "unknown setting 'image' (did you mean 'images'?)"),
        ({"x": X, "y": Y, "x_test": X[:, :4], "y_test": Y}, "", "its parts differ in shape"),
        ({"x": X, "y": np.array([{}] * 40, object)}, "", "Python objects, which are never unpi"),
    ],
)  # fmt: skip
def test_other_arrays_are_refused_in_one_line(tmp_path, arrays, settings, line):
    path = tmp_path / "set.npz"
    with pytest.raises(SourceError) as refused:
        opened(path, arrays, settings)
    assert line.format(path=path) in str(refused.value)
    assert "\n" not in str(refused.value)


def forged(path, shape, values=b""):
    """An array whose header says more than the file holds."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + values)
        labels = io.BytesIO()
        np.save(labels, TRAIN)
        archive.writestr("y.npy", labels.getvalue())


def test_damaged_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    middle = whole.index(b"x.npy") + 400
    cases = {
        "nothing": b"",
        "text": b"PK nothing of the kind",
        "end": whole[: len(whole) // 2],
        "bytes": whole[:middle] + bytes(200) + whole[middle + 200 :],
    }
    for name, contents in cases.items():
        path.write_bytes(contents)
        with pytest.raises(SourceError, match=r"set\.npz is damaged, or no \.npz file") as refused:
            _ = open_source(f"npz:{path}").array
        assert "\n" not in str(refused.value), name
    forged(path, (40, 8, 8, 3), bytes(100))
    with pytest.raises(SourceError, match="need 7808 bytes, it has 228"):
        open_source(f"npz:{path}")
    for missing in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(SourceError, match=r"npz: .* cannot be read"):
            open_source(f"npz:{missing}")
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(SourceError, match=r"pipe\.npz is not a regular file"):
        open_source(f"npz:{tmp_path / 'pipe.npz'}")
    with pytest.raises(SourceError, match="npz: expected a place, received none: write 'npz:FILE"):
        open_source("npz:")


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros((40, 512, 512, 3), np.uint8), y=TRAIN)
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceError, match=r"need 31,457,280 bytes, from [\d,]+ on disk, which"):
        open_source(f"npz:{path}", memory_limit_bytes=10**6)


def test_memory_limit_of_a_check_is_none(tmp_path):
    source = opened(tmp_path / "set.npz", {"x": X, "y": Y}, memory_limit_bytes=0)
    assert np.array_equal(source.array, X)


def test_labels_alone_never_read_the_pixels(tmp_path, monkeypatch):
    from pipelines.sources.arrays import npz

    source = opened(tmp_path / "set.npz", {"x": X, "y": Y})
    monkeypatch.setattr(npz, "block_ranges", None)  # reading would fail
    assert source.labels.tolist() == TRAIN.tolist()
    with pytest.raises(SourceError):
        _ = source.array


def test_a_check_finds_copies_and_does_not_call_a_set_of_small_images_tiny(tmp_path):
    from pipelines.sources.check import check, open_to_check

    pixels = drawn(TRAIN, 8, 8)
    pixels[9] = pixels[5]
    np.savez(tmp_path / "set.npz", x=pixels, y=TRAIN)
    report = check(open_to_check(f"npz:{tmp_path / 'set.npz'}"))
    assert [(x.image, x.problem, x.detail) for x in report.findings if x.image == "image 9"] == [
        ("image 9", "same bytes", "as image 5")
    ]
    assert (report.images, report.classes, report.count("tiny")) == (40, 4, 0)
