"""KerasTuner's oracles as ask and tell. They neither save, load, print nor remember each other.

Differences from KerasTuner, each of which changes what is proposed:

- Seeds are digested first, so that seed 0 is a seed (there it means "any") and seed 2 does not
  repeat the draws of seed 1 shifted by one hyperparameter.
- No candidate is proposed twice. Random search goes on until a finite space is exhausted (there: 20
  repeated draws in a row); a Bayesian proposal that was tried before gives way to a random one.
- Failed trials never stop an oracle (there: three in a row raise), and in Hyperband they rank last
  instead of holding up their bracket for ever.
- Hyperband trains a promoted candidate from scratch. It is for searches that were begun before
  `tuning.oracles.hyperband`, with whose brackets, the published ones, new searches begin.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from tuning.oracles import unsaved_oracle
from tuning.oracles.hyperparameters import from_values, to_values
from tuning.oracles.oracle import WAIT, Open, Proposal, Waiting, usable
from tuning.space import Settings, Space, identity

LAST = -sys.float_info.max  # the rank of a failed trial, where ranks are all that counts


class Wrapped:
    """What the three have in common."""

    independent: ClassVar[bool] = False
    oracle_class: ClassVar[str]

    def __init__(
        self,
        space: Space,
        seed: int,
        trials: int | None,
        start: Sequence[Settings] = (),
        **options: Any,
    ):
        self._space = space
        self._trials = trials
        self._open = Open()
        self._tried: set[str] = set()
        self._by_number: dict[int, Any] = {}
        self._oracle = unsaved_oracle.build(self.oracle_class, space, seed, options)
        self._oracle.start = [to_values(space, one) for one in start]

    def ask(self) -> Proposal | Literal[Waiting.OUTCOMES] | None:
        if self._open.enough(self._trials):
            return None
        size = self._space.size()
        if size is not None and len(self._tried) >= size:
            return None
        trial = self._call("create_trial", f"trial {self._open.proposed}")
        if trial.status == "IDLE":
            return WAIT
        return None if trial.status == "STOPPED" else self._propose(trial)

    def tell(self, number: int, score: float | None) -> None:
        self._open.end(number)
        self._end(self._by_number[number], usable(score))

    def refuse(self, number: int) -> None:
        """What takes its place is drawn at random: told of nothing, a process that likes it would
        propose its neighbour."""
        self._open.refuse(number)
        self._end(self._by_number[number], None)
        self._oracle.draws_next = True

    def announced(self) -> int | None:
        return self._open.at_most(self._trials, self._space.size())

    def _propose(self, trial: Any) -> Proposal:
        settings = from_values(self._space, trial.hyperparameters.values)
        # what is trained is what the oracle learns from, rounded and within its range
        trial.hyperparameters.values.update(to_values(self._space, settings))
        self._tried.add(identity(settings))
        number = self._open.start()
        self._by_number[number] = trial
        return Proposal(number, settings)

    def _end(self, trial: Any, score: float | None) -> None:
        if score is not None:
            self._call("update_trial", trial.trial_id, {"score": score})
        trial.status = "FAILED" if score is None else "COMPLETED"
        self._call("end_trial", trial)

    def _call(self, method: str, *arguments: Any) -> Any:
        return unsaved_oracle.call(self._oracle, method, *arguments)


class Random(Wrapped):
    """Independent draws, each candidate at most once.

    Args:
        space: what varies.
        seed: of the draws.
        trials: how many; None: until the space is exhausted, or the caller stops.
        start: candidates that are tried first.
    """

    independent = True
    oracle_class = "RandomSearchOracle"


class Bayesian(Wrapped):
    """Gaussian process (Matérn 5/2) with an upper confidence bound, on the unit cube of the space.

    Choices without an order are a line of equal steps to it, and keys whose condition does not hold
    stand at their first value.

    Args:
        space: what varies.
        seed: of the draws and of the process.
        trials: how many; None: until the space is exhausted, or the caller stops.
        initial: random trials that must succeed before the first guided one; None: three a
            parameter.
        start: candidates that are tried first, and count among the initial ones.
    """

    oracle_class = "BayesianOptimizationOracle"

    def __init__(
        self,
        space: Space,
        seed: int,
        trials: int | None,
        initial: int | None = None,
        start: Sequence[Settings] = (),
    ):
        self.initial = initial or initial_points(space)
        super().__init__(space, seed, trials, start, num_initial_points=self.initial)


class FormerHyperband(Wrapped):
    """KerasTuner's Hyperband, whose brackets draw more than Algorithm 1's: 144 epochs in 30 fits
    instead of 83 in 22 for 10 epochs and a factor of 3. A search that began with it goes on with
    it; its settings are those of `hyperband.Hyperband`, and the space has enough candidates.
    """

    oracle_class = "HyperbandOracle"

    def __init__(
        self, space: Space, seed: int, max_epochs: int, factor: int = 3, iterations: int = 1
    ):
        self._failed: set[str] = set()
        super().__init__(
            space,
            seed,
            iterations * sum(count for rungs in former_brackets(max_epochs, factor)
                             for count, _ in rungs),
            max_epochs=max_epochs,
            factor=factor,
            hyperband_iterations=iterations,
        )  # fmt: skip

    def ask(self) -> Proposal | Literal[Waiting.OUTCOMES] | None:
        while True:
            trial = self._call("create_trial", f"trial {len(self._oracle.trials)}")
            if trial.status == "IDLE":
                return WAIT
            if trial.status == "STOPPED":
                return None
            if trial.hyperparameters.values.get("tuner/trial_id") not in self._failed:
                return self._propose(trial)
            self._end(trial, None)  # so many failed that one of them was promoted

    def announced(self) -> int | None:
        return self._trials

    def _propose(self, trial: Any) -> Proposal:
        epochs = int(trial.hyperparameters.values["tuner/epochs"])
        return replace(super()._propose(trial), epochs=epochs)

    def _end(self, trial: Any, score: float | None) -> None:
        if score is None:
            self._failed.add(trial.trial_id)
        super()._end(trial, LAST if score is None else score)


def former_brackets(max_epochs: int, factor: int) -> list[list[tuple[int, int]]]:
    """KerasTuner's brackets in order, each a list of rungs: (candidates, epochs of each).

    >>> former_brackets(9, 3)
    [[(9, 1), (3, 3), (1, 9)], [(5, 3), (2, 9)], [(3, 9)]]
    """
    count, epochs = 0, float(max_epochs)
    while epochs >= 1:
        epochs, count = epochs / factor, count + 1
    last = math.ceil(1 + math.log(max_epochs, factor))
    return [
        [
            (
                math.ceil(last / (bracket + 1) * factor ** (bracket - step)),
                math.ceil(max_epochs / factor ** (bracket - step)),
            )
            for step in range(bracket + 1)
        ]
        for bracket in reversed(range(count))
    ]


def initial_points(space: Space) -> int:
    """Random trials before KerasTuner's Gaussian process starts, where nothing else is asked."""
    return 3 * len(space.parameters)
