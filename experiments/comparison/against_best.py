"""Is the best row better than each other, or was it luck? One test a row, Holm over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal

import numpy as np

from experiments.comparison.grouping import Comparison
from experiments.errors import BadInput

Test = Literal["auto", "paired", "mcnemar", "none"]
TESTS: tuple[Test, ...] = ("auto", "paired", "mcnemar", "none")
ALPHA = 0.05
FEWEST_PAIRS = 3
"""Below this many common seeds or folds a t-test has next to no power, and is not made."""
NONE = (0.0, 0.0)
CORRECTED = "corrected resampled t over folds"
PAIRED_T = "paired t over seeds"
MCNEMAR = "McNemar"
SIGN_FLIP = "randomisation over images"

HitsOf = Callable[[str, str], "tuple[np.ndarray, np.ndarray] | None"]
"""Of a run id and a part (test, val): the images' index, int [images], and whether the label was
right, bool [images]; None where the run kept none."""
Sizes = Mapping[str, tuple[float, float]]
"""Of a run id: training images, and images that the score was measured on."""


def checked(test: str) -> Test:
    """The name of a test.

    Raises:
        BadInput: it is none.
    """
    for known in TESTS:
        if test == known:
            return known
    raise BadInput(f"--test {test}: expected one of {', '.join(TESTS)}")


def with_significance(
    comparison: Comparison, test: Test, sizes: Sizes, answers: HitsOf
) -> Comparison:
    """The comparison with `significance`, and with `vs_best p_value p_holm` in its rows.

    auto: over the folds or seeds that two rows share, where there are at least three; otherwise
    on the kept predictions of the same images, McNemar's test for one common seed and for several
    its like, `sign_flip` of the hits of all of them. Rows that allow neither are told why.
    """
    scored = [row for row in comparison.rows if row["top1_mean"] is not None]
    if test == "none" or not scored:
        return comparison
    best = max(scored, key=lambda row: row["top1_mean"])
    results: dict[int, dict[str, Any]] = {}
    for row in scored:
        if row is not best:
            results[id(row)] = _tested(best, row, test, sizes, answers, comparison)
    _adjust([result for result in results.values() if result["p_value"] is not None])
    rows = []
    for row in comparison.rows:
        result = results.get(id(row))
        numbers = {key: result[key] if result else None for key in ("p_value", "p_holm", "better")}
        text = "best" if row is best else result["text"] if result else ""
        rows.append({**row, "vs_best": text, **numbers, "tested_by": result and result["test"]})
    return replace(
        comparison, rows=rows, significance=_summary(best, list(results.values()), comparison)
    )


def _tested(
    best: Mapping[str, Any],
    row: Mapping[str, Any],
    test: Test,
    sizes: Sizes,
    answers: HitsOf,
    comparison: Comparison,
) -> dict[str, Any]:
    pairs = _pairs(best, row)
    if test == "auto":
        test = "paired" if len(pairs) >= FEWEST_PAIRS else "mcnemar"
    if best["source_fingerprint"] != row["source_fingerprint"]:
        return _untested("other data")
    if any(best[key] != row[key] for key in comparison.varying if key.startswith("validation.")):
        return _untested("other split")
    if any(sizes.get(a["run_id"], NONE)[1] != sizes.get(b["run_id"], NONE)[1] for a, b in pairs):
        return _untested("other split")  # folds of other searches may bear the same numbers
    if test == "paired":
        return _paired(pairs, sizes)
    return _over_images(pairs, answers, comparison.score.partition("_")[0])


def _pairs(
    best: Mapping[str, Any], row: Mapping[str, Any]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Values of the same seed and fold."""
    by_key = {(value["seed"], value["fold"]): value for value in row["values"]}
    keys = [(value["seed"], value["fold"]) for value in best["values"]]
    return [(v, by_key[key]) for v, key in zip(best["values"], keys, strict=True) if key in by_key]


def _paired(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], sizes: Sizes) -> dict[str, Any]:
    from scipy import stats

    from tuning.significance import all_equal, corrected_resampled_t

    n = len(pairs)
    folds = {first["fold"] for first, _ in pairs} - {""}
    seeds = {first["seed"] for first, _ in pairs}
    what = "folds" if folds else "seeds"
    if n < FEWEST_PAIRS:
        return _untested(f"{n} common {what}")
    differences = np.array([first["score"] - second["score"] for first, second in pairs])
    if folds and len(seeds) > 1:  # seeds of a fold share its images: one difference a fold
        by_fold: dict[str, list[float]] = {}
        for difference, (first, _) in zip(differences, pairs, strict=True):
            by_fold.setdefault(first["fold"], []).append(difference)
        differences = np.array([fmean(of_fold) for of_fold in by_fold.values()])
        if len(differences) < FEWEST_PAIRS:
            return _untested(f"{len(differences)} common folds")
    if all_equal(differences):  # a t would be 0/0 or infinite
        return _untested(f"all {len(differences)} differences equal")
    if folds:
        parts = [sizes.get(first["run_id"]) for first, _ in pairs]
        known = [part for part in parts if part and min(part) > 0]
        if len(known) < len(parts):
            return _untested("sizes of folds unknown")
        train, held = (fmean(part[k] for part in known) for k in (0, 1))
        p = corrected_resampled_t(differences, train, held).p_value
        return _result(p, CORRECTED, f"{len(differences)} folds", float(differences.mean()))
    p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return _result(p, PAIRED_T, f"{n} seeds", float(differences.mean()))


