"""Who proposes the next settings. An oracle knows names and values, nothing else.

An oracle is asked and told, and keeps no state on disk: asked and told the same again in the same
order, a fresh one proposes the same. That is how a search resumes. Behind the same calls stand
KerasTuner's oracles in `keras_oracles`, and Optuna's in `optuna_oracles`; those with `several` are
told the scores of several objectives, too.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

from tuning.space import Settings, Space, identity


class Waiting(enum.Enum):
    """Why there is no proposal although there will be one."""

    OUTCOMES = "the oracle must be told of a trial that it proposed before"


WAIT: Final = Waiting.OUTCOMES

MOST_REFUSED = 300  # draws in a row, until an oracle gives up looking for one that is not


@dataclass(frozen=True)
class Proposal:
    """One trial to run."""

    number: int
    """From 0, in the order of asking."""
    settings: Settings
    epochs: int | None = None
    """Hyperband: how long to train; None: as configured."""
    resume_from: int | None = None
    """Hyperband: the shorter trial of the same settings that earned this one."""
    goes_on: bool = False
    """Hyperband: may a longer trial of the same settings follow?"""


def hears_all(oracle: type[Oracle] | Oracle) -> bool:
    """Is it told a score for each of several objectives, where others hear the first alone?"""
    return bool(getattr(oracle, "several", False))


class Oracle(Protocol):
    """Proposes trials, and learns from their scores: higher is better, None is a failed trial."""

    independent: ClassVar[bool]
    """Do proposals not depend on outcomes? Then any number may be asked for at once."""

    def ask(self) -> Proposal | Literal[Waiting.OUTCOMES] | None:
        """The next trial; WAIT before outcomes are told; None when there is none left."""

    def tell(self, number: int, score: float | None) -> None:
        """The outcome of a proposal, once. NaN and infinity count as failed.

        Raises:
            ValueError: no such trial is open.
        """

    def refuse(self, number: int) -> None:
        """A proposal that is not fitted, once, instead of `tell`: it counts for nothing, and is not
        proposed again.

        Raises:
            ValueError: no such trial is open.
        """

    def announced(self) -> int | None:
        """How many trials there will be at most; None where only a budget ends the search."""


@runtime_checkable
class Promoting(Oracle, Protocol):
    """Follows a trial that did well by a longer one of the same settings."""

    def waiting(self) -> set[int]:
        """Numbers of trials under way, and of ended ones that may yet be promoted."""

    def epochs_in_all(self, *, goes_on: bool) -> int:
        """Of all trials; without those that a promoted one has already, if it `goes_on`."""


def grid(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, complete and ordered: the last axis runs fastest.

    >>> grid({"model.name": ["mlp", "lenet5"], "seed": [1, 2]})[1]
    {'model.name': 'mlp', 'seed': 2}
    """
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


class Listed:
    """Proposes a list of settings in order, whatever happened to the ones before.

    Args:
        settings: the candidates.
        start: those that come first, of the list or not.
    """

    independent: ClassVar[bool] = True

    def __init__(self, settings: Sequence[Settings], start: Sequence[Settings] = ()):
        first = {identity(one) for one in start}
        others = (one for one in settings if identity(one) not in first)
        self._settings = [dict(one) for one in (*start, *others)]
        self._open = Open()

    def ask(self) -> Proposal | None:
        if self._open.proposed == len(self._settings):
            return None
        return Proposal(number := self._open.start(), dict(self._settings[number]))

    def tell(self, number: int, score: float | None) -> None:
        self._open.end(number)

    def refuse(self, number: int) -> None:
        self._open.refuse(number)

    def announced(self) -> int:
        return len(self._settings) - self._open.refused


class Manual(Listed):
    """The user's own list of settings ("babysitting")."""


class Grid(Listed):
    """Every candidate of a space: complete and ordered, the last key fastest.

    Raises:
        SpaceError: a parameter has no list of values.
    """

    def __init__(self, space: Space, start: Sequence[Settings] = ()):
        super().__init__(space.grid(), start)


class Open:
    """The trials that were proposed and not told of yet."""

    def __init__(self) -> None:
        self.proposed = 0
        self.refused = 0
        self.numbers: set[int] = set()
        self.barren = False
        """Were so many refused in a row that draws go on in vain?"""
        self._in_a_row = 0
        self._last: int | None = None

    def start(self) -> int:
        number = self.proposed
        self.proposed += 1
        self.numbers.add(number)
        if self._last != number - 1:
            self._in_a_row = 0
        return number

    def end(self, number: int) -> None:
        if number not in self.numbers:
            known = "was told of before" if 0 <= number < self.proposed else "was never proposed"
            raise ValueError(f"trial {number} {known}; tell the number of an open proposal, once")
        self.numbers.remove(number)

    def refuse(self, number: int) -> None:
        self.end(number)
        self.refused += 1
        self._in_a_row += 1
        self._last = number
        self.barren = self.barren or self._in_a_row >= MOST_REFUSED

    @property
    def counted(self) -> int:
        """Proposals that were not refused."""
        return self.proposed - self.refused

    def enough(self, trials: int | None) -> bool:
        """Is there no further trial of so many, or do draws go on in vain?"""
        return self.barren or (trials is not None and self.counted >= trials)

    def at_most(self, trials: int | None, size: int | None) -> int | None:
        """How many proposals will count, of a space of that size; None where nothing says."""
        left = None if size is None else size - self.refused
        return min((limit for limit in (trials, left) if limit is not None), default=None)


def usable(score: float | None) -> float | None:
    """The score, or None where it says nothing: a failed trial, NaN or infinity."""
    return score if score is not None and math.isfinite(score) else None
