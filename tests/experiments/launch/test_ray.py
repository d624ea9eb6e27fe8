"""Ray: the same tables as elsewhere, on real nodes of which one dies, with a worker killed."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import uuid
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import real_ray
from mlflow import MlflowClient
from real_server import free_port

from experiments.config import settings
from experiments.config.launch import Launch
from experiments.config.schema import Config
from experiments.errors import BadInput, FailedWork, Stopped
from experiments.jobs.job import Job, Outcome
from experiments.jobs.plan import prepare
from experiments.launch import executors, ray_cluster, ray_executor
from experiments.launch.ray_slot import Delivered, deliver
from experiments.runs import sweep
from experiments.runtime.machine import cores
from experiments.runtime.share import Share
from experiments.search import run as search
from experiments.search.results.plots import pictures

BASE = {
    "name": "s",
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.15},
    "model": {"name": "mlp"},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
    "tracking": {"save_model": "none"},
}
SWEEP = BASE | {
    "train": {"epochs": 80, "checkpoint": {"every_seconds": 0.1}},
    "sweep": {"seed": [1, 2, 3]},
}
SEARCH = BASE | {
    "train": {"epochs": 2},
    "search": {
        "parallel": 2,
        "refit": True,
        "space": {
            "train.optimizer.learning_rate": {
                "type": "float", "low": 0.01, "high": 0.3, "log": True
            },
            "data.batch_size": [16, 32],
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store without runs; a copy saves making its tables."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def enter(tmp_path, empty_store, monkeypatch):
    """Makes a folder with a store and goes there."""
    monkeypatch.setattr(pictures, "write", lambda *_: [])  # seconds, and tested elsewhere

    def go(name):
        (tmp_path / name).mkdir()
        shutil.copyfile(empty_store, tmp_path / name / "mlflow.db")
        monkeypatch.chdir(tmp_path / name)

    return go


@pytest.fixture(scope="module", autouse=True)
def token():
    """Nodes and drivers show it to each other; Ray would write one into the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="module")
