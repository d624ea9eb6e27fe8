"""Several devices train the network that one trains; each image counts once; hosts train together.

Devices are virtual processors, or processes on the loopback. Each script is a process of its own,
as devices are settled when a backend starts.
"""

from __future__ import annotations

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import backend_process
import numpy as np
import pytest
from real_server import free_port

import pipelines.build
import pipelines.portions
from experiments.config import settings
from experiments.config.identity import graph_key
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.runtime import devices
from pipelines.augment.recipes import Recipe
from pipelines.portions import Portion

SCRIPT = str(find_spec("spread_run").origin)

NETWORKS = [
    # batch normalisation, whose statistics are of the whole batch; labels that are mixed
    ["model.options.normalization=batch", "augment.steps=[{op: mixup}]"],
    # penalties come once, the bound is on the whole gradient, class weights act on the whole batch
    [
        "model.options.kernel_regularizer={l2: 0.01}",
        "train.optimizer={name: adam, learning_rate: 0.001, clip: {global_norm: 0.5},"
        " ema: {momentum: 0.9}}",
        "train.class_weights=balanced",
        "data.transfer=uint8",
    ],
    # parts of a batch have images of all devices; a bound that each part alone would not reach
    [
        "model.options.normalization=batch",
        "train.accumulate=4",
        "train.steps_per_execution=2",
        "train.optimizer={learning_rate: 0.05, clip: {global_norm: 0.3}, ema: {momentum: 0.8}}",
        "train.schedule={name: cosine, warmup_epochs: 0.5}",
    ],
    # one program; the same, in pieces between the exchanges of batch normalisation
    ["train.jit=true", "train.optimizer.clip.norm=0.1"],
    ["model.options.normalization=batch", "train.jit=true"],
    # the Inceptions' rule, with rates and decays of layers, whose squares begin at 1
    [
        "train.optimizer={name: rmsprop, learning_rate: 0.02, epsilon: 1.0, initial_square: 1.0,"
        " weight_decay: 0.001, factors: {'*bias': {rate: 2}, 'fc1/*': {weight_decay: 3}}}",
    ],
]
FLOAT16 = ["train.precision=mixed_float16"]


def start(
    backend: str, setting: str, counts: list[list[int]], words: Any, file: Path, **environ: str
) -> subprocess.Popen[str]:
    told = json.dumps(counts), json.dumps(words)
    return backend_process.start(backend, SCRIPT, setting, *told, file, **environ)


def ended(processes: list[subprocess.Popen[str]], files: list[Path]) -> list[dict[str, Any]]:
    backend_process.finish(processes)
    return [json.loads(file.read_text()) for file in files]


def agree(
    one: dict[str, Any], several: dict[str, Any], replicas: int, *, tolerance: float = 1e-5
) -> None:
    """The same loss curve and network; every image scored once, in its place."""
    assert one["replicas"] == 1
    assert several["replicas"] == replicas
    assert len(one["losses"]) == 2
    assert one["losses"][1] != one["losses"][0]
    np.testing.assert_allclose(several["losses"], one["losses"], rtol=0, atol=tolerance)
    for got, want in zip(several["weights"], one["weights"], strict=True):
        np.testing.assert_allclose(got, want, rtol=10 * tolerance, atol=tolerance)
    assert several["labels"] == several["expected_labels"] == one["labels"]
    assert np.shape(several["outputs"]) == (101, 10)
    for scored in ("outputs", "each"):
        np.testing.assert_allclose(
            several[scored], one[scored], rtol=10 * tolerance, atol=10 * tolerance
        )


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory):
    file = tmp_path_factory.mktemp("mirrored") / "found.json"
    counts = [[1, 3], [1, 3], [1, 3], [1, 2], [1, 2], [1, 2], [1, 2]]
    return ended([start("tensorflow", "all", counts, [*NETWORKS, FLOAT16], file)], [file])[0]


@pytest.mark.parametrize(("network", "replicas"), [(0, 3), (1, 3), (2, 3), (3, 2), (4, 2), (5, 2)])
def test_a_strategy_trains_what_one_device_trains(mirrored, network, replicas):
    """And the same bits once more, by the network that is reset."""
    agree(mirrored[f"1/{network}"], mirrored[f"{replicas}/{network}"], replicas)
    assert mirrored[f"{replicas}/{network}"]["again"]


