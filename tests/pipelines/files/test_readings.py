"""Which source is named for what lies in a directory, or for one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.errors import SourceError
from pipelines.files.readings import contents, fitting
from pipelines.sources.open import SCHEMES, open_source

TFDS = json.dumps({"name": "flowers", "configName": "big", "version": "1.0.0"})


@pytest.mark.parametrize(
    ("files", "advice"),
    [
        ("shard-00000-of-00001.array_record manifest.json", "write 'prepared:DIR'"),
        ("data/train-00000-of-00002.parquet README.md", "write 'hf:DIR'"),
        ("data/train-00000-of-00001-8f9c0e1b2a3d4c5e.parquet", "write 'hf:DIR'"),
        ("dataset_dict.json train/data-00000-of-00001.arrow", "write 'hf:DIR'"),
        ("shards/set-000000.tar shards/set-000001.tar", "write 'wds:DIR/shards/*.tar'"),
        ("train/000.tar test/000.tar", "write 'wds:DIR/*/*.tar'"),
        ("a.tfrecord", "write 'tfrecord:DIR'"),
        ("train-00000-of-01024 validation-00000-of-00128", "write 'tfrecord:DIR'"),
        ("arrays.npz", "write 'npz:DIR/arrays.npz'"),
        ("cifar-10-batches-py/data_batch_1", "write 'cifar:DIR/cifar-10-batches-py'"),
        ("cifar-10-batches-bin/data_batch_1.bin", "write 'cifar:DIR/cifar-10-batches-bin'"),
        ("cifar-100-python.tar.gz", "write 'cifar:DIR'"),
        ("cifar-100-python/train cifar-100-python/meta", "write 'cifar:DIR/cifar-100-python'"),
        ("CIFAR-10-C/gaussian_noise.npy CIFAR-10-C/labels.npy", "write 'cifar:DIR/CIFAR-10-C,corr"),
        ("default/train/0000.parquet default/test/0000.parquet", "write 'hf:DIR/default'"),
        ("train-images-idx3-ubyte.gz", "write 'mnist:DIR'"),
        ("MNIST/raw/t10k-labels-idx1-ubyte", "write 'mnist:DIR/MNIST/raw'"),
        ("train_32x32.mat test_32x32.mat", "write 'svhn:DIR'"),
        ("ILSVRC2012_img_train.tar", "write 'ilsvrc:DIR'"),
        ("ILSVRC/Data/CLS-LOC/train/n01440764/a.JPEG", "write 'ilsvrc:DIR'"),
        ("train/n01440764/a.JPEG train/n01443537/a.JPEG val/b.JPEG", "write 'ilsvrc:DIR'"),
        ("tiny/train/n01440764/images/a.JPEG tiny/val/val_annotations.txt",
         "write 'ilsvrc:DIR/tiny'"),
        ("images/a.jpg labels.csv", "write 'csv:DIR/labels.csv'"),
        ("images/a.jpg a.txt", ""),  # no table: it names no image
        ("jpg/image_00001.jpg imagelabels.mat", "write 'csv:DIR'"),
        ("food/images/pie/1.jpg food/images/jam/2.jpg food/meta/train.txt", "write 'csv:DIR/food'"),
        ("pets/images/Pug_1.jpg pets/annotations/trainval.txt", "write 'csv:DIR/pets'"),
        ("cars/devkit/cars_meta.mat cars/cars_train/1.jpg", "write 'csv:DIR/cars'"),
        ("cat/a.jpg dog/b.jpg", "write 'folder:DIR'"),
        ("train/cat/a.jpg train/dog/b.jpg", "write 'folder:DIR'"),
        ("cat/a.jpg dog/b.jpg backup.tar", "write 'folder:DIR'"),
        ("archive.zip", "unpack DIR/archive.zip first"),
        ("flowers/big/1.0.0/dataset_info.json flowers/big/1.0.0/features.json",
         "write 'tfds:flowers/big:1.0.0' with TFDS_DATA_DIR=DIR"),
        ("notes.md", ""),
    ],
)  # fmt: skip
def test_directories(tmp_path: Path, files: str, advice: str) -> None:
    for name in files.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(TFDS if name.endswith("info.json") else "x")
    assert fitting(tmp_path).replace(str(tmp_path), "DIR").startswith(advice)
    assert bool(fitting(tmp_path)) == bool(advice)
    for spec in (f"folder:{tmp_path}", str(tmp_path), f"images:{tmp_path}"):
        if "folder:" not in advice:
            with pytest.raises(SourceError) as caught:
                open_source(spec)
            assert advice in str(caught.value).replace(str(tmp_path), "DIR")
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("labels.csv", "write 'csv:DIR/labels.csv'"),
        ("mnist.npz", "write 'npz:DIR/mnist.npz'"),
        ("train_32x32.mat", "write 'svhn:DIR'"),
        ("flowers.zip", "unpack DIR/flowers.zip first"),
        ("a.jpg", ""),
    ],
)
def test_files(tmp_path: Path, name: str, advice: str) -> None:
    path = tmp_path / name
    path.write_text("x")
    assert fitting(path).replace(str(tmp_path), "DIR").startswith(advice)
    for spec in (f"folder:{path}", str(path)):
        with pytest.raises(SourceError) as caught:
            open_source(spec)
        assert advice in str(caught.value).replace(str(tmp_path), "DIR")


FORMS = {name: scheme.form for name, scheme in SCHEMES.items() if name != "folder"}


@pytest.mark.parametrize("scheme", [name for name, form in FORMS.items() if ":DIR" in form])
def test_other_sources_name_what_fits_too(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(f"{scheme}:{tmp_path}")
    assert "or write" not in str(caught.value)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").write_text("x")
    with pytest.raises(SourceError) as caught:
        open_source(f"{scheme}:{tmp_path}")
    assert str(caught.value).count(f"'folder:{tmp_path}'") == 1
    assert "\n" not in str(caught.value)


def test_a_source_is_not_named_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("x")
    assert fitting(tmp_path, but="npz") == ""
    assert fitting(tmp_path / "nowhere") == ""


def test_what_lies_in_a_directory(tmp_path: Path) -> None:
    assert contents(tmp_path) == "found nothing"
    for name in ("a.JSON", "b.json", "c.bin", ".d", "one/x.jpg", "two/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert contents(tmp_path) == "found folders one, two; 2 .json, 1 .bin"
