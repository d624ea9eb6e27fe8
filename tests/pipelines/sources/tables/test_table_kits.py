"""The lists that published sets come with, in small; each image's colour is that of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from named_images import draw, parts, refusal, seen
from scipy.io import savemat

from pipelines.sources.base import Source
from pipelines.sources.open import open_source


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def save(path: Path, **variables: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)


def cells(*values: str) -> np.ndarray:
    column = np.empty((len(values), 1), object)
    column[:, 0] = values
    return column


def contents(source: Source) -> dict[str, dict[str, str]]:
    """Of each part the files, by what the images show, and their classes."""
    classes = seen(source)
    return {part: {name: classes[name] for name in names} for part, names in parts(source).items()}


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    draw(tmp_path, *(f"jpg/image_{i:05}.jpg" for i in range(1, 8)))
    labels = np.array([[10, 9, 10, 1, 9, 9, 1]], np.uint8)
    save(tmp_path / "imagelabels.mat", labels=labels)
    save(
        tmp_path / "setid.mat",
        trnid=np.array([[4, 1]], np.uint16),
        valid=np.array([[2]], np.uint16),
        tstid=np.array([[7, 3, 5]], np.uint16),
    )
    return tmp_path


@pytest.mark.parametrize("file", ["", "/imagelabels.mat", "/setid.mat"])
def test_flowers(flowers: Path, file: str) -> None:
    source = open_source(f"csv:{flowers}{file}")
    assert source.spec == f"csv:{flowers}{file}"
    assert source.class_names == [str(number) for number in range(1, 11)]
    assert contents(source) == {
        "train": {"jpg/image_00004.jpg": "1", "jpg/image_00001.jpg": "10"},
        "validation": {"jpg/image_00002.jpg": "9"},
        "test": {
            "jpg/image_00007.jpg": "1",
            "jpg/image_00003.jpg": "10",
            "jpg/image_00005.jpg": "9",
        },
    }
    assert [tuple(count) for count in source.unused] == [("jpg", 1, "are images that no row names")]
    assert source.notes[0] == (
        "Oxford Flowers 102: images, labels and parts from imagelabels.mat, setid.mat"
    )


def test_matlab_files_that_are_damaged(flowers: Path) -> None:
    whole = (flowers / "setid.mat").read_bytes()
    (flowers / "setid.mat").write_bytes(whole[:100])
    assert "setid.mat is damaged or no MATLAB file" in refusal(f"csv:{flowers}")
    save(flowers / "setid.mat", trnid=[1, 2], valid=[3])
    assert refusal(f"csv:{flowers}") == "csv: setid.mat has no 'tstid'; it has trnid, valid"
    save(flowers / "setid.mat", trnid=[1, 99], valid=[3], tstid=[4])
    assert "setid.mat, trnid: image 99 is not one of the 7" in refusal(f"csv:{flowers}")
    save(flowers / "setid.mat", trnid=["x", "y"], valid=[3], tstid=[4])
    assert "setid.mat: expected numbers in 'trnid'" in refusal(f"csv:{flowers}")
    (flowers / "setid.mat").write_bytes(whole)
    assert "remove label=" in refusal(f"csv:{flowers},label=x")
    (flowers / "jpg" / "image_00004.jpg").unlink()
    assert "1 of 6 images are missing, the first jpg/image_00004.jpg (imagelabels.mat)" in refusal(
        f"csv:{flowers}"
    )
    (flowers / "setid.mat").unlink()
    assert "imagelabels.mat belongs to no set whose MATLAB files are known" in refusal(
        f"csv:{flowers}/imagelabels.mat"
    )


def test_dogs(tmp_path: Path) -> None:
    train = ["n02085620-Chihuahua/n02085620_5927.jpg", "n02085782-Japanese_spaniel/n1_2.jpg"]
    test = ["n02085782-Japanese_spaniel/n1_3.jpg", "n02085620-Chihuahua/n02085620_4441.jpg"]
    draw(tmp_path / "Images", *train, *test)
    save(tmp_path / "train_list.mat", file_list=cells(*train), labels=np.array([[1.0], [2.0]]))
    save(tmp_path / "test_list.mat", file_list=cells(*test), labels=np.array([[2.0], [1.0]]))
    source = open_source(f"csv:{tmp_path}")
    assert source.class_names == ["n02085620-Chihuahua", "n02085782-Japanese_spaniel"]
    assert contents(source) == {
        "train": {f"Images/{name}": name.split("/")[0] for name in train},
        "test": {f"Images/{name}": name.split("/")[0] for name in test},
    }
    save(tmp_path / "test_list.mat", file_list=cells(*test), labels=np.array([[2.0], [2.0]]))
    assert "test_list.mat: label 2 is n02085782-Japanese_spaniel and n02085620-Chi" in refusal(
        f"csv:{tmp_path}"
    )
    save(tmp_path / "test_list.mat", file_list=cells(*test), labels=np.array([[2.0]]))
    assert "test_list.mat has 2 files and 1 labels" in refusal(f"csv:{tmp_path}")


def annotations(*rows: dict[str, Any]) -> np.ndarray:
    records = np.empty((1, len(rows)), [(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        records[0, i] = tuple(row.values())
    return records


def test_cars(tmp_path: Path) -> None:
    names = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van 2012"]
    draw(tmp_path, "cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg")
    save(tmp_path / "devkit" / "cars_meta.mat", class_names=cells(*names).T)
    save(
        tmp_path / "devkit" / "cars_train_annos.mat",
        annotations=annotations(
            {"bbox_x1": 3, "class": np.uint8(3), "fname": "00001.jpg"},
            {"bbox_x1": 4, "class": np.uint8(1), "fname": "00002.jpg"},
        ),
    )
    source = open_source(f"csv:{tmp_path}")  # the labels of the test part come apart
    assert list(contents(source)) == ["train"]
    assert [(count.path, count.files) for count in source.unused] == [("cars_test", 1)]
    save(
        tmp_path / "cars_test_annos_withlabels.mat",
        annotations=annotations({"bbox_x1": 3, "class": np.uint8(2), "fname": "00001.jpg"}),
    )
    source = open_source(f"csv:{tmp_path}/cars_test_annos_withlabels.mat")
    assert source.class_names == names
    assert contents(source) == {
        "train": {"cars_train/00001.jpg": names[2], "cars_train/00002.jpg": names[0]},
        "test": {"cars_test/00001.jpg": names[1]},
    }


def test_cars_in_one_folder(tmp_path: Path) -> None:
    draw(tmp_path, "car_ims/000001.jpg", "car_ims/000002.jpg")
    save(
        tmp_path / "cars_annos.mat",
        class_names=cells("Audi", "BMW").T,
        annotations=annotations(
            {"relative_im_path": "car_ims/000001.jpg", "class": np.uint8(2), "test": np.uint8(0)},
            {"relative_im_path": "car_ims/000002.jpg", "class": np.uint8(1), "test": np.uint8(1)},
        ),
    )
    assert contents(open_source(f"csv:{tmp_path}")) == {
        "train": {"car_ims/000001.jpg": "BMW"},
        "test": {"car_ims/000002.jpg": "Audi"},
    }


@pytest.mark.parametrize("file", ["", "/images.txt"])
def test_birds(tmp_path: Path, file: str) -> None:
    images = ["002.Auk/b.jpg", "001.Albatross/a.jpg", "002.Auk/c.jpg"]
    draw(tmp_path / "images", *images)
    write(tmp_path / "images.txt", "".join(f"{i} {n}\n" for i, n in enumerate(images, 1)))
    write(tmp_path / "image_class_labels.txt", "1 2\n2 1\n3 2\n")
    write(tmp_path / "train_test_split.txt", "1 0\n2 1\n3 1\n")
    write(tmp_path / "classes.txt", "0 Birds\n1 001.Albatross\n2 002.Auk\n")
    source = open_source(f"csv:{tmp_path}{file}")
    assert source.class_names == ["001.Albatross", "002.Auk"]
    assert contents(source) == {
        "train": {
            "images/001.Albatross/a.jpg": "001.Albatross",
            "images/002.Auk/c.jpg": "002.Auk",
        },
        "test": {"images/002.Auk/b.jpg": "002.Auk"},
    }
    assert source.unused == ()
    write(tmp_path / "train_test_split.txt", "1 0\n3 1\n")
    assert "images.txt: image 2 has no line" in refusal(f"csv:{tmp_path}{file}")


@pytest.mark.parametrize("file", ["", "/annotations/trainval.txt"])
def test_pets(tmp_path: Path, file: str) -> None:
    draw(tmp_path / "images", "Bengal_1.jpg", "american_bulldog_2.jpg", "Bengal_30.jpg")
    write(tmp_path / "annotations" / "trainval.txt", "Bengal_1 6 1 2\namerican_bulldog_2 2 2 1\n")
    write(tmp_path / "annotations" / "test.txt", "Bengal_30 6 1 2\n")
    source = open_source(f"csv:{tmp_path}{file}")
    assert source.class_names == ["american_bulldog", "Bengal"]  # in the order of their numbers
    assert contents(source) == {
        "train": {
            "images/Bengal_1.jpg": "Bengal",
            "images/american_bulldog_2.jpg": "american_bulldog",
        },
        "test": {"images/Bengal_30.jpg": "Bengal"},
    }
    # As a plain table, cats against dogs.
    lists = f"{tmp_path}/annotations"
    source = open_source(
        f"csv:train={lists}/trainval.txt,test={lists}/test.txt,image=1,label=3,"
        "folder=../images,suffix=.jpg"
    )
    assert contents(source) == {
        "train": {"../images/Bengal_1.jpg": "1", "../images/american_bulldog_2.jpg": "2"},
        "test": {"../images/Bengal_30.jpg": "1"},
    }
    write(tmp_path / "annotations" / "test.txt", "Bengal_30 2 1 2\n")
    assert "test.txt: Bengal_30 has class '2'" in refusal(f"csv:{tmp_path}{file}")


def test_food(tmp_path: Path) -> None:
    draw(tmp_path / "images", "beignets/1.jpg", "apple_pie/2.jpg", "apple_pie/3.jpg")
    write(tmp_path / "meta" / "train.txt", "beignets/1\napple_pie/2\n")
    write(tmp_path / "meta" / "test.txt", "apple_pie/3\n")
    write(tmp_path / "meta" / "train.json", "{}")
    write(tmp_path / "meta" / "test.json", "{}")
    source = open_source(f"csv:{tmp_path}")
    assert source.class_names == ["apple_pie", "beignets"]
    assert contents(source) == {
        "train": {"images/beignets/1.jpg": "beignets", "images/apple_pie/2.jpg": "apple_pie"},
        "test": {"images/apple_pie/3.jpg": "apple_pie"},
    }
