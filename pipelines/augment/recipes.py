"""Augmentation recipes as data: named presets, checking, and one line of text for the records."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.errors import nearest

Step = Mapping[str, Any]

FILLS = ("mean", "edge", "reflect")

ERASERS = ("random", "mean")


def _pad_and_crop(*, padding: int = 4) -> None:
    _demand(padding == int(padding) and padding >= 0, "padding", "a whole number from 0", padding)


def _random_resized_crop(
    *, scale: Sequence[float] = (0.08, 1.0), ratio: Sequence[float] = (3 / 4, 4 / 3)
) -> None:
    _demand(_ordered(scale, 0.0) and scale[1] <= 1.0, "scale", "[low, high] within 0..1", scale)
    _demand(_ordered(ratio, 0.0), "ratio", "[low, high] above 0", ratio)


def _scale_and_crop(
    *, short_side: Sequence[int] = (256, 480), reference: int | None = None
) -> None:
    """`reference`: the network size that short_side is meant for; None = pixels as they are."""
    _demand(_ordered(short_side, 0), "short_side", "[low, high] above 0", short_side)
    if reference is not None:
        _demand(
            0 < reference <= short_side[0], "reference", "a size up to short_side[0]", reference
        )


def _flip(*, probability: float = 0.5) -> None:
    _probable(probability)


def _right_angles(*, probability: float = 0.75) -> None:
    _probable(probability)


def _translate(*, fraction: float = 0.1, fill: str = "reflect", probability: float = 1.0) -> None:
    _demand(0.0 <= fraction <= 1.0, "fraction", "a number within 0..1", fraction)
    _geometric(fill, probability)


def _rotate(*, degrees: float = 15.0, fill: str = "reflect", probability: float = 1.0) -> None:
    _demand(0.0 <= degrees <= 180.0, "degrees", "a number within 0..180", degrees)
    _geometric(fill, probability)


def _stretch(
    *, factor: Sequence[float] = (0.8, 1.25), fill: str = "reflect", probability: float = 1.0
) -> None:
    _demand(_ordered(factor, 0.0), "factor", "[low, high] above 0", factor)
    _geometric(fill, probability)


def _shear(*, degrees: float = 10.0, fill: str = "reflect", probability: float = 1.0) -> None:
    _demand(0.0 <= degrees < 90.0, "degrees", "a number from 0 to below 90", degrees)
    _geometric(fill, probability)


def _lens_distortion(
    *, strength: float = 0.2, fill: str = "reflect", probability: float = 1.0
) -> None:
    _demand(0.0 <= strength < 1 / 3, "strength", "a number from 0 to below 1/3", strength)
    _geometric(fill, probability)


def _colour_factor(*, factor: Sequence[float] = (0.5, 1.5), probability: float = 1.0) -> None:
    good = len(factor) == 2 and 0.0 <= factor[0] <= factor[1] < math.inf
    _demand(good, "factor", "[low, high] from 0", factor)
    _probable(probability)


def _hue(*, shift: float = 0.2, probability: float = 1.0) -> None:
    _demand(0.0 <= shift <= 0.5, "shift", "a part of the colour circle within 0..0.5", shift)
    _probable(probability)


def _pca_jitter(*, sigma: float = 0.1) -> None:
    _demand(0.0 <= sigma < math.inf, "sigma", "a number from 0", sigma)


def _random_erasing(
    *,
    area: Sequence[float] = (0.02, 0.4),
    ratio: Sequence[float] = (0.3, 1 / 0.3),
    fill: str = "random",
    probability: float = 0.5,
) -> None:
    _demand(_ordered(area, 0.0) and area[1] <= 1.0, "area", "[low, high] within 0..1", area)
    _demand(_ordered(ratio, 0.0), "ratio", "[low, high] above 0", ratio)
    _demand(fill in ERASERS, "fill", f"one of {', '.join(ERASERS)}", fill)
    _probable(probability)


def _mixup(*, alpha: float = 0.2, probability: float = 1.0) -> None:
    _demand(0.0 < alpha < math.inf, "alpha", "a number above 0", alpha)
    _probable(probability)


def _cutmix(*, alpha: float = 1.0, probability: float = 1.0) -> None:
    _demand(0.0 < alpha < math.inf, "alpha", "a number above 0", alpha)
    _probable(probability)


# The checkers' signatures are the one place where a recipe's settings and defaults are written.
OPS: dict[str, Callable[..., None]] = {
    "pad_and_crop": _pad_and_crop,
    "random_resized_crop": _random_resized_crop,
    "scale_and_crop": _scale_and_crop,
    "horizontal_flip": _flip,
    "vertical_flip": _flip,
    "right_angles": _right_angles,
    "translate": _translate,
    "rotate": _rotate,
    "stretch": _stretch,
    "shear": _shear,
    "lens_distortion": _lens_distortion,
    "brightness": _colour_factor,
    "contrast": _colour_factor,
    "saturation": _colour_factor,
    "hue": _hue,
    "pca_jitter": _pca_jitter,
    "random_erasing": _random_erasing,
    "mixup": _mixup,
    "cutmix": _cutmix,
}

BATCH_OPS = ("mixup", "cutmix")

CROPS = ("pad_and_crop", "random_resized_crop", "scale_and_crop")

WINDOW_CROPS = ("random_resized_crop", "scale_and_crop")  # drawn before the image is decoded

COLOUR_OPS = ("saturation", "hue", "pca_jitter")  # of RGB images only

_FLIP = {"op": "horizontal_flip", "probability": 0.5}

_PCA = {"op": "pca_jitter", "sigma": 0.1}

PRESETS: dict[str, tuple[Step, ...]] = {
    "none": (),
    # ResNet paper, section 4.2.
    "cifar": ({"op": "pad_and_crop", "padding": 4}, _FLIP),
    # AlexNet, section 4.1; windows of the whole image, not only of its central square.
    "alexnet": ({"op": "scale_and_crop", "short_side": [256, 256], "reference": 224}, _FLIP, _PCA),
    # VGG, section 3.1: multi-scale training.
    "vgg": ({"op": "scale_and_crop", "short_side": [256, 512], "reference": 224}, _FLIP, _PCA),
    # Szegedy et al. 2015, section 6.
    "inception": (
        {"op": "random_resized_crop", "scale": [0.08, 1.0], "ratio": [3 / 4, 4 / 3]},
        _FLIP,
    ),
    # ResNet paper, section 3.4.
    "resnet": ({"op": "scale_and_crop", "short_side": [256, 480], "reference": 224}, _FLIP, _PCA),
}


def check_steps(steps: Sequence[Step]) -> tuple[dict[str, Any], ...]:
    """The steps with every default filled in, in the order in which they run.

    At most one crop; those drawn before decoding come first, those of whole batches last.
    Raises ValueError that names the step, what was expected and the nearest known word.
    """
    checked = []
    for number, step in enumerate(steps):
        name = str(step.get("op"))
        if name not in OPS:
            raise ValueError(
                f"augmentation step {number}: unknown op {name!r}{nearest(name, OPS)}; "
                f"expected one of {', '.join(OPS)}"
            )
        settings = {key: value for key, value in step.items() if key != "op"}
        known = inspect.signature(OPS[name]).parameters
        for key in settings:
            if key not in known:
                raise ValueError(
                    f"augmentation step {number}, {name}: unknown setting {key!r}"
                    f"{nearest(key, known)}; expected {', '.join(known)}"
                )
        full = {key: parameter.default for key, parameter in known.items()} | settings
        try:
            OPS[name](**full)
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(f"augmentation step {number}, {name}: {error}") from None
        checked.append({"op": name} | {k: v for k, v in full.items() if v is not None})
        if sum(done["op"] in CROPS for done in checked) > 1:
            raise ValueError(
                f"augmentation step {number}, {name}: a recipe has one crop, received a second; "
                "remove one"
            )
        if name in WINDOW_CROPS and number > 0:
            raise ValueError(
                f"augmentation step {number}, {name}: expected as the first step, since only its "
                f"window of the image is decoded; received after {checked[number - 1]['op']}"
            )
        if number > 0 and name not in BATCH_OPS and checked[number - 1]["op"] in BATCH_OPS:
            raise ValueError(
                f"augmentation step {number}, {name}: expected before "
                f"{checked[number - 1]['op']}, which mixes whole batches; move it up"
            )
    return tuple(checked)


def render(steps: Sequence[Step]) -> str:
    """One line: "pad_and_crop(padding=4) | horizontal_flip(probability=0.5)"; "none" if empty."""
    parts = []
    for step in check_steps(steps):
        settings = ", ".join(f"{k}={_text(v)}" for k, v in step.items() if k != "op")
        parts.append(f"{step['op']}({settings})")
    return " | ".join(parts) or "none"


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_text(item) for item in value) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _ordered(pair: Sequence[float], above: float) -> bool:
    return len(pair) == 2 and above < pair[0] <= pair[1]


def _probable(probability: float) -> None:
    _demand(0.0 <= probability <= 1.0, "probability", "a number within 0..1", probability)


def _geometric(fill: str, probability: float) -> None:
    _demand(fill in FILLS, "fill", f"one of {', '.join(FILLS)}", fill)
    _probable(probability)


def _demand(good: bool, name: str, expected: str, received: object) -> None:
    if not good:
        raise ValueError(f"{name}: expected {expected}, received {received!r}")
