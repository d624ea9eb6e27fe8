"""`hf:`: Parquet and Arrow as the hub and `datasets` write them, by pyarrow alone."""

from __future__ import annotations

import io
import json
import sys
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import tensorflow as tf
from drawn import drawn, read_back
from hub_set import (
    CLASSES,
    IMAGE,
    LAYOUTS,
    NAMES,
    SHARDED,
    as_arrow,
    as_parquet,
    expected,
    features,
    save_to_disk,
    table,
)
from PIL import Image

from pipelines.errors import SourceError
from pipelines.sources.base import Unused
from pipelines.sources.open import open_source
from pipelines.sources.records import unpacked


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parquet_shards_are_found_wherever_the_hub_puts_them(tmp_path, layout):
    root = tmp_path / "set"
    for name, (split, numbers) in LAYOUTS[layout].items():
        as_parquet(root / name, table(split, numbers), row_group_size=3)
    source = open_source(f"hf:{root}")
    assert read_back(source) == expected(train=9, validation=4)
    assert source.class_names == NAMES
    assert list(source.official_splits) == ["train", "validation"]
    assert source.image_shape == (6, 8, 3)
    assert source.spec == f"hf:{root}"


def test_parquet_is_written_out_once_and_as_the_files_change(tmp_path, capsys, monkeypatch):
    root = tmp_path / "set"
    for name, (split, numbers) in SHARDED.items():
        as_parquet(root / name, table(split, numbers))
    first = open_source(f"hf:{root}", memory_limit_bytes=0)
    said = capsys.readouterr().err
    assert "Parquet has no random access; writing 3 shards" in said
    assert ".ilsvrc/.cache/hf/set-" in said
    assert first.contents(tf.constant(0, tf.int64)).numpy() == drawn("train", 0)  # as stored
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "ParquetFile", lambda *_: pytest.fail("read again"))
        again = open_source(f"hf:{root}")
    assert capsys.readouterr().err == ""
    assert again.fingerprint == first.fingerprint
    as_parquet(root / "data/validation-00000-of-00001.parquet", table("validation", range(3, 7)))
    changed = open_source(f"hf:{root}")
    assert "writing" in capsys.readouterr().err
    assert ("validation", 6) in read_back(changed)
    assert changed.fingerprint != first.fingerprint


@pytest.mark.parametrize("batch", [3, 100])
def test_what_save_to_disk_wrote_is_read_in_place(tmp_path, batch, capsys):
    root = save_to_disk(
        tmp_path / "set",
        {
            "train": [table("train", range(5)), table("train", range(5, 11))],
            "test": [table("test", range(4))],
        },
    )
    source = open_source(f"hf:{root}", memory_limit_bytes=0)
    assert read_back(source) == expected(train=11, test=4)
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.rglob(".ilsvrc/.cache/hf"))
    assert source.files.names[6] == "train[6]"
    moved = tmp_path / "moved"
    root.rename(moved)
    assert open_source(f"hf:{moved}").fingerprint == source.fingerprint
    source = open_source(f"hf:{moved}", memory_limit_bytes=0)
    source.check_unchanged()
    as_arrow(moved / "test/data-00000-of-00001.arrow", table("test", range(4)))
    with pytest.raises(SourceError, match="was written again"):
        source.check_unchanged()


def test_one_dataset_has_no_official_splits(tmp_path):
    root = tmp_path / "set"
    as_arrow(root / "data-00000-of-00001.arrow", table("train", range(7)))
    (root / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": None})
    )
    source = open_source(f"hf:{root}")
    assert source.official_splits is None
    assert read_back(source) == expected(train=7)


@pytest.mark.parametrize(
    "form", ["large_binary", "binary", "large struct", "file", "compressed", "dictionary"]
)
def test_forms_of_columns_and_files(tmp_path, form, capsys):
    large = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
    image = {"large_binary": pa.large_binary(), "binary": pa.binary(), "large struct": large}
    kinds = {"dictionary": pa.dictionary(pa.int32(), pa.string())}
    rows = table("train", range(9), image=image.get(form, IMAGE))
    path = tmp_path / "set" / "train.arrow"
    if form == "dictionary":
        named = [NAMES[i % 3] for i in range(9)]
        rows = table("train", range(9), labels=named, metadata={}, kind=kinds[form])
    if form == "file":
        path.parent.mkdir()
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows, max_chunksize=4)
    else:
        packed = pa.ipc.IpcWriteOptions(compression="zstd") if form == "compressed" else None
        as_arrow(path, rows, options=packed)
    assert read_back(open_source(f"hf:{tmp_path / 'set'}")) == expected(train=9)
    assert ("compressed Arrow has no random access" in capsys.readouterr().err) is (
        form == "compressed"
    )


