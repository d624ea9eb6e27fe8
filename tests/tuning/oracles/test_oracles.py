"""Oracles: proposals depend on the seed and on what they were told, and on nothing else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ask_and_tell import run, score

from tuning.oracles.draws import Sobol
from tuning.oracles.hyperband import Hyperband
from tuning.oracles.keras_oracles import Bayesian, FormerHyperband, Random, former_brackets
from tuning.oracles.optuna_oracles import Cmaes, Nsga2, Qmc, Tpe
from tuning.oracles.oracle import MOST_REFUSED, Grid, Manual, Proposal, grid
from tuning.space import Boolean, Choice, Float, Int, Space, identity

RATE = Space((Float("rate", 1e-4, 1, log=True),))
SMALL = Space((Choice("a", ("x", "y", "z")), Boolean("b"), Int("c", 1, 2, when={"b": True})))
WIDE = Space(
    (
        Choice("optimizer", ("sgd", "adam")),
        Float("rate", 1e-4, 1, log=True),
        Float("momentum", 0, 0.99, when={"optimizer": "sgd"}),
    )
)


def all_kinds() -> list[Any]:
    return [
        Manual([{"rate": 0.1}, {"rate": 0.2}]),
        Grid(SMALL),
        Random(WIDE, seed=1, trials=8),
        Bayesian(RATE, seed=1, trials=6, initial=4),
        FormerHyperband(WIDE, seed=1, max_epochs=9),
        Hyperband(WIDE, seed=1, max_epochs=9),
        Sobol(WIDE, seed=1, trials=8),
        Tpe(WIDE, seed=1, trials=8, startup=4),
        Nsga2(WIDE, seed=1, trials=8, population=3),
        Cmaes(WIDE, seed=1, trials=8),
        Qmc(WIDE, seed=1, trials=8),
    ]


def test_manual_and_grid_propose_their_lists_in_order() -> None:
    listed = [{"rate": 0.1}, {"rate": 0.2}]
    assert [p.settings for p in run(Manual(listed))] == listed
    proposed = run(Grid(SMALL), lambda proposal: None)
    assert [p.settings for p in proposed] == SMALL.grid()
    assert [p.number for p in proposed] == list(range(9))


def test_grid_of_axes_keeps_its_order() -> None:
    assert grid({"a": [1, 2], "b": ["x", "y"]})[:3] == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"},
    ]  # fmt: skip


def test_each_says_how_many_trials_it_will_have_at_most() -> None:
    for oracle in all_kinds():
        announced = oracle.announced()
        asked = run(oracle, lambda proposal: 0.5)
        assert announced is not None
        assert len(asked) == announced
        assert [p.number for p in asked] == list(range(announced))
    assert Random(WIDE, seed=1, trials=None).announced() is None
    assert Random(SMALL, seed=1, trials=None).announced() == 9


def test_only_those_that_do_not_learn_are_independent() -> None:
    assert [oracle.independent for oracle in all_kinds()] == [
        True, True, True, False, False, False, True, False, False, False, True,
    ]  # fmt: skip


def test_nothing_is_written_printed_or_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from keras_tuner.src.engine import oracle as module

    capfd.readouterr()  # what TensorFlow says when it is loaded
    gone = []
    for oracle in (*all_kinds()[2:5], *all_kinds()[7:10]):
        run(oracle, lambda proposal: None if proposal.number % 3 == 1 else 0.5)
        gone.append(weakref.ref(oracle._oracle if hasattr(oracle, "_oracle") else oracle._study))
    run(all_kinds()[10])
    del oracle
    gc.collect()
    assert [one() for one in gone] == [None] * 6
    assert not module.LOCKS
    assert not module.THREADS
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_asked_and_told_the_same_a_fresh_one_proposes_the_same() -> None:
    def outcome(proposal: Proposal) -> float | None:
        return None if proposal.number == 2 else float(len(identity(proposal.settings)) % 7)

    for first, again in zip(all_kinds(), all_kinds(), strict=True):
        assert run(first, outcome, at_once=2) == run(again, outcome, at_once=2)


def test_outcomes_matter_to_those_that_learn() -> None:
    def guided(sign: int) -> list[float]:
        trials = run(Bayesian(RATE, 1, 7, initial=4), lambda p: sign * score(p.settings))
        return [trial.settings["rate"] for trial in trials]

    toward, away = guided(1), guided(-1)
    assert toward[:4] == away[:4]
    assert min(abs(rate - 0.01) for rate in toward[4:]) < 0.02
    assert max(away[4:]) > 0.5


def test_every_seed_draws_differently_also_zero() -> None:
    def rates(seed: int) -> list[float]:
        return [p.settings["rate"] for p in run(Random(RATE, seed, 20))]

    drawn = [rates(seed) for seed in (0, 1, 2)]
    assert rates(0) == drawn[0]
    shared = set(drawn[0]) & set(drawn[1]) | set(drawn[1]) & set(drawn[2])
    assert not shared  # KerasTuner's own seeds 1 and 2 share 19 of 20 draws


FEW_RANDOM = [
    lambda *args: Bayesian(*args, initial=2),
    lambda *args: Tpe(*args, startup=2),
    lambda *args: Nsga2(*args, population=2),
]


@pytest.mark.parametrize("make", [Random, Sobol, Qmc, *FEW_RANDOM])
def test_a_finite_space_is_proposed_completely_and_once(make) -> None:
    space = Space((Choice("a", ("x", "y", "z")), Boolean("b")))
    proposed = run(make(space, 3, 100), lambda proposal: 0.5)
    assert {identity(p.settings) for p in proposed} == {identity(cell) for cell in space.grid()}
    assert len(proposed) == 6


def test_guided_or_not_nothing_is_proposed_twice() -> None:
    """A process that is certain of its best would go on proposing it."""
    space = Space((Int("x", 1, 10),))
    proposed = run(Bayesian(space, 0, 9, initial=3), lambda p: -abs(p.settings["x"] - 5))
    assert len({p.settings["x"] for p in proposed}) == len(proposed) == 9


PROPOSED = {  # for seed 7, since the first version: a search that was begun goes on as it began
    "random": [
        ("sgd", 0.00794688, 0.805484, 45), ("sgd", 0.0645027, 0.777861, 17),
        ("sgd", 0.118558, 0.619234, 28), ("adam", 0.00574547, 57),
        ("sgd", 0.000733074, 0.514103, 32),
    ],
    "bayesian": [
        ("sgd", 0.00794688, 0.805484, 45), ("sgd", 0.0645027, 0.777861, 17),
        ("sgd", 0.118558, 0.619234, 28), ("adam", 0.00671797, 64),
        ("sgd", 0.00274228, 0.877527, 52), ("sgd", 0.00384072, 0.576721, 55),
    ],
    "former hyperband": [
        ("sgd", 0.00794688, 0.805484, 45), ("sgd", 0.0645027, 0.777861, 17),
        ("sgd", 0.118558, 0.619234, 28), ("sgd", 0.00794688, 0.805484, 45),
        ("adam", 0.00574547, 57), ("sgd", 0.000733074, 0.514103, 32),
    ],
    "hyperband": [
        ("adam", 0.545031, 62), ("sgd", 0.00262154, 0.700841, 52),
        ("sgd", 0.0535862, 0.598683, 27), ("sgd", 0.00262154, 0.700841, 52),
        ("adam", 0.00198348, 61), ("adam", 0.000123543, 32),
    ],
    "sobol": [
        ("adam", 0.0547796, 19), ("sgd", 0.00068667, 0.933473, 46),
        ("sgd", 0.105995, 0.284045, 33), ("adam", 0.00267398, 57), ("adam", 0.983146, 63),
    ],
    "tpe": [
        ("adam", 0.00139693, 59), ("adam", 0.0144937, 19), ("adam", 0.0731753, 49),
        ("adam", 0.00186929, 25), ("sgd", 0.708815, 0.263069, 26),
        ("sgd", 0.00145466, 0.980566, 43),
    ],
    "nsga2": [
        ("adam", 0.00139693, 21), ("sgd", 0.000183499, 0.13668, 59),
        ("sgd", 0.110145, 0.710574, 57), ("adam", 0.110145, 57),
        ("sgd", 0.0770956, 0.13668, 59), ("sgd", 0.110145, 0.870062, 39),
    ],
    "qmc": [
        ("adam", 0.0770035, 38), ("sgd", 0.00014626, 0.876409, 40),
        ("sgd", 0.113267, 0.445368, 17), ("adam", 0.00590492, 63), ("adam", 0.379202, 56),
    ],
    "cmaes": [
        ("adam", 0.00139693, 21), ("sgd", 0.000708212, 0.313532, 42), ("adam", 0.00196393, 44),
        ("sgd", 0.00509321, 0.588863, 50), ("adam", 0.038398, 36), ("adam", 0.00734913, 26),
    ],
}  # fmt: skip


def test_a_seed_proposes_what_it_always_did() -> None:
    space = Space((*WIDE.parameters, Int("width", 16, 64)))
    made = {
        "random": Random(space, 7, 5),
        "bayesian": Bayesian(space, 7, 6, initial=3),
        "former hyperband": FormerHyperband(space, 7, 3),
        "hyperband": Hyperband(space, 7, 3),
        "sobol": Sobol(space, 7, 5),
        "tpe": Tpe(space, 7, 6, startup=3),
        "nsga2": Nsga2(space, 7, 6, population=3),
        "qmc": Qmc(space, 7, 5),
        "cmaes": Cmaes(space, 7, 6),
    }
    proposed = {name: run(oracle, limit=6) for name, oracle in made.items()}
    for name, expected in PROPOSED.items():
        for proposal, values in zip(proposed[name], expected, strict=True):
            assert tuple(proposal.settings.values()) == pytest.approx(values), (name, proposal)
    lengths = [proposal.epochs for proposal in proposed["former hyperband"]]
    assert lengths == [1, 1, 1, 3, 3, 3]


def test_proposals_are_candidates_of_the_space() -> None:
    for kind in all_kinds()[2:]:
        for proposal in run(kind):
            (RATE if isinstance(kind, Bayesian) else WIDE).check(proposal.settings)


def test_failures_stop_nothing_and_teach_nothing_good() -> None:
    never = run(Random(WIDE, 1, 12), lambda proposal: None)
    assert len(never) == 12
    guided = run(
        Bayesian(RATE, 1, 10, initial=3),
        lambda p: float("nan") if p.number in (0, 4, 5, 6, 7) else score(p.settings),
    )
    assert len(guided) == 10


@pytest.mark.parametrize(("epochs", "factor"), [(1, 3), (2, 3), (9, 3), (10, 3), (27, 3), (20, 4)])
def test_former_brackets_are_those_of_keras_tuner(epochs: int, factor: int) -> None:
    inner = FormerHyperband(WIDE, 1, max_epochs=epochs, factor=factor)._oracle
    assert former_brackets(epochs, factor) == [
        [(inner._get_size(number, at), inner._get_epochs(number, at)) for at in range(number + 1)]
        for number in reversed(range(inner._get_num_brackets()))
    ]


def test_a_trial_is_told_of_once() -> None:
    for oracle in all_kinds():
        first = oracle.ask()
        oracle.tell(first.number, 0.5)
        with pytest.raises(ValueError, match="trial 0 was told of before"):
            oracle.tell(first.number, 0.5)
        with pytest.raises(ValueError, match="trial 7 was never proposed"):
            oracle.tell(7, 0.5)


OPTUNA = ["tpe", "nsga2", "qmc", "cmaes"]
START = [
    {"optimizer": "adam", "rate": 0.02},
    {"optimizer": "sgd", "rate": 0.3, "momentum": 0.5},
]


def started(kind: str, start: list[dict[str, Any]]) -> Any:
    narrow = Space((Choice("optimizer", ("sgd", "adam")), Float("rate", 0.01, 1, 10, log=True)))
    made: dict[str, Callable[[], Any]] = {
        "manual": lambda: Manual([*START[1:], {"optimizer": "sgd", "rate": 1.0}], start),
        "grid": lambda: Grid(narrow, start),
        "random": lambda: Random(WIDE, 1, 6, start),
        "bayesian": lambda: Bayesian(WIDE, 1, 6, 4, start),
        "hyperband": lambda: Hyperband(WIDE, 1, 9, start=start),
        "sobol": lambda: Sobol(WIDE, 1, 6, start),
        "tpe": lambda: Tpe(WIDE, 1, 6, 4, start),
        "nsga2": lambda: Nsga2(WIDE, 1, 6, 3, start),
        "qmc": lambda: Qmc(WIDE, 1, 6, "halton", start),
        "cmaes": lambda: Cmaes(WIDE, 1, 6, None, start),
    }
    return made[kind]()


@pytest.mark.parametrize("kind", ["manual", "random", "bayesian", "hyperband", "sobol", *OPTUNA])
def test_known_settings_come_first_and_count_as_trials(kind: str) -> None:
    def outcome(proposal: Proposal) -> float:
        return score(proposal.settings)

    proposed = run(started(kind, START), outcome)
    assert [p.settings for p in proposed[:2]] == START
    once = {identity(p.settings) for p in proposed if p.resume_from is None}
    assert len(once) == sum(p.resume_from is None for p in proposed)
    plain = run(started(kind, []), outcome)
    assert len(proposed) == len(plain) + (kind == "manual")  # one of the two was in its list
    if kind in ("random", "sobol", "qmc"):  # and what follows is what came without
        assert [p.settings for p in proposed[2:]] == [p.settings for p in plain[:4]]


def test_known_settings_of_a_grid_move_to_its_front() -> None:
    first = {"optimizer": "adam", "rate": 0.1}
    proposed = [p.settings for p in run(started("grid", [first]), lambda proposal: 0.5)]
    plain = [p.settings for p in run(started("grid", []), lambda proposal: 0.5)]
    assert proposed == [first, *(one for one in plain if one != first)]
    assert len(plain) == 6


@pytest.mark.parametrize("kind", ["random", "bayesian", "hyperband", "sobol", *OPTUNA])
def test_a_refused_proposal_counts_for_nothing_and_does_not_come_back(kind: str) -> None:
    """Those with sgd are refused; the search has as many others as it would have had trials."""

    def asked_and_told() -> tuple[list[Proposal], list[Proposal]]:
        oracle, taken, refused = started(kind, []), [], []
        while isinstance(proposal := oracle.ask(), Proposal):
            if proposal.settings["optimizer"] == "sgd":
                oracle.refuse(proposal.number)
                refused.append(proposal)
            else:
                oracle.tell(proposal.number, score(proposal.settings))
                taken.append(proposal)
        return taken, refused

    taken, refused = asked_and_told()
    assert refused
    assert len(taken) == started(kind, []).announced()
    numbers = sorted(p.number for p in taken + refused)
    assert numbers == list(range(len(numbers)))
    settings = {identity(p.settings) for p in refused}
    assert len(settings) == len(refused)
    assert not settings & {identity(p.settings) for p in taken}
    assert asked_and_told() == (taken, refused)


def test_refused_cells_of_a_grid_are_not_announced() -> None:
    grid = Grid(SMALL)
    while isinstance(proposal := grid.ask(), Proposal):
        if proposal.settings["a"] == "x":
            grid.refuse(proposal.number)
    assert grid.announced() == 6
    every = Random(SMALL, 1, None)
    while isinstance(proposal := every.ask(), Proposal):
        every.refuse(proposal.number)
    assert every.announced() == 0


@pytest.mark.parametrize("kind", ["random", "bayesian", "hyperband", "sobol", *OPTUNA])
def test_draws_that_are_all_refused_come_to_an_end(kind: str) -> None:
    oracle = started(kind, [])
    for number in range(MOST_REFUSED + 1):
        proposal = oracle.ask()
        assert proposal is not None
        if number == 1:
            oracle.tell(number, 0.5)  # one that was not refused in between
        else:
            oracle.refuse(number)
    oracle.refuse(oracle.ask().number)
    left = run(oracle, lambda proposal: 0.5)
    assert [p.resume_from for p in left] == ([1, MOST_REFUSED + 2] if kind == "hyperband" else [])
