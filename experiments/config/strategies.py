"""Search strategies: each declared once, and what config, search, journal and pictures ask of it.

To add one, write its oracle in `tuning` and declare it in `STRATEGIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from experiments.config.section import AtLeastTwo, Count, Section
from tuning import keras_oracles, oracles
from tuning.oracles import Oracle
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
    """What the oracle is made of, given the section, its space and `train.epochs`."""
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
    check: Callable[[Search, Space], None] = lambda search, space: None
    """Raises ValueError for settings that it cannot work with."""
    check_size: Callable[..., None] = lambda *arguments: None
    """Called with `arguments` before the first fit: raises SpaceError for a space too small."""

    @property
    def learns(self) -> bool:
        """Do proposals depend on outcomes, and so on how many are asked for at once?"""
        return not self.oracle.independent


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


def _hyperband(search: Search, space: Space | None, epochs: int) -> tuple[Any, ...]:
    section: Hyperband = search.section
    longest = section.max_epochs or epochs
    return space, search.seed, longest, section.factor, section.iterations


def _more_than_the_first(search: Search, space: Space) -> None:
    first = search.section.initial_points or keras_oracles.initial_points(space)
    if search.trials is not None and search.trials <= first:
        raise ValueError(
            f"trials: {search.trials} and the first {first} are drawn at random; set more, or "
            "search.bayesian.initial_points lower, or strategy random"
        )


STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "manual",
            oracles.Manual,
            lambda search, space, epochs: (search.settings,),
            listed=True,
            ends="settings says how many candidates there are",
        ),
        Strategy(
            "grid",
            oracles.Grid,
            lambda search, space, epochs: (space,),
            complete=True,
            ends="a grid is complete",
            check=lambda search, space: space.check_listed(),
        ),
        Strategy(
            "random",
            keras_oracles.Random,
            lambda search, space, epochs: (space, search.seed, search.trials),
            on_keras_tuner=True,
        ),
        Strategy(
            "bayesian",
            keras_oracles.Bayesian,
            lambda search, space, epochs: (
                space, search.seed, search.trials, search.section.initial_points,
            ),
            Bayesian,
            on_keras_tuner=True,
            check=_more_than_the_first,
        ),
        Strategy(
            "hyperband",
            keras_oracles.Hyperband,
            _hyperband,
            Hyperband,
            brackets=True,
            ends="max_epochs, factor and iterations say how many there are",
            on_keras_tuner=True,
            check_size=lambda space, seed, *rounds: keras_oracles.check_draws(space, *rounds),
        ),
    )
}  # fmt: skip