def test_images_without_bytes_are_the_files_that_their_paths_name(tmp_path):
    root = tmp_path / "set"
    rows = table("train", range(6)).to_pydict()
    (root / "images").mkdir(parents=True)
    for i in (1, 4):
        rows["image"][i] = {"bytes": None, "path": f"images/{i}.png"}
        (root / f"images/{i}.png").write_bytes(drawn("train", i))
    schema = table("train", [0]).schema
    as_parquet(root / "train.parquet", pa.Table.from_pydict(rows, schema))
    assert read_back(open_source(f"hf:{root}")) == expected(train=6)
    (root / "images/4.png").unlink()
    with pytest.raises(
        SourceError, match=r"train\[4\] has no bytes, only a path, 'images/4.png', not there"
    ):
        open_source(f"hf:{root}")
    left = open_source(f"hf:{root}", on_corrupt="skip", max_corrupt_fraction=0.5)
    assert [name for name, _ in left.corrupt] == ["train[4]"]
    assert ("train", 4) not in read_back(left)


def test_images_without_labels_and_other_splits_are_left_out_and_counted(tmp_path):
    root = save_to_disk(
        tmp_path / "set",
        {
            "train": [table("train", range(6), labels=[0, 1, 2, -1, 1, 2])],
            "validation": [table("validation", range(3), labels=[0, None, 2])],
            "test": [table("test", range(5), labels=[-1] * 5)],
            "unsupervised": [table("other", range(2)), table("other", range(2, 7))],
        },
    )
    source = open_source(f"hf:{root}")
    everything = expected(train=6, validation=3)
    del everything["train", 3], everything["validation", 1]
    assert read_back(source) == everything
    assert set(source.unused) == {
        Unused("train", 1, "have no labels"),
        Unused("validation", 1, "have no labels"),
        Unused("test", 5, "have no labels"),
        Unused("unsupervised", 7, "belong to a split that is no train, validation or test"),
    }


def test_a_second_validation_split_is_left_out(tmp_path):
    for name in ("train", "validation", "dev"):
        split = "other" if name == "dev" else name
        as_parquet(tmp_path / "set" / f"{name}.parquet", table(split, range(3)))
    source = open_source(f"hf:{tmp_path / 'set'}")
    assert read_back(source) == expected(train=3, validation=3)
    assert source.unused == (
        Unused("dev", 3, "belong to a second validation part, beside 'validation'"),
    )


def test_without_a_training_part_all_is_one_set_and_that_is_said(tmp_path):
    for name in ("validation", "test"):
        as_parquet(tmp_path / "set" / f"{name}.parquet", table(name, range(3)))
    source = open_source(f"hf:{tmp_path / 'set'}")
    assert source.official_splits is None
    assert read_back(source) == expected(test=3, validation=3)
    assert source.notes[0].startswith("there is no training part: test+validation is one set")
    (tmp_path / "set" / "test.parquet").unlink()
    source = open_source(f"hf:{tmp_path / 'set'}")
    assert read_back(source) == expected(validation=3)
    assert source.notes[0].startswith("there is no training part: validation is one set")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([10, 2, 0, 10, 2, 0], ["0", "2", "10"]),
        (["emu", "cat", "dog", "emu", "cat", "dog"], ["cat", "dog", "emu"]),
    ],
)
def test_classes_without_names_are_what_the_column_holds(tmp_path, labels, classes):
    as_parquet(
        tmp_path / "set" / "train.parquet", table("train", range(6), labels=labels, metadata={})
    )
    source = open_source(f"hf:{tmp_path / 'set'}")
    assert source.class_names == classes
    assert [source.class_names[i] for i in source.labels] == [str(label) for label in labels]
    assert list(read_back(source)) == [("train", i) for i in range(6)]


def test_names_come_from_a_json_beside_and_two_classes_of_one_name_are_told_apart(tmp_path):
    root = tmp_path / "set"
    as_parquet(root / "train.parquet", table("train", range(6), metadata={}))
    kinds = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": ["crane", "dog", "crane"]},
    }
    (root / "dataset_infos.json").write_text(json.dumps({"default": {"features": kinds}}))
    source = open_source(f"hf:{root}")
    assert source.class_names == ["crane (0)", "dog", "crane (2)"]
    assert "1 names stand for more than one class (crane)" in source.notes[0]


def test_classes_can_be_numbers_or_have_the_names_of_a_file(tmp_path):
    as_parquet(tmp_path / "set" / "train.parquet", table("train", range(6)))
    numbers = open_source(f"hf:{tmp_path / 'set'},classes=numbers")
    assert read_back(numbers) == {("train", i): str(i % 3) for i in range(6)}
    path = tmp_path / "wnids.txt"
    path.write_text("n03\nn01\nn02\nn09\n")
    named = open_source(f"hf:{tmp_path / 'set'},classes={path}")
    assert named.class_names == ["n03", "n01", "n02", "n09"]
    assert read_back(named) == {("train", i): ["n03", "n01", "n02"][i % 3] for i in range(6)}
    path.write_text("n03\n\nn02\n")
    with pytest.raises(SourceError, match=r"wnids\.txt, line 2: expected the name of a class"):
        open_source(named.spec)