def nodes(token):
    """A cluster of two nodes with one core each."""
    if sys.platform == "darwin":
        pytest.skip("the nodes have loopback addresses of their own, and macOS has 127.0.0.1 alone")
    ray_cluster.load_ray(local=True)  # first, so that Ray of this machine binds to 127.0.0.1
    with real_ray.two_nodes() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def inline(tmp_path_factory, empty_store):
    """The table of SWEEP without Ray."""
    folder = tmp_path_factory.mktemp("inline")
    shutil.copyfile(empty_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return rows(sweep.sweep(config(SWEEP, executor="inline"), ""))


def threads():
    """Of this process: shared out, they could change last bits."""
    import tensorflow as tf

    return tf.config.threading.get_intra_op_parallelism_threads() or cores()


def config(document, **launched):
    # MLflow keeps one store for a relative address, whatever the folder
    own = document["tracking"] | {"uri": f"sqlite:///{Path.cwd()}/mlflow.db"}
    return settings.parse(document | {"launch": launched, "tracking": own})


def rows(result):
    costs = ("run_id", "step_seconds", "peak_memory_bytes", "train_seconds")
    return [
        {k: v for k, v in row.items() if k not in costs and "per_second" not in k
         and not k.startswith(("latency", "infer"))}
        for row in result["runs"]
    ]  # fmt: skip


@pytest.fixture
def far(monkeypatch):
    """As on nodes that do not see the coordinator's folder."""
    name, real = f"ray-{uuid.uuid4().hex}", executors.executor

    def made(asked):
        pool = real(asked)
        for worker in getattr(pool, "workers", ()):
            worker.arguments = (worker.arguments[0], "/nowhere", name)
        return pool

    monkeypatch.setattr(executors, "executor", made)
    yield
    shutil.rmtree(Path(tempfile.gettempdir()) / name, ignore_errors=True)


@pytest.fixture
def same_threads(monkeypatch):
    """One core of Ray's a worker; as many threads as here."""
    monkeypatch.setattr(ray_executor, "cores_of", lambda launch, cores: 1.0)
    share = Share
    monkeypatch.setattr(ray_executor, "Share", lambda *_, **__: share(threads()))


def in_mid_trial(said):
    trains = any(isinstance(one, dict) and one.get("epoch", 0) > 3 for one in said)
    return trains and not any(isinstance(one, Outcome | Delivered) for one in said)


def test_a_node_and_a_worker_die_and_the_table_is_the_same(
    nodes, inline, enter, same_threads, monkeypatch, capfd
):
    enter("processes")
    asked = config(SWEEP, executor="processes", cpus=threads())
    assert rows(sweep.sweep(asked, "")) == inline

    struck = []
    hear = ray_executor.Remote.hear

    def strike(worker):
        """The second node ends in mid-trial; then a worker of the first one, in mid-trial."""
        said = hear(worker)
        if in_mid_trial(said):
            on_second = worker.where["node"] == nodes.second.address
            if not struck and on_second:
                struck.append(worker.job.path)
                nodes.second.kill()
            elif len(struck) == 1 and not on_second:
                struck.append(worker.job.path)
                os.kill(worker.where["pid"], signal.SIGKILL)
        return said

    monkeypatch.setattr(ray_executor.Remote, "hear", strike)
    enter("ray")
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)  # what `auto` looks at first
    before = signal.getsignal(signal.SIGTERM)
    table = rows(sweep.sweep(config(SWEEP, executor="ray", workers=2, address="auto"), ""))

    assert signal.getsignal(signal.SIGTERM) is before
    assert len(struck) == 2
    printed = capfd.readouterr()
    assert printed.out == ""  # which --json has
    assert printed.err.count("; tried again, ") == 2
    assert "died: " in printed.err
    assert table == inline
    assert [row["status"] for row in table] == ["finished"] * 3

    journals = list(Path(".ilsvrc/s").glob("*/journal.jsonl"))
    ends = {}
    for journal in journals:
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        ends[journal.parent.name] = [e for e in events if e["event"] == "ended"]
    own = [ended for name, ended in ends.items() if not name.startswith("sweep-")]
    assert len(own) == 3
    assert [[e["outcome"]["status"] for e in ended] for ended in own] == [["finished"]] * 3
    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
    [experiment] = [e for e in client.search_experiments() if e.name == "s"]
    children = client.search_runs([experiment.experiment_id], "tags.level = 'run'")
    assert [run.info.status for run in children] == ["FINISHED"] * 3
    for run in children:
        curve = client.get_metric_history(run.info.run_id, "train_loss")
        assert len([m for m in curve if m.step < 80]) == 79  # each epoch once
    assert not list(Path(".ilsvrc").glob("ray-*"))


def test_from_outside_a_cluster_that_does_not_see_the_folder(
    nodes, inline, enter, far, same_threads, monkeypatch, capfd
):
    """By ray://; its worker is killed in mid-trial as well."""
    struck = []
    hear = ray_executor.Remote.hear

    def strike(worker):
        said = hear(worker)
        if in_mid_trial(said) and not struck:
            struck.append(worker.where["shared"])
            os.kill(worker.where["pid"], signal.SIGKILL)
        return said

    monkeypatch.setattr(ray_executor.Remote, "hear", strike)
    enter("client")
    asked = config(SWEEP | {"sweep": {"seed": [1]}}, executor="ray", address=nodes.client_address)
    assert rows(sweep.sweep(asked, "")) == inline[:1]
    assert struck == [False]
    said = capfd.readouterr().err
    assert said.count("; tried again, 1 of 2") == 1
    assert "goes on from its snapshot" in said  # which its node has


@pytest.mark.parametrize(("address", "said"), [
    ("127.0.0.1:{port}", "Connection refused"),
    ("ray://127.0.0.1:{port}", "Connection refused"),
    ("ray://head", r"expected auto, ray://HOST:10001 or HOST:6379"),
])  # fmt: skip
def test_an_address_where_nobody_answers_is_refused_at_once(address, said):
    asked = Launch(executor="ray", address=address.format(port=free_port()))
    with pytest.raises(BadInput, match=rf"launch.address: .*{said}; start it with `ray start"):
        ray_cluster.Cluster(asked).open()


