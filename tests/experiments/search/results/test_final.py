"""`search.final`: the network to use, its card, and who must not take it for a tested one."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pytest
from mlflow import MlflowClient
from search_fits import watched
from small_search import quiet_folder, uri

import pipelines
from experiments.cli import next_step
from experiments.comparison.compare import compare
from experiments.config import settings
from experiments.errors import BadInput, Stopped
from experiments.evaluation.image_set import own_part
from experiments.fitting import fit
from experiments.inference import export_metadata, registered_model
from experiments.inference.loading import check_kinds, load
from experiments.jobs.job import Outcome
from experiments.reporting import report
from experiments.reporting.ui import views
from experiments.runs.reproduce import reproduce
from experiments.search.folds import Folds, final_folds, nested_folds
from experiments.search.results import final, text
from experiments.search.run import dry_run, run
from experiments.storage.best import kept_as_best
from experiments.tracking.initial import ALL_BUT_TEST, TRAINED_ON, training_images
from experiments.tracking.status import status
from experiments.tracking.tracked_run import NETWORK, NOTE, find_run
from experiments.tracking.upload import upload
from tuning.statistics.intervals import of_folds
from tuning.statistics.significance import accuracy_interval

pytestmark = pytest.mark.usefixtures("own_store")

RATE = "train.optimizer.learning_rate"
IMAGES = 1797  # of the digits
BASE = {
    "data": {"source": "digits", "image_size": 16},
    "model": {"name": "mlp"},
    "train": {"epochs": 1, "loss": {"name": "mean_squared_error"}},
    "validation": {"outer": 3, "inner": 2, "folds": 2},
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
    "search": {"strategy": "grid", "space": {RATE: [0.05, 0.1, 0.02]}, "final": True},
}


def config(name, *words):
    document = {"tracking": {"save_model": "none", "uri": uri()}, "name": name, **BASE}
    return settings.parse(settings.override(document, words))


def go(kind, name, *words):
    """Its JSON and every job that was run."""
    with pytest.MonkeyPatch.context() as patch:
        jobs = watched(patch)
        return run(kind, config(name, *words), "n.yaml"), jobs


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder where nested cross-validation has ended, its JSON, and its jobs."""
    folder = tmp_path_factory.mktemp("done")
    with quiet_folder(folder):
        return folder, *go("nested", "n")


@pytest.fixture
def here(done, monkeypatch):
    """The JSON, from inside its folder."""
    monkeypatch.chdir(done[0])
    return done[1]


def final_run(result):
    return find_run(MlflowClient(uri()), result["final"]["run_id"])


def test_the_candidate_best_over_all_folds_is_trained_on_all_images_last(done):
    _, result, jobs = done
    scores = defaultdict(list)
    for trial in result["trials"]:
        scores[trial["number"]] += trial["scores"]
    best = max(scores, key=lambda number: fmean(scores[number]))
    assert {number: len(folds) for number, folds in scores.items()} == {0: 6, 1: 6, 2: 6}
    fitted = result["final"]
    assert (fitted["chosen_by"], fitted["trial"]) == ("candidates", best)
    assert fitted["hyperparameters"] == result["trials"][best]["hyperparameters"]
    assert result["fits"]["planned"] == result["fits"]["done"] == 3 * (3 * 2 + 1) + 1
    assert [job.path for job in jobs if job.path[0] == "final"] == [("final",)]
    last = jobs[-1]
    assert last.path == ("final",)
    assert np.array_equal(last.train, np.arange(IMAGES))
    assert (last.validation, last.test, fitted["images"]) == (None, None, IMAGES)
    assert last.config.train.optimizer.learning_rate == fitted["hyperparameters"][RATE]


