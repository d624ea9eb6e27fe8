"""Each mistake a user makes: one line that names the thing and the fix, exit code 2."""

from __future__ import annotations

import socket

import numpy as np
import pytest
from command import inside, refused, write_config
from PIL import Image


def photos(folder, classes, each=6, size=(20, 20)):
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    return folder


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["train.epohcs=3"], ["tiny.yaml", "train.epohcs", "did you mean train.epochs?"]),
        (["train.epochs=ten"], ["tiny.yaml", "train.epochs", "'ten'"]),
        (["train.epochs=-3"], ["train.epochs", "-3"]),
        (["train.optimizer.learning_rate=0"], ["train.optimizer.learning_rate", "greater than 0"]),
        (["train.optimizer.learning_rate=-1"], ["train.optimizer.learning_rate", "-1"]),
        (["model.name=resnet20"], ["model.name", "resnet20", "resnet20_cifar"]),
        (["data.image_size=8"], ["lenet5", "16x16", "8x8", "data.image_size"]),
        (["data.source=folder:nowhere"], ["data.source", "nowhere"]),
        (["data.source=digit"], ["data.source", "digit", "digits"]),
        (["augment.preset=alexnet"], ["pca_jitter", "RGB"]),
        (["train.class_weights={x: 2.0}"], ["train.class_weights.x", "no such class"]),
        (["tracking.uri=sqlite:///no/such/folder/x.db"], ["tracking.uri", "no/such/folder"]),
        (["tracking.uri=mlruns"], ["tracking.uri", "sqlite:///mlflow.db"]),
        (["train.initialize_from=gone.keras"], ["train.initialize_from", "gone.keras"]),
    ],
)
def test_wrong_settings(monkeypatch, capsys, tmp_path, overrides, said):
    line = refused(monkeypatch, capsys, "train", write_config(tmp_path), *overrides)
    for word in said:
        assert word in line


@pytest.mark.parametrize("key", ["launch.workers", "evaluate.protocol", "validation.folds"])
def test_an_axis_that_changes_no_result(monkeypatch, capsys, tmp_path, key):
    config = write_config(tmp_path, sweep={key: [2, 3] if key[0] != "e" else ["centre", "dense"]})
    line = refused(monkeypatch, capsys, "sweep", config)
    assert f"sweep.{key}: cannot be an axis" in line


def test_missing_config(monkeypatch, capsys, tmp_path):
    write_config(tmp_path)
    line = refused(monkeypatch, capsys, "train", "tinny.yaml")
    assert "tinny.yaml: no such config file; did you mean tiny.yaml?" in line


def test_no_answer_at_the_tracking_uri(monkeypatch, capsys, tmp_path):
    with socket.socket() as taken:  # bound and not listening: nobody will answer here
        taken.bind(("127.0.0.1", 0))
        uri = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
        line = refused(monkeypatch, capsys, "train", write_config(tmp_path), f"tracking.uri={uri}")
    assert "does not answer" in line
    assert "secret" not in line


def test_unwritable_output(monkeypatch, capsys, tmp_path):
    (tmp_path / ".ilsvrc").write_text("in the way")
    line = refused(monkeypatch, capsys, "train", write_config(tmp_path))
    assert ".ilsvrc" in line
    assert "cannot be written" in line


def test_folders_that_hold_no_classes(monkeypatch, capsys, tmp_path):
    config = write_config(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(monkeypatch, capsys, "train", config, "data.source=folder:empty")
    photos(tmp_path / "one", ["cat"])
    line = refused(monkeypatch, capsys, "train", config, "data.source=folder:one")
    assert "cat" in line


def test_a_class_with_too_few_images(monkeypatch, capsys, tmp_path):
    photos(tmp_path / "few", ["cat", "dog"])
    photos(tmp_path / "few", ["emu"], each=1)
    line = refused(monkeypatch, capsys, "train", write_config(tmp_path), "data.source=folder:few")
    assert "emu" in line
    assert "1" in line


@pytest.mark.parametrize("content", [b"this is text", b"", None], ids=["text", "empty", "cut"])
def test_a_file_that_is_no_jpeg(monkeypatch, capsys, tmp_path, content):
    photos(tmp_path / "set", ["cat", "dog"], each=12)
    bad = tmp_path / "set" / "dog" / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:300] if content is None else content)
    config = write_config(tmp_path)
    source = "data.source=folder:set"
    line = refused(monkeypatch, capsys, "train", config, source)
    assert "dog/3.jpg" in line
    assert "data.on_corrupt" in line

    line = refused(monkeypatch, capsys, "train", config, source, "data.on_corrupt=skip")
    assert "max_corrupt_fraction" in line

    code = inside(
        monkeypatch, "train", config, source, "data.on_corrupt=skip",
        "data.max_corrupt_fraction=0.1", "--dry-run",
    )  # fmt: skip
    assert code == 0
    assert "1 corrupt" in capsys.readouterr().out


def test_sweep_refuses_a_bad_cell_before_anything_starts(monkeypatch, capsys, tmp_path):
    config = write_config(tmp_path, sweep={"model.name": ["lenet5", "lenet6"]})
    assert "lenet6" in refused(monkeypatch, capsys, "sweep", config)
    assert not (tmp_path / "mlflow.db").exists()
    config = write_config(tmp_path, sweep={"train.epocs": [1]})
    assert "train.epochs" in refused(monkeypatch, capsys, "sweep", config)
    assert "no axes" in refused(monkeypatch, capsys, "sweep", write_config(tmp_path))
    config = write_config(tmp_path, sweep={"tracking.uri": ["a"]})
    assert "tracking.uri" in refused(monkeypatch, capsys, "sweep", config)


def test_status_and_compare_of_what_is_not_there(monkeypatch, capsys):
    assert "nothing" in refused(monkeypatch, capsys, "status", "gone")
    assert "gone" in refused(monkeypatch, capsys, "compare", "gone")
