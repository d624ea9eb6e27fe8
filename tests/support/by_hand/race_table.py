"""Races of searches that are drawn, not trained: how often the best is lost, how many fits saved.

Prints the table of tuning/FIGURES.md:  python tests/support/by_hand/race_table.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from tuning.paired import Answers
from tuning.race import Race

CANDIDATES, FOLDS, RATIO, ALPHA = 10, 5, 0.25, 0.05
SIZES = (70, 360, 2_000, 10_000)
"""Validation images of a fold."""
NOISES = (0.0, 0.003, 0.01)
"""Standard deviation of training, as a fraction."""
SPREADS = {
    "equal": np.zeros(CANDIDATES),
    "one 2 points ahead": np.array([0.0] + [-0.02] * (CANDIDATES - 1)),
    "0 to 13 points behind": -np.array([0, 0.3, 0.7, 1.2, 2, 3, 4.5, 6.5, 9, 13]) / 100,
    "0 to 60 points behind": -np.array([0, 0.5, 1.5, 3, 5, 8, 12, 20, 35, 60]) / 100,
}
BEST = 0.93
FEW = 100  # images of a fold up to which each one is drawn
COMMON = 0.85  # of the variance of an image's margin, the part that all candidates share
DIFFICULTIES = stats.norm.ppf((np.arange(16) + 0.5) / 16)


@dataclass(frozen=True)
class Drawn:
    """Searches: `scores` [searches, candidates, folds], `differ` [searches, candidates, candidates,
    folds] the share of images on which answers differ, and which candidate is best."""

    scores: np.ndarray
    differ: np.ndarray
    best: np.ndarray
    size: int

    def answers(self, folds: int) -> Answers:
        """After so many folds."""
        scores, differ = self.scores[..., :folds], self.differ[..., :folds]
        lead = scores[:, :, None] - scores[:, None]
        of_fold = ((differ - lead**2) / (self.size - 1)).mean(-1)
        return Answers(scores, of_fold, differ.sum(-1) / self.size / folds**2)


def answers(accuracy: float, trial: int, fold: int) -> np.ndarray:
    """Of one trial to the 300 images of a fold: the same difficulty for all, and a little of each
    one's own."""
    common = np.random.default_rng([fold, 9]).random(300)
    own = np.random.default_rng([fold, trial, 1]).random(300)
    return 0.8 * common + 0.2 * own < accuracy


def draw(
    rng: np.random.Generator, searches: int, spread: np.ndarray, size: int, noise: float
) -> Drawn:
    """Searches whose candidates stand in a random order.

    See `drawn_of`.
    """
    levels = rng.permuted(np.broadcast_to(BEST + spread, (searches, CANDIDATES)), axis=1)
    return drawn_of(rng, levels, size, noise)


