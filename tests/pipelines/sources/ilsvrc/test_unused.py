"""What lies in a folder of ILSVRC and is no part of the set: counted, or the folder refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ilsvrc_set import (
    HELD_OUT,
    TRAIN,
    TRAINING,
    WNIDS,
    draw,
    draw_train,
    draw_val,
    photo,
    shown,
    tar_of,
    write_names,
    write_tars,
)

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


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
    (root / "train" / "n01440764.tar").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"unpack its tars, or put ILSVRC2012_img_train.tar"):
        open_source(f"ilsvrc:{root}")
    (root / "train" / "cat").mkdir()
    with pytest.raises(SourceError, match=r"train/cat: expected class folders named after wnids"):
        open_source(f"ilsvrc:{root}")


def test_what_is_not_used_is_counted(tmp_path: Path) -> None:
    draw_train(tmp_path / "train")
    draw_train(tmp_path / "train", "more/of it")  # belongs to the classes
    draw_val(tmp_path / "val", sort=True)
    draw(tmp_path / "train" / "loose.JPEG", WNIDS[0], 0)
    draw(tmp_path / "loose.JPEG", WNIDS[0], 0)
    draw(tmp_path / "extra" / "deep" / "a.JPEG", WNIDS[0], 0)
    draw(tmp_path / "extra" / "b.JPEG", WNIDS[0], 0)
    (tmp_path / "notes").mkdir()
    (tmp_path / "ILSVRC2012_img_test.tar").write_bytes(tar_of({}))
    source = open_source(f"ilsvrc:{tmp_path}")
    twice = [row for wnid in WNIDS for row in [x for x in TRAINING if x[1] == wnid] * 2]
    assert shown(source) == twice + HELD_OUT
    assert [(path, files) for path, files, _ in source.unused] == [
        ("extra", 2), (".", 1), ("ILSVRC2012_img_test.tar", 1), ("train", 1)
    ]  # fmt: skip
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(
        tar_of({f"{wnid}.tar": tar_of(TRAIN[wnid]) for wnid in WNIDS})
    )
    (unread,) = (u for u in open_source(f"ilsvrc:{tmp_path}").unused if u.path == "train")
    assert (unread.files, unread.why) == (
        13, "stay unread: ILSVRC2012_img_train.tar is read instead"
    )  # fmt: skip


def test_two_folders_of_one_part_are_refused(tmp_path: Path) -> None:
    draw_train(tmp_path / "train")
    draw_val(tmp_path / "val", sort=True)
    draw_val(tmp_path / "validation", sort=True)
    with pytest.raises(SourceError, match="has val and validation, and either may be the validat"):
        open_source(f"ilsvrc:{tmp_path}")


def test_a_folder_that_does_not_fit_is_described(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        draw(tmp_path / name / "a.JPEG", WNIDS[0], 0)
    with pytest.raises(SourceError, match=r"found folders cats, dogs: write 'folder:"):
        open_source(f"ilsvrc:{tmp_path}")


PLACES = (
    ".", "test", "test/images", "extra", "extra/deep", "train", f"train/{WNIDS[0]}",
    f"train/{WNIDS[1]}/images", f"train/{WNIDS[2]}/a/b", f"val/{WNIDS[0]}", f"val/{WNIDS[1]}/deep",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_no_image_is_passed_over_in_silence(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrappers = [["ILSVRC", "Data", "CLS-LOC"], ["imagenet"], [], ["a", "b"]][seed % 4]
    root = tmp_path.joinpath(*wrappers)
    draw_train(root / "train")
    draw_val(root / "val", sort=True)
    for number, place in enumerate(rng.choice(PLACES, 6)):
        draw(root / place / f"more_{number}.{rng.choice(['jpg', 'JPEG', 'bmp'])}", WNIDS[0], 0)
    if len(wrappers) == 3:
        draw(tmp_path / "ILSVRC" / "Data" / "DET" / "a.JPEG", WNIDS[0], 0)
        draw(tmp_path / "beside.JPEG", WNIDS[0], 0)
    there = sum(path.is_file() for path in tmp_path.rglob("*"))
    source = open_source(f"ilsvrc:{tmp_path}")
    assert len(source) + sum(files for _, files, _ in source.unused) == there
    assert all((tmp_path / path).is_dir() for path, _, _ in source.unused)
