"""`ilsvrc nested` with shared fits: half of them, the same result bit for bit, and nothing that an
outer fold tests is seen there before."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from command import inside
from mlflow import MlflowClient
from ruined_digits import ruined_digits
from search_fits import watched
from small_search import quiet_folder, uri

from experiments.config import settings
from experiments.errors import BadInput
from experiments.fitting import fit, worker_state
from experiments.search import pairs, study
from experiments.search.candidates import Candidates
from experiments.search.run import run
from experiments.search.study import Study
from experiments.tracking.journal import Journal

pytestmark = pytest.mark.usefixtures("own_store")

RATE = "train.optimizer.learning_rate"
OUTER = 4
PAIRS = OUTER * (OUTER - 1) // 2


def config(name, *words, **sections):
    document = {
        "name": name,
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.1},
        "model": {"name": "mlp", "options": {"dropout": 0.3}},
        "augment": {"steps": [{"op": "pad_and_crop"}]},
        "train": {"epochs": 2},
        "validation": {"outer": OUTER},
        "search": {"strategy": "grid", "space": {RATE: [0.03, 0.1, 0.3]}},
        "launch": {"executor": "inline"},
        "bench": {"latency_calls": 2, "throughput_batches": 1},
        "tracking": {"save_model": "none", "uri": uri()},
        **sections,
    }
    return settings.parse(settings.override(document, words))


def go(monkeypatch, made, apart=False):
    """Its JSON and every job that ran. `apart`: each outer fold has fits of its own, of the same
    folds and seeds: for every two folds there are two."""
    draws = Candidates.draws

    def drawn_by(candidates, task):
        if task.fit is None:
            return draws(candidates, task)
        other = task.fit.fold + (task.fit.fold >= task.outer)
        return ("pair", "-".join(map(str, sorted((task.outer, other)))))

    with monkeypatch.context() as patch:
        jobs = watched(patch)
        if apart:
            patch.setattr(Study, "shared", False)
            patch.setattr(Candidates, "draws", drawn_by)
        return run("nested", made, "n.yaml"), jobs


def compared(result):
    """All but times, places and counts."""
    left_out = ("seconds", "run_id")
    rows = [*result["trials"], *result["outer"]]
    shown = [{k: v for k, v in row.items() if k not in left_out} for row in rows]
    names = ("winners_differ", "mean_test_top1", "std_test_top1", "best_inner_score", "optimism")
    return [*shown, {name: result[name] for name in names}]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same search both ways: (result, jobs, folder) of each."""
    done = {}
    for name in ("together", "apart"):
        folder = tmp_path_factory.mktemp(name)
        with quiet_folder(folder) as patch:
            done[name] = (*go(patch, config("n"), name == "apart"), folder)
    return done


def test_half_the_fits_give_the_same_result_bit_for_bit(both):
    (together, few, _), (apart, many, _) = both["together"], both["apart"]
    assert len(few) == together["fits"]["done"] == together["fits"]["planned"] == 3 * PAIRS + OUTER
    assert len(many) == apart["fits"]["done"] == 3 * 2 * PAIRS + OUTER
    assert together["shared"] is True
    assert compared(together) == compared(apart)
    assert together["status"] == "finished"
    assert len({trial["score"] for trial in together["trials"]}) == 3 * OUTER
    spent = [one["budget"]["spent_images"] for one in (together, apart)]
    assert 2 * spent[0] == spent[1] == sum(2 * len(j.train) for j in many if j.path[-1] != "refit")


def test_the_flat_tables_have_a_row_a_trial_and_fold_and_count_costs_once(both):
    (result, _, folder), (apart, _, elsewhere) = both["together"], both["apart"]
    tables = [
        pd.read_csv(where / one["state"] / "folds.csv").drop(columns="seconds")
        for one, where in ((result, folder), (apart, elsewhere))
    ]
    pd.testing.assert_frame_equal(*tables)
    ended = [e for e in Journal(folder / result["state"]).events() if e["event"] == "ended"]
    fits = [e for e in ended if e["path"][-1] != "refit"]
    assert sorted({"/".join(map(str, e["path"])) for e in fits}) == sorted(
        f"trial/{n}/pair/{i}-{j}" for n in range(3) for i in range(OUTER) for j in range(i + 1, 4)
    )
    spent = sum(e["seconds"] for e in fits)
    assert sum(trial["seconds"] for trial in result["trials"]) == pytest.approx(spent)
    rows = pd.read_csv(folder / result["state"] / "folds.csv")
    assert rows["seconds"].sum() == pytest.approx(spent)
    store = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = store.search_runs(["1"], "tags.level = 'trial'")
    took = sum(e["outcome"]["cost"]["train_seconds"] for e in fits)
    assert sum(run.data.metrics["train_seconds"] for run in runs) == pytest.approx(took)