def test_columns_are_chosen_by_settings_where_there_are_several(tmp_path):
    root = tmp_path / "set"
    other = [{"bytes": drawn("test", i), "path": None} for i in range(6)]
    coarse = [i % 2 for i in range(6)]
    rows = table("train", range(6), mask=pa.array(other, IMAGE), coarse=pa.array(coarse))
    kinds = {"label": CLASSES, "mask": {"_type": "Image"}}
    kinds["coarse"] = {"_type": "ClassLabel", "names": ["beast", "bird"]}
    as_parquet(root / "train.parquet", rows.replace_schema_metadata(features(**kinds)))
    with pytest.raises(
        SourceError, match=r"2 image columns, image, mask: choose one, as in ',image="
    ):
        open_source(f"hf:{root}")
    with pytest.raises(SourceError, match="2 label columns, label, coarse"):
        open_source(f"hf:{root},image=image")
    fine = open_source(f"hf:{root},image=image,label=label")
    assert read_back(fine) == expected(train=6)
    coarse = open_source(f"hf:{root},image=mask,label=coarse")
    assert coarse.class_names == ["beast", "bird"]
    assert read_back(coarse) == {("test", i): ["beast", "bird"][i % 2] for i in range(6)}
    assert open_source(coarse.spec).fingerprint == coarse.fingerprint
    with pytest.raises(SourceError, match="has no column 'nothing'; it has image, label, mask"):
        open_source(f"hf:{root},image=nothing")
    with pytest.raises(SourceError, match=r"unknown setting 'imgae' \(did you mean 'image'\?\)"):
        open_source(f"hf:{root},imgae=mask")


def test_configurations_are_chosen_by_name(tmp_path):
    root = tmp_path / "set"
    as_parquet(root / "full/train-00000-of-00001.parquet", table("train", range(6)))
    as_parquet(root / "tiny/train-00000-of-00001.parquet", table("train", range(3)))
    with pytest.raises(
        SourceError, match="2 configurations, full, tiny: choose one, as in ',config="
    ):
        open_source(f"hf:{root}")
    with pytest.raises(SourceError, match="no configuration 'big'; it has full, tiny"):
        open_source(f"hf:{root},config=big")
    assert read_back(open_source(f"hf:{root},config=tiny")) == expected(train=3)
    assert read_back(open_source(f"hf:{root},config=full")) == expected(train=6)


def test_photographs_are_upright_as_datasets_gives_them(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(file, "JPEG", exif=exif)
    rows = table("train", range(3)).to_pydict()
    rows["image"][1]["bytes"] = file.getvalue()
    as_parquet(
        tmp_path / "set/train.parquet", pa.Table.from_pydict(rows, table("train", [0]).schema)
    )
    source = open_source(f"hf:{tmp_path / 'set'}")
    assert source.shapes.tolist() == [[6, 8], [8, 6], [6, 8]]
    assert source.images(tf.constant(1, tf.int64)).shape == (8, 6, 3)


def test_a_set_by_name_needs_datasets(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SourceError, match="pip install datasets") as error:
        open_source("hf:user/birds")
    assert "\n" not in str(error.value)
    with pytest.raises(SourceError, match=r"hf: \./birds is no directory: check the path"):
        open_source("hf:./birds")
    asked = []

    class Loaded:
        def save_to_disk(self, folder):
            save_to_disk(unpacked.Path(folder), {"train": [table("train", range(6))]})

    fake = types.ModuleType("datasets")
    fake.load_dataset = lambda *words: asked.append(words) or Loaded()
    monkeypatch.setitem(sys.modules, "datasets", fake)
    source = open_source("hf:user/birds,config=small")
    assert asked == [("user/birds", "small")]
    assert source.spec == "hf:user/birds,config=small"
    assert read_back(source) == expected(train=6)
    assert "loading user/birds from the hub (once)" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "datasets", None)  # the second time nothing is loaded
    assert read_back(open_source("hf:user/birds,config=small")) == expected(train=6)

    def offline(*_):
        raise ConnectionError("Couldn't reach 'user/fish' on the Hub")

    fake.load_dataset = offline
    monkeypatch.setitem(sys.modules, "datasets", fake)
    with pytest.raises(
        SourceError, match="user/fish could not be loaded: ConnectionError: Couldn't"
    ):
        open_source("hf:user/fish")
