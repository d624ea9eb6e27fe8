"""A source: labels, class names, a fingerprint and random access to images by index."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.decode import Cut
from pipelines.lazy import tf
from pipelines.threads import fixed, workers

if TYPE_CHECKING:
    Window = Callable[[tf.Tensor], tf.Tensor]

MEMORY_LIMIT_BYTES = 2 * 1024**3
ENDS = "-ends"  # at the end of a fingerprint that is made of the first and last bytes of files
MAX_PIXELS = 178_956_970  # 512 MiB of RGB; Pillow calls more a decompression bomb


@dataclass(frozen=True)
class Opening:
    """How a source is opened, the same for all of them; each uses what concerns it.

    on_corrupt            what to do with files that cannot be used: refuse, or leave them out
    max_corrupt_fraction  refuse to leave out more than this share of the files
    channels              1 or 3; None = what the source has (files: 3)
    memory_limit_bytes    images of one size are held in memory up to this
    max_pixels            height x width above which an image counts as corrupt, undecoded
    verify                "header": the ends of new files are read, and those that look damaged are
                          decoded; "decode": all are. None = header, or decode where files are left
                          out: which ones must be known before a split is made
    empty_classes         keep a class of which no file can be used, for those who only look
    Raises SourceError for a value that is none of these.
    """

    on_corrupt: Literal["error", "skip"] = "error"
    max_corrupt_fraction: float = 0.01
    channels: int | None = None
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES
    max_pixels: int = MAX_PIXELS
    verify: Literal["header", "decode"] | None = None
    empty_classes: bool = False

    def __post_init__(self) -> None:
        if self.on_corrupt not in ("error", "skip"):
            raise SourceError(
                f"data.on_corrupt: expected 'error' or 'skip', received {self.on_corrupt!r}"
            )
        if self.channels not in (None, 1, 3):
            raise SourceError(f"data.channels: expected 1 or 3, received {self.channels!r}")
        if self.max_pixels < 1:
            raise SourceError(
                f"data.max_pixels: expected a number from 1, received {self.max_pixels!r}"
            )
        if self.verify not in (None, "header", "decode"):
            raise SourceError(
                f"data.verify: expected 'header' or 'decode', received {self.verify!r}"
            )

    @property
    def decodes(self) -> bool:
        """Is every file decoded that was not decoded before?"""
        return self.on_corrupt == "skip" if self.verify is None else self.verify == "decode"


class Unused(NamedTuple):
    """Files of the named folder that are no part of the set.

    path   relative to what the spec names
    why    reads after the number of files: "lie beside the class folders"
    """

    path: str
    files: int
    why: str


class Source(ABC):
    """Images in classes.

    spec            canonical text that opens the same source again
    labels          np.int64 [n]
    class_names     one name a class, position = label
    image_shape     (height or None, width or None, channels); None where images differ
    default_size    what data.image_size defaults to; None when images have different sizes
    official_splits "train" / "validation" / "test" -> np.int64 indices, or None
    corrupt         (relative path, reason) of every file that was left out
    shapes          int32 [n, 2], height and width; None where an image must be read to know them
    digests         uint8 [n, 16], equal for identical images; None where they were not made
    quick_digests   the same of files that were not read whole, and seldom equal for others
    distinct_digests   the same, and never equal for others; see `duplicates.content_digests`
    fingerprint     sha256 of the contents, whatever the place they were read from; of files, of
                    their ends, and then ends itself in ENDS
    former_fingerprint   that of versions that read every file whole, where it is another and known
    changed         names of files with other contents than an earlier opening of the source knew
    read_from       the source of files that the images in memory were read from; None: no files
    unused          what lies in the named folder and is no part of the set
    titles          class name -> readable name, such as wnid -> "tench"; empty where names are that
    notes           what was decided in reading and changes what the set is, a line each
    headline        the official part that published results of the set are of; where it is
                    "validation", no test part is held out unless it is asked for
    """

    spec: str
    labels: np.ndarray
    class_names: list[str]
    image_shape: tuple[int | None, int | None, int]
    default_size: int | tuple[int, int] | None
    official_splits: dict[str, np.ndarray] | None
    corrupt: list[tuple[str, str]]
    shapes: np.ndarray | None = None
    digests: np.ndarray | None = None
    quick_digests: np.ndarray | None = None
    distinct_digests: np.ndarray | None = None
    former_fingerprint: str | None = None
    changed: tuple[str, ...] = ()
    read_from: Source | None = None
    unused: tuple[Unused, ...] = ()
    titles: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    headline: Literal["validation"] | None = None
    _fingerprint: str | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 hex of pixels or file bytes, labels and class names."""

    @property
    def array(self) -> np.ndarray | None:
        """All images as uint8 [n, h, w, c] when they are held in memory, else None."""
        return None

    def is_known_as(self, fingerprint: str | None) -> bool:
        """Is it the fingerprint of these images, by this or by former versions?

        To tell whether it is a former one, files are read whole, once.
        """
        if not fingerprint:
            return False
        if self.read_from is not None and fingerprint != self.fingerprint:
            self.read_from.is_known_as(fingerprint)
            self.former_fingerprint = self.former_fingerprint or self.read_from.former_fingerprint
        return fingerprint in (self.fingerprint, self.former_fingerprint)

    def go_on_as(self, fingerprint: str) -> None:
        """Be called by one of the two from now on, as the runs are that go on with these images."""
        if fingerprint != self.fingerprint:
            self._fingerprint, self.former_fingerprint = fingerprint, self.fingerprint

    def check_unchanged(self) -> None:
        """Hold the files against what they were when they were checked, in size and times.

        Raises SourceError that names the first one that is gone or has changed.
        """
        if self.read_from is not None:
            self.read_from.check_unchanged()

    def check_decodes(self, error: Exception) -> None:
        """Is it a damaged file that work on these images failed by, with this error?

        Raises DamageError that names it, and how it is left out from now on.
        """
        if self.read_from is not None:
            self.read_from.check_decodes(error)

    @abstractmethod
    def images(self, index: tf.Tensor, window: Window | None = None) -> tf.Tensor:
        """The image at a scalar index as uint8 [h, w, c]; usable inside a tf.data map.

        `window` maps the image's shape [height, width] (int32) to [y, x, height, width]; only
        that part is then returned, and of a JPEG file only that part is decoded.
        """

    def part(self, index: tf.Tensor, cut: Cut) -> tf.Tensor:
        """What `images` gives for the window of this cut, of a source that has `shapes`."""
        raise NotImplementedError(f"{self.spec}: the shapes of its images are not known")

    def dataset(self, indices: Iterable[int] | np.ndarray) -> tf.data.Dataset:
        """{"image": uint8 [h, w, c], "label": int64, "index": int64} in the given order."""
        chosen = np.asarray(indices, np.int64)
        with tf.device("CPU:0"):
            labels = tf.constant(self.labels)
        examples = tf.data.Dataset.from_tensor_slices(chosen).map(
            tf.autograph.experimental.do_not_convert(
                lambda i: {"image": self.images(i), "label": tf.gather(labels, i), "index": i}
            ),
            num_parallel_calls=workers(),
            deterministic=True,
        )
        return fixed(examples)


def said_of(held: Source, source: Source) -> Source:
    """`held`, the images of a source in memory, with what the source knows beside its pixels."""
    held.digests, held.quick_digests = source.digests, source.quick_digests
    held.former_fingerprint = source.former_fingerprint
    held.unused, held.titles, held.notes = source.unused, source.titles, source.notes
    held.headline = source.headline
    return held


def finish_fingerprint(digest: hashlib._Hash, labels: np.ndarray, class_names: list[str]) -> None:
    """Adds labels and class names to a digest of contents, the same way for every source."""
    digest.update(np.asarray(labels, "<i8").tobytes())
    digest.update("\0".join(class_names).encode())


def natural_size(height: int | None, width: int | None) -> int | tuple[int, int] | None:
    """The size that images of one size are used at, unless asked otherwise; None if they vary."""
    if height is None or width is None:
        return None
    return height if height == width else (height, width)
