"""The layouts that sets of images come in: each picture gets its label, and none is lost unsaid."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from drawn_tree import draw, read

from pipelines.errors import SourceError
from pipelines.sources.base import Source, Unused
from pipelines.sources.open import open_source


def opened(root: Path) -> Source:
    return open_source(f"folder:{root}")


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Train", "VAL", "Test"),
        ("training", "valid", "testing"),
        ("TRAINING", "Validation", "eval"),
        ("train", "dev", "evaluation"),
        ("training_set", "val_set", "test_set"),
        ("TrainImages", "ValImages", "TestImages"),
        ("train2017", "val2017", "test1"),
    ],
)
def test_parts_by_the_words_in_their_names(
    tmp_path: Path, train: str, validation: str, test: str
) -> None:
    for part, count in ((train, 3), (validation, 2), (test, 1)):
        draw(tmp_path, f"{part}/cat/{count}*.png", f"{part}/ant/{count}*.png")
    source = opened(tmp_path)
    assert source.class_names == ["ant", "cat"]
    assert read(tmp_path, source) == {
        f"{folder}/{name}/{i}.png": f"{part} {name}"
        for part, folder, count in (
            ("train", train, 3),
            ("validation", validation, 2),
            ("test", test, 1),
        )
        for name in ("ant", "cat")
        for i in range(count)
    }
    assert source.unused == ()


def test_numbers_are_classes_in_the_order_of_numbers(tmp_path: Path) -> None:
    draw(tmp_path, *(f"{n}/1*.png" for n in range(12)))  # as the folders of ImageNet-V2
    source = opened(tmp_path)
    assert source.class_names == [str(n) for n in range(12)]
    assert read(tmp_path, source) == {f"{n}/0.png": str(n) for n in range(12)}
    assert source.labels.tolist() == [*range(12)]  # class n is the network's class n
    draw(tmp_path, "sea/1*.png")
    assert opened(tmp_path).class_names[:4] == ["0", "1", "10", "11"]  # one word: all are text


def test_one_number_written_twice(tmp_path: Path) -> None:
    draw(tmp_path, "1/1*.png", "01/1*.png", "2/1*.png")
    with pytest.raises(SourceError, match=r"class folders '01' and '1' of .* are the same number"):
        opened(tmp_path)


@pytest.mark.parametrize("wrapper", ["archive", "data", "a/b/c", "imagenetv2-format-val"])
def test_single_folders_are_wrappers(tmp_path: Path, wrapper: str) -> None:
    draw(tmp_path, f"{wrapper}/cat/2*.png", f"{wrapper}/ant/2*.png")
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "cat" / "._0.jpg").write_bytes(b"x")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "README.txt").write_text("x")
    source = opened(tmp_path)
    assert read(tmp_path, source) == {
        f"{wrapper}/{name}/{i}.png": name for name in ("ant", "cat") for i in range(2)
    }
    assert source.notes == (f"images are in {wrapper}",)
    assert source.unused == ()


def test_a_wrapper_around_the_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw(tmp_path, f"data/{part}/cat/1*.png", f"data/{part}/ant/1*.png")
    source = opened(tmp_path)
    assert read(tmp_path, source) == {
        f"data/{part}/{name}/0.png": f"{part} {name}"
        for part in ("train", "test")
        for name in ("ant", "cat")
    }
    assert source.notes == ("images are in data",)


def test_intel_scenes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw(tmp_path, f"seg_{part}/seg_{part}/sea/2*.jpg", f"seg_{part}/seg_{part}/street/2*.jpg")
    draw(tmp_path, "seg_pred/seg_pred/5*.jpg")
    source = opened(tmp_path)
    assert source.class_names == ["sea", "street"]
    assert read(tmp_path, source) == {
        f"seg_{part}/seg_{part}/{name}/{i}.jpg": f"{part} {name}"
        for part in ("train", "test")
        for name in ("sea", "street")
        for i in range(2)
    }
    assert source.unused == (Unused("seg_pred", 5, "belong to no part"),)
    assert source.notes == ("train is seg_train/seg_train; test is seg_test/seg_test",)


def test_folders_inside_a_class_belong_to_it(tmp_path: Path) -> None:
    draw(tmp_path, "cat/2*.png", "cat/old/1*.png", "cat/new/far/1*.png", "ant/images/3*.png")
    draw(tmp_path, "cat/Zoo.jpg/1*.png")  # a folder with the name of an image
    source = opened(tmp_path)
    names = [name for name, _ in sorted(read(tmp_path, source).items())]
    assert len(names) == 8
    assert all(name.startswith(f"{label}/") for name, label in read(tmp_path, source).items())
    assert source.notes == (
        "6 of 8 images lie in sub-folders of their class folders, such as ant/images",
    )
    assert len({*source.read_from.files.names}) == 8  # type: ignore[union-attr]  # of FileSource
    assert source.read_from.files.names[3:] == [  # type: ignore[union-attr]
        "cat/0.png", "cat/1.png", "cat/Zoo.jpg/0.png", "cat/new/far/0.png", "cat/old/0.png"
    ]  # fmt: skip


def test_tiny_imagenets_class_folders(tmp_path: Path) -> None:
    wnids = "n01443537", "n01629819"
    for wnid in wnids:
        draw(tmp_path, f"tiny-imagenet-200/train/{wnid}/images/2*.JPEG")
        (tmp_path / f"tiny-imagenet-200/train/{wnid}/{wnid}_boxes.txt").write_text("x")
    draw(tmp_path, "tiny-imagenet-200/test/images/4*.JPEG")
    source = opened(tmp_path)
    assert read(tmp_path, source) == {
        f"tiny-imagenet-200/train/{wnid}/images/{i}.JPEG": f"train {wnid}"
        for wnid in wnids
        for i in range(2)
    }
    assert [row[1] for row in source.unused] == [4]
    draw(tmp_path, "tiny-imagenet-200/val/images/2*.JPEG")
    (tmp_path / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text("0.JPEG n01443537")
    where = f"{tmp_path}/tiny-imagenet-200"
    with pytest.raises(SourceError, match=f"no labels: write 'ilsvrc:{where}' for"):
        opened(tmp_path)


def test_a_part_may_lack_classes(tmp_path: Path) -> None:
    draw(tmp_path, "train/ant/2*.png", "train/bee/2*.png", "train/cat/2*.png")
    draw(tmp_path, "val/cat/1*.png", "test/ant/1*.png")
    (tmp_path / "val" / "bee").mkdir()
    source = opened(tmp_path)
    assert source.class_names == ["ant", "bee", "cat"]
    assert read(tmp_path, source)["val/cat/0.png"] == "validation cat"
    assert read(tmp_path, source)["test/ant/0.png"] == "test ant"


def test_unlabelled_test_images_are_left_out_and_said(tmp_path: Path) -> None:
    draw(tmp_path, "train/cat/2*.png", "train/dog/2*.png", "test1/7*.png")
    source = opened(tmp_path)
    assert set(read(tmp_path, source).values()) == {"train cat", "train dog"}
    assert [*source.official_splits] == ["train"]  # type: ignore[misc]
    assert source.unused == (Unused("test1", 7, "have no class folders, so no labels"),)


def test_what_is_not_used_is_counted(tmp_path: Path) -> None:
    draw(tmp_path, "cat/8*.png", "ant/8*.png", "5*.png")
    source = opened(tmp_path)
    assert len(source) == 16
    assert source.unused == (Unused(".", 5, "lie beside the class folders"),)
    for part in ("train", "val"):
        for name in ("cat", "ant"):
            draw(tmp_path, f"{part}/{name}/1*.png")
    draw(tmp_path, "train/3*.png")
    assert opened(tmp_path).unused == (
        Unused(".", 5, "lie beside the folders of the parts"),
        Unused("train", 3, "lie beside the class folders"),
        Unused("ant", 8, "belong to no part"),
        Unused("cat", 8, "belong to no part"),
    )


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    draw(tmp_path, "plane/1*.png", "train/1*.png", "train/old/1*.png")
    source = opened(tmp_path)
    assert set(read(tmp_path, source).items()) == {
        ("plane/0.png", "plane"), ("train/0.png", "train"), ("train/old/0.png", "train")
    }  # fmt: skip
    assert source.official_splits is None
    assert "train is taken for a class, not for a part" in source.notes


def test_links_are_followed_once_and_never_round(tmp_path: Path) -> None:
    root = tmp_path / "set"
    draw(tmp_path, "pool/cat/2*.png", "pool/dog/2*.png")
    for name in ("cat", "dog"):
        (root / "train").mkdir(parents=True, exist_ok=True)
        os.symlink(tmp_path / "pool" / name, root / "train" / name)
    os.symlink(tmp_path / "pool", root / "pool")
    os.symlink("nowhere", root / "train" / "elk")
    source = opened(root)
    assert np.bincount(source.labels).tolist() == [2, 2]
    assert source.unused == ()  # the pool's images are used, under other names
    assert source.notes == ("train/elk is a link to nothing",)
    draw(root, "train/emu/1*.png")
    os.symlink("../cat", root / "train" / "emu" / "more")
    with pytest.raises(SourceError, match="emu/more is a link to 'cat': remove it"):
        opened(root)
    (root / "train" / "emu" / "more").unlink()
    os.symlink("..", root / "train" / "emu" / "up")
    assert "train/emu/up is a link to a folder that it is in: not followed" in opened(root).notes