def test_its_card_has_the_nested_estimate_and_no_score_of_its_own(here):
    tests = [row["test_top1"] for row in here["outer"]]
    interval = of_folds(tests, trained=[1198] * 3, held=[599] * 3, images=IMAGES)
    low, high = interval.low, interval.high
    assert here["interval"] == asdict(interval)
    fitted, tracked = here["final"], final_run(here)
    assert fitted["expected_top1"] == here["mean_test_top1"] == pytest.approx(fmean(tests))
    assert fitted["expected_top1_low"] == pytest.approx(low)
    assert fitted["expected_top1_high"] == pytest.approx(high)
    assert fitted["card"] == (
        f"expected top-1 on new images {100 * fmean(tests):.1f} %, 95 % interval "
        f"{100 * low:.1f} to {100 * high:.1f} %, estimated by nested cross-validation of the whole "
        "procedure"
    )
    assert tracked.level == "final"
    assert tracked.parent == here["run_id"]
    assert tracked.is_complete
    assert tracked.card == tracked.tags[NOTE] == fitted["card"]
    for name in ("expected_top1", "expected_top1_low", "expected_top1_high"):
        assert tracked.metrics[name] == fitted[name]
        assert float(tracked.tags[name]) == fitted[name]
    assert not [name for name in tracked.metrics if name.startswith(("test_", "val_", "inner_"))]
    assert NETWORK in tracked.files  # though no other fit of this config keeps its own
    assert fitted["card"] in text.of_result(here)
    assert "chosen over all folds" in text.of_result(here)
    assert next_step.of_search("nested", config("n"), here, []) == [
        ["register", tracked.id[:8], "n"]
    ]


def test_again_trains_nothing_and_writes_the_card_once(here):
    again, jobs = go("nested", "n")
    assert jobs == []
    assert again["final"] == here["final"]
    history = MlflowClient(uri()).get_metric_history(here["final"]["run_id"], "expected_top1")
    assert len(history) == 1
    [row] = status("n")
    assert (row["done"], row["left"]) == (22, 0)


def test_it_can_be_asked_for_when_all_else_is_done(done, own_folder):
    shutil.copytree(done[0] / ".ilsvrc", ".ilsvrc")
    journal = Path(done[1]["state"]) / "journal.jsonl"
    kept = [line for line in journal.read_text().splitlines() if '"path": ["final"]' not in line]
    journal.write_text("\n".join(kept) + "\n")
    without, jobs = go("nested", "n", "search.final=false")
    assert jobs == []
    assert "final" not in without
    planned = dry_run("nested", config("n"), "n.yaml")
    assert planned["fits"] == without["fits"]["planned"] + 1 == 22
    assert "+ 3 refits + 1 final fit on 1797 images = 22 fits" in planned["text"]
    whole, jobs = go("nested", "n")
    assert [job.path for job in jobs] == [("final",)]
    assert whole["state"] == without["state"]
    same = ("trial", "images", "expected_top1", "expected_top1_low", "card")
    assert [whole["final"][key] for key in same] == [done[1]["final"][key] for key in same]
    assert final_run(whole).metrics["train_top1"] == train_top1(done)


def train_top1(done):
    store = MlflowClient(f"sqlite:///{done[0]}/mlflow.db")
    return store.get_run(done[1]["final"]["run_id"]).data.metrics["train_top1"]


def test_stopped_in_the_final_fit_it_goes_on_to_the_same_end(done, monkeypatch):
    shutil.copytree(done[0] / ".ilsvrc", ".ilsvrc")
    journal = Path(done[1]["state"]) / "journal.jsonl"
    kept = [line for line in journal.read_text().splitlines() if '"path": ["final"]' not in line]
    journal.write_text("\n".join(kept) + "\n")
    with monkeypatch.context() as patch:
        patch.setattr(fit, "attempt", stopped)
        with pytest.raises(Stopped):
            run("nested", config("n"), "n.yaml")
    [row] = status("n")
    assert (row["done"], row["left"]) == (21, 1)
    whole, jobs = go("nested", "n")
    assert [job.path for job in jobs] == [("final",)]
    assert whole["final"]["card"] == done[1]["final"]["card"]
    assert final_run(whole).metrics["train_top1"] == train_top1(done)


def stopped(job, emit):
    raise Stopped


def test_upload_says_where_a_store_lacks_it(done):
    shutil.copytree(done[0] / ".ilsvrc", ".ilsvrc")
    shutil.copyfile(done[0] / "mlflow.db", "mlflow.db")
    assert upload("n", uri(), print)["left"] == []
    MlflowClient(uri()).delete_run(done[1]["final"]["run_id"])
    [left] = upload("n", uri(), print)["left"]
    assert left["why"].startswith("run it again with this tracking.uri: ilsvrc nested")


