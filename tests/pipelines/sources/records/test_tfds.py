"""`tfds:`: sets that the tests build, in both file formats, found and read offline."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from pipelines.errors import SourceError
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Unused
from pipelines.sources.open import open_source
from pipelines.sources.records.tfds import builder as tfds_builder
from pipelines.sources.records.tfds import source as tfds_source

FORMATS = ("array_record", "tfrecord")


def picture(part, i, sizes):
    height, width = (12 + 3 * i, 20) if sizes else (10, 10)
    y, x = np.mgrid[:height, :width]
    return (np.stack([y * 9 + i * 20, x * 9 + len(part), x + y], -1) % 256).astype(np.uint8)


def build(folder, file_format, *, parts, sizes=True, features=None, labels=None):
    """A prepared set below `folder`; its class is forgotten: only the files are left."""

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.2.0")

        def _info(self):
            kinds = features or {
                "image": tfds.features.Image(
                    shape=(None, None, 3) if sizes else (10, 10, 3), encoding_format="png"
                ),
                "label": tfds.features.ClassLabel(names=["cat", "dog", "emu"]),
                "note": tfds.features.Text(),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(kinds))

        def _split_generators(self, download):
            return {part: self._generate_examples(part) for part in parts}

        def _generate_examples(self, part):
            for i in range(parts[part]):
                label = i % 3 if labels is None else labels(part, i)
                yield i, {"image": picture(part, i, sizes), "label": label, "note": "n"}

    Tiny(data_dir=str(folder), file_format=file_format).download_and_prepare()
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    parts = {"train": 9, "validation": 4, "test": 3, "extra": 2}
    for file_format in FORMATS:
        build(root / file_format, file_format, parts=parts)
    return root


@pytest.fixture
def place(monkeypatch):
    return lambda folder: monkeypatch.setenv("TFDS_DATA_DIR", str(folder))


def images_of(source):
    return [example["image"].numpy() for example in source.dataset(np.arange(len(source)))]


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_prepared_set_is_found_offline_with_its_splits(
    prepared, place, file_format, monkeypatch, capsys
):
    place(prepared / file_format)
    monkeypatch.setattr(tfds_builder, "online", lambda *_: pytest.fail("no network is needed"))
    source = open_source("tfds:tiny:1.2.0")
    assert source.spec == "tfds:tiny:1.2.0"
    assert source.class_names == ["cat", "dog", "emu"]
    assert {k: len(v) for k, v in source.official_splits.items()} == {
        "train": 9, "validation": 4, "test": 3,
    }  # fmt: skip
    assert "splits extra are left out" in capsys.readouterr().err
    why = "belong to a split that is no train, validation or test"
    assert source.unused == (Unused("extra", 2, why),)
    wanted = {}  # by content: TFDS shuffles when it prepares
    for part, count in (("train", 9), ("validation", 4), ("test", 3)):
        for i in range(count):
            wanted[(part, picture(part, i, True).tobytes())] = i % 3
    found = images_of(source)
    for part, indices in source.official_splits.items():
        for i in indices:
            assert wanted.pop((part, found[i].tobytes())) == source.labels[i]
    assert not wanted


def test_both_formats_give_the_same_images_and_windows(prepared, place):
    place(prepared / "array_record")
    random_access = open_source("tfds:tiny")
    assert random_access.blob(3)[:4] == b"\x89PNG"  # as stored: nothing was decoded on the way
    place(prepared / "tfrecord")
    converted = open_source("tfds:tiny")
    key = [image.tobytes() for image in images_of(random_access)]
    other = [image.tobytes() for image in images_of(converted)]
    assert sorted(key) == sorted(other)
    for source in (random_access, converted):
        whole = source.images(tf.constant(5, tf.int64)).numpy()
        part = source.images(tf.constant(5, tf.int64), lambda _: tf.constant([1, 2, 8, 7])).numpy()
        np.testing.assert_array_equal(part, whole[1:9, 2:9])


def test_tfrecords_are_converted_once_and_it_is_said(prepared, place, capsys, tmp_path):
    place(prepared / "tfrecord")
    first = open_source("tfds:tiny")
    said = capsys.readouterr().err
    assert "TFRecord has no random access; converting it once" in said
    manifest = next(tmp_path.rglob("manifest.json"))
    stamp = manifest.stat().st_mtime_ns
    again = open_source("tfds:tiny")
    assert "converting" not in capsys.readouterr().err
    assert manifest.stat().st_mtime_ns == stamp
    assert again.fingerprint == first.fingerprint
    assert first.blob(0)[:4] == b"\x89PNG"


def test_labels_come_from_a_cache_the_second_time(prepared, place, monkeypatch):
    place(prepared / "array_record")
    first = open_source("tfds:tiny")
    monkeypatch.setattr(tfds_source, "digest", lambda _: pytest.fail("read again"))
    again = open_source("tfds:tiny")
    np.testing.assert_array_equal(again.labels, first.labels)
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize("file_format", FORMATS)
def test_images_of_one_size_are_held_as_one_array(tmp_path, place, file_format):
    place(build(tmp_path / "sets", file_format, parts={"train": 6}, sizes=False))
    source = open_source("tfds:tiny")
    assert isinstance(source, ArraySource)
    assert source.official_splits is None
    assert source.default_size == 10
    expected = {picture("train", i, False).tobytes(): i % 3 for i in range(6)}
    for image, label in zip(source.array, source.labels, strict=True):
        assert expected.pop(image.tobytes()) == label
    assert not expected
    assert open_source("tfds:tiny", channels=1).array.shape == (6, 10, 10, 1)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_test_split_without_labels_is_left_out_aloud(tmp_path, place, file_format, capsys):
    parts = {"train": 5, "validation": 3, "test": 4}
    hidden = build(
        tmp_path / "sets", file_format, parts=parts,
        labels=lambda part, i: -1 if part == "test" else i % 3,
    )  # fmt: skip
    place(hidden)
    source = open_source("tfds:tiny")
    assert len(source) == 8
    assert list(source.official_splits) == ["train", "validation"]
    assert "split test has no labels and is left out" in capsys.readouterr().err
    assert (
        source.unused == open_source("tfds:tiny").unused == (Unused("test", 4, "have no labels"),)
    )


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_second_validation_split_is_left_out(tmp_path, place, file_format, capsys):
    parts = {"train": 5, "dev": 2, "val": 3}
    place(build(tmp_path / "sets", file_format, parts=parts))
    source = open_source("tfds:tiny")
    assert {part: len(rows) for part, rows in source.official_splits.items()} == {
        "train": 5, "validation": 2,
    }  # fmt: skip
    assert source.unused == (Unused("val", 3, "belong to a second validation part, beside 'dev'"),)
    assert "splits val are left out" in capsys.readouterr().err


def test_a_label_out_of_range_is_refused(prepared, place, monkeypatch):
    place(prepared / "array_record")
    real = tfds_source._scan

    def damaged(*words):
        labels, digests = real(*words)
        labels[2] = 3
        return labels, digests

    monkeypatch.setattr(tfds_source, "_scan", damaged)
    with pytest.raises(SourceError, match="label of image 2: expected from 0 to 2, received 3"):
        open_source("tfds:tiny")


def test_other_features_are_refused_by_name(tmp_path, place):
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.Scalar(tf.int64),
        "note": tfds.features.Text(),
    }
    place(build(tmp_path / "sets", "array_record", parts={"train": 2}, features=features))
    with pytest.raises(SourceError, match=r"one image and one class label.*label: Scalar"):
        open_source("tfds:tiny")


def test_offline_and_not_prepared_is_one_line(tmp_path, place, monkeypatch):
    place(tmp_path)
    monkeypatch.setattr(tfds_builder, "online", lambda *_: False)
    with pytest.raises(SourceError, match=r"mnist is not prepared in .* offline") as error:
        open_source("tfds:mnist")
    assert "\n" not in str(error.value)


def test_offline_is_noticed(monkeypatch):
    def fails(*_, **__):
        raise OSError

    for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(tfds_builder.socket, "create_connection", fails)
    assert not tfds_builder.online()


@pytest.mark.parametrize("have", [(), ("ILSVRC2012_img_val.tar",)])
def test_imagenet_names_its_files_and_folder(tmp_path, place, have):
    place(tmp_path)
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for name in have:
        (manual / name).write_bytes(b"")
    with pytest.raises(SourceError, match=r"ILSVRC2012_img_train.tar.* into .*manual") as error:
        open_source("tfds:imagenet2012")
    assert ("ILSVRC2012_img_val.tar" in str(error.value)) is (not have)
    assert "ilsvrc:DIR" in str(error.value)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("tfds:", "expected a name"),
        ("tfds:mnst", r"no set 'mnst' is known \(did you mean 'mnist'\?\)"),
        ("tfds:tiny:9.9.9", "no set 'tiny' of version 9.9.9"),
        ("tfds:cifar10:9.9.9", "cannot be loaded at version 9.9.9|cannot be opened"),
    ],
)
def test_unknown_sets_are_told(tmp_path, place, spec, said):
    place(tmp_path)
    with pytest.raises(SourceError, match=said) as error:
        open_source(spec)
    assert "\n" not in str(error.value)


def test_images_are_files(prepared, place):
    place(prepared / "array_record")
    source = open_source("tfds:tiny")
    first = np.asarray(Image.open(io.BytesIO(source.blob(0))))
    np.testing.assert_array_equal(first, source.images(tf.constant(0, tf.int64)).numpy())
    assert os.path.isdir(prepared / "array_record" / "tiny" / "1.2.0")


@pytest.mark.parametrize("file_format", FORMATS)
def test_max_pixels_is_held_against_headers(prepared, place, file_format, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # without a cache from before
    place(prepared / file_format)
    refusal = r"split \w+: image \d has \d+ x 20 pixels where data\.max_pixels allows 700"
    for _ in range(2):  # read, and from the cache
        with pytest.raises(SourceError, match=refusal):
            open_source("tfds:tiny", max_pixels=700)
    assert len(open_source("tfds:tiny", max_pixels=36 * 20)) == 16


def test_a_record_that_is_no_image_that_is_read_is_named():
    with pytest.raises(SourceError, match="split test: image 4 is a HEIF or AVIF image, not JPEG"):
        tfds_source._shape("tfds:x: split test: image 4", b"\0\0\0\x20ftypheic")


def test_a_record_file_that_changes_after_it_was_opened_is_named(tmp_path, place):
    place(build(tmp_path, "array_record", parts={"train": 6}))
    source = open_source("tfds:tiny", memory_limit_bytes=0)
    [path] = tmp_path.glob("**/*array_record*")
    path.chmod(0o600)
    source.check_unchanged()
    os.utime(path, ns=(0, 1))
    with pytest.raises(SourceError, match=r"array_record\S* was written again"):
        source.check_unchanged()
