"""Where does the variance of scores come from: training, images, or one seed among several?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tuning.statistics.over_seeds import Training
from tuning.statistics.power import Noise

Span = tuple[float, float]
"""Ends of an interval."""


@dataclass(frozen=True)
class OfPair:
    """Variances of the difference of two rows, with intervals that hold together."""

    noise: Noise
    training: Span
    """Interval of `noise.training`."""
    images: Span
    """Interval of `noise.images`."""
    pairing: float
    """Share of the variance from images that the rows' common images save: 0 as if each row had
    images of its own, 1 where no image tells the rows apart."""

    def shares(self, seeds: int, images: int) -> dict[str, tuple[float, float, float]]:
        """Of the variance of a difference from training, from images and from both at once (what
        a training moves at single images): estimate, low, high."""
        parts = self.noise.parts(seeds, images)
        span = {
            "training": tuple(2 * end / seeds for end in self.training),
            "images": tuple(end / images for end in self.images),
            "both": (parts["both"],) * 2,
        }
        return {
            name: (
                _share(part, sum(parts.values())),
                _share(span[name][0], span[name][0] + _others(span, name, 1)),
                _share(span[name][1], span[name][1] + _others(span, name, 0)),
            )
            for name, part in parts.items()
        }


def _others(spans: Mapping[str, Sequence[float]], name: str, end: int) -> float:
    return sum(span[end] for other, span in spans.items() if other != name)


def _share(part: float, total: float) -> float:
    return part / total if total > 0 else 0.0


def of_pair(
    first: np.ndarray,
    second: np.ndarray,
    training: tuple[Training, Training],
    confidence: float = 0.95,
) -> OfPair:
    """Analysis of variance of two rows, of seeds crossed with images.

    The variance of training is that of `over_seeds.training_variances`, less what the images add;
    its interval is by chi squared. That of images is by the normal law of a mean over images. Each
    has confidence 1 - a/2, so that both hold together with 1 - a.

    Args:
        first, second: bool [seeds, images], whether the label was right, in common order.
        training: of the two rows.
        confidence: 1 - a.
    """
    seeds, images = first.shape
    hits = [of.sum(axis=0, dtype=np.int64) for of in (first, second)]
    # variance over the seeds at each image, of both rows together
    within = np.array([k * (seeds - k) / (seeds * (seeds - 1)) for k in hits])
    of_score = (training[0].variance + training[1].variance) / 2
    settled = max((images * of_score - within.mean()) / (images - 1), 0.0)
    moved = max(float(within.mean()) - settled, 0.0)
    gain = (hits[0] - hits[1]) / seeds
    at_image = (gain - gain.mean()) ** 2 * images / (images - 1) - within.sum(axis=0) / seeds
    between = float(at_image.mean()) + 2 * settled / seeds
    alone = sum(float((k / seeds).var(ddof=1)) for k in hits) - 2 * moved / seeds

    tail = (1 - confidence) / 4
    ends = _by_chi_squared(of_score, _degrees(training), tail)
    reach = stats.norm.isf(tail) * float(at_image.std(ddof=1)) / np.sqrt(images)
    return OfPair(
        Noise(settled, moved, max(between, 0.0)),
        (max(ends[0] - moved / images, 0.0), max(ends[1] - moved / images, 0.0)),
        (max(between - reach, 0.0), max(between + reach, 0.0)),
        min(max(1 - _share(max(between, 0.0), alone), 0.0), 1.0) if alone > 0 else 0.0,
    )


def _degrees(training: tuple[Training, Training]) -> float:
    """Of the mean of two variances: their pool's, or Satterthwaite's."""
    one, other = training
    if one.pooled:
        return one.degrees
    total = one.variance + other.variance
    parts = sum(each.variance**2 / each.degrees for each in training)
    return total**2 / parts if parts > 0 else one.degrees + other.degrees


def _by_chi_squared(variance: float, degrees: float, tail: float) -> Span:
    ends = (stats.chi2.isf(p, degrees) for p in (tail, 1 - tail))
    low, high = (variance * degrees / end for end in ends)
    return float(low), float(high)


@dataclass(frozen=True)
class Component:
    """A variance, its interval, and the degrees of freedom that it was told by."""

    variance: float
    low: float
    high: float
    degrees: int


REST = "rest"
"""What no seed alone explains: their interactions, and what differs between equal runs."""


def of_crossing(
    scores: Sequence[float], levels: Mapping[str, Sequence[Any]], confidence: float = 0.95
) -> dict[str, Component]:
    """Variance of a score from each of several seeds that were varied against each other.

    The model is additive, score = mean + an effect of each seed's value + rest. A factor's mean
    square is adjusted for all other factors (Henderson's method 3): the usual analysis of variance
    where the crossing is balanced, be it full or a fraction as a Latin square, and free of the
    others' effects where runs are missing. Intervals are the modified large sample ones of Ting,
    Burdick, Graybill, Jeyaratnam and Lu (1990, Journal of Statistical Computation and Simulation
    35), exact in neither case and near it in both. Interactions that are large beside the rest
    raise what is said of the factors in them.

    Args:
        scores: one a run.
        levels: of each factor, its value in each run.

    Returns:
        a component each factor, and `REST`; estimates below 0 as 0.

    Raises:
        ValueError: a factor that has one value, that cannot be told from the others, or no runs
            beyond what the factors take.
    """
    made = np.asarray(scores, np.float64)
    made = made - made.mean()  # scores near 1 that differ in the fifth digit
    columns = {name: _indicators(values) for name, values in levels.items()}
    basis = _basis([*columns.values()], len(made))
    over = len(made) - basis.shape[1]
    for name, indicators in columns.items():
        if indicators.shape[1] < 2:
            raise ValueError(f"{name} has one value in all runs")
    if over < 1:
        raise ValueError(f"{len(made)} runs leave none to tell the factors from the rest")
    residual = float(((made - basis @ (basis.T @ made)) ** 2).sum())
    rest = max(residual, 0.0) / over
    tail = (1 - confidence) / 2
    components = {}
    for name, indicators in columns.items():
        others = _basis([of for other, of in columns.items() if other != name], len(made))
        degrees = basis.shape[1] - others.shape[1]
        if degrees < 1:
            raise ValueError(f"{name} cannot be told from the other seeds: vary it against them")
        without = float(((made - others @ (others.T @ made)) ** 2).sum())
        adjusted = indicators - others @ (others.T @ indicators)
        runs = float((adjusted**2).sum()) / degrees  # at a value, where balanced
        square = max(without - residual, 0.0) / degrees
        low, high = _of_excess(square, degrees, rest, over, tail)
        components[name] = Component(
            max(square - rest, 0.0) / runs, low / runs, high / runs, degrees
        )
    return components | {REST: Component(rest, *_by_chi_squared(rest, over, tail), over)}


def _indicators(values: Sequence[Any]) -> np.ndarray:
    """[runs, values] of 0 and 1."""
    known = {value: column for column, value in enumerate(dict.fromkeys(values))}
    return np.eye(len(known))[[known[value] for value in values]]


def _basis(columns: Sequence[np.ndarray], runs: int) -> np.ndarray:
    """Orthonormal [runs, rank] of the mean and these columns."""
    vectors, sizes, _ = np.linalg.svd(np.hstack([np.ones((runs, 1)), *columns]), False)
    return vectors[:, sizes > 1e-9 * sizes[0]]


def _of_excess(first: float, n: int, second: float, m: int, tail: float) -> Span:
    """Modified large sample interval of the first mean square's expectation less the second's."""
    g1, h1 = 1 - n / stats.chi2.isf(tail, n), n / stats.chi2.ppf(tail, n) - 1
    g2, h2 = 1 - m / stats.chi2.isf(tail, m), m / stats.chi2.ppf(tail, m) - 1
    above, below = stats.f.isf(tail, n, m), stats.f.ppf(tail, n, m)
    g12 = ((above - 1) ** 2 - (g1 * above) ** 2 - h2**2) / above
    h12 = ((1 - below) ** 2 - (h1 * below) ** 2 - g2**2) / below
    down = (g1 * first) ** 2 + (h2 * second) ** 2 + g12 * first * second
    up = (h1 * first) ** 2 + (g2 * second) ** 2 + h12 * first * second
    excess = first - second
    low = excess - np.sqrt(max(down, 0.0))
    high = excess + np.sqrt(max(up, 0.0))
    return max(float(low), 0.0), max(float(high), 0.0)
