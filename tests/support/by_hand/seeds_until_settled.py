"""The table of `tuning/statistics/README.md` on seeds until it is settled; run it as a script.

Scores of rows over common seeds are drawn: normal, alike in spread, the seed's part common to all
rows, so that differences of rows have a paired standard deviation of 1.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy import stats

from tuning.statistics.anytime import log_e_values, pairs_of

SWEEPS, LOOKS = 2000, 40
LONGEST = 200  # seeds, where medians are asked for
POWER = 0.8
DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t, 5 degrees": lambda rng, shape: rng.standard_t(5, shape) / math.sqrt(5 / 3),
    "skewed": lambda rng, shape: 1 - rng.exponential(1.0, shape),
}
"""Of variance 1. Skewed: now and then a training goes badly, as from a poor start."""


def sweeps(rows: int, seeds: int, lead: float = 0.0, kind: str = "normal") -> np.ndarray:
    """Scores [SWEEPS, rows, seeds]; row 0 is ahead of the others, which are equal, by `lead`."""
    rng = np.random.default_rng([rows, seeds])
    noise = DRAWS[kind](rng, (SWEEPS, rows, seeds)) / math.sqrt(2)
    return np.asarray(noise + lead * (np.arange(rows) == 0)[:, None])


def _differences(scores: np.ndarray) -> Iterator[np.ndarray]:
    """Of each pair of rows, [SWEEPS, seeds]."""
    for first, second in combinations(range(scores.shape[1]), 2):
        yield scores[:, first] - scores[:, second]


def excluded(differences: np.ndarray, alpha: float) -> np.ndarray:
    """Has the confidence sequence left a difference of 0 out, after each seed?"""
    return log_e_values(differences) >= -math.log(alpha)


def starred(differences: np.ndarray, alpha: float) -> np.ndarray:
    """Does the paired t-test find a difference, after each seed?"""
    count = np.arange(1, differences.shape[-1] + 1)
    mean = np.cumsum(differences, -1) / count
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (np.cumsum(differences**2, -1) - count * mean**2) / (count - 1)
        t = np.abs(mean) / np.sqrt(variance / count)
        return np.asarray((count > 2) & (t >= stats.t.isf(alpha / 2, count - 1)))


def false_findings(rows: int, kind: str = "normal", alpha: float = 0.05) -> dict[str, float]:
    """Share of sweeps of equal rows that find any pair different at any of LOOKS looks: by the
    confidence sequences, by a t-test at every look, by the same with Bonferroni over the pairs."""
    scores, shared = sweeps(rows, LOOKS, kind=kind), alpha / pairs_of(rows)
    wrong = {name: np.zeros(SWEEPS, bool) for name in ("sequences", "t", "t, Bonferroni")}
    for each in _differences(scores):
        wrong["sequences"] |= excluded(each, shared).any(-1)
        wrong["t"] |= starred(each, alpha).any(-1)
        wrong["t, Bonferroni"] |= starred(each, shared).any(-1)
    return {name: float(found.mean()) for name, found in wrong.items()}


def median_seeds(rows: int, lead: float, alpha: float = 0.05) -> float:
    """Until a row that is behind by `lead` paired standard deviations is beaten."""
    scores = sweeps(rows, LONGEST, lead)[:, :2]
    out = excluded(scores[:, 0] - scores[:, 1], alpha / pairs_of(rows))
    return float(np.median(np.where(out.any(-1), out.argmax(-1) + 1, LONGEST)))


def fixed_seeds(rows: int, lead: float, alpha: float = 0.05) -> int:
    """That a paired t-test, Bonferroni over the pairs, needs to find it with POWER."""
    count, shared = 2, alpha / pairs_of(rows)
    while True:
        bound = stats.t.isf(shared / 2, count - 1)
        if stats.nct.sf(bound, count - 1, lead * math.sqrt(count)) >= POWER:
            return count
        count += 1


def main() -> None:
    print("| rows | scores | sequences | t at every look | t, Bonferroni over pairs |")
    print("|---|---|---|---|---|")
    for rows in (2, 5, 10):
        for kind in DRAWS:
            shares = " | ".join(f"{100 * x:.1f}" for x in false_findings(rows, kind).values())
            print(f"| {rows} | {kind} | {shares} |")
    print(
        "\n| rows | 0.75 sd | 1 sd | 1.5 sd | 2 sd | 3 sd | 5 sd |\n|---|---|---|---|---|---|---|"
    )
    for rows in (2, 3, 5, 10):
        cells = [
            f"{median_seeds(rows, lead):.0f} ({fixed_seeds(rows, lead)})"
            for lead in (0.75, 1.0, 1.5, 2.0, 3.0, 5.0)
        ]
        print(f"| {rows} | {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
