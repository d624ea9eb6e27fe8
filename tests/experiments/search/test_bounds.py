"""Bounds on cost, known settings first and even samples: searches on workers that are not there."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from simulated_cluster import RATE, Clock, Cluster, Store, config, run, run_cut, simulated

import models
from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.search import run as search_run
from experiments.search.results import text
from experiments.tracking.search_journal import what_matters

HIDDEN = "model.options.hidden"
WIDTHS = [[8], [16], [64], [256]]
UNIT = {"type": "float", "low": 0.02, "high": 0.1}
NUMBERS = {RATE: UNIT, HIDDEN: WIDTHS, "data.batch_size": {"type": "int", "low": 16, "high": 64}}


def macs(hidden: list[int]) -> int:
    """Of the two dense layers on 16 x 16 pixels of grey."""
    return 256 * hidden[0] + 10 * hidden[0]


def searched(asked: Config, store: Store | None = None) -> dict[str, Any]:
    return run(asked, Cluster(2, 1, Clock(), deaths=0.0), store or Store())


def grid(**more: Any) -> Config:
    space = {RATE: [0.05, 0.06], HIDDEN: WIDTHS}
    return config(9, 2, strategy="grid", space=space, refit=False, **more)


def test_a_grid_is_fitted_where_it_is_within_its_constraints() -> None:
    store = Store()
    asked = grid(constraints={"macs": 5000})
    result = searched(asked, store)
    assert [trial["status"] for trial in result["trials"]] == [
        "finished", "finished", "refused", "refused",
    ] * 2  # fmt: skip
    for trial in result["trials"]:
        hidden = trial["hyperparameters"][HIDDEN]
        assert (trial["status"] == "refused") == (macs(hidden) > 5000)
        if trial["status"] == "refused":
            profile = models.profile(
                models.outline("mlp", input_shape=(16, 16, 1), classes=10, hidden=hidden)
            )
            assert trial["refused"]["macs"] == macs(hidden) == profile.macs
            assert trial["refused"]["params"] == profile.params
            assert trial["refused"]["activation_bytes"] == profile.activation_bytes
        else:
            assert trial["refused"] is None
    assert result["fits"] == {"planned": 4, "done": 4, "failed": 0, "saved": 0}
    assert result["refused"] == 4
    told = text.of_result(result)
    assert "trial 3 refused: macs 68.1 k, params 68.4 k, activation_bytes " in told
    with (Path(result["state"]) / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["macs"] for row in rows[:4]] == ["", "", "17024", "68096"]
    statuses = {
        run.data.tags["path"]: run.info.status
        for run in store.runs.values()
        if run.data.tags["level"] == "trial"
    }
    assert statuses == {f"trial/{number}": "FINISHED" for number in range(8)}
    again = searched(asked, store)
    assert [trial["status"] for trial in again["trials"]] == [
        trial["status"] for trial in result["trials"]
    ]
    assert len(store.runs) == 1 + 8


@pytest.mark.parametrize(
    "more",
    [
        {"strategy": "random"},
        {"strategy": "random", "sampler": "sobol"},
        {"strategy": "bayesian", "bayesian": {"initial_points": 3}, "parallel": 2},
        {"strategy": "hyperband", "hyperband": {"max_epochs": 9}},
        {"strategy": "tpe", "tpe": {"startup_trials": 3}, "parallel": 2},
        {"strategy": "nsga2", "nsga2": {"population": 3}, "parallel": 2},
        {"strategy": "qmc"},
        {"strategy": "cmaes", "space": NUMBERS, "parallel": 2},
    ],
)
def test_what_is_refused_costs_no_trial_and_a_cut_search_refuses_the_same(more) -> None:
    space = {RATE: UNIT, HIDDEN: WIDTHS}
    bounds = {"macs": 20_000, "params": 5000}
    asked = config(6, 2, constraints=bounds, **{"space": space, **more})
    whole = searched(asked)
    tried = [trial for trial in whole["trials"] if trial["status"] != "refused"]
    assert len(tried) == (22 if "hyperband" in more else 6)
    assert all(trial["hyperparameters"][HIDDEN] in WIDTHS[:2] for trial in tried)
    assert whole["refused"] == len(whole["trials"]) - len(tried) > 0
    assert whole["fits"]["planned"] == whole["fits"]["done"] == len(tried) + 1
    shutil.rmtree(".ilsvrc")
    cut, _ = run_cut(asked, 2, [3], Store())
    keys = ("number", "status", "hyperparameters", "score", "refused", "budget")
    for one, other in zip(whole["trials"], cut["trials"], strict=True):
        assert [one[key] for key in keys[:3]] == [other[key] for key in keys[:3]]
        assert one["refused"] == other["refused"]


def test_a_search_that_finds_too_few_says_so_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Of 900 sizes one is small enough: it is known, and no draw finds it again."""
    size = {"data.image_size": {"type": "int", "low": 8, "high": 900}}
    known = {"data.image_size": 8, RATE: 0.05}
    bounds = {"macs": 8000}
    asked = config(3, 2, 1, space=size | {RATE: UNIT}, start=[known], constraints=bounds)
    asked = settings.parse(settings.override(asked.model_dump(mode="json"), ["search.seed=2"]))
    cluster = Cluster(2, 1, Clock(), deaths=0.0)
    with simulated(cluster, Store()):
        result = search_run.run("search", asked, "few.yaml")
    assert [trial["status"] for trial in result["trials"]].count("finished") == 1
    assert result["refused"] == 300
    assert "search.constraints: 1 of 3 trials; after 300 draws in a row" in capsys.readouterr().err


