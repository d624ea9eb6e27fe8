"""The official layout, packed and unpacked, on tiny archives drawn here."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.io import savemat

from pipelines.errors import SourceError
from pipelines.sources.base import Source
from pipelines.sources.open import open_source

WNIDS = ["n01440764", "n02084071", "n03000001"]

# Not in alphabetical order: ILSVRC ids and class numbers are different things.
IDS = {1: WNIDS[2], 2: WNIDS[0], 3: WNIDS[1], 4: "n09999999"}
TRUTH = [2, 3, 1, 2]  # of the four validation images
VAL_WNIDS = [IDS[number] for number in TRUTH]
GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def photo(seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((30 + seed % 5, 24), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def tar_of(files: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, contents in files.items():
            if isinstance(contents, tarfile.TarInfo):
                tar.addfile(contents)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    return buffer.getvalue()


# Out of order in the archive, as in the official one.
TRAIN = {
    wnid: {f"{wnid}_{number}.JPEG": photo(10 * label + number) for number in (7, 1)}
    for label, wnid in reversed(list(enumerate(WNIDS)))
}
VAL = {f"ILSVRC2012_val_{i + 1:08}.JPEG": photo(90 + i) for i in (2, 0, 3, 1)}


def write_tars(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    classes = {f"{wnid}.tar": tar_of(images) for wnid, images in TRAIN.items()}
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    (root / "ILSVRC2012_img_val.tar").write_bytes(tar_of(VAL))
    return root


def write_folders(root: Path, sort_val: bool = False) -> Path:
    for wnid, images in TRAIN.items():
        (root / "train" / wnid).mkdir(parents=True)
        for name, contents in images.items():
            (root / "train" / wnid / name).write_bytes(contents)
    for name, contents in sorted(VAL.items()):
        number = int(name[-13:-5])
        folder = root / "val" / (VAL_WNIDS[number - 1] if sort_val else "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents)
    return root


def meta(path: Path) -> Path:
    """meta.mat with the columns and the kind of table of the official one."""
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    table = np.zeros((len(IDS), 1), fields)
    for row, (number, wnid) in enumerate(IDS.items()):
        table[row, 0] = (float(number), wnid, "a word, another", 0.0)
    savemat(path, {"synsets": table})
    return path


def write_kit(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / GROUND_TRUTH).write_text("\n".join(map(str, TRUTH)) + "\n")
    meta(root / "meta.mat")
    return root


def write_names(root: Path) -> Path:
    lines = [f"ILSVRC2012_val_{i + 1:08}.JPEG {wnid}" for i, wnid in enumerate(VAL_WNIDS)]
    (root / "val_wnids.txt").write_text("\n".join(lines) + "\n")
    return root


def pixels(source: Source) -> list[np.ndarray]:
    return [example["image"].numpy() for example in source.dataset(range(len(source)))]


def decoded(contents: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(contents)))


def check(source: Source) -> None:
    assert source.class_names == WNIDS
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2, 0]
    assert source.official_splits is not None
    assert list(source.official_splits) == ["train", "validation"]
    assert source.official_splits["train"].tolist() == list(range(6))
    assert source.official_splits["validation"].tolist() == [6, 7, 8, 9]
    assert source.image_shape == (None, None, 3)
    truth = [TRAIN[wnid][f"{wnid}_{number}.JPEG"] for wnid in WNIDS for number in (1, 7)]
    truth += [contents for _, contents in sorted(VAL.items())]
    for image, contents in zip(pixels(source), truth, strict=True):
        assert np.array_equal(image, decoded(contents))


def test_tars_are_read_in_place(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path / "set"))
    before = sorted(path.name for path in root.rglob("*"))
    source = open_source(f"ilsvrc:{root}/")
    assert source.spec == f"ilsvrc:{root}"
    check(source)
    check(open_source(f"ilsvrc:{root}"))  # from the cache
    assert sorted(path.name for path in root.rglob("*")) == before  # nothing unpacked or added
    assert not list(tmp_path.rglob("*.JPEG"))


def test_windows_and_bytes_from_tars(tmp_path: Path) -> None:
    from pipelines.sources.file_source import FileSource

    source = open_source(f"ilsvrc:{write_names(write_tars(tmp_path))}")
    whole = pixels(source)
    part = source.images(tf.constant(8), lambda _: tf.constant([2, 3, 11, 13]))
    assert np.array_equal(part, whole[8][2:13, 3:16])
    assert isinstance(source, FileSource)
    data = tf.data.Dataset.from_tensor_slices([9, 0]).map(source.contents)
    assert list(data.as_numpy_iterator()) == [
        VAL["ILSVRC2012_val_00000004.JPEG"],
        TRAIN[WNIDS[0]]["n01440764_1.JPEG"],
    ]


@pytest.mark.parametrize("kit", ["", "data", "ILSVRC2012_devkit_t12/data", "tar.gz"])
def test_labels_from_the_development_kit(tmp_path: Path, kit: str) -> None:
    root = write_tars(tmp_path / "set")
    if kit == "tar.gz":
        files = write_kit(tmp_path / "kit")
        with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
            for name in (GROUND_TRUTH, "meta.mat"):
                tar.add(files / name, f"ILSVRC2012_devkit_t12/data/{name}")
    else:
        write_kit(root / kit)
    check(open_source(f"ilsvrc:{root}"))


@pytest.mark.parametrize("layout", ["flat", "sorted", "val in tar"])
def test_unpacked_is_the_same_set(tmp_path: Path, layout: str) -> None:
    packed = open_source(f"ilsvrc:{write_names(write_tars(tmp_path / 'a'))}")
    root = write_folders(tmp_path / "b", sort_val=layout == "sorted")
    if layout == "val in tar":
        write_tars(root)
        (root / "ILSVRC2012_img_train.tar").unlink()
    if layout != "sorted":
        write_names(root)
    source = open_source(f"ilsvrc:{root}")
    check(source)
    assert source.fingerprint == packed.fingerprint


def test_a_class_of_the_validation_part_only_is_kept(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    classes = {f"{wnid}.tar": tar_of(TRAIN[wnid]) for wnid in WNIDS[:2]}
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    with pytest.warns(UserWarning, match=r"1 of 3 classes are in the validation part only.*n0300"):
        source = open_source(f"ilsvrc:{root}")
    assert source.class_names == WNIDS
    assert source.labels.tolist() == [0, 0, 1, 1, 0, 1, 2, 0]


def test_orientation_is_left_as_in_the_published_protocols(tmp_path: Path) -> None:
    root = write_folders(tmp_path, sort_val=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = root / "train" / WNIDS[0] / "n01440764_1.JPEG"
    Image.open(io.BytesIO(photo(1))).save(path, exif=exif)
    assert pixels(open_source(f"ilsvrc:{root}"))[0].shape == (24, 31, 3)


def test_damaged_images_in_a_tar_are_named_or_skipped(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    spoilt = dict(TRAIN[WNIDS[1]])
    spoilt["n02084071_1.JPEG"] = photo(11)[:200]
    classes = {f"{wnid}.tar": tar_of(TRAIN[wnid]) for wnid in WNIDS}
    classes[f"{WNIDS[1]}.tar"] = tar_of(spoilt)
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    name = "ILSVRC2012_img_train.tar/n02084071/n02084071_1.JPEG"
    with pytest.raises(SourceError, match=f"ilsvrc: {name} is a truncated or damaged JPEG file"):
        open_source(f"ilsvrc:{root}")
    source = open_source(f"ilsvrc:{root}", on_corrupt="skip", max_corrupt_fraction=0.1)
    assert source.corrupt == [(name, "is a truncated or damaged JPEG file")]
    assert len(source) == 9


def link(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("n02084071_9.JPEG")
    member.type = kind
    member.linkname = "../../outside.JPEG"
    return member


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("../n02084071_9.JPEG", b"x", "'../n02084071_9.JPEG' leads out of the archive"),
        ("/n02084071_9.JPEG", b"x", "'/n02084071_9.JPEG' leads out of the archive"),
        ("a/../../n02084071_9.JPEG", b"x", "leads out of the archive"),
        ("C:n02084071_9.JPEG", b"x", "leads out of the archive"),
        ("..\\n02084071_9.JPEG", b"x", "leads out of the archive"),
        ("link", link(tarfile.SYMTYPE), "is a link to '../../outside.JPEG'"),
        ("link", link(tarfile.LNKTYPE), "is a link to '../../outside.JPEG'"),
        ("pipe", link(tarfile.FIFOTYPE), "is not a plain file"),
        ("device", link(tarfile.CHRTYPE), "is not a plain file"),
    ],
)
@pytest.mark.parametrize("place", ["train", "class", "val"])
def test_what_leads_out_of_a_tar_is_refused_by_name(
    tmp_path: Path, place: str, name: str, contents: Any, message: str
) -> None:
    root = write_names(write_tars(tmp_path))
    bad = {name: contents}
    classes: dict[str, Any] = {f"{wnid}.tar": tar_of(TRAIN[wnid]) for wnid in WNIDS}
    if place == "class":
        classes[f"{WNIDS[1]}.tar"] = tar_of(TRAIN[WNIDS[1]] | bad)
    elif place == "train":
        classes |= bad
    else:
        (root / "ILSVRC2012_img_val.tar").write_bytes(tar_of(VAL | bad))
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    with pytest.raises(SourceError, match=re.escape(message)) as caught:
        open_source(f"ilsvrc:{root}")
    where = {
        "train": "ILSVRC2012_img_train.tar",
        "class": "ILSVRC2012_img_train.tar/n02084071.tar",
        "val": "ILSVRC2012_img_val.tar",
    }[place]
    assert f"ilsvrc: {where}: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left", [0, 100, 512, 700, 3000, -900, -2500])
@pytest.mark.parametrize("part", ["train", "val"])
def test_a_truncated_tar_is_refused(tmp_path: Path, part: str, left: int) -> None:
    root = write_names(write_tars(tmp_path))
    path = root / f"ILSVRC2012_img_{part}.tar"
    whole = path.read_bytes()
    end = whole.rstrip(b"\0")
    kept = whole[:left] if left >= 0 else end[:left]
    assert len(kept) < len(end)
    path.write_bytes(kept)
    with pytest.raises(SourceError, match=r"is damaged or truncated after .* files") as caught:
        open_source(f"ilsvrc:{root}")
    assert "\n" not in str(caught.value)


def test_a_tar_cut_between_two_files_or_with_a_damaged_header_is_refused(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    path = root / "ILSVRC2012_img_val.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        third = tar.getmembers()[2].offset
    path.write_bytes(whole[:third])
    with pytest.raises(SourceError, match="truncated after 2 files"):
        open_source(f"ilsvrc:{root}")
    path.write_bytes(whole[:third] + b"\x7f" + whole[third + 1 :])
    with pytest.raises(SourceError, match="truncated after 2 files"):
        open_source(f"ilsvrc:{root}")


def test_a_class_tar_does_not_run_into_the_next(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    classes = {f"{wnid}.tar": tar_of(TRAIN[wnid]) for wnid in WNIDS}
    classes[f"{WNIDS[0]}.tar"] = classes[f"{WNIDS[0]}.tar"].rstrip(b"\0")
    classes[f"{WNIDS[0]}.tar"] += bytes(-len(classes[f"{WNIDS[0]}.tar"]) % 512)
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    with pytest.raises(SourceError, match=r"train.tar/n01440764.tar is damaged or truncated"):
        open_source(f"ilsvrc:{root}")


def test_a_changed_tar_is_listed_and_checked_again(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    first = open_source(f"ilsvrc:{root}")
    changed = VAL | {"ILSVRC2012_val_00000001.JPEG": photo(77)}
    (root / "ILSVRC2012_img_val.tar").write_bytes(tar_of(changed))
    second = open_source(f"ilsvrc:{root}")
    assert first.fingerprint != second.fingerprint
    assert np.array_equal(pixels(second)[6], decoded(photo(77)))


def test_a_file_named_twice_in_a_tar(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    classes = {f"{wnid}.tar": tar_of(TRAIN[wnid]) for wnid in WNIDS}
    classes[f"again/{WNIDS[0]}.tar"] = classes[f"{WNIDS[0]}.tar"]
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
    with pytest.raises(SourceError, match=r"holds 'n01440764/n01440764_7.JPEG' twice"):
        open_source(f"ilsvrc:{root}")


def test_what_is_missing_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected a directory, received none"):
        open_source("ilsvrc:")
    with pytest.raises(SourceError, match="is not a directory"):
        open_source(f"ilsvrc:{tmp_path / 'nowhere'}")
    with pytest.raises(
        SourceError, match=r"no training images: put ILSVRC2012_img_train.tar there"
    ):
        open_source(f"ilsvrc:{tmp_path}")
    write_tars(tmp_path)
    message = (
        "has no classes for the validation images: put ILSVRC2012_devkit_t12.tar.gz there, or "
        "ILSVRC2012_validation_ground_truth.txt with meta.mat, or val_wnids.txt"
    )
    with pytest.raises(SourceError, match=message) as caught:
        open_source(f"ilsvrc:{tmp_path}")
    assert "\n" not in str(caught.value)
    (tmp_path / "ILSVRC2012_img_val.tar").unlink()
    with pytest.raises(
        SourceError, match=r"no validation images: put ILSVRC2012_img_val.tar there"
    ):
        open_source(f"ilsvrc:{tmp_path}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n3\n1\n5\n", "line 4: expected an id of meta.mat .1 to 4., received '5'"),
        ("2\n3\n0\n2\n", "line 3: expected an id of meta.mat .1 to 4., received '0'"),
        ("2\n3\n-1\n2\n", "line 3: .* received '-1'"),
        ("2\ncat\n1\n2\n", "line 2: .* received 'cat'"),
        ("2\n3\n1\n", "has no class for 'ILSVRC2012_val_00000004.JPEG'"),
        ("2\n3\n1\n2\n2\n", "has 5 images but 4 are there, 'ILSVRC2012_val_00000005.JPEG'"),
    ],
)
def test_labels_out_of_range(tmp_path: Path, text: str, message: str) -> None:
    root = write_kit(write_tars(tmp_path))
    (root / GROUND_TRUTH).write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(f"ilsvrc:{root}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ILSVRC2012_val_00000004.JPEG", "line 4: expected 'NAME WNID'"),
        ("ILSVRC2012_val_00000004.JPEG 17", "line 4: expected 'NAME WNID'"),
        ("ILSVRC2012_val_00000003.JPEG n01440764", "line 4: .* is named twice"),
        ("ILSVRC2012_val_00000009.JPEG n01440764", "no class for 'ILSVRC2012_val_00000004.JPEG'"),
        ("", "no class for 'ILSVRC2012_val_00000004.JPEG'"),
    ],
)
def test_bad_lines_of_names(tmp_path: Path, line: str, message: str) -> None:
    root = write_names(write_tars(tmp_path))
    lines = (root / "val_wnids.txt").read_text().splitlines()[:3]
    (root / "val_wnids.txt").write_text("\n".join([*lines, line]))
    with pytest.raises(SourceError, match=message):
        open_source(f"ilsvrc:{root}")


def test_damaged_kits(tmp_path: Path) -> None:
    root = write_kit(write_tars(tmp_path))
    (root / "meta.mat").write_bytes(b"not MATLAB" * 100)
    with pytest.raises(SourceError, match=r"meta.mat cannot be read .*synsets") as caught:
        open_source(f"ilsvrc:{root}")
    assert "\n" not in str(caught.value)
    (root / "meta.mat").unlink()
    (root / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"\x1f\x8b not gzip")
    with pytest.raises(SourceError, match=r"devkit_t12.tar.gz is damaged or truncated"):
        open_source(f"ilsvrc:{root}")
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        tar.add(root / GROUND_TRUTH, GROUND_TRUTH)
    with pytest.raises(SourceError, match=r"devkit_t12.tar.gz holds no meta.mat"):
        open_source(f"ilsvrc:{root}")


def test_layouts_that_are_not_the_official_one(tmp_path: Path) -> None:
    root = write_names(write_tars(tmp_path))
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of({"a.JPEG": photo(0)}))
    with pytest.raises(SourceError, match=r"holds 'a.JPEG': expected one tar a class"):
        open_source(f"ilsvrc:{root}")
    (root / "ILSVRC2012_img_train.tar").write_bytes(tar_of({"cat.tar": tar_of({"a.JPEG": b"x"})}))
    with pytest.raises(SourceError, match=r"cat/a.JPEG: expected .* named after wnids"):
        open_source(f"ilsvrc:{root}")
    (root / "ILSVRC2012_img_train.tar").unlink()
    (root / "train").mkdir()
    with pytest.raises(SourceError, match="has no class folders: expected train/<wnid>/"):
        open_source(f"ilsvrc:{root}")
    (root / "train" / "cat").mkdir()
    with pytest.raises(SourceError, match=r"train/cat: expected class folders named after wnids"):
        open_source(f"ilsvrc:{root}")
