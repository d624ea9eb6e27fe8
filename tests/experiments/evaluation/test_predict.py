"""`ilsvrc predict`: classes of pictures, where the network looked, and pictures that are none."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from command import inside
from matplotlib.image import imread

import models
from experiments.inference import grad_cam
from experiments.metrics import softmax
from models.layers.normalizations import Normalise
from pipelines.resize import resize_centre

NAMES = ["dark", "light", "grey", "a", "b", "c"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network as a run keeps it, in a .keras file, and the model itself."""
    pixels = keras.Input((20, 20, 3), name="pixels")
    normalise = Normalise(name="normalise")
    network = models.build("lenet5", input_shape=(20, 20, 3), classes=6)
    model = keras.Model(pixels, network(normalise(pixels)), name="lenet5")
    normalise.mean.assign([120.0, 120.0, 120.0])
    normalise.scale.assign([60.0, 60.0, 60.0])
    path = tmp_path_factory.mktemp("saved") / "net.keras"
    model.save(path)
    return path, model


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("one.png", "below/two.png"):
        pixels = tf.image.resize(random.integers(0, 256, (4, 4, 3)), (40, 30)).numpy()
        (folder / name).write_bytes(tf.io.encode_png(pixels.astype(np.uint8)).numpy())
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    return folder


def test_the_answer_is_the_networks_softmax_best_first(saved, pictures, monkeypatch, capsys):
    path, model = saved
    words = ["predict", path, pictures / "one.png", "evaluate.class_names=names.txt", "--json"]
    assert inside(monkeypatch, *words) == 0
    [row] = json.loads(capsys.readouterr().out)
    stored = tf.io.decode_png((pictures / "one.png").read_bytes())
    chances = softmax(np.asarray(model(resize_centre((20, 20), 0.875)(stored)[None])))[0]
    best = np.argsort(-chances)[:5]
    assert row["file"] == str(pictures / "one.png")
    assert [each["label"] for each in row["predictions"]] == [NAMES[i] for i in best]
    found = [each["probability"] for each in row["predictions"]]
    np.testing.assert_allclose(found, chances[best], atol=1e-5)


