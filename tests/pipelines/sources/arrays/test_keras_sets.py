"""`keras:`, and `mnist` and `cifar` alone: the sets where Keras keeps them, and their download."""

from __future__ import annotations

import hashlib
import io
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets
from array_files import FINE, cifar_files, idx_folder, packed, unpacked
from drawn_arrays import class_in, drawn

from pipelines.errors import SourceError
from pipelines.sources.arrays import keras_sets
from pipelines.sources.arrays.cifar_c import TEN
from pipelines.sources.open import open_source

CHECKSUMS = Path(tensorflow_datasets.__file__).parent / "url_checksums"
FASHION_CHECKSUMS = CHECKSUMS / "fashion_mnist.txt"  # Keras has none
TRAIN, TEST = np.arange(40) % 10, 9 - np.arange(20) % 10


@pytest.fixture
def home(tmp_path, monkeypatch):
    def offline(address, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(keras_sets.urllib.request, "urlopen", offline)
    return tmp_path / "keras" / "datasets"


def mnist_npz():
    file = io.BytesIO()
    np.savez(
        file,
        x_test=drawn(TEST, 28, 28, 1)[..., 0],
        x_train=drawn(TRAIN, 28, 28, 1)[..., 0],
        y_train=TRAIN.astype(np.uint8),
        y_test=TEST.astype(np.uint8),
    )
    return file.getvalue()


@pytest.mark.parametrize("spec", ["keras:mnist", "mnist", "mnist:"])
def test_mnist_is_one_word_away(home, spec):
    home.mkdir(parents=True)
    (home / "mnist.npz").write_bytes(mnist_npz())
    source = open_source(spec)
    assert source.spec == "keras:mnist"
    assert (source.image_shape, source.default_size) == ((28, 28, 1), 28)
    assert source.class_names == [str(digit) for digit in range(10)]
    assert class_in(source.array).tolist() == source.labels.tolist()
    assert source.labels[source.official_splits["test"]].tolist() == TEST.tolist()


def test_fashion_has_its_names(home):
    idx_folder(home / "fashion-mnist")
    source = open_source("keras:fashion_mnist")
    assert source.class_names[0] == "T-shirt/top"
    assert class_in(source.array).tolist() == source.labels.tolist()


@pytest.mark.parametrize(
    ("where", "pack"),
    [
        ("cifar-10-batches-py-target/cifar-10-batches-py", False),
        ("cifar-10-batches-py", False),
        ("cifar-10-batches-py-target_archive", True),
    ],
)
@pytest.mark.parametrize("spec", ["keras:cifar10", "cifar"])
def test_cifar_10_where_this_keras_and_older_ones_put_it(home, where, pack, spec):
    stored, _ = cifar_files("cifar-10-batches-py")
    packed(home / where, "cifar-10-batches-py", stored) if pack else unpacked(home / where, stored)
    source = open_source(spec)
    assert source.spec == "keras:cifar10"
    assert source.class_names == list(TEN)
    assert class_in(source.array).tolist() == source.labels.tolist()


@pytest.mark.parametrize("label", ["", ",label=fine", ",label=coarse"])
def test_cifar_100_in_both_kinds_of_label(home, label):
    stored, _ = cifar_files("cifar-100-python")
    unpacked(home / "cifar-100-python-target" / "cifar-100-python", stored)
    source = open_source(f"keras:cifar100{label}")
    drawn_for = class_in(source.array)
    if label == ",label=coarse":
        assert source.labels.tolist() == (drawn_for % 4).tolist()
    else:
        assert [source.class_names[i] for i in source.labels] == [FINE[i + 50] for i in drawn_for]


@pytest.mark.parametrize(
    ("spec", "file", "address"),
    [
        ("mnist", "mnist.npz", "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist"),
        ("keras:fashion_mnist", "train-images-idx3-ubyte.gz", "https://storage.googleapis.com/"),
        ("cifar", "-batches-py-target_archive", "https://www.cs.toronto.edu/~kriz/cifar-10-pyt"),
        ("keras:cifar100", "cifar-100-python-target_archive", "https://www.cs.toronto.edu/~kriz/"),
    ],
)
def test_offline_one_line_says_what_is_missing_where_it_goes_and_where_it_is_from(
    home, spec, file, address
):
    with pytest.raises(SourceError) as refused:
        open_source(spec)
    line = str(refused.value)
    assert "\n" not in line
    assert f"{file} is missing" in line
    assert str(home) in line
    assert address in line
    assert "Name or service not known" in line
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_download_is_whole_and_the_one_that_is_known_or_is_not_kept(home, monkeypatch, capsys):
    contents, asked = mnist_npz(), []

    def answer(address, timeout):
        asked.append(address)
        return io.BytesIO(contents)

    monkeypatch.setattr(keras_sets.urllib.request, "urlopen", answer)
    with pytest.raises(SourceError, match="gave other contents than are known"):
        open_source("mnist")
    assert list(home.iterdir()) == []
    known = keras_sets.DOWNLOADS["mnist"][0]._replace(sha256=hashlib.sha256(contents).hexdigest())
    monkeypatch.setitem(keras_sets.DOWNLOADS, "mnist", [known])
    assert len(open_source("mnist")) == 60
    assert "keras: downloading https://storage.googleapis.com/" in capsys.readouterr().err
    open_source("mnist")
    assert len(asked) == 2


def test_the_files_are_those_of_the_installed_keras():
    import keras

    folder = Path(keras.__file__).parent / "src" / "datasets"
    for name, downloads in keras_sets.DOWNLOADS.items():
        text = (folder / f"{name}.py").read_text() + FASHION_CHECKSUMS.read_text()
        for download in downloads:
            folder_or_file = download.path.removesuffix("_archive").split("/")[0]
            assert f'"{folder_or_file}"' in text
            assert download.sha256 in text
            assert download.address.rpartition("/")[2] in text
            assert download.address.rpartition("/")[0] in text


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("keras:mnits", "no set 'mnits' of images is known (did you mean 'mnist'?)"),
        ("keras:imdb", "no set 'imdb' of images is known"),
        (
            "keras:",
            "expected a place, received none: write 'keras:NAME[,label=fine|coarse]'",
        ),
        ("keras:mnist,label=fine", "mnist has one kind of label: leave label out"),
        ("keras:cifar100,label=both", "label: expected fine or coarse, received 'both'"),
    ],
)
def test_other_names_are_refused(home, spec, line):
    with pytest.raises(SourceError) as refused:
        open_source(spec)
    assert line in str(refused.value)
