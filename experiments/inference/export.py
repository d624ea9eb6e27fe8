"""`ilsvrc export`: a trained network for other runtimes, checked against the original.

Formats, all from pixels [b, h, w, c] on 0..255 in float32, of any batch size, Normalise included,
to logits (or images):

    savedmodel  a folder for TensorFlow and its servers; needs nothing beside TensorFlow
    onnx        FILE.onnx for ONNX Runtime and others; needs the extra `export`
    litert      FILE.tflite for phones and boards; float32, not quantised; needs TensorFlow only

Not supported: onnx and litert of networks of mixed precision (their runtimes lack some of its
operations on processors; export a float32 run), networks with dropout at inference (`monte_carlo`:
two calls differ, so nothing could be checked), training or quantisation in the exported file, and
exporting while KERAS_BACKEND is not tensorflow.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from experiments.errors import BadInput, FailedWork, first_line
from experiments.inference import export_metadata
from experiments.runtime.startup import load_tensorflow
from experiments.tracking.store import connect
from experiments.tracking.tracked_run import fetched_network, find_run

if TYPE_CHECKING:
    import keras

Format = Literal["savedmodel", "onnx", "litert"]
KERAS_NAMES = {"savedmodel": "tf_saved_model", "onnx": "onnx", "litert": "litert"}
SUFFIXES = {"savedmodel": "", "onnx": ".onnx", "litert": ".tflite"}
NEEDS = ("tf2onnx", "onnx", "onnxruntime")
IMAGES = 8  # random ones, on which original and exported file are compared
BOUND = 1e-4  # of max |exported - original| / max |original|
MIXED_BOUND = 2e-2  # the same for mixed precision: a few of the last of bfloat16's 8 bits


def export(
    given: str,
    kind: str,
    out: Path | None,
    uri: str,
    names_file: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the network of a run or a .keras file in another format, and check it.

    Args:
        given: a run id, or a .keras file.
        kind: savedmodel, onnx or litert.
        out: file, or folder for savedmodel; None: named by the network, in the current folder.
        uri: tracking store of the run.
        names_file: of its classes, as `evaluate.class_names`; None: the run's own.
        force: over another network's file, too.

    Returns:
        {"file", "format", "bytes", "network", "images", "max_relative_difference", "bound",
        "metadata"}, the last as `export_metadata.describe`

    Raises:
        BadInput: no such network, a format that it or this installation does not support, or the
            file is another network's.
        FailedWork: the exported file says something else than the original.
    """
    if kind not in get_args(Format):
        raise BadInput(f"--format: expected {', '.join(get_args(Format))}. Received: {kind}")
    if kind == "onnx" and (missing := [x for x in NEEDS if importlib.util.find_spec(x) is None]):
        raise BadInput(
            f"--format onnx needs {', '.join(missing)}; pip install 'ilsvrc-suite[export]'"
        )
    with tempfile.TemporaryDirectory(prefix="ilsvrc-export-") as folder:
        model, metadata = load(given, uri, names_file)
        bound = _bound(model, kind)
        target = _target(model.name, kind, out)
        if not force:
            export_metadata.check_overwriting(target, kind, metadata)
        work = Path(folder) / f"exported{SUFFIXES[kind]}"
        images, wanted = example(model)  # before exporting: Keras wants a model that was called
        try:
            with _quiet(), _inlined(kind):
                model.export(str(work), format=KERAS_NAMES[kind], verbose=False)
            export_metadata.write(work, kind, metadata)
            with _quiet():
                difference = furthest(RUNNERS[kind](work), images, wanted)
        except Exception as error:  # converters raise what they like
            raise FailedWork(f"export: {kind} of {model.name}: {first_line(error)}") from error
        if not difference <= bound:  # NaN, too
            raise FailedWork(
                f"export: {kind} of {model.name} differs from the original by {difference:.2g} "
                f"of its largest output, above {bound:g}; nothing was written"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
        shutil.move(work, target)
    return {
        "file": str(target),
        "format": kind,
        "bytes": sum(p.stat().st_size for p in [target, *target.rglob("*")] if p.is_file()),
        "network": model.name,
        "images": IMAGES,
        "max_relative_difference": difference,
        "bound": bound,
        "metadata": metadata,
    }


def text(done: dict[str, Any]) -> str:
    """The result for people."""
    return (
        f"Wrote {done['file']} ({done['bytes'] / 2**20:.1f} MiB); on {done['images']} images its "
        f"outputs are within {done['max_relative_difference']:.1e} of the original's largest "
        f"(allowed: {done['bound']:g})\n{export_metadata.text(done['metadata'])}"
    )


def load(given: str, uri: str, names_file: str | None) -> tuple[keras.Model, dict[str, Any]]:
    """The network of a .keras file, or of a run of the store, and what is known of it.

    Raises BadInput: there is none, or the file of names does not fit it.
    """
    if not given.endswith(".keras"):
        client = connect(uri)
        with fetched_network(client, given, "export") as path:
            model = _load(path, given)
            run = find_run(client, given)
            return model, export_metadata.describe(model, path, run, names_file)
    if not Path(given).is_file():
        raise BadInput(f"export: {given}: no such file")
    model = _load(Path(given), given)
    return model, export_metadata.describe(model, Path(given), None, names_file)


def _load(path: Path, given: str) -> keras.Model:
    load_tensorflow()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise BadInput(
            "export works on the tensorflow backend only. Received: KERAS_BACKEND="
            f"{keras.backend.backend()}; set KERAS_BACKEND=tensorflow"
        )
    from experiments.training.keras_file import load_network

    model = load_network(path, f"export: {given}")
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise BadInput(
            f"export: {given}: expected a network of images of one size, (h, w, c). "
            f"Received: {shape}"
        )
    return model


def example(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Random images [b, h, w, c] on 0..255, and what the model says of them."""
    images = np.random.default_rng(1).uniform(0, 255, (IMAGES, *model.input_shape[1:]))
    images = images.astype(np.float32)
    return images, np.asarray(model(images, training=False))


def furthest(
    run: Callable[[np.ndarray], np.ndarray], images: np.ndarray, wanted: np.ndarray
) -> float:
    """max |run(images) - wanted| / max |wanted|, on the batch and on its first image alone."""
    differences = [np.abs(run(part) - wanted[: len(part)]).max() for part in (images, images[:1])]
    return float(np.max(differences) / np.abs(wanted).max())


def _run_savedmodel(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda images: np.asarray(loaded.serve(images))


def _run_onnx(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: images})[0])


def _run_litert(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=str(path))
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(taken["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(given["index"]))

    return run


RUNNERS: dict[str, Callable[[Path], Callable[[np.ndarray], np.ndarray]]] = {
    "savedmodel": _run_savedmodel,
    "onnx": _run_onnx,
    "litert": _run_litert,
}


def _bound(model: keras.Model, kind: str) -> float:
    """The difference that is allowed. Raises BadInput where nothing can be exported or checked."""
    from models.layers.activations import MonteCarloDropout

    layers = list(model._flatten_layers())
    if any(isinstance(layer, MonteCarloDropout) for layer in layers):
        raise BadInput(
            f"export: {model.name} drops at inference (model.options.monte_carlo), so no two "
            "calls agree and the file could not be checked; export a run without it"
        )
    mixed = {x.dtype_policy.name for x in layers if x.dtype_policy.name.startswith("mixed")}
    if mixed and kind != "savedmodel":
        raise BadInput(
            f"export: {model.name} computes in {', '.join(sorted(mixed))}, which {kind} runtimes "
            "lack in part; export a run of train.precision=float32, or --format savedmodel"
        )
    return MIXED_BOUND if mixed else BOUND


def _target(name: str, kind: str, out: Path | None) -> Path:
    target = out or Path(f"{name}{SUFFIXES[kind] or '_savedmodel'}")
    if SUFFIXES[kind] and target.suffix != SUFFIXES[kind]:
        raise BadInput(f"--out: a {kind} file ends in {SUFFIXES[kind]}. Received: {target}")
    if target.is_dir() and (kind != "savedmodel" or not (target / "saved_model.pb").exists()):
        raise BadInput(f"--out: {target} is a folder with other things in it; name another")
    if kind == "savedmodel" and target.is_file():
        raise BadInput(f"--out: {target} is a file, and a SavedModel is a folder; name another")
    return target


@contextlib.contextmanager
def _inlined(kind: str) -> Iterator[None]:
    """Keras wraps grouped convolutions in a function of their own, which ONNX and LiteRT know no
    call of: within this, such functions become part of what is traced."""
    import tensorflow as tf

    if kind == "savedmodel":
        yield
        return
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters are chatty: their warnings and log lines are not about the user's network."""
    kept = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(kept)