def test_the_store_has_a_run_a_trial_of_each_outer_fold(both):
    result, _, folder = both["together"]
    store = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = {run.data.tags["path"]: run for run in store.search_runs(["1"])}
    assert sorted(runs) == sorted(
        ["nested", *(f"outer/{o}/refit" for o in range(OUTER))]
        + [f"outer/{o}/trial/{n}" for o in range(OUTER) for n in range(3)]
    )
    for trial in result["trials"]:
        found = runs[f"outer/{trial['outer']}/trial/{trial['number']}"]
        assert found.data.metrics["val_top1"] == trial["score"]
        history = store.get_metric_history(found.info.run_id, "fold_val_top1")
        assert {m.step: m.value for m in history} == dict(enumerate(trial["scores"]))
        # no name of a pair's part
        assert not [key for key in found.data.metrics if key.startswith(("val_0", "val_1"))]
    params = store.get_run(result["run_id"]).data.params
    assert (params["validation.inner"], params["search.paired"]) == ("shared", "true")


def test_no_fit_sees_either_of_its_folds_and_each_is_scored_apart(both):
    result, jobs, folder = both["together"]
    tests = {job.path[1]: job.test for job in jobs if job.path[-1] == "refit"}
    assert np.array_equal(np.sort(np.concatenate([*tests.values()])), np.arange(1797))
    for job in jobs:
        if job.path[-1] == "refit":
            continue
        i, j = map(int, job.path[-1].split("-"))
        assert job.validation is job.test is None
        assert not set(job.train) & {*tests[i], *tests[j]}
        assert {k: set(v) for k, v in job.pair.items()} == {n: set(tests[n]) for n in (i, j)}
        predictions = pd.read_parquet(folder / job.directory / "predictions.parquet")
        for fold in (i, j):
            seen = predictions[predictions["part"] == f"val_{fold}"]
            assert set(seen["index"]) == set(tests[fold])
            right = (seen["label"] == seen["predicted"]).mean()
            of = next(t for t in result["trials"] if (t["outer"], t["number"]) ==
                      (i + j - fold, job.path[1]))  # fmt: skip
            at = fold - (fold > i + j - fold)
            assert of["scores"][at] == pytest.approx(right)
    assert len({job.config.seed for job in jobs}) == PAIRS + OUTER  # none of a trial's own


def test_with_its_test_images_ruined_an_outer_fold_chooses_the_same_to_the_last_bit(
    both, monkeypatch
):
    """They are ruined for every other outer fold, whose fits they are training images of; a
    statistic, an augmentation or a choice that they reach would show."""
    result, jobs, _ = both["together"]
    [refit] = [job for job in jobs if job.path == ("outer", 1, "refit")]
    opened = ruined_digits(refit.test)
    monkeypatch.setattr(study, "open_source", opened)
    monkeypatch.setattr(worker_state, "open_source", opened)
    another = "data.max_pixels=1000000"  # source, for what is kept of it
    ruined, again = go(monkeypatch, config("ruined", another, "data.group_duplicates=false"))
    [other] = [job for job in again if job.path == ("outer", 1, "refit")]
    assert np.array_equal(refit.test, other.test)  # no two digits are the same, so that it may be
    for old, new in zip(result["trials"], ruined["trials"], strict=True):
        assert (old["scores"] == new["scores"]) is (old["outer"] == 1)
    old, new = result["outer"][1], ruined["outer"][1]
    assert old["hyperparameters"] == new["hyperparameters"]
    assert old["inner_scores"] == new["inner_scores"]
    assert old["train_top1"] == new["train_top1"]
    assert new["test_top1"] < old["test_top1"]


def test_an_outer_fold_sees_no_score_on_its_own_images():
    values = {"train_loss": 1.0, "val_top1": 0.5, "val_loss": 9.0, "val_1_top1": 0.4,
              "val_1_loss": 8.0, "val_12_top1": 0.6, "val_12_loss": 10.0}  # fmt: skip
    assert pairs.on_fold(values, 1) == {"train_loss": 1.0, "val_top1": 0.4, "val_loss": 8.0}
    assert pairs.on_fold(values, 12) == {"train_loss": 1.0, "val_top1": 0.6, "val_loss": 10.0}


