"""Who proposes the next settings. An oracle knows names and values, nothing else.

An oracle is asked and told, and keeps no state on disk: asked and told the same again in the same
order, a fresh one proposes the same. That is how a search resumes. KerasTuner's oracles, behind the
same two calls, are in `tuning.keras_oracles`.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol

from tuning.space import Settings, Space


class Waiting(enum.Enum):
    """Why there is no proposal although there will be one."""

    OUTCOMES = "the oracle must be told of a trial that it proposed before"


WAIT: Final = Waiting.OUTCOMES


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

    def announced(self) -> int | None:
        """How many trials there will be at most; None where only a budget ends the search."""


def grid(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, complete and ordered: the last axis runs fastest.

    >>> grid({"model.name": ["mlp", "lenet5"], "seed": [1, 2]})[1]
    {'model.name': 'mlp', 'seed': 2}
    """
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


class Listed:
    """Proposes a list of settings in order, whatever happened to the ones before."""

    independent: ClassVar[bool] = True

    def __init__(self, settings: Sequence[Settings]):
        self._settings = [dict(one) for one in settings]
        self._open = Open()

    def ask(self) -> Proposal | None:
        if self._open.proposed == len(self._settings):
            return None
        return Proposal(number := self._open.start(), dict(self._settings[number]))

    def tell(self, number: int, score: float | None) -> None:
        self._open.end(number)

    def announced(self) -> int:
        return len(self._settings)


class Manual(Listed):
    """The user's own list of settings ("babysitting")."""


class Grid(Listed):
    """Every candidate of a space: complete and ordered, the last key fastest.

    Raises:
        SpaceError: a parameter has no list of values.
    """

    def __init__(self, space: Space):
        super().__init__(space.grid())


class Open:
    """The trials that were proposed and not told of yet."""

    def __init__(self) -> None:
        self.proposed = 0
        self.numbers: set[int] = set()

    def start(self) -> int:
        number = self.proposed
        self.proposed += 1
        self.numbers.add(number)
        return number

    def end(self, number: int) -> None:
        if number not in self.numbers:
            known = "was told of before" if 0 <= number < self.proposed else "was never proposed"
            raise ValueError(f"trial {number} {known}; tell the number of an open proposal, once")
        self.numbers.remove(number)


def usable(score: float | None) -> float | None:
    """The score, or None where it says nothing: a failed trial, NaN or infinity."""
    return score if score is not None and math.isfinite(score) else None
