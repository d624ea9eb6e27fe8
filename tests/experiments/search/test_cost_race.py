"""`search.race` with several objectives on real networks: who gives up, resumed and nested."""

from __future__ import annotations

import contextlib
import io
import shutil

import pytest
from search_fits import cut, watched
from small_search import quiet_folder, uri

from experiments.config import settings
from experiments.errors import BadInput
from experiments.search import space
from experiments.search.race import cost_of
from experiments.search.run import run
from tuning.objectives import Objective
from tuning.oracles.oracle import Manual
from tuning.search import Search

pytestmark = pytest.mark.usefixtures("own_store")

RATE, HIDDEN = "train.optimizer.learning_rate", "model.options.hidden"
BASE = {
    "name": "r",
    "data": {"source": "digits", "image_size": 16},
    "model": {"name": "mlp"},
    "train": {"epochs": 4},
    "validation": {"folds": 4},
    "search": {
        "strategy": "manual",
        "objectives": ["val_top1", "macs"],
        "settings": [
            {HIDDEN: [16], RATE: 0.05},
            {HIDDEN: [100], RATE: 0.05},
            {HIDDEN: [80], RATE: 1e-6},
            {HIDDEN: [16], RATE: 1e-6},
        ],
        "race": {},
    },
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
}
CHEAP, BEST, DEARER, AS_CHEAP = range(4)


def config(*words):
    store = {"tracking": {"save_model": "none", "uri": uri()}}
    return settings.parse(settings.override({**BASE, **store}, words))


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """A folder where a raced search has ended, its JSON, and what it said."""
    folder, said = tmp_path_factory.mktemp("raced"), io.StringIO()
    with quiet_folder(folder), contextlib.redirect_stderr(said):
        return folder, run("search", config(), "r.yaml"), said


def outcome(result):
    """What must be equal however often a search was stopped."""
    keys = ("number", "status", "scores", "gave_up")
    return [{key: trial[key] for key in keys} for trial in result["trials"]], result["race"]


def test_the_cheap_one_stays_though_far_behind_and_what_costs_no_less_gives_up(raced):
    trials = raced[1]["trials"]
    assert trials[CHEAP]["score"] < trials[BEST]["score"]
    assert [trial["status"] for trial in trials] == ["finished", "finished", "gave_up", "gave_up"]
    for number in (DEARER, AS_CHEAP):
        told = trials[number]["gave_up"]
        assert (told["folds"], told["leader"]) == (2, CHEAP)
        assert 0 < told["p"] < 0.05 * (2 / 3) / 6
        assert told["leader_cost"]["macs"] <= told["cost"]["macs"]
    dearer, as_cheap = (trials[number]["gave_up"]["cost"]["macs"] for number in (DEARER, AS_CHEAP))
    assert dearer == 5 * as_cheap
    assert raced[1]["race"]["folds_saved"] == 4


def test_it_says_who_is_better_at_which_cost(raced):
    lines = [line for line in raced[2].getvalue().splitlines() if "gave up" in line]
    assert "] trial 2 (hidden=[80], learning_rate=1e-06): gave up after 2 folds: " in lines[0]
    assert ": trial 0 is better for no more, macs 4.26 k of 21.3 k (p " in lines[0]


@pytest.mark.parametrize("kept", [3, 9])
def test_a_race_that_was_cut_goes_on_to_the_same_end(raced, own_folder, monkeypatch, kept):
    shutil.copytree(raced[0] / ".ilsvrc", own_folder / ".ilsvrc")
    journal = own_folder / raced[1]["state"] / "journal.jsonl"
    cut(journal, kept)
    trained = watched(monkeypatch)
    again = run("search", config(), "r.yaml")
    assert len(trained) == 12 - kept
    assert outcome(again) == outcome(raced[1])


@pytest.mark.parametrize("section", [{"tpe": {"startup_trials": 3}}, {"nsga2": {"population": 3}}])
def test_what_learns_goes_on_from_a_race_that_was_cut(own_folder, monkeypatch, section):
    """Who gave up is told to the strategy as it was, and the front has only who has every fold."""
    [strategy] = section
    space = {HIDDEN: [[16], [40], [64]], RATE: [0.1, 0.05, 1e-6, 2e-6]}
    chosen = {"strategy": strategy, **section, "space": space, "trials": 7, "seed": 2}
    shared = {key: BASE["search"][key] for key in ("objectives", "race")}
    made = config(f"search={chosen | shared}", "train.epochs=2")
    whole = run("search", made, "r.yaml")
    trials = whole["trials"]
    gone = {trial["number"] for trial in trials if trial["status"] == "gave_up"}
    assert gone
    assert {trials[n]["hyperparameters"][RATE] for n in gone} <= {1e-6, 2e-6}
    for number in gone:
        told = trials[number]["gave_up"]
        assert told["leader_cost"]["macs"] <= told["cost"]["macs"]
    assert not gone & {member["trial"] for member in whole["front"]}
    cut(own_folder / whole["state"] / "journal.jsonl", 9)
    trained = watched(monkeypatch)
    again = run("search", made, "r.yaml")
    assert len(trained) == whole["fits"]["done"] - 9
    assert [trial["hyperparameters"] for trial in again["trials"]] == [
        trial["hyperparameters"] for trial in trials
    ]
    assert outcome(again) == outcome(whole)


def test_nested_each_outer_fold_has_a_race_with_its_own_trials(own_folder):
    words = ("validation.folds=null", "validation.outer=2", "validation.inner=3")
    result = run("nested", config(*words), "r.yaml")
    statuses = {(trial["outer"], trial["number"]): trial["status"] for trial in result["trials"]}
    assert {key for key, status in statuses.items() if status == "gave_up"} == {
        (outer, number) for outer in (0, 1) for number in (DEARER, AS_CHEAP)
    }
    assert {trial["gave_up"]["leader"] for trial in result["trials"] if trial["gave_up"]} == {CHEAP}


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        ("[val_top1, macs, train_seconds]", "search.race: train_seconds: known only when"),
        ("[val_top1, val_loss, macs]", "search.race: val_loss: known only when"),
        ("[val_loss, macs]", "val_loss tells of none; set search.objectives to [val_top1, ...]"),
    ],
)
def test_a_race_whose_objectives_are_known_too_late_is_refused_in_one_line(objectives, said):
    with pytest.raises(BadInput) as refused:
        space.check(config(f"search.objectives={objectives}"), "r.yaml", 5)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_cost_of_which_more_is_better_counts_the_other_way():
    objectives = [Objective("val_top1", False), Objective("params", False), Objective("macs", True)]
    priced = {"params": 7, "macs": 5, "activation_bytes": 3}
    search = Search(Manual([{}]), 3, objectives=objectives, known=lambda trial: priced)
    assert search.ready()
    assert cost_of([search], 0, 0) == [-7, 5]
