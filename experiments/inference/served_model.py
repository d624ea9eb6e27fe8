"""A network behind `mlflow models serve`: bytes of pictures in, labels and probabilities out.

Everything between the two is in here: decoding, turning upright, the centre crop, Normalise (which
the network itself holds) and the softmax; the same pixels as `ilsvrc predict`. MLflow calls
`_load_pyfunc` with a folder that `write` made; nothing is pickled.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

IMAGE = "image"
"""Name of the input column."""
TOP = 5
BATCH = 64
NETWORK, SETTINGS = "network.keras", "settings.json"


def write(
    folder: Path,
    network: Path,
    labels: Sequence[str],
    *,
    crop_fraction: float,
    gives_probabilities: bool,
    max_pixels: int,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Put what `_load_pyfunc` reads into a folder.

    Args:
        network: a .keras file from pixels [b, h, w, c] on 0..255 to scores [b, classes].
        labels: in the order of the classes.
        crop_fraction: of the centre crop, as in evaluation.
        gives_probabilities: the network ends in a softmax.
        max_pixels: height x width above which a picture is refused.
        titles: readable names by label, where there are any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(network, folder / NETWORK)
    settings = {
        "labels": list(labels),
        "crop_fraction": crop_fraction,
        "gives_probabilities": gives_probabilities,
        "max_pixels": max_pixels,
    }
    if titles:
        settings["titles"] = dict(titles)
    (folder / SETTINGS).write_text(json.dumps(settings), encoding="utf-8")


class ServedNetwork:
    """What MLflow serves."""

    def __init__(self, folder: Path):
        import tensorflow as tf

        from experiments.training.keras_file import load_network
        from pipelines.files.decode import decode_window
        from pipelines.views import CentreWindow

        self._settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        self._network = load_network(folder / NETWORK, NETWORK)
        _, height, width, channels = self._network.input_shape

        def view(contents: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
            window = CentreWindow((height, width), self._settings["crop_fraction"])
            return decode_window(contents, channels, window, orientation)

        signature = [tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)]
        self._view = tf.function(view, input_signature=signature, autograph=False)

    def predict(
        self, pictures: pd.DataFrame, params: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """A row a picture: label, probability, and labels and probabilities, best first; title,
        the readable name of label, where labels have some.

        Args:
            pictures: column `image` of JPEG, PNG, BMP, GIF, WebP or TIFF files, as bytes or as
                base64 text.
            params: top, how many labels are given (5), all where there are fewer.

        Raises:
            ValueError: a row holds no picture, or a parameter is wrong; the text says which.
        """
        top = _top(params)
        if not hasattr(pictures, "keys") or IMAGE not in pictures:
            received = list(pictures) if hasattr(pictures, "keys") else type(pictures).__name__
            raise ValueError(f"expected a table with a column {IMAGE}. Received: {received}")
        views = [self._pixels(given, row) for row, given in enumerate(pictures[IMAGE])]
        labels, titles = self._settings["labels"], self._settings.get("titles")
        answers = []
        for at in range(0, len(views), BATCH):
            for row in self._probabilities(np.stack(views[at : at + BATCH])):
                best = np.argsort(-row, kind="stable")[:top]
                answers.append(
                    {
                        "label": labels[best[0]],
                        "probability": float(row[best[0]]),
                        "labels": [labels[i] for i in best],
                        "probabilities": [float(row[i]) for i in best],
                    }
                    | ({"title": titles.get(labels[best[0]], "")} if titles else {})
                )
        return answers

    def _pixels(self, given: object, row: int) -> np.ndarray:
        """float32 [h, w, c] on 0..255."""
        import tensorflow as tf

        from pipelines.files.image_header import HeaderError, read_header

        try:
            contents = _contents(given)
            _, height, width, orientation = read_header(contents)
        except HeaderError as error:
            raise ValueError(f"{IMAGE} {row}: expected an image file; it {error}") from None
        if height * width > self._settings["max_pixels"]:
            raise ValueError(
                f"{IMAGE} {row}: {height} x {width} pixels; this model takes at most "
                f"{self._settings['max_pixels']}"
            )
        try:
            return np.asarray(self._view(contents, orientation))
        except tf.errors.OpError:
            raise ValueError(f"{IMAGE} {row}: a truncated or damaged file") from None

    def _probabilities(self, views: np.ndarray) -> np.ndarray:
        from experiments.metrics import softmax

        scores = np.asarray(self._network.predict_on_batch(views), np.float32)
        return scores if self._settings["gives_probabilities"] else softmax(scores)


def _top(params: Mapping[str, Any] | None) -> int:
    """The parameters, of which there is one."""
    given = dict(params or {})
    top = given.pop("top", TOP)
    if given:
        raise ValueError(f"{', '.join(map(str, given))}: no such parameter; there is top")
    if isinstance(top, bool) or not isinstance(top, int | np.integer) or top < 1:
        raise ValueError(f"top: expected a whole number from 1. Received: {top!r}")
    return int(top)


def _contents(given: object) -> bytes:
    """Of a file. Raises HeaderError: a cell that holds none."""
    from pipelines.files.image_header import HeaderError

    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if not isinstance(given, str):  # bytes(5) would be five zeros
        raise HeaderError(f"is neither bytes nor base64 text. Received: {given!r:.60}")
    try:
        return base64.b64decode(given, validate=True)
    except ValueError as error:
        raise HeaderError(f"is text that is not base64: {error}") from None


def _load_pyfunc(folder: str) -> ServedNetwork:
    return ServedNetwork(Path(folder))
