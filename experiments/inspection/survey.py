"""What a set of images is like, as far as it decides how to train on it."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.composition import composition, remarks
from experiments.jobs.dataset import files_unchanged, open_source, split_of
from experiments.runtime.startup import load_tensorflow
from pipelines.errors import printable

SAMPLE = 24  # images that are read: for their colours, and for the time that it takes


@dataclass(frozen=True)
class Survey:
    """Counts of a source and of the parts that a run makes of it; sizes in pixels.

    spec              as written by the user
    classes           how many
    parts             images of each part, and their origin: official, or held out
    smallest, largest   name and training images of the class with the fewest and with the most
    short_side        smallest, median and largest
    fixed_size        the size of images that are all of one size; None where they differ
    channels          1 or 3; 1 also for grey images in colour files
    read_seconds      to read and decode an image; 0 of images held in memory
    remarks           what a run would say of the images before it starts
    """

    spec: str
    classes: int
    parts: dict[str, tuple[int, str]]
    smallest: tuple[str, int]
    largest: tuple[str, int]
    short_side: tuple[int, float, int]
    fixed_size: int | tuple[int, int] | None
    channels: int
    read_seconds: float
    remarks: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        return sum(count for count, _ in self.parts.values())

    @property
    def training_images(self) -> int:
        return self.parts["train"][0]

    def as_document(self) -> dict[str, Any]:
        """For JSON, pairs under their names."""
        sizes = zip(("smallest", "median", "largest"), self.short_side, strict=True)
        return asdict(self) | {
            "parts": {k: {"images": n, "origin": by} for k, (n, by) in self.parts.items()},
            "smallest": {"class": self.smallest[0], "images": self.smallest[1]},
            "largest": {"class": self.largest[0], "images": self.largest[1]},
            "short_side": dict(sizes),
            "remarks": list(self.remarks),
        }

    def described(self) -> str:
        """The set in one clause."""
        low, median, high = self.short_side
        side = f"{low}" if low == high else f"{low} to {high}, median {median:g}"
        colour = "grey" if self.channels == 1 else "colour"
        return f"{self.images:,} images of {self.classes:,} classes, {colour}, short side {side}"


def survey(spec: str) -> Survey:
    """Open a source, split it as a run would, and read a few of its images.

    Raises:
        BadInput: it cannot be opened, holds bad images, or cannot be split.
        FailedWork: an image file is damaged.
    """
    load_tensorflow()  # quietly: it reads the sample
    config = Config.model_validate({"data": {"source": spec}})
    source = open_source(config.data)
    if len(source.class_names) < 2:
        raise BadInput(
            f"data.source: {spec} has images of one class, {printable(source.class_names[0])}; two "
            "or more are needed to tell apart"
        )
    split = split_of(config, source)
    parts = composition(source, split.train, split.validation, split.test)
    counts: dict[str, int] = parts["train"]["class_images"]
    fewest, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    with files_unchanged(source):
        sample, seconds = _read(source, split.train)
    grey = all((image == image[..., :1]).all() for image in sample)
    return Survey(
        spec=spec,
        classes=len(source.class_names),
        parts={name: (part["images"], part["origin"]) for name, part in parts.items()},
        smallest=(printable(fewest), counts[fewest]),
        largest=(printable(most), counts[most]),
        short_side=_short_side(source, sample),
        fixed_size=source.default_size,
        channels=1 if grey else source.image_shape[2],
        read_seconds=0.0 if source.array is not None else seconds,
        remarks=tuple(remarks(source, parts)),
    )


def _read(source: Any, train: np.ndarray) -> tuple[list[np.ndarray], float]:
    """Images spread over the training part, and the seconds that one took."""
    rows = train[np.unique(np.linspace(0, len(train) - 1, SAMPLE).astype(int))]
    next(iter(source.dataset(rows[:1])))  # the first traces
    began = time.perf_counter()
    sample = [example["image"].numpy() for example in source.dataset(rows)]
    return sample, (time.perf_counter() - began) / len(rows)


def _short_side(source: Any, sample: list[np.ndarray]) -> tuple[int, float, int]:
    """Of all images where it is known without reading them, else of the sample."""
    height, width, _ = source.image_shape
    if height is not None and width is not None:
        sides = np.array([min(height, width)])
    elif source.shapes is not None:
        sides = source.shapes.min(axis=1)
    else:
        sides = np.array([min(image.shape[:2]) for image in sample])
    return int(sides.min()), float(np.median(sides)), int(sides.max())