def test_refused_candidates_between_failed_ones_are_no_failures() -> None:
    document = grid(constraints={"macs": 5000}).model_dump(mode="json")
    document["search"] |= {"space": {RATE: [0.05], HIDDEN: WIDTHS[::-1]}, "max_failures": 1}
    assert searched(settings.parse(document))["status"] == "finished"


def test_every_outer_fold_refuses_the_same() -> None:
    document = grid(constraints={"macs": 5000}).model_dump(mode="json")
    document["validation"] |= {"outer": 2, "inner": 2}
    asked = settings.parse(document)
    planned = search_run.dry_run("nested", asked, "n.yaml")
    assert planned["fits"] == 2 * (4 * 2 + 1)
    assert "8 candidates (2 learning_rate" not in planned["text"]
    assert "- 4 over search.constraints)" in planned["text"]
    assert [one[HIDDEN] for one in planned["candidates"]] == WIDTHS[:2] * 2
    with simulated(Cluster(2, 1, Clock(), deaths=0.0), Store()):
        result = search_run.run("nested", asked, "n.yaml")
    refused = [(t["outer"], t["number"]) for t in result["trials"] if t["status"] == "refused"]
    assert refused == [(outer, number) for outer in (0, 1) for number in (2, 3, 6, 7)]
    assert result["fits"]["done"] == planned["fits"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"strategy": "grid"}, r"none of the candidates .*\(at best macs 2.13 k > 100\)"),
        ({"strategy": "random", "trials": 3}, r"none of 4 draws of the candidates .*macs"),
        (
            {"strategy": "random", "trials": 3, "space": {RATE: UNIT, HIDDEN: WIDTHS}},
            r"none of 300 draws .*macs 2.13 k > 100",
        ),
        (
            {"strategy": "hyperband", "space": {RATE: UNIT, HIDDEN: WIDTHS}},
            r"none of 300 draws",
        ),
    ],
)
def test_constraints_that_no_candidate_meets_are_refused_before_anything(more, said) -> None:
    document = grid().model_dump(mode="json")
    document["search"] |= {"space": {HIDDEN: WIDTHS}, "constraints": {"macs": 100}} | more
    asked, store = settings.parse(document), Store()
    for start in (lambda: searched(asked, store), lambda: search_run.dry_run("search", asked, "")):
        with pytest.raises(BadInput, match=rf"^search.constraints: {said}.*; raise them, or widen"):
            start()
    assert not store.runs
    assert not list(Path(".ilsvrc").glob("**/journal.jsonl"))


