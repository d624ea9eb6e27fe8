"""Search strategies: each declared once, and what config, search, journal and pictures ask of it.

To add one, write its oracle in `tuning.oracles` and declare it in `STRATEGIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from experiments.config.section import AtLeastTwo, Count, Section
from tuning.oracles import draws, hyperband, keras_oracles, optuna_oracles, optuna_study
from tuning.oracles.oracle import Grid, Manual, Oracle, hears_all
from tuning.space import Space

if TYPE_CHECKING:
    from experiments.config.search import Search


@dataclass(frozen=True)
class Strategy:
    """Who proposes candidates, and what that asks of a search."""

    name: str
    """The value of `search.strategy`, and the key of its section below `search`, if it has one."""
    oracle: type[Oracle]
    arguments: Callable[[Search, Space | None, int], tuple[Any, ...]]
    """What the oracle is made of, given the section, its space and `train.epochs`; its last
    argument is `start`, the known settings that come first."""
    section: type[Section] | None = None
    """Settings of its own."""
    listed: bool = False
    """Are candidates those of `search.settings`? Others have `search.space`."""
    complete: bool = False
    """Does it propose all of the space, so that a product of sizes says how many?"""
    ends: str | None = None
    """What says how many candidates there are; None: `search.trials`, or a budget ends it."""
    brackets: bool = False
    """Does it train many for few epochs and stop most of them early, on one score each? Then there
    are no folds, its section's `max_epochs` takes the place of `train.epochs`, and how long a trial
    was trained is drawn as one of its settings."""
    on_keras_tuner: bool = False
    """Is TensorFlow loaded with its oracle?"""
    on_optuna: bool = False
    """Is Optuna needed?"""
    samplers: Mapping[str, type[Oracle]] = field(default_factory=dict)
    """Oracles that take the place of its own, by the `search.sampler` that asks for them."""
    former: type[Oracle] | None = None
    """KerasTuner's, which proposed before the oracle did: searches that began then go on with it.
    They have no start."""
    check: Callable[[Search, Space], None] = lambda search, space: None
    """Raises ValueError for settings that it cannot work with."""
    check_size: Callable[..., None] = lambda *arguments: None
    """Called with `arguments` before the first fit: raises SpaceError for a space too small."""

    def check_space(self, search: Search, space: Space) -> None:
        """Raises ValueError: Optuna is missing or too old; what `check` refuses."""
        if self.on_optuna:
            optuna_study.check_installed()
        self.check(search, space)

    @property
    def learns(self) -> bool:
        """Do proposals depend on outcomes, and so on how many are asked for at once?"""
        return not self.oracle.independent

    @property
    def several(self) -> bool:
        """Can a search with it have several objectives? The oracle learns from all of them, or
        needs none."""
        return self.oracle.independent or hears_all(self.oracle)

    def drawn_by(self, sampler: str) -> Strategy:
        """The same with the oracle of that sampler, if it has one of its own for it."""
        oracle = self.samplers.get(sampler)
        return replace(self, oracle=oracle, on_keras_tuner=False) if oracle else self

    def as_it_began(self) -> Strategy:
        """The same for a search that began before its oracle was there."""
        if self.former is None:
            return self
        arguments = self.arguments
        return replace(
            self,
            oracle=self.former,
            arguments=lambda *given: arguments(*given)[:-1],
            on_keras_tuner=True,
            former=None,
        )


class Hyperband(Section):
    """Many candidates for few epochs, the best of them for more."""

    max_epochs: Count | None = Field(None, description="null: train.epochs")
    factor: AtLeastTwo = Field(
        3, description="epochs grow and candidates shrink by it from round to round"
    )
    iterations: Count = 1


class Bayesian(Section):
    """Gaussian process over the outcomes so far."""

    initial_points: Count | None = Field(
        None, description="random trials before the first guided one; null: three a parameter"
    )


class Tpe(Section):
    """Tree-structured Parzen estimators over the outcomes so far."""

    startup_trials: Count = Field(10, description="random trials before the first guided one")


class Nsga2(Section):
    """Generations of candidates, each bred from the best so far."""

    population: AtLeastTwo = Field(
        10, description="candidates of a generation; those of the first are drawn at random"
    )


class Qmc(Section):
    """A quasi-random sequence."""

    sequence: Literal["sobol", "halton"] = "sobol"


class Cmaes(Section):
    """A normal distribution that moves towards the best; it moves numbers, and choices are drawn at
    random."""

    population: AtLeastTwo | None = Field(
        None, description="candidates of a generation; null: 4 + 3 ln(numbers), rounded down"
    )


def _hyperband(search: Search, space: Space | None, epochs: int) -> tuple[Any, ...]:
    section: Hyperband = search.section
    longest = section.max_epochs or epochs
    return space, search.seed, longest, section.factor, section.iterations, search.start


def _with(key: str) -> Callable[[Search, Space | None, int], tuple[Any, ...]]:
    """Space, seed and trials, then this key of the section."""
    return lambda search, space, epochs: (
        space, search.seed, search.trials, getattr(search.section, key), search.start,
    )  # fmt: skip


def _guided(search: Search, first: int, key: str) -> None:
    """Refuse fewer trials than are drawn at random first, which that key of the section says."""
    if search.trials is not None and search.trials <= first:
        raise ValueError(
            f"trials: {search.trials} and the first {first} are drawn at random; set more, or "
            f"search.{search.strategy}.{key} lower, or strategy random"
        )


def _check_bayesian(search: Search, space: Space) -> None:
    first = search.section.initial_points or keras_oracles.initial_points(space)
    _guided(search, first, "initial_points")


def _guided_after(key: str) -> Callable[[Search, Space], None]:
    """A check that some trials come after those first ones."""
    return lambda search, space: _guided(search, getattr(search.section, key), key)


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "manual",
            Manual,
            lambda search, space, epochs: (search.settings, search.start),
            listed=True,
            ends="settings says how many candidates there are",
        ),
        Strategy(
            "grid",
            Grid,
            lambda search, space, epochs: (space, search.start),
            complete=True,
            ends="a grid is complete",
            check=lambda search, space: space.check_listed(),
        ),
        Strategy(
            "random",
            keras_oracles.Random,
            lambda search, space, epochs: (space, search.seed, search.trials, search.start),
            on_keras_tuner=True,
            samplers={"sobol": draws.Sobol},
        ),
        Strategy(
            "bayesian",
            keras_oracles.Bayesian,
            _with("initial_points"),
            Bayesian,
            on_keras_tuner=True,
            check=_check_bayesian,
        ),
        Strategy(
            "hyperband",
            hyperband.Hyperband,
            _hyperband,
            Hyperband,
            brackets=True,
            ends="max_epochs, factor and iterations say how many there are",
            former=keras_oracles.FormerHyperband,
            check_size=lambda space, seed, *rungs: hyperband.check_draws(space, *rungs[:-1]),
        ),
        Strategy(
            "tpe",
            optuna_oracles.Tpe,
            _with("startup_trials"),
            Tpe,
            on_optuna=True,
            check=_guided_after("startup_trials"),
        ),
        Strategy(
            "nsga2",
            optuna_oracles.Nsga2,
            _with("population"),
            Nsga2,
            on_optuna=True,
            check=_guided_after("population"),
        ),
        Strategy("qmc", optuna_oracles.Qmc, _with("sequence"), Qmc, on_optuna=True),
        Strategy(
            "cmaes",
            optuna_oracles.Cmaes,
            _with("population"),
            Cmaes,
            on_optuna=True,
            check=lambda search, space: optuna_oracles.check_numbers(space),
        ),
    )
}
