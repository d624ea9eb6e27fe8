"""Published weights as a start: what the Trainer does with them, and what is refused early."""

from __future__ import annotations

import numpy as np
import pytest
from command import inside, write_config

from experiments.config import settings
from experiments.config.identity import graph_key
from experiments.errors import BadInput
from experiments.fitting import fit
from experiments.jobs import pretrained
from experiments.jobs.plan import prepare

BASE = {
    "data": {"source": "synthetic:classes=3,size=32,examples=60,channels=3", "batch_size": 20},
    "model": {"name": "vgg16", "options": {"width": 0.03}},
    "train": {"epochs": 0},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


@pytest.fixture
def fetched(monkeypatch):
    """Keras's weights without a network: every kernel rises from 0 to 1; gives the calls."""
    import models.weights  # it loads Keras

    calls = []

    def load_imagenet(network, *, top=True):
        calls.append((network.name, top))
        for layer in network.layers:
            if hasattr(layer, "kernel") and (top or not layer.name.startswith("fc")):
                shape = layer.kernel.shape
                layer.kernel.assign(np.linspace(0, 1, np.prod(shape)).reshape(shape))

    monkeypatch.setattr(models.weights, "load_imagenet", load_imagenet)
    return calls


def test_weights_come_after_the_draw_without_their_top_and_turned_to_rgb(fetched):
    events = []
    words = ["model.weights=imagenet"]
    fit.run(plan(*words).job(("run",)), events.append)
    network = fit.WORKER.trainers[0].network
    assert fetched == [("vgg16", False)]
    first = np.asarray(network.get_layer("conv1_1").kernel)
    # what Keras published for blue, green, red stands for red, green, blue
    rising = np.linspace(0, 1, first.size).reshape(first.shape)
    np.testing.assert_allclose(first, rising[:, :, ::-1], rtol=1e-6)
    second = np.asarray(network.get_layer("conv1_2").kernel)
    assert (np.diff(second.ravel()) > 0).all()
    assert (np.asarray(network.get_layer("fc8").kernel) < 0).any()  # drawn
    [note] = [e["text"] for e in events if e["kind"] == "note"]
    assert note.endswith("not data.normalise=mean_std; set data.normalise=published")


def test_the_published_preprocessing_is_the_cards_in_rgb_order(fetched):
    events = []
    words = ["model.weights=imagenet", "data.normalise=published"]
    fit.run(plan(*words).job(("run",)), events.append)
    layer = fit.WORKER.trainers[0].normalise
    np.testing.assert_allclose(layer.mean, [123.68, 116.779, 103.939], rtol=1e-6)
    np.testing.assert_allclose(layer.scale, [1, 1, 1])
    assert [e for e in events if e["kind"] == "note"] == []
    by, centre, scale = pretrained.preprocessing(plan("data.normalise=published").config)
    assert by == "torchvision"
    assert (centre[0], scale[0]) == pytest.approx((123.675, 58.395))


def test_weights_are_no_part_of_the_traced_program(fetched):
    keys = [graph_key(plan(*w).config, (32, 32, 3), 3) for w in ([], ["model.weights=imagenet"])]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.weights=nowhere.pth"], r"model\.weights: nowhere\.pth: no such file"),
        (["model.weights=run.keras"], r"model\.weights: expected imagenet.*run\.keras"),
        (["model.weights=imagenet", "train.initialize_from=a.keras"], r"exclude each other"),
        (["model.options.weights=imagenet"], r"model\.options\.weights.*set model\.weights"),
        (["data.normalise=published", "model.name=mlp", "model.options={}"], r"nothing is publ"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(words, said):
    with pytest.raises(BadInput, match=said):
        plan(*words)


def test_a_file_that_is_not_this_networks_is_one_line_and_exit_2(tmp_path, monkeypatch, capsys):
    from safetensors.numpy import save_file

    save_file({"features.0.weight": np.zeros((4, 3, 3, 3), "float32")}, tmp_path / "x.safetensors")
    config = write_config(
        tmp_path, **BASE | {"launch": {"executor": "inline"}},
    )  # fmt: skip
    assert inside(monkeypatch, "train", config, "model.weights=x.safetensors", "--json") == 2
    shown = capsys.readouterr()
    last = shown.err.strip().splitlines()[-1]
    assert last.startswith("ilsvrc: model.weights: ")
    assert "Traceback" not in shown.err
    assert shown.out == ""
