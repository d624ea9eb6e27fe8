"""Several objectives at once: which candidates nothing beats, how much they cover, and the knee.

Arrays are float [candidates, objectives] and higher is better: what is minimised comes with its
sign changed, see `signed`. A candidate dominates another if it is as good in every objective and
better in one; the front is all that nothing dominates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LOG_FROM = 10.0  # ratio of the largest to the smallest cost from which their scale is logarithmic


@dataclass(frozen=True)
class Objective:
    """What candidates are compared by."""

    name: str
    minimise: bool

    @property
    def sign(self) -> int:
        """Times the value: higher is better."""
        return -1 if self.minimise else 1


def signed(values: Sequence[Sequence[float]], objectives: Sequence[Objective]) -> np.ndarray:
    """Values as they are measured, as an array of which higher is better."""
    table = np.array(values, float).reshape(len(values), len(objectives))
    return table * [objective.sign for objective in objectives]


def front(values: np.ndarray) -> np.ndarray:
    """Which candidates nothing dominates, bool [candidates]. Equal ones do not dominate each other:
    either all of them are on the front or none."""
    mask, kept = np.zeros(len(values), bool), values[:0]
    for at in np.lexsort(-values.T[::-1]):  # none is dominated by one that comes later
        one = values[at]
        if not ((kept >= one).all(1) & (kept > one).any(1)).any():
            mask[at], kept = True, np.vstack([kept, one])
    return mask


def logarithmic(values: np.ndarray) -> np.ndarray:
    """Which axes have a logarithmic scale, bool [objectives]: those of a positive quantity that is
    minimised and spans a factor of LOG_FROM or more, such as multiply-accumulates."""
    if not len(values):
        return np.zeros(values.shape[1], bool)
    cost = (values < 0).all(0)
    return np.asarray(cost & (values.min(0) <= LOG_FROM * values.max(0)))


def scaled(values: np.ndarray, log: np.ndarray) -> np.ndarray:
    """The same on the scales of `logarithmic`."""
    return np.where(log, -np.log(np.where(log, -values, 1.0)), values)


def hypervolume(values: np.ndarray, reference: Sequence[float] | np.ndarray) -> float:
    """What the candidates dominate of the space above a reference point, exactly.

    Sliced along the last axis, each slice measured in one dimension less (While et al. 2006). A
    candidate that is not better than the reference in every objective adds nothing.

    Args:
        values: higher is better.
        reference: [objectives], such as the worst that was seen of each.
    """
    above = values - np.asarray(reference, float)
    above = above[(above > 0).all(1)]
    return _volume(above[front(above)]) if len(above) else 0.0


def hypervolumes(values: np.ndarray, reference: Sequence[float] | np.ndarray) -> list[float]:
    """`hypervolume` of the first candidate, the first two, and so on: it only grows."""
    volumes: list[float] = []
    kept = values[:0]  # the front so far
    for one in values:
        grown = np.vstack([kept, one])
        mask = front(grown)
        changed = mask[-1] and not (kept == one).all(1).any()
        kept = grown[mask] if changed else kept
        volumes.append(hypervolume(kept, reference) if changed or not volumes else volumes[-1])
    return volumes


def share(values: np.ndarray, seen: np.ndarray | None = None) -> list[float]:
    """How much of the box from the worst to the best that was seen of each objective the first
    candidate dominates, the first two, and so on: `hypervolumes` on the scales of `logarithmic`,
    0 to 1. An objective of which all that was seen is the same does not count.

    Args:
        values: higher is better.
        seen: float [others, objectives], these among them, that say where the box is; None: these.
    """
    seen = values if seen is None else seen
    if not len(values):
        return []
    log = logarithmic(seen)
    of_seen = scaled(seen, log)
    worst, best = of_seen.min(0), of_seen.max(0)
    varied = best > worst
    if not varied.any():
        return [0.0] * len(values)
    box = (scaled(values, log) - worst)[:, varied] / (best - worst)[varied]
    return hypervolumes(box, np.zeros(varied.sum()))


def knee(values: np.ndarray) -> int:
    """Which member of the front bends it most: a step to either side costs more than it gains.

    The front is put between 0, its worst, and 1, its best, on each axis (on a logarithmic scale
    where `logarithmic` says so of the front); the knee is the member furthest beyond the chord, or
    with three objectives and more the plane, through the points that are best in one of them and
    worst in the others (Das 1999). Of equals the first objective decides, then the order.

    Raises:
        ValueError: no candidates.
    """
    if not len(values):
        raise ValueError("knee: expected one candidate or more. Received: none")
    members = np.flatnonzero(front(values))
    kept = scaled(values[members], logarithmic(values[members]))
    low, span = kept.min(0), np.ptp(kept, axis=0)
    beyond = ((kept - low) / np.where(span > 0, span, 1.0)).sum(1).round(12)
    return int(members[np.lexsort((-values[members, 0], -beyond))[0]])


def _volume(points: np.ndarray) -> float:
    """Of the boxes from 0 to each point, which are all positive."""
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, -1], kind="stable")]
    depths = points[:, -1] - np.append(points[1:, -1], 0.0)
    if points.shape[1] == 2:
        return float((np.maximum.accumulate(points[:, 0]) * depths).sum())
    return float(
        sum(depth * _volume(points[: at + 1, :-1]) for at, depth in enumerate(depths) if depth > 0)
    )
