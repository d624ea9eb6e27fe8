"""What an array must be to count as images or as labels; what is wrong is said with its fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipelines.errors import SourceError, nearest
from pipelines.files.naming import PARTS, class_order

LUMA = np.array([19595, 38470, 7471], np.int32)  # libjpeg's BT.601, 16 bits: the sum is 65,536
BLOCK = 1024  # images that are converted at a time

SCALED = '(255 * images).round().astype("uint8")'
WHOLE = 'images.astype("uint8")'


class Classes(NamedTuple):
    """labels int64 [n], position in `names`; `note` says what was made of labels that were none."""

    labels: np.ndarray
    names: list[str]
    note: str = ""


def checked_images(images: np.ndarray, what: str = "images") -> np.ndarray:
    """An array of images as uint8 [n, h, w, c]; [n, h, w] are grey.

    Raises SourceError for other types and shapes, with what makes them right.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        values = images if images.dtype.kind in "biuf" else np.zeros(0)
        raise SourceError(wrong_type(what, images.dtype, values))
    return images.reshape(len(images), *image_shape(what, images.dtype, images.shape))


def image_shape(what: str, dtype: np.dtype, shape: Sequence[int]) -> tuple[int, int, int]:
    """(height, width, channels) of an array of this type and shape. Raises SourceError."""
    if dtype != np.uint8:
        raise SourceError(wrong_type(what, dtype, np.zeros(0)))
    if len(shape) not in (3, 4) or 0 in shape:
        raise SourceError(
            f"{what}: expected [images, height, width] or [images, height, width, channels], "
            f"none of them 0, received {list(shape)}: reshape the array"
        )
    height, width, channels = (*shape[1:], 1)[:3]
    if channels in (1, 3):
        return height, width, channels
    if len(shape) == 4 and shape[1] in (1, 3):
        how = "the channels come first: images.transpose(0, 2, 3, 1) puts them last"
    elif channels == 4:
        how = "images[..., :3] leaves the transparency out"
    else:
        how = "choose one or three"
    raise SourceError(f"{what}: expected 1 or 3 channels, received {list(shape)}: {how}")


def wrong_type(what: str, dtype: np.dtype, values: np.ndarray) -> str:
    """Why images of this type are refused; `values`, where they are known, choose the fix."""
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if values.size and not (low >= 0 and high <= 255):
        fix = f"values lie between {low:g} and {high:g}: map them to 0..255"
    elif dtype.kind == "f" and values.size and high > 1:
        fix = f"{WHOLE} where they are whole numbers" if (values % 1).any() else WHOLE
    elif dtype.kind == "f" and not values.size:
        fix = f"{SCALED} for 0..1, {WHOLE} for 0..255"
    else:
        fix = SCALED if dtype.kind == "f" else WHOLE
    return f"{what}: expected uint8 from 0 to 255, received {dtype}: use {fix}"


def classes_of(
    labels: Any, class_names: Sequence[str] | None = None, what: str = "labels"
) -> Classes:
    """Labels as positions in the class names.

    labels       [n] or [n, 1]: whole numbers from 0, or class names; or one-hot [n, classes]
    class_names  None: the labels that there are, numbers in their order, names sorted

    Raises SourceError for anything else, by its first image; and where there is one class only.
    """
    labels, note = np.asarray(labels), ""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "biuf":
        one_hot = ((labels == 0) | (labels == 1)).all(axis=1) & (labels.sum(axis=1) == 1)
        _first_bad(what, ~one_hot, labels, "one class an image, one-hot or as its number")
        labels = labels.argmax(axis=1)
        note = f"{what} are one-hot: the class is the column of the 1"
    if labels.ndim != 1 or len(labels) == 0:
        raise SourceError(
            f"{what}: expected one an image, [n] or [n, 1], received {list(labels.shape)}"
        )
    names = None if class_names is None else [str(name) for name in class_names]
    if names is not None and len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SourceError(f"class names: {twice!r} is given twice: name each class once")
    if labels.dtype.kind in "biuf":
        whole = (labels == np.floor(labels)) & (labels >= 0) & (labels < 2**31)
        _first_bad(what, ~whole, labels, "whole numbers from 0")
        numbers = labels.astype(np.int64)
        if names is None:
            present, numbers = np.unique(numbers, return_inverse=True)
            names = [str(number) for number in present.tolist()]
        outside = numbers >= len(names)
        _first_bad(what, outside, labels, f"from 0 to {len(names) - 1} ({len(names)} class names)")
    else:
        words = [word.decode() if isinstance(word, bytes) else word for word in labels.tolist()]
        numbers, names = _numbered(what, words, names)
    if len(names) < 2:
        raise SourceError(f"{what}: one class only ({names[0]!r}): classification needs two")
    return Classes(numbers.astype(np.int64).reshape(-1), names, note)


def check_count(images: int, labels: int, what: str = "labels") -> None:
    """Raises SourceError unless there is a label for each image."""
    if images != labels:
        raise SourceError(f"{what}: expected {images}, one an image, received {labels}")


def checked_splits(splits: Mapping[str, Any] | None, images: int) -> dict[str, np.ndarray] | None:
    """The parts as int64 indices. Raises SourceError for other names and for shared images."""
    if not splits:
        return None
    parts = {name: np.asarray(part, np.int64).reshape(-1) for name, part in splits.items()}
    for name, part in parts.items():
        if name not in PARTS:
            raise SourceError(
                f"official splits: expected {', '.join(PARTS)}, received {name!r}"
                f"{nearest(name, PARTS)}"
            )
        if len(part) == 0 or part.min() < 0 or part.max() >= images:
            raise SourceError(
                f"official splits: {name}: expected numbers of images from 0 to {images - 1}, one "
                "or more"
            )
    together = np.concatenate(list(parts.values()))
    if np.bincount(together).max() > 1:
        twice = int(np.bincount(together).argmax())
        raise SourceError(f"official splits: image {twice} is listed twice: keep it in one part")
    return parts


def _first_bad(what: str, bad: np.ndarray, labels: np.ndarray, expected: str) -> None:
    if bad.any():
        i = int(bad.argmax())
        raise SourceError(
            f"{what}: expected {expected}, received {labels[i].tolist()} for image {i}: correct it"
        )


def _numbered(
    what: str, words: Sequence[Any], names: list[str] | None
) -> tuple[np.ndarray, list[str]]:
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise SourceError(
                f"{what}: expected whole numbers or class names, received {word!r} for image {i}: "
                "correct it"
            )
    names = class_order(words) if names is None else names
    position = {name: number for number, name in enumerate(names)}
    for i, word in enumerate(words):
        if word not in position:
            raise SourceError(
                f"{what}: {word!r} of image {i} is no class name{nearest(word, names)}: correct "
                "one of them"
            )
    return np.array([position[word] for word in words], np.int64), names


def in_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [n, h, w, c] in 1 channel (the luma, as of a decoded JPEG) or 3 (grey repeated)."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    grey = np.empty((*images.shape[:-1], 1), np.uint8)
    for at in range(0, len(images), BLOCK):
        weighed = images[at : at + BLOCK].astype(np.int32) @ LUMA
        grey[at : at + BLOCK, ..., 0] = (weighed + 32768) >> 16
    return grey
