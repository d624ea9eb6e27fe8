"""The test that two rows allow: over seeds and images, seeds, folds, or two trained networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np

from experiments.comparison.grouping import draw_of, seeds_in_words
from tuning.statistics.over_seeds import Training

Test = Literal["auto", "paired", "mcnemar", "none"]
FEWEST_PAIRS = 3
"""Below this many common seeds or folds a t-test has next to no power, and is not made."""
NONE = (0.0, 0.0)
SEEDS_AND_IMAGES = "test over seeds and images"
CORRECTED = "corrected resampled t over folds"
PAIRED_T = "paired t over seeds"
MCNEMAR = "McNemar"
SIGN_FLIP = "randomisation over images"
ONE_SEED = "1 seed"

HitsOf = Callable[[str, str], "tuple[np.ndarray, np.ndarray] | None"]
"""Of a run id and a part (test, val): the images' index, int [images], and whether the label was
right, bool [images]; None where the run kept none."""
Sizes = Mapping[str, tuple[float, float]]
"""Of a run id: training images, and images that the score was measured on."""
Pairs = Sequence[tuple[dict[str, Any], dict[str, Any]]]


@dataclass(frozen=True)
class Tested:
    """A test of two rows, or why there is none."""

    test: str | None = None
    sample: str = ""
    """Over what: 4 seeds, 480 images."""
    lead: float = 0.0
    """Score of the first row minus that of the second, over what they share."""
    p_value: float | None = None
    half_width: Callable[[float], float] | None = None
    """Of the interval of the lead, by the level that it leaves out."""
    why: str = ""


def common(first: Mapping[str, Any], second: Mapping[str, Any]) -> Pairs:
    """Values of the same seeds and fold."""
    by_key = {draw_of(value): value for value in second["values"]}
    keys = [draw_of(value) for value in first["values"]]
    return [
        (value, by_key[key])
        for value, key in zip(first["values"], keys, strict=True)
        if key in by_key
    ]


def apart(
    first: Mapping[str, Any], second: Mapping[str, Any], varying: Sequence[str], sizes: Sizes
) -> str:
    """Why these rows were not measured on the same images; nothing where they were."""
    if first["source_fingerprint"] != second["source_fingerprint"]:
        return "other data"
    if any(first[key] != second[key] for key in varying if key.startswith("validation.")):
        return "other split"
    pairs = common(first, second)
    if any(sizes.get(a["run_id"], NONE)[1] != sizes.get(b["run_id"], NONE)[1] for a, b in pairs):
        return "other split"  # folds of other searches may bear the same numbers
    return ""


def of_settings(
    pairs: Pairs,
    training: tuple[Training | None, Training | None],
    sizes: Sizes,
    answers: HitsOf,
    part: str,
    *,
    paired: bool,
) -> Tested:
    """A test that speaks of the settings: of what other seeds, or folds, would have given.

    Over folds the corrected resampled t. On one split with two seeds or more and kept predictions
    `tuning.statistics.over_seeds`; else, or with `paired`, the paired t over three seeds or more.
    """
    if any(first["fold"] for first, _ in pairs):
        return _over_folds(pairs, sizes)
    if not pairs:
        return Tested(why="no common seed")
    if not paired and len(pairs) > 1 and training[0] and training[1]:
        hits = _hits(pairs, answers, part)
        if isinstance(hits, Tested) and hits.why == "other images":
            return hits
        if not isinstance(hits, Tested) and len(hits[0]) == len(pairs):
            return _over_seeds(hits, (training[0], training[1]))
    if len(pairs) == 1 and not paired:
        return Tested(why=ONE_SEED)
    return _over(pairs, "seeds", [_gap(pair) for pair in pairs], PAIRED_T)


def of_networks(pairs: Pairs, answers: HitsOf, part: str) -> Tested:
    """A test over images that speaks of the trained networks alone: McNemar's for one common seed,
    for several its like, `sign_flip` of the hits of all of them."""
    from tuning.statistics.significance import mcnemar, sign_flip

    if not pairs:
        return Tested(why="no common seed")
    if pairs[0][0]["fold"].rpartition("/")[0].endswith("fold"):
        return Tested(why=f"{len(pairs)} common folds")
    hits = _hits(pairs, answers, part)
    if isinstance(hits, Tested):
        return hits
    right, others, seeds = hits
    many = "s" * (len(seeds) > 1)
    sample = f"{right.shape[1]} images, seed{many} {_listed(seeds)}"
    lead = float(right.mean() - others.mean())
    if len(seeds) == 1:
        return Tested(MCNEMAR, sample, lead, mcnemar(right[0], others[0]).p_value)
    sums = (of.sum(axis=0, dtype=np.int64) for of in (right, others))
    return Tested(SIGN_FLIP, sample, lead, sign_flip(*sums))


def _hits(
    pairs: Pairs, answers: HitsOf, part: str
) -> tuple[np.ndarray, np.ndarray, list[Any]] | Tested:
    """Bool [seeds, images] of both rows, and the seeds; those of whom both runs kept answers."""
    index, seeds, hits = None, [], []
    for first, second in pairs:
        if first["fold"] != pairs[0][0]["fold"]:
            continue
        one, other = answers(first["run_id"], part), answers(second["run_id"], part)
        if one is None or other is None:
            continue
        index = one[0] if index is None else index
        if not (np.array_equal(one[0], index) and np.array_equal(other[0], index)):
            return Tested(why="other images")
        seeds.append(seeds_in_words(first))
        hits.append((one[1], other[1]))
    if not hits:
        return Tested(why="no kept predictions")
    right, others = (np.array([pair[k] for pair in hits]) for k in (0, 1))
    return right, others, seeds


def _over_seeds(
    hits: tuple[np.ndarray, np.ndarray, list[Any]], training: tuple[Training, Training]
) -> Tested:
    from tuning.statistics.over_seeds import difference

    right, others, seeds = hits
    made = difference(right, others, training)
    sample = f"{len(seeds)} seeds, {right.shape[1]} images"
    return Tested(SEEDS_AND_IMAGES, sample, made.mean, made.p_value, made.half_width)


def _over_folds(pairs: Pairs, sizes: Sizes) -> Tested:
    """Seeds of a fold share its images: one difference a fold."""
    by_fold: dict[str, list[float]] = {}
    for pair in pairs:
        by_fold.setdefault(pair[0]["fold"], []).append(_gap(pair))
    parts = [sizes.get(first["run_id"]) for first, _ in pairs]
    known = [part for part in parts if part and min(part) > 0]
    if len(known) < len(parts) and len(by_fold) >= FEWEST_PAIRS:
        return Tested(why="sizes of folds unknown")
    train, held = (fmean(part[k] for part in known) if known else 1.0 for k in (0, 1))
    return _over(pairs, "folds", [fmean(of) for of in by_fold.values()], CORRECTED, train, held)


def _over(
    pairs: Pairs,
    what: str,
    differences: Sequence[float],
    test: str,
    train: float | None = None,
    held: float = 1.0,
) -> Tested:
    """A t-test of differences; of folds, corrected for training parts that overlap."""
    from scipy import stats

    from tuning.statistics.significance import all_equal, corrected_resampled_t

    n = len(differences)
    if n < FEWEST_PAIRS:
        return Tested(why=f"{n} common {what}")
    if all_equal(differences):  # a t would be 0/0 or infinite
        return Tested(why=f"all {n} differences equal")
    if train is None:
        plain = stats.ttest_1samp(differences, 0.0)
        p, high = float(plain.pvalue), float(plain.confidence_interval().high)
    else:
        corrected = corrected_resampled_t(differences, train, held)
        p, high = corrected.p_value, corrected.interval.high
    mean = fmean(differences)
    error = (high - mean) / stats.t.isf(0.025, n - 1)

    def half_width(alpha: float) -> float:
        return error * float(stats.t.isf(alpha / 2, n - 1))

    return Tested(test, f"{n} {what}", mean, p, half_width)


def _gap(pair: tuple[Mapping[str, Any], Mapping[str, Any]]) -> float:
    return float(pair[0]["score"] - pair[1]["score"])


def _listed(seeds: Sequence[Any]) -> str:
    words = [str(seed) for seed in seeds]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
