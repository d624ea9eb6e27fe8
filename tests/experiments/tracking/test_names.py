"""Every name goes to the store and comes back; what it refuses costs the run nothing else."""

from __future__ import annotations

import pytest
from blank_store import blank_store
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.utils.validation import _validate_metric_name, _validate_param_name, _validate_tag_name
from scripted import Scripted, execute, job

from experiments.comparison.compare import compare
from experiments.tracking import client as client_file
from experiments.tracking.names import LONGEST, decoded, encoded, writable
from experiments.tracking.store import connect, experiment_id
from experiments.tracking.upload import upload


@given(st.text(min_size=1, max_size=40))
def test_a_store_takes_every_name_and_gives_it_back(name):
    sent = encoded(name)
    for check in (_validate_metric_name, _validate_param_name, _validate_tag_name):
        check(sent)
    assert decoded(sent) == name
    assert len(encoded(name * 30)) <= LONGEST


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("train.class_weights.cat, domestic", "train.class_weights.cat_x002C_ domestic"),
        ("train.class_weights.ꙮ: a-b/c", None),
        ("mlflow.parentRunId", None),
        ("a_x002C_b", "a_x005F_x002C_b"),
        ("../up", "_x002E_._x002F_up"),
        ("a//b", "a_x002F__x002F_b"),
        ("😀", "_x1F600_"),
    ],
)
def test_what_a_store_takes_stays_and_the_rest_is_escaped(name, sent):
    assert encoded(name) == (sent or name)


def test_long_names_that_differ_at_the_end_stay_apart():
    names = [f"train.class_weights.{'x' * 300}{ending}" for ending in "ab"]
    assert len({encoded(name) for name in names}) == 2


def test_texts_that_no_database_takes_are_written_as_python_would():
    assert writable("a\x00b\udcffc ä") == "a\\x00b\\udcffc ä"


@pytest.fixture
def begun(tmp_path):
    """A client of a store, and a run in it with a parameter that MLflow would refuse."""
    uri = blank_store(tmp_path)
    client = connect(uri)
    run = client.create_run(experiment_id(client, uri, "e"), tags={"a, b": "\udcff"}, run_name="r")
    client.log_batch(run.info.run_id, [Metric("m, n", 1.5, 1, 1)], [Param("c, d", "v")])
    return client, run.info.run_id, uri


def test_names_come_back_from_a_run_as_they_were(begun):
    client, run_id, uri = begun
    [listed] = client.search_runs([client.get_run(run_id).info.experiment_id])
    for run in (client.get_run(run_id), listed):
        assert run.data.params == {"c, d": "v"}
        assert run.data.metrics == {"m, n": 1.5}
        assert run.data.tags["a, b"] == "\\udcff"
    assert [m.value for m in client.get_metric_history(run_id, "m, n")] == [1.5]
    assert MlflowClient(uri).get_run(run_id).data.params == {"c_x002C_ d": "v"}


def test_what_the_store_refuses_is_said_and_the_rest_is_there(begun, monkeypatch):
    client, run_id, _ = begun
    monkeypatch.setattr(client_file, "encoded", lambda name: name)
    params = [Param(name, "1") for name in ("x", "no, name", "y")]
    with pytest.warns(UserWarning, match=r"the store refuses no, name \(Invalid value .*without$"):
        client.log_batch(run_id, [Metric("z", 1.0, 1, 1)], params)
    with pytest.warns(UserWarning, match="the store refuses no, tag"):
        client.set_tag(run_id, "no, tag", "1")
    data = client.get_run(run_id).data
    assert data.params.keys() == {"c, d", "x", "y"}
    assert data.metrics["z"] == 1.0


def test_a_class_with_a_comma_in_its_name_is_trained_compared_and_uploaded(tmp_path):
    uri, weights = blank_store(tmp_path), {"class_weights": {"cat, domestic": 2.0, "dog": 1.0}}
    _, [run], said = execute(Scripted(2), [job(1, train=weights)], uri)
    assert "tracking" not in said
    client = connect(uri)
    stored = client.get_run(run.id)
    assert stored.info.status == "FINISHED"
    assert stored.data.params["train.class_weights.cat, domestic"] == "2.0"
    [row] = compare(client, ["scripted"]).rows
    assert row["run_ids"] == [run.id]
    done = upload("scripted", blank_store(tmp_path, "other.db"), print)
    assert (len(done["sent"]), done["left"]) == (1, [])
