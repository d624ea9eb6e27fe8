"""From the steps of a recipe to the functions that run: one table, by the name of the step."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.augment import colour, crops, erasing, geometry
from pipelines.augment.colour import Colours, pca_offset, shift
from pipelines.augment.crops import Window
from pipelines.augment.draws import Drawn, Op
from pipelines.augment.geometry import mirror, mirrored
from pipelines.augment.recipes import Step

Size = tuple[int, int]

# Crops that are drawn before decoding, so that only their window is decoded.
WINDOWS: dict[str, Callable[[Step, Size], Window]] = {
    "random_resized_crop": lambda s, size: crops.inception_window(s["scale"], s["ratio"]),
    "scale_and_crop": lambda s, size: crops.scale_window(size, _short_side(s, size)),
}

OPS: dict[str, Callable[[Step, Size, Colours], Op]] = {
    "pad_and_crop": lambda s, size, of: crops.pad_and_crop(size, s["padding"], of.mean),
    "right_angles": lambda s, size, of: geometry.right_angles(s["probability"]),
    "translate": lambda s, size, of: geometry.translate(s["fraction"], *_rest(s, of)),
    "rotate": lambda s, size, of: geometry.rotate(s["degrees"], *_rest(s, of)),
    "stretch": lambda s, size, of: geometry.stretch(s["factor"], *_rest(s, of)),
    "shear": lambda s, size, of: geometry.shear(s["degrees"], *_rest(s, of)),
    "lens_distortion": lambda s, size, of: geometry.lens_distortion(s["strength"], *_rest(s, of)),
    "brightness": lambda s, size, of: colour.brightness(s["factor"], s["probability"]),
    "contrast": lambda s, size, of: colour.contrast(s["factor"], s["probability"]),
    "saturation": lambda s, size, of: colour.saturation(s["factor"], s["probability"]),
    "hue": lambda s, size, of: colour.hue(s["shift"], s["probability"]),
    "random_erasing": lambda s, size, of: erasing.random_erasing(
        s["area"], s["ratio"], of.mean if s["fill"] == "mean" else None, s["probability"]
    ),
}

# Ops whose draws can be made before there is an image: drawn(key), and op(image, drawn).
APART: dict[str, Callable[[Step, Colours], tuple[Drawn, Op]]] = {
    "horizontal_flip": lambda s, of: (mirrored(s["probability"]), mirror(1)),
    "vertical_flip": lambda s, of: (mirrored(s["probability"]), mirror(0)),
    "pca_jitter": lambda s, of: (
        pca_offset(s["sigma"], of.eigenvalues, of.eigenvectors),
        shift,
    ),
}


def make_window(step: Step, size: Size) -> Window:
    """The window(shape, key) of a checked step whose name is in WINDOWS."""
    return WINDOWS[step["op"]](step, size)


def make_apart(step: Step, colours: Colours) -> tuple[Drawn, Op]:
    """drawn(key) and op(image, drawn) of a checked step whose name is in APART."""
    return APART[step["op"]](step, colours)


def make(step: Step, size: Size, colours: Colours) -> Op:
    """The op(image, key) of a checked step whose name is in OPS, on images of `size`."""
    return OPS[step["op"]](step, size, colours)


def _rest(step: Step, colours: Colours) -> tuple[geometry.Fill, float]:
    """What all geometric ops share: what lies outside, and how often."""
    fill = colours.mean if step["fill"] == "mean" else step["fill"]
    return fill, step["probability"]


def _short_side(step: Step, size: Size) -> list[int]:
    """In pixels of this network: a recipe for a 224 network keeps its proportions at 32."""
    reference = step.get("reference")
    if reference is None:
        return list(step["short_side"])
    return [round(side * max(size) / reference) for side in step["short_side"]]
