"""How often intervals over folds cover: real digits, networks that train in a millisecond.

    python tests/support/by_hand/interval_coverage.py       the table of tuning/FIGURES.md, minutes
    python tests/support/by_hand/interval_coverage.py 20    20 resamples in place of 200

Each resample draws n of the 1,797 digits and cross-validates on them, with every fit that the
intervals need: without a fold, without two, with all. The learner is ridge regression to one +1 and
nine -1 (scikit-learn's RidgeClassifier; written out, so that one factorisation serves all
penalties) on the pixels ("linear"), or on 80 rectified random sums of them that each fit draws anew
("network": one hidden layer, with noise of training). The fixed procedure has one penalty; the one
that chooses takes the best of eight, anew in each outer fold, by the other folds alone.

Two truths, both measured on digits that were not drawn:
    average     mean error of the procedure on n images, over all resamples
    this one    error of the network that this resample's n images train

A sample of a finite set varies less around the set, and more around the rest of it, than one of an
endless supply. So the chance part of an estimate's distance is multiplied by 1 / sqrt(1 - n/N) for
the first truth and sqrt(1 - n/N) for the second, the finite population correction (Cochran 1977,
Sampling Techniques, section 2.5); its bias stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from tuning.statistics.intervals import nested_cv, of_folds, plain_t, wilson

PENALTIES = (0.001, 0.01, 0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
FIXED = PENALTIES.index(1.0)
UNITS, CLASSES = 80, 10
INTERVALS = ("t over folds", "Wilson", "printed", "nested")


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels 0..1 with a 1 after them, float64 [1797, 65]; classes, int [1797]."""
    images, labels = load_digits(return_X_y=True)
    return np.c_[images / 16, np.ones(len(images))], labels


@dataclass(frozen=True)
class Fits:
    """Errors of one resample, by penalty first."""

    pairs: np.ndarray
    """[penalties, i, j]: on fold j, trained without folds i and j."""
    singles: np.ndarray
    """[penalties, folds]: on a fold, trained without it."""
    truth: np.ndarray
    """[penalties]: on the digits that were not drawn, trained on all that were."""
    sizes: np.ndarray


def resamples(learner: str, images: int, folds: int, count: int) -> list[Fits]:
    """So many of them, on one core: the matrices are small, and cores would wait for each other."""
    with threadpool_limits(1, user_api="blas"):
        return [resample(learner, images, folds, seed) for seed in range(count)]


def resample(learner: str, images: int, folds: int, seed: int) -> Fits:
    """Every fit of one resample."""
    rng = np.random.default_rng([seed, images, folds])
    pixels, labels = digits()
    drawn = np.sort(rng.permutation(len(labels))[:images])
    by_class = drawn[np.lexsort((rng.random(images), labels[drawn]))]
    parts = [by_class[fold::folds] for fold in range(folds)]  # stratified; a class may be small
    targets = np.eye(CLASSES)[labels] * 2 - 1

    def errors(left_out: list[np.ndarray], *scored: np.ndarray) -> list[np.ndarray]:
        sums = rng.normal(size=(pixels.shape[1], UNITS)) if learner == "network" else None

        def features(rows: np.ndarray) -> np.ndarray:
            if sums is None:
                return pixels[rows]
            return np.c_[np.maximum(pixels[rows] @ sums, 0) / 8, pixels[rows, -1]]

        train = np.setdiff1d(drawn, np.concatenate(left_out)) if left_out else drawn
        weights = ridge(features(train), targets[train])
        return [
            ((features(part) @ weights).argmax(axis=-1) != labels[part]).mean(axis=1)
            for part in scored
        ]

    pairs = np.full((len(PENALTIES), folds, folds), np.nan)
    singles = np.empty((len(PENALTIES), folds))
    for i in range(folds):
        [singles[:, i]] = errors([parts[i]], parts[i])
        for j in range(i):
            pairs[:, j, i], pairs[:, i, j] = errors([parts[i], parts[j]], parts[i], parts[j])
    [truth] = errors([], np.setdiff1d(np.arange(len(labels)), drawn))
    return Fits(pairs, singles, truth, np.array([len(part) for part in parts]))


