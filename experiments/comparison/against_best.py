"""Is the best row better than each other, or was it luck? Every pair of rows is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from experiments.comparison import pair_tests
from experiments.comparison.grouping import Comparison
from experiments.comparison.pair_tests import (
    FEWEST_PAIRS,
    ONE_SEED,
    PAIRED_T,
    SEEDS_AND_IMAGES,
    HitsOf,
    Sizes,
    Test,
    Tested,
)
from experiments.errors import BadInput
from experiments.presentation.columns import Row
from experiments.presentation.formatting import percent

TESTS: tuple[Test, ...] = ("auto", "paired", "mcnemar", "none")
ALPHA = 0.05


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
    comparison: Comparison,
    test: Test,
    sizes: Sizes,
    answers: HitsOf,
    margin: float | None = None,
) -> Comparison:
    """The comparison with `significance`, and with what follows in its rows.

    Of settings (`pair_tests.of_settings`): vs_best p_value p_holm tested_by, `difference`, the
    row's score minus the best row's over what they share, `difference_interval`, [low, high], and
    `verdict`: best, worse, equivalent, undecided, None where nothing was tested. Every pair of rows
    is tested and Holm's correction is over all of them, so that it holds whichever row came out
    best: the best is picked by these same scores. The intervals hold together, each at ALPHA
    divided by the number of pairs. Rows with one common seed allow no such test.

    Of the trained networks (`pair_tests.of_networks`), where rows share one seed, or with mcnemar:
    networks_p_value networks_p_holm networks_tested_by, against the best alone.

    Args:
        test: auto, paired (over seeds), mcnemar (networks alone) or none.
        margin: so far apart, as a fraction, rows are equivalent; None: no row is called that.
    """
    scored = [row for row in comparison.rows if row["top1_mean"] is not None]
    if test == "none" or not scored:
        return replace(comparison, rows=[{**row, **_BLANK} for row in comparison.rows])
    best = max(scored, key=lambda row: row["top1_mean"])
    others = [row for row in scored if row is not best]
    part = comparison.score.partition("_")[0]
    settings: dict[tuple[int, int], Tested] = {}
    if test != "mcnemar":
        settings = _of_settings(comparison, [best, *others], test == "paired", sizes, answers, part)
    known = [one for one in settings.values() if one.p_value is not None]
    adjusted = _adjusted(known)
    networks = {
        id(row): _of_networks(best, row, comparison, sizes, answers, part)
        for row in others
        if test == "mcnemar" or _between(settings, best, row).why == ONE_SEED
    }
    of_networks = _adjusted([one for one in networks.values() if one.p_value is not None])
    rows = []
    for row in comparison.rows:
        more = dict(_BLANK)
        if row is best:
            more |= {"vs_best": "best", "verdict": "best"}
        elif row in others:
            one = _between(settings, best, row)
            more |= _numbers(one, adjusted.get(id(one)), len(known), margin)
            if (network := networks.get(id(row))) and network.p_value is not None:
                more["networks_p_value"] = network.p_value
                more["networks_p_holm"] = of_networks[id(network)]
                more["networks_tested_by"] = network.test
        rows.append({**row, **more})
    results = [_between(settings, best, row) for row in others] if settings else []
    summary = _summary(best, results, list(networks.values()), len(known), comparison, margin)
    chosen = _chosen_by_validation(scored) if part == "test" else None
    summary["validation_chose"] = chosen and chosen["name"]
    if chosen:
        summary["notes"].append(
            f"validation chose {chosen['name']}, whose test top-1 is "
            f"{percent(chosen, 'top1_mean')} %; of that choice the test images knew nothing"
        )
    return replace(comparison, rows=rows, significance=summary)


def _chosen_by_validation(rows: Sequence[Row]) -> Row | None:
    """The row of the best validation score; None where a row has none, or there is one row."""
    if len(rows) < 2 or any(row.get("val_top1") is None for row in rows):
        return None
    return max(rows, key=lambda row: row["val_top1"])


def _of_settings(
    comparison: Comparison,
    rows: Sequence[Mapping[str, Any]],
    paired: bool,
    sizes: Sizes,
    answers: HitsOf,
    part: str,
) -> dict[tuple[int, int], Tested]:
    """Of every pair of rows, by their ids in the order of the rows."""
    from tuning.statistics.over_seeds import training_variances

    scores: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        of_split = [value["score"] for value in row["values"] if not value["fold"]]
        scores.setdefault(row["source_fingerprint"], {})[id(row)] = of_split
    training = {row: of for data in scores.values() for row, of in training_variances(data).items()}
    tests = {}
    for first, second in combinations(rows, 2):
        why = pair_tests.apart(first, second, comparison.varying, sizes)
        tests[id(first), id(second)] = (
            Tested(why=why)
            if why
            else pair_tests.of_settings(
                pair_tests.common(first, second),
                (training.get(id(first)), training.get(id(second))),
                sizes,
                answers,
                part,
                paired=paired,
            )
        )
    return tests


def _between(
    tests: Mapping[tuple[int, int], Tested], best: Mapping[str, Any], row: Mapping[str, Any]
) -> Tested:
    return tests.get((id(best), id(row)), Tested())


def _of_networks(
    best: Mapping[str, Any],
    row: Mapping[str, Any],
    comparison: Comparison,
    sizes: Sizes,
    answers: HitsOf,
    part: str,
) -> Tested:
    if why := pair_tests.apart(best, row, comparison.varying, sizes):
        return Tested(why=why)
    return pair_tests.of_networks(pair_tests.common(best, row), answers, part)


def _adjusted(tests: Sequence[Tested]) -> dict[int, float]:
    """Holm's p of each test, by its id."""
    from tuning.statistics.significance import holm

    p_values = [one.p_value for one in tests if one.p_value is not None]
    return dict(zip(map(id, tests), map(float, holm(p_values)), strict=True))


