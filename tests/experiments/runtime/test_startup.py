"""Keras's own settings are settled before anything is tracked, in every process that trains."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import answer, finished, write_config

from experiments.errors import BadInput
from experiments.launch import executors, ray_cluster
from experiments.runtime import startup


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a keras.json."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    return (tmp_path / "keras.json").write_text


def test_the_backend_is_the_variables_else_the_files_else_tensorflow(written, monkeypatch):
    monkeypatch.setattr(startup, "find_spec", lambda name: name)
    assert startup.keras_backend() == "tensorflow"
    written("no JSON")  # which Keras passes over
    assert startup.keras_backend() == "tensorflow"
    written('{"backend": "jax", "floatx": "float16", "image_data_format": "channels_first"}')
    assert startup.keras_backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "")
    assert startup.keras_backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert startup.keras_backend() == "torch"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"backend": "jaxx"}', r"keras\.json: backend: expected .* did you mean jax\? Received"),
        ('{"backend": 3}', r"keras\.json: backend: expected tensorflow, jax, torch\. Received: 3"),
        ("[]", r"keras\.json: expected an object such as \{\}"),
        ('{"floatx": "float8"}', r"keras\.json: floatx: expected float16 or .* 'float8'"),
        ('{"image_data_format": 1}', r"keras\.json: image_data_format: .* Received: 1"),
        ('{"epsilon": 1}', r"keras\.json: epsilon: expected a number such as 1e-07; .*: 1$"),
    ],
)
def test_a_file_with_which_keras_does_not_start_is_named(written, text, says):
    written(text)
    with pytest.raises(BadInput, match=says):
        startup.keras_backend()


def test_a_backend_that_is_not_installed_is_named_before_workers_start(written, monkeypatch):
    monkeypatch.setattr(startup, "find_spec", lambda name: None if name == "torch" else name)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    from experiments.config.launch import Launch

    says = r"^KERAS_BACKEND: torch is not installed; pip install -e '\.\[torch\]'"
    with pytest.raises(BadInput, match=says):
        executors.executor(Launch())


def test_ray_passes_the_choice_on_to_nodes_with_files_of_their_own(written, monkeypatch):
    monkeypatch.setattr(startup, "find_spec", lambda name: name)
    monkeypatch.setattr(ray_cluster, "answers", lambda address: None)
    monkeypatch.setattr(ray_cluster, "load_ray", lambda local: None)
    written('{"backend": "jax"}')
    from experiments.config.launch import Launch

    cluster = ray_cluster.Cluster(Launch(executor="ray", address="h:1"))
    assert cluster._elsewhere()["runtime_env"]["env_vars"]["KERAS_BACKEND"] == "jax"


SETTLED = """
import json
from experiments.runtime.startup import load_tensorflow
load_tensorflow()
import keras
c = keras.config
print(json.dumps([c.floatx(), c.epsilon(), c.image_data_format(), c.dtype_policy().name,
                  c.max_epochs(), c.max_steps_per_epoch()]))
"""
ODD = '{"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}'


def test_the_values_of_the_suite_win_in_every_process(written, monkeypatch):
    written(ODD)
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    monkeypatch.setenv("KERAS_MAX_STEPS_PER_EPOCH", "1")
    done = subprocess.run(
        [sys.executable, "-c", SETTLED], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said == ["float32", 1e-7, "channels_last", "float32", None, None]


def test_a_run_is_the_same_with_any_file_and_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    rows = []
    for name in ("plain", "odd"):
        home = tmp_path / name
        home.mkdir()
        if name == "odd":
            (home / "keras.json").write_text(ODD)
            monkeypatch.setenv("KERAS_MAX_STEPS_PER_EPOCH", "1")
        monkeypatch.setenv("KERAS_HOME", str(home))
        rows.append(answer(home, "train", write_config(home)))
    plain, odd = rows
    assert plain["status"] == odd["status"] == "finished"
    for key in ("train_loss", "val_loss", "test_top1"):
        assert odd[key] == plain[key]


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_misspelt_backend_leaves_nothing_behind(tmp_path, monkeypatch, command):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflw")
    path = write_config(tmp_path, sweep={"seed": [1, 2]} if command == "sweep" else {})
    for more in ([], ["--dry-run"]):
        out, err = finished(tmp_path, command, path, *more, code=2)
        expected = r"KERAS_BACKEND: expected .*; did you mean tensorflow\? Received: 'tensorflw'"
        assert re.search(expected, err)
        assert err.count("\n") == 1
        assert out == ""
    assert [file.name for file in Path(tmp_path).iterdir()] == [path.name]


def test_networks_that_have_functions_of_their_own_are_no_reason_to_warn(caplog):
    """TensorFlow warns of the fifth trace of a piece of code; of other things it still does."""
    import tensorflow as tf

    def trace(function_of):
        for network in range(8):
            tf.function(function_of(network), autograph=False)()

    startup.load_tensorflow()
    with caplog.at_level("WARNING", logger="tensorflow"):
        trace(lambda network: lambda: tf.constant(network))
        tf.get_logger().warning("something else")
    assert [record.getMessage() for record in caplog.records] == ["something else"]
    tf.get_logger().removeFilter(startup._is_no_tracing)
    with caplog.at_level("WARNING", logger="tensorflow"):
        trace(lambda network: lambda: tf.constant(-network))  # code that it has not warned of yet
    assert "triggered tf.function retracing" in caplog.text, "TensorFlow's words have changed"
