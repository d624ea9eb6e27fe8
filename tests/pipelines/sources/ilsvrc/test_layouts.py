"""Each layout in which ILSVRC and Tiny ImageNet are given out, by the colours of its classes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from ilsvrc_set import (
    TRAIN,
    WNIDS,
    check,
    photo,
    pixels,
    tar_of,
    write_folders,
    write_names,
    write_tars,
)
from PIL import Image

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


@pytest.mark.parametrize("layout", ["flat", "sorted", "val in tar"])
def test_unpacked_is_the_same_set(tmp_path: Path, layout: str) -> None:
    packed = open_source(f"ilsvrc:{write_names(write_tars(tmp_path / 'a'))}")
    root = write_folders(tmp_path / "b", sort_val=layout == "sorted")
    if layout == "val in tar":
        write_tars(root)
        (root / "ILSVRC2012_img_train.tar").unlink()
    if layout != "sorted":
        write_names(root)
    source = open_source(f"ilsvrc:{root}")
    check(source)
    assert source.fingerprint == packed.fingerprint


def test_a_class_of_the_validation_part_only_is_kept(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    classes = {f"{wnid}.tar": tar_of(TRAIN[wnid]) for wnid in WNIDS[:2]}
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    with pytest.warns(UserWarning, match=r"1 of 3 classes are in the validation part only.*n0300"):
        source = open_source(f"ilsvrc:{root}")
    assert source.class_names == WNIDS
    assert source.labels.tolist() == [0, 0, 1, 1, 0, 1, 2, 0]


def test_orientation_is_left_as_in_the_published_protocols(tmp_path: Path) -> None:
    root = write_folders(tmp_path, sort_val=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = root / "train" / WNIDS[0] / "n01440764_1.JPEG"
    Image.open(io.BytesIO(photo(1))).save(path, exif=exif)
    assert pixels(open_source(f"ilsvrc:{root}"))[0].shape == (24, 31, 3)


def test_what_is_missing_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a directory, received none"):
        open_source("ilsvrc:")
    with pytest.raises(SourceError, match="is not a directory"):
        open_source(f"ilsvrc:{tmp_path / 'nowhere'}")
    with pytest.raises(
        SourceError, match=r"no training images: put ILSVRC2012_img_train.tar there"
    ):
        open_source(f"ilsvrc:{tmp_path}")
    write_tars(tmp_path)
    message = (
        "has no classes for the validation images: put ILSVRC2012_devkit_t12.tar.gz there, or "
        "ILSVRC2012_validation_ground_truth.txt with meta.mat, or val_wnids.txt"
    )
    with pytest.raises(SourceError, match=message) as caught:
        open_source(f"ilsvrc:{tmp_path}")
    assert "\n" not in str(caught.value)
    (tmp_path / "ILSVRC2012_img_val.tar").unlink()
    with pytest.raises(
        SourceError, match=r"no validation images: put ILSVRC2012_img_val.tar there"
    ):
        open_source(f"ilsvrc:{tmp_path}")


def test_layouts_that_are_not_the_official_one(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of({"a.JPEG": photo(0)}))
    with pytest.raises(SourceError, match=r"holds 'a.JPEG': expected one tar a class"):
        open_source(f"ilsvrc:{root}")
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of({"cat.tar": tar_of({"a.JPEG": b"x"})}))
    with pytest.raises(SourceError, match=r"cat/a.JPEG: expected .* named after wnids"):
        open_source(f"ilsvrc:{root}")
    (root / "ILSVRC2012_img_train.tar").unlink()
    (root / "train").mkdir()
    with pytest.raises(SourceError, match="has no class folders: expected train/<wnid>/"):
        open_source(f"ilsvrc:{root}")
    (root / "train" / "cat").mkdir()
    with pytest.raises(SourceError, match=r"train/cat: expected class folders named after wnids"):
        open_source(f"ilsvrc:{root}")
