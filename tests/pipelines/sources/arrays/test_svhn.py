"""`svhn:`: the cropped digits as .mat."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_arrays import class_in, drawn
from scipy.io import savemat

from pipelines.errors import SourceError
from pipelines.sources.open import open_source

DIGITS = {
    "train": np.random.default_rng(0).permutation(np.arange(30) % 10),
    "test": np.arange(20) % 10,
    "extra": 9 - np.arange(10) % 10,
}


def layout(root, *parts):
    root.mkdir(exist_ok=True)
    for part in parts:
        digits = DIGITS[part]
        y = np.where(digits == 0, 10, digits)[:, None].astype(np.uint8)
        images = drawn(digits).transpose(1, 2, 3, 0)
        savemat(root / f"{part}_32x32.mat", {"X": images, "y": y}, do_compression=True)
    return root


@pytest.mark.parametrize("extra", ["", ",extra=false", ",extra=true"])
def test_label_10_is_the_digit_0(tmp_path, extra):
    source = open_source(f"svhn:{layout(tmp_path, *DIGITS)}{extra}")
    assert source.class_names == [str(digit) for digit in range(10)]
    assert class_in(source.array).tolist() == source.labels.tolist()
    added = extra == ",extra=true"
    train = np.concatenate([DIGITS["train"], DIGITS["extra"]]) if added else DIGITS["train"]
    assert source.labels[source.official_splits["train"]].tolist() == train.tolist()
    assert source.labels[source.official_splits["test"]].tolist() == DIGITS["test"].tolist()
    assert np.array_equal(source.array[source.official_splits["test"]], drawn(DIGITS["test"]))
    left = "extra_32x32.mat is not used: extra=true adds its images to train"
    assert source.notes == ("label 10 is the digit 0", *([] if added else [left]))
    source.check_unchanged()


def test_a_part_alone(tmp_path):
    source = open_source(f"svhn:{layout(tmp_path / 'a', 'test')}", channels=1)
    assert list(source.official_splits) == ["test"]
    assert source.array.shape == (20, 32, 32, 1)
    assert open_source(f"svhn:{layout(tmp_path / 'b', 'train')}").official_splits is None


def test_what_is_missing_or_damaged_is_named(tmp_path):
    root = layout(tmp_path / "set", "train", "test")
    path = root / "train_32x32.mat"

    def line(words, spec=f"svhn:{root}"):
        with pytest.raises(SourceError) as refused:
            _ = open_source(spec).array
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)

    line("has neither train_32x32.mat nor test_32x32.mat", f"svhn:{tmp_path}")
    line("extra_32x32.mat is not there", f"svhn:{root},extra=true")
    line("extra: expected true or false, received '1'", f"svhn:{root},extra=1")
    whole = path.read_bytes()
    for contents in (b"", b"text", whole[: len(whole) // 2], whole[:200] + bytes(64) + whole[264:]):
        path.write_bytes(contents)
        line("train_32x32.mat is damaged, or no MATLAB 5 file")
    images = drawn(DIGITS["train"]).transpose(1, 2, 3, 0)
    for variables, words in (
        (
            {"X": images, "y": np.full((30, 1), 11)},
            "y: expected from 1 to 10, received 11 for image 0",
        ),
        ({"X": images, "y": np.ones((29, 1))}, "y: expected 30, one an image, received 29"),
        ({"X": images / 255.0, "y": np.ones((30, 1))}, "is damaged, or no MATLAB 5 file"),
        ({"y": np.ones((30, 1))}, "is damaged, or no MATLAB 5 file"),
    ):
        savemat(path, variables)
        line(words)
