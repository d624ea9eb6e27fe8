"""`ilsvrc search` and `nested` on real networks, in this process: JSON, store, resume, refusals."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import simulated_cluster
from blank_store import blank_store
from command import inside
from mlflow import MlflowClient
from search_fits import cut, watched
from small_search import ONE, RATES, config, go, uri

from experiments.errors import BadInput, Stopped
from experiments.fitting import fit
from experiments.search.results import text
from experiments.search.results.plots import pictures
from experiments.search.results.report import top
from experiments.search.run import run
from experiments.tracking import lock
from experiments.tracking.journal import Journal
from experiments.tracking.status import status
from tuning.statistics.intervals import of_folds

pytestmark = pytest.mark.usefixtures("own_store")


def without_times(result):
    """What must be equal however often a search was stopped and continued."""
    copied = json.loads(json.dumps(result))
    for row in [copied, *copied["trials"], copied.get("best") or {}]:
        for key in ("seconds", "tracking_seconds", "state", "run_id"):
            row.pop(key, None)
    for row in (*copied.get("outer", ()), copied.get("refit") or {}):
        row.pop("run_id", None)
    return copied


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder where a search has ended, and its JSON."""
    folder = tmp_path_factory.mktemp("done")
    blank_store(folder)
    with contextlib.chdir(folder):
        return folder, go(config())


@pytest.fixture
def here(done, monkeypatch):
    """That search, from inside its folder."""
    monkeypatch.chdir(done[0])
    return done[1]


@pytest.fixture
def copy(done, tmp_path):
    """Its state alone in a folder of its own, without a store; the journal's path."""
    shutil.copytree(done[0] / ".ilsvrc", tmp_path / ".ilsvrc")
    return tmp_path / Path(done[1]["state"]) / "journal.jsonl"


def test_the_json_says_what_was_tried_and_what_is_best(here):
    assert here["strategy"] == "grid"
    assert here["status"] == "finished"
    assert [trial["number"] for trial in here["trials"]] == [0, 1, 2]
    assert [trial["status"] for trial in here["trials"]] == ["finished", "failed", "finished"]
    first, failed, last = here["trials"]
    assert first["hyperparameters"] == {"train.optimizer.learning_rate": 0.05}
    assert first["score"] == pytest.approx(np.mean(first["scores"]))
    assert first["val_top1"] == first["score"]
    assert first["std"] == pytest.approx(np.std(first["scores"], ddof=1))
    assert len(first["scores"]) == 2
    told = of_folds(first["scores"], held=[719, 719], trained=[0.15 * 719] * 2, images=1438)
    assert first["interval"] == asdict(told)
    assert failed["interval"] is None
    assert "learning_rate" in failed["error"]
    assert failed["score"] is None
    assert failed["scores"] == [None, None]
    assert here["best"] == max((first, last), key=lambda trial: trial["score"])
    assert here["fits"] == {"planned": 7, "done": 6, "failed": 1, "saved": 0}
    assert 0 < here["refit"]["test_top1"] <= 1
    assert here["tracking_seconds"] < here["seconds"]
    assert top(here, 1) == [here["best"]]
    written = json.loads((Path(here["state"]) / "result.json").read_text())
    times = {key: written[key] for key in ("tracking_seconds", "seconds")}  # of the last start
    assert written == {**here, **times}
    told = text.of_result(here)
    assert "trained on the whole learning set" in told
    assert "optimistic: chosen for being the best of 2" in told
    page = (Path(here["state"]) / "plots" / "search.html").read_text()
    assert "optimistic: chosen for being the best of 2" in page


