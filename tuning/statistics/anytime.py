"""Which rows of a sweep are settled, however often one looks: confidence sequences over seeds.

Of two rows the differences d_1 .. d_n over common seeds are looked at after every seed. A t-test at
each look finds differences that are not there, far more often than it says. The e-process

    E_n(m) = sqrt(c^2 / (n + c^2)) ((W + n u^2) / (W + n u^2 c^2 / (n + c^2)))^(n/2)

with u = mean(d) - m and W = sum (d - mean(d))^2 exceeds 1/a at any n at all with probability a at
most, if the differences are normal with mean m and one unknown variance, and each seed is drawn
anew. So the means that it has not excluded, a confidence sequence, hold the true one at all n
together with probability 1 - a, and one may stop where one likes. c says which effects are thought
of: of 1/c standard deviations.

With many rows every pair has a sequence of its own at level alpha over the number of pairs
(Bonferroni). They hold together with probability 1 - alpha, so all that is said of a row against a
leader does, although the same scores picked the leader, and picked it anew at each look. e-Holm
would find a little more (the 45 pairs of 10 rows become 36 at best), but says nothing of directions
and gives no intervals, of which "equivalent" is made.

Sources: Lai (1976), On confidence sequences, Annals of Statistics 4; Wang and Ramdas (2024),
Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance,
arXiv:2310.03722.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

SCALE = 0.5
"""c. Against 1 it costs nothing at an effect of 1 standard deviation, and spares a seed or two at
effects of 2 and more, as they are between architectures."""
MOST_SEEDS = 10_000  # looked through for an estimate


@dataclass(frozen=True)
class Gap:
    """Of a row to the leader: the mean difference over common seeds, row minus leader."""

    leader: int
    seeds: int
    mean: float
    half_width: float
    """Of the confidence sequence; infinite while nothing can be said."""
    spread: float | None
    """Standard deviation of the differences; None of fewer than two seeds."""


@dataclass(frozen=True)
class Settled:
    """How a row was settled, by which numbers."""

    kind: Literal["beaten", "equivalent"]
    gap: Gap


@dataclass(frozen=True)
class Standing:
    """Of all rows, by their positions, after a look; rows without a score are nowhere."""

    leader: int | None
    settled: dict[int, Settled]
    undecided: dict[int, Gap]


def pairs_of(rows: int) -> int:
    """What alpha is shared by: any row may come to be the leader."""
    return math.comb(rows, 2)


def log_e_values(differences: np.ndarray) -> np.ndarray:
    """log E_n(0) after each seed.

    Args:
        differences: float [..., seeds], of two rows over common seeds in the order of the looks.

    Returns:
        float [..., seeds].
    """
    count = np.arange(1, differences.shape[-1] + 1)
    total = np.cumsum(differences, -1)
    squares = np.cumsum(differences**2, -1)
    prior = SCALE**2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = squares / (squares - total**2 / (count + prior))
    gain = np.log(np.where(squares > 0, ratio, 1.0))
    return np.asarray((np.log(prior / (count + prior)) + count * gain) / 2)


def half_width(count: int, squares: float, alpha: float) -> float:
    """Of the confidence sequence at level 1 - alpha around the mean of the differences.

    Args:
        count: seeds.
        squares: sum of the squared deviations from the mean.

    Returns:
        Infinity below `fewest_seeds`.
    """
    if count < fewest_seeds(alpha):
        return math.inf
    prior = SCALE**2
    limit = math.exp((math.log((count + prior) / prior) - 2 * math.log(alpha)) / count)
    room = 1 - limit * prior / (count + prior)
    return math.sqrt((limit - 1) * squares / (count * room))


def fewest_seeds(alpha: float) -> int:
    """Below so many no difference, however large, is told from chance: E_n has a largest value."""
    prior, count = SCALE**2, 2
    while (count - 1) * math.log((count + prior) / prior) <= -2 * math.log(alpha):
        count += 1
    return count


def settle(
    scores: np.ndarray,
    before: Mapping[int, Settled],
    alpha: float,
    margin: float | None = None,
    resolution: float = 0.0,
) -> Standing:
    """What is known of each row after one more look.

    The leader is the row with the highest mean of those that are not settled. A row is beaten if
    the sequence of its difference to the leader lies below 0, and equivalent if it lies within the
    margin. Beaten rows stay so. A row that was equivalent to an earlier leader is held against the
    new one, over the seeds that it has; it may be undecided again.

    Args:
        scores: float [rows, seeds], higher is better; NaN where there is none.
        before: what the look before has settled.
        alpha: bound on the probability that anything wrong is ever said, of all rows and looks.
        margin: in the unit of the scores; None: no row is equivalent.
        resolution: step of the scores, such as 1 / images. Differences that agree by rounding have
            its variance, and not none.
    """
    scored = [row for row in range(len(scores)) if np.isfinite(scores[row]).any()]
    open_rows = [row for row in scored if row not in before]
    if not open_rows:
        return Standing(None, dict(before), {})
    common = np.isfinite(scores[open_rows]).all(axis=0)
    compared = scores[open_rows][:, common] if common.any() else scores[open_rows]
    leader = open_rows[int(np.argmax(np.nanmean(compared, axis=1)))]
    shared = alpha / max(pairs_of(len(scores)), 1)
    settled, undecided = {}, {}
    for row in scored:
        known = before.get(row)
        if row == leader:
            continue
        if known and (known.kind == "beaten" or known.gap.leader == leader):
            settled[row] = known
            continue
        gap = _gap(scores, row, leader, shared, resolution)
        if gap.mean + gap.half_width < 0:
            settled[row] = Settled("beaten", gap)
        elif margin is not None and abs(gap.mean) + gap.half_width < margin:
            settled[row] = Settled("equivalent", gap)
        else:
            undecided[row] = gap
    return Standing(leader, settled, undecided)


def _gap(scores: np.ndarray, row: int, leader: int, alpha: float, resolution: float) -> Gap:
    differences = scores[row] - scores[leader]
    differences = differences[np.isfinite(differences)]
    count = len(differences)
    if not count:
        return Gap(leader, 0, 0.0, math.inf, None)
    squares = float(((differences - differences.mean()) ** 2).sum())
    squares += count * resolution**2 / 12  # of a number that is rounded to its steps
    spread = math.sqrt(squares / (count - 1)) if count > 1 else None
    reach = half_width(count, squares, alpha)
    return Gap(leader, count, float(differences.mean()), reach, spread)


def seeds_more(gap: Gap, rows: int, alpha: float, margin: float | None = None) -> int | None:
    """About how many seeds will settle a row, if its difference and spread stay as they are.

    None: nothing tells, or more than `MOST_SEEDS`.
    """
    if gap.spread is None:
        return None
    shared = alpha / max(pairs_of(rows), 1)
    reach = max(-gap.mean, 0.0 if margin is None else margin - abs(gap.mean))
    if reach <= 0:
        return None
    low, high = gap.seeds, MOST_SEEDS
    if half_width(high, (high - 1) * gap.spread**2, shared) >= reach:
        return None
    while high - low > 1:  # the half width falls with the seeds
        middle = (low + high) // 2
        if half_width(middle, (middle - 1) * gap.spread**2, shared) < reach:
            high = middle
        else:
            low = middle
    return high - gap.seeds
