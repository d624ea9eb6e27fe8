"""A run in the model registry: loaded by Keras, loaded with its preprocessing, and served."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from command import TINY, inside
from PIL import Image
from real_server import free_port

from experiments.config import settings
from experiments.errors import BadInput
from experiments.evaluation import predict
from experiments.inference import registered_model, served_model
from experiments.runs.train import train

SAME_PIXELS = ("c.bmp", "d.webp", "e.tif")  # as a.png


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A folder with a trained run in its store, registered, and two pictures."""
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder}/mlflow.db"
    inline = {"launch": {"executor": "inline"}, "tracking": {"uri": uri}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_id = train(settings.parse(TINY | inline), quiet=True)["run_id"]
        pixels = np.random.default_rng(1).integers(0, 256, (40, 56, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "a.png")
        turned = Image.Exif()
        turned[0x0112] = 6
        Image.fromarray(pixels[:30]).save(folder / "b.jpg", exif=turned)
        for name in SAME_PIXELS:
            Image.fromarray(pixels).save(folder / name, lossless=True)
        done = registered_model.register(run_id, "digits", uri)
    files = [str(folder / name) for name in ("a.png", "b.jpg", *SAME_PIXELS)]
    expected = predict.predict(run_id, files, [f"tracking.uri={uri}"], quiet=True)
    return folder, uri, run_id, done, files, [row["predictions"] for row in expected]


@pytest.fixture
def store(registered, monkeypatch):
    """The store as a user names it to MLflow; not to the process for good."""
    import mlflow

    mlflow.set_tracking_uri(registered[1])
    yield registered[1]
    mlflow.set_tracking_uri(None)


def test_registering_leaves_mlflows_own_store_alone(registered):
    assert os.environ.get("MLFLOW_TRACKING_URI") != registered[1]
    assert {path.name for path in (registered[0] / "mlruns").iterdir()} == {"tiny"}


def test_keras_loads_it_with_its_signature(registered, store):
    import mlflow.keras
    from mlflow.models import get_model_info

    from experiments.inference.loading import load

    uri = registered[3]["keras"]["uri"]
    model = mlflow.keras.load_model(uri)
    images = np.random.default_rng(2).uniform(0, 255, (3, 16, 16, 1)).astype(np.float32)
    [kept] = load([registered[2]], settings.parse({"tracking": {"uri": store}}))
    np.testing.assert_array_equal(model(images), kept.model(images))
    signature = get_model_info(uri).signature
    assert signature.inputs.inputs[0].shape == (-1, 16, 16, 1)
    assert signature.outputs.inputs[0].shape == (-1, 10)
    version = mlflow.MlflowClient().get_model_version("digits", "1")
    assert version.run_id == registered[2]
    assert version.tags["architecture"] == "lenet5"


def test_served_model_says_what_predict_says_of_bytes_and_base64(registered, store):
    import mlflow.pyfunc
    import pandas as pd

    loaded = mlflow.pyfunc.load_model(registered[3]["served"]["uri"])
    pictures = [Path(file).read_bytes() for file in registered[4]]
    answers = loaded.predict(pd.DataFrame({"image": pictures}))
    for answer, expected in zip(answers, registered[5], strict=True):
        assert answer["labels"] == [each["label"] for each in expected]
        wanted = [each["probability"] for each in expected]
        np.testing.assert_allclose(answer["probabilities"], wanted, atol=1e-3)
        assert answer["label"] == answer["labels"][0]
    assert answers[2:] == [answers[0]] * len(SAME_PIXELS)
    folder = Path(mlflow.artifacts.download_artifacts(registered[3]["served"]["uri"]))
    network = served_model._load_pyfunc(str(folder / "data" / "served"))
    text = [base64.b64encode(picture).decode() for picture in pictures]
    assert network.predict(pd.DataFrame({"image": text})) == answers
    [few] = loaded.predict(pd.DataFrame({"image": pictures[:1]}), params={"top": 2})
    assert len(few["labels"]) == 2


def test_the_printed_request_is_what_mlflows_server_takes(registered, store, tmp_path):
    """The line as a shell runs it, its curl standing in, and the body as MLflow's server has it."""
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import invocations

    line = registered_model.text(registered[3]).splitlines()[-1]
    (tmp_path / "curl").write_text('#!/bin/sh\necho "$@" > arguments\ncat\n')
    (tmp_path / "curl").chmod(0o755)
    (tmp_path / "photo.jpg").write_bytes(Path(registered[4][1]).read_bytes())
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    body = subprocess.run(
        line, shell=True, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True
    ).stdout.decode()
    arguments = (tmp_path / "arguments").read_text()
    assert "--data-binary @- http://127.0.0.1:5001/invocations" in arguments
    [kind] = re.findall(r"Content-Type: (\S+)", arguments)
    loaded = mlflow.pyfunc.load_model(registered[3]["served"]["uri"])
    answer = invocations(body, kind, loaded, loaded.metadata.get_input_schema())
    assert answer.status == 200, answer.response
    [prediction] = json.loads(answer.response)["predictions"]
    assert prediction["labels"] == [each["label"] for each in registered[5][1][:3]]


def test_labels_are_those_of_the_names_file_where_one_is_given(registered, monkeypatch, tmp_path):
    served = []
    monkeypatch.setattr(registered_model, "_log_keras", lambda *words: {})
    monkeypatch.setattr(registered_model, "_log_served", lambda *words: served.append(words[2]))
    names = [f"digit {number}" for number in range(10)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    _, uri, run_id, *_ = registered
    registered_model.register(run_id, "digits", uri, str(tmp_path / "names.txt"))
    registered_model.register(run_id, "digits", uri)
    assert served == [names, list("0123456789")]
    changes = [f"tracking.uri={uri}", f"evaluate.class_names={tmp_path}/names.txt"]
    rows = predict.predict(run_id, registered[4][:1], changes)
    assert {each["label"] for each in rows[0]["predictions"]} < set(names)


def test_readable_names_are_served_beside_the_labels(registered, tmp_path):
    import pandas as pd

    titles = {str(number): f"digit {number}" for number in range(10)}
    served_model.write(
        tmp_path / "served",
        next((registered[0] / ".ilsvrc").rglob("model.keras")),
        list(titles),
        crop_fraction=1.0,
        gives_probabilities=False,
        max_pixels=40 * 56,
        titles=titles,
    )
    network = served_model._load_pyfunc(str(tmp_path / "served"))
    [answer] = network.predict(pd.DataFrame({"image": [Path(registered[4][0]).read_bytes()]}))
    assert answer["title"] == f"digit {answer['label']}"


def test_what_is_no_picture_is_refused_by_its_row(registered, tmp_path):
    import pandas as pd

    served_model.write(
        tmp_path / "served",
        next((registered[0] / ".ilsvrc").rglob("model.keras")),
        list("0123456789"),
        crop_fraction=1.0,
        gives_probabilities=False,
        max_pixels=40 * 56 - 1,
    )
    network = served_model._load_pyfunc(str(tmp_path / "served"))
    large, small = (Path(file).read_bytes() for file in registered[4][:2])
    for bad, said in (
        (b"\0\0\0\x20ftypheic", "image 1: .* HEIF or AVIF image, not JPEG, PNG"),
        ("%%%", "image 1: expected an image file.*not base64"),
        ("é", "image 1: expected an image file.*not base64"),
        (b"", "image 1: expected an image file"),
        ("", "image 1: expected an image file"),
        (None, "image 1: expected an image file.*neither bytes nor base64 text. Received: None"),
        (5, "image 1: .*neither bytes nor base64 text. Received: 5"),
        (float("nan"), "image 1: .*Received: nan"),
        ([1, 2], r"image 1: .*Received: \[1, 2\]"),
        (small[:400], "image 1: .*truncated"),
        (large, "image 1: 40 x 56 pixels.*at most 2239"),
    ):
        with pytest.raises(ValueError, match=said):
            network.predict(pd.DataFrame({"image": [small, bad]}))
    one = pd.DataFrame({"image": [bytearray(small)]})
    for top in (0, -1, True, 2.5, "3", None):
        with pytest.raises(ValueError, match=f"^top: .*whole number from 1. Received: {top!r}$"):
            network.predict(one, {"top": top})
    with pytest.raises(ValueError, match=r"^tpo: no such parameter"):
        network.predict(one, {"tpo": 3})
    assert len(network.predict(one, {"top": np.int64(99)})[0]["labels"]) == 10
    for table, received in (({"picture": [small]}, "picture"), ([small], "list"), (small, "bytes")):
        with pytest.raises(ValueError, match=f"table with a column image. Received: .*{received}"):
            network.predict(table)
    assert network.predict(one.iloc[:0]) == []


def test_mlflow_serves_it_over_http_without_tuning_which_it_does_not_carry(registered, tmp_path):
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "tuning.py").write_text("raise ImportError('tuning does not travel')")
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["-m", registered[3]["served"]["uri"], "--host", "127.0.0.1", "--port", str(port)]
    # MLflow starts uvicorn by its name, and a virtual environment need not be activated.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ
            | {"MLFLOW_TRACKING_URI": registered[1], "PATH": path}
            | {"PYTHONPATH": str(tmp_path / "blocked")},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            assert server.poll() is None, (tmp_path / "log").read_text()
            if asked(f"{url}/ping") is not None:
                break
            time.sleep(0.2)
        pictures = [base64.b64encode(Path(file).read_bytes()).decode() for file in registered[4]]
        body = {"dataframe_split": {"columns": ["image"], "data": [[each] for each in pictures]}}
        answers = asked(f"{url}/invocations", body)["predictions"]
        if shutil.which("curl"):
            line = registered_model.REQUEST.replace(f":{registered_model.PORT}/", f":{port}/")
            line = line.replace("photo.jpg", registered[4][0]).replace("curl", "curl --noproxy '*'")
            done = subprocess.run(line, shell=True, capture_output=True, timeout=60)
            [of_curl] = json.loads(done.stdout)["predictions"]
            assert of_curl["labels"] == answers[0]["labels"][:3]
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(server.pid, signal.SIGKILL)  # the server and its workers
        server.wait()
    assert [a["label"] for a in answers] == [e[0]["label"] for e in registered[5]]
    for answer, expected in zip(answers, registered[5], strict=True):
        assert answer["probability"] == pytest.approx(expected[0]["probability"], abs=1e-3)


def asked(url, body=None):
    """The JSON of an answer, or its text; None where nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=60) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError as error:
        pytest.fail(error.read().decode())
    except (ConnectionError, urllib.error.URLError):
        return None
    return json.loads(text) if text.strip() else text


def test_the_run_names_its_data(registered, store):
    import mlflow

    [given] = mlflow.get_run(registered[2]).inputs.dataset_inputs
    assert given.dataset.name == "digits"
    tags = mlflow.get_run(registered[2]).data.tags
    of_source, _, of_split = given.dataset.digest.partition("-")
    assert tags["source_fingerprint"].startswith(of_source)
    assert len(of_source) >= 16
    assert len(of_split) >= 8
    profile = json.loads(given.dataset.profile)
    assert profile["images"] == {"train": 272, "val": 359, "test": 359}
    assert profile["split"]["seed"] == 1
    assert mlflow.data.get_source(given).to_dict() == {"tags": {"ilsvrc.source": "digits"}}


def test_the_run_keeps_accuracy_by_class_as_a_table(registered, store):
    import mlflow

    run = mlflow.get_run(registered[2])
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "per_class.json", "type": "table"}
    ]
    client = mlflow.MlflowClient()
    table = client.load_table(run.info.experiment_id, "per_class.json", [registered[2]])
    assert [str(name) for name in table["class"]] == list("0123456789")
    assert table["images"].sum() == 359
    whole = (table["top1"] * table["images"]).sum() / 359
    assert whole == pytest.approx(run.data.metrics["test_top1"])


@pytest.mark.parametrize(
    ("run_id", "name", "said"),
    [("0" * 32, "a", "no such run"), ("x.keras", "a", "32 hex"), (None, "a/b", "NAME: expected")],
)
def test_bad_input_is_refused(registered, run_id, name, said):
    with pytest.raises(BadInput, match=said):
        registered_model.register(run_id or registered[2], name, registered[1])


def test_command_prints_how_it_is_used(registered, monkeypatch, capsys):
    done = {
        "run_id": "r",
        "store": "sqlite:///x.db",
        **{k: registered[3][k] for k in ("keras", "served")},
    }
    monkeypatch.setattr(registered_model, "register", lambda *words: done)
    assert inside(monkeypatch, "register", "r", "digits") == 0
    printed = capsys.readouterr().out
    assert "mlflow models serve -m models:/digits-served/1" in printed
    assert "mlflow.keras.load_model('models:/digits/1')" in printed
    assert "sqlite:///x.db" in printed
    assert registered_model.REQUEST in printed