def test_nobody_takes_it_for_a_tested_run(here):
    client, run_id = MlflowClient(uri()), here["final"]["run_id"]
    compared = compare(client, ["n"])
    assert compared.level == "outer_fold"
    assert run_id not in [i for row in compared.rows for i in row["run_ids"]]
    assert sum(row["n"] for row in compared.rows) == 3
    with pytest.raises(BadInput, match=r"--level final: .*no score to compare"):
        compare(client, ["n"], level="final")
    tracked = final_run(here)
    source = pipelines.open_source("digits")
    for part in ("test", "validation"):
        with pytest.raises(BadInput, match=r"is a final network, trained on every image.*card: "):
            own_part(tracked, part, source)
    assert len(own_part(tracked, "train", source)) == IMAGES
    assert len(training_images(tracked, source)) == IMAGES
    with pytest.raises(BadInput, match=r"is of level final, .*search or nested"):
        reproduce(run_id, [f"tracking.uri={uri()}"])
    kept = kept_as_best([tracked])
    assert kept == {run_id: f"the final network: {tracked.card}"}
    with pytest.raises(BadInput, match=rf"name one of its runs: {run_id[:8]} "):
        check_kinds(["n"], settings.parse({"tracking": {"uri": uri()}}))


def test_mlflow_lists_it_apart_and_the_report_has_its_card(here):
    client = MlflowClient(uri())
    tracked = final_run(here)
    experiment = client.get_experiment(tracked.info.experiment_id)
    assert views.FINALS in views.write(client, experiment.experiment_id)
    run_of_store = client.get_run(tracked.id)
    about = [key for key, view in views.VIEWS.items() if views._is_about(run_of_store, view)]
    assert about == [views.FINALS]
    state = views.VIEWS[views.FINALS].state(views.Held(set(tracked.metrics), [tracked.params]))
    assert state["selectedColumns"][0] == state["orderByKey"] == "metrics.`expected_top1`"
    found = client.search_runs([experiment.experiment_id], state["searchFilter"])
    assert [one.info.run_id for one in found] == [tracked.id]
    trained = views.VIEWS[views.TABLE].state(views.Held())["searchFilter"]
    listed = client.search_runs([experiment.experiment_id], trained)
    assert {one.data.tags["level"] for one in listed} == {"outer_fold"}
    page = report.run(uri(), ["n"], Path("r.html")).read_text()
    assert f"(run {tracked.id}): {tracked.card}." in page


def test_it_is_registered_and_exported_with_its_card(here):
    made = registered_model.register(here["final"]["run_id"], "digits", uri())
    card = here["final"]["card"]
    assert made["card"] == card
    assert f"described as: {card}" in registered_model.text(made)
    client = MlflowClient(uri())
    for name in ("digits", "digits-served"):
        version = client.get_model_version(name, "1")
        assert version.description == card
        assert version.tags["expected_top1"] == f"{here['final']['expected_top1']:.4f}"
        assert "test_top1" not in version.tags
    tracked = final_run(here)
    [network] = load([tracked.id], settings.parse({"tracking": {"uri": uri()}}))
    with tracked.fetched(NETWORK) as path:
        told = export_metadata.describe(network.model, path, tracked, None)
    assert told["card"] == card
    assert card in export_metadata.text(told)


def test_a_plain_search_ends_with_its_winner_trained_on_its_test_images_too():
    result, jobs = go("search", "s", "search.refit=true")
    fitted = result["final"]
    assert [job.path for job in jobs[-2:]] == [("refit",), ("final",)]
    refit, last = jobs[-2:]
    assert np.array_equal(last.train, np.union1d(refit.train, refit.test))
    assert (last.validation, last.test) == (None, None)
    assert fitted["trial"] == result["best"]["number"] == result["refit"]["trial"]
    images, top1 = len(refit.test), result["refit"]["test_top1"]
    interval = accuracy_interval(round(top1 * images), images)
    assert fitted["expected_top1"] == top1
    assert (fitted["expected_top1_low"], fitted["expected_top1_high"]) == (
        interval.low, interval.high,
    )  # fmt: skip
    assert fitted["card"].endswith(
        f"estimated on {images} test images by the winner trained without them"
    )
    assert result["fits"]["planned"] == 3 * 2 + 2
    assert final_run(result).card == fitted["card"]


