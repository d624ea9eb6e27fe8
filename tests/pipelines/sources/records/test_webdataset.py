"""`wds:`: tar shards of samples, read where they lie."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile

import pytest
import tensorflow as tf
from drawn import drawn, read_back

from pipelines.errors import SourceError
from pipelines.sources.base import Unused
from pipelines.sources.open import open_source
from pipelines.sources.records import webdataset

NAMES = ["cat", "dog", "emu"]


def sample(split, i, ending="png", **others):
    """The members of one sample: KEY.ending and KEY.cls, unless others are given."""
    others = others or {"cls": str(i % 3)}
    key = f"n{i % 3}/{split}_{i:04d}"
    return {f"{key}.{ending}": drawn(split, i)} | {
        f"{key}.{kind}": text.encode() for kind, text in others.items()
    }


def shard(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for members in samples:
            for name, contents in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))
    return path


def shards(root, split, name, counts, **others):
    first = 0
    for k, count in enumerate(counts):
        shard(
            root / name.format(k),
            [sample(split, i, **others) for i in range(first, first + count)],
        )
        first += count


def numbered(**counts):
    return {(split, i): str(i % 3) for split, count in counts.items() for i in range(count)}


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        ("imagenet1k-train-{:04d}.tar", "imagenet1k-validation-{:02d}.tar"),
        ("train/{}.tar", "val/{}.tar"),
    ],
)
def test_the_split_is_in_the_names_of_shards_or_folders(tmp_path, train, validation, capsys):
    root = tmp_path / "set"
    shards(root, "train", train, [4, 4, 3])
    shards(root, "validation", validation, [5])
    source = open_source(f"wds:{root}", memory_limit_bytes=0)
    assert read_back(source) == numbered(train=11, validation=5)
    assert source.class_names == ["0", "1", "2"]
    assert list(source.official_splits) == ["train", "validation"]
    assert source.contents(tf.constant(0, tf.int64)).numpy() == drawn("train", 0)
    assert source.files.paths[0].startswith(str(root))  # in place
    assert source.files.names[0] == f"{train.format(0)}/n0/train_0000.png"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "pattern",
    [
        "train-{000..002}.tar",
        "{train-{000..002}}.tar",
        "train-00[0-2].tar",
        "train-*.tar",
        "train-{000,001}.tar::ROOT/train-002.tar",
    ],
)
def test_patterns_of_shards(tmp_path, pattern):
    shards(tmp_path, "train", "train-{:03d}.tar", [3, 3, 3])
    shards(tmp_path, "validation", "val-{:03d}.tar", [3])
    source = open_source(f"wds:{tmp_path}/{pattern.replace('ROOT', str(tmp_path))}")
    assert source.official_splits is None
    assert read_back(source) == numbered(train=9)
    assert open_source(source.spec).fingerprint == source.fingerprint


def test_a_shard_of_the_pattern_that_is_missing_is_named(tmp_path):
    shards(tmp_path, "train", "train-{:03d}.tar", [3, 3])
    with pytest.raises(SourceError, match=r"train-002\.tar is missing"):
        open_source(f"wds:{tmp_path}/train-{{000..003}}.tar")
    with pytest.raises(SourceError, match=r"x-\*\.tar is missing"):
        open_source(f"wds:{tmp_path}/x-*.tar")


def test_a_number_that_is_left_out_is_named_unless_that_is_meant(tmp_path):
    shards(tmp_path, "train", "train-{:02d}.tar", [3, 3, 3])
    (tmp_path / "train-01.tar").unlink()
    with pytest.raises(SourceError, match=r"1 of the 3 shards like train-00\.tar are missing"):
        open_source(f"wds:{tmp_path}")
    assert len(open_source(f"wds:{tmp_path},partial=yes")) == 6


def test_shards_that_a_list_names_are_there(tmp_path):
    shards(tmp_path / "timm", "train", "train-{}.tar", [3, 3])
    names = [f"train-{i}.tar" for i in range(3)]
    info = {"splits": {"train": {"num_samples": 9, "filenames": names}}}
    (tmp_path / "timm" / "_info.json").write_text(json.dumps(info))
    with pytest.raises(SourceError, match=r"train-2\.tar is missing, of 3 shards: download it"):
        open_source(f"wds:{tmp_path / 'timm'}")
    assert len(open_source(f"wds:{tmp_path / 'timm'},partial=yes")) == 6
    shards(tmp_path / "clip", "test", "test/{}.tar", [3, 3])
    (tmp_path / "clip" / "test" / "nshards.txt").write_text("3")
    with pytest.raises(SourceError, match=r"test has 2 of 3 shards"):
        open_source(f"wds:{tmp_path / 'clip'}")
    (tmp_path / "clip" / "test" / "nshards.txt").write_text("2\n")
    (tmp_path / "clip" / "_info.json").write_text("[]")
    assert read_back(open_source(f"wds:{tmp_path / 'clip'}")) == numbered(test=6)


def test_both_parts_by_one_pattern(tmp_path):
    shards(tmp_path, "train", "a-train-{:02d}.tar", [3, 3])
    shards(tmp_path, "test", "a-test-{}.tar", [3])
    source = open_source(f"wds:{tmp_path}/a-{{train-{{00..01}},test-0}}.tar")
    assert read_back(source) == numbered(train=6, test=3)


@pytest.mark.parametrize(
    ("others", "setting"),
    [
        ({"json": '{"label": %d, "width": 8}'}, ""),
        ({"json": '{"kind": %d, "label": 9}'}, ",label=kind"),
        ({"txt": "%d\n", "cls": "9"}, ",label=txt"),
        ({"cls": "%d\n", "json": '{"label": 9}'}, ""),
    ],
)
def test_labels_in_other_places(tmp_path, others, setting):
    def members(i):
        return sample("train", i, **{k: v.replace("%d", str(i % 3)) for k, v in others.items()})

    shard(tmp_path / "a.tar", map(members, range(6)))
    assert read_back(open_source(f"wds:{tmp_path}{setting}")) == numbered(train=6)


def test_numbers_sort_as_numbers_and_names_as_text(tmp_path):
    shard(tmp_path / "a.tar", [sample("train", i, cls=str(10 - 5 * (i % 3))) for i in range(6)])
    source = open_source(f"wds:{tmp_path}")
    assert source.class_names == ["0", "5", "10"]
    assert [source.class_names[i] for i in source.labels] == ["10", "5", "0"] * 2
    shard(tmp_path / "a.tar", [sample("train", i, cls=NAMES[i % 3]) for i in range(6)])
    assert read_back(open_source(f"wds:{tmp_path}")) == {
        ("train", i): NAMES[i % 3] for i in range(6)
    }


@pytest.mark.parametrize("how", ["beside", "above", "setting"])
def test_names_of_classes_from_a_file(tmp_path, how):
    root = tmp_path / "set"
    shards(root, "train", "train/{}.tar", [6])
    place = {"beside": root / "classnames.txt", "above": root / "classnames.txt"}
    path = place.get(how, tmp_path / "names.txt")
    path.write_text("\n".join([*NAMES, "fox"]) + "\n")
    spec = f"wds:{root / 'train' if how == 'above' else root}"
    source = open_source(spec + (f",classes={path}" if how == "setting" else ""))
    assert source.class_names == [*NAMES, "fox"]
    assert read_back(source) == {("train", i): NAMES[i % 3] for i in range(6)}
    assert source.notes == (f"classes are named by {path}",)
    path.write_text("cat\ndog\n")
    with pytest.raises(SourceError, match="label: expected from 0 to 1"):
        open_source(source.spec)


def test_samples_without_label_or_image_are_counted(tmp_path):
    samples = [sample("train", i) for i in range(6)]
    samples[1] = {"n1/train_0001.png": drawn("train", 1)}
    samples[2] = {"n2/train_0002.cls": b"2"}
    samples[3] |= {"n0/train_0003.webp": b"another"}
    samples.append(sample("train", 9, cls="-1"))
    shard(tmp_path / "train-0.tar", samples)
    shards(tmp_path, "other", "unsupervised-{}.tar", [2, 2])
    source = open_source(f"wds:{tmp_path}")
    assert read_back(source) == {("train", i): str(i % 3) for i in (0, 3, 4, 5)}
    assert set(source.unused) == {
        Unused("train", 1, "are samples without an image"),
        Unused("train", 1, "are images beside the first of their sample"),
        Unused("train", 2, "have no labels"),
        Unused("unsupervised", 2, "shards belong to a split that is no train, validation or test"),
    }


def test_keys_end_at_the_first_dot_and_folders_count(tmp_path):
    members = {}
    for i, key in enumerate(("a/x", "b/x", "x")):
        members[f"{key}.seg.png"] = b"no image"
        members[f"{key}.PNG"] = drawn("train", i)
        members[f"{key}.cls"] = str(i).encode()
    shard(tmp_path / "a.tar", [members])
    assert read_back(open_source(f"wds:{tmp_path}")) == numbered(train=3)


def test_a_compressed_shard_is_written_out_once(tmp_path, capsys):
    plain = shard(tmp_path / "plain" / "a.tar", [sample("train", i) for i in range(6)])
    packed = tmp_path / "set" / "a.tar.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    source = open_source(f"wds:{packed.parent}")
    assert "a compressed tar has no random access; writing 1 shards" in capsys.readouterr().err
    assert read_back(source) == numbered(train=6)
    assert source.fingerprint == open_source(f"wds:{plain}").fingerprint
    open_source(f"wds:{packed.parent}")
    assert capsys.readouterr().err == ""
    whole = packed.read_bytes()
    packed.write_bytes(whole[:100] + bytes(60) + whole[160:])
    with pytest.raises(SourceError, match=r"a\.tar\.gz is damaged or truncated"):
        open_source(f"wds:{packed.parent}")
    packed.write_bytes(whole[:-200])
    with pytest.raises(SourceError, match=r"a\.tar\.gz is damaged or truncated"):
        open_source(f"wds:{packed.parent}")


def test_shards_are_listed_once(tmp_path, monkeypatch):
    shards(tmp_path, "train", "train-{}.tar", [3, 3])
    first = open_source(f"wds:{tmp_path}")
    monkeypatch.setattr(webdataset, "_grouped", lambda *_: pytest.fail("read again"))
    assert open_source(f"wds:{tmp_path}").fingerprint == first.fingerprint


@pytest.mark.parametrize("size", [6 * 4 * 512, 5000])  # without the mark of the end, and within
def test_a_truncated_shard_is_named(tmp_path, size):
    shards(tmp_path, "train", "train-{}.tar", [3, 6])
    os.truncate(tmp_path / "train-1.tar", size)
    with pytest.raises(SourceError, match=r"wds: train-1\.tar is damaged or truncated") as error:
        open_source(f"wds:{tmp_path}")
    assert "\n" not in str(error.value)


def test_what_is_no_set_of_samples_is_told(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(SourceError, match=r"has no tar shards, but 1 folder \(cat\) and 1 .parq"):
        open_source(f"wds:{tmp_path}")
    shard(tmp_path / "a.tar", [{"cat/1.png": drawn("train", 1), "dog/2.png": drawn("train", 2)}])
    with pytest.raises(SourceError, match=r"expected KEY\.cls.*its samples have \.png: name the"):
        open_source(f"wds:{tmp_path}")
    shard(tmp_path / "a.tar", [sample("train", 1, json="no json")])
    with pytest.raises(SourceError, match=r"a\.tar: n1/train_0001\.json is no JSON"):
        open_source(f"wds:{tmp_path}")
    shard(tmp_path / "a.tar", [sample("train", 1, json=json.dumps({"label": [1, 2]}))])
    with pytest.raises(SourceError, match=r"n1/train_0001\.json has the label \[1, 2\]"):
        open_source(f"wds:{tmp_path}")


def test_damaged_images_are_named_by_shard_and_key(tmp_path):
    samples = [sample("train", i) for i in range(6)]
    samples[4]["n1/train_0004.png"] = b"nothing"
    shard(tmp_path / "a.tar", samples)
    with pytest.raises(SourceError, match=r"wds: a\.tar/n1/train_0004\.png is not a JPEG"):
        open_source(f"wds:{tmp_path}")
    source = open_source(f"wds:{tmp_path}", on_corrupt="skip", max_corrupt_fraction=0.5)
    assert [name for name, _ in source.corrupt] == ["a.tar/n1/train_0004.png"]
    assert ("train", 4) not in read_back(source)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"json": "[" * 100_000}, "is no JSON"),
        ({"cls": "9" * 30}, "is no label"),
        ({"cls": "9" * 5000}, "is no label"),
        ({"cls": "9" * 2_000_000}, "has 2000000 bytes"),
        ({"cls": "a\x1b[2Jb"}, ""),
    ],
)
def test_hostile_labels_are_one_printable_line(tmp_path, others, said):
    shard(tmp_path / "a.tar", [sample("train", i) for i in range(3)])
    shard(tmp_path / "b.tar", [sample("train", 3, **others)])
    if not said:
        assert open_source(f"wds:{tmp_path}").class_names[-1] == r"a\x1b[2Jb"
        return
    with pytest.raises(SourceError, match=said) as error:
        open_source(f"wds:{tmp_path}")
    assert str(error.value).isprintable()
