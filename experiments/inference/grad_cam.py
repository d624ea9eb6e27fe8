"""Grad-CAM: which positions of the last feature map speak for a class.

Selvaraju et al. 2017 (arXiv:1610.02391), section 3: the map's channels weighted by the mean
gradient of the class score, summed, negative parts cut off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from experiments.errors import BadInput
from experiments.inference import layerwise
from experiments.presentation.figure_style import new_figure, save_picture
from experiments.presentation.formatting import shortened

PASSED_OVER = ("Pooling", "Subsampling", "Dropout", "ZeroPadding", "Normalise")
"""Kinds of layers whose maps only repeat or shrink those before them."""
DPI = 160


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


def draw(image: np.ndarray, heat: np.ndarray, name: str, title: str, path: Path) -> None:
    """Save a PNG: what the network saw, and the same under its heat map.

    Args:
        image: float [h, w, 1 or 3] on 0..255.
        heat: float [h', w'] on 0..1.
        name, title: above the left and the right picture.
    """
    import tensorflow as tf
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    height, width = image.shape[:2]
    figure = new_figure(6.4, 3.2 * height / width + 0.5, DPI, "constrained")
    shown = np.clip(image, 0, 255).astype(np.uint8)
    grey = shown if shown.shape[-1] == 3 else np.repeat(shown, 3, axis=-1)
    smooth = np.asarray(tf.image.resize(heat[..., None], (height, width), "bicubic"))[..., 0]
    left, right = figure.subplots(1, 2)
    left.imshow(grey)
    right.imshow(grey)
    strength = np.clip(smooth, 0, 1)
    right.imshow(strength, cmap="YlOrRd", alpha=0.75 * strength, vmin=0, vmax=1)
    scale = ScalarMappable(Normalize(0, 1), "YlOrRd")
    bar = figure.colorbar(scale, ax=right, ticks=[0, 1], fraction=0.046, pad=0.02)
    bar.ax.set_yticklabels(["none", "most"], fontsize=7)
    if not heat.any():
        title += "\n(no position speaks for it)"
    for axes, text in ((left, name), (right, title)):
        axes.set_title(shortened(text, 44, "…"), fontsize=8)
        axes.set_axis_off()
    save_picture(figure, path)