def test_without_a_refit_there_is_no_card_so_it_is_refused_before_anything_trains():
    with pytest.raises(BadInput, match=r"^s.yaml: search\.final: .*set search\.refit=true, too$"):
        run("search", config("s"), "s.yaml")
    with pytest.raises(BadInput, match=r"search\.final"):
        dry_run("search", config("s"), "s.yaml")
    assert not Path(".ilsvrc").exists()


def pretended(scores):
    """Fits that train nothing: `scores(path)` gives a score, None for a failure."""

    def attempt(job, emit):
        value = scores(job.path)
        if value is None:
            return Outcome(job.path, "failed", error="out of memory")
        part = "test" if job.path[-1] == "refit" else "val"
        told = {} if job.path == ("final",) else {f"{part}_top1": value}
        return Outcome(job.path, "finished", scores=told, history=[{"train_loss": 1.0}])

    return attempt


def pretend(monkeypatch, name, scores, *words, kind="nested"):
    with monkeypatch.context() as patch:
        patch.setattr(fit, "attempt", pretended(scores))
        return run(kind, config(name, *words), "n.yaml")


def test_nothing_that_all_outer_folds_finished_leaves_the_estimate_and_one_line(monkeypatch):
    """Candidate i is the only one that outer fold i finishes."""
    result = pretend(
        monkeypatch, "none",
        lambda path: 0.9 if path[-1] == "refit" or path[3] == path[1] else None,
        "search.max_failures=9",
    )  # fmt: skip
    assert result["status"] == "failed"
    assert result["error"].startswith("search.final: no candidate has finished in every outer fold")
    assert "\n" not in result["error"]
    assert result["mean_test_top1"] == 0.9
    assert (result["final"]["run_id"], result["final"]["card"]) == ("", None)


def test_a_final_fit_that_failed_is_tried_again(monkeypatch):
    def scores(path):
        return None if path == ("final",) and broken else 0.9

    broken = [True]
    result = pretend(monkeypatch, "again", scores)
    assert result["error"] == "final fit: out of memory"
    assert result["mean_test_top1"] == 0.9
    assert result["final"]["card"] is None
    broken.clear()
    result = pretend(monkeypatch, "again", scores)
    assert result["status"] == "finished"
    # equal tests have no spread, and the interval is that of so many images
    assert result["final"]["card"] == (
        "expected top-1 on new images 90.0 %, 95 % interval 88.5 to 91.3 %, estimated by nested "
        "cross-validation of the whole procedure"
    )
    assert result["final"]["interval"].startswith("Wilson")


def test_a_search_taken_further_makes_its_final_network_anew(monkeypatch):
    def scores(path):
        return 0.5 if path[0] == "trial" and path[1] == 0 else 0.6

    words = ("search.refit=true", "search.budget.images=1000")
    first = pretend(monkeypatch, "further", scores, *words, kind="search")
    second = pretend(monkeypatch, "further", scores, words[0], kind="search")
    assert (first["final"]["trial"], second["final"]["trial"]) == (0, 1)
    assert first["final"]["run_id"] != second["final"]["run_id"]
    client = MlflowClient(uri())
    tags = [client.get_run(r["final"]["run_id"]).data.tags for r in (first, second)]
    assert ["superseded" in one for one in tags] == [True, False]


def test_where_candidates_depend_on_scores_one_more_search_over_all_images_chooses(monkeypatch):
    space = "search.space={train.optimizer.learning_rate: {type: float, low: 0.001, high: 0.1}}"
    words = (
        "search.strategy=bayesian", space, "search.trials=3", "search.bayesian.initial_points=2",
        "validation.outer=2",
    )  # fmt: skip
    planned = dry_run("nested", config("b", *words), "n.yaml")
    assert "+ 2 refits + a search over all images (2 folds) + 1 final fit" in planned["text"]
    jobs = []

    def scores(path):
        jobs.append(path)
        return 0.8 if path[0] == "final" and path[-3:-2] == (2,) else 0.5

    result = pretend(monkeypatch, "b", scores, *words)
    assert result["fits"]["planned"] == planned["fits"] == len(jobs) == 3 * 3 * 2 + 2 + 1
    fitted = result["final"]
    assert (fitted["chosen_by"], fitted["trial"]) == ("search", 2)
    ours = [trial for trial in result["trials"] if trial["outer"] == "final"]
    assert [trial["score"] for trial in ours] == [0.5, 0.5, 0.8]
    assert fitted["hyperparameters"] == ours[2]["hyperparameters"]
    assert [row["fold"] for row in result["outer"]] == [0, 1]
    assert ("final", "search", "trial", 2, "fold", 1) in jobs
    assert "one more search over all images" in text.of_result(result)
    paths = {run.data.tags["path"] for run in MlflowClient(uri()).search_runs(["1"])}
    assert {"final", "final/search/trial/2", "outer/1/refit"} <= paths


