"""Each layout in which ILSVRC and Tiny ImageNet are given out, by the colours of its classes."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from ilsvrc_set import (
    CLASSES,
    HELD_OUT,
    TRAIN,
    TRAINING,
    WNIDS,
    check,
    draw,
    draw_train,
    draw_val,
    photo,
    pixels,
    shown,
    tar_of,
    write_folders,
    write_names,
    write_tars,
)
from PIL import Image

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


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


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The competition's download, unpacked."""
    root = tmp_path_factory.mktemp("imagenet-object-localization-challenge")
    images = root / "ILSVRC" / "Data" / "CLS-LOC"
    draw_train(images / "train")
    draw_val(images / "val")
    for number in (1, 2, 3):
        draw(images / "test" / f"ILSVRC2012_test_{number:08}.JPEG", WNIDS[0], number)
    for folder in ("Annotations", "ImageSets"):
        (root / "ILSVRC" / folder / "CLS-LOC").mkdir(parents=True)
        (root / "ILSVRC" / folder / "CLS-LOC" / "val.xml").write_text("<xml/>")
    lines = ["ImageId,PredictionString"]
    for number in (3, 1, 4, 2):  # in no order, as in the file; two boxes are of one class
        lines.append(f"ILSVRC2012_val_{number:08},{CLASSES[number]} 1 2 3 4 ")
        if number == 4:
            lines[-1] += f"{CLASSES[number]} 5 6 7 8 "
    (root / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")
    mapping = ["tench, Tinca tinca", "dog, domestic dog, Canis familiaris", "crane"]
    text = "\n".join(f"{wnid} {words}" for wnid, words in zip(WNIDS, mapping, strict=True))
    (root / "LOC_synset_mapping.txt").write_text(text)
    return root


@pytest.mark.parametrize("inside", ["", "ILSVRC", "ILSVRC/Data/CLS-LOC"])
def test_the_download_of_kaggle(kaggle: Path, inside: str) -> None:
    source = open_source(f"ilsvrc:{kaggle / inside}")
    assert shown(source) == TRAINING + HELD_OUT
    assert source.class_names == WNIDS
    assert source.titles == dict(zip(WNIDS, ["tench", "dog", "crane"], strict=True))
    ((path, files, why),) = source.unused
    assert (path, files) == (
        os.path.relpath(kaggle / "ILSVRC/Data/CLS-LOC/test", kaggle / inside),
        3,
    )
    assert "no public labels" in why


def test_labels_of_kaggle_beside_the_images(kaggle: Path, tmp_path: Path) -> None:
    images = tmp_path / "CLS-LOC"
    shutil.copytree(kaggle / "ILSVRC" / "Data" / "CLS-LOC", images)
    shutil.copy(kaggle / "LOC_val_solution.csv", images)
    assert shown(open_source(f"ilsvrc:{images}")) == TRAINING + HELD_OUT
    solution = images / "LOC_val_solution.csv"
    solution.write_text(solution.read_text().replace(f"_00000003,{CLASSES[3]}", "_00000003,dog"))
    with pytest.raises(SourceError, match=r"LOC_val_solution.csv, line 2: expected 'IMAGE,WNID"):
        open_source(f"ilsvrc:{images}")


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("name", ["validation", "val", "Validation"])
def test_the_layout_of_the_tpu_guide(tmp_path: Path, name: str, sort: bool) -> None:
    draw_train(tmp_path / "train")
    draw_val(tmp_path / name, sort=sort)
    if not sort:
        (tmp_path / "synset_labels.txt").write_text("\n".join(CLASSES.values()) + "\n")
    source = open_source(f"ilsvrc:{tmp_path}")
    assert shown(source) == TRAINING + HELD_OUT
    assert source.unused == ()


def test_validation_images_that_were_sorted_in_part(tmp_path: Path) -> None:
    draw_train(tmp_path / "train")
    draw_val(tmp_path / "val")
    name = "ILSVRC2012_val_00000003.JPEG"
    (tmp_path / "val" / CLASSES[3]).mkdir()
    (tmp_path / "val" / name).rename(tmp_path / "val" / CLASSES[3] / name)
    (tmp_path / "synset_labels.txt").write_text("\n".join(CLASSES.values()))
    assert shown(open_source(f"ilsvrc:{tmp_path}")) == TRAINING + HELD_OUT
    (tmp_path / "synset_labels.txt").write_text("\n".join([*CLASSES.values(), "dog"]))
    with pytest.raises(SourceError, match=r"synset_labels.txt, line 5: expected a wnid.*'dog'"):
        open_source(f"ilsvrc:{tmp_path}")
    (tmp_path / "synset_labels.txt").unlink()
    with pytest.raises(SourceError, match="no classes for the validation images: put"):
        open_source(f"ilsvrc:{tmp_path}")


def tiny(root: Path) -> Path:
    """Tiny ImageNet as it is unpacked."""
    draw_train(root / "train", "images")
    for wnid in WNIDS:
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_1.JPEG\t0\t0\t62\t62\n")
    lines = []
    for number, wnid in CLASSES.items():
        draw(root / "val" / "images" / f"val_{number}.JPEG", wnid, 40 + number)
        lines.insert(0, f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    for number in range(5):
        draw(root / "test" / "images" / f"test_{number}.JPEG", WNIDS[0], number)
    (root / "wnids.txt").write_text("\n".join(reversed(WNIDS)))
    words = ["tench, Tinca tinca", "crane, machine", "crane"]
    text = "".join(f"{wnid}\t{line}\n" for wnid, line in zip(WNIDS, words, strict=True))
    (root / "words.txt").write_text("n00001740\tentity\n" + text)
    return root


@pytest.mark.parametrize("inside", ["", "tiny-imagenet-200"])
def test_tiny_imagenet(tmp_path: Path, inside: str) -> None:
    root = tiny(tmp_path / inside)
    source = open_source(f"ilsvrc:{tmp_path}")
    assert shown(source) == TRAINING + HELD_OUT
    titles = ["tench", "crane, machine", "crane"]
    assert source.titles == dict(zip(WNIDS, titles, strict=True))
    assert [(path, files) for path, files, _ in source.unused] == [(f"{inside}/test".strip("/"), 5)]
    shutil.rmtree(root / "train")
    alone = open_source(f"ilsvrc:{tmp_path}")
    assert shown(alone) == HELD_OUT
    assert alone.class_names == WNIDS


@pytest.mark.parametrize("flat", [False, True])
def test_validation_alone_has_the_classes_that_files_name(tmp_path: Path, flat: bool) -> None:
    """Published weights are scored over all of them."""
    draw_val(tmp_path if flat else tmp_path / "val", sort=not flat)
    if flat:
        (tmp_path / "synset_labels.txt").write_text("\n".join(CLASSES.values()))
    source = open_source(f"ilsvrc:{tmp_path}")
    assert shown(source) == HELD_OUT
    assert source.class_names == WNIDS
    assert list(source.official_splits or ()) == ["validation"]
    assert source.notes == ("there are no training images: a set to score networks on",)
    more = ["n09999999", *WNIDS, "n00000001"]
    (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(f"{wnid} x" for wnid in more))
    source = open_source(f"ilsvrc:{tmp_path}")
    assert shown(source) == HELD_OUT
    assert source.class_names == sorted(more)
    (tmp_path / "LOC_synset_mapping.txt").write_text(f"{WNIDS[0]} tench")  # of another set
    assert open_source(f"ilsvrc:{tmp_path}").class_names == WNIDS