def test_the_store_has_a_parent_a_run_a_trial_and_the_refit(here):
    client = MlflowClient(uri())
    parent = client.get_run(here["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["level"] == "search"
    assert parent.data.params["search.strategy"] == "grid"
    assert parent.data.params["validation.folds"] == "2"
    [given] = [one.dataset for one in parent.inputs.dataset_inputs]
    assert given.digest == parent.data.tags["source_fingerprint"][:36]
    assert json.loads(given.profile) == {"num_rows": 1797}
    assert parent.data.metrics["val_top1"] == here["best"]["score"]
    assert parent.data.metrics["test_top1"] == here["refit"]["test_top1"]
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{here['run_id']}'"
    )
    by_path = {run.data.tags["path"]: run for run in children}
    assert set(by_path) == {"trial/0", "trial/1", "trial/2", "refit"}
    assert [by_path[f"trial/{n}"].info.status for n in range(3)] == [
        "FINISHED", "FAILED", "FINISHED",
    ]  # fmt: skip
    trial = by_path["trial/0"]
    assert trial.data.tags["level"] == "trial"
    assert trial.data.params["train.optimizer.learning_rate"] == "0.05"
    assert trial.data.metrics["val_top1"] == here["trials"][0]["score"]
    assert trial.data.metrics["val_top1_std"] == here["trials"][0]["std"]
    history = client.get_metric_history(trial.info.run_id, "fold_val_top1")
    assert {m.step: m.value for m in history} == dict(enumerate(here["trials"][0]["scores"]))
    assert "val_loss" in trial.data.metrics
    assert "learning_rate" in by_path["trial/1"].data.tags["error"]
    refit = by_path["refit"]
    assert refit.info.run_id == here["refit"]["run_id"]
    assert refit.data.tags["level"] == "refit"
    assert refit.data.metrics["test_top1"] == here["refit"]["test_top1"]
    hashes = {run.data.tags["group_hash"] for run in (trial, by_path["trial/2"])}
    assert len(hashes) == 2
    names = {file.path for file in client.list_artifacts(here["run_id"])}
    assert {"config.yaml", "folds.csv", "trials.csv", "result.json", "plots"} <= names
    plots = {file.path for file in client.list_artifacts(here["run_id"], "plots")}
    assert {"plots/parallel.png", "plots/search.html"} <= plots


def test_the_flat_table_has_a_row_a_fold(here):
    with (Path(here["state"]) / "folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["fold"]) for row in rows] == [
        ("0", "0"), ("0", "1"), ("1", "0"), ("2", "0"), ("2", "1"),
    ]  # fmt: skip
    assert rows[0]["train.optimizer.learning_rate"] == "0.05"
    assert float(rows[1]["score"]) == here["trials"][0]["scores"][1]
    assert {(row["train_images"], row["scored_images"]) for row in rows} == {("108", "719")}
    with (Path(here["state"]) / "trials.csv").open() as file:
        [first, failed, _] = csv.DictReader(file)
    assert float(first["interval_low"]) == here["trials"][0]["interval"]["low"]
    assert first["interval_method"] == "corrected resampled t"
    assert failed["interval_method"] == ""
    assert rows[2]["status"] == "failed"
    assert "learning_rate" in rows[2]["error"]
    assert {row["epochs"] for row in rows if row["status"] == "finished"} == {"1"}


def test_again_trains_nothing_and_doubles_nothing(here, monkeypatch):
    def never(job, emit):
        raise AssertionError(job.path)

    monkeypatch.setattr(fit, "attempt", never)
    client = MlflowClient(uri())
    [experiment] = [e for e in client.search_experiments() if e.name == "s"]
    before = {run.info.run_id for run in client.search_runs([experiment.experiment_id])}
    again = go(config())
    assert without_times(again) == without_times(here)
    assert again["run_id"] == here["run_id"]
    assert {run.info.run_id for run in client.search_runs([experiment.experiment_id])} == before


@pytest.mark.parametrize("kept", [1, 3])
def test_a_cut_journal_continues_to_the_same_result(here, copy, tmp_path, monkeypatch, kept):
    """As after a kill: so many fits are journaled, half a line behind them, and no store."""
    monkeypatch.chdir(tmp_path)
    cut(copy, kept, '{"event": "ended", "pa')
    trained = watched(monkeypatch)
    again = go(config())
    assert len(trained) == 6 - kept
    assert without_times(again) == without_times(here)
    client = MlflowClient(uri())
    [experiment] = [e for e in client.search_experiments() if e.name == "s"]
    paths = [r.data.tags["path"] for r in client.search_runs([experiment.experiment_id])]
    assert sorted(paths) == ["refit", "search", "trial/0", "trial/1", "trial/2"]


def test_another_search_of_the_name_is_refused_with_what_changed(here):
    words = ("train.epochs=2", "search.space={train.optimizer.learning_rate: [0.1]}")
    with pytest.raises(BadInput) as caught:
        go(config("s", *words))
    message = str(caught.value)
    assert "train.epochs: 1 -> 2" in message
    assert "search.space.train.optimizer.learning_rate: [0.05, 1e+30, 0.02] -> [0.1]" in message
    assert "--fresh" in message
    assert "\n" not in message
    # what only says how far to go, or where, is no other search
    go(config("s", "search.max_failures=9", "launch.workers=3", "bench.latency_calls=9"))


def test_fresh_starts_apart(here, copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    narrow = config("s", "search.space={train.optimizer.learning_rate: [0.05]}")
    apart = go(narrow, fresh=True)
    assert apart["state"] != here["state"]
    assert without_times(apart)["best"] == without_times(here)["trials"][0]
    second = go(narrow, fresh=True)
    assert second["state"] == f"{apart['state']}-2"
    assert without_times(second) == without_times(apart)
    assert go(narrow)["state"] == second["state"]


def test_other_proposals_than_the_journal_has_are_refused(here, copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = '"settings": {"train.optimizer.learning_rate": 0.05}'
    assert known in copy.read_text()
    copy.write_text(copy.read_text().replace(known, known.replace("0.05", "0.06")))
    with pytest.raises(BadInput, match=r"trial 0 was .*0.06.*keras .*--fresh"):
        go(config())


def test_a_second_start_is_refused_while_the_first_goes_on(here):
    folder = Path(here["state"])
    with lock.held(folder):
        assert status("s")[0]["running"] == 0  # nothing is left to run
        with pytest.raises(BadInput, match=r"in use by process \d+ on .*; wait"):
            go(config())
    assert lock.holder(folder) is None
    assert go(config())["status"] == "finished"


def test_status_counts_the_fits(here):
    [row] = status("s")
    assert (row["done"], row["failed"], row["left"], row["running"]) == (5, 1, 0, 0)


def test_too_many_failures_end_it_with_exit_1(tmp_path, monkeypatch, capsys):
    made = config(
        "bad", "search.max_failures=2", "search.refit=false",
        "search.space={train.optimizer.learning_rate: [1.0e+30, 2.0e+30, 0.05]}",
    )  # fmt: skip
    (tmp_path / "bad.json").write_text(made.model_dump_json())
    assert inside(monkeypatch, "search", tmp_path / "bad.json", "--json") == 1
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["status"] == "failed"
    assert result["best"] is None
    assert "2 trials in a row failed, search.max_failures is 2: trial 0: " in result["error"]
    assert "; trial 1: " in result["error"]
    assert result["error"] in err
    assert len(result["trials"]) == 2
    [row] = status("bad")
    assert row["failed"] == 2
    # more patience goes on where it stopped
    again = go(
        config(
            "bad",
            "search.max_failures=3",
            "search.refit=false",
            search=made.model_dump(mode="json")["search"],
        )
    )
    assert again["best"]["number"] == 2


def test_a_budget_of_images_ends_it_and_a_larger_one_goes_on():
    words = (
        "search.space={train.optimizer.learning_rate: [1.0e-6, 0.1]}",
        "train.loss.name=cross_entropy",
    )
    first = go(config("b", *words, "search.budget.images=200"))
    assert first["budget"]["stopped_by"] == "images"
    assert first["status"] == "finished"
    assert [trial["status"] for trial in first["trials"]] == ["finished"]
    assert first["budget"]["spent_images"] >= 200
    assert go(config("b", *words, "search.budget.images=200"))["fits"] == first["fits"]
    whole = go(config("b", *words))
    assert whole["budget"]["stopped_by"] is None
    assert [trial["status"] for trial in whole["trials"]] == ["finished"] * 2
    # the winner is another one now, and so is the refit
    assert (first["refit"]["trial"], whole["refit"]["trial"]) == (0, 1)
    assert whole["refit"]["test_top1"] != first["refit"]["test_top1"]
    again = go(config("b", *words))
    assert again["refit"] == whole["refit"]
    client = MlflowClient(uri())
    run = client.get_run(first["refit"]["run_id"])
    assert run.data.tags["superseded"] == "true"
    assert "superseded" not in client.get_run(whole["refit"]["run_id"]).data.tags


def test_a_spent_time_budget_starts_no_fit_and_says_so():
    result = go(config("t", "search.budget.seconds=1.0e-9", "search.refit=false"))
    assert result["status"] == "failed"
    assert result["trials"] == []
    assert "ended with its budget before any trial" in result["error"]
    whole = go(config("t", "search.budget.seconds=600", "search.refit=false"))
    assert whole["best"]["number"] in (0, 2)


def test_a_stop_closes_the_parent_and_the_next_start_goes_on(monkeypatch):
    real, began = fit.attempt, []

    def stopped(job, emit):
        began.append(job.path)
        if len(began) == 3:
            raise Stopped
        return real(job, emit)

    monkeypatch.setattr(fit, "attempt", stopped)
    with pytest.raises(Stopped):
        go(config("c", *ONE))
    client = MlflowClient(uri())
    [experiment] = [e for e in client.search_experiments() if e.name == "c"]
    ended = {
        run.data.tags["path"]: run.info.status
        for run in client.search_runs([experiment.experiment_id])
    }
    assert ended == {"search": "KILLED", "trial/0": "FINISHED"}
    result = go(config("c", *ONE))
    assert client.get_run(result["run_id"]).info.status == "FINISHED"
    assert result["fits"]["done"] == 4
    assert began[2:] == [("trial", 1, "fold", fold) for fold in (0, 0, 1)]


def test_pictures_that_cannot_be_drawn_do_not_fail_the_search(monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(pictures, "write", broken)
    assert go(config("p", *ONE))["status"] == "finished"
    assert "could not be drawn: RuntimeError: no font" in capsys.readouterr().err


def test_settings_that_do_not_go_together_fail_their_trial_only():
    made = config("m", "search.space={model.name: [vgg_a, mlp]}", "search.refit=false",
                  "validation.folds=null", "validation.validation_fraction=0.5")  # fmt: skip
    result = go(made)
    assert [trial["status"] for trial in result["trials"]] == ["failed", "finished"]
    assert "vgg_a takes images of" in result["trials"][0]["error"]
    [curve] = MlflowClient(uri()).search_runs(
        ["1"], "tags.path = 'trial/1'"
    )  # one fold: its learning curve is there
    assert "train_loss" in curve.data.metrics


def test_dry_run_tells_candidates_and_fits(tmp_path, monkeypatch, capsys):
    (tmp_path / "d.json").write_text(config("d").model_dump_json())
    assert inside(monkeypatch, "search", tmp_path / "d.json", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fits"] == 7
    assert [c["train.optimizer.learning_rate"] for c in told["candidates"]] == RATES
    assert told["data"]["folds"][0]["test"] == 359
    assert inside(monkeypatch, "nested", tmp_path / "d.json", "--dry-run") == 0
    assert (
        "3 candidates (3 train.optimizer.learning_rate) x 10 pairs of outer folds + 5 refits "
        "= 35 fits (50 unshared)" in capsys.readouterr().out
    )
    assert not (tmp_path / ".ilsvrc").exists()


@pytest.mark.parametrize(
    ("schedule", "word"),
    [
        ("{name: cosine, warmup_epochs: 1.5}", "train.accumulate=1"),
        ("{name: step, milestones: [0.1, 0.6], factor: 0.5}", "train.accumulate=2"),
        ("{name: cosine, final_fraction: 0.1}", "train.steps_per_execution=2"),
    ],
)
def test_a_refit_after_early_stopping_has_the_rates_of_the_folds_first_epochs(
    schedule, word, monkeypatch
):
    if "steps_per_execution" in word:  # that is for images which are not held in memory
        monkeypatch.setattr("experiments.training.batches.Batches._resident", lambda *a, **k: None)
    made = config(
        "early", word, f"train.schedule={schedule}",
        "search.space={train.optimizer.learning_rate: [0.4]}", "validation.folds=3",
        "train.epochs=12", "train.early_stopping={patience: 2}",
        "data.batch_size=110",  # two updates an epoch, of 144 images in folds and 216 in the refit
    )  # fmt: skip
    result = go(made)
    ended = [e for e in Journal(Path(result["state"])).events() if e["event"] == "ended"]
    *folds, refit = ([x["learning_rate"] for x in e["outcome"]["history"]] for e in ended)
    assert len(refit) == int(np.median(result["best"]["epochs"]) + 0.5) < 12
    longest = max(folds, key=len)
    assert refit == longest[: len(refit)]
    assert len(set(longest)) > 1  # it is no constant


def test_only_packages_that_were_recorded_are_said_to_have_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store, versions, said = simulated_cluster.Store(), {"numpy": "1"}, []
    monkeypatch.setattr("experiments.search.run.surroundings", lambda: ({}, dict(versions)))
    for now in ({}, {"optuna": "5"}, {"numpy": "2"}):
        versions |= now
        cluster = simulated_cluster.Cluster(1, 1, simulated_cluster.Clock())
        with simulated_cluster.simulated(cluster, store):
            run("search", simulated_cluster.config(2, 1), "p.yaml")
        said.append([line for line in capsys.readouterr().err.splitlines() if "packages" in line])
    assert said[:2] == [[], []]
    assert "packages changed since the search began (numpy 1 -> 2): scores may" in said[2][0]