def test_a_search_over_all_images_that_fails_leaves_the_estimate(monkeypatch):
    space = "search.space={train.optimizer.learning_rate: {type: float, low: 0.001, high: 0.1}}"
    result = pretend(
        monkeypatch, "b", lambda path: None if path[0] == "final" else 0.7,
        "search.strategy=bayesian", space, "search.trials=3", "search.bayesian.initial_points=2",
        "validation.outer=2",
    )  # fmt: skip
    assert result["status"] == "failed"
    assert result["error"] == (
        "search.final: 3 trials in a row failed, the last one: out of memory; raise "
        "search.max_failures to go on"
    )
    assert result["mean_test_top1"] == 0.7
    assert result["final"]["card"] is None


def test_a_search_that_found_nothing_says_one_line(monkeypatch):
    result = pretend(
        monkeypatch, "nothing", lambda path: None, "search.refit=true", "search.max_failures=9",
        kind="search",
    )  # fmt: skip
    assert result["error"] == "the search failed in all; no trial has finished"
    assert result["final"]["error"] == (
        "search.final: no trial has finished, so there is nothing to fit"
    )
    assert (result["refit"], result["final"]["trial"]) == (None, None)


def source_with_a_test_part():
    labels = np.arange(120) % 3
    parts = {"train": np.arange(100), "test": np.arange(100, 120)}
    return SimpleNamespace(
        labels=labels, official_splits=parts, class_names=["a", "b", "c"],
        is_known_as=lambda fingerprint: True, spec="folder:x",
    )  # fmt: skip


def test_an_official_test_part_stays_out_and_can_test_it(monkeypatch):
    source, made = source_with_a_test_part(), config("o", "data.group_duplicates=false")
    outer = nested_folds(made, source)
    folds = final_folds(made, source, outer[0])
    assert np.array_equal(folds.learning, np.arange(100))
    assert (folds.pairs, folds.test) == ([], None)
    searched = final_folds(made, source, outer[0], inner=4)
    assert len(searched.pairs) == 4
    held_out = np.concatenate([validation for _, validation in searched.pairs])
    assert np.array_equal(np.sort(held_out), np.arange(100))
    tracked = SimpleNamespace(level="final", tags={TRAINED_ON: ALL_BUT_TEST}, card="", id="1")
    assert np.array_equal(own_part(tracked, "test", source), np.arange(100, 120))


def test_cards_say_what_was_estimated_and_how():
    def of(fraction):
        folds = [Folds([], np.arange(8000), np.arange(2000))] * 3
        return SimpleNamespace(
            config=SimpleNamespace(data=SimpleNamespace(train_fraction=fraction)), folds=folds
        )

    tests = [0.95, 0.96, 0.94]
    told = final.over_folds(of(1.0), "top1", tests)
    reach = 4.302652729911275 * 0.01 * (1 / 3 + 20 / 80) ** 0.5  # t of 2 degrees; s = 0.01
    assert list(told.metrics) == ["expected_top1", "expected_top1_low", "expected_top1_high"]
    assert list(told.metrics.values()) == pytest.approx([0.95, 0.95 - reach, 0.95 + reach])
    assert told.card == (
        "expected top-1 on new images 95.0 %, 95 % interval 91.7 to 98.3 %, estimated by nested "
        "cross-validation of the whole procedure"
    )
    half = final.over_folds(of(0.5), "top1", tests)  # a wider one from half of the images
    assert half.interval.low < told.interval.low
    high = final.over_folds(of(1.0), "top1", [0.9, 1.0, 0.98])
    assert high.interval.high == 1.0
    errors = final.over_images("mse", 0.0123, 50)
    assert errors.card == (
        "expected squared error on new images 0.0123, estimated on 50 test images by the winner "
        "trained without them"
    )
    assert errors.metrics == {"expected_mse": 0.0123}
    assert json.dumps(told.metrics)
