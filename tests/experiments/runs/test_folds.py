"""Runs on folds: each trained once, their mean above them, in the store, in tables and in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from blank_store import blank_store
from command import inside, refused, write_config
from mlflow import MlflowClient
from ruined_digits import ruined_digits
from scipy import stats

import experiments
from experiments.comparison import compare, fold_intervals
from experiments.config import settings
from experiments.fitting import fit, worker_state
from experiments.jobs import plan
from experiments.jobs.folds import interval_of
from experiments.jobs.job import Outcome
from experiments.reporting import facts, protocol
from experiments.reporting.caveats import best_interval
from experiments.reporting.ui import states, views
from experiments.runs import folds
from experiments.runs.reproduce import reproduce
from experiments.runs.train import train
from experiments.storage.best import kept_as_best
from experiments.tracking import status, upload
from experiments.tracking.tracked_run import TrackedRun, find_run

RATE = "train.optimizer.learning_rate"
NOISE = np.random.default_rng(5).normal(0, 0.01, (2, 2, 3))  # rate, seed, fold


def score(job):
    """A top-1 that knows its rate, seed and fold."""
    rate = job.config.train.optimizer.learning_rate
    seed, fold = job.config.seed, job.config.validation.one_fold
    return (0.8 if rate == 0.1 else 0.7) + NOISE[int(rate == 0.1), seed - 1, fold]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """(exit code, JSON, what was said, jobs) of a command whose fits take no time; those of
    `failing`, (rate, fold), fail."""
    store = blank_store(tmp_path)
    file = write_config(
        tmp_path,
        sweep={RATE: [0.05, 0.1]},
        validation={"folds": 3},
        launch={"executor": "inline"},
        data={"source": "digits", "train_fraction": 0.2, "group_duplicates": False},
        model={"name": "mlp", "options": {"hidden": [4]}},
    )

    def run(*words, failing=(), stopped=None, name="sweep"):
        jobs = []

        def attempt(job, emit):
            jobs.append(job)
            rate, fold = job.config.train.optimizer.learning_rate, job.config.validation.one_fold
            if (rate, fold) == stopped:
                raise KeyboardInterrupt
            if (rate, fold) in failing:
                return Outcome(job.path, "failed", error="no such luck")
            top = score(job)
            scores = {"val_top1": top, "val_loss": 1 - top, "test_top1": top - 0.05}
            cost = {"params": 40.0, "macs": 30.0, "train_seconds": 2.0}
            history = [{"val_top1": top / 2}, {"val_top1": top + 0.001 * job.config.seed}]
            return Outcome(job.path, "finished", scores, history, cost, tags={"device": "a CPU"})

        monkeypatch.setattr(fit, "attempt", attempt)
        code = inside(monkeypatch, name, file, f"tracking.uri={store}", "--json", *words)
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else None, err, jobs

    run.store, run.client, run.file = store, MlflowClient(store), file
    return run


def runs_of(client, level):
    experiment = client.get_experiment_by_name("tiny").experiment_id
    found = client.search_runs(
        [experiment], f"tags.level = '{level}'", order_by=["attributes.start_time ASC"]
    )
    return [run for run in found if run.info.status == "FINISHED"]


def test_a_cell_is_the_mean_over_its_folds(command):
    code, answer, said, jobs = command()
    assert (code, answer["status"]) == (0, "finished")
    assert "tiny: 2 runs (2 train.optimizer.learning_rate) x 3 folds = 6 fits" in said
    assert [job.path for job in jobs] == [("cell", c, "fold", f) for c in (0, 1) for f in (0, 1, 2)]
    for cell, row in enumerate(answer["runs"]):
        values = [score(job) for job in jobs[3 * cell : 3 * cell + 3]]
        sizes = [(len(job.train), len(job.validation)) for job in jobs[:3]]
        train, held = np.mean(sizes, axis=0)
        reach = stats.t.isf(0.025, 2) * stdev(values) * np.sqrt(1 / 3 + held / train)
        assert row[RATE] == (0.05, 0.1)[cell]
        assert row["val_top1"] == pytest.approx(fmean(values))
        assert row["val_top1_std"] == pytest.approx(stdev(values))
        assert row["interval"] == pytest.approx([fmean(values) - reach, fmean(values) + reach])
        assert (row["interval_of"], row["interval_method"]) == ("val_top1", "corrected resampled t")
        assert row["val_top1_low"] == row["interval"][0]
        assert row["test_top1"] == pytest.approx(fmean(values) - 0.05)
        assert "test_top1_low" not in row  # the same images in all folds
        assert (row["train_seconds"], row["params"], row["epochs"]) == (6.0, 40.0, 2)
        assert [one["fold"] for one in row["folds"]] == [0, 1, 2]
        assert [one["val_top1"] for one in row["folds"]] == values


def test_the_store_has_a_run_a_fold_below_the_run_of_its_cell(command):
    _, answer, _, _ = command()
    [sweep] = runs_of(command.client, "sweep")
    cells, each = runs_of(command.client, "run"), runs_of(command.client, "fold")
    assert (len(cells), len(each)) == (2, 6)
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {sweep.info.run_id}
    for cell, row in zip(cells, answer["runs"], strict=True):
        below = [r for r in each if r.data.tags["mlflow.parentRunId"] == cell.info.run_id]
        assert row["run_id"] == cell.info.run_id
        assert [r.data.tags["fold"] for r in below] == ["0", "1", "2"]
        assert sorted(r.info.run_id for r in below) == sorted(f["run_id"] for f in row["folds"])
        for key in ("val_top1", "val_top1_std", "val_top1_low", "val_top1_high", "test_top1"):
            assert cell.data.metrics[key] == row[key]
        history = command.client.get_metric_history(cell.info.run_id, "fold_val_top1")
        assert {m.step: m.value for m in history} == {
            f["fold"]: f["val_top1"] for f in row["folds"]
        }
        assert cell.data.tags["folds"] == "3"
        assert cell.data.params == {**below[0].data.params, "validation.repeats": "1"}
        assert cell.data.params["validation.folds"] == "3"
        hashes = {r.data.tags["config_hash"] for r in [cell, *below]}
        assert len(hashes) == 4


def test_a_failed_fold_fails_its_cell_and_is_all_that_is_tried_again(command):
    code, answer, _, jobs = command(failing={(0.05, 1)})
    assert (code, len(jobs)) == (1, 6)
    first, second = answer["runs"]
    assert (first["status"], first["error"]) == ("failed", "fold 1: no such luck")
    assert "val_top1" not in first
    assert second["status"] == "finished"
    assert {k: status.status("tiny")[0][k] for k in ("runs", "done", "failed", "left")} == {
        "runs": 6, "done": 5, "failed": 1, "left": 0,
    }  # fmt: skip
    code, again, said, jobs = command()
    assert "6 fits, 5 already done" in said
    assert [job.path for job in jobs] == [("cell", 0, "fold", 1)]
    assert code == 0
    assert [row["run_id"] for row in again["runs"]] == [row["run_id"] for row in answer["runs"]]
    assert again["runs"][0]["val_top1"] == pytest.approx(
        fmean(one["val_top1"] for one in again["runs"][0]["folds"])
    )
    third = command()
    assert third[1] == again
    assert not third[3]
    assert len(runs_of(command.client, "run")) == 2


def test_a_sweep_that_was_stopped_goes_on_with_the_folds_that_are_left(command):
    code, _, _, jobs = command(stopped=(0.1, 1))
    assert (code, len(jobs)) == (130, 5)
    experiment = command.client.get_experiment_by_name("tiny").experiment_id
    cells = command.client.search_runs([experiment], "tags.level = 'run'")
    assert sorted(run.info.status for run in cells) == ["FINISHED", "KILLED"]
    code, answer, _, jobs = command()
    assert [job.path for job in jobs] == [("cell", 1, "fold", 1), ("cell", 1, "fold", 2)]
    assert {row["run_id"] for row in answer["runs"]} == {run.info.run_id for run in cells}
    assert len(runs_of(command.client, "run")) == 2
    one, other = (row["val_top1_std"] for row in answer["runs"])
    assert one == pytest.approx(NOISE[0, 0].std(ddof=1))
    assert other == pytest.approx(NOISE[1, 0].std(ddof=1))


def test_the_folds_of_a_cell_count_once_towards_the_end_of_a_sweep(command):
    every = {(0.05, fold) for fold in range(3)}
    _, answer, said, jobs = command("launch.stop_after_failures=2", failing=every)
    assert len(jobs) == 6
    assert [row["status"] for row in answer["runs"]] == ["failed", "finished"]
    every |= {(0.1, 0)}
    _, answer, said, jobs = command("launch.stop_after_failures=2", "train.epochs=2", failing=every)
    assert len(jobs) == 4
    assert "2 not begun" in said
    assert [row["status"] for row in answer["runs"]] == ["failed", "failed"]


def test_train_takes_the_folds_of_its_one_configuration(command):
    code, row, said, jobs = command(name="train")
    assert (code, row["status"], len(jobs)) == (0, "finished", 3)
    assert "3 folds of validation, a fit each" in said
    assert [job.path for job in jobs] == [("run", "fold", fold) for fold in range(3)]
    assert row["val_top1"] == pytest.approx(fmean(map(score, jobs)))
    words = folds.in_words(row)
    low, high = (f"{100 * end:.2f}" for end in row["interval"])
    assert words[0] == (
        f"validation top-1: mean {100 * row['val_top1']:.2f} %, standard deviation over 3 folds "
        f"{100 * row['val_top1_std']:.2f} points, 95 % interval on new images {low} to {high} % "
        "(corrected resampled t)"
    )
    assert words[1].startswith("test top-1: mean")
    assert "interval" not in words[1]
    [cell] = runs_of(command.client, "run")
    assert "mlflow.parentRunId" not in cell.data.tags
    _, lone, _, jobs = command("validation.fold=2", name="train")
    assert [job.path for job in jobs] == [("run", "fold", 2)]
    assert lone["val_top1"] == row["folds"][2]["val_top1"]
    assert "folds" not in lone


def test_a_dry_run_counts_cells_times_folds(command):
    _, answer, _, jobs = command("--dry-run", "validation.repeats=2")
    assert answer["fits"] == len(answer["cells"]) == 12
    assert answer["cells"][7]["axes"] == {RATE: 0.1, "fold": 1}
    assert not jobs


def test_compare_tests_over_the_folds_that_cells_share(command):
    command("sweep.seed=[1, 2]")
    for level in ("auto", "fold"):
        table = compare.compare(command.client, ["tiny"], level=level, test="auto")
        best, other = table.rows
        assert (table.level, table.score) == ("run" if level == "auto" else "fold", "val_top1")
        assert (best["n"], best["folds"], best["seeds"]) == (6, 3, [1, 2])
        assert best["top1_mean"] == pytest.approx(0.8 + NOISE[1].mean())
        assert other["tested_by"] == "corrected resampled t over folds"
        d = (0.1 + NOISE[1] - NOISE[0]).mean(axis=0)  # over the seeds of a fold, first
        held = 1438 / 3  # of 1,797 digits less the test part; data.train_fraction is a fifth
        t = d.mean() / np.sqrt((1 / 3 + held / (2 * held / 5)) * d.var(ddof=1))
        assert other["p_value"] == pytest.approx(2 * stats.t(2).sf(t), rel=0.02)
        assert "the test part is the same for all folds" in table.warnings[0]


def test_cells_on_other_folds_are_not_tested_against_each_other(command):
    for count in (2, 3):
        command(f"validation.folds={count}", name="train")
    table = compare.compare(command.client, ["tiny"], test="auto")
    assert [row["validation.folds"] for row in table.rows] in ([2, 3], [3, 2])
    assert table.rows[1]["vs_best"] == "not tested: other split"


def test_runs_on_folds_are_listed_once(command):
    command()
    experiment = command.client.get_experiment_by_name("tiny").experiment_id
    rows = command.client.search_runs([experiment], states.TRAINED)
    assert sorted(run.data.tags["level"] for run in rows) == ["run", "run"]
    views.write(command.client, experiment)
    every = command.client.search_runs([experiment])
    grouped = [run for run in every if states.SETTING in run.data.tags]
    assert sorted(run.info.run_id for run in grouped) == sorted(run.info.run_id for run in rows)
    runs = [TrackedRun.of(command.client, run) for run in every]
    kept = kept_as_best(runs)
    best = max(runs_of(command.client, "run"), key=lambda run: run.data.metrics["val_top1"])
    below = [r for r in runs if r.parent == best.info.run_id]
    assert set(kept) == {best.info.run_id, *(run.id for run in below)}
    assert "of 2 runs" in kept[best.info.run_id]


def test_results_hold_cells_and_folds(command):
    _, answer, _, _ = command()
    cells = experiments.results("tiny", uri=command.store)
    assert list(cells["folds"]) == [3, 3]
    assert list(cells["val_top1_low"]) == [row["val_top1_low"] for row in answer["runs"]]
    each = experiments.results("tiny", level="fold", uri=command.store)
    assert list(each["fold"]) == [0, 1, 2] * 2
    assert list(each.columns[:4]) == ["model", "seed", "fold", RATE]
    means = each.groupby(RATE)["val_top1"].mean()
    assert list(means) == pytest.approx(list(cells["val_top1"]))


def test_another_store_gets_the_same_tree(command, tmp_path):
    _, answer, _, _ = command()
    other = blank_store(tmp_path / "other")
    sent = upload.upload("tiny", other, lambda line: None)
    assert sent["left"] == []
    client = MlflowClient(other)
    [sweep] = runs_of(client, "sweep")
    cells, each = runs_of(client, "run"), runs_of(client, "fold")
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {sweep.info.run_id}
    assert {run.data.tags["mlflow.parentRunId"] for run in each} == {r.info.run_id for r in cells}
    for cell, row in zip(cells, answer["runs"], strict=True):
        assert cell.data.metrics["val_top1"] == row["val_top1"]
        history = client.get_metric_history(cell.info.run_id, "fold_val_top1")
        assert [m.value for m in history] == [one["val_top1"] for one in row["folds"]]
    assert upload.upload("tiny", other, lambda line: None)["sent"] == []


def test_the_report_says_what_the_folds_allow(command):
    command("sweep.seed=[1, 2]")
    table = compare.compare(command.client, ["tiny"], test="auto")
    told = facts.gather(command.client, table)
    values = 0.8 + NOISE[1].mean(axis=0)
    params = runs_of(command.client, "run")[0].data.params  # the first fold's sizes
    train, held = (int(params[f"data.{part}_images"]) for part in ("train", "validation"))
    found = interval_of(list(values), [train] * 3, [held] * 3, 3 * held)
    assert best_interval(table, told) is None, "of one fold's images"
    row = table.rows[0]
    assert row["interval_low"] == pytest.approx(found.low)
    assert row["interval_high"] == pytest.approx(found.high)
    assert "95 % interval for new images" in " ".join(fold_intervals.notes(table))
    assert "in each of 3 folds, which are the validation part in turn" in " ".join(
        protocol.sentences(table, told)
    )


def test_an_interval_is_of_numbers_and_of_so_many_images():
    equal = interval_of([1.0, 1.0, 1.0], [10] * 3, [5] * 3, 15)
    assert equal.method.startswith("Wilson")
    assert equal.low < 1.0 == equal.high
    assert interval_of([1.0, float("nan")], [10] * 2, [5] * 2) is None
    found = interval_of([0.8, 0.9], [10, 10], [5, 5])
    assert found.low < 0.8 < 0.9 < found.high


REAL = {
    "name": "marked",
    "data": {"source": "digits", "train_fraction": 0.2, "group_duplicates": False},
    "model": {"name": "mlp", "options": {"hidden": [8]}},
    "train": {"epochs": 2},
    "validation": {"test_folds": 2, "validation_fraction": 0.2},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
    "launch": {"executor": "inline"},
}


def outcome_of(name, fold):
    """A fold's journal: its outcome."""
    for book in Path(".ilsvrc", name).glob("*/journal.jsonl"):
        ended = [e for e in map(json.loads, book.read_text().splitlines()) if e["event"] == "ended"]
        if ended and ended[-1]["outcome"]["path"] == ["run", "fold", fold]:
            return ended[-1]["outcome"]
    raise AssertionError(f"no fold {fold} of {name}")