@pytest.mark.parametrize("strategy", [
    pytest.param(
        {"strategy": "bayesian", "trials": 4, "bayesian": {"initial_points": 2}},
        marks=pytest.mark.full,
    ),
    {"strategy": "hyperband", "hyperband": {"max_epochs": 3, "factor": 3}, "refit": False},
])  # fmt: skip
def test_searches_in_rounds_choose_the_same(strategy, here, enter, request):
    results = {}
    if strategy["strategy"] == "bayesian":
        request.getfixturevalue("far")
    for name in ("inline", "ray"):
        enter(name)
        document = SEARCH | {"search": SEARCH["search"] | strategy}
        asked = config(document, executor=name, workers=2, cpus=threads())
        results[name] = search.run("search", asked, "")
    for key in ("trials", "best", "refit"):
        assert strip(results["ray"][key]) == strip(results["inline"][key])
    assert results["ray"]["status"] == "finished"


@pytest.fixture(scope="module")
def here():
    """A Ray of this machine, to which the executors of these tests are connected already."""
    cluster = ray_cluster.Cluster(Launch(executor="ray", workers=2, cpus=threads()))
    cluster.open()
    yield cluster
    cluster.close()


def strip(value):
    """Without what may differ: times, ids, costs."""
    if isinstance(value, dict):
        return {k: strip(v) for k, v in value.items() if k not in ("seconds", "run_id", "cost")}
    return [strip(item) for item in value] if isinstance(value, list) else value


def test_workers_are_given_time_to_take_their_snapshots(here, tmp_path):
    document = SWEEP | {
        "sweep": {},
        "train": {"epochs": 10**6, "checkpoint": {"every_seconds": 3600}},
    }
    job = prepare(settings.parse(document)).job(("run",))

    def stop(job, event):
        if event["kind"] == "epoch":
            raise Stopped

    with pytest.raises(Stopped), executors.executor(Launch(executor="ray")) as executor:
        list(executor.run([job], stop))
    [path] = (Path(job.directory) / "snapshots").iterdir()
    assert path.suffix == ".npz"


def test_a_cluster_that_goes_away_ends_the_command_in_a_line(monkeypatch):
    def gone(*_, **__):
        raise ConnectionError("Client is shutting down.")

    executor = executors.executor(Launch(executor="ray"))
    [worker] = executor.workers
    worker.hearing = "a reference"
    monkeypatch.setattr(executor.cluster.ray, "wait", gone)
    with pytest.raises(FailedWork, match="the cluster went away: Client is shutting down; start"):
        executor.wait([worker], 1.0)
    worker.ask()
    worker.stop(1.0)
    assert worker.hearing is None


def test_what_workers_wait_for_is_said_after_a_while_without_any(monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    monkeypatch.setattr(ray_executor, "time", clock)
    executor = executors.executor(Launch(executor="ray"))
    [worker] = executor.workers
    worker.hearing = "a reference"
    monkeypatch.setattr(executor.cluster.ray, "wait", lambda refs, **_: ([], refs))
    monkeypatch.setattr(executor.cluster, "lacks", lambda needs: "no node has it")
    assert executor.remark() is None
    executor.wait([worker], 1.0)  # one is at work
    said = []
    for clock.now in (100.0, 120.0, 140.0, 160.0):
        said.append(executor.remark())
    assert said == [None, None, "waits: no node has it", None]


def test_ray_that_is_not_installed_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"needs the package ray; pip install 'ilsvrc-suite\[ray\]'"):
        executors.executor(Launch(executor="ray"))


def test_files_of_a_node_that_does_not_see_the_folder_come_back(tmp_path, monkeypatch):
    job = Job(("run",), Config(), np.arange(2), None, None, "g", ".ilsvrc/s/abc")
    own = dataclasses.replace(job, directory=str(tmp_path / "node" / "x"))
    for name in ("predictions.parquet", "plots/layers.png"):
        path = Path(own.directory) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    given = Outcome(
        ("run",),
        "finished",
        predictions=f"{own.directory}/predictions.parquet",
        files=[f"{own.directory}/plots/layers.png"],
    )
    outcome = ray_executor.unpacked(deliver(job, own, given))
    assert (outcome.predictions, outcome.model) == (".ilsvrc/s/abc/predictions.parquet", None)
    assert outcome.files == [".ilsvrc/s/abc/plots/layers.png"]
    assert Path(outcome.predictions).read_text() == "predictions.parquet"
    assert Path(outcome.files[0]).read_text() == "plots/layers.png"
    assert not Path(own.directory).exists()
