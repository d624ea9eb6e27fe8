"""Augmentation recipes as data: named presets, checking, and one line of text for the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.augment.colour import Colours
from pipelines.augment.declaration import Step
from pipelines.augment.ops import OPS, op_of
from pipelines.errors import nearest
from pipelines.lazy import tf

COLOUR_OPS = tuple(name for name, op in OPS.items() if op.rgb_only)

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


@dataclass(frozen=True, eq=False)
class Recipe:
    """How an image of a source becomes one that a network is trained on.

    size           (height, width) of the network
    steps          of the augmentation, in order; every default is filled in
    colours        of the training part; None will do where no step takes any
    seed           of every draw of a step; in a graph it may be a tensor, and so may colours
    crop_fraction  of the view, where no step crops (`resize.resize_centre`)
    transfer       what crosses to the device: float32, or uint8: whole grey levels, a quarter of
                   the bytes. pca_jitter, then the last step, is left to the device and the images
                   are a pair (uint8 [b, *size, c], float32 [b, c] to be added to them)
    antialias      training windows of more than twice `size`; off, all are plain bilinear
    Raises ValueError for bad steps or another transfer.
    """

    size: tuple[int, int]
    steps: Sequence[Step] = ()
    colours: Colours | None = None
    seed: int | tf.Tensor = 0
    crop_fraction: float = 1.0
    transfer: str = "float32"
    antialias: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", check_steps(self.steps))
        if self.transfer not in ("float32", "uint8"):
            raise ValueError(
                f"data.transfer: expected float32 or uint8, received {self.transfer!r}"
            )
        if self.transfer == "uint8" and any(op_of(step).on_device for step in self.steps[:-1]):
            names = ", ".join(step["op"] for step in self.steps)
            raise ValueError(
                "data.transfer: uint8 leaves pca_jitter to the device, which comes after all else: "
                f"make it the last step of augment, received {names}"
            )

    @property
    def mixes(self) -> bool:
        """Are images of a batch mixed, and their labels?"""
        return any(op_of(step).on == "batch" for step in self.steps)

    @property
    def plain(self) -> bool:
        """Is nothing drawn for single images?"""
        return all(op_of(step).on == "batch" for step in self.steps)

    @property
    def offsets_apart(self) -> bool:
        """Do batches cross to the device as images and colours to be added there?"""
        return self.transfer == "uint8" and any(op_of(step).on_device for step in self.steps)


def check_steps(steps: Sequence[Step]) -> tuple[dict[str, Any], ...]:
    """The steps with every default filled in, in the order in which they run.

    At most one crop; those drawn before decoding come first, those of whole batches last.
    Raises ValueError that names the step, what was expected and the nearest known word.
    """
    checked: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        name = str(step.get("op"))
        if name not in OPS:
            raise ValueError(
                f"augmentation step {number}: unknown op {name!r}{nearest(name, OPS)}; "
                f"expected one of {', '.join(OPS)}"
            )
        op, before = OPS[name], OPS[checked[-1]["op"]] if checked else None
        settings = {key: value for key, value in step.items() if key != "op"}
        known = op.settings
        for key in settings:
            if key not in known:
                raise ValueError(
                    f"augmentation step {number}, {name}: unknown setting {key!r}"
                    f"{nearest(key, known)}; expected {', '.join(known)}"
                )
        full = {key: parameter.default for key, parameter in known.items()} | settings
        try:
            op.check_settings(full)
        except ValueError as error:
            raise ValueError(f"augmentation step {number}, {name}: {error}") from None
        checked.append({"op": name} | {k: v for k, v in full.items() if v is not None})
        if sum(OPS[done["op"]].crop for done in checked) > 1:
            raise ValueError(
                f"augmentation step {number}, {name}: a recipe has one crop, received a second; "
                "remove one"
            )
        if op.on == "window" and before:
            raise ValueError(
                f"augmentation step {number}, {name}: expected as the first step, since only its "
                f"window of the image is decoded; received after {before.name}"
            )
        if op.on != "batch" and before and before.on == "batch":
            raise ValueError(
                f"augmentation step {number}, {name}: expected before {before.name}, which mixes "
                "whole batches; move it up"
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
