"""A batch shown in parts makes the update of the whole batch, on every backend."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import backend_process
import keras
import numpy as np
import parted_run
import pytest
from parted_run import PARTS, plan

from experiments.errors import BadInput
from experiments.training.trainer import Trainer

TOLERANCE = {"float32": 1e-6, "mixed_float16": 2e-3, "rmsprop": 1e-6}
TF = "tensorflow"
OTHERS = [name for name in ("jax", "torch") if find_spec(name)]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What `parted_run` finds on each backend; the others at the same time, each in a process."""
    folder = tmp_path_factory.mktemp("parts")
    started = [
        backend_process.start(name, parted_run.__file__, folder / name, devices=2)
        for name in OTHERS
    ]
    try:
        with pytest.warns(UserWarning, match="Gradients do not exist for variables.*idle"):
            results = {TF: parted_run.everything()}
    finally:
        backend_process.finish(started)
    return results | {name: json.loads((folder / name).read_text()) for name in OTHERS}


def of(found: dict[str, Any], backend: str) -> dict[str, Any]:
    if backend not in found:
        pytest.skip(f"{backend} is not installed")
    own: dict[str, Any] = found[backend]
    return own


def agree(got: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    """Same losses, weights, averages of weights, and number of updates."""
    np.testing.assert_allclose(got["losses"], expected["losses"], rtol=max(tolerance, 1e-6))
    for a, b in zip(got["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)
    assert got["updates"] == expected["updates"]


@pytest.mark.parametrize("case", TOLERANCE)
@pytest.mark.parametrize("backend", [TF, "jax", "torch"])
def test_parts_make_the_update_of_the_whole_batch(found, backend, case):
    """Heads, weights of images, a penalty, weight decay, a clipped gradient, averaged weights,
    offsets of colours, a loss scale; batches of 7 and 2. RMSProp with factors by layer, and squares
    that begin at 1."""
    own = of(found, backend)
    whole, parted = (own[f"{case} {parts}"] for parts in (1, PARTS))
    agree(parted, whole, TOLERANCE[case])
    assert parted["updates"] == whole["calls"] == 3
    assert parted["calls"] == 3 + 2 + 3  # a batch of two has no three parts
    assert (parted["most"], whole["most"]) == (3, 7)  # of seven in three parts


@pytest.mark.parametrize("case", ["float32", "rmsprop"])
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_updates_are_those_of_tensorflow(found, backend, case):
    own = of(found, backend)
    for parts in (1, PARTS):
        got, expected = (result[f"{case} {parts}"]["losses"] for result in (own, found[TF]))
        np.testing.assert_allclose(got, expected, rtol=2e-6)


@pytest.mark.parametrize("backend", [TF, "jax", "torch"])
def test_a_fit_in_parts_is_the_fit_of_whole_batches(found, backend):
    """Same batches, mixed as a whole, same schedule and number of updates; on JAX also where two
    devices share each part."""
    own = of(found, backend)
    names = [name for name in own if name.startswith("fit 5")]
    assert [own[name]["replicas"] for name in names] == ([1, 2] if backend == "jax" else [1])
    for name in names:
        agree(own[name], own["fit 1"], 2e-5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.accumulate=33"], r"train\.accumulate: a batch of 32 images has no 33 parts"),
        (["train.accumulate=2", "train.jit=true"], r"train\.accumulate: XLA .*train\.jit=false"),
    ],
)
def test_what_has_no_parts_is_refused(words, said):
    with pytest.raises(BadInput, match=said):
        plan(*words)


def test_other_backends_refuse_several_updates_a_call(monkeypatch):
    planned = plan("train.steps_per_execution=2")
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    refusal = r"train\.steps_per_execution: 2 needs Keras's TensorFlow backend.*torch"
    with pytest.raises(BadInput, match=refusal):
        Trainer(planned.config, planned.input_shape, planned.classes)
