"""What an exported file says of itself: whose network, its classes, and what it takes and gives.

savedmodel  assets.extra/metadata.json in its folder, where TensorFlow keeps what is not its own
onnx        metadata_props, an entry a key; what is no text as JSON
litert      metadata.json and labels.txt, packed behind the model: `unzip FILE.tflite` has them
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import BadInput
from experiments.inference.class_names import known_names, titles
from experiments.inference.loading import CLASS_NAMES, CLASS_TITLES, Network, ends_in_softmax
from experiments.jobs.dataset import PHOTOGRAPH_CROP
from experiments.tracking.tracked_run import TrackedRun
from pipelines.resize import resized_sides

if TYPE_CHECKING:
    import keras

FILE = "metadata.json"
EXTRA = f"assets.extra/{FILE}"
BATCH = "batch"
"""Name of an ONNX file's first dimension."""


def describe(
    model: keras.Model, file: Path, run: TrackedRun | None, names_file: str | None
) -> dict[str, Any]:
    """Of a network in a .keras file, which may be a run's.

    network, run_id (null for a file), network_sha256 (of the .keras file), class_names in the order
    of the outputs and class_titles (null and {} where not known), input, preprocessing, output
    (logits, probabilities or images); card of a final network, which was never tested.

    Args:
        names_file: as `evaluate.class_names`; it wins over what the run knows.

    Raises:
        BadInput: that file does not fit.
    """
    _, height, width, channels = model.input_shape
    classifies = len(model.output_shape) == 2
    names: list[str] | None = None
    readable: dict[str, str] = {}
    if classifies:
        names, readable = _classes(model, run, names_file)
    crop = PHOTOGRAPH_CROP
    with contextlib.suppress(BadInput):
        crop = (run and run.config.data.crop_fraction) or crop
    softmax = classifies and ends_in_softmax(model)
    return {
        "network": model.name,
        "run_id": run and run.id,
        "network_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "class_names": names,
        "class_titles": readable,
        "input": {
            "name": model.inputs[0].name,
            "layout": "NHWC",
            "dtype": "float32",
            "range": [0, 255],
            "height": height,
            "width": width,
            "channels": {1: "grey", 3: "RGB"}.get(channels, channels),
        },
        "preprocessing": {
            "orientation": "upright, as EXIF has it",
            "resize_to_cover": list(resized_sides((height, width), crop)),
            "interpolation": "bilinear, half-pixel centres, antialiased where it shrinks",
            "crop": "centre",
            "crop_size": [height, width],
            "crop_fraction": crop,
            "normalisation": "none: the network does it",
        },
        "output": ("probabilities" if softmax else "logits") if classifies else "images",
        **({"card": run.card} if run and run.card else {}),
    }


def _classes(
    model: keras.Model, run: TrackedRun | None, names_file: str | None
) -> tuple[list[str] | None, dict[str, str]]:
    kept, of_run = (
        json.loads((run.text_if_any(file) if run else None) or "null")
        for file in (CLASS_NAMES, CLASS_TITLES)
    )
    network = Network(model.name, model, class_names=kept, run=run)
    names = None
    try:
        names = known_names(network, names_file, [])
    except BadInput:
        if names_file is not None:
            raise
    if names is None or len(names) != network.classes:
        return None, {}
    return list(names), titles(names, names_file, of_run or {})


def text(metadata: Mapping[str, Any]) -> str:
    """The same for people, in one line."""
    taken, view = metadata["input"], metadata["preprocessing"]
    names = metadata["class_names"]
    classes = f"{len(names)} class names" if names else "no class names"
    if not names and metadata["output"] != "images":
        classes += " (evaluate.class_names=FILE gives them)"
    height, width = view["resize_to_cover"]
    card = f"; {metadata['card']}" if "card" in metadata else ""
    return (
        f"It says of itself: {classes}; {taken['channels']} pixels 0..255, resized to cover "
        f"{height} x {width}, centre {taken['height']} x {taken['width']}; {metadata['output']}"
        f"{card}"
    )


def write(path: Path, kind: str, metadata: Mapping[str, Any]) -> None:
    """Put it into a file that Keras has exported."""
    document = json.dumps(metadata, indent=1)
    if kind == "savedmodel":
        (path / EXTRA).parent.mkdir()
        (path / EXTRA).write_text(document + "\n", encoding="utf-8")
    elif kind == "litert":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(FILE, document)
            if names := metadata["class_names"]:
                archive.writestr("labels.txt", "".join(f"{name}\n" for name in names))
    else:
        onnx = importlib.import_module("onnx")
        model = onnx.load(str(path))
        entries = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in metadata.items()
        }
        onnx.helper.set_model_props(model, entries)
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_param = BATCH
        onnx.save(model, str(path))


def read(path: Path, kind: str) -> dict[str, Any] | None:
    """What `write` has written; None of a file without it."""
    try:
        if kind == "savedmodel":
            document = json.loads((path / EXTRA).read_text(encoding="utf-8"))
        elif kind == "litert":
            with zipfile.ZipFile(path) as archive:
                document = json.loads(archive.read(FILE))
        else:
            model = importlib.import_module("onnx").load(str(path))
            document = {entry.key: _value(entry.value) for entry in model.metadata_props}
    except Exception:  # any file may be there, and each format has errors of its own
        return None
    return document if isinstance(document, dict) and "network_sha256" in document else None


def _value(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text


def check_overwriting(path: Path, kind: str, metadata: Mapping[str, Any]) -> None:
    """Refuse to write over another run's file, or over one that does not say whose it is.

    Raises:
        BadInput: it is such a file.
    """
    if not path.exists():
        return
    before = read(path, kind)
    keys = "run_id", "network_sha256"
    if before is None:
        holds = "a network that does not say whose it is"
    elif {before.get(key) for key in keys} & {metadata[key] for key in keys} - {None}:
        return
    else:
        whose = f"run {before['run_id'][:8]}" if before.get("run_id") else "another .keras file"
        holds = f"the network {before.get('network')} of {whose}"
    raise BadInput(f"{path} holds {holds}: name another with --out, or add --force")
