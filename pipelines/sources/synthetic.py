"""Coloured shapes and textures drawn from a seed: any size, any number of classes.

A class is a shape, a colour and a texture; position, size, rotation, shade, background and noise
vary from image to image. Image i depends on (seed, i) and the settings of the drawing alone, so a
longer set starts with the shorter one.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

from pipelines.errors import SourceError
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Opening
from pipelines.sources.spec import whole_numbers

DEFAULTS = {"classes": 10, "size": 64, "examples": 1000, "seed": 1, "channels": 3}
LOWEST = {"classes": 2, "size": 8, "examples": 2, "seed": 0, "channels": 1}
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "pink")
HUES = np.array([0.0, 0.07, 0.15, 0.33, 0.5, 0.63, 0.76, 0.89])
TEXTURES = ("plain", "striped", "checked", "dotted")
CHUNK_PIXELS = 2**20

Field = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _radius(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u, v)


# Each maps coordinates in units of the object's radius to a boolean mask.
SHAPES: dict[str, Field] = {
    "disc": lambda u, v: _radius(u, v) < 0.9,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.8,
    "triangle": lambda u, v: (v < 0.6) & (abs(u) * 1.7 - v < 0.95),
    "ring": lambda u, v: abs(_radius(u, v) - 0.7) < 0.28,
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.95),
    "bar": lambda u, v: (abs(u) < 0.98) & (abs(v) < 0.42),
    "crescent": lambda u, v: (_radius(u, v) < 0.95) & (_radius(u - 0.45, v) > 0.7),
    "star": lambda u, v: _radius(u, v) < 0.68 + 0.3 * np.cos(5.0 * np.arctan2(v, u)),
}
COMBINATIONS = len(SHAPES) * len(COLOURS) * len(TEXTURES)


def open_synthetic(text: str, opening: Opening) -> ArraySource:
    """`text`: "classes=10,size=64,examples=1000,seed=1[,channels=3]", any part left out.

    Raises SourceError for unknown keys, bad values and sets larger than the memory limit.
    """
    given, channels = _parse(text), opening.channels
    if channels is not None and given.setdefault("channels", channels) != channels:
        raise SourceError(
            f"synthetic: channels={given['channels']} in the spec but data.channels is {channels}: "
            "remove one of them"
        )
    settings = DEFAULTS | given
    classes, size, examples = settings["classes"], settings["size"], settings["examples"]
    if examples < classes:
        raise SourceError(
            f"synthetic: {examples} examples cannot fill {classes} classes: use "
            f"examples={classes} or more"
        )
    needed = examples * size * size * settings["channels"]
    if needed > opening.memory_limit_bytes:
        raise SourceError(
            f"synthetic: {examples} images of {size} x {size} need {needed} bytes, the limit is "
            f"{opening.memory_limit_bytes}: use fewer examples or a smaller size"
        )
    labels = np.arange(examples, dtype=np.int64) % classes
    spec = "synthetic:" + ",".join(f"{key}={value}" for key, value in settings.items())
    return ArraySource(
        lambda: draw(labels, size, settings["seed"], settings["channels"]),
        labels,
        [class_name(k) for k in range(classes)],
        spec=spec,
        image_shape=(size, size, settings["channels"]),
    )


def _parse(text: str) -> dict[str, int]:
    values = whole_numbers("synthetic", text, LOWEST)
    if values.get("channels", 3) not in (1, 3):
        raise SourceError(f"synthetic: channels: expected 1 or 3, received {values['channels']}")
    return values


def _parts(label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Class numbers to (shape, colour, texture, variation), one to one.

    Neighbouring classes share colours in pairs: colour alone never tells a few classes apart.
    """
    shape = label % 8
    block = label // 8 % 8
    colour = (shape // 2 + block) % 8
    texture = (shape + block + label // 64) % 4
    return shape, colour, texture, label // COMBINATIONS


def class_name(label: int) -> str:
    """Such as "dotted blue star"; from the 257th class on with the number of the variation."""
    shape, colour, texture, variation = (int(part) for part in _parts(np.array(label)))
    name = f"{TEXTURES[texture]} {COLOURS[colour]} {list(SHAPES)[shape]}"
    return name if variation == 0 else f"{name} {variation + 1}"


def draw(labels: np.ndarray, size: int, seed: int, channels: int) -> np.ndarray:
    """uint8 [n, size, size, channels]; image i is of class labels[i]."""
    images = np.empty((len(labels), size, size, channels), np.uint8)
    shapes = _parts(labels)[0]
    step = max(1, CHUNK_PIXELS // (size * size))
    for shape, field in enumerate(SHAPES.values()):
        members = np.flatnonzero(shapes == shape)
        for start in range(0, len(members), step):
            index = members[start : start + step]
            images[index] = _draw_chunk(index, labels[index], field, size, seed, channels)
    return images


def _draw_chunk(
    index: np.ndarray, label: np.ndarray, field: Field, size: int, seed: int, channels: int
) -> np.ndarray:
    _, colour, texture, variation = _parts(label)
    r = uniform(seed, index, 14).astype(np.float32).T[..., None, None]  # [14, n, 1, 1]
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size * 2.0 - 1.0
    radius = 0.4 + 0.35 * r[0]
    x = grid[None, None, :] - (2.0 * r[1] - 1.0) * (1.0 - radius)
    y = grid[None, :, None] - (2.0 * r[2] - 1.0) * (1.0 - radius)
    angle = 0.8 * (r[3] - 0.5)
    u = (x * np.cos(angle) + y * np.sin(angle)) / radius
    v = (y * np.cos(angle) - x * np.sin(angle)) / radius
    mask = field(u, v)
    pattern = _pattern(u, v, texture[:, None, None], variation[:, None, None], r[4])

    # A variation turns the colour of the pattern, one golden angle a step.
    hue = HUES[colour] + 0.03 * (r[5, :, 0, 0] - 0.5)
    bright = 0.6 + 0.4 * r[6, :, 0, 0]
    front = _rgb(hue, 0.7 + 0.3 * r[7, :, 0, 0], bright)
    other = _rgb(hue + 0.618 * variation, np.where(variation > 0, 0.7, 0.25), 0.45 * bright)
    ground = _rgb(r[8, :, 0, 0], 0.4 * r[9, :, 0, 0], 0.2 + 0.6 * r[10, :, 0, 0])
    slope = (r[11] - 0.5) * grid[None, None, :] + (r[12] - 0.5) * grid[None, :, None]

    image = ground[:, None, None, :] * (1.0 + 0.6 * slope[..., None])
    object_ = np.where(pattern[..., None], other[:, None, None, :], front[:, None, None, :])
    image = np.where(mask[..., None], object_, image)
    if channels == 1:
        image = image @ np.array([[0.299], [0.587], [0.114]], np.float32)
    grain = noise(seed, index, size * size * channels).reshape(image.shape)
    strength = 0.05 + 0.15 * r[13][..., None]
    image = image + strength * (grain.astype(np.float32) / 127.5 - 1.0)
    return np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)


def _pattern(
    u: np.ndarray, v: np.ndarray, texture: np.ndarray, variation: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    """Where the second colour is: boolean [n, size, size]."""
    frequency = (2.0 + 0.5 * (variation % 3)).astype(np.float32)
    a = (u * frequency + phase) % 1.0
    b = (v * frequency + phase) % 1.0
    stripes, checks = a < 0.5, (a < 0.5) ^ (b < 0.5)
    dots = np.hypot(a - 0.5, b - 0.5) < 0.3
    # A plain object has no pattern that could vary: its variations are coloured on one half.
    return np.choose(texture, [(u < 0) & (variation > 0), stripes, checks, dots])


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    triples = zip(*np.broadcast_arrays(hue % 1.0, saturation, value), strict=True)
    return np.array([colorsys.hsv_to_rgb(*triple) for triple in triples], np.float32)


GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, index: np.ndarray, count: int) -> np.ndarray:
    """float64 [n, count] in [0, 1): row i depends on seed and index[i] alone."""
    return (_bits(seed, index, count, 1) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def noise(seed: int, index: np.ndarray, count: int) -> np.ndarray:
    """uint8 [n, count], independent of `uniform`: each 64 random bits give eight values."""
    bits = _bits(seed, index, -(-count // 8), 2).astype("<u8")
    return np.ascontiguousarray(bits).view(np.uint8)[:, :count]


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele et al. 2014): counters to 64 random bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _bits(seed: int, index: np.ndarray, count: int, stream: int) -> np.ndarray:
    """uint64 [n, count] from (seed, stream, index, position)."""
    root = _mix(np.array([seed], np.uint64) * GOLDEN + np.uint64(stream))
    start = _mix(root + (index.astype(np.uint64) + np.uint64(1)) * GOLDEN)
    return _mix(start[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN)