def test_nothing_of_a_fold_reaches_what_is_trained_for_it(tmp_path, monkeypatch):
    """Its test images ruined, statistics, curve and validation come out the same to the last bit;
    the other fold, which learns from them, does not."""
    raw = REAL | {"tracking": {"uri": blank_store(tmp_path)}}
    row = train(settings.parse(raw))
    assert row["status"] == "finished"
    made = plan.prepare_fits(settings.parse(raw))[1][0]
    for room in (plan, worker_state):
        monkeypatch.setattr(room, "open_source", ruined_digits(made.split.test))
    ruined = train(settings.parse(raw | {
        "name": "ruined", "data": REAL["data"] | {"max_pixels": 1_000_000},
    }))  # fmt: skip
    for fold in (0, 1):
        before, after = outcome_of("marked", fold), outcome_of("ruined", fold)
        same = fold == 0
        assert (before["history"] == after["history"]) is same
        key = "statistics.json"
        assert (before["artifacts"][key] == after["artifacts"][key]) is same
        if same:
            assert before["scores"]["val_top1"] == after["scores"]["val_top1"]
            assert before["scores"]["test_top1"] > after["scores"]["test_top1"]
    assert ruined["interval_of"] == "test_top1"


def test_a_fold_is_reproduced_bit_for_bit_and_the_mean_is_refused(tmp_path, monkeypatch, capsys):
    store = blank_store(tmp_path)
    row = train(settings.parse(REAL | {"tracking": {"uri": store}}))
    document = reproduce(row["folds"][1]["run_id"], quiet=True)
    assert (document["differences"], document["predictions_identical"]) == ({}, True)
    assert not [line for line in document["warnings"] if not line.startswith("git_dirty")]
    capsys.readouterr()
    line = refused(monkeypatch, capsys, "reproduce", row["run_id"], f"tracking.uri={store}")
    assert "is the mean over folds, not a single fit; give one of the runs on its folds" in line
    assert row["folds"][0]["run_id"] in line
    line = refused(monkeypatch, capsys, "evaluate", row["run_id"], f"tracking.uri={store}")
    assert "give one of the runs that trained a network, not their parent" in line
    run = find_run(MlflowClient(store), row["folds"][1]["run_id"])
    tested = run.predictions.parts["test"].index
    assert np.array_equal(tested, plan.prepare(run.config).split.test)