def _over_images(
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], answers: HitsOf, part: str
) -> dict[str, Any]:
    from tuning.significance import mcnemar, sign_flip

    if not pairs:
        return _untested("no common seed")
    fold = pairs[0][0]["fold"]
    if fold.rpartition("/")[0].endswith("fold"):
        return _untested(f"{len(pairs)} common folds")
    seeds, index, hits = [], None, []
    for first, second in pairs:
        if first["fold"] != fold:
            continue
        one, other = answers(first["run_id"], part), answers(second["run_id"], part)
        if one is None or other is None:
            continue
        index = one[0] if index is None else index
        if not (np.array_equal(one[0], index) and np.array_equal(other[0], index)):
            return _untested("other images")
        seeds.append(first["seed"])
        hits.append((one[1], other[1]))
    if not hits:
        return _untested("no kept predictions")
    n = len(hits[0][0])
    sample = f"{n} images, seed{'s' * (len(seeds) > 1)} {_listed(seeds)}{fold and f', {fold}'}"
    right, others = (np.sum([pair[k] for pair in hits], axis=0) for k in (0, 1))
    gain = float((right - others).sum()) / (n * len(hits))
    if len(hits) == 1:
        return _result(mcnemar(*hits[0]).p_value, MCNEMAR, sample, gain)
    return _result(sign_flip(right, others), SIGN_FLIP, sample, gain)


def _listed(seeds: Sequence[Any]) -> str:
    words = [str(seed) for seed in seeds]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _result(p: float, test: str, sample: str, gain: float) -> dict[str, Any]:
    """`_adjust` writes p_holm and text once all tests are made."""
    return {"p_value": p, "test": test, "sample": sample, "better": gain}


def _untested(why: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("p_value", "p_holm", "test", "sample", "better"))
    return nothing | {"text": f"not tested: {why}"}


def _adjust(results: Sequence[dict[str, Any]]) -> None:
    from tuning.significance import holm

    for result, p in zip(results, holm([result["p_value"] for result in results]), strict=True):
        result["p_holm"] = float(p)
        result["text"] = p_text(float(p)) + (" *" if p <= ALPHA else "")


def p_text(p: float) -> str:
    """p = 0.032, p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _summary(
    best: Mapping[str, Any], results: Sequence[Mapping[str, Any]], comparison: Comparison
) -> dict[str, Any]:
    done = [result for result in results if result["p_value"] is not None]
    tests = sorted({f"{result['test']} ({result['sample']})" for result in done})
    kinds = {result["test"] for result in done}
    notes = []
    if done:
        notes.append(
            f"vs best: {'; '.join(tests)}; two-sided p against {best['name']}, Holm over "
            f"{len(done)} test{'s' if len(done) > 1 else ''}, * at {ALPHA:g}"
        )
        notes.append("The best row was picked by these same scores: read p close to 0.05 as open")
    if PAIRED_T in kinds:
        notes.append(
            f"{PAIRED_T}: on one split, so of chance in training and not in the choice of images"
        )
    if MCNEMAR in kinds:
        notes.append(f"{MCNEMAR}: of these trained networks on these images, not of other seeds")
    if SIGN_FLIP in kinds:
        notes.append(
            f"{SIGN_FLIP}: McNemar's test for several seeds, each image's hits taken together; of "
            "these trained networks, not of other seeds"
        )
    untested = [
        result["text"].removeprefix("not tested: ") for result in results if not result["test"]
    ]
    if untested:
        counts = {why: untested.count(why) for why in dict.fromkeys(untested)}
        words = [f"{why} ({n} rows)" if n > 1 else why for why, n in counts.items()]
        notes.append(
            f"Not tested against {best['name']}: {', '.join(words)}; "
            f"a test needs {FEWEST_PAIRS} common seeds or folds, or kept predictions"
        )
    return {
        "best": best["name"],
        "score": comparison.score,
        "tests": sorted(kinds),
        "alpha": ALPHA,
        "correction": "Holm",
        "pairs": len(done),
        "notes": notes,
    }
