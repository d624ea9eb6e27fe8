"""Grad-CAM: which positions of the last feature map speak for a class.

Selvaraju et al. 2017 (arXiv:1610.02391), section 3: the map's channels weighted by the mean
gradient of the class score, summed, negative parts cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.errors import BadInput
from experiments.inference import layerwise
from experiments.presentation.figure_style import INK, new_figure, save_picture
from experiments.presentation.formatting import shortened
from pipelines.resize import centre_geometry, resized_sides

PASSED_OVER = ("Pooling", "Subsampling", "Dropout", "ZeroPadding", "Normalise")
"""Kinds of layers whose maps only repeat or shrink those before them."""
INCHES, LEAST_PIXELS, MOST_PIXELS = 3.2, 512, 2048  # of the longer side of a picture


class Explainer:
    """The heat maps of a functional classifier of images.

    Raises:
        BadInput: it has no feature maps, or Keras runs on another backend than TensorFlow.
    """

    def __init__(self, model: keras.Model) -> None:
        if keras.backend.backend() != "tensorflow":
            raise BadInput(
                "--explain needs gradients by TensorFlow; set KERAS_BACKEND=tensorflow. "
                f"Received: {keras.backend.backend()}"
            )
        self.model = model
        self.layer = last_maps(model)

    def heat(self, image: np.ndarray, index: int) -> np.ndarray:
        """What speaks for class `index`: float32 [h', w'] of 0..1, all 0 where nothing does.

        Args:
            image: float [h, w, c] on 0..255, as the network takes it.
        """
        import tensorflow as tf

        maps: list[Any] = []

        def watch(layer: Any, arguments: Any, keywords: Any) -> Any:
            made = layer(*arguments, **keywords)
            if layer is self.layer:
                maps.append(made)
            return made

        with tf.GradientTape() as tape:
            pixels = tf.convert_to_tensor(image[None], tf.float32)
            tape.watch(pixels)  # the weights may be frozen
            [scores] = layerwise.forward(self.model, [pixels], watch)
            score = scores[0, index]
        gradient = np.asarray(tf.cast(tape.gradient(score, maps[-1]), tf.float32))[0]
        values = np.asarray(tf.cast(maps[-1], tf.float32))[0]
        heat = np.maximum((values * gradient.mean(axis=(0, 1))).sum(axis=-1), 0.0)
        return np.asarray(heat / heat.max() if heat.max() > 0 else heat, np.float32)


def last_maps(model: keras.Model) -> Any:
    """The layer that gives the last feature map: no pooling, and more than one position.

    Raises:
        BadInput: there is none.
    """
    try:
        nodes = layerwise.steps(model)
    except (AttributeError, TypeError):
        nodes = []
    for node in reversed(nodes):
        shape = tuple(node.outputs[0].shape)
        kind = type(node.operation).__name__
        if len(shape) != 4 or any(word in kind for word in PASSED_OVER):
            continue
        if shape[1] * shape[2] > 1:
            return node.operation
    raise BadInput(f"--explain: {model.name} has no feature maps to look at")


Window = tuple[float, float, float, float]


def crop_window(shape: Sequence[int], size: tuple[int, int], crop_fraction: float) -> Window:
    """Where the centre crop lies in a photograph: top, left, height, width in its own pixels.

    Args:
        shape: height and width of the photograph.
        size: height and width that the network takes.
        crop_fraction: as in evaluation.
    """
    sides = resized_sides(size, crop_fraction)
    scale, origin = (np.asarray(x, float) for x in centre_geometry(shape[:2], size, sides))
    return (*(origin / scale).tolist(), *(size / scale).tolist())


def draw(
    photograph: np.ndarray, window: Window, heat: np.ndarray, name: str, title: str, path: Path
) -> None:
    """Save a PNG: the photograph at its own resolution, and beside it the heat map on the part
    that the network saw, the rest pale. Small pictures are enlarged, larger ones than MOST_PIXELS
    shrunk.

    Args:
        photograph: uint8 [h, w, 1 or 3].
        window: that part of it, as `crop_window`.
        heat: float [h', w'] on 0..1.
        name, title: above the left and the right picture, each line cut to its width.
    """
    import tensorflow as tf
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    height, width = photograph.shape[:2]
    longest = max(height, width)
    zoom = min(max(1, round(LEAST_PIXELS / longest)), MOST_PIXELS / longest)
    tall, wide = round(zoom * height), round(zoom * width)
    dpi = max(tall, wide) / INCHES  # letters grow with the picture
    panel, edge, above = max(wide, round(dpi * 1.7)), round(0.1 * dpi), round(0.45 * dpi)
    whole = 2 * panel + 3 * edge + round(0.6 * dpi), tall + edge + above
    figure = new_figure(whole[0] / dpi, whole[1] / dpi, dpi)

    def axes_at(left: int, across: int) -> Any:
        box = left / whole[0], edge / whole[1], across / whole[0], tall / whole[1]
        return figure.add_axes(box)

    left, right = axes_at(edge, panel), axes_at(2 * edge + panel, panel)
    rgb = photograph if photograph.shape[-1] == 3 else np.repeat(photograph, 3, axis=-1)
    left.imshow(rgb)
    right.imshow((0.35 * rgb + 0.65 * 255).astype(np.uint8))
    top, start, down, across = window
    seen = Rectangle((start - 0.5, top - 0.5), across, down, fill=False, edgecolor=INK, lw=0.4)
    right.add_patch(seen)
    right.imshow(rgb).set_clip_path(seen)
    shape = max(1, round(zoom * down)), max(1, round(zoom * across))
    smooth = np.asarray(tf.image.resize(heat[..., None], shape, "bicubic"))[..., 0]
    strength = np.clip(smooth, 0, 1)
    extent = (start - 0.5, start + across - 0.5, top + down - 0.5, top - 0.5)
    right.imshow(strength, "YlOrRd", alpha=0.75 * strength, vmin=0, vmax=1, extent=extent)
    right.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), "YlOrRd"),
        cax=axes_at(3 * edge + 2 * panel, round(0.1 * dpi)),
        ticks=[0, 1],
    )
    bar.ax.set_yticklabels(["none", "most"], fontsize=7)
    if not heat.any():
        title += " (no position speaks for it)"
    letters = int(15 * panel / dpi)
    for axes, text in ((left, name), (right, title)):
        lines = [shortened(line, letters, "…") for line in text.split("\n")]
        axes.set_title("\n".join(lines), fontsize=8)
        axes.set_axis_off()
    save_picture(figure, path)
