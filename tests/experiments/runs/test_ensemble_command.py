"""`ilsvrc ensemble` for real, tiny and in this process: members, averages, tracking, resuming."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blank_store import blank_store
from command import inside
from terminal_text import shown

import experiments.configs
from experiments.config import settings
from experiments.errors import BadInput
from experiments.fitting import fit
from experiments.jobs import predictions
from experiments.jobs.dataset import open_source
from experiments.jobs.job import ROOT, Outcome, seed_for
from experiments.runs.ensemble import ensemble, judge, render
from experiments.runs.members import plan_team
from experiments.search import run as search
from experiments.search.folds import search_folds
from experiments.tracking.search_journal import State, find, what_matters
from experiments.tracking.store import connect
from experiments.tracking.tracked_run import find_run
from tuning.statistics.significance import difference_interval, mcnemar

RATE = "train.optimizer.learning_rate"
CONFIG = {
    "name": "tiny",
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.15, "batch_size": 32},
    "model": {"name": "lenet5"},
    "train": {"epochs": 2, "optimizer": {"learning_rate": 0.05}},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
    "launch": {"executor": "inline"},
    "evaluate": {"ensemble": {"kind": "seeds", "size": 3}},
}


def config_of(*words):
    return settings.parse(settings.override(CONFIG, words), where="tiny.yaml")


def files_of(member):
    """A member's predictions as it left them: the frame of each part, by image."""
    client = connect("sqlite:///mlflow.db")
    path = client.download_artifacts(member["run_id"], "predictions.parquet")
    table = pd.read_parquet(path).sort_values("index")
    return {part: rows.reset_index() for part, rows in table.groupby("part")}


