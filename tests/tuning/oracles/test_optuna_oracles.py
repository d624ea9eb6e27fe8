"""Optuna's samplers: what they learn from, what they are not told, and when they are refused."""

from __future__ import annotations

import importlib.metadata
import math
import subprocess
import sys
import warnings
from statistics import fmean

import pytest
from ask_and_tell import run, score

from tuning.oracles.optuna_oracles import Cmaes, Nsga2, Qmc, Sampled, Tpe
from tuning.oracles.optuna_study import LEAST
from tuning.oracles.oracle import Proposal
from tuning.space import Boolean, Choice, Float, Int, Space, SpaceError, identity

RATES = Space((Float("rate", 1e-4, 1, log=True), Float("decay", 1e-6, 1e-2, log=True)))
MIXED = Space(
    (
        Choice("optimizer", ("sgd", None, [1, 2], 3)),
        Float("drop", 0, 1, step=0.1),
        Float("rate", 1e-3, 1, 10, log=True),
        Int("width", 16, 64, 2, log=True),
        Int("depth", 3, 9, 3),
        Int("units", 1, 1000, log=True),
        Boolean("bias", when={"depth": [3, 6]}),
    )
)
SEVERAL = {
    "tpe": lambda minimise: Tpe(RATES, 1, 24, startup=8, minimise=minimise),
    "nsga2": lambda minimise: Nsga2(RATES, 1, 60, population=8, minimise=minimise),
}


