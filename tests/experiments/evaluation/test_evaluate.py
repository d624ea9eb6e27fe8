"""`ilsvrc evaluate`: a run's own figures again, any set and protocol, several, refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from command import inside, write_config
from matplotlib.image import imread
from mlflow import MlflowClient
from safetensors.numpy import save_file
from terminal_text import shown

import models
from experiments.evaluation.output import parts
from models.weights import torch_names

SYNTHETIC = "synthetic:classes=3,size=32,examples=60,channels=3"


def printed(monkeypatch, capsys, *words):
    """What the command answers with --json, and its lines on stderr."""
    assert inside(monkeypatch, *words, "--json") == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The store, and the rows of a sweep over two networks."""
    folder = tmp_path_factory.mktemp("trained")
    store = f"sqlite:///{folder}/mlflow.db"
    config = write_config(
        folder,
        name="two",
        data={"source": "digits", "image_size": 16, "train_fraction": 0.2},
        sweep={"model.name": ["lenet5", "mlp"]},
        launch={"executor": "inline"},
        tracking={"uri": store},
        bench={"latency_calls": 2, "throughput_batches": 1},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        out: list[str] = []
        patch.setattr(
            "experiments.presentation.console.print",
            lambda text, **_: out.append(text),
            raising=False,
        )
        assert inside(patch, "sweep", config, "--json") == 0
    return store, json.loads(out[0])["runs"]


@pytest.fixture
def ids(trained, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", trained[0])
    return [run["run_id"] for run in trained[1]]


def test_runs_give_their_own_test_figures_again_with_intervals_and_tests(
    trained, ids, monkeypatch, capsys
):
    document, said = printed(monkeypatch, capsys, "evaluate", *ids, "--out", "made")
    for row, run in zip(document["rows"], trained[1], strict=True):
        assert row["run_id"] == run["run_id"]
        assert row["top1"] == run["test_top1"]
        assert row["top5"] == run["test_top5"]
        assert row["top1_interval"][0] < row["top1"] < row["top1_interval"][1]
        assert row["top5_interval"][0] < row["top5"] < row["top5_interval"][1]
        assert row["macs_per_image"] == run["macs"]
        assert row["protocol"] == "centre"
        assert 0 <= row["ece"] <= 1
    assert document["images"] == document["rows"][0]["images"] == 359
    assert document["notes"] == []
    assert "1 view an image, 1 x the cost of one: 44.0 kMACs; 359 images" in said

    first, second = (read(f"made/{name}_seed_1/predictions.parquet") for name in ("lenet5", "mlp"))
    mean = (first + second) / 2
    labels = pd.read_parquet("made/mlp_seed_1/predictions.parquet")["label"].to_numpy()
    assert document["ensemble"]["top1"] == (mean.argmax(axis=1) == labels).mean()
    assert document["ensemble"]["macs_per_image"] == sum(x["macs"] for x in trained[1])
    right = [chances.argmax(axis=1) == labels for chances in (first, second)]
    [pair] = document["mcnemar"]
    assert pair["only_first"] == (right[0] & ~right[1]).sum()
    assert pair["only_second"] == (right[1] & ~right[0]).sum()
    assert pair["p_holm"] == pair["p_value"]


def read(path):
    return np.stack(pd.read_parquet(path)["probabilities"].to_list())


def test_the_folder_has_tables_and_figures_that_agree(ids, monkeypatch, capsys):
    document, _ = printed(monkeypatch, capsys, "evaluate", ids[0], "--out", "one")
    assert {Path(file).name for file in document["files"]} == {
        "confusion.csv", "confusion.png", "per_class.csv", "calibration.csv", "calibration.png",
        "predictions.parquet", "evaluation.csv", "evaluation.json",
    }  # fmt: skip
    with open("one/per_class.csv", newline="", encoding="utf-8") as file:
        classes = list(csv.DictReader(file))
    assert [row["class"] for row in classes] == [str(i) for i in range(10)]
    assert sum(int(row["images"]) for row in classes) == 359
    top1 = document["rows"][0]["top1"]
    assert sum(int(row["correct"]) for row in classes) == round(top1 * 359)
    assert list(classes[0])[-3:] == ["precision", "recall", "f1"]
    for rate in ("precision", "recall", "f1"):
        mean = np.mean([float(row[rate]) for row in classes])
        assert document["rows"][0][f"macro_{rate}"] == pytest.approx(mean)
    counts = pd.read_csv("one/confusion.csv", index_col=0).to_numpy()
    np.fill_diagonal(counts, 0)
    worst = document["rows"][0]["worst_pairs"][0]
    assert worst["images"] == counts.max()
    bins = pd.read_csv("one/calibration.csv").dropna()
    gaps = (bins["confidence"] - bins["accuracy"]).abs() * bins["images"] / 359
    assert document["rows"][0]["ece"] == pytest.approx(gaps.sum())
    for picture in ("confusion.png", "calibration.png"):
        assert imread(f"one/{picture}")[..., :3].std() > 0.05
    assert json.loads(Path("one/evaluation.json").read_text()) == document


def test_kept_predictions_are_scored_without_the_models(trained, ids, monkeypatch, capsys):
    import experiments.inference.loading

    def gone(*words):
        raise AssertionError("no model may be read")

    monkeypatch.setattr(experiments.inference.loading, "read_model", gone)
    document, _ = printed(monkeypatch, capsys, "evaluate", *ids, "evaluate.reuse=true")
    assert [row["top1"] for row in document["rows"]] == [x["test_top1"] for x in trained[1]]
    assert [row["macs_per_image"] for row in document["rows"]] == [x["macs"] for x in trained[1]]
    assert document["ensemble"]["images"] == 359
    assert document["mcnemar"][0]["method"]
    assert document["notes"] == ["scored by the predictions that the runs kept"]
    assert (document["part"], document["origin"]) == ("test", "held out")
    words = ["evaluate.reuse=true", "evaluate.class_names=words.txt"]
    Path("words.txt").write_text("\n".join(f"word {number}" for number in range(10)))
    document, _ = printed(monkeypatch, capsys, "evaluate", ids[0], *words)
    assert document["rows"][0]["worst_pairs"][0]["class"].startswith("word ")


def test_other_parts_and_protocols(trained, ids, monkeypatch, capsys):
    words = ["evaluate", ids[0], "evaluate.part=validation"]
    document, _ = printed(monkeypatch, capsys, *words)
    assert document["rows"][0]["top1"] == trained[1][0]["val_top1"]
    document, said = printed(monkeypatch, capsys, *words, "evaluate.protocol=ten_crop")
    [row] = document["rows"]
    assert row["passes"] == 10
    assert row["macs_per_image"] == 10 * trained[1][0]["macs"]
    assert row["latency_ms_per_image"] == pytest.approx(10 * row["latency_ms_p50"])
    assert "ten_crop, 10 views an image, 10 x the cost" in said

    for flag, marks in ((True, 2), (False, 0), (None, 0)):
        text = shown(*parts({**document, "rows": [{**row, "latency_disturbed": flag}]}))
        assert text.count("†") == marks  # the figure, and what the mark means


def test_a_runs_own_images_by_name_are_its_test_images(trained, ids, monkeypatch, capsys):
    words = ["evaluate", ids[1], "data.source=digits"]
    document, _ = printed(monkeypatch, capsys, *words)
    assert (document["part"], document["images"], document["notes"]) == ("test", 359, [])
    assert document["origin"] == "held out"
    assert document["rows"][0]["top1"] == trained[1][1]["test_top1"]
    document, _ = printed(monkeypatch, capsys, *words, "validation.seed=2")
    [note] = document["notes"]
    assert note.startswith("mlp seed 1: ")
    assert note.endswith("of the 359 images are its training images")


def test_training_images_among_those_scored_are_told(ids, monkeypatch, capsys):
    document, _ = printed(monkeypatch, capsys, "evaluate", ids[1], "evaluate.part=all")
    assert document["images"] == 1797
    run = MlflowClient().get_run(ids[1])
    seen = run.data.params["data.train_images"]
    assert document["notes"] == [f"mlp seed 1: {seen} of the 1797 images are its training images"]


def test_a_file_is_matched_by_the_names_that_are_given_and_shown_as_text(
    monkeypatch, capsys, tmp_path
):
    import pipelines

    pixels = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(pixels)
    keras.Model(pixels, keras.layers.Dense(3)(x)).save(tmp_path / "net.keras")
    words = ["evaluate", "net.keras", f"data.source={SYNTHETIC}", "bench.latency_calls=1"]
    monkeypatch.setenv("COLUMNS", "120")
    assert inside(monkeypatch, *words) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "net.keras has 3 classes whose names are not known" in said
    assert "evaluate.class_names=FILE" in said
    Path("names.txt").write_text("\n".join(pipelines.open_source(SYNTHETIC).class_names))
    assert inside(monkeypatch, *words, "evaluate.class_names=names.txt") == 0
    shown = capsys.readouterr().out
    assert "60 images of 3 classes" in shown
    assert "top-5" not in shown  # three classes have none


@pytest.fixture
def checkpoint(tmp_path):
    """A file of vgg_a as torchvision would write it, five classes, very narrow; and its model."""
    model = models.build("vgg_a", input_shape=(32, 32, 3), classes=5, width=0.03)
    names, kinds = torch_names.NETWORKS["vgg_a"]("vgg_a"), {"kernel": "weight", "bias": "bias"}
    state = {}
    for layer in model.layers:
        for weight in layer.weights:
            array = np.asarray(weight)
            order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
            key = f"{names[layer.name]}.{kinds[weight.name]}"
            state[key] = np.ascontiguousarray(array.transpose(order))
    save_file(state, tmp_path / "vgg.safetensors")
    return model


def test_published_weights_see_the_cards_preprocessing(checkpoint, monkeypatch, capsys):
    import pipelines

    Path("five.txt").write_text("extra\nclass2\nclass0\nclass1\nother\n")
    source = pipelines.open_source(SYNTHETIC)
    Path("five.txt").write_text(
        "\n".join(["extra", source.class_names[2], *source.class_names[:2], "other"])
    )
    words = ["evaluate", "vgg_a:vgg.safetensors", f"data.source={SYNTHETIC}"]
    words += ["model.options.width=0.03", "data.image_size=32", "data.crop_fraction=1.0"]
    words += ["evaluate.class_names=five.txt", "bench.latency_calls=1"]
    assert inside(monkeypatch, *words) == 2
    assert "has 3 of the 5 classes" in capsys.readouterr().err

    images = (source.array - np.array([123.675, 116.28, 103.53])) / [58.395, 57.12, 57.375]
    logits = np.asarray(checkpoint(images.astype(np.float32)))
    document, _ = printed(monkeypatch, capsys, *words, "evaluate.classes=restrict")
    answers = logits[:, [2, 3, 1]].argmax(axis=1)
    assert document["rows"][0]["top1"] == pytest.approx((answers == source.labels).mean())
    assert document["rows"][0]["name"] == "vgg_a (torchvision)"
    figures = document["rows"][0]["published"]
    assert [figure["top1_error"] for figure in figures] == [pytest.approx(30.98)]
    assert "not the ILSVRC-2012 validation set" in figures[0]["why_not"]

    document, _ = printed(monkeypatch, capsys, *words, "evaluate.classes=map")
    own = np.array([2, 3, 1])[source.labels]
    assert document["rows"][0]["top1"] == pytest.approx((logits.argmax(axis=1) == own).mean())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0" * 32], "no such run in sqlite:///"),
        (["nothing"], "neither a run id (32 hex digits), nor a .keras file, nor an architecture"),
        (["gone.keras", "data.source=digits"], "gone.keras: no such file"),
        (["vgg16", "data.source=digits"], "vgg16 is an architecture without weights"),
        (["vgg16:imagenet"], "name the images to score with data.source="),
        (["vgg16:no.pth", "data.source=digits"], "no.pth: no such file"),
        (["{0}", "{0}"], "is named twice"),
        (["{0}", "evaluate.protocol=nine"], "evaluate.protocol: input should be"),
        (["{0}", "data.image_size=20"], "takes 16x16 pixels"),
        (["{0}", "data.source=synthetic:classes=3,examples=30"], "has 10 classes"),
        (["{1}", "evaluate.protocol=dense"], "mlp has no convolutions"),
        (["{0}", "{1}", "evaluate.reuse=true", "evaluate.protocol=dense"], "of the centre crop"),
        (["{0}", "validation.seed=2", "evaluate.part=tests"], "evaluate.part: input should be"),
        (["data.source=digits"], "name a run id, a .keras file or an architecture"),
    ],
)
def test_refusals_are_one_line_and_exit_2(ids, words, said, monkeypatch, capsys):
    words = [word.format(*ids) if "{" in word else word for word in words]
    assert inside(monkeypatch, "evaluate", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert len([line for line in lines if line.startswith("ilsvrc:")]) == 1


def test_the_parent_of_runs_is_refused_by_name(ids, monkeypatch, capsys):
    client = MlflowClient()
    parent = client.get_run(ids[0]).data.tags["mlflow.parentRunId"]
    assert inside(monkeypatch, "evaluate", parent) == 2
    assert "has no model.keras; give one of the runs that trained" in capsys.readouterr().err


def test_how_a_run_is_scored_later_is_no_part_of_what_it_is():
    from experiments.config import settings
    from experiments.config.identity import config_hash
    from experiments.tracking.experiment import params_of

    def of(*words):
        return settings.parse(settings.override({}, words))

    later = of("evaluate.protocol=dense", "evaluate.sides=[256]", "evaluate.part=all")
    assert config_hash(later) == config_hash(of())
    assert config_hash(of("evaluate.dropout_samples=2")) != config_hash(of())
    assert "evaluate.protocol" not in params_of(later)
    assert "evaluate.dropout_samples" in params_of(later)


def test_pictures_that_cannot_be_drawn_do_not_cost_the_scores(ids, monkeypatch, capsys):
    def fail(*words):
        assert json.loads(Path("failing/evaluation.json").read_text())["rows"][0]["top1"] > 0
        assert as_json or "top-1 %" in capsys.readouterr().out  # printed before
        raise ValueError("no\nfont")

    as_json = True
    monkeypatch.setattr("experiments.evaluation.confusion.draw", fail)
    document, said = printed(monkeypatch, capsys, "evaluate", ids[0], "--out", "failing")
    assert said.count("could not be drawn") == 1
    assert "failing/confusion.png could not be drawn (ValueError: no)" in said
    names = {Path(file).name for file in document["files"]}
    assert "calibration.png" in names
    assert "confusion.png" not in names
    assert json.loads(Path("failing/evaluation.json").read_text()) == document
    as_json = False
    assert inside(monkeypatch, "evaluate", ids[0], "--out", "failing") == 0