def test_repeats_are_fits_with_other_weights(monkeypatch):
    words = ("validation.repeats=2", "validation.outer=3", f"search.space={{{RATE}: [0.1]}}")
    result, jobs = go(monkeypatch, config("r", *words))
    assert result["fits"]["planned"] == len(jobs) == 2 * 3 + 3
    paths = {job.path[1:] for job in jobs if "pair" in job.path}
    assert paths == {
        (0, "pair", pair, *again) for pair in ("0-1", "0-2", "1-2") for again in ((), ("repeat", 1))
    }
    assert len({job.config.seed for job in jobs}) == len({job.directory for job in jobs}) == 9
    assert all(len(set(trial["scores"])) > 2 for trial in result["trials"])


def test_a_failed_fit_fails_its_candidate_in_both_outer_folds(monkeypatch):
    real = fit.run

    def broken(job, emit):
        if job.path == ("trial", 1, "pair", "0-2"):
            raise MemoryError("no room")
        return real(job, emit)

    monkeypatch.setattr(fit, "run", broken)
    result, _ = go(monkeypatch, config("f"))
    failed = [(t["outer"], t["number"]) for t in result["trials"] if t["status"] == "failed"]
    assert failed == [(0, 1), (2, 1)]
    assert result["status"] == "finished"
    assert (result["fits"]["done"], result["fits"]["failed"]) == (3 * PAIRS + OUTER, 1)
    errors = {t["error"] for t in result["trials"] if t["status"] == "failed"}
    assert errors == {"MemoryError: no room"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["validation.inner=2"], "not shared: validation.inner is 2, 22 with validation.inner=sha"),
        (["train.early_stopping={}"], "not shared: train.early_stopping would end"),
        (["validation.outer=2"], "not shared: 2 outer folds leave a fit"),
        (
            ["search.space={train.early_stopping: [null, {patience: 1}]}"],
            "not shared: train.early_stopping would end",
        ),
        (
            ["search.space={train.schedule.name: [constant, plateau]}"],
            "not shared: schedule plateau would follow",
        ),
        (
            [f"search={{strategy: bayesian, trials: 9, space: {{{RATE}: {{type: float, low: 0.01,"
             " high: 1}}}"],
            "not shared: strategy bayesian proposes by the scores of one outer fold",
        ),
    ],
)  # fmt: skip
def test_where_fits_cannot_be_shared_a_line_says_why(words, why, tmp_path, monkeypatch, capsys):
    (tmp_path / "d.json").write_text(config("d").model_dump_json(exclude={"search": {"bayesian"}}))
    text = [str(tmp_path / "d.json"), *words]
    assert inside(monkeypatch, "nested", *text, "--dry-run") == 0
    told = capsys.readouterr().out
    assert why in told
    [line] = [line for line in told.splitlines() if line.startswith("d: ")]
    asked = [*text, "validation.inner=shared", "--dry-run"]
    if "validation.inner" not in words[0]:
        assert inside(monkeypatch, "nested", *asked) == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        assert "validation.inner: shared cannot be, for " in line
        with pytest.raises(BadInput, match=r"set validation\.inner=3"):
            run("nested", config("d", *words, "validation.inner=shared"), "d.yaml")
    assert not (tmp_path / ".ilsvrc").exists()


def test_a_dry_run_says_how_many_fits_it_is_both_ways(tmp_path, monkeypatch, capsys):
    (tmp_path / "d.json").write_text(config("d").model_dump_json())
    assert inside(monkeypatch, "nested", tmp_path / "d.json", "--dry-run") == 0
    assert (
        "3 candidates (3 train.optimizer.learning_rate) x 6 pairs of outer folds + 4 refits "
        "= 22 fits (40 unshared); 90 + 2 x " in capsys.readouterr().out
    )
    for words, fits in (((), 22), (("validation.inner=3",), 40), (("validation.inner=2",), 28)):
        assert (
            inside(monkeypatch, "nested", tmp_path / "d.json", *words, "--dry-run", "--json") == 0
        )
        told = json.loads(capsys.readouterr().out)
        apart = max(fits, 28) if words else 40
        assert (told["fits"], told["fits_shared"], told["fits_unshared"]) == (fits, 22, apart)
