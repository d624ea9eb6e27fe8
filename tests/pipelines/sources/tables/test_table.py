"""What a table says, and how it is asked: columns, labels, parts, classes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from named_images import draw, parts, refusal, seen, unused, write

from pipelines.errors import SourceError
from pipelines.sources.base import Source
from pipelines.sources.open import open_source

PETS = {"a.png": "dog", "b.png": "cat", "c.png": "dog"}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    draw(tmp_path, *PETS)
    return write(tmp_path / "labels.csv", ["image,label", *(f"{k},{v}" for k, v in PETS.items())])


def test_two_columns(pets: Path) -> None:
    source = open_source(f"csv:{pets}")
    assert source.spec == f"csv:{pets}"
    assert source.class_names == ["cat", "dog"]
    assert seen(source) == PETS
    assert source.official_splits is None
    assert source.unused == ()
    assert source.notes == ("labels.csv: images from column image, labels from column label",)


@pytest.mark.parametrize(
    ("name", "rows", "end"),
    [
        ("l.csv", ["\ufeffid;breed", "a.png;dog", '"b.png";"cat"', "c.png;dog", ""], "\r\n"),
        ("l.tsv", ["id\tbreed", "a.png\tdog", "b.png\tcat", "c.png\tdog"], "\n"),
        ("l.txt", ["id breed", "a.png dog", "", "b.png  cat", "c.png dog"], "\n"),
        ("l.txt", ["a.png dog", "b.png cat", "c.png dog"], "\r"),
        ("l.csv", ["a.png, dog", 'b.png, "cat"', "c.png,dog,,"], "\n"),
        ("l.txt", ["dog a.png", "cat b.png", "dog c.png"], "\n"),
    ],
)
def test_delimiters_and_headers(tmp_path: Path, name: str, rows: list[str], end: str) -> None:
    draw(tmp_path, *PETS)
    assert seen(open_source(f"csv:{write(tmp_path / name, rows, end)}")) == PETS


def test_parquet_and_json_lines(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw(tmp_path, *PETS)
    names = pa.array(["x", "y", "z"]).dictionary_encode()
    table = {
        "n": names,
        "label": [12, 3, 12],
        "file_name": list(PETS),
        "score": [1.0, float("nan"), 0.0],
    }
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    source = open_source(f"csv:{tmp_path / 't.parquet'}")
    assert source.class_names == ["3", "12"]
    assert seen(source) == {"a.png": "12", "b.png": "3", "c.png": "12"}
    named = open_source(f"csv:{tmp_path / 't.parquet'},label=n")
    assert seen(named) == {"a.png": "x", "b.png": "y", "c.png": "z"}
    named = open_source(f"csv:{tmp_path / 't.parquet'},label=score")
    assert seen(named) == {"a.png": "1", "c.png": "0"}
    pq.write_table(pa.table({"image": [{"bytes": b"x"}], "label": [1]}), tmp_path / "h.parquet")
    assert f"write 'hf:{tmp_path}'" in refusal(f"csv:{tmp_path / 'h.parquet'}")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    assert "bad.parquet is damaged or no Parquet file" in refusal(f"csv:{tmp_path}/bad.parquet")

    rows = [json.dumps({"file_name": name, "label": label}) for name, label in PETS.items()]
    assert seen(open_source(f"csv:{write(tmp_path / 'm.jsonl', rows)}")) == PETS
    rows[1] = "[1]"
    assert "m.jsonl, line 2: expected a JSON object" in refusal(
        f"csv:{write(tmp_path / 'm.jsonl', rows)}"
    )


def test_settings_and_the_spec_that_opens_the_same(tmp_path: Path) -> None:
    draw(tmp_path / "my, images", "a.png", "b.png", "c.png", "d.png")
    rows = ["n,id,breed,split", "1,a,dog,Train", "2,b,cat,TRAINING", "3,c,dog,dev", "4,d,cat,test"]
    table = write(tmp_path / "x=1,y.csv", rows)
    spec = f"csv:{table},label=breed,image=id,split=split,suffix=.png,folder=my, images"
    source = open_source(spec)
    assert source.spec == (
        f"csv:{table},image=id,label=breed,split=split,folder=my, images,suffix=.png"
    )
    assert {k: [os.path.basename(n) for n in v] for k, v in parts(source).items()} == {
        "train": ["a.png", "b.png"], "validation": ["c.png"], "test": ["d.png"],
    }  # fmt: skip
    assert list(seen(source).values()) == ["dog", "cat", "dog", "cat"]
    again = open_source(source.spec)
    assert (again.spec, again.fingerprint) == (source.spec, source.fingerprint)


def test_settings_that_name_nothing(pets: Path) -> None:
    assert refusal(f"csv:{pets},lable=label").startswith(
        "csv: unknown setting 'lable' (did you mean 'label'?); expected image, label, split,"
    )
    assert refusal(f"csv:{pets},label=lable") == (
        "csv: label=lable: labels.csv has no such column (did you mean 'label'?); its columns: "
        "image, label"
    )
    assert "label is given twice" in refusal(f"csv:{pets},label=label,label=image")
    assert "image: expected a value" in refusal(f"csv:{pets},image=")
    assert "received none: write 'csv:FILE," in refusal("csv:")
    assert f"{pets}x does not exist" in refusal(f"csv:{pets}x,label=label")
    assert "classes.txt does not exist" in refusal(f"csv:{pets},classes=classes.txt")
    assert "val= and dev= are the same part" in refusal(f"csv:val={pets},dev={pets}")
    assert "split= stands beside a table" in refusal(f"csv:train={pets},split=label")
    assert "stands beside test=" in refusal(f"csv:{pets},test={pets}")


def test_well_known_names_before_position(tmp_path: Path) -> None:
    draw(tmp_path, *PETS)
    rows = [
        "lesion,image_id,age,dx",
        *(f"L{i},{n},40,{v}" for i, (n, v) in enumerate(PETS.items())),
    ]
    table = write(tmp_path / "t.csv", rows)
    assert refusal(f"csv:{table}") == (
        "csv: t.csv has images in column image_id; which column has the labels? write "
        "label=COLUMN, one of lesion, age, dx"
    )
    assert seen(open_source(f"csv:{table},label=dx")) == PETS
    rows = ["id_code,diagnosis,age", *(f"{n},{v},4" for n, v in PETS.items())]
    source = open_source(f"csv:{write(table, rows)}")
    assert seen(source) == PETS
    assert source.notes == (
        "t.csv: images from column id_code, labels from column diagnosis, the second (label= names "
        "another)",
    )
    rows = ["class,weight,filename", *(f"{v},{i},{n}" for i, (n, v) in enumerate(PETS.items()))]
    assert seen(open_source(f"csv:{write(table, rows)}")) == PETS


def test_names_with_spaces_in_lists(tmp_path: Path) -> None:
    names = {"my cat/no 1.png": "0", "my cat/2.png": "1", "x.png": "0"}
    draw(tmp_path, *names)
    table = write(tmp_path / "list.txt", [f"{name} {label}" for name, label in names.items()])
    assert seen(open_source(f"csv:{table}")) == names
    # FGVC-Aircraft: labels with spaces behind ids without.
    planes = {"0034309": "Boeing 737", "1025794": "A300", "0056978": "Boeing 737"}
    draw(tmp_path / "images", *(f"{name}.png" for name in planes))
    table = write(tmp_path / "families.txt", [f"{k} {v}" for k, v in planes.items()])
    source = open_source(f"csv:{table},folder=images,suffix=.png")
    assert seen(source) == {f"images/{name}.png": label for name, label in planes.items()}


def test_lists_without_a_header_lose_no_row(tmp_path: Path) -> None:
    draw(tmp_path, "x_2.png", "x_3.png", "d/4.png", "e/6.png")
    for rows in (
        ["x_1.png cat", "x_2.png dog", "x_3.png ant"],
        ["x_0 cat", "x_2 dog", "x_3 ant"],  # the first would pass for a header
        ["y cat", "x_2 dog", "x_3 cat"],
        ["y 0", "x_2 1", "x_3 2"],
        ["d/1", "d/4", "e/6"],
    ):
        table = write(tmp_path / "l.txt", rows)
        assert "1 of 3 images are missing" in refusal(f"csv:{table},suffix=.png"), rows


def test_the_folder_is_the_label_of_a_list_of_names(tmp_path: Path) -> None:
    names = ["banded/1.png", "dotted/2.png", "banded/3.png"]
    draw(tmp_path / "images", *names)
    table = write(tmp_path / "labels" / "train1.txt", names)
    source = open_source(f"csv:{table},folder=../images")
    assert list(seen(source).values()) == ["banded", "dotted", "banded"]
    assert source.notes == (
        "train1.txt (no header): images from column 1, labels from the folder of each image",
    )
    names = ["/a/abbey/1.png", "/a/arch/outdoor/2.png", "/b/bar/outdoor/3.png"]  # SUN397
    draw(tmp_path / "sun", *(name[1:] for name in names))
    source = open_source(f"csv:{write(tmp_path / 'l.txt', names)},folder=sun")
    assert list(seen(source).values()) == ["a/abbey", "a/arch/outdoor", "b/bar/outdoor"]
    draw(tmp_path, "train/x/a/4.png", "train/x/b/5.png", "test/x/a/6.png", "test/x/a/7.png")
    write(tmp_path / "train.txt", ["./train/x/a/4.png", "./train/x/b/5.png"])
    write(tmp_path / "test.txt", ["test/x/a/6.png", "test/x/a/7.png"])
    source = open_source(f"csv:train={tmp_path}/train.txt,test={tmp_path}/test.txt")
    assert list(seen(source).values()) == ["a", "b", "a", "a"]
    table = write(tmp_path / "images" / "banded" / "l.txt", ["1.png", "3.png"])
    assert "l.txt, line 1: has no label" in refusal(f"csv:{table}")


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    labels = ["10", "9", "100", "9"]
    draw(tmp_path, *(f"{i}.png" for i in range(4)))
    for ending in ("", ".0"):
        table = write(tmp_path / "t.csv", [f"{i}.png,{n}{ending}" for i, n in enumerate(labels)])
        source = open_source(f"csv:{table}")
        assert source.class_names == ["9", "10", "100"]
        assert list(seen(source).values()) == labels
    table = write(tmp_path / "t.csv", [f"{i}.png,{n}.5" for i, n in enumerate(labels)])
    assert "column 2 has fractions, such as 10.5" in refusal(f"csv:{table}")


def test_classes_of_a_file(tmp_path: Path) -> None:
    draw(tmp_path, "0.png", "1.png", "2.png")

    def classes(labels: str, lines: str, name: str = "names.txt") -> Source:
        table = write(tmp_path / "t.csv", [f"{i}.png,{x}" for i, x in enumerate(labels.split())])
        write(tmp_path / name, lines.split("/"))
        return open_source(f"csv:{table},classes={name}")

    source = classes("0 2 1", "wolf/ant/cow")
    assert (source.class_names, list(seen(source).values())) == (
        ["wolf", "ant", "cow"],
        ["wolf", "cow", "ant"],
    )
    assert "label 0 is the first line of names.txt, wolf" in source.notes
    source = classes("1 3 2", "wolf/ant/cow")
    assert list(seen(source).values()) == ["wolf", "cow", "ant"]
    assert "label 1 is the first line of names.txt, wolf" in source.notes
    source = classes("7 3 7", "3 wolf/7 ant/12 cow")
    assert (source.class_names, list(seen(source).values())) == (
        ["wolf", "ant", "cow"],
        ["ant", "wolf", "ant"],
    )
    assert "1 of 3 classes have no image" in source.notes
    source = classes("1 0 1", "_a_wolf 0/_b_ant 1")
    assert (source.class_names, source.labels.tolist()) == (["_a_wolf", "_b_ant"], [1, 0, 1])
    source = classes("ant wolf ant", "wolf/ant/cow")
    assert (source.class_names, list(seen(source).values())) == (
        ["wolf", "ant", "cow"],
        ["ant", "wolf", "ant"],
    )
    source = classes("n02 n01 n02", "n02 tench, Tinca/n01 goldfish")
    assert (source.class_names, source.labels.tolist()) == (["n02", "n01"], [0, 1, 0])
    assert source.titles == {"n02": "tench, Tinca", "n01": "goldfish"}
    source = classes("1 0 1", '{"0": "blight", "1": "streak"}', "map.json")
    assert (source.class_names, source.labels.tolist()) == (["blight", "streak"], [1, 0, 1])
    for labels, lines, why in (
        ("1 2 1", "wolf/ant/cow", "labels 1 to 2 may count the 3 lines of classes=names.txt"),
        ("0 3 1", "wolf/ant/cow", "labels 0 to 3 have no place in classes=names.txt, which has 3"),
        ("ant wulf ant", "wolf/ant", "has no class 'wulf' (did you mean 'wolf'?)"),
        ("ant wolf ant", "wolf/ant/wolf", "has 'wolf' twice"),
        ("7 4 7", "3 wolf/7 ant", "has no class '4'"),
    ):
        with pytest.raises(SourceError) as refused:
            classes(labels, lines)
        assert why in str(refused.value)


def test_parts_from_columns(tmp_path: Path) -> None:
    names = ["a.png", "b.png", "c.png", "d.png"]
    draw(tmp_path, *names)

    def table(column: str, fields: str, settings: str = "") -> str:
        rows = zip(names, ["x", "y"] * 2, fields.split(), strict=True)
        write(tmp_path / "t.csv", [f"image,label,{column}", *(",".join(row) for row in rows)])
        return f"csv:{tmp_path / 't.csv'}{settings}"

    source = open_source(table("is_valid", "False True FALSE true"))
    assert parts(source) == {"train": ["a.png", "c.png"], "validation": ["b.png", "d.png"]}
    assert "t.csv: official parts from column is_valid" in source.notes
    source = open_source(table("is_training_image", "1 0 0 1", ",split=is_training_image"))
    assert parts(source) == {"train": ["a.png", "d.png"], "test": ["b.png", "c.png"]}
    source = open_source(table("Set", "test Train VAL train"))
    assert parts(source) == {
        "train": ["b.png", "d.png"], "validation": ["c.png"], "test": ["a.png"],
    }  # fmt: skip
    source = open_source(table("fold", "0 1 2 0"))
    assert source.official_splits is None
    assert (
        source.notes[-1]
        == "t.csv: column fold ('0', '1', '2') is not used: no parts are told by it"
    )
    assert "split=fold: t.csv has '0', '1', '2' there: expected train, val and test" in refusal(
        table("fold", "0 1 2 0", ",split=fold")
    )
    assert "has validation and test and no train part" in refusal(
        table("split", "val test val test", ",split=split")
    )


def test_a_table_for_each_part(tmp_path: Path) -> None:
    draw(tmp_path / "train", "a/1.png", "b/2.png")
    draw(tmp_path / "val", "3.png", "4.png")
    write(tmp_path / "meta" / "train.txt", ["a/1.png 0", "b/2.png 1"])
    write(tmp_path / "meta" / "val.txt", ["3.png 1", "4.png 0"])
    spec = f"csv:train={tmp_path}/meta/train.txt,val={tmp_path}/meta/val.txt,folder=../{{split}}"
    source = open_source(spec)
    assert source.spec == spec
    assert parts(source) == {
        "train": ["../train/a/1.png", "../train/b/2.png"],
        "validation": ["../val/3.png", "../val/4.png"],
    }
    assert list(seen(source).values()) == ["0", "1", "1", "0"]
    write(tmp_path / "meta" / "val.txt", ["3.png 1", "../train/a/1.png 1"])
    assert refusal(spec) == (
        "csv: val.txt, line 2: 1.png has class '1' and in train.txt, line 1 '0': remove one"
    )
    write(tmp_path / "meta" / "val.txt", ["3.png 2", "4.png 0"])
    assert open_source(spec).notes[-1] == (
        "1 of 3 classes have no image in the train part, such as 2: no network can learn them"
    )
    # Hub folders of images: metadata.csv in each part.
    for part in ("train", "test"):
        draw(tmp_path / "hub" / part, f"{part}1.png", f"{part}2.png")
        rows = ["file_name,note,label", f"{part}1.png,,x", f"{part}2.png,,y"]
        write(tmp_path / "hub" / part / "metadata.csv", rows)
    source = open_source(f"csv:{tmp_path}/hub")
    assert {part: len(names) for part, names in parts(source).items()} == {"train": 2, "test": 2}
    assert list(seen(source).values()) == ["x", "y", "x", "y"]
    write(tmp_path / "meta" / "notes.md", ["x"])
    assert refusal(f"csv:{tmp_path}/meta").endswith(
        f"Food-101: name a table in it, such as 'csv:{tmp_path}/meta/train.txt' of train.txt, "
        "val.txt"
    )
    assert refusal(f"csv:{tmp_path}/train").endswith(f"write 'folder:{tmp_path}/train'")


def test_one_hot(tmp_path: Path) -> None:
    draw(tmp_path, *PETS)
    rows = ["image,MEL,NV,A+B", "a.png,0.0,1.0,0.0", "b.png,1.0,0.0,0.0", "c.png,0.0,0.0,1.0"]
    table = write(tmp_path / "t.csv", rows)
    assert refusal(f"csv:{table}") == (
        "csv: t.csv has a column for each class, one of them 1: write label=MEL+NV+A+B"
    )
    write(table, [rows[0].replace("A+B", "BCC"), *rows[1:], "d.png,0,0,0"])
    draw(tmp_path, "d.png")
    source = open_source(f"csv:{table},label=MEL+NV+BCC")
    assert source.class_names == ["BCC", "MEL", "NV"]
    assert seen(source) == {"a.png": "NV", "b.png": "MEL", "c.png": "BCC"}
    assert unused(source) == {"t.csv": 1}
    write(table, [*rows, "d.png,1,1,0"])
    assert "has no one column of labels (MEL+NV+A+B hold 0 and 1" in refusal(f"csv:{table}")
    assert "t.csv, line 5: is MEL and NV" in refusal(f"csv:{table},label=MEL+NV")


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"", "has no rows"),
        (b"image,label\n", "has a header and no rows"),
        (b"image,label\na.png,dog\nb.png\n", "line 3: has 1 fields where the first row has 2"),
        (b"image,label\na.png,dog\nb.png,cat,x\n", "line 3: has 3 fields"),
        (b'image,label\na.png,"dog\nb.png,cat\n', "unexpected end of data"),
        (b'image,label\na.png,"' + b"x" * 200_000 + b'"\n', "line 2: field larger than"),
        (b"image,label\n\xff.png,dog\n", "is no text in UTF-8"),
        (b"image,label\na.png,dog\nc.png,dog\n", "has one class only ('dog')"),
        (b"image,label\na.png,\n", "no row has a label"),
        (b"image,label\na.png,dog\n,cat\n", "line 3: '' names no image"),
        (b"image,label\na.png,dog\nb\0.png,cat\n", "line 3: 'b\\x00.png' names no image"),
        (b'image,label\na.png,dog\nb.png,"c\nd"\n', "'c\\nd' is no name of a class"),
        (b'image,"la\nbel"\na.png,dog\n', "'la\\nbel' is no name of a column"),
        (b"image,image\na.png,dog\n", "two columns 'image'"),
    ],
)
def test_tables_that_are_refused(pets: Path, contents: bytes, why: str) -> None:
    pets.write_bytes(contents)
    assert why in refusal(f"csv:{pets}" + (",image=image" if why.startswith("two") else ""))
