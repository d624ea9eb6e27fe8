"""What was saved before the code moved into rooms still opens, goes on and says the same."""

from __future__ import annotations

import io
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import console
import numpy as np
import pytest
from PIL import Image

KEPT = Path(__file__).parents[2] / "data" / "before_rooms"

FIRST = "d2050b4946d143828c90cf241f2fff17"  # run of the sweep, and the one that is registered

RATE = "train.optimizer.learning_rate"

TRIALS = [(0.0062061, 0.20612813370473537), (0.00127482, 0.116991643454039),
          (0.0065908, 0.12813370473537605)]  # fmt: skip

PIXELS = np.arange(0, 256, 4, np.uint8).reshape(8, 8)

SERVED = {
    "0": 0.37293103337287903, "3": 0.16949711740016937, "8": 0.13360366225242615,
    "9": 0.104586660861969, "2": 0.0842515155673027,
}  # fmt: skip

LOGITS = [2.20188, -1.457665, 0.714294, 1.413323, -0.160005, 0.287432, -0.378199, -1.75263,
          1.175365, 0.930503]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder as the commands left it, at another place and on this machine."""
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(KEPT / "folder.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    for path in (*folder.rglob("MLmodel"), *folder.rglob("lock"), folder / "mlflow.sql"):
        text = path.read_text(encoding="utf-8")
        text = text.replace("@FOLDER@", str(folder)).replace("@HOST@", socket.gethostname())
        path.write_text(text, encoding="utf-8")
    database = sqlite3.connect(folder / "mlflow.db")
    database.executescript((folder / "mlflow.sql").read_text(encoding="utf-8"))
    database.close()
    return folder


@pytest.fixture(scope="module")
def answers(folder):
    """What four commands answer there, one after the other in a process of its own."""
    inline = "launch.executor=inline"  # starts no workers, and changes no result
    commands = {
        "sweep": ["sweep", "before.yaml", inline],
        "search": ["search", "before-search.yaml", inline],
        "compare": ["compare", "before"],
        "evaluate": ["evaluate", FIRST],
    }
    script = """
        import json, sys
        sys.path.insert(0, sys.argv[1])
        from console import in_this_process
        commands = json.loads(sys.argv[2])
        print(json.dumps({name: in_this_process(*words) for name, words in commands.items()}))
    """
    out, err = python(folder, script, str(Path(console.__file__).parent), json.dumps(commands))
    return json.loads(out), err


def python(folder, script, *words):
    """stdout and stderr of a script that runs in the folder, as its user would run it."""
    lines = "\n".join(line.removeprefix(" " * 8) for line in script.splitlines())
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-c", lines, *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_a_network_of_every_layer_of_ours_gives_its_output():
    import keras

    import models.layers  # noqa: F401  (registers them)

    network = keras.saving.load_model(KEPT / "layers.keras")
    with np.load(KEPT / "layers.npz") as kept:
        np.testing.assert_allclose(np.asarray(network(kept["input"])), kept["output"], rtol=1e-5)


def test_a_finished_sweep_trains_nothing_and_says_the_same(folder, answers):
    said, err = answers
    assert "2 runs (2 model.options.hidden), 2 already done" in err
    assert said["sweep"] == json.loads((folder / "sweep.json").read_text(encoding="utf-8"))


def test_a_killed_search_goes_on_after_its_third_fit(answers):
    said, err = answers
    assert "3 fits already done" in err
    trials = said["search"]["trials"]
    first = [(trial["hyperparameters"][RATE], trial["score"]) for trial in trials[:3]]
    assert first == TRIALS
    assert [trial["number"] for trial in trials] == list(range(10))
    assert {trial["status"] for trial in trials} == {"finished"}


def test_the_store_is_read_and_a_run_is_scored_to_what_it_logged(folder, answers):
    said, _ = answers
    runs = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["runs"]
    rows = {row["run_ids"][0]: row for row in said["compare"]["rows"]}
    assert {run_id: row["test_top1"] for run_id, row in rows.items()} == {
        run["run_id"]: run["test_top1"] for run in runs
    }
    [row] = said["evaluate"]["rows"]
    assert row["top1"] == runs[0]["test_top1"]


def test_a_registered_network_loads_by_the_layers_of_today(folder):
    import mlflow.keras

    import models.layers  # noqa: F401  (registers them)

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        network = mlflow.keras.load_model("models:/before/1")
    finally:
        mlflow.set_tracking_uri(None)
    logits = np.asarray(network(PIXELS[None, ..., None].astype(np.float32)))[0]
    np.testing.assert_allclose(logits, LOGITS, atol=1e-4)


def test_a_served_network_answers_by_the_code_that_it_carries(folder):
    picture = io.BytesIO()
    Image.fromarray(PIXELS).save(picture, "png")
    script = """
        import json, sys
        import mlflow, pandas
        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        served = mlflow.pyfunc.load_model("models:/before-served/1")
        import experiments.served_model
        picture = pandas.DataFrame({"image": [bytes.fromhex(sys.argv[1])]})
        print(json.dumps([experiments.served_model.__file__, served.predict(picture)]))
    """
    file, [row] = json.loads(python(folder, script, picture.getvalue().hex())[0])
    assert Path(file).is_relative_to(folder / "mlruns" / "before" / "models")
    assert row["label"] == "0"
    assert row["labels"] == list(SERVED)
    np.testing.assert_allclose(row["probabilities"], list(SERVED.values()), atol=1e-5)
