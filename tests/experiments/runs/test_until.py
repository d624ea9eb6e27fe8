"""`sweep.until`: seeds are added in rounds until each row is settled, whatever runs them."""

from __future__ import annotations

import io
import json
import random
import sys

import numpy as np
import pytest
from blank_store import blank_store
from command import inside, refused, write_config
from idle_worker import IdleWorker
from mlflow import MlflowClient

from experiments.fitting import fit
from experiments.jobs.job import Outcome
from experiments.launch import executors
from experiments.launch.pool import Pool
from experiments.runs import sweep as sweeps
from experiments.tracking import status

MODELS = ["mlp", "lenet5", "plain20_cifar"]
MEANS = dict(zip(MODELS, (0.80, 0.60, 0.799), strict=True))
SPREADS = dict(zip(MODELS, (0.001, 0.01, 0.0013), strict=True))
AS_IT_ENDS = {"mlp": "best", "lenet5": "beaten", "plain20_cifar": "equivalent"}


def score(job):
    """Of the seed a part that all rows share, and one of the row's own."""
    model, seed = job.config.model.name, job.config.seed
    own = np.random.default_rng([seed, MODELS.index(model)]).normal() * SPREADS[model]
    return MEANS[model] + 0.02 * np.random.default_rng(seed).normal() + own


def finished(job):
    scores = {"test_top1": score(job), "val_top1": 0.5}
    return Outcome(job.path, "finished", scores, [{"val_top1": 0.5}])


class Actor(IdleWorker):
    """Answers now and then, so that fits end in another order."""

    def hear(self):
        return [] if random.random() < 0.5 else [finished(self.job)]


class Stage(Pool):
    def wait(self, busy, seconds):
        return random.sample(busy, len(busy))