def probabilities(frame, column="probabilities"):
    return np.stack(frame[column]).astype(np.float64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder where an ensemble of three seeds has ended, and its JSON."""
    folder = tmp_path_factory.mktemp("ensemble")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        blank_store(folder)
        document = ensemble(config_of(), "tiny.yaml")
    return folder, document


@pytest.fixture
def there(trained, monkeypatch):
    """Works in the folder of `trained`."""
    monkeypatch.chdir(trained[0])
    return trained[1]


def test_the_ensemble_is_the_mean_of_its_members(there):
    frames = [files_of(member) for member in there["members"]]

    for part in ("val", "test"):
        label = frames[0][part]["label"].to_numpy()
        each = [probabilities(frame[part]) for frame in frames]
        for member, own in zip(there["members"], each, strict=True):
            assert member[f"{part}_top1"] == (own.argmax(1) == label).mean()
        mean = np.mean(each, axis=0)
        assert there["ensemble"][f"{part}_top1"] == (mean.argmax(1) == label).mean()
        ranked = np.argsort(-mean, axis=1, kind="stable")[:, :5]
        assert there["ensemble"][f"{part}_top5"] == (ranked == label[:, None]).any(1).mean()
        low, high = there["ensemble"][f"{part}_top1_interval"]
        assert 0 < there["ensemble"][f"{part}_balanced_top1"] <= 1
        assert 0 < there["ensemble"][f"{part}_macro_f1"] <= 1
        assert low < there["ensemble"][f"{part}_top1"] < high
    assert json.loads(json.dumps(there)) == there


def test_the_best_member_is_chosen_on_validation_and_compared_on_test(there):
    best = max(there["members"], key=lambda member: member["val_top1"])
    assert there["best_member"] == best
    gain = there["ensemble"]["test_top1"] - best["test_top1"]
    assert there["gain"] == pytest.approx(gain)
    tests = [member["test_top1"] for member in there["members"]]
    assert there["mean_member_test_top1"] == pytest.approx(np.mean(tests))
    assert there["std_member_test_top1"] == pytest.approx(np.std(tests, ddof=1))

    frames = [files_of(member)["test"] for member in there["members"]]
    label = frames[0]["label"].to_numpy()
    whole = np.mean([probabilities(frame) for frame in frames], axis=0).argmax(1) == label
    own = probabilities(frames[there["members"].index(best)]).argmax(1) == label
    test, interval = mcnemar(whole, own), difference_interval(whole, own)
    assert there["p_value"] == test.p_value
    assert there["mcnemar"]["only_ensemble"] == test.only_first
    assert there["gain_interval"] == [interval.low, interval.high]


def test_test_images_do_not_choose():
    # member b is better on test, a on validation
    labels = np.array([0, 1] * 10)
    sure = np.eye(2)[labels] * 0.8 + 0.1
    wrong_once = sure.copy()
    wrong_once[0] = sure[0][::-1]
    rows = [{"name": "a"}, {"name": "b"}]
    val, test = (labels, [sure, wrong_once]), (labels, [wrong_once, sure])

    assert judge(rows, {"val": val, "test": test})["best_member"]["name"] == "a"
    assert judge(rows, {"val": test, "test": test})["best_member"]["name"] == "b"
    assert judge(rows, {"test": test})["best_member"]["name"] == "a"  # the search's order


def test_members_differ_in_their_seed_alone(there):
    seeds = [member["seed"] for member in there["members"]]
    assert seeds == [1, seed_for(1, "ensemble", 1), seed_for(1, "ensemble", 2)]
    frames = [files_of(member) for member in there["members"]]
    for frame in frames[1:]:
        for part in ("val", "test"):
            assert frame[part]["index"].equals(frames[0][part]["index"])
            different = probabilities(frame[part]) != probabilities(frames[0][part])
            assert different.mean() > 0.9

    client = connect("sqlite:///mlflow.db")
    runs = [client.get_run(member["run_id"]).data.params for member in there["members"]]
    for params in runs[1:]:
        assert {key for key in params if params[key] != runs[0][key]} == {"seed"}


def test_members_differ_in_draws_with_a_seed_of_their_own_too():
    def seeds(*words):
        members = plan_team(config_of(*words), "tiny.yaml").members
        configs = [member.cell.plan.config for member in members]
        return [one.seed for one in configs], [one.seeds.given for one in configs]

    plain, none = seeds()
    same, apart = seeds("seeds={weights: 8, order: 9}")
    assert same == plain
    assert none == [{}, {}, {}]
    assert apart[0] == {"weights": 8, "order": 9}  # the run of `ilsvrc train`
    for number, given in enumerate(apart[1:], start=1):
        assert given == {
            draw: seed_for(seed, "ensemble", number) for draw, seed in apart[0].items()
        }


def test_it_costs_what_its_members_cost(there):
    for key in ("macs", "params", "latency_ms_p50", "train_seconds"):
        assert there["ensemble"][key] == pytest.approx(sum(m[key] for m in there["members"]))
    assert there["ensemble"]["macs"] == 3 * there["members"][0]["macs"]


def test_a_disturbed_latency_of_a_member_marks_the_sum(there):
    def shown_with(flags):
        members = [
            {**member, "latency_disturbed": flag}
            for member, flag in zip(there["members"], flags, strict=True)
        ]
        team = there["ensemble"] | {"latency_disturbed": max(flags)}
        return shown(render({**there, "members": members, "ensemble": team}), markup=False)

    quiet, busy = shown_with([0.0, 0.0, 0.0]), shown_with([0.0, 1.0, 0.0])
    assert "†" not in quiet
    assert busy.count("†") == 3  # the member, the ensemble, and the note
    measured = [member["latency_disturbed"] for member in there["members"]]
    assert there["ensemble"]["latency_disturbed"] == max(measured)


def test_it_is_tracked_as_a_parent_with_predictions_of_its_own(there):
    client = connect("sqlite:///mlflow.db")
    parent = client.get_run(there["run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["level"] == "ensemble"
    assert parent.data.params == {"ensemble.kind": "seeds", "ensemble.size": "3"}
    assert parent.data.metrics["test_top1"] == there["ensemble"]["test_top1"]
    assert parent.data.metrics["gain"] == there["gain"]
    assert parent.data.metrics["macs"] == there["ensemble"]["macs"]
    for member in there["members"]:
        tags = client.get_run(member["run_id"]).data.tags
        assert (tags["mlflow.parentRunId"], tags["level"]) == (there["run_id"], "run")
    kept = Path(client.download_artifacts(there["run_id"], "ensemble.json")).read_text()
    assert json.loads(kept) == there

    # compared later without any network
    ids = there["run_id"], there["best_member"]["run_id"]
    kept = [find_run(client, run_id).predictions for run_id in ids]
    _, labels, (whole, member) = predictions.paired(kept, "test")
    right = [(found.argmax(1) == labels).mean() for found in (whole, member)]
    assert right == [there["ensemble"]["test_top1"], there["best_member"]["test_top1"]]


def test_a_second_start_trains_nothing_and_finds_the_same(there, monkeypatch):
    monkeypatch.setattr(fit, "attempt", lambda job, emit: pytest.fail("trained again"))
    assert ensemble(config_of(), "tiny.yaml") == there


def test_the_table_names_the_best_member_and_the_verdict(there):
    text = shown(render(there), width=140, markup=False)
    assert f"{there['best_member']['name']} ●" in text
    assert f"{100 * there['ensemble']['test_top1']:.2f}" in text
    assert "McNemar p =" in text
    assert text.count("●") == 1


def test_a_failed_member_leaves_no_ensemble_and_is_tried_again(there, monkeypatch, capsys):
    attempt, tried = fit.attempt, []

    def fail_once(job, emit):
        tried.append(job.config.seed)
        return Outcome(job.path, "failed", error="no luck")

    # a fourth member: the other three are done
    path = Path("tiny.yaml")
    path.write_text(json.dumps(CONFIG | {"evaluate": {"ensemble": {"kind": "seeds", "size": 4}}}))
    monkeypatch.setattr(fit, "attempt", fail_once)
    assert inside(monkeypatch, "ensemble", path, "--json") == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert tried == [seed_for(1, "ensemble", 3)]
    assert document["status"] == "failed"
    assert "ensemble" not in document
    assert [m["status"] for m in document["members"]] == ["finished"] * 3 + ["failed"]
    assert f"failed: seed {tried[0]}: no luck" in err

    monkeypatch.setattr(fit, "attempt", attempt)
    assert inside(monkeypatch, "ensemble", path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [m["run_id"] for m in document["members"][:3]] == [m["run_id"] for m in there["members"]]
    assert len(document["members"]) == 4


def test_a_dry_run_counts_the_fits(there, monkeypatch, capsys):
    path = Path("dry.yaml")
    path.write_text(json.dumps(CONFIG))
    assert inside(monkeypatch, "ensemble", path, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["fits"] == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["evaluate.ensemble=null"], r"tiny.yaml: no evaluate.ensemble; add"),
        (["validation.validation_fraction=0"], "set validation.validation_fraction=0.2"),
        (["validation.test_fraction=0"], "set validation.test_fraction=0.2"),
        (["model.name=autoencoder_undercomplete"], "is a reconstruction; choose a classifier"),
        (["model.name=lenet"], "model.name: "),
        (
            ["evaluate.ensemble.kind=checkpoints", "evaluate.ensemble.every=2"],
            "3 checkpoints, 2 epochs apart, need 5 epochs. Received: train.epochs=2",
        ),
        (["evaluate.ensemble.kind=top"], "add the search section, or set kind seeds"),
        (
            [
                "evaluate.ensemble={kind: checkpoints, size: 2}",
                "evaluate.dropout_samples=3",
                "model.options.monte_carlo=true",
            ],
            "checkpoints are asked once each. Received: 3",
        ),
        (
            ["evaluate.ensemble={kind: checkpoints, size: 2}", "train.early_stopping={}"],
            "leave train.early_stopping out",
        ),
    ],
)
def test_what_makes_no_ensemble_is_refused_before_anything_starts(words, says):
    with pytest.raises(BadInput, match=says):
        ensemble(config_of(*words), "tiny.yaml")
    assert not ROOT.exists()


def test_checkpoints_are_the_networks_that_shorter_runs_end_with(there):
    late = {"evaluate.ensemble": {"kind": "checkpoints", "size": 2, "every": 2}, "train.epochs": 4}
    document = ensemble(config_of(*(f"{key}={value}" for key, value in late.items())), "tiny.yaml")

    assert [member["epoch"] for member in document["members"]] == [2, 4]
    assert len({member["run_id"] for member in document["members"]}) == 1
    assert document["ensemble"]["macs"] == 2 * document["members"][0]["macs"]
    assert document["ensemble"]["train_seconds"] == document["members"][0]["train_seconds"]
    # seed 1 trained for two epochs is the first member of the ensemble of seeds
    frames, short = files_of(document["members"][0]), files_of(there["members"][0])
    for part in ("val", "test"):
        early = probabilities(frames[part], "probabilities_epoch_2")
        np.testing.assert_array_equal(early, probabilities(short[part]))
        last = probabilities(frames[part])
        assert (early != last).mean() > 0.9
        label = frames[part]["label"].to_numpy()
        mean = ((early + last) / 2).argmax(1)
        assert document["ensemble"][f"{part}_top1"] == (mean == label).mean()


def test_the_best_candidates_of_a_search_are_retrained_and_tested(there, monkeypatch):
    rates = [0.01, 0.1, 0.05]
    words = [
        "name=searched",
        "evaluate.ensemble={kind: top, size: 2}",
        f"search={{strategy: grid, space: {{train.optimizer.learning_rate: {rates}}}}}",
        "validation.folds=2",
    ]
    config = config_of(*words)
    with pytest.raises(BadInput, match=r"to have ended here; run: ilsvrc search tiny\.yaml"):
        ensemble(config, "tiny.yaml")
    found = search.run("search", config, "tiny.yaml")
    ranked = sorted(found["trials"], key=lambda trial: -trial["score"])
    fits, run = [], fit.run
    monkeypatch.setattr(fit, "run", lambda job, emit: fits.append(job) or run(job, emit))

    document = ensemble(config, "tiny.yaml")

    assert [member["trial"] for member in document["members"]] == [t["number"] for t in ranked[:2]]
    assert [member["search_score"] for member in document["members"]] == [
        trial["score"] for trial in ranked[:2]
    ]
    assert document["best_member"]["trial"] == found["best"]["number"]
    assert "val_top1" not in document["ensemble"]
    folds = search_folds(config, open_source(config.data))
    for job, trial in zip(fits, ranked[:2], strict=True):
        assert job.config.train.optimizer.learning_rate == rates[trial["number"]]
        assert job.validation is None
        assert set(job.train) < set(folds.learning)  # a train_fraction of them
        assert set(job.train) & set(folds.pairs[0][1])  # validation images as well
        np.testing.assert_array_equal(job.test, folds.test)
        assert not set(job.train) & set(job.test)
    assert fits[0].config.seed != fits[1].config.seed
    client = connect("sqlite:///mlflow.db")
    levels = {client.get_run(m["run_id"]).data.tags["level"] for m in document["members"]}
    assert levels == {"refit"}  # not a run: compare would average it with runs of fewer images

    with pytest.raises(BadInput, match=r"4 candidates, and the search finished 3; set .*size=3"):
        ensemble(config_of(*words, "evaluate.ensemble.size=4"), "tiny.yaml")
    with pytest.raises(BadInput, match=r"train.epochs: 2 -> 3"):
        ensemble(config_of(*words, "train.epochs=3"), "tiny.yaml")


def test_candidates_with_early_stopping_train_for_the_median_of_their_best_epochs(monkeypatch):
    words = [
        "evaluate.ensemble={kind: top, size: 2}",
        "search={strategy: grid, space: {train.optimizer.learning_rate: [0.01, 0.1]}}",
        "validation.folds=3",
        "train.epochs=9",
        "train.early_stopping={patience: 2}",
        "train.schedule.name=cosine",
    ]
    config = config_of(*words)
    source = open_source(config.data)
    directory = find(
        "tiny", "search", what_matters(config, "search", source.fingerprint), fresh=False
    )
    directory.mkdir(parents=True)
    trials = [
        {"number": n, "status": "finished", "hyperparameters": {RATE: rate}, "score": score,
         "val_top1": score, "epochs": epochs}
        for n, rate, score, epochs in ((0, 0.01, 0.5, [2, 7, 4]), (1, 0.1, 0.6, [5, 3, 3]))
    ]  # fmt: skip
    (directory / "result.json").write_text(json.dumps({"trials": trials, "minimise": False}))

    team = plan_team(config, "tiny.yaml")

    assert [member.about["trial"] for member in team.members] == [1, 0]
    configs = [cell.plan.config for cell in team.cells]
    assert [own.train.optimizer.learning_rate for own in configs] == [0.1, 0.01]
    assert [own.train.epochs for own in configs] == [3, 4]
    assert [own.train.schedule.epochs for own in configs] == [9, 9]  # that of the folds
    assert all(own.train.early_stopping is None for own in configs)
    assert all(own.evaluate.ensemble is None for own in configs)


def test_candidates_of_hyperband_keep_the_schedule_that_it_gave_them():
    words = [
        "evaluate.ensemble={kind: top, size: 2}",
        "search={strategy: hyperband, space: {train.optimizer.learning_rate: [0.01, 0.1]}}",
        "train.epochs=9",
        "train.early_stopping={patience: 2}",
        "train.schedule.name=step",
    ]
    config = config_of(*words)
    matters = what_matters(config, "search", open_source(config.data).fingerprint)
    state = State(find("tiny", "search", matters, fresh=False))
    rows = [
        {"number": n, "status": "finished", "hyperparameters": {RATE: 0.1}, "score": score,
         "val_top1": score, "epochs": [2]}
        for n, score in ((0, 0.6), (1, 0.5))
    ]  # fmt: skip
    state.propose(
        [{"outer": 0, "trial": n, "settings": {RATE: 0.1}, "epochs": given}
         for n, given in ((0, 3), (1, 9))]
    )  # fmt: skip
    (state.directory / "result.json").write_text(json.dumps({"trials": rows, "minimise": False}))
    trained = [cell.plan.config.train for cell in plan_team(config, "tiny.yaml").cells]
    assert [(own.epochs, own.schedule.epochs) for own in trained] == [(2, 3), (2, 9)]


def test_one_member_is_no_ensemble():
    with pytest.raises(BadInput, match=r"evaluate.ensemble.size: .*greater than or equal to 2"):
        config_of("evaluate.ensemble.size=1")


def test_the_shipped_config_makes_all_kinds_that_need_no_search():
    path = Path(experiments.configs.__file__).with_name("ensemble.yaml")
    seeds = plan_team(settings.load(path), str(path))
    assert (len(seeds.cells), len(seeds.members)) == (5, 5)
    words = ["evaluate.ensemble.kind=checkpoints", "evaluate.ensemble.every=2"]
    late = plan_team(settings.load(path, words), str(path))
    assert len(late.cells) == 1
    assert [member.about["epoch"] for member in late.members] == [12, 14, 16, 18, 20]
    assert late.cells[0].job.prediction_epochs == (12, 14, 16, 18)
