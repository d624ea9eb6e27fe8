"""Candidates drawn from a space without KerasTuner: points of the unit cube, read as settings."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from tuning.oracles.oracle import Open, Proposal
from tuning.space import Float, Int, Parameter, Settings, Space, identity

TRIES = 10_000  # points in a row that were all drawn before, until a space counts as exhausted


def settings_at(space: Space, point: Sequence[float]) -> Settings:
    """The candidate at a point of the unit cube [parameters], each coordinate in [0, 1).

    Values of a list, and whole numbers, share their axis equally; ranges with `log` are even in the
    logarithm. The axis of a key whose condition does not hold says nothing.
    """
    shares = dict(zip(space.by_key, point, strict=True))
    settings: Settings = {}
    for parameter in space.ordered:
        if space.active(parameter.key, settings):
            settings[parameter.key] = _value(parameter, float(shares[parameter.key]))
    return {key: settings[key] for key in space.by_key if key in settings}


def _value(parameter: Parameter, share: float) -> Any:
    if parameter.options is not None:
        return parameter.options[int(share * len(parameter.options))]
    assert isinstance(parameter, Int | Float)
    low, high = parameter.low, parameter.high
    if isinstance(parameter, Int):
        return min(math.floor(low * ((high + 1) / low) ** share), high)
    value = low * (high / low) ** share if parameter.log else low + share * (high - low)
    return parameter.nearest(value)


def random_points(space: Space, seed: int) -> Iterator[Sequence[float]]:
    """Independent uniform points, without end."""
    generator = _generator("draws", seed)
    while True:
        yield generator.random(len(space.parameters)).tolist()


def sobol_points(space: Space, seed: int) -> Iterator[Sequence[float]]:
    """Sobol' points, scrambled (Owen 1998) with the seed: they fill the cube evenly, also in part.

    Balanced best after a power of two of them.
    """
    from scipy.stats import qmc

    generator = _generator("sobol", seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # `seed`, which is `rng` since 1.15
        points = qmc.Sobol(len(space.parameters), scramble=True, seed=generator)
    while True:
        # rounding may reach 1, which is no share of an axis
        yield np.minimum(points.random(1)[0], np.nextafter(1.0, 0.0)).tolist()


def _generator(purpose: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))


class Draws:
    """Candidates one after another, each once: those that are to be tried first, then points.

    Args:
        space: what varies.
        points: of its unit cube, without end.
        start: candidates of the space that come before all others.
    """

    def __init__(
        self, space: Space, points: Iterator[Sequence[float]], start: Sequence[Settings] = ()
    ):
        self._space, self._points = space, points
        self._start = [dict(one) for one in reversed(start)]
        self._drawn: set[str] = set()
        self._size = space.size()

    def next(self) -> Settings | None:
        """The next candidate; None where the space has no other."""
        for _ in range(TRIES):
            if self._size is not None and len(self._drawn) >= self._size:
                return None
            settings = self._start.pop() if self._start else None
            if settings is None:
                settings = settings_at(self._space, next(self._points))
            if self.take(settings):
                return settings
        return None

    def take(self, settings: Settings) -> bool:
        """Count a candidate as drawn; False where it was before."""
        before = len(self._drawn)
        self._drawn.add(identity(settings))
        return len(self._drawn) > before


class Drawn:
    """Random search on a sequence of points: no candidate twice.

    Args:
        space: what varies.
        points: of its unit cube, without end.
        trials: how many; None: until the space is exhausted, or the caller stops.
        start: candidates that are tried first.
    """

    independent: ClassVar[bool] = True

    def __init__(
        self,
        space: Space,
        points: Iterator[Sequence[float]],
        trials: int | None,
        start: Sequence[Settings] = (),
    ):
        self._draws = Draws(space, points, start)
        self._trials, self._size = trials, space.size()
        self._open = Open()

    def ask(self) -> Proposal | None:
        if self._open.enough(self._trials):
            return None
        settings = self._draws.next()
        return None if settings is None else Proposal(self._open.start(), settings)

    def tell(self, number: int, score: float | None) -> None:
        self._open.end(number)

    def refuse(self, number: int) -> None:
        self._open.refuse(number)

    def announced(self) -> int | None:
        return self._open.at_most(self._trials, self._size)


class Sobol(Drawn):
    """On a Sobol' sequence, scrambled with the seed: fewer gaps and clusters than random draws."""

    def __init__(self, space: Space, seed: int, trials: int | None, start: Sequence[Settings] = ()):
        super().__init__(space, sobol_points(space, seed), trials, start)
