"""A real server, on PostgreSQL where that is installed: with four writers, killed in mid-run.

Every address holds a password, and it must be nowhere afterwards.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from blank_store import blank_store
from mlflow import MlflowClient
from real_server import Mlflow, postgres, postgres_programs
from scripted import Scripted, curve, execute, job, whole

from experiments.errors import BadInput
from experiments.runs import execute as execution
from experiments.tracking import outbox, upload
from experiments.tracking.run_log import RunLog
from experiments.tracking.store import connect, experiment_id

SECRET = "plantedSECRET1"
EPOCHS = 120
WRITERS, RUNS, STEPS = 4, 3, 200


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server that answers, its folder and its database: starting one takes seconds."""
    folder = tmp_path_factory.mktemp("server")
    with contextlib.ExitStack() as stack:
        if programs := postgres_programs():
            database = stack.enter_context(postgres(programs, SECRET))
            store, workers = database.replace("://", "+psycopg2://", 1), 2
        else:
            database, workers = None, 1
            store = blank_store(folder)
        server = Mlflow(store, folder)
        stack.callback(server.kill)
        server.start(workers)
        server.wait()
        yield server, folder, database


@pytest.fixture
def watched(monkeypatch):
    """Names of the threads that talk to the server."""
    names = set()
    for name in ("log_batch", "create_run", "set_terminated", "log_text"):
        real = getattr(MlflowClient, name)

        def method(*words, real=real, **more):
            names.add(threading.current_thread().name)
            return real(*words, **more)

        monkeypatch.setattr(MlflowClient, name, method)
    return names


def files_with(secret, folder):
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


def with_password(server):
    return server.uri.replace("http://", f"http://me:{SECRET}@")


def runs_of(client, name):
    return client.search_runs([client.get_experiment_by_name(name).experiment_id])


def write(number, uri):
    """What one of the writers does, with a client of its own."""
    client = connect(uri)
    where = experiment_id(client, uri, "crowd")
    for index in range(RUNS):
        name = f"{number}-{index}"
        params = {f"p{i}": i for i in range(150)}
        run = RunLog.start(client, where, name, {"level": "run"}, params)
        for step in range(STEPS):
            run.metrics({"a": step / 7, "b": -step}, step=step, now=step % 20 == 0)
        run.document("note.txt", name)
        run.end("finished")


@pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed here")
def test_four_writers_at_once_on_postgresql_lose_nothing(place, capfd):
    server, folder, database = place
    with ThreadPoolExecutor(WRITERS) as crowd:
        list(crowd.map(write, range(WRITERS), [with_password(server)] * WRITERS))

    client = MlflowClient(server.uri)
    found = runs_of(client, "crowd")
    names = sorted(run.info.run_name for run in found)
    assert names == sorted(f"{n}-{i}" for n in range(WRITERS) for i in range(RUNS))
    for run in found:
        assert run.info.status == "FINISHED"
        assert len(run.data.params) == 150
        assert curve(client, run.info.run_id, "a") == [(s, s / 7) for s in range(STEPS)]
        assert curve(client, run.info.run_id, "b") == [(s, -s) for s in range(STEPS)]
    notes = [path.read_text() for path in folder.rglob("note.txt")]
    assert sorted(notes) == names
    dump = subprocess.run(
        [postgres_programs() / "pg_dump", database], capture_output=True, text=True, check=True
    ).stdout
    assert "p149" in dump
    assert SECRET not in dump
    with pytest.raises(BadInput, match=r"tracking\.uri") as refused:
        connect(database.replace("://suite:", "+psycopg2://suite:wrong", 1))
    assert SECRET not in str(refused.value)
    assert files_with(SECRET, folder) == []
    assert SECRET not in "".join(capfd.readouterr())


def test_a_server_that_is_killed_and_comes_back_in_mid_run_loses_nothing(
    place, tmp_path, monkeypatch, watched, capfd
):
    """The last one here: the server does not live through it."""
    server, folder, _ = place
    uri = with_password(server)
    monkeypatch.setattr(execution, "PATIENCE", 60.0)
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # else MLflow sits out the outage

    def between(one, epoch):
        if one.config.seed == 1 and epoch == EPOCHS // 3:
            assert run_is_streamed()
            server.kill()
        if one.config.seed == 1 and epoch == EPOCHS // 2:
            server.start()  # it comes back while the fit goes on

    def run_is_streamed():
        for _ in range(200):
            found = runs_of(MlflowClient(server.uri), "scripted")
            if found and found[0].data.metrics:
                return True
            threading.Event().wait(0.05)
        return False

    _, ran, said = execute(Scripted(EPOCHS, between), [job(1), job(2)], uri)
    assert said.count("tracking failed") == 1
    assert "answers again" in said
    assert "upload" not in said
    assert watched == {"outbox"}, "training waited for the server"
    client = MlflowClient(server.uri)
    assert len(runs_of(client, "scripted")) == 2
    for number, run in enumerate(ran, start=1):
        found = client.get_run(run.id)
        assert found.info.status == "FINISHED"
        assert found.data.metrics["test_top1"] == 0.5 + number / 100
        assert curve(client, run.id, "val_top1") == whole(EPOCHS)

    monkeypatch.setattr(execution, "PATIENCE", 0.5)  # and one that stays away
    _, [run], said = execute(Scripted(3, lambda *_: server.kill()), [job(4)], uri)
    assert said.count("tracking failed") == 1
    assert said.count("ilsvrc upload scripted") == 1

    with pytest.raises(BadInput, match="does not answer") as refused:
        upload.upload("scripted", uri, print)
    assert SECRET not in str(refused.value)
    assert files_with("val_top1", tmp_path), "nothing was searched"
    assert files_with(SECRET, tmp_path) == files_with(SECRET, folder) == []
    assert SECRET not in said + "".join(capfd.readouterr())
