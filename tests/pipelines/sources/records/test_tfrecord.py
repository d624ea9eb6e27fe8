"""`tfrecord:`: Example records, images read where they lie, labels from 0, from 1, or synsets."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from drawn import drawn, read_back

from pipelines.errors import SourceError
from pipelines.sources.base import Unused
from pipelines.sources.open import open_source
from pipelines.sources.records.examples import names_of, records, values_of
from pipelines.sources.records.tfrecord import files as tfrecord_files

WNIDS = ["n01440764", "n01443537", "n01484850"]
TITLES = ["tench", "goldfish", "great white shark"]


def feature(value):
    if isinstance(value, list):
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    value = value.encode() if isinstance(value, str) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def example(**values):
    values = {key.replace("__", "/"): feature(value) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()


def imagenet(split, i, **others):
    """As the script of the TPU guide writes it; a value of None leaves a feature out."""
    values = {
        "image__height": 6,
        "image__colorspace": "RGB",
        "image__class__label": i % 3 + 1,
        "image__class__synset": WNIDS[i % 3],
        "image__class__text": TITLES[i % 3],
        "image__object__bbox__xmin": [0.25, 0.5],
        "image__filename": f"{i}.JPEG",
        "image__encoded": drawn(split, i),
    } | others
    return example(**{key: value for key, value in values.items() if value is not None})


def write(path, blobs, compression=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as file:
        for blob in blobs:
            file.write(blob)
    return path


def shards(root, split, name, counts, make=imagenet, compression="", **others):
    first = 0
    for k, count in enumerate(counts):
        blobs = [make(split, i, **others) for i in range(first, first + count)]
        write(root / name.format(k, len(counts)), blobs, compression)
        first += count


def named(names, **counts):
    return {(split, i): names[i % 3] for split, count in counts.items() for i in range(count)}


@pytest.mark.parametrize(
    "form",
    [
        ("train-{:05d}-of-{:05d}", "validation-{:05d}-of-{:05d}"),
        ("train/{:02d}-8x8.tfrec", "val/{:02d}-8x8.tfrec"),
        ("set-train.tfrecord-{:05d}-of-{:05d}", "set-valid.tfrecord-{:05d}-of-{:05d}"),
        ("my.train_{}.tfrecords", "my.dev_{}.tfrecords"),
    ],
)
def test_imagenet_as_the_tpu_guide_writes_it(tmp_path, form, capsys):
    root = tmp_path / "set"
    shards(root, "train", form[0], [4, 4, 3])
    shards(root, "validation", form[1], [5])
    source = open_source(f"tfrecord:{root}", memory_limit_bytes=0)
    assert read_back(source) == named(WNIDS, train=11, validation=5)
    assert list(source.official_splits) == ["train", "validation"]
    assert source.class_names == WNIDS
    assert source.titles == dict(zip(WNIDS, TITLES, strict=True))
    assert source.notes == (
        "classes are image/class/synset in their order; image/class/label counts them from 1",
    )
    assert source.contents(tf.constant(0, tf.int64)).numpy() == drawn("train", 0)
    assert source.files.names[10] == f"{form[0].format(2, 3)}[2]"
    assert capsys.readouterr().err == ""
    assert source.fingerprint == open_source(f"tfrecord:{root}").fingerprint


def test_records_are_read_once_and_moved_sets_are_the_same(tmp_path, monkeypatch):
    shards(tmp_path / "set", "train", "train-{:05d}-of-{:05d}", [4, 4])
    first = open_source(f"tfrecord:{tmp_path / 'set'}", memory_limit_bytes=0)
    with monkeypatch.context() as patch:
        patch.setattr(tfrecord_files, "_parsed", lambda *_: pytest.fail("read again"))
        again = open_source(f"tfrecord:{tmp_path / 'set'}")
    assert again.fingerprint == first.fingerprint
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    assert open_source(f"tfrecord:{tmp_path / 'copy'}").fingerprint == first.fingerprint
    os.utime(tmp_path / "set" / "train-00001-of-00002")
    with pytest.raises(SourceError, match="was written again"):
        first.check_unchanged()


BARE = {"image__class__synset": None, "image__class__text": None}


@pytest.mark.parametrize(
    ("labels", "key", "setting", "classes", "note"),
    [
        ([1, 2, 3], "image__class__label", "", ["0", "1", "2"], "counts from 1: its 1 to 3"),
        ([0, 1, 2], "image__class__label", "", ["0", "1", "2"], "counts from 0"),
        ([4, 9, 11], "image__class__label", "", ["3", "8", "10"], "counts from 1: its 4 to 11"),
        ([4, 9, 11], "label", "", ["4", "9", "11"], "label counts from 0"),
        ([4, 9, 11], "label", ",first=1", ["3", "8", "10"], "counts from 1: its 4 to 11 are"),
        ([1, 2, 3], "label", "", ["0", "1", "2"], "counts from 1"),
        ([1, 2, 3], "image__class__label", ",first=0", ["1", "2", "3"], "counts from 0"),
        (["10", "2", "9"], "label", "", ["2", "9", "10"], "label counts from 0"),
    ],
)
def test_where_numbers_begin(tmp_path, labels, key, setting, classes, note):
    def make(split, i):
        values = BARE | {"image__class__label": None} | {key: labels[i % 3]}
        return imagenet(split, i, **values)

    shards(tmp_path, "train", "train-{}.tfrecord", [6, 3], make)
    source = open_source(f"tfrecord:{tmp_path}{setting}")
    assert source.class_names == classes
    assert note in source.notes[0]
    order = np.argsort(np.array(labels, np.int64)).argsort()
    assert read_back(source) == {("train", i): classes[order[i % 3]] for i in range(9)}


def test_names_of_classes_by_text_by_list_and_as_labels(tmp_path):
    def make(split, i):
        return imagenet(split, i, image__class__synset=None, image__class__label=(2, 0, 1)[i % 3])

    shards(tmp_path / "text", "train", "train-{}.tfrecord", [9], make)
    source = open_source(f"tfrecord:{tmp_path / 'text'}")
    assert source.class_names == [TITLES[1], TITLES[2], TITLES[0]]
    assert read_back(source) == named(TITLES, train=9)
    assert "classes are named by image/class/text" in source.notes[0]

    shards(tmp_path / "list", "train", "train-{}.tfrecord", [9], **BARE)
    (tmp_path / "names.txt").write_text("cat\ndog\nemu\nfox\n")
    source = open_source(f"tfrecord:{tmp_path / 'list'},classes={tmp_path / 'names.txt'},first=1")
    assert source.class_names == ["cat", "dog", "emu", "fox"]
    assert read_back(source) == named(["cat", "dog", "emu"], train=9)

    shards(tmp_path / "words", "train", "{}.tfrec", [9], lambda split, i: example(
        image=drawn(split, i), target=TITLES[i % 3]
    ))  # fmt: skip
    source = open_source(f"tfrecord:{tmp_path / 'words'}")
    assert source.class_names == sorted(TITLES)
    assert read_back(source) == named(TITLES, train=9)


def test_synsets_decide_where_the_labels_number_them_otherwise(tmp_path):
    shuffled = {WNIDS[0]: 3, WNIDS[1]: 1, WNIDS[2]: 2}
    shards(tmp_path, "train", "train-{}.tfrecord", [9], lambda split, i: imagenet(
        split, i, image__class__label=shuffled[WNIDS[i % 3]]
    ))  # fmt: skip
    source = open_source(f"tfrecord:{tmp_path}")
    assert read_back(source) == named(WNIDS, train=9)
    assert "image/class/label numbers them otherwise and is not used" in source.notes[0]
    by_number = open_source(f"tfrecord:{tmp_path},label=image/class/label")
    assert read_back(by_number) == named(["2", "0", "1"], train=9)


def test_records_without_image_or_label_and_other_splits_are_counted(tmp_path):
    shards(tmp_path, "train", "train-{}.tfrecord", [6])
    write(tmp_path / "train-1.tfrecord", [
        imagenet("train", 6, image__encoded=None),
        imagenet("train", 7, **BARE, image__class__label=None),
    ])  # fmt: skip
    shards(tmp_path, "test", "test-{}.tfrecord", [4], image__class__label=-1, **BARE)
    shards(tmp_path, "other", "extra-{}.tfrecord", [1, 1])
    source = open_source(f"tfrecord:{tmp_path}")
    assert read_back(source) == named(WNIDS, train=6)
    assert set(source.unused) == {
        Unused("train", 1, "are records without an image"),
        Unused("train", 1, "have no labels"),
        Unused("test", 4, "have no labels"),
        Unused("extra", 2, "files belong to a split that is no train, validation or test"),
    }


def test_gzip_records_are_written_out_once(tmp_path, capsys):
    shards(tmp_path / "set", "train", "train-{:05d}-of-{:05d}", [4, 4], compression="GZIP")
    source = open_source(f"tfrecord:{tmp_path / 'set'}")
    assert "gzip have no random access; writing 2 shards" in capsys.readouterr().err
    assert read_back(source) == named(WNIDS, train=8)
    open_source(f"tfrecord:{tmp_path / 'set'}")
    assert capsys.readouterr().err == ""


def test_damaged_files_are_named(tmp_path):
    shards(tmp_path, "train", "train-{:05d}-of-{:05d}", [4, 4])
    path = tmp_path / "train-00001-of-00002"
    whole = path.read_bytes()
    os.truncate(path, len(whole) - 30)
    with pytest.raises(SourceError, match=r"train-00001-of-00002 is damaged or truncated after 3"):
        open_source(f"tfrecord:{tmp_path}")
    path.write_bytes(whole.replace(drawn("train", 5), bytes(len(drawn("train", 5)))))
    with pytest.raises(SourceError, match=r"train-00001-of-00002 is damaged or truncated after 1"):
        open_source(f"tfrecord:{tmp_path}")
    path.write_text("something else, and longer than a record's head")
    with pytest.raises(SourceError, match="or no TFRecord file") as error:
        open_source(f"tfrecord:{tmp_path}")
    assert "\n" not in str(error.value)
    path.unlink()
    with pytest.raises(SourceError, match=r"1 of the 2 shards like .* are missing, number 1 first"):
        open_source(f"tfrecord:{tmp_path}")
    assert read_back(open_source(f"tfrecord:{tmp_path},partial=yes")) == named(WNIDS, train=4)


def test_what_cannot_be_used_is_told_with_what_is_there(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(SourceError, match=r"no \*\.tfrecord, but 1 folder \(cat\): name the"):
        open_source(f"tfrecord:{tmp_path}")
    with pytest.raises(SourceError, match="is no directory"):
        open_source(f"tfrecord:{tmp_path / 'nowhere'}")
    path = write(tmp_path / "a.tfrecord", [example(picture=drawn("train", 0), kind=1)])
    with pytest.raises(
        SourceError, match=r"no feature 'image/encoded' .* but kind: int, picture: b"
    ):
        open_source(f"tfrecord:{tmp_path}")
    with pytest.raises(SourceError, match="no feature 'nothing' that can be the image"):
        open_source(f"tfrecord:{tmp_path},image=nothing")
    write(path, [example(picture=drawn("train", i), kind=i % 3) for i in range(6)])
    assert len(open_source(f"tfrecord:{tmp_path},image=picture,label=kind")) == 6
    write(path, [b"no example"])
    with pytest.raises(SourceError, match=r"holds no tf\.train\.Example records"):
        open_source(f"tfrecord:{tmp_path}")


def test_values_are_where_the_protocol_buffer_has_them(tmp_path):
    def many(*numbers):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=numbers))

    values = {
        "several": many(-5, 2**40, 7),
        "none": many(),
        "empty": feature(b""),
        "floats": feature([0.5, 2.0]),
        "bytes": feature(bytes(range(256)) * 300),
    }
    record = tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()
    assert names_of(record) == {
        "several": "int", "none": "int", "empty": "bytes", "floats": "float", "bytes": "bytes",
    }  # fmt: skip
    found = values_of(record, [b"several", b"none", b"empty", b"bytes", b"absent"])
    assert found[b"several"].number == -5
    assert b"none" not in found
    assert b"absent" not in found
    assert found[b"empty"].start == found[b"empty"].stop
    place = found[b"bytes"]
    assert record[place.start : place.stop] == bytes(range(256)) * 300
    one = b"\x0a\x0c\x0a\x0a\x0a\x01k\x12\x05\x1a\x03\x08\x96\x01"  # a number as a field of its own
    assert values_of(one, [b"k"])[b"k"].number == 150
    path = write(tmp_path / "a", [record, b"", record[:9]])
    raw = path.read_bytes()
    listed = list(records(path))
    assert [raw[at : at + len(held)] for at, held in listed] == [record, b"", record[:9]]
    with pytest.raises(ValueError, match=r"is no tf\.train\.Example"):
        values_of(record[:-3], [b"bytes"])
