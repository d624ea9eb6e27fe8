"""KerasTuner's oracles as ask and tell. They neither save, load, print nor remember each other.

Differences from KerasTuner, each of which changes what is proposed:

- Seeds are digested first, so that seed 0 is a seed (there it means "any") and seed 2 does not
  repeat the draws of seed 1 shifted by one hyperparameter.
- No candidate is proposed twice. Random search goes on until a finite space is exhausted (there: 20
  repeated draws in a row); a Bayesian proposal that was tried before gives way to a random one.
- Failed trials never stop an oracle (there: three in a row raise), and in Hyperband they rank last
  instead of holding up their bracket for ever.
- Hyperband trains a promoted candidate from scratch for the larger number of epochs, where the
  paper and KerasTuner go on from the saved weights. So a score depends on settings and epochs only,
  not on which bracket they came through, and no checkpoints are kept; it costs the epochs again.
"""

from __future__ import annotations

import math
import sys
from typing import Any, ClassVar, Literal

from tuning import unsaved_oracle
from tuning.hyperparameters import from_values, to_values
from tuning.oracles import WAIT, Open, Proposal, Waiting, usable
from tuning.space import Space, SpaceError, identity

LAST = -sys.float_info.max  # the rank of a failed trial, where ranks are all that counts


class Wrapped:
    """What the three have in common."""

    independent: ClassVar[bool] = False
    oracle_class: ClassVar[str]

    def __init__(self, space: Space, seed: int, trials: int | None, **options: Any):
        self._space = space
        self._trials = trials
        self._open = Open()
        self._tried: set[str] = set()
        self._by_number: dict[int, Any] = {}
        self._oracle = unsaved_oracle.build(self.oracle_class, space, seed, options)

    def ask(self) -> Proposal | Literal[Waiting.OUTCOMES] | None:
        if self._trials is not None and self._open.proposed >= self._trials:
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

    def announced(self) -> int | None:
        size = self._space.size()
        limits = [limit for limit in (self._trials, size) if limit is not None]
        return min(limits, default=None)

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
    """

    oracle_class = "BayesianOptimizationOracle"

    def __init__(self, space: Space, seed: int, trials: int | None, initial: int | None = None):
        self.initial = initial or initial_points(space)
        super().__init__(space, seed, trials, num_initial_points=self.initial)


class Hyperband(Wrapped):
    """Hyperband (Li et al., JMLR 18, 2018): many candidates for few epochs, the best for more.

    Args:
        space: what varies.
        seed: of the draws.
        max_epochs: of the longest trials.
        factor: epochs grow, and candidates shrink, by it from round to round.
        iterations: how often the whole is repeated with other candidates.

    Raises:
        SpaceError: the space has fewer candidates than are drawn.
    """

    oracle_class = "HyperbandOracle"

    def __init__(
        self, space: Space, seed: int, max_epochs: int, factor: int = 3, iterations: int = 1
    ):
        check_draws(space, max_epochs, factor, iterations)
        plan = brackets(max_epochs, factor)
        self._number_of: dict[str, int] = {}
        self._failed: set[str] = set()
        super().__init__(
            space,
            seed,
            iterations * sum(count for rounds in plan for count, _ in rounds),
            max_epochs=max_epochs,
            factor=factor,
            hyperband_iterations=iterations,
        )

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

    def announced(self) -> int:
        assert self._trials is not None
        return self._trials

    def _propose(self, trial: Any) -> Proposal:
        proposal = super()._propose(trial)
        self._number_of[trial.trial_id] = proposal.number
        values = trial.hyperparameters.values
        earlier = values.get("tuner/trial_id")
        return Proposal(
            proposal.number,
            proposal.settings,
            epochs=int(values["tuner/epochs"]),
            resume_from=None if earlier is None else self._number_of[earlier],
        )

    def _end(self, trial: Any, score: float | None) -> None:
        if score is None:
            self._failed.add(trial.trial_id)
        super()._end(trial, LAST if score is None else score)


def brackets(max_epochs: int, factor: int) -> list[list[tuple[int, int]]]:
    """Hyperband's brackets in order, each a list of rounds: (candidates, epochs of each).

    >>> brackets(9, 3)
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


def check_draws(space: Space, max_epochs: int, factor: int, iterations: int) -> None:
    """Refuse a space with fewer candidates than Hyperband draws: it would end half-way.

    Raises:
        SpaceError: as said.
    """
    if max_epochs < 1:
        raise SpaceError(f"hyperband needs max_epochs of 1 or more. Received: {max_epochs}")
    drawn = iterations * sum(rounds[0][0] for rounds in brackets(max_epochs, factor))
    size = space.size()
    if size is not None and size < drawn:
        raise SpaceError(
            f"{drawn} candidates are drawn ({max_epochs} epochs, factor {factor}, iterations "
            f"{iterations}), and the space has {size}; widen it, lower max_epochs, or use strategy "
            "grid"
        )


def initial_points(space: Space) -> int:
    """Random trials before KerasTuner's Gaussian process starts, where nothing else is asked."""
    return 3 * len(space.parameters)
