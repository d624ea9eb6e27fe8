"""Tracking on a real server: what it holds, and what happens when it goes away in mid-run."""

from __future__ import annotations

import json

import pytest
from command import answer, outside, write_config
from mlflow import MlflowClient

from experiments import track, ui
from experiments.errors import BadInput


@pytest.fixture
def server(tmp_path):
    started = ui.start(f"sqlite:///{tmp_path}/server.db")
    yield started
    ui.stop(started)


def test_a_server_that_dies_in_mid_run_costs_nothing_but_a_later_replay(tmp_path, server):
    uri = f"tracking.uri={server.base_url}"
    config = write_config(
        tmp_path, name="remote", sweep={"train.epochs": [1, 60]}, tracking={"save_model": "none"}
    )
    process = outside(tmp_path, "sweep", config, uri, "--json")
    client = MlflowClient(server.base_url)
    stop_when_streaming(client, server)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "tracking failed" in err
    assert "Traceback" not in err
    first = json.loads(out)
    assert [run["status"] for run in first["runs"]] == ["finished", "finished"]

    again = ui.start(f"sqlite:///{tmp_path}/server.db")
    try:
        uri = f"tracking.uri={again.base_url}"
        second = answer(tmp_path, "sweep", config, uri)
        client = MlflowClient(again.base_url)
        for old, new in zip(first["runs"], second["runs"], strict=True):
            assert old["val_loss"] == new["val_loss"]
            run = client.get_run(new["run_id"])
            assert run.info.status == "FINISHED"
            assert run.data.metrics["test_top1"] == old["test_top1"]
            steps = [m.step for m in client.get_metric_history(run.info.run_id, "learning_rate")]
            assert sorted(steps) == list(range(1, old["epochs"] + 1))
            assert "predictions.parquet" in {f.path for f in client.list_artifacts(run.info.run_id)}
    finally:
        ui.stop(again)


def stop_when_streaming(client, server):
    """Wait for the second run's first metrics, then end the server."""
    import time

    for _ in range(600):
        found = client.search_experiments(filter_string="name = 'remote'")
        runs = client.search_runs([e.experiment_id for e in found], "tags.level = 'run'")
        if any(r.data.params.get("train.epochs") == "60" and r.data.metrics for r in runs):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the second run never logged a metric")
    ui.stop(server)


def test_passwords_are_not_shown():
    assert track.shown("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert "secret" not in track.store_key("https://me:secret@host")


def test_the_store_is_the_option_then_the_variable_then_the_folder(monkeypatch):
    assert track.store_uri(None) == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///env.db")
    assert track.store_uri(None) == "sqlite:///env.db"
    assert track.store_uri("sqlite:///mine.db") == "sqlite:///mine.db"


@pytest.mark.parametrize("uri", ["file:mlruns", "mlruns", "sqlite:////no/such/place/x.db"])
def test_stores_that_cannot_be_are_refused(uri):
    with pytest.raises(BadInput, match=r"tracking\.uri"):
        track.connect(uri)


def test_metrics_that_a_server_did_not_take_are_sent_later():
    class Flaky:
        def __init__(self):
            self.up, self.got = False, []

        def log_batch(self, run_id, metrics):
            if not self.up:
                raise OSError("down")
            self.got += [(m.key, m.step) for m in metrics]

    client = Flaky()
    run = track.Run(client, "id")
    with pytest.raises(OSError, match="down"):
        run.metrics({"a": 1.0}, step=1, now=True)
    run.metrics({"a": 2.0}, step=2)  # no attempt so soon after a failure
    client.up = True
    run.flush()
    run.flush()
    assert client.got == [("a", 1), ("a", 2)]
