"""Networks out of .keras files, which may come from anybody: nothing in them is run.

Keras's safe mode refuses code (Lambda layers of Python bytecode) and names of functions outside
Keras; a layer of the user's own can be loaded once it is registered, which is code that is here.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from experiments.errors import BadInput, first_line
from experiments.runtime.startup import load_keras

TEXTS = {"config.json": 16 * 1024**2, "metadata.json": 1024**2}
"""Bytes that these may be: the largest published networks are described in two million."""
INFLATES = 100
"""Times that other files may be larger than packed; weights hardly shrink at all."""
SMALL = 64 * 1024**2  # bytes that any of those may be


def load_network(path: Path, title: str) -> Any:
    """The uncompiled keras.Model of a .keras file.

    Args:
        title: how the file is called in errors.

    Raises:
        BadInput: no Keras model, or one that brings code along.
    """
    load_keras()
    import keras

    import models.layers  # noqa: F401  (registers what saved networks are made of)

    try:
        # The archive must be one: load_model takes other things by their name.
        if path.suffix != ".keras":
            raise ValueError("its name does not end in .keras")
        _check_sizes(path)
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(network, keras.Model) or network.output is None:
            raise ValueError(f"it holds a {type(network).__name__}")
        return network
    except Exception as error:  # a damaged or hostile file raises nearly anything
        if _brings_code(error):
            raise BadInput(
                f"{title}: holds Python code (a Lambda layer), which is never run: a file may come "
                "from anybody; save the network again with a layer of Keras or of models/layers"
            ) from None
        raise BadInput(
            f"{title}: no Keras model that can be loaded ({first_line(error)[:300]})"
        ) from None


def _check_sizes(path: Path) -> None:
    """Raises ValueError for an archive of which a small file would fill the memory."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            limit = TEXTS.get(entry.filename, max(SMALL, INFLATES * entry.compress_size))
            if entry.file_size > limit:
                raise ValueError(
                    f"{entry.filename} in it would be {entry.file_size:,} bytes when unpacked, "
                    f"where {limit:,} are allowed"
                )


def _brings_code(error: BaseException) -> bool:
    """Keras says so in words only, which it may wrap into another error."""
    return "safe_mode=False" in str(error) or "enable_unsafe_deserialization" in str(error)
