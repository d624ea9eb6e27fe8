"""What a store missed is sent from the journals, once; two starts do not share a folder."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from blank_store import blank_store
from command import inside, write_config
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from scripted import Scripted, curve, execute, job, whole

from experiments.config import settings
from experiments.config.schema import Tracking
from experiments.errors import BadInput
from experiments.jobs.job import Job
from experiments.runs import execute as execution
from experiments.runs import sweep
from experiments.runs.parent import end_parent, parent_run
from experiments.tracking import delivery, journal, outbox, run_log, upload
from experiments.tracking.experiment import Experiment
from experiments.tracking.lock import check_free, held
from experiments.tracking.outbox import Outbox


@pytest.fixture
def store(tmp_path):
    return blank_store(tmp_path)


@pytest.fixture
def other(tmp_path):
    return blank_store(tmp_path, "other.db")


def of_level(client, level="run"):
    [experiment] = client.search_experiments(filter_string="name = 'scripted'")
    return client.search_runs([experiment.experiment_id], f"tags.level = '{level}'")


class Broken:
    """A store whose metrics cannot be written as long as `down`."""

    def __init__(self, monkeypatch):
        self.down, self.threads = False, set()
        real = MlflowClient.log_batch

        def log_batch(client, run_id, metrics=(), params=(), tags=(), **more):
            self.threads.add(threading.current_thread().name)
            if self.down and metrics:
                raise OSError("no route to http://me:planted@host")
            return real(client, run_id, metrics, params, tags, **more)

        monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
        monkeypatch.setattr(execution, "answers", lambda uri: not self.down)
        monkeypatch.setattr(run_log, "EVERY_SECONDS", 0.0)
        monkeypatch.setattr(execution, "PATIENCE", 0.1)


class Images(list):
    fingerprint = "fingerprint"

    def is_known_as(self, fingerprint):
        return fingerprint == self.fingerprint


def start_sweep(store):
    """A parent as a sweep has it, and its book."""
    config = settings.parse({"name": "scripted", "data": {"source": "digits"}})
    book = journal.of_sweep("scripted", "x").open()
    experiment = Experiment("scripted", Tracking(uri=store))
    images = Images(range(9))
    plan = SimpleNamespace(config=config, source=images)
    job = Job(("cell", 0), config, np.arange(9), None, None, "key", "nowhere")
    cells = [SimpleNamespace(plan=plan, job=job)] * 2
    parent = parent_run(config, experiment, book, "sweep", {"sweep.seed": [1, 2]}, cells)
    return experiment, book, parent


def test_a_sweep_goes_to_an_empty_store_and_only_once(monkeypatch, capsys, store, other):
    experiment, book, parent = start_sweep(store)
    _, ran, _ = execute(Scripted(3), [job(1), job(2)], store, parent.id)
    end_parent(parent, experiment, book, "finished")
    assert upload.upload("scripted", store, print) == {
        "name": "scripted", "store": store, "sent": [], "held": 3, "left": [],
    }  # fmt: skip

    assert inside(monkeypatch, "upload", "scripted", f"tracking.uri={other}", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert (len(first["sent"]), first["held"], first["left"]) == (3, 0, [])
    second = upload.upload("scripted", other, print)
    assert (second["sent"], second["held"]) == ([], 3)

    here, there = MlflowClient(store), MlflowClient(other)
    [above] = of_level(there, "sweep")
    assert above.info.status == "FINISHED"
    assert above.data.params == {"sweep.seed": "[1, 2]"}
    [given] = [one.dataset for one in above.inputs.dataset_inputs]
    assert (given.name, given.digest) == ("digits", "fingerprint")
    assert json.loads(given.profile) == {"num_rows": 9}
    originals = {run.data.params["seed"]: run for run in of_level(here)}
    assert len(originals) == len(ran)
    for copy in of_level(there):
        original = originals.pop(copy.data.params["seed"])
        assert copy.data.metrics == original.data.metrics
        assert copy.data.params == original.data.params
        assert copy.data.tags["mlflow.parentRunId"] == above.info.run_id
        assert copy.inputs.dataset_inputs[0].dataset.digest.startswith("fingerprint-")
        assert copy.info.start_time == original.info.start_time
        assert copy.info.end_time == original.info.end_time
        sides = [(here, original.info.run_id), (there, copy.info.run_id)]
        stamps = [
            [(m.timestamp, m.step, m.value) for m in client.get_metric_history(run, "val_top1")]
            for client, run in sides
        ]
        assert stamps[0] == stamps[1]
        names = [{f.path for f in client.list_artifacts(run)} for client, run in sides]
        assert names[0] == names[1] >= {"config.yaml", "versions.json"}
    assert not originals


def test_a_store_that_is_away_costs_a_line_and_is_made_up_for(monkeypatch, store):
    broken = Broken(monkeypatch)

    def between(one, epoch):
        broken.down = (one.config.seed, epoch) > (1, 5)

    experiment, ran, said = execute(Scripted(20, between), [job(1), job(2)], store)
    assert experiment.away
    assert broken.threads == {"outbox"}, "training waited for the store"
    assert said.count("tracking failed") == 1
    assert said.count("ilsvrc upload scripted") == 1
    assert "planted" not in said
    client = MlflowClient(store)
    assert len(curve(client, ran[0].id, "val_top1")) < 20

    broken.down = False
    done = upload.upload("scripted", store, print)
    assert (len(done["sent"]), done["left"]) == (2, [])
    assert upload.upload("scripted", store, print)["sent"] == []
    for run in of_level(client):
        assert run.info.status == "FINISHED"
        assert curve(client, run.info.run_id, "val_top1") == whole(20)
        assert len(client.get_metric_history(run.info.run_id, "test_top1")) == 1
    assert len(of_level(client)) == 2


def test_a_store_that_comes_back_gets_all_in_order_and_once(monkeypatch, store):
    broken = Broken(monkeypatch)
    monkeypatch.setattr(outbox, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0.01)

    def between(one, epoch):
        broken.down = (one.config.seed, 3) == (1, min(epoch, 3)) and epoch < 15

    experiment, ran, said = execute(Scripted(30, between), [job(1), job(2)], store)
    assert not experiment.away
    client = MlflowClient(store)
    assert len(of_level(client)) == 2
    for run in ran:
        assert client.get_run(run.id).info.status == "FINISHED"
        assert curve(client, run.id, "val_top1") == whole(30)
    assert "upload" not in said


def test_what_has_no_room_is_taken_from_the_journal(monkeypatch, store):
    broken = Broken(monkeypatch)
    monkeypatch.setattr(delivery, "ROOM", 6)
    held_back = []

    def between(one, epoch):
        broken.down = epoch < 19
        held_back.append(max(len(w._metrics) for w in watched))

    watched = []
    monkeypatch.setattr(
        execution,
        "Delivery",
        lambda *words: watched.append(delivery.Delivery(*words)) or watched[-1],
    )
    experiment, [run], _ = execute(Scripted(20, between), [job(1)], store)
    assert run.spilled
    assert max(held_back) <= 6 + 2
    if experiment.away:  # the pause before the next knock was longer than the rest of the fit
        upload.upload("scripted", store, print)
    [found] = of_level(MlflowClient(store))
    assert curve(MlflowClient(store), found.info.run_id, "val_top1") == whole(20)


def test_metrics_go_in_batches_each_once(monkeypatch, store):
    monkeypatch.setattr(run_log, "METRIC_BATCH", 3)
    monkeypatch.setattr(run_log, "EVERY_SECONDS", 1e6)  # so that many wait
    batches, real = [], MlflowClient.log_batch

    def log_batch(client, run_id, metrics=(), params=(), tags=()):
        batches.append([(m.key, m.step) for m in metrics])
        return real(client, run_id, metrics, params, tags)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    execute(Scripted(7), [job(1)], store)
    streamed = [point for batch in batches for point in batch if point[0] == "train_loss"]
    assert streamed == [("train_loss", epoch) for epoch in range(1, 8)]
    assert max(len(batch) for batch in batches) == 3
    points = [point for batch in batches for point in batch]
    assert len(points) == len(set(points))


def test_a_server_that_is_away_for_long_is_waited_for(monkeypatch):
    monkeypatch.setattr(outbox, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0.0)
    looks, tries, said = [], [], []

    def answers():
        looks.append(len(looks))
        return len(looks) % 2 == 0  # away at every other look

    def call():
        tries.append(len(tries))
        if len(tries) <= 3 * outbox.ATTEMPTS:
            raise OSError("down")

    box = Outbox(answers, said.append)
    box.put(call)
    assert box.close(patience=60)
    assert len(tries) == 3 * outbox.ATTEMPTS + 1
    assert len(said) == 2, "that it went, and that it is back"


def test_calls_are_made_in_order_and_a_hopeless_one_is_given_up():
    done, said = [], []
    box = Outbox(lambda: True, said.append)

    def gone():
        raise MlflowException("Run not found", error_code=RESOURCE_DOES_NOT_EXIST)

    def bug():
        raise KeyError("x")

    for call in (lambda: done.append(1), gone, bug, lambda: done.append(2)):
        box.put(call)
    assert not box.close()
    assert done == [1, 2]
    assert box.missed == 2
    assert len(said) == 2


def test_fits_that_are_under_way_or_were_interrupted_are_left(store, other):
    one, two = job(1), job(2)
    execute(Scripted(1), [one], store)
    book = journal.Journal(Path(two.directory))
    book.append("started", run_id="", store="", pid=1)
    with held(Path(one.directory)):
        done = upload.upload("scripted", other, print)
    why = {row["directory"]: row["why"] for row in done["left"]}
    assert "in use by process" in why[one.directory]
    assert "has not ended" in why[two.directory]
    assert done["sent"] == []


def test_a_run_that_a_killed_start_left_open_is_closed_by_the_next(store):
    one = job(1)
    experiment = Experiment("scripted", Tracking(uri=store))
    opening = experiment.opening(one, "fingerprint")
    book = journal.Journal(Path(one.directory))
    box = Outbox(lambda: True, print)
    delivery.Delivery(experiment.client, experiment.id, "s", book, opening, box).begin()
    assert box.close()
    execute(Scripted(1), [one], store)
    states = sorted(run.info.status for run in of_level(MlflowClient(store)))
    assert states == ["FINISHED", "KILLED"]

    # the same after an outcome: a second start that was killed
    box = Outbox(lambda: True, print)
    opening = experiment.opening(one, "fingerprint")
    delivery.Delivery(experiment.client, experiment.id, "s", book, opening, box).begin()
    assert box.close()
    assert "RUNNING" in [run.info.status for run in of_level(MlflowClient(store))]
    execute(Scripted(1), [one], store)
    states = sorted(run.info.status for run in of_level(MlflowClient(store)))
    assert states == ["FINISHED", "FINISHED", "KILLED", "KILLED"]


def test_an_experiment_that_is_not_here_is_named(monkeypatch, capsys):
    assert inside(monkeypatch, "upload", "nowhere") == 2
    assert "no experiment nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "sweep", "sweep of the same fit"])
def test_a_second_start_names_the_first_and_changes_nothing(tmp_path, monkeypatch, capsys, command):
    config = write_config(tmp_path, sweep={"seed": [1, 2]})
    checked = settings.load(config)
    cells = list(sweep.plan_cells(checked, "x"))
    folder = Path(cells[0].job.directory)
    if command == "sweep":
        folder = journal.of_sweep("tiny", sweep.sweep_hash(cells)).directory
    with held(folder):
        assert inside(monkeypatch, command.split()[0], config) == 2
    *remarks, err = capsys.readouterr()[1].strip().splitlines()
    assert len(remarks) == (command == "train")  # which run of the sweep it takes
    assert f"{folder}: in use by process " in err
    assert " on " in err
    assert not (tmp_path / "mlflow.db").exists()


def test_a_dead_holder_stops_nobody(tmp_path):
    dead = {"pid": 2**22 + 1, "host": socket.gethostname(), "started": 1.0}
    (tmp_path / "lock").write_text(json.dumps(dead))
    check_free([tmp_path, tmp_path / "never"])
    assert not (tmp_path / "never").exists()
    with held(tmp_path), pytest.raises(BadInput, match="in use by process"):
        check_free([tmp_path])


@pytest.mark.parametrize("line", ["1", "null", "{}", '{"event": "ended"}'])
def test_a_journal_that_is_none_is_named_and_the_others_are_sent(store, other, line):
    execute(Scripted(2), [job(1), job(2)], store)
    bad, good = (Path(job(seed).directory) for seed in (1, 2))
    (bad / "lock").write_text("5")
    with (bad / "journal.jsonl").open("a") as file:
        file.write(line + "\n")
    is_event = "event" in line
    with contextlib.nullcontext() if is_event else pytest.warns(UserWarning, match="is no event"):
        done = upload.upload("scripted", other, print)
    sent = {row["directory"] for row in done["sent"]}
    assert sent == ({str(good)} if is_event else {str(good), str(bad)})
    if is_event:
        [left] = done["left"]
        assert left["directory"] == str(bad)
        assert "journal.jsonl: not as this suite writes it (KeyError" in left["why"]


def test_a_clock_that_was_set_back_leaves_nothing_unsent(store, other):
    execute(Scripted(2), [job(1)], store)
    book = journal.Journal(Path(job(1).directory))
    events = [event | {"time": 2e9 - number} for number, event in enumerate(book.events())]
    book.file.write_text("".join(json.dumps(event) + "\n" for event in events))
    done = upload.upload("scripted", other, print)
    assert (len(done["sent"]), done["left"]) == (1, [])
