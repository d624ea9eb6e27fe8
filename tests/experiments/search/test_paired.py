"""Candidates are compared under the same draws: weights, order, augmentation and dropout of a fit
come from its fold and repeat. Searches that began before go on with the draws that they had."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_search import uri

from experiments.config import settings
from experiments.errors import BadInput
from experiments.jobs.job import seed_for
from experiments.search import study as module
from experiments.search.candidates import Candidates
from experiments.search.run import run
from experiments.search.sharing import settled
from experiments.search.study import open_study
from experiments.tracking.journal import Journal
from experiments.tracking.search_journal import State, digest, find, matters_of, what_matters
from tuning.nested import Task
from tuning.trial import Fit, Trial

RATE = "train.optimizer.learning_rate"
GRID = {"strategy": "grid", "space": {RATE: [0.05, 0.1]}}


def config(*words, **sections):
    document = {
        "name": "p",
        "seed": 7,
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.1},
        "model": {"name": "mlp"},
        "train": {"epochs": 1},
        "search": GRID,
        "launch": {"executor": "inline"},
        "bench": {"latency_calls": 2, "throughput_batches": 1},
        "tracking": {"save_model": "none", "uri": uri()},
        **sections,
    }
    return settings.parse(settings.override(document, words))


def seeds(kind, made, fits):
    candidates = Candidates(open_study(kind, made), Path("root"))
    return [
        candidates.job(Task(outer, Fit(trial, fold, chosen))).config.seed
        for outer, trial, fold, chosen in fits
    ]


@pytest.mark.parametrize("kind", ["search", "nested"])
def test_the_seed_of_a_fit_is_that_of_its_fold_and_repeat(kind):
    words = ("validation.folds=2", "validation.inner=2", "validation.outer=2")
    made = config(*words, "validation.repeats=2")
    outers = range(2) if kind == "nested" else range(1)
    places = [(outer, fold) for outer in outers for fold in range(4)]
    first, second = (
        seeds(kind, made, [(*place[:1], trial, *place[1:], {RATE: rate}) for place in places])
        for trial, rate in ((0, 0.05), (1, 0.1))
    )
    assert first == second
    assert len(set(first)) == len(places)
    # a candidate that varies the seed has draws of its own
    other = seeds(kind, made, [(outer, 2, fold, {"seed": 8}) for outer, fold in places])
    assert not set(other) & set(first)


def test_what_stands_in_place_of_the_seed_is_drawn_anew_for_each_fold_too():
    candidates = Candidates(
        open_study("search", config("validation.folds=2", "seeds.order=3")), Path()
    )
    jobs = [
        [candidates.job(Task(0, Fit(trial, fold, {RATE: rate}))) for fold in (0, 1)]
        for trial, rate in ((0, 0.05), (1, 0.1))
    ]
    for fold in (0, 1):
        one, other = (job[fold].config for job in jobs)
        assert one.seeds.given == other.seeds.given == {"order": seed_for(3, "fold", fold)}
        assert one.seed == other.seed == seed_for(7, "fold", fold)  # of all else, as ever


def test_unpaired_it_is_that_of_its_path_and_so_is_a_refits():
    made = config("search.paired=false", "validation.folds=2")
    assert seeds("search", made, [(0, 3, 1, {RATE: 0.1})]) == [seed_for(7, "trial", 3, "fold", 1)]
    for paired in (True, False):
        study = open_study("nested", config(f"search.paired={paired}".lower()))
        winner = Trial(3, {RATE: 0.1}, None, 3, "finished")
        job = Candidates(study, Path("root")).job(Task(2), winner)
        assert job.config.seed == seed_for(7, "outer", 2, "refit")


@pytest.mark.parametrize("paired", [True, False])
def test_equal_candidates_get_equal_scores_where_they_are_paired(paired, monkeypatch):
    """What differs changes no result, so that all else would be a draw that is the trial's."""
    monkeypatch.setattr("experiments.search.results.plots.pictures.write", lambda *_: [])
    made = config(
        f"search.paired={paired}".lower(),
        "validation.folds=2",
        model={"name": "mlp", "options": {"dropout": 0.5}},
        augment={"steps": [{"op": "pad_and_crop"}]},
        search={
            "strategy": "manual",
            "settings": [{"train.checkpoint.keep": keep} for keep in (1, 2)],
        },
    )
    first, second = run("search", made, "p.yaml")["trials"]
    ended = [e for e in Journal(next(Path(".ilsvrc").glob("p/search-*"))).events()
             if e["event"] == "ended"]  # fmt: skip
    histories = {tuple(e["path"][1::2]): e["outcome"]["history"] for e in ended}
    for fold in range(2):
        assert (histories[0, fold] == histories[1, fold]) is paired
    assert histories[0, 0] != histories[0, 1]
    assert (first["scores"] == second["scores"]) is paired


