"""The files that a table names: where they are, which are missing, which others there are."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from named_images import draw, refusal, seen, unused, write
from PIL import Image

from pipelines.sources.open import open_source

PETS = {"a.png": "dog", "b.png": "cat", "c.png": "dog"}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    draw(tmp_path, *PETS)
    return write(tmp_path / "labels.csv", ["image,label", *(f"{k},{v}" for k, v in PETS.items())])


def test_what_is_not_used_is_counted(tmp_path: Path) -> None:
    draw(tmp_path, *(f"train/{name}" for name in PETS), "train/x.png", "test/1.png", "test/2.png")
    draw(tmp_path, "train/.hidden.png", "loose.png")
    rows = ["id,breed", "a,dog", "b,cat", "c,dog", "a,dog", "d,", "e,"]
    source = open_source(f"csv:{write(tmp_path / 't.csv', rows)},folder=train,suffix=.png")
    assert len(source) == 3
    assert {(count.path, count.files, count.why) for count in source.unused} == {
        ("t.csv", 2, "are named in rows that have no label"),
        ("t.csv", 1, "are named again in rows that say the same"),
        (".", 1, "are images that no row names"),
        ("train", 1, "are images that no row names"),
        ("test", 2, "are images that no row names"),
    }
    for rows in (
        ["id,breed", "a,1", "b,0", "c,-1"],
        ["id,breed", "a,1.0", "b,0.0", "c,NaN"],
        ["id,breed", "a,1", "b,0", "c,NA"],
    ):
        source = open_source(f"csv:{write(tmp_path / 't.csv', rows)},folder=train,suffix=.png")
        assert source.class_names == ["0", "1"]
        assert unused(source)["t.csv"] == 1


def test_images_in_several_folders(tmp_path: Path) -> None:
    draw(tmp_path, "part_1/a.png", "part_2/b.png", "part_2/c.png")
    table = write(tmp_path / "t.csv", ["id,dx", "a,x", "b,y", "c,x"])
    source = open_source(f"csv:{table},folder=part_1+part_2,suffix=.png")
    assert seen(source) == {"part_1/a.png": "x", "part_2/b.png": "y", "part_2/c.png": "x"}
    (tmp_path / "part_2" / "c.png").unlink()
    assert "1 of 3 images are missing, the first part_1/c.png" in refusal(source.spec)


def test_an_image_named_twice(pets: Path) -> None:
    with pets.open("a") as file:
        file.write("./a.png,cat\n")
    assert refusal(f"csv:{pets}") == (
        "csv: labels.csv, line 5: a.png has class 'cat' and in labels.csv, line 2 'dog': remove one"
    )


def test_missing_images(pets: Path) -> None:
    (pets.parent / "b.png").unlink()
    assert refusal(f"csv:{pets}") == (
        "csv: 1 of 3 images are missing, the first b.png (labels.csv, line 3): check folder= and "
        "suffix=, or add them, or set data.on_corrupt: skip"
    )
    assert "1 of 3 images are missing" in refusal(f"csv:{pets}", on_corrupt="skip")
    with pets.open("a") as file:
        file.write("d.png,cat\n")
    draw(pets.parent, "d.png")
    source = open_source(f"csv:{pets}", on_corrupt="skip", max_corrupt_fraction=0.3)
    assert seen(source) == {"a.png": "dog", "c.png": "dog", "d.png": "cat"}
    assert source.corrupt == [("b.png", "does not exist")]


def test_the_settings_that_would_find_the_images(tmp_path: Path) -> None:
    draw(tmp_path / "train_images", "a.png", "b.png")
    write(tmp_path / "t.csv", ["nr,id_code,diagnosis", "1,a,0", "2,b,4"])
    spec = f"csv:{tmp_path}/t.csv"
    assert refusal(spec).endswith(": write image=id_code,folder=train_images,suffix=.png")
    assert refusal(f"{spec},image=id_code,label=diagnosis").endswith(
        "the first a (t.csv, line 2): write folder=train_images,suffix=.png"
    )
    assert len(open_source(f"{spec},image=id_code,label=diagnosis,folder=train_images,suffix=.png"))
    write(tmp_path / "lists" / "l.txt", ["a 0", "b 1"])
    assert refusal(f"csv:{tmp_path}/lists/l.txt").endswith(
        "write folder=../train_images,suffix=.png"
    )


def test_the_settings_for_a_table_of_each_part(tmp_path: Path) -> None:
    draw(tmp_path / "train", "a.png", "b.png")
    draw(tmp_path / "val", "c.png", "d.png")
    write(tmp_path / "meta" / "train.txt", ["a 0", "b 1"])
    write(tmp_path / "meta" / "val.txt", ["c 0", "d 1"])
    spec = f"csv:train={tmp_path}/meta/train.txt,val={tmp_path}/meta/val.txt"
    assert refusal(spec).endswith("write folder=../{split},suffix=.png")
    assert len(open_source(f"{spec},folder=../{{split}},suffix=.png")) == 4


def test_images_behind_a_link_are_those_that_are_named(tmp_path: Path) -> None:
    draw(tmp_path / "set" / "real", "a.png", "b.png", "c.png")
    (tmp_path / "set" / "link").symlink_to("real")
    (tmp_path / "set" / "real" / "loop").symlink_to("..")
    table = write(tmp_path / "set" / "t.csv", ["link/a.png,x", "link/b.png,y"])
    source = open_source(f"csv:{table}")
    assert seen(source) == {"link/a.png": "x", "link/b.png": "y"}
    assert sum(unused(source).values()) == 1


def test_a_search_for_other_images_ends(tmp_path: Path, monkeypatch) -> None:
    from pipelines.sources.tables import images

    monkeypatch.setattr(images, "MOST_OTHERS", 1)
    draw(tmp_path, "a/1.png", "b/1.png", *(f"z/{i}.png" for i in range(9)))
    source = open_source(f"csv:{write(tmp_path / 't.csv', ['a/1.png,x', 'b/1.png,y'])}")
    assert [why for _, _, why in source.unused] == ["or more are images that no row names"]


def test_paths_from_elsewhere(tmp_path: Path) -> None:
    draw(tmp_path / "else", "d/a.png", "d/b.png")
    root = tmp_path / "tables"
    absolute = write(root / "t.csv", [f"{tmp_path}/else/d/{n}.png,{n}" for n in "ab"])
    rooted = write(root / "places.txt", [f"/d/{n}.png {n}" for n in "ab"])
    windows = write(root / "w.csv", ["image,label", *(f"d\\{n}.png,{n}" for n in "ab")])
    for spec in (
        f"csv:{absolute}",
        f"csv:{rooted},folder=../else",
        f"csv:{windows},folder=../else",
    ):
        source = open_source(spec)
        assert seen(source) == {"../else/d/a.png": "a", "../else/d/b.png": "b"}
        assert source.unused == ()


def test_what_is_no_file(pets: Path, tmp_path: Path) -> None:
    (tmp_path / "b.png").unlink()
    os.mkfifo(tmp_path / "b.png")
    assert refusal(f"csv:{pets}").startswith("csv: b.png is not a regular file: ")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "pipe.csv is not a regular file" in refusal(f"csv:{tmp_path / 'pipe.csv'}")


def test_photographs_stand_upright(tmp_path: Path) -> None:
    stored = np.zeros((8, 8, 3), np.uint8)
    stored[:4] = 200
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(stored).save(buffer, "JPEG", exif=exif, quality=95)
    (tmp_path / "turned.jpg").write_bytes(buffer.getvalue())
    draw(tmp_path, "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    source = open_source(f"csv:{write(tmp_path / 't.csv', ['turned.jpg,x', 'a.png,y'])}")
    assert source.array is not None
    assert source.array[0, 0, 0, 0] < 50 < 150 < source.array[0, -1, 0, 0]
