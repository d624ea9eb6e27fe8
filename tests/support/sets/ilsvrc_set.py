"""A set in the official layout of ILSVRC, on tiny archives drawn here."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from pipelines.sources.base import Source

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


COLOURS = {WNIDS[0]: (220, 30, 30), WNIDS[1]: (30, 220, 30), WNIDS[2]: (30, 30, 220)}


def draw(path: Path, wnid: str, file: int) -> None:
    """One colour a class; the width tells the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16 + file, 16), COLOURS[wnid]).save(path, "JPEG")


def draw_kaggle(root: Path, train: int, validation: int) -> Path:
    """Kaggle's download, with so many training images a class and validation images."""
    images = root / "ILSVRC" / "Data" / "CLS-LOC"
    for wnid in WNIDS:
        for number in range(train):
            draw(images / "train" / wnid / f"{wnid}_{number}.JPEG", wnid, number)
    lines = ["ImageId,PredictionString"]
    for number in range(1, validation + 1):
        name, wnid = f"ILSVRC2012_val_{number:08}", WNIDS[number % 3]
        draw(images / "val" / f"{name}.JPEG", wnid, 20 + number)
        lines.append(f"{name},{wnid} 1 2 3 4 ")
    (root / "LOC_val_solution.csv").write_text("\n".join(lines) + "\n")
    titles = ["tench, Tinca tinca", "dog, domestic dog, Canis familiaris", "crane"]
    text = "\n".join(f"{wnid} {words}" for wnid, words in zip(WNIDS, titles, strict=True))
    (root / "LOC_synset_mapping.txt").write_text(text)
    return root


CLASSES = {1: WNIDS[2], 2: WNIDS[0], 3: WNIDS[1], 4: WNIDS[0]}  # of the validation images


def shown(source: Source) -> list[tuple[str, str, int]]:
    """Of each image its part, its class by its label and the file by its width; the colour is
    that of the class."""
    parts = source.official_splits or {}
    part_of = {int(i): part for part, indices in parts.items() for i in indices}
    rows = []
    for i, image in enumerate(pixels(source)):
        wnid = source.class_names[source.labels[i]]
        assert np.abs(image.mean(axis=(0, 1)) - COLOURS[wnid]).max() < 8, (i, wnid)
        rows.append((part_of[i], wnid, image.shape[1] - 16))
    return rows


def draw_train(folder: Path, inside: str = "") -> None:
    for label, wnid in enumerate(WNIDS):
        for file in (1, 2):
            draw(folder / wnid / inside / f"{wnid}_{file}.JPEG", wnid, 10 * label + file)


def draw_val(folder: Path, *, sort: bool = False) -> None:
    for number, wnid in CLASSES.items():
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        draw(folder / (wnid if sort else "") / name, wnid, 40 + number)


TRAINING = [("train", wnid, 10 * i + file) for i, wnid in enumerate(WNIDS) for file in (1, 2)]
HELD_OUT = [("validation", wnid, 40 + number) for number, wnid in CLASSES.items()]