FORMER = {
    ("search", "grid"): "77fc29fd2c5b",
    ("nested", "grid"): "ddd94a5c487e",
    ("search", "bayesian"): "97d960aa0026",
    ("nested", "bayesian"): "6a33ec629adf",
}
"""What journals were called before searches were paired, typed in."""


def old(strategy, *words):
    more = {} if strategy == "grid" else {"trials": 9}
    space = [0.05, 0.1] if strategy == "grid" else {"type": "float", "low": 0.01, "high": 1}
    search = {"strategy": strategy, "space": {RATE: space}, **more}
    return settings.parse(settings.override({"name": "old", "search": search}, words))


class Images:
    fingerprint = "print"

    def is_known_as(self, fingerprint):
        return fingerprint == self.fingerprint

    def go_on_as(self, fingerprint):
        assert fingerprint == self.fingerprint


@pytest.mark.parametrize(("kind", "strategy"), FORMER)
def test_a_search_that_began_before_goes_on_as_it_began(kind, strategy):
    images = Images()
    today = settled(kind, old(strategy), images)
    assert today.search.paired
    former = old(strategy, "search.paired=false", "validation.inner=3")
    then = what_matters(former, kind, "print")
    assert digest(then) == FORMER[kind, strategy] != digest(what_matters(today, kind, "print"))
    State(find("old", kind, then, fresh=False)).begin(then, {})

    again = settled(kind, old(strategy), images)
    assert not again.search.paired
    assert again.validation.inner == (3 if kind == "nested" else None)
    folder = find("old", kind, matters_of(again, kind, images), fresh=False)
    assert folder.name == f"{kind}-{FORMER[kind, strategy]}"
    # what changed is named without what only the version changed
    changed = settled(kind, old(strategy, "train.epochs=9"), images)
    with pytest.raises(BadInput, match=r"under way in \S+: train\.epochs: \d+ -> 9; set back"):
        find("old", kind, matters_of(changed, kind, images), fresh=False)
    # asked for, it is another search
    paired = settled(kind, old(strategy, "search.paired=true"), images)
    with pytest.raises(BadInput, match=r"search\.paired: absent -> true"):
        find("old", kind, matters_of(paired, kind, images), fresh=False)
    # and apart from the old one a fresh start is as of today
    fresh = settled(kind, old(strategy), images, fresh=True)
    assert fresh == today
    matters = matters_of(fresh, kind, images)
    State(find("old", kind, matters, fresh=True)).begin(matters, {})
    assert settled(kind, old(strategy), images) == today
    assert settled(kind, old(strategy, "train.epochs=9"), images).search.paired


def test_an_old_journal_goes_on_with_the_seeds_that_it_had(monkeypatch):
    made = config("validation.folds=2")
    source = module.open_source(made.data)
    matters = what_matters(config("validation.folds=2", "search.paired=false"), "search",
                           source.fingerprint)  # fmt: skip
    State(find("p", "search", matters, fresh=False)).begin(matters, {})
    assert seeds("search", made, [(0, 1, 0, {RATE: 0.1})]) == [seed_for(7, "trial", 1, "fold", 0)]
    matters = what_matters(config("search.paired=false", "validation.inner=3"), "nested",
                           source.fingerprint)  # fmt: skip
    assert open_study("nested", config()).shared
    State(find("p", "nested", matters, fresh=False)).begin(matters, {})
    old_one = open_study("nested", config())
    assert not old_one.shared
    assert [len(fold.pairs) for fold in old_one.folds] == [3] * 5
    path = ("outer", 2, "trial", 1, "fold", 0)
    assert seeds("nested", config(), [(2, 1, 0, {RATE: 0.1})]) == [seed_for(7, *path)]
