"""The archives of ILSVRC, read in place."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ilsvrc_set import (
    TRAIN,
    VAL,
    WNIDS,
    check,
    decoded,
    photo,
    pixels,
    tar_of,
    write_names,
    write_tars,
)

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


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
