"""A search strategy is one declaration: all that is said of it elsewhere is read from there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from simulated_cluster import BATCH, RATE, Clock, Cluster, Store, config, run, run_cut

from experiments.config import settings
from experiments.config.strategies import STRATEGIES, Strategy
from experiments.errors import BadInput
from experiments.search import space
from experiments.search.results import text
from experiments.search.results.plots import pictures
from experiments.search.study import Kind
from experiments.tracking.search_journal import State, what_matters
from tuning.oracles.oracle import Listed
from tuning.space import Choice, Float, Space, tidy

UNIT = {"type": "float", "low": 0.02, "high": 0.1}

VARIED = {RATE: UNIT, BATCH: [16, 32, 64]}


def radical_inverse(number: int, base: int) -> float:
    """Halton (1960): the digits of a number behind the point, the last one first."""
    digits, scale = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        scale /= base
        digits += digit * scale
    return digits


class Halton(Listed):
    """Points that fill a space evenly."""

    def __init__(self, space: Space, trials: int):
        def at(number: int, place: int) -> Any:
            share, parameter = radical_inverse(number + 1, (2, 3)[place]), space.parameters[place]
            if isinstance(parameter, Float):
                return tidy(parameter.low + share * (parameter.high - parameter.low))
            assert isinstance(parameter, Choice)
            return parameter.values[int(share * len(parameter.values))]

        keys = enumerate(space.by_key)
        places = [(place, key) for place, key in keys]
        super().__init__([{k: at(number, n) for n, k in places} for number in range(trials)])


HALTON = Strategy("halton", Halton, lambda search, space, epochs: (space, search.trials))


@pytest.fixture
def halton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "halton", HALTON)


def test_a_declaration_is_all_that_a_search_with_it_takes(halton: None, tmp_path: Path) -> None:
    store = Store()
    asked = config(6, 2, strategy="halton", space=VARIED)
    result = run(asked, Cluster(2, 1, Clock(), deaths=0.0), store)
    assert (result["strategy"], result["status"]) == ("halton", "finished")
    assert result["fits"] == {"planned": 7, "done": 7, "failed": 0, "saved": 0}
    proposed = [trial["hyperparameters"] for trial in result["trials"]]
    assert [one[RATE] for one in proposed] == [0.06, 0.04, 0.08, 0.03, 0.07, 0.05]
    assert [one[BATCH] for one in proposed] == [32, 64, 16, 32, 64, 16]
    assert result["best"]["hyperparameters"] == proposed[result["refit"]["trial"]]
    said = text.of_result(result)
    assert all(f"{RATE}={one[RATE]}, {BATCH}={one[BATCH]}" in said for one in proposed)
    assert "7 fits, 0 failed" in said
    journal = State(Path(result["state"]))
    assert [trial["settings"] for trial in journal.proposals.values()] == proposed
    assert len(journal.ended) == 7
    assert sum(run.data.tags["level"] == "trial" for run in store.runs.values()) == 6
    assert asked.search
    assert pictures.write(result, tmp_path / "plots", space.space_of(asked.search))
    # again: all of it is replayed from the journal
    again = run(asked, idle := Cluster(2, 1, Clock()), store)
    assert not idle.begun
    assert again["trials"] == result["trials"]


def test_a_declaration_is_what_its_settings_are_checked_by(halton: None) -> None:
    with pytest.raises(BadInput, match="trials: strategy halton goes on for ever"):
        settings.parse({"search": {"strategy": "halton", "space": VARIED}})
    with pytest.raises(BadInput, match="space: strategy halton needs one"):
        settings.parse({"search": {"strategy": "halton", "trials": 3}})
    with pytest.raises(BadInput, match=r"settings: for strategy manual\. Received: halton"):
        settings.parse({"search": {"strategy": "halton", "settings": [{"seed": 1}], "trials": 1}})
    with pytest.raises(BadInput, match="'cmaes' or 'halton'"):
        settings.parse({"search": {"strategy": "holton"}})


SECTION = """
import importlib, sys, warnings
from pydantic import PositiveInt
from experiments.config.section import Section
from experiments.config.strategies import STRATEGIES, Strategy
from tuning.oracles.oracle import Manual

class Skips(Section):
    leap: PositiveInt = 1

STRATEGIES["skips"] = Strategy(
    "skips", Manual, lambda search, space, epochs: (space.grid()[:: search.section.leap],), Skips,
    ends="leap says how many",
)
import experiments.config.search, experiments.config.schema
for module in (experiments.config.search, experiments.config.schema):
    importlib.reload(module)