def test_xla_compiles_what_a_device_computes(mirrored):
    """The gradient as a whole, or its pieces where batch normalisation exchanges statistics."""
    plain, whole, pieces = (mirrored[name]["compiled"] for name in ("3/2", "2/3", "2/4"))
    assert plain == []
    assert whole == ["StatefulPartitionedCall"]
    assert {"MatMul", "BiasAddGrad"} < set(pieces)
    assert "StatefulPartitionedCall" not in pieces


def test_a_strategy_scales_the_loss_as_one_device_does(mirrored):
    """Each update that overflows is left out and halves the scale, once for all devices. Curves
    differ by float16's rounding."""
    one, two = (mirrored[f"{count}/{len(NETWORKS)}"] for count in (1, 2))
    agree(one, two, 2, tolerance=2e-3)
    for found in (one, two):
        scale, updates = found["lowered"]
        assert 0 < updates < 6
        assert scale == 2.0 ** (20 - (6 - updates))


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("on_jax")
    hosts = {"ILSVRC_HOSTS": f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"}
    files = [folder / f"{name}.json" for name in ("local", "first", "second")]
    words = NETWORKS[:1]
    running = [
        start("jax", "all", [[1, 3]], words, files[0]),
        start("jax", "hosts", [[2]], words, files[1], ILSVRC_HOST_INDEX="0", **hosts),
        start("jax", "hosts", [[2]], words, files[2], ILSVRC_HOST_INDEX="1", **hosts),
    ]
    return ended(running, files)


def test_jax_devices_train_what_one_device_trains(on_jax):
    agree(on_jax[0]["1/0"], on_jax[0]["3/0"], 3)


def test_two_jax_processes_train_one_network(on_jax):
    local, first, second = on_jax
    agree(local["1/0"], first["2/0"], 2)
    assert first["2/0"] == second["2/0"]


def test_two_tensorflow_processes_train_one_network(mirrored, tmp_path):
    """Also a batch in parts, each of which has images of both."""
    hosts = {"ILSVRC_HOSTS": f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"}
    files = [tmp_path / f"{number}.json" for number in (0, 1)]
    running = [
        start(
            "tensorflow", "hosts", [[2]] * 3, NETWORKS[:3], file, ILSVRC_HOST_INDEX=str(at), **hosts
        )
        for at, file in enumerate(files)
    ]
    first, second = ended(running, files)
    for network in range(3):
        agree(mirrored[f"1/{network}"], first[f"2/{network}"], 2)
    assert first == second


@pytest.mark.parametrize(("images", "batch"), [(100, 12), (97, 12), (98, 12), (96, 12), (5, 12)])
@pytest.mark.parametrize(("processes", "each"), [(1, 1), (2, 1), (3, 1), (2, 3)])
def test_processes_read_every_image_once_or_a_whole_batch_each(images, batch, processes, each):
    total = processes * each
    own = [
        pipelines.portions.positions(images, batch, Portion(process, processes, total))
        for process in range(processes)
    ]
    bounds = pipelines.portions.edges(images, batch)
    for at, size in enumerate(pipelines.portions.sizes(images, batch)):
        whole = np.arange(bounds[at], bounds[at + 1])
        read = [parts[at] for parts in own]
        if size % total:
            assert all(np.array_equal(part, whole) for part in read)
        else:
            assert len({len(part) for part in read}) == 1
            np.testing.assert_array_equal(np.concatenate(read), whole)


@pytest.mark.parametrize("steps", [(), ({"op": "horizontal_flip"},), ({"op": "mixup"},)])
def test_portions_of_a_dataset_make_the_batches_of_the_whole(steps):
    source = pipelines.open_source("digits")
    steps = settings.parse({"augment": {"steps": list(steps)}}).augment.as_data()

    def read(portion: Portion) -> list[Any]:
        data = pipelines.build.training_dataset(
            source, range(37), Recipe((8, 8), steps, seed=3), batch_size=12, epochs=2,
            portion=portion,
        )  # fmt: skip
        return [tuple(np.asarray(x) for x in batch) for batch in data]

    whole, first, second = (read(Portion(*own)) for own in ((), (0, 2, 2), (1, 2, 2)))
    assert len(whole) == len(first) == len(second) == 8
    for batch, *parts in zip(whole, first, second, strict=True):
        for at in (0, 1):
            got = parts[0][at]
            if len(batch[at]) % 2 == 0:  # 12, 12, then 7 and 6
                assert len(parts[0][at]) == len(parts[1][at]) == len(batch[at]) // 2
                got = np.concatenate([parts[0][at], parts[1][at]])
            np.testing.assert_array_equal(got, batch[at])


def test_a_batch_divides_among_the_devices_or_says_how():
    two = devices.Devices(("a", "b"))
    two.check_batch(64)
    with pytest.raises(BadInput, match=r"data\.batch_size: 65 .* 2 devices; set 64 or 66"):
        two.check_batch(65)
    assert devices.sharing_note(two, 64) == "2 devices share each batch of 64: 32 images each"


def test_one_device_is_the_default_and_needs_no_strategy():
    place = devices.chosen(Config().train.devices)
    assert place.replicas == 1
    assert place.strategy is place.distribution is None


def test_what_would_train_another_network_is_refused():
    from experiments.training import spread_tensorflow
    from models.layers.normalizations import DecorrelatedBatchNormalization

    config = settings.parse({"train": {"devices": "all", "precision": "mixed_float16"}})
    spread_tensorflow.check(config, [])
    with pytest.raises(BadInput, match=r"decorrelation.*; set batch, .*devices=all on TensorFlow"):
        spread_tensorflow.check(config, [DecorrelatedBatchNormalization()])
    config = settings.parse({"train": {"devices": "all", "layer_statistics": True}})
    with pytest.raises(
        BadInput, match=r"train\.layer_statistics: .*; set false, train\.devices=one"
    ):
        spread_tensorflow.check(config, [])


def test_the_devices_shape_the_program():
    shape = (16, 16, 1)
    changed = settings.parse({"train": {"devices": "all"}})
    assert graph_key(changed, shape, 10) != graph_key(Config(), shape, 10)


def test_no_tpu_is_said_in_a_line(monkeypatch):
    monkeypatch.setattr(devices, "_chosen", {})
    with pytest.raises(BadInput, match=r"train\.devices: tpu: TensorFlow finds no TPU") as caught:
        devices.chosen("tpu")
    assert "\n" not in str(caught.value)


def test_a_tpu_is_used_where_there_is_one(monkeypatch):
    import tensorflow as tf

    asked = []

    class Strategy:
        num_replicas_in_sync = 8

        def __init__(self, resolver):
            asked.append(resolver)

    monkeypatch.setattr(devices, "_chosen", {})
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver
    monkeypatch.setattr(resolver, "connect", staticmethod(lambda: "resolver"))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", Strategy)
    place = devices.chosen("tpu")
    assert asked == ["resolver"]
    assert place.replicas == 8
    assert isinstance(place.strategy, Strategy)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "nobody names them"),
        ({"ILSVRC_HOSTS": "a:1,b"}, "expected HOST:PORT,HOST:PORT"),
        ({"ILSVRC_HOSTS": "a:1,b:1"}, "expected 0 to 1"),
        ({"ILSVRC_HOSTS": "a:1,b:1", "ILSVRC_HOST_INDEX": "2"}, "expected 0 to 1"),
    ],
)
def test_hosts_must_be_named(monkeypatch, environ, message):
    monkeypatch.setattr(devices, "_chosen", {})
    for name in ("TF_CONFIG", "ILSVRC_HOSTS", "ILSVRC_HOST_INDEX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=message):
        devices.chosen("hosts")


def test_the_first_host_alone_keeps_results(monkeypatch):
    monkeypatch.setenv("ILSVRC_HOST_INDEX", "1")
    assert devices.process_index("hosts") == 1
    assert devices.process_index("all") == 0
    with pytest.raises(BadInput, match=r"train\.devices: sweep trains many networks"):
        devices.refuse_hosts("hosts", "sweep")
