"""Layouts that cannot be read as class folders: each is refused by name, with what would fit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from drawn_tree import draw, read

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


def refusal(root: Path) -> str:
    with pytest.raises(SourceError) as caught:
        open_source(f"folder:{root}")
    text = str(caught.value)
    assert text.startswith("folder: ")
    assert "\n" not in text
    return text.replace(str(root), "DIR")


@pytest.mark.parametrize(
    ("folders", "part"),
    [
        (("val", "dev"), "validation"),
        (("val", "Val"), "validation"),
        (("test", "eval"), "test"),
        (("train", "Train"), "train"),
        (("training", "train"), "train"),
        (("test", "test1"), "test"),
    ],
)
def test_two_folders_for_one_part(tmp_path: Path, folders: tuple[str, str], part: str) -> None:
    for folder in ("train", *folders):
        draw(tmp_path, f"{folder}/cat/1*.png", f"{folder}/ant/1*.png")
    there = sorted({path.name for path in tmp_path.iterdir()} & {*folders})
    if len(there) == 1:  # a disk that ignores case holds one folder of the two
        assert len(open_source(f"folder:{tmp_path}")) in (2, 4)
        return
    assert f"DIR has 2 folders for the {part} part, {there[0]} and {there[1]}" in refusal(tmp_path)


def test_classes_that_train_lacks(tmp_path: Path) -> None:
    draw(tmp_path, "train/Cat/1*.png", "train/ant/1*.png", "val/cat/1*.png", "val/yak/1*.png")
    assert "class 'cat' of val is missing from train (did you mean 'Cat'?)" in refusal(tmp_path)
    shutil.rmtree(tmp_path / "val" / "cat")
    draw(tmp_path, "val/ant/1*.png")
    assert "class 'yak' of val is missing from train: add it" in refusal(tmp_path)


def test_parts_without_train(tmp_path: Path) -> None:
    draw(tmp_path, "val/cat/1*.png", "val/ant/1*.png", "test/cat/1*.png", "test/ant/1*.png")
    assert "DIR has test and val but no train folder with images" in refusal(tmp_path)
    draw(tmp_path, "sun/1*.png")
    assert "DIR has test and val but no train folder" in refusal(tmp_path)


def test_dogs_vs_cats_is_sorted_by_the_line_that_is_named(tmp_path: Path) -> None:
    draw(tmp_path, *(f"train/{name}.{i}.jpg" for name in ("cat", "dog") for i in range(3)))
    draw(tmp_path, "test1/4*.jpg")
    text = refusal(tmp_path)
    assert "expected class folders, received test1 and train, which name parts of a set" in text
    line = text.partition("named after their classes: ")[2].replace("DIR", str(tmp_path))
    subprocess.run(["bash", "-c", line], check=True)
    source = open_source(f"folder:{tmp_path}")
    assert read(tmp_path, source) == {
        f"train/{name}/{name}.{i}.jpg": f"train {name}" for name in ("cat", "dog") for i in range(3)
    }
    assert source.unused[0].files == 4


def test_names_with_underscores_are_sorted_too(tmp_path: Path) -> None:
    names = [f"{pet}_{i}.jpg" for pet in ("great_pyrenees", "pug") for i in (1, 12)]
    draw(tmp_path, *(f"images/{name}" for name in names))
    line = refusal(tmp_path).partition("named after their classes: ")[2]
    subprocess.run(["bash", "-c", line.replace("DIR", str(tmp_path))], check=True)
    source = open_source(f"folder:{tmp_path}")
    assert {*read(tmp_path, source).items()} == {
        (f"images/{name[:-6].rstrip('_')}/{name}", name.rpartition("_")[0]) for name in names
    }


def test_a_table_beside_folders_of_images(tmp_path: Path) -> None:
    draw(tmp_path, "train_images/a.png", "train_images/b.png", "test_images/c.png")
    (tmp_path / "sample_submission.csv").write_text("image,label\nc.png,0\n")
    (tmp_path / "train.csv").write_text("image,label\na.png,3\nb.png,1\n")
    text = refusal(tmp_path)
    assert "received test_images and train_images, which name parts of a set" in text
    assert text.endswith("write 'csv:DIR/train.csv' for a table of image names")
    shutil.rmtree(tmp_path / "test_images")
    assert "write 'csv:DIR/train.csv'" in refusal(tmp_path)


def test_flat_validation_images(tmp_path: Path) -> None:
    draw(tmp_path, "train/cat/2*.png", "train/dog/2*.png", "val/6*.png")
    text = refusal(tmp_path)
    assert (
        "DIR/val has 6 images but no folders with the names of the classes, so no labels: sort them"
        in text
    )
    (tmp_path / "labels.txt").write_text("0.png cat\n1.png dog\n")
    assert "no labels: write 'csv:DIR/labels.txt'" in refusal(tmp_path)


def test_the_official_imagenet_layout(tmp_path: Path) -> None:
    draw(tmp_path, "train/n01440764/2*.JPEG", "train/n01443537/2*.JPEG")
    draw(tmp_path, "val/ILSVRC2012_val_00000001.JPEG")
    assert "no labels: write 'ilsvrc:DIR' for" in refusal(tmp_path)


def test_parts_below_classes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        draw(tmp_path, f"{name}/train/1*.png", f"{name}/test/1*.png")
    text = refusal(tmp_path)
    assert "class folder DIR/cat holds test and train: parts go above the classes" in text


def test_parts_deep_below_what_would_be_classes(tmp_path: Path) -> None:
    for part in ("TRAIN", "TEST"):
        draw(tmp_path, f"set2/set2/images/{part}/cat/1*.png", f"set2/set2/images/{part}/dog/1*.png")
    draw(tmp_path, "set/JPEGImages/3*.png")
    text = refusal(tmp_path)  # Blood Cells
    assert "class folder DIR/set2 holds TEST and TRAIN" in text
    assert text.endswith("if that is the set, write 'folder:DIR/set2/set2/images'")
    for part in ("train", "val"):
        draw(tmp_path, f"whole/train/{part}/cat/1*.png", f"whole/train/{part}/dog/1*.png")
    assert "received train and val, which name parts of a set" in refusal(tmp_path / "whole")


def test_a_copy_of_the_set_beside_its_classes(tmp_path: Path) -> None:
    for name in ("Parasitized", "Uninfected"):
        draw(tmp_path, f"cell_images/{name}/1*.png", f"cell_images/cell_images/{name}/1*.png")
    text = refusal(tmp_path)  # Malaria cells
    assert "DIR/cell_images/cell_images holds Parasitized and Uninfected, the names of" in text
    assert text.endswith("write 'folder:DIR/cell_images/cell_images'")


def test_pieces_of_one_folder(tmp_path: Path) -> None:
    draw(tmp_path, "HAM10000_images_part_1/a.png", "HAM10000_images_part_2/b.png")
    text = refusal(tmp_path)
    assert "HAM10000_images_part_1 and HAM10000_images_part_2, pieces of one folder" in text
    (tmp_path / "HAM10000_metadata.csv").write_text("lesion_id,image_id,dx\n1,b,mel\n2,a,bkl\n")
    assert "write 'csv:DIR/HAM10000_metadata.csv'" in refusal(tmp_path)
    draw(tmp_path / "class", "class_1/1*.png", "class_2/1*.png")
    assert len(open_source(f"folder:{tmp_path / 'class'}")) == 2


def test_one_folder_is_no_set_of_classes(tmp_path: Path) -> None:
    draw(tmp_path, "cat/2*.png")
    assert refusal(tmp_path) == (
        "folder: DIR has images in one folder only ('cat'), expected a folder for each class, two "
        "or more"
    )
    (tmp_path / "list.csv").write_text("0.png,cat\n1.png,dog\n")
    assert refusal(tmp_path).endswith("write 'csv:DIR/list.csv' for a table of image names")
    draw(tmp_path, "cat/black/1*.png", "cat/white/1*.png")
    assert "if these are the classes, write 'folder:DIR/cat'" in refusal(tmp_path)


def test_an_empty_class(tmp_path: Path) -> None:
    draw(tmp_path, "Images/pug/1*.png", "Images/collie/1*.png")
    (tmp_path / "Annotation" / "pug").mkdir(parents=True)
    text = refusal(tmp_path)  # Stanford Dogs
    assert (
        "DIR/Annotation has no images: add some or remove it, or write 'folder:DIR/Images'" in text
    )


def test_directories_that_are_not_class_folders(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a directory, received none"):
        open_source("folder:")
    with pytest.raises(SourceError, match="does not exist"):
        open_source(f"folder:{tmp_path / 'nowhere'}")
    assert "DIR has no images: expected class folders with images, found nothing" in refusal(
        tmp_path
    )
    draw(tmp_path, "0.jpg")
    assert "is a file" in refusal(tmp_path / "0.jpg")
    assert "DIR has images but no class folders" in refusal(tmp_path)
    (tmp_path / "cat").mkdir()
    assert "DIR has images but no class folders" in refusal(tmp_path)
    draw(tmp_path, "cat/0.jpg")
    assert "one folder only ('cat')" in refusal(tmp_path)
    (tmp_path / "dog" / "more").mkdir(parents=True)
    assert "dog has no images" in refusal(tmp_path)
