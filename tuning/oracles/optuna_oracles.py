"""Optuna's samplers as ask and tell, by its public ask and tell, on a study in memory only.

What is proposed differs from Optuna's own:

- No candidate is proposed twice. One that was tried before is sampled again, REDRAWN times at most,
  and then drawn at random; so is what takes the place of a refused one.
- Known settings that come first are trials of the study like others.
- A failed trial has no score: it breeds nothing in `Nsga2` and `Cmaes`, and ranks last in `Tpe`.
- Values of a list that have an order (a range with a step) are whole numbers to a sampler, those of
  a choice are categories.

Keys whose condition does not hold are not sampled by `Tpe`, which looks at each key only where it
exists. `Nsga2` and `Cmaes` work on a fixed box: there these keys have values that nobody sees.
`Qmc` reads points of the unit cube as `draws` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tuning.oracles.draws import Drawn, Draws, random_points
from tuning.oracles.optuna_study import encoded, quiet, study, suggested
from tuning.oracles.oracle import Open, Proposal, usable
from tuning.space import Float, Int, Settings, Space, SpaceError

REDRAWN = 16  # samples in a row that were all tried before, until one is drawn at random


class Sampled:
    """What those that learn have in common.

    Args:
        space: what varies.
        seed: of the draws.
        trials: how many; None: until the space is exhausted, or the caller stops.
        start: candidates that are tried first.
        minimise: of each objective, is less better? With several, `tell` takes as many scores.
        options: of Optuna's sampler.
    """

    independent: ClassVar[bool] = False
    several: ClassVar[bool] = False
    """Does `tell` take the scores of several objectives, in their order?"""
    sampler: ClassVar[str]
    everywhere: ClassVar[bool] = True
    """Are keys sampled also where their condition does not hold?"""
    failed: ClassVar[str] = "FAIL"
    """The state of a failed trial."""

    def __init__(
        self,
        space: Space,
        seed: int,
        trials: int | None,
        start: Sequence[Settings] = (),
        minimise: Sequence[bool] = (False,),
        **options: Any,
    ):
        self._space, self._trials, self._size = space, trials, space.size()
        self._minimise = tuple(minimise)
        self._draws = Draws(space, random_points(space, seed), start)
        self._draws_next = len(start)
        self._open = Open()
        self._by_number: dict[int, Any] = {}
        self._study = study(self.sampler, seed, minimise, **options)

    def ask(self) -> Proposal | None:
        if self._open.enough(self._trials):
            return None
        with quiet():
            sampled = self._sample() or self._draw()
        if sampled is None:
            return None
        trial, settings = sampled
        number = self._open.start()
        self._by_number[number] = trial
        return Proposal(number, settings)

    def tell(self, number: int, score: float | Sequence[float] | None) -> None:
        """The outcome of a proposal, once: a score of which higher is better, or one for each
        objective, as `minimise` has it. None and what is no finite number is a failed trial.

        Raises:
            ValueError: no such trial is open, or these are not as many scores as objectives.
        """
        scores = [score] if score is None or isinstance(score, int | float) else list(score)
        if score is not None and len(scores) != len(self._minimise):
            raise ValueError(
                f"trial {number}: {len(scores)} scores of {len(self._minimise)} objectives"
            )
        self._open.end(number)
        values = [usable(one) for one in scores]
        self._end(self._by_number.pop(number), None if None in values else values, self.failed)

    def refuse(self, number: int) -> None:
        """What takes its place is drawn at random: told of nothing, a sampler that likes it would
        propose its neighbour."""
        self._open.refuse(number)
        self._end(self._by_number.pop(number), None, "FAIL")
        self._draws_next += 1

    def announced(self) -> int | None:
        return self._open.at_most(self._trials, self._size)

    def _sample(self) -> tuple[Any, Settings] | None:
        """A trial that was not there before; None where none comes, or a drawn one is due."""
        for _ in range(0 if self._draws_next else REDRAWN):
            trial = self._study.ask()
            settings = self._suggested(trial)
            if self._draws.take(settings):
                return trial, settings
            self._end(trial, None, "FAIL")
        return None

    def _draw(self) -> tuple[Any, Settings] | None:
        """One that comes first, or at random; None where the space has no other."""
        self._draws_next = max(0, self._draws_next - 1)
        settings = self._draws.next()
        if settings is None:
            return None
        self._study.enqueue_trial(encoded(self._space, settings))
        trial = self._study.ask()
        self._suggested(trial)
        return trial, settings

    def _suggested(self, trial: Any) -> Settings:
        settings: Settings = {}
        for parameter in self._space.ordered:
            active = self._space.active(parameter.key, settings)
            if active or self.everywhere:
                value = suggested(trial, parameter)
                if active:
                    settings[parameter.key] = value
        return {key: settings[key] for key in self._space.by_key if key in settings}

    def _end(self, trial: Any, values: Sequence[float | None] | None, failed: str) -> None:
        from optuna.trial import TrialState

        with quiet():
            self._study.tell(trial, values, None if values is not None else TrialState[failed])


class Tpe(Sampled):
    """Tree-structured Parzen estimators (Bergstra et al. 2011): proposes where the settings of good
    trials are dense and those of others are not. Trials under way count among the others.

    Args:
        startup: trials drawn at random before the first guided one.
    """

    several = True
    sampler = "TPESampler"
    everywhere = False
    failed = "PRUNED"

    def __init__(
        self,
        space: Space,
        seed: int,
        trials: int | None,
        startup: int = 10,
        start: Sequence[Settings] = (),
        minimise: Sequence[bool] = (False,),
    ):
        super().__init__(
            space, seed, trials, start, minimise, n_startup_trials=startup, constant_liar=True,
        )  # fmt: skip


class Nsga2(Sampled):
    """NSGA-II (Deb et al. 2002): generations of candidates, each bred from the best so far. With
    one objective a plain genetic algorithm.

    Args:
        population: candidates of a generation; those of the first are drawn at random.
    """

    several = True
    sampler = "NSGAIISampler"

    def __init__(
        self,
        space: Space,
        seed: int,
        trials: int | None,
        population: int = 10,
        start: Sequence[Settings] = (),
        minimise: Sequence[bool] = (False,),
    ):
        super().__init__(space, seed, trials, start, minimise, population_size=population)


class Cmaes(Sampled):
    """CMA-ES (Hansen and Ostermeier 2001): a normal distribution that moves towards the best. It
    moves numbers; choices and truth values are drawn at random each time.

    Args:
        population: candidates of a generation; None: 4 + 3 ln(numbers), rounded down.

    Raises:
        SpaceError: a space of fewer than two numbers.
    """

    sampler = "CmaEsSampler"

    def __init__(
        self,
        space: Space,
        seed: int,
        trials: int | None,
        population: int | None = None,
        start: Sequence[Settings] = (),
    ):
        check_numbers(space)
        super().__init__(
            space, seed, trials, start, popsize=population, warn_independent_sampling=False
        )


class Qmc(Drawn):
    """Random search on Optuna's quasi-random sequence, which depends on no score.

    Args:
        sequence: sobol or halton, scrambled with the seed.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        trials: int | None,
        sequence: str = "sobol",
        start: Sequence[Settings] = (),
    ):
        super().__init__(space, qmc_points(space, seed, sequence), trials, start)


def qmc_points(space: Space, seed: int, sequence: str) -> Iterator[Sequence[float]]:
    """Points of the unit cube, without end."""
    from optuna.distributions import FloatDistribution
    from optuna.trial import create_trial

    axes = {str(axis): FloatDistribution(0, 1) for axis in range(len(space.parameters))}
    points = study("QMCSampler", seed, (False,), qmc_type=sequence, scramble=True)
    # of the first trial the sampler learns the axes, and would draw it at random
    points.add_trial(create_trial(params=dict.fromkeys(axes, 0.5), distributions=axes, value=0))
    while True:
        with quiet():
            params = points.ask(axes).params
        yield [min(params[axis], math.nextafter(1, 0)) for axis in axes]


def check_numbers(space: Space) -> None:
    """Refuse a space in which CMA-ES has nothing to move.

    Raises:
        SpaceError: as said.
    """
    numbers = [one for one in space.parameters if isinstance(one, Int | Float)]
    if len(numbers) < 2:
        raise SpaceError(
            f"cmaes moves numbers (type: int or float), two at least, and the space has "
            f"{len(numbers)}; give more keys a range, or use strategy tpe"
        )
