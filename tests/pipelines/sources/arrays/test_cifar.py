"""`cifar:`: both forms of both sets, packed and not, CIFAR-10-C; and pickles that are programs."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from array_files import COARSE, EACH, FINE, cifar_files, packed, unpacked
from drawn_arrays import class_in, drawn

from pipelines.errors import SourceError
from pipelines.sources.array_checks import in_channels
from pipelines.sources.arrays.cifar_c import TEN
from pipelines.sources.arrays.pickled import Refused, plain
from pipelines.sources.open import open_source

FORMS = {
    "cifar-10-batches-py": "cifar-10-python.tar.gz",
    "cifar-10-batches-bin": "cifar-10-binary.tar.gz",
    "cifar-100-python": "cifar-100-python.tar.gz",
    "cifar-100-binary": "cifar-100-binary.tar.gz",
}


@pytest.mark.parametrize("place", ["folder", "folder above", "archive", "folder of archive"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label", [None, "fine", "coarse"])
def test_every_form_gives_the_right_label_to_the_right_image(tmp_path, form, place, label):
    stored, truth = cifar_files(form)
    if "folder" in place and "archive" not in place:
        where = unpacked(tmp_path / "root" / form, stored)
    else:
        where = packed(tmp_path / "root" / FORMS[form], form, stored)
    where = where.parent if place in ("folder above", "folder of archive") else where
    spec = f"cifar:{where}" + (f",label={label}" if label else "")
    hundred = form.startswith("cifar-100")
    if label == "coarse" and not hundred:
        with pytest.raises(SourceError, match="labels are of one kind: leave label out"):
            open_source(spec)
        return
    source = open_source(spec)
    assert source.spec == spec
    assert source.image_shape == (32, 32, 3)
    for part, (images, labels) in truth.items():
        indices = source.official_splits[part]
        assert np.array_equal(source.array[indices], images)
        names = [source.class_names[number] for number in source.labels[indices]]
        drawn_for = class_in(source.array[indices]).tolist()
        assert drawn_for == labels.tolist()
        if not hundred:
            assert names == [TEN[number] for number in drawn_for]
        elif label == "coarse":
            assert names == [COARSE[number % 4] for number in drawn_for]
        else:
            assert names == [FINE[number + 50] for number in drawn_for]
    assert len(source.class_names) == (10 if not hundred else 20 if label == "coarse" else 100)
    source.check_unchanged()


def test_pickles_of_any_python_and_numpy_are_one_set(tmp_path):
    fingerprints = set()
    for protocol in range(6):
        stored, _ = cifar_files(
            "cifar-10-batches-py", lambda x, p=protocol: pickle.dumps(x, protocol=p)
        )
        source = open_source(f"cifar:{unpacked(tmp_path / str(protocol), stored)}")
        fingerprints.add(source.fingerprint)
    for number, form in enumerate(("cifar-10-batches-py", "cifar-10-batches-bin")):
        stored, _ = cifar_files(form)
        fingerprints.add(
            open_source(f"cifar:{unpacked(tmp_path / f'x{number}', stored)}").fingerprint
        )
    assert len(fingerprints) == 1


def test_grey(tmp_path):
    stored, truth = cifar_files("cifar-10-batches-bin")
    source = open_source(f"cifar:{unpacked(tmp_path / 'set', stored)}", channels=1)
    assert np.array_equal(
        source.array[source.official_splits["test"]], in_channels(truth["test"][0], 1)
    )


def test_text_of_protocol_0_as_python_2_wrote_it():
    names = b"(lp3\nS'airplane'\np4\naS'bird'\np5\na"
    text = b"(dp1\nS'label_names'\np2\n" + names + b"sS'num_vis'\np6\nI3072\ns."
    assert plain(text) == {"label_names": ["airplane", "bird"], "num_vis": 3072}


class Program:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_is_a_program_is_refused_and_not_run(tmp_path, protocol):
    mark = tmp_path / "mark"
    hostile = pickle.dumps({"data": Program(mark), "labels": [0] * EACH}, protocol=protocol)
    pickle.loads(hostile)
    assert mark.is_dir(), "the file is harmless"
    mark.rmdir()
    stored, _ = cifar_files("cifar-10-batches-py")
    folder = unpacked(tmp_path / "set", stored | {"data_batch_3": hostile})
    with pytest.raises(
        SourceError, match=r"data_batch_3 is damaged.*it calls \w+\.mkdir"
    ) as refused:
        open_source(f"cifar:{folder}")
    assert "\n" not in str(refused.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    "hostile",
    [
        b"cbuiltins\neval\n(V1+1\ntR.",
        b"(S'1+1'\nibuiltins\neval\n.",
        b"(cbuiltins\neval\nV1+1\no.",
        b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
        b"\x80\x02cos\nPathLike\n)\x81.",
        b"\x80\x02\x82\x01.",
        b"Pid\n.",
        b"\x80\x02cbuiltins\nprint\n.",
    ],
)
def test_instructions_that_make_more_than_plain_values_are_refused(hostile):
    with pytest.raises(Refused):
        plain(hostile)


def test_a_pickle_that_holds_itself_or_claims_more_than_it_has_ends_in_a_line(tmp_path):
    stored, _ = cifar_files("cifar-10-batches-py")
    itself = b"\x80\x02}q\x00U\x04dataq\x01h\x00s."
    claims = b"\x80\x02}U\x04dataT\xff\xff\xff\x7fxs."
    for number, contents in enumerate((itself, claims, b"", b"text", stored["data_batch_1"][:-40])):
        folder = unpacked(tmp_path / str(number), stored | {"data_batch_1": contents})
        with pytest.raises(SourceError, match="data_batch_1 is damaged, or no batch") as refused:
            open_source(f"cifar:{folder}")
        assert "\n" not in str(refused.value)


def test_what_is_missing_or_damaged_is_named(tmp_path):
    stored, _ = cifar_files("cifar-10-batches-bin")

    def line(name, contents, *words):
        folder = unpacked(tmp_path / name, contents)
        with pytest.raises(SourceError) as refused:
            open_source(f"cifar:{folder}")
        assert all(word in str(refused.value) for word in words), refused.value
        assert "\n" not in str(refused.value)

    without = {name: x for name, x in stored.items() if name != "data_batch_4.bin"}
    line("a", without, "has no data_batch_4.bin: download or unpack it again")
    line(
        "b", stored | {"test_batch.bin": stored["test_batch.bin"][:-1]}, "test_batch.bin is damaged"
    )
    line("c", {"photo.jpg": b""}, "is none of cifar-10-batches-py, ", "check the path")
    line("d", {k: x for k, x in stored.items() if k != "batches.meta.txt"}, "no batches.meta.txt")
    wrong = bytearray(stored["data_batch_2.bin"])
    wrong[0] = 77
    line("e", stored | {"data_batch_2.bin": bytes(wrong)}, "from 0 to 9", "received 77 for image 6")
    archive = packed(tmp_path / "cifar-10-binary.tar.gz", "cifar-10-batches-bin", stored)
    archive.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(SourceError, match=r"tar\.gz (is damaged|has no)"):
        open_source(f"cifar:{archive}")
    for spec in (f"cifar:{tmp_path / 'none'}", f"cifar:{tmp_path / 'a'},severity=2"):
        with pytest.raises(SourceError, match=r"cannot be read|no CIFAR-10-C"):
            open_source(spec)


def test_two_sets_in_one_folder_are_told_apart_by_name(tmp_path):
    for form in ("cifar-10-batches-bin", "cifar-100-binary"):
        unpacked(tmp_path / form, cifar_files(form)[0])
    with pytest.raises(SourceError, match="name one, as cifar:"):
        open_source(f"cifar:{tmp_path}")


@pytest.fixture
def corrupted(tmp_path):
    labels = np.random.default_rng(3).permutation(np.arange(20) % 10)
    images = np.concatenate([drawn(labels) + np.uint8(level) for level in range(5)])
    np.save(tmp_path / "gaussian_noise.npy", images)
    np.save(tmp_path / "fog.npy", images[::-1])
    np.save(tmp_path / "labels.npy", np.tile(labels, 5))
    return tmp_path, labels


@pytest.mark.parametrize("severity", [1, 2, 5])
def test_a_severity_of_cifar_10_c_is_a_test_part(corrupted, severity):
    root, labels = corrupted
    source = open_source(f"cifar:{root},corruption=gaussian_noise,severity={severity}")
    assert source.labels.tolist() == labels.tolist()
    assert source.class_names == list(TEN)
    assert source.official_splits["test"].tolist() == list(range(20))
    assert list(source.official_splits) == ["test"]
    assert np.array_equal(source.array, drawn(labels) + np.uint8(severity - 1))
    assert (
        open_source(f"cifar:{root},corruption=fog").labels.tolist() == np.tile(labels, 5).tolist()
    )


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("", "corruption: {root} has fog, gaussian_noise, received none: write 'cifar:{root},corr"),
        (",corruption=fogg", "received fogg (did you mean 'fog'?)"),
        (",corruption=fog,severity=6", "severity: expected 1 or 2 or 3 or 4 or 5, received '6'"),
        (",corruption=fog,label=fine", "leave label out"),
    ],
)
def test_cifar_10_c_says_what_it_has(corrupted, settings, line):
    root, _ = corrupted
    with pytest.raises(SourceError) as refused:
        open_source(f"cifar:{root}{settings}")
    assert line.format(root=root) in str(refused.value)


def test_pickles_in_arrays_of_cifar_10_c_are_never_opened(corrupted):
    root, _ = corrupted
    mark = root / "mark"
    np.save(root / "fog.npy", np.array([Program(mark)], object))
    with pytest.raises(SourceError, match=r"fog\.npy is damaged"):
        open_source(f"cifar:{root},corruption=fog,severity=1")
    assert not mark.exists()