def drawn_of(rng: np.random.Generator, levels: np.ndarray, size: int, noise: Any) -> Drawn:
    """Searches of candidates of these accuracies, float [searches, candidates].

    A network's accuracy is that of its setting and a normal draw, which correlates over the folds
    of a candidate by 1/5, as trainings on overlapping parts may. An image has a difficulty, one of
    16, that all candidates share; given it, they are right or wrong on their own.

    Args:
        noise: standard deviation of training, one for all or float [candidates].
    """
    searches, candidates = levels.shape
    correlation = RATIO / (1 + RATIO)
    shape = (searches, candidates, FOLDS)
    training = np.sqrt(1 - correlation) * rng.standard_normal(shape)
    training += np.sqrt(correlation) * rng.standard_normal((*shape[:2], 1))
    accuracy = np.clip(levels[..., None] + np.reshape(noise, (-1, 1)) * training, 0.02, 0.999)
    margin = special.ndtri(accuracy)[..., None] - np.sqrt(COMMON) * DIFFICULTIES
    chance = special.ndtr(margin / np.sqrt(1 - COMMON))
    if size > FEW:  # so many that the share on which two differ is what is expected
        images = rng.multinomial(size, np.full(16, 1 / 16), (searches, FOLDS))
        hits = rng.binomial(images[:, None], chance)  # [searches, candidates, folds, difficulties]
        wrong = (images[:, None] - hits) / np.maximum(images[:, None], 1)
        only = np.einsum("scfd,stfd->sctf", hits, wrong, optimize=True) / size
        differ = only + only.transpose(0, 2, 1, 3)
        differ[:, range(candidates), range(candidates)] = 0.0
        return Drawn(hits.sum(-1) / size, differ, levels.argmax(1), size)
    scores, differ = np.empty(shape), np.empty((*shape[:2], candidates, FOLDS))
    for search in range(searches):
        of = rng.integers(0, 16, (FOLDS, size))
        each = np.take_along_axis(chance[search], np.broadcast_to(of, (candidates, *of.shape)), 2)
        right = (rng.random(each.shape, np.float32) < each).astype(np.float32).transpose(1, 0, 2)
        both, count = right @ right.transpose(0, 2, 1), right.sum(-1)
        apart = count[:, :, None] + count[:, None] - 2 * both
        scores[search], differ[search] = count.T / size, apart.transpose(1, 2, 0) / size
    return Drawn(scores, differ, levels.argmax(1), size)


def race(drawn: Drawn, noise: float | None = None) -> np.ndarray:
    """Folds that each candidate gets, int [searches, candidates]."""
    return raced(drawn, Race((), RATIO, CANDIDATES, ALPHA, noise))


def raced(drawn: Drawn, racing: Race) -> np.ndarray:
    """The same of any race."""
    done = np.full(drawn.scores.shape[:2], FOLDS)
    for folds in range(racing.after_folds, FOLDS):
        numbers = np.arange(drawn.scores.shape[1])
        levels, rivals = racing.levels(folds, FOLDS, numbers), racing.rivals(numbers)
        loses = racing.look(drawn.answers(folds), done == FOLDS, levels, rivals)[2]
        done[loses] = folds
    return done


def race_on_means(drawn: Drawn) -> np.ndarray:
    """The same of the race on fold means, `tuning.fold_race`."""
    done = np.full(drawn.scores.shape[:2], FOLDS)
    for folds in range(3, FOLDS):
        scores = drawn.scores[..., :folds]
        leader = np.where(done == FOLDS, scores.mean(-1), -np.inf).argmax(1)
        behind = np.take_along_axis(scores, leader[:, None, None], 1) - scores
        spread = behind.std(-1, ddof=1) * np.sqrt(1 / folds + RATIO)
        t = behind.mean(-1) / np.maximum(spread, 1e-12)
        loses = (stats.t.sf(t, folds - 1) < ALPHA) & (np.ptp(behind, -1) > 1e-12)
        done[loses & (done == FOLDS)] = folds
    return done


def lost(drawn: Drawn, done: np.ndarray) -> float:
    """Share of the searches that lose their best candidate."""
    return float((np.take_along_axis(done, drawn.best[:, None], 1) < FOLDS).mean())


def saved(done: np.ndarray) -> float:
    """Share of the fits."""
    return float(1 - done.mean() / FOLDS)


def rows(searches: int) -> Iterator[str]:
    """The table, in Markdown: percent of searches that lose the best, percent of fits saved."""
    yield "| candidates | images a fold | noise, points | on images | noise known | on means |"
    yield "|---|---|---|---|---|---|"
    rng = np.random.default_rng(17)
    for name, spread in SPREADS.items():
        for size in SIZES:
            for noise in NOISES:
                drawn = draw(rng, searches, spread, size, noise)
                known = race(drawn, max(noise, 0.003))
                cells = [
                    f"{100 * lost(drawn, done):.1f} lost, {100 * saved(done):.0f} saved"
                    for done in (race(drawn), known, race_on_means(drawn))
                ]
                yield f"| {name} | {size} | {100 * noise:g} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for row in rows(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000):
        print(row, flush=True)