class Sweeps:
    """Of a config in a folder with a store, by fits that only say what they score."""

    def __init__(self, folder):
        self.store = blank_store(folder)
        self.file = write_config(
            folder,
            sweep={"model.name": MODELS, "until": {"at_most": 12}},
            launch={"executor": "inline"},
            tracking={"uri": self.store, "system_metrics": False},
        )

    def __call__(self, *words, failing=(), killed_at=None):
        """(exit code, JSON, what was said, (model, seed) of what was trained)."""
        trained = []

        def attempt(job, emit):
            one = (job.config.model.name, job.config.seed)
            if killed_at is not None and len(trained) == killed_at:
                raise KeyboardInterrupt
            trained.append(one)
            if one in failing:
                return Outcome(job.path, "failed", error="no such luck")
            return finished(job)

        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fit, "attempt", attempt)
            patch.setattr(sweeps.parent_page, "attach", lambda *_: None)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = inside(patch, "sweep", self.file, "--json", *words)
        return code, json.loads(out.getvalue() or "null"), err.getvalue(), trained


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Sweeps(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One from its beginning to its end: the sweeps, their folder, and what it gave."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        made = Sweeps(folder)
        return made, folder, made()


@pytest.fixture
def beside(whole, monkeypatch):
    monkeypatch.chdir(whole[1])
    return whole[0]


def settled(answer):
    rows = answer["settled"]["rows"]
    return {row["name"]: (row["settled_as"], row["settled_after"]) for row in rows}


def test_rows_stop_when_they_are_settled_and_the_leader_goes_on(whole):
    code, answer, said, trained = whole[2]
    kinds = settled(answer)
    assert code == 0
    assert {name: kind for name, (kind, _) in kinds.items()} == AS_IT_ENDS
    assert kinds["lenet5"] == ("beaten", 4)  # before which nothing can be told of three rows
    most = kinds["plain20_cifar"][1]
    assert 4 < most == kinds["mlp"][1] < 12
    for name, (_, after) in kinds.items():
        assert [seed for model, seed in trained if model == name] == list(range(1, after + 1))
    assert answer["settled"]["all"]
    assert answer["settled"]["score"] == "test_top1"
    assert len(answer["runs"]) == len(trained) == len(set(trained))
    assert "after 4 seeds: mlp leads; beaten: lenet5 (after 4); undecided: plain20_cifar" in said
    assert f"after {most} seeds: mlp is best; beaten: lenet5 (after 4); equivalent: plain20" in said
    best, beaten, equivalent = answer["settled"]["rows"]
    assert best["difference"] is None
    assert beaten["difference_interval"][1] < 0
    assert max(map(abs, equivalent["difference_interval"])) < 0.005


def test_the_store_and_the_table_know_it(whole, beside, monkeypatch, capsys):
    answer = whole[2][1]
    client = MlflowClient(beside.store)
    run = client.get_run(answer["run_id"])
    assert run.data.params["sweep.until.alpha"] == "0.05"
    assert run.data.params["sweep.until.margin"] == "0.5"
    counts = {key: run.data.metrics[f"rows_{key}"] for key in ("beaten", "equivalent", "undecided")}
    assert counts == {"beaten": 1, "equivalent": 1, "undecided": 0}
    assert "settlement.json" in [file.path for file in client.list_artifacts(answer["run_id"])]
    assert inside(monkeypatch, "compare", "tiny", f"tracking.uri={beside.store}", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    told = {row["name"]: (row["settled_as"], row["settled_after"]) for row in rows}
    assert told == settled(answer)
    verdicts = {"best": "best", "beaten": "worse", "equivalent": "equivalent"}
    assert {row["verdict"] for row in rows} == set(verdicts.values())
    assert all(row["verdict"] == verdicts[row["settled_as"]] for row in rows)
    assert not any("*" in row["vs_best"] for row in rows), "seeds were not chosen beforehand"
    assert inside(monkeypatch, "compare", "tiny", f"tracking.uri={beside.store}") == 0
    table = " ".join(capsys.readouterr().out.split())
    assert "beaten after 4" in table
    assert "seeds were added until rows were settled" in table


def test_another_store_is_told_it_by_upload(whole, beside, monkeypatch, capsys, tmp_path):
    other = blank_store(tmp_path, "other.db")
    assert inside(monkeypatch, "upload", "tiny", f"tracking.uri={other}") == 0
    capsys.readouterr()
    assert inside(monkeypatch, "compare", "tiny", f"tracking.uri={other}", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["name"]: row["settled_as"] for row in rows} == AS_IT_ENDS


def test_a_sweep_that_was_killed_decides_the_same_when_it_is_run_again(whole, sweep):
    code, _, _, first = sweep(killed_at=13)
    assert code == 130
    [row] = status.status("tiny")
    [undecided] = row["undecided"]  # of the look after the first round
    assert (undecided["name"], undecided["against"]) == ("plain20_cifar", "mlp")
    assert undecided["seeds_more"] > 0
    code, answer, _, second = sweep()
    assert code == 0
    assert not set(first) & set(second)
    assert status.status("tiny")[0]["undecided"] == []
    assert answer["settled"] == whole[2][1]["settled"]
    assert sorted(first + second) == sorted(whole[2][3])
    code, again, _, third = sweep()
    assert (code, third) == (0, [])
    assert (again["settled"], again["run_id"]) == (answer["settled"], answer["run_id"])


def test_it_is_the_same_whatever_order_workers_end_in(whole, sweep, monkeypatch):
    monkeypatch.setattr(executors, "executor", lambda launch: Stage([Actor() for _ in range(3)]))
    _, pooled, _, _ = sweep()
    assert pooled["settled"] == whole[2][1]["settled"]
    assert len(pooled["runs"]) == len(whole[2][3])


def test_a_seed_that_failed_is_left_out_of_the_pairs_of_its_row(sweep):
    code, answer, _, trained = sweep(failing={("lenet5", 3)})
    assert (code, answer["status"]) == (1, "failed")
    assert settled(answer)["lenet5"] == ("beaten", 4)
    assert ("lenet5", 5) in trained
    assert answer["settled"]["all"]


def test_a_row_of_which_nothing_ends_well_is_left_alone(sweep):
    gone = {("lenet5", seed) for seed in range(1, 30)}
    _, answer, said, trained = sweep(failing=gone)
    assert settled(answer)["lenet5"] == (None, None)
    assert max(seed for model, seed in trained if model == "lenet5") == 4
    assert "without a score: lenet5" in said
    assert settled(answer)["plain20_cifar"][0] == "equivalent"


def test_of_folds_the_means_are_compared_and_the_seeds_counted(sweep, monkeypatch, capsys):
    def on_a_fold(job):
        value = score(job) + 0.05 * job.config.validation.fold
        return Outcome(job.path, "finished", {"val_top1": value}, [{"val_top1": value}])

    monkeypatch.setattr(sys.modules[__name__], "finished", on_a_fold)
    _, answer, said, trained = sweep("validation.folds=2")
    assert "12 runs at least, 36 at most; at first 12 x 2 folds = 24 fits" in said
    assert answer["settled"]["score"] == "val_top1"
    assert settled(answer)["lenet5"] == ("beaten", 4)
    assert {row["name"]: row["settled_as"] for row in answer["settled"]["rows"]} == AS_IT_ENDS
    assert trained.count(("lenet5", 4)) == 2, "a fold each"
    assert inside(monkeypatch, "compare", "tiny", f"tracking.uri={sweep.store}") == 0
    assert "beaten after 4" in capsys.readouterr().out


def test_of_squared_errors_the_lowest_leads_and_none_is_equivalent(sweep, monkeypatch):
    def erring(job):
        return Outcome(job.path, "finished", {"test_mse": 1 - score(job)}, [{}])

    monkeypatch.setattr(sys.modules[__name__], "finished", erring)
    _, answer, _, _ = sweep("sweep.until.at_most=6")
    whole = answer["settled"]
    assert (whole["score"], whole["margin"], whole["leader"]) == ("test_mse", None, "mlp")
    rows = {row["name"]: row for row in whole["rows"]}
    assert settled(answer)["lenet5"] == ("beaten", 4)
    assert 0 < rows["lenet5"]["difference_interval"][0] < rows["lenet5"]["difference"]
    assert rows["plain20_cifar"]["settled_as"] == "undecided"


def test_seeds_that_the_axis_names_come_first_and_more_at_most_goes_on(sweep, monkeypatch, capsys):
    words = ["sweep.seed=[7, 3]", "sweep.until.margin=null", "sweep.model.name=[mlp,plain20_cifar]"]
    _, answer, said, _ = sweep(*words, "sweep.until.at_most=5")
    assert answer["settled"]["seeds"] == [7, 3, 8, 9, 10]
    assert not answer["settled"]["all"]
    assert "undecided: plain20_cifar (about " in said
    assert inside(monkeypatch, "status", "tiny") == 0
    assert "  undecided against mlp: plain20_cifar (about " in capsys.readouterr().out
    _, more, _, trained = sweep(*words, "sweep.until.at_most=6")
    assert more["run_id"] == answer["run_id"]
    assert {seed for _, seed in trained} == {11}


def test_what_it_may_cost_is_said_before(sweep, monkeypatch, capsys):
    rows = "sweep.model.name=[mlp, lenet5]"
    _, document, _, trained = sweep(rows, "--dry-run")
    assert (document["fits"], document["fits_at_most"], trained) == (8, 24, [])
    assert inside(monkeypatch, "sweep", sweep.file, rows, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "2 rows (2 model.name), 4 seeds each and then more until all are settled" in said
    assert "8 runs at least, 24 at most" in said


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("sweep.until.at_most=3", "of 3 rows none can be settled before 4 seeds; set 4 or more"),
        ("sweep.model.name=[mlp]", "compares rows, and the axes come to one; add an axis beside"),
    ],
)
def test_what_could_settle_nothing_is_refused(sweep, monkeypatch, capsys, word, says):
    assert says in refused(monkeypatch, capsys, "sweep", sweep.file, word)