def test_nothing_of_optuna_is_loaded_before_an_oracle_is_made() -> None:
    code = (
        "import sys, experiments.config, tuning.oracles.optuna_oracles\n"
        "print([name for name in ('optuna', 'cmaes', 'tensorflow') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


@pytest.mark.parametrize("make", [Tpe, Nsga2, Qmc, Cmaes])
def test_every_kind_of_parameter_is_sampled_from_the_space(make) -> None:
    known = {
        "optimizer": [1, 2], "drop": 0.3, "rate": 0.1, "width": 32, "depth": 9, "units": 31,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        proposed = run(make(MIXED, 2, 40, start=[known]), lambda p: p.settings["drop"])
    assert proposed[0].settings == known
    for proposal in proposed:
        MIXED.check(proposal.settings)
    for parameter in MIXED.parameters:
        values = {identity(p.settings.get(parameter.key)) for p in proposed}
        assert len(values) > (len(parameter.options) / 2 if parameter.options else 10), parameter


@pytest.mark.parametrize("make", [lambda *given: Tpe(*given, startup=2), Nsga2, Cmaes])
@pytest.mark.parametrize("at_once", [1, 3])
def test_nothing_is_proposed_twice_and_a_finite_space_completely(make, at_once: int) -> None:
    space = Space((Int("x", 1, 5), Int("y", 0, 20, 10)))
    proposed = run(make(space, 0, 99), lambda p: -abs(p.settings["x"] - 3), at_once)
    assert len({identity(p.settings) for p in proposed}) == len(proposed) == 15


@pytest.mark.parametrize("make", [Tpe, Nsga2, Cmaes])
def test_scores_guide_it_to_the_best_or_away(make) -> None:
    def distance(proposal: Proposal) -> float:
        return abs(math.log10(proposal.settings["rate"]) + 2)

    def last(sign: int) -> float:
        return fmean(map(distance, run(make(RATES, 1, 60), lambda p: sign * distance(p))[-30:]))

    assert last(-1) < 0.9  # of a range that is 2 to either side, and so 1 of random draws
    assert last(1) > 1.1


@pytest.mark.parametrize("kind", SEVERAL)
def test_of_several_objectives_each_has_its_direction(kind) -> None:
    """One of the two scores is the exponent of the rate, from -4 to 0, and the other a constant."""

    def last(at: int, *minimise: bool) -> float:
        def exponent(proposal: Proposal) -> float:
            return math.log10(proposal.settings["rate"])

        proposed = run(
            SEVERAL[kind](minimise), lambda p: [exponent(p), 7] if at == 0 else [7, exponent(p)]
        )
        return fmean(map(exponent, proposed[len(proposed) // 2 :]))

    for other in (True, False):
        assert last(0, True, other) < -2.3 < -1.7 < last(0, False, other)
        assert last(1, other, True) < -2.3 < -1.7 < last(1, other, False)


def test_scores_are_as_many_as_objectives() -> None:
    oracle = Tpe(RATES, 1, 9, minimise=(False, True))
    oracle.ask()
    with pytest.raises(ValueError, match="trial 0: 1 scores of 2 objectives"):
        oracle.tell(0, 0.5)
    oracle.tell(0, [0.5, 3])
    single = Nsga2(RATES, 1, 9)
    single.ask()
    with pytest.raises(ValueError, match="trial 0: 2 scores of 1 objectives"):
        single.tell(0, [0.5, 3])
    assert [one.several for one in (Tpe, Nsga2, Cmaes)] == [True, True, False]


@pytest.mark.parametrize("kind", SEVERAL)
def test_a_trial_without_one_of_its_scores_has_failed(kind) -> None:
    def proposed(outcome) -> list[Proposal]:
        return run(SEVERAL[kind]((False, True)), lambda p: outcome(p) if p.number % 3 else None)

    def nearly(last):
        return run(
            SEVERAL[kind]((False, True)),
            lambda p: [score(p.settings), 1.0 if p.number % 3 else last],
        )

    whole = proposed(lambda p: [score(p.settings), 1.0])
    assert nearly(math.nan) == nearly(math.inf) == whole


@pytest.mark.parametrize("kind", SEVERAL)
def test_of_several_objectives_the_same_history_gives_the_same_proposals(kind) -> None:
    def outcome(proposal: Proposal) -> tuple[float, float] | None:
        rate, decay = proposal.settings.values()
        return None if proposal.number % 7 == 3 else (score(proposal.settings), -rate * decay)

    first, again = (run(SEVERAL[kind]((False, True)), outcome, at_once=3) for _ in range(2))
    assert first == again


def test_tpe_keeps_away_from_where_trials_fail() -> None:
    """All with a rate above 0.01 fail, and nothing else matters."""
    proposed = run(Tpe(RATES, 3, 60), lambda p: None if p.settings["rate"] > 0.01 else 0.5)
    failed = [p.settings["rate"] > 0.01 for p in proposed]
    assert sum(failed[:10]) >= 3
    assert sum(failed[30:]) <= 3


def test_trials_under_way_are_not_proposed_around_again() -> None:
    """Of a round each is told of nothing, and yet they scatter."""
    alone = run(Tpe(RATES, 1, 30))
    rounds = run(Tpe(RATES, 1, 30), at_once=5)
    assert alone[:10] == rounds[:10]
    assert alone != rounds


def test_cmaes_moves_numbers_and_refuses_a_space_without() -> None:
    space = Space((Choice("a", (1, 2)), Float("rate", 0, 1), Boolean("b")))
    with pytest.raises(SpaceError, match=r"moves numbers .* two at least, and the space has 1; "):
        Cmaes(space, 1, 9)


@pytest.mark.parametrize(("version", "said"), [(None, "none"), ("4.9.1", "4.9.1")])
def test_optuna_that_is_missing_or_too_old_is_refused(version, said, monkeypatch) -> None:
    def installed(name: str) -> str:
        assert name == "optuna"
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)
    for make in (Tpe, Nsga2, Cmaes, lambda *given: Qmc(*given).ask()):
        with pytest.raises(ValueError, match=rf"need optuna 5 or later\. Received: {said}; pip"):
            make(RATES, 1, 9)


def test_its_logging_is_left_as_it_was() -> None:
    from optuna import logging

    before = logging.get_verbosity()
    run(Cmaes(RATES, 1, 6))
    assert logging.get_verbosity() == before
    assert issubclass(Tpe, Sampled)
    assert LEAST == 5