def test_readable_names_are_printed_behind_the_class(saved, pictures, monkeypatch, capsys):
    words = [f"n0000000{at} word {at}, other" for at in range(6)]
    (pictures.parent / "synsets.txt").write_text("\n".join(words))
    given = ["predict", saved[0], pictures / "one.png", "evaluate.class_names=synsets.txt"]
    assert inside(monkeypatch, *given, "--json") == 0
    best = json.loads(capsys.readouterr().out)[0]["predictions"][0]
    assert best["title"] == f"word {best['label'][-1]}"
    assert inside(monkeypatch, *given) == 0
    assert f"one.png: {best['label']} {best['title']} " in capsys.readouterr().out
    # Keras's list is taken where it lies, and never fetched for this
    monkeypatch.setenv("KERAS_HOME", str(pictures.parent / "keras"))
    (pictures.parent / "synsets.txt").write_text("\n".join(word.split()[0] for word in words))
    assert inside(monkeypatch, *given, "--json") == 0
    assert "title" not in json.loads(capsys.readouterr().out)[0]["predictions"][0]
    index = {at: [f"n{at:08d}", f"word_{at}"] for at in range(1000)}
    (pictures.parent / "keras" / "models").mkdir(parents=True)
    file = pictures.parent / "keras" / "models" / "imagenet_class_index.json"
    file.write_text(json.dumps(index))
    assert inside(monkeypatch, *given, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["predictions"][0]["title"] == best["title"]


def test_folders_are_searched_and_pictures_explained(saved, pictures, monkeypatch, capsys):
    assert inside(monkeypatch, "predict", saved[0], pictures, "--explain", "cam", "--json") == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert [Path(row["file"]).name for row in rows] == ["one.png", "two.png"]
    assert rows[0]["predictions"][0]["label"] in "012345"
    assert "class names are not known" in captured.err
    for row in rows:
        pixels = imread(row["explanation"])
        assert pixels.shape[1] > 1.5 * pixels.shape[0]
        left, right = np.split(pixels[..., :3], [pixels.shape[1] // 2], axis=1)
        assert (left.max(axis=-1) - right[:, : left.shape[1]].min(axis=-1)).std() > 0.05


def test_the_heat_is_the_gradient_weighted_map(saved):
    """Against finite differences of the score by a constant added to one channel of the map."""
    _, model = saved
    explained = grad_cam.Explainer(model)
    assert explained.layer.name == "c3"  # not the pooling behind it
    image = np.random.default_rng(1).uniform(0, 255, (20, 20, 3)).astype(np.float32)
    inner = model.layers[-1]
    layer = inner.get_layer("c3")
    to_map = keras.Model(inner.input, layer.output)
    tail_input = keras.Input(layer.output.shape[1:])
    x = tail_input
    for following in inner.layers[inner.layers.index(layer) + 1 :]:
        x = following(x)
    tail = keras.Model(tail_input, x)
    maps = np.asarray(to_map(model.get_layer("normalise")(image[None])))
    positions = maps.shape[1] * maps.shape[2]
    step = 1e-2
    heat = np.zeros(maps.shape[1:3])
    for channel in range(maps.shape[-1]):
        nudge = np.zeros_like(maps)
        nudge[..., channel] = step
        up, down = np.asarray(tail(maps + nudge)), np.asarray(tail(maps - nudge))
        heat += (up - down)[0, 2] / (2 * step) / positions * maps[0, ..., channel]
    heat = np.maximum(heat, 0)
    np.testing.assert_allclose(explained.heat(image, 2), heat / heat.max(), atol=0.02)


def test_the_heat_lies_on_the_photograph_where_the_crop_was(tmp_path):
    """Of 600 x 400 pixels a network of 20 x 20 sees the middle; its warmest map is top left."""
    photograph = np.random.default_rng(3).integers(0, 256, (400, 600, 3), np.uint8)
    window = grad_cam.crop_window(photograph.shape, (20, 20), 0.875)
    scale = 22 / 400  # the short side to 20 / 0.875, floored
    np.testing.assert_allclose(window, (1 / scale, 6 / (33 / 600), 20 / scale, 20 / (33 / 600)))
    heat = np.zeros((4, 4))
    heat[0, 0] = 1
    grad_cam.draw(photograph, window, heat, "a.png", "cat\n98.0%", tmp_path / "cam.png")
    drawn = (255 * imread(tmp_path / "cam.png")[..., :3]).round().astype(int)
    dots = drawn[: drawn.shape[0] - 400, : drawn.shape[1] - 600]
    [(row, column)] = [
        (y, x)
        for y, x in np.argwhere((dots == photograph[0, 0]).all(axis=-1))
        if (drawn[y : y + 400, x : x + 600] == photograph).all()
    ]  # pixel for pixel
    second = column + 600 + (column)
    beside = drawn[row : row + 400, second : second + 600]
    changed = (abs(beside - photograph) > 2).any(axis=-1)
    seen = np.zeros((400, 600), bool)
    seen[20:380, 111:471] = True  # inside of the frame
    assert changed[~seen].mean() > 0.95  # pale
    assert not changed[200:375, 300:465].any()  # seen, and cold
    warm = beside[22:60, 115:160].mean(axis=(0, 1))
    assert warm[0] > 1.5 * warm[2]


def test_good_pictures_are_scored_and_bad_ones_named(saved, pictures, monkeypatch, capsys):
    (pictures / "broken.png").write_bytes((pictures / "one.png").read_bytes()[:60])
    (pictures / "empty").mkdir()
    words = [saved[0], "typo.png", pictures, pictures / "empty"]
    assert inside(monkeypatch, "predict", *words, "--json") == 1
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    reasons = {
        "typo.png": "no such picture (No such file or directory)",
        f"{pictures}/broken.png": "is a truncated or damaged PNG file",
        f"{pictures}/empty": "no image file in this folder",
    }
    assert {row["file"]: row["error"] for row in rows if "error" in row} == reasons
    assert [Path(row["file"]).name for row in rows if row["predictions"]] == ["one.png", "two.png"]
    lines = [line for line in captured.err.splitlines() if line.startswith("ilsvrc: ")]
    assert lines == [f"ilsvrc: {file}: {reason}" for file, reason in reasons.items()]
    assert inside(monkeypatch, "predict", *words, "--explain", "cam") == 1
    answered = [line for line in capsys.readouterr().out.splitlines() if "%" in line]
    assert [Path(line.partition(":")[0]).name for line in answered] == ["one.png", "two.png"]
    assert len(list(Path("cam").iterdir())) == 2


def test_bad_pictures_are_left_out_where_that_is_said(saved, pictures, monkeypatch, capsys):
    (pictures / "broken.png").write_bytes((pictures / "one.png").read_bytes()[:60])
    words = [saved[0], pictures, "data.on_corrupt=skip", "--json"]
    assert inside(monkeypatch, "predict", *words) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)
    assert "1 of 3 pictures skipped" in captured.err
    assert [bool(row["predictions"]) for row in rows] == [False, True, True]
    assert rows[0]["skipped"] == "is a truncated or damaged PNG file"


def test_nothing_but_bad_pictures_is_one_line_and_exit_2(saved, pictures, monkeypatch, capsys):
    (pictures / "broken.png").write_bytes(b"no picture")
    assert inside(monkeypatch, "predict", saved[0], pictures / "broken.png", "typo.png") == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "broken.png: " in line
    assert line.endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.keras", "x.png"], "missing.keras: no such file"),
        (["{saved}", "x.png"], "x.png: no such picture"),
        (["{saved}", "empty"], "empty: no image file in this folder"),
        (["{saved}", "evaluate.protocol=centre"], "name a picture or a folder"),
        (["broken.keras", "x.png"], "broken.keras: no Keras model that can be loaded"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_2(saved, words, said, monkeypatch, capsys):
    Path("empty").mkdir()
    Path("broken.keras").write_bytes(b"no zip")
    words = [word.format(saved=saved[0]) for word in words]
    assert inside(monkeypatch, "predict", *words) == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert said in line


def test_a_network_without_maps_cannot_be_explained(tmp_path, pictures, monkeypatch, capsys):
    pixels = keras.Input((8, 8, 3))
    flat = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(pixels))
    keras.Model(pixels, flat, name="flat").save(tmp_path / "flat.keras")
    words = ["predict", tmp_path / "flat.keras", pictures / "one.png"]
    assert inside(monkeypatch, *words, "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert sum(each["probability"] for each in row["predictions"]) == pytest.approx(1, abs=1e-5)
    assert inside(monkeypatch, *words, "--explain", "cam") == 2
    assert "flat has no feature maps" in capsys.readouterr().err