def ridge(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Weights of every penalty, [penalties, features, classes]."""
    values, vectors = np.linalg.eigh(features.T @ features)
    turned = vectors.T @ (features.T @ targets)
    weights = [vectors @ (turned / (np.maximum(values, 0) + p)[:, None]) for p in PENALTIES]
    return np.stack(weights)


def outcome(fits: Fits, chooses: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """(inner errors [folds, folds - 1], outer errors [folds], truth) of a procedure."""
    folds = len(fits.sizes)
    inner = np.nanmean(fits.pairs, axis=2)  # of each penalty in each outer fold
    chosen = inner.argmin(axis=0) if chooses else np.full(folds, FIXED)
    last = int(inner.mean(axis=1).argmin()) if chooses else FIXED
    pairs = [np.delete(fits.pairs[chosen[i], i], i) for i in range(folds)]
    return np.stack(pairs), fits.singles[chosen, np.arange(folds)], float(fits.truth[last])


@dataclass(frozen=True)
class Coverage:
    """Of one interval: shares of resamples, and the mean width."""

    average: float
    this_one: float
    width: float


def coverage(fits: list[Fits], chooses: bool) -> tuple[dict[str, Coverage], float]:
    """Of each interval; and the mean true error.

    The nested interval of a procedure that chooses takes the winners' own inner errors, which is
    what it must not do: to show what comes of it.
    """
    told = [outcome(one, chooses) for one in fits]
    truths = np.array([truth for _, _, truth in told])
    ends: dict[str, list[tuple[float, float, float]]] = {name: [] for name in INTERVALS}
    for one, (pairs, errors, _) in zip(fits, told, strict=True):
        images, mean = int(one.sizes.sum()), float(errors.mean())
        nested = nested_cv(pairs, errors, one.sizes)
        made = {
            "t over folds": (mean, plain_t(errors)),
            "Wilson": (mean, wilson(mean, images)),
            "printed": (
                mean,
                of_folds(errors, trained=images - one.sizes, held=one.sizes, images=images),
            ),
            "nested": (nested.estimate, nested.interval),
        }
        for name, (value, interval) in made.items():
            ends[name].append((value, interval.low, interval.high))
    drawn = int(fits[0].sizes.sum())
    shrink = np.sqrt(1 - drawn / len(digits()[1]))
    result = {}
    for name, rows in ends.items():
        values, lows, highs = np.array(rows).T
        average = _covered(values, lows, highs, np.full(len(fits), truths.mean()), 1 / shrink)
        this_one = _covered(values, lows, highs, truths, shrink)
        result[name] = Coverage(average, this_one, float((highs - lows).mean()))
    return result, float(truths.mean())


def _covered(
    values: np.ndarray, lows: np.ndarray, highs: np.ndarray, truths: np.ndarray, factor: float
) -> float:
    """Share of intervals that hold the truth, the chance part of the distance multiplied."""
    distance = values - truths
    moved = (distance - distance.mean()) * (factor - 1)
    return float(((lows + moved <= truths) & (truths <= highs + moved)).mean())


def table(count: int) -> Iterator[str]:
    """Markdown, line by line."""
    heads = ["learner, procedure", "images", "folds", "true error", *INTERVALS]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for learner in ("linear", "network"):
        fits = {
            (images, folds): resamples(learner, images, folds, count)
            for images in (150, 300, 600)
            for folds in (5, 10)
        }
        for chooses in (False, True):
            for (images, folds), some in fits.items():
                result, error = coverage(some, chooses)
                cells = [
                    f"{100 * c.average:.1f}, {100 * c.this_one:.1f} ({100 * c.width:.1f})"
                    for c in result.values()
                ]
                name = f"{learner}, {'choosing' if chooses else 'fixed'}"
                yield f"| {name} | {images} | {folds} | {100 * error:.1f} % | {' | '.join(cells)} |"


if __name__ == "__main__":
    for line in table(int(sys.argv[1]) if len(sys.argv) > 1 else 200):
        print(line, flush=True)
