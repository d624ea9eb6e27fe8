"""`ilsvrc export`: every format read back by its own runtime, and what is refused."""

from __future__ import annotations

import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from command import inside
from fake_store import FakeStore

import models
from experiments.errors import BadInput, FailedWork
from experiments.inference import export, export_metadata
from models.layers.normalizations import Normalise

STORE = "sqlite:///mlflow.db"


def deployed(network: Any) -> keras.Model:
    """As runs save it: pixels of 0..255, normalised inside."""
    pixels = keras.Input(network.input_shape[1:], name="pixels")
    normalise = Normalise(name="normalise")
    model = keras.Model(pixels, network(normalise(pixels)), name=network.name)
    normalise.mean.assign(np.full(normalise.mean.shape, 120.0))
    normalise.scale.assign(np.full(normalise.scale.shape, 70.0))
    return model


def grouped() -> keras.Model:
    """Two convolutions, one in two groups as AlexNet's, and a local response normalisation."""
    images = keras.Input((12, 10, 2), name="images")
    x = keras.layers.Conv2D(6, 3, strides=2, activation="relu")(images)
    x = models.layers.LocalResponseNormalization()(x)
    x = keras.layers.Conv2D(4, 3, groups=2)(x)
    x = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    return keras.Model(images, x, name="grouped")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A .keras file, images, and what the network says of them."""
    keras.utils.set_random_seed(5)
    model = deployed(grouped())
    path = tmp_path_factory.mktemp("network") / "model.keras"
    model.save(path)
    images = np.random.default_rng(7).uniform(0, 255, (3, 12, 10, 2)).astype(np.float32)
    return path, images, np.asarray(model(images))


def read_savedmodel(path: Path, images: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return np.asarray(loaded.signatures["serving_default"](pixels=images)["output_0"])


def read_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    session = importlib.import_module("onnxruntime").InferenceSession(str(path))
    return np.asarray(session.run(None, {"pixels": images})[0])


def read_litert(path: Path, images: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    runner = tf.lite.Interpreter(model_path=str(path)).get_signature_runner()
    [found] = runner(pixels=images).values()
    return np.asarray(found)


def metadata_of_savedmodel(path: Path) -> Any:
    return json.loads((path / "assets.extra" / "metadata.json").read_text())


def metadata_of_onnx(path: Path) -> Any:
    session = importlib.import_module("onnxruntime").InferenceSession(str(path))
    [taken], [given] = session.get_inputs(), session.get_outputs()
    assert taken.shape == ["batch", 12, 10, 2]
    assert given.shape == ["batch", 3]
    entries = session.get_modelmeta().custom_metadata_map
    texts = ("network", "output", "network_sha256")
    return {key: value if key in texts else json.loads(value) for key, value in entries.items()}


def metadata_of_litert(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode() == "cat\ndog\nélan\n"
        return json.loads(archive.read("metadata.json"))


@pytest.mark.parametrize(
    ("kind", "name", "read", "metadata_of"),
    [
        ("savedmodel", "grouped_savedmodel", read_savedmodel, metadata_of_savedmodel),
        ("onnx", "grouped.onnx", read_onnx, metadata_of_onnx),
        ("litert", "grouped.tflite", read_litert, metadata_of_litert),
    ],
)
def test_an_exported_file_says_the_same(
    kind: str,
    name: str,
    read: Any,
    metadata_of: Any,
    network: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    path, images, wanted = network
    Path("names.txt").write_text("cat\ndog\nélan\n", encoding="utf-8")
    words = [path, "evaluate.class_names=names.txt", "--format", kind]
    assert inside(monkeypatch, "export", *words, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["file"] == name
    assert document["network"] == "grouped"
    assert 0 <= document["max_relative_difference"] <= document["bound"] == 1e-4
    for part in (images, images[:1]):
        np.testing.assert_allclose(read(Path(name), part), wanted[: len(part)], rtol=0, atol=1e-4)
    assert document["bytes"] == sum(
        p.stat().st_size for p in [Path(name), *Path(name).rglob("*")] if p.is_file()
    )
    metadata = metadata_of(Path(name))
    assert metadata == document["metadata"]
    assert metadata["class_names"] == ["cat", "dog", "élan"]
    assert (metadata["run_id"], metadata["output"]) == (None, "logits")
    wanted_input = {"name": "pixels", "range": [0, 255], "height": 12, "width": 10, "channels": 2}
    assert metadata["input"].items() >= wanted_input.items()
    assert metadata["preprocessing"]["resize_to_cover"] == [13, 11]  # 12 and 10 over 0.875
    assert inside(monkeypatch, "export", *words) == 0  # the same network again
    assert "3 class names; 2 pixels 0..255, resized to cover 13 x 11" in capsys.readouterr().out


def test_a_run_is_fetched_from_its_store(tmp_path: Path, network: Any) -> None:
    store = FakeStore(tmp_path)
    run = store.run("some", "grouped", 1, {})
    with pytest.raises(BadInput, match=f"export: no run {run} with a model.keras in sqlite"):
        export.export(run, "savedmodel", None, store.uri)
    store.client.log_artifact(run, str(network[0]))
    out = tmp_path / "new" / "served"
    done = export.export(run, "savedmodel", out, store.uri)
    assert (out / "saved_model.pb").exists()
    assert f"Wrote {out}" in export.text(done)
    np.testing.assert_allclose(read_savedmodel(out, network[1]), network[2], rtol=0, atol=1e-4)
    assert export.export(run, "savedmodel", out, store.uri)["file"] == str(out)  # written anew


def test_another_runs_file_is_kept(
    tmp_path: Path, network: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    store = FakeStore(tmp_path)
    first, second = (store.run("some", "grouped", seed, {}) for seed in (1, 2))
    store.client.log_artifact(first, str(network[0]))
    keras.utils.set_random_seed(6)
    (tmp_path / "second").mkdir()
    deployed(grouped()).save(tmp_path / "second" / "model.keras")
    store.client.log_artifact(second, str(tmp_path / "second" / "model.keras"))
    names = json.dumps(["c", "a", "b"])
    store.client.log_text(second, names, "class_names.json")

    def exported(run: str, *words: str) -> int:
        where = f"tracking.uri={store.uri}"
        return inside(monkeypatch, "export", run, where, "--format", "litert", *words)

    assert exported(first) == 0
    capsys.readouterr()
    before = Path("grouped.tflite").read_bytes()
    assert exported(second) == 2
    line = capsys.readouterr().err.strip()
    holds = f"grouped.tflite holds the network grouped of run {first[:8]}"
    assert line == f"ilsvrc: {holds}: name another with --out, or add --force"
    assert Path("grouped.tflite").read_bytes() == before
    assert exported(second, "--force") == 0
    metadata = export_metadata.read(Path("grouped.tflite"), "litert")
    assert metadata is not None
    assert (metadata["run_id"], metadata["class_names"]) == (second, ["c", "a", "b"])
    Path("grouped.tflite").write_bytes(b"from elsewhere")
    assert exported(first) == 2
    assert "holds a network that does not say whose it is" in capsys.readouterr().err


def test_a_file_that_differs_is_not_written(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(path: Path) -> Any:
        run = export._run_savedmodel(path)
        return lambda images: run(images) * np.float32(1.001)

    monkeypatch.setitem(export.RUNNERS, "savedmodel", altered)
    with pytest.raises(FailedWork, match=r"differs from the original by 0.001 .*above 0.0001"):
        export.export(str(network[0]), "savedmodel", None, STORE)
    monkeypatch.setitem(
        export.RUNNERS, "savedmodel", lambda path: lambda images: np.full((len(images), 3), np.nan)
    )
    with pytest.raises(FailedWork, match="differs from the original by nan"):
        export.export(str(network[0]), "savedmodel", None, STORE)
    assert not Path("grouped_savedmodel").exists()


def test_a_network_of_any_size_is_refused_in_one_line(tmp_path: Path) -> None:
    pixels = keras.Input((None, None, 3))
    mean = keras.layers.GlobalAveragePooling2D()(pixels)
    keras.Model(pixels, mean).save(tmp_path / "any.keras")
    with pytest.raises(BadInput, match=r"images of one size.*Received: \(None, None, None, 3\)"):
        export.export(str(tmp_path / "any.keras"), "savedmodel", None, STORE)


def test_a_converter_that_fails_is_one_line(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*words: Any, **more: Any) -> None:
        raise RuntimeError("no kernel for it\nand a page more")

    monkeypatch.setattr(keras.Model, "export", fails)
    with pytest.raises(FailedWork, match=r"^export: litert of grouped: no kernel for it$"):
        export.export(str(network[0]), "litert", None, STORE)


def test_a_missing_library_names_the_extra(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"needs tf2onnx, onnx, onnxruntime; .*ilsvrc-suite\[export"):
        export.export(str(network[0]), "onnx", None, STORE)


def test_what_cannot_be_checked_or_run_is_refused(tmp_path: Path) -> None:
    small = {"input_shape": (16, 16, 1), "classes": 3}
    path = tmp_path / "drops.keras"
    deployed(models.build("mlp", **small, dropout=0.5, monte_carlo=True)).save(path)
    with pytest.raises(BadInput, match="mlp drops at inference"):
        export.export(str(path), "savedmodel", None, STORE)

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = deployed(models.build("mlp", **small))
    finally:
        keras.config.set_dtype_policy("float32")
    path = tmp_path / "mixed.keras"
    mixed.save(path)
    with pytest.raises(BadInput, match="mlp computes in mixed_bfloat16, which litert runtimes"):
        export.export(str(path), "litert", None, STORE)
    assert export.export(str(path), "savedmodel", None, STORE)["bound"] == 2e-2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.keras"], "nowhere.keras: no such file"),
        (["bad.keras"], "bad.keras: no Keras model that can be loaded"),
        (["GOOD", "--format", "torch"], "expected savedmodel, onnx, litert. Received: torch"),
        (["GOOD", "--format", "litert", "--out", "x.bin"], "a litert file ends in .tflite"),
        (["GOOD", "--out", "."], "is a folder with other things in it"),
        (["GOOD", "--out", "bad.keras"], "is a file, and a SavedModel is a folder"),
        (
            ["GOOD", "data.source=digits"],
            "tracking.uri=... and evaluate.class_names=... only",
        ),
    ],
)
def test_bad_requests_are_one_line(
    words: list[str], message: str, network: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    Path("bad.keras").write_text("nothing")
    Path("other").write_text("")
    given = [str(network[0]) if word == "GOOD" else word for word in words]
    assert inside(monkeypatch, "export", *given) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