from experiments.config import settings
from experiments.errors import BadInput
from experiments.search.space import oracle_of

def parsed(**more):
    return settings.parse({"search": {"strategy": "skips", "space": {"seed": [1, 2, 3]}, **more}})

warnings.simplefilter("error", UserWarning)
assert [oracle_of(parsed(**more)).announced() for more in ({}, {"skips": {"leap": 2}})] == [3, 2]
for more in ({"skips": {"leap": 0}}, {"skips": {"leep": 2}}, {"trials": 3}, {"strategy": "grid",
        "skips": {}}):
    try:
        parsed(**more)
    except (BadInput, UserWarning) as error:
        print(error)
print(*[name for name in ("tensorflow", "keras", "keras_tuner", "mlflow") if name in sys.modules])
"""


def test_a_section_of_its_own_is_a_key_that_is_checked() -> None:
    """The config is put together anew, as after an edit of the source; and nothing is heavy."""
    ran = subprocess.run([sys.executable, "-c", SECTION], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "config: search.skips.leap: input should be greater than 0. Received: 0",
        "config: search.skips.leep: unknown key; did you mean search.skips.leap?",
        "search.trials is ignored: strategy skips: leap says how many",
        "search.skips is ignored: it is of strategy skips, and this is grid",
        "",
    ]


def test_only_of_strategies_that_learn_it_matters_how_many_are_asked_at_once() -> None:
    wide = {"space": {RATE: UNIT}}
    sizes = {RATE: UNIT, BATCH: {"type": "int", "low": 16, "high": 64}}
    asked: dict[str, dict[str, Any]] = {
        "manual": {"settings": [{"seed": 1}]},
        "grid": {"space": {"seed": [1, 2]}},
        "random": {**wide, "trials": 9},
        "bayesian": {**wide, "trials": 9},
        "hyperband": wide,
        **{name: {"space": sizes, "trials": 12} for name in ("tpe", "nsga2", "qmc", "cmaes")},
    }
    matters = {
        name: "search.parallel"
        in what_matters(settings.parse({"search": {"strategy": name, **more}}), "search", "print")
        for name, more in asked.items()
    }
    assert matters == {
        "manual": False, "grid": False, "random": False, "bayesian": True, "hyperband": True,
        "tpe": True, "nsga2": True, "qmc": False, "cmaes": True,
    }  # fmt: skip
    assert matters.keys() == STRATEGIES.keys()


def test_several_objectives_are_for_those_that_learn_from_all_or_from_none() -> None:
    several = {name for name, strategy in STRATEGIES.items() if strategy.several}
    assert several == {"manual", "grid", "random", "tpe", "nsga2", "qmc"}


SAMPLED = {
    "tpe": {"startup_trials": 3}, "nsga2": {"population": 3}, "qmc": {"sequence": "halton"},
    "cmaes": {"population": 3},
}  # fmt: skip


@pytest.mark.parametrize("kind", ["search", "nested"])
@pytest.mark.parametrize("strategy", SAMPLED)
def test_samplers_take_part_in_folds_races_rounds_and_nested_searches(
    strategy: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On workers that die; cut twice, all of it ends as if it had not been."""
    document = config(7, 2).model_dump(mode="json")
    document["search"] |= {
        "strategy": strategy, strategy: SAMPLED[strategy], "parallel": 2,
        "racing": {"after_folds": 2}, "refit": kind == "search",
        "start": [{RATE: 0.05, "train.optimizer.momentum": 0.9, BATCH: 32}],
    }  # fmt: skip
    document["validation"] |= {"folds": 3, "outer": 4, "inner": None if strategy == "qmc" else 3}
    asked, results = settings.parse(document), []
    for name, cuts in (("whole", []), ("cut", [5, 6])):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        result, _ = run_cut(asked, 2, cuts, Store(), kind=kind)
        results.append([
            {key: trial[key] for key in ("number", "status", "hyperparameters", "score")}
            for trial in result["trials"]
        ])  # fmt: skip
        assert result["status"] == "finished"
    whole, cut = results
    assert cut == whole
    searches = 4 if kind == "nested" else 1
    assert len(whole) == 7 * searches
    assert [trial["hyperparameters"][RATE] for trial in whole].count(0.05) == searches
    if kind == "nested":  # outer folds share what no score decides
        assert result["shared"] == (strategy == "qmc")