def test_known_settings_come_first_and_are_tracked_as_trials() -> None:
    known = {RATE: 0.04, HIDDEN: [16]}
    for more in (
        {"strategy": "random"},
        {"strategy": "bayesian", "bayesian": {"initial_points": 2}},
        {"strategy": "tpe", "tpe": {"startup_trials": 2}},
        {"strategy": "nsga2", "nsga2": {"population": 2}},
        {"strategy": "qmc"},
    ):
        space = {RATE: UNIT, HIDDEN: WIDTHS}
        result = searched(config(4, 2, space=space, start=[known], **more))
        assert result["trials"][0]["hyperparameters"] == known
        assert len(result["trials"]) == 4
        shutil.rmtree(".ilsvrc")


def test_a_known_setting_over_the_constraints_is_refused_like_any_other() -> None:
    asked = grid(start=[{RATE: 0.06, HIDDEN: [256]}], constraints={"macs": 5000})
    first, second, *_ = searched(asked)["trials"]
    assert first["status"] == "refused"
    assert second["hyperparameters"] == {RATE: 0.05, HIDDEN: [8]}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"start": [{RATE: 0.5, HIDDEN: [8]}]}, rf"start.0: {RATE}: expected a number from 0.02"),
        ({"start": [{RATE: 0.05}]}, rf"start.0: {HIDDEN}: has no value"),
        ({"start": [{RATE: 0.05, HIDDEN: [8], "seed": 1}]}, "start.0: seed: not in the space"),
        ({"start": [{RATE: 0.05, HIDDEN: [8]}] * 2}, "start: 1: the same as 0"),
        ({"start": [{}]}, "start: 0: empty"),
        ({"constraints": {"macs": 0}}, "constraints.macs: input should be greater than 0"),
        ({"constraints": {"flops": 1}}, "constraints.flops: "),
        ({"sampler": "halton"}, "sampler: input should be 'random' or 'sobol'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(more: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        config(4, 2, space={RATE: UNIT, HIDDEN: WIDTHS}, **more)
    assert "\n" not in str(caught.value)


def test_known_settings_of_a_manual_search_are_checked_as_its_own() -> None:
    document = grid().model_dump(mode="json")
    document["search"] = {"strategy": "manual", "settings": [{"seed": 1}], "refit": False}
    document["search"]["start"] = [{"train.epoch": 3}]
    with pytest.raises(BadInput, match=r"train\.epoch: "):
        search_run.check("search", settings.parse(document), "m.yaml")
    document["search"]["start"] = [{"seed": 2, "train.epochs": 1}, {"seed": 1}]
    planned = search_run.dry_run("search", settings.parse(document), "m.yaml")
    assert planned["candidates"] == [{"seed": 2, "train.epochs": 1}, {"seed": 1}]


def test_a_sampler_that_the_strategy_has_not_is_said_and_left_out() -> None:
    with pytest.warns(UserWarning, match="search.sampler is ignored: strategy grid draws in its"):
        asked = grid(sampler="sobol")
    assert asked.search
    assert asked.search.sampler == "random"


def test_without_these_keys_a_search_is_what_it_was() -> None:
    plain = grid()
    matters = what_matters(plain, "search", "f")
    assert not [key for key in matters if key.startswith(("search.start", "search.constr"))]
    assert "search.sampler" not in matters
    assert not {"start", "constraints", "sampler"} & plain.model_dump(mode="json")["search"].keys()
    for more in (
        {"start": [{RATE: 0.05, HIDDEN: [8]}]},
        {"constraints": {"params": 10**6}},
        {"strategy": "random", "sampler": "sobol", "trials": 3},
    ):
        document = plain.model_dump(mode="json")
        document["search"] |= {"strategy": "grid", **more}
        other = settings.parse(document)
        assert what_matters(other, "search", "f") != matters
        assert settings.parse(json.loads(other.model_dump_json())) == other