_BLANK = {"vs_best": ""} | dict.fromkeys(
    ("p_value", "p_holm", "tested_by", "verdict", "difference", "difference_interval",
     "networks_p_value", "networks_p_holm", "networks_tested_by")
)  # fmt: skip
"""Keys of a row of which nothing is known."""


def _numbers(one: Tested, p_holm: float | None, tests: int, margin: float | None) -> dict[str, Any]:
    if one.p_value is None or one.half_width is None or p_holm is None:
        text = one.why if one.why == ONE_SEED else f"not tested: {one.why}" if one.why else ""
        return {"vs_best": text}
    reach, worse = one.half_width(ALPHA / tests), p_holm <= ALPHA
    low, high = max(-1.0, -one.lead - reach), min(1.0, -one.lead + reach)
    within = margin is not None and -margin < low and high < margin
    return {
        "vs_best": p_text(p_holm) + (" *" if worse else ""),
        "p_value": one.p_value,
        "p_holm": p_holm,
        "tested_by": one.test,
        "verdict": "equivalent" if within else "worse" if worse else "undecided",
        "difference": -one.lead,
        "difference_interval": [low, high],
    }


def difference_text(row: Mapping[str, Any]) -> str:
    """-3.1 (-5.2 to -1.0): points of accuracy that a row is from the best; empty if not tested."""
    if row.get("difference") is None:
        return ""
    points = (f"{100 * value:z.1f}" for value in (row["difference"], *row["difference_interval"]))
    return "{} ({} to {})".format(*points)


def against_best_text(row: Mapping[str, Any]) -> str:
    """p = 0.012 *, -3.1 points (-5.2 to -1.0), worse: for who points at a mark."""
    difference, points, interval = difference_text(row).partition(" (")
    if not difference:
        return str(row.get("vs_best") or "")
    return f"{row['vs_best']}, {difference} points{points}{interval}, {row['verdict']}"


def p_text(p: float) -> str:
    """p = 0.032, p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _summary(
    best: Mapping[str, Any],
    settings: Sequence[Tested],
    networks: Sequence[Tested],
    tests: int,
    comparison: Comparison,
    margin: float | None,
) -> dict[str, Any]:
    done = [one for one in settings if one.p_value is not None]
    kinds = {str(one.test) for one in done}
    notes = []
    if done:
        made = "; ".join(sorted({f"{one.test} ({one.sample})" for one in done}))
        notes.append(
            f"vs best: {made}; two-sided p against {best['name']}, * at {ALPHA:g}; Holm over the "
            f"{tests} pair{'s' * (tests > 1)} of rows, so that it holds whichever came out best"
        )
        notes.append(
            "difference to best: points of accuracy, with intervals that hold together with "
            f"{1 - ALPHA:.0%}; Holm's p, in steps, may star a row whose interval just reaches 0"
        )
    if SEEDS_AND_IMAGES in kinds:
        notes.append(f"{SEEDS_AND_IMAGES}: of the settings, with other seeds and on other images")
    if PAIRED_T in kinds:
        notes.append(
            f"{PAIRED_T}: on one split, so of chance in training and not in the choice of images"
        )
    if margin is not None:
        notes.append(
            f"equivalent: the whole interval within {100 * margin:g} points of the best; worse: by "
            "the star; undecided: neither"
        )
    trained = [one for one in networks if one.p_value is not None]
    if trained:
        made = "; ".join(sorted({f"{one.test} ({one.sample})" for one in trained}))
        notes.append(
            f"these networks: {made}, Holm over {len(trained)}; of these trained networks on these "
            "images, not of other seeds"
        )
    if any(one.why == ONE_SEED for one in settings):
        notes.append(
            "1 seed: says nothing of other seeds; whether the setting is better takes two or more, "
            "as with sweep: {seed: [1, 2, 3]}"
        )
    notes += _untested(best, [*settings, *networks])
    return {
        "best": best["name"],
        "score": comparison.score,
        "tests": sorted(kinds | {str(one.test) for one in trained}),
        "alpha": ALPHA,
        "margin": margin,
        "correction": "Holm",
        "pairs": len(done),
        "pairs_of_rows": tests,
        "notes": notes,
    }


def _untested(best: Mapping[str, Any], results: Sequence[Tested]) -> list[str]:
    reasons = [one.why for one in results if one.why and one.why != ONE_SEED]
    if not reasons:
        return []
    counts = {why: reasons.count(why) for why in dict.fromkeys(reasons)}
    words = [f"{why} ({n} rows)" if n > 1 else why for why, n in counts.items()]
    return [
        f"Not tested against {best['name']}: {', '.join(words)}; a test needs two common seeds "
        f"with kept predictions, or {FEWEST_PAIRS} common seeds or folds"
    ]
