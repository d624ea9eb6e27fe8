"""The interval of a row over folds: seeds of a fold are one score, a repeat brings no images."""

from __future__ import annotations

import numpy as np
import pytest
from fake_store import row

from experiments.comparison.fold_intervals import notes, with_intervals
from experiments.comparison.grouping import Comparison
from tuning.statistics.intervals import of_folds, wilson

SCORES = [0.90, 0.95, 0.85, 0.92, 0.88]


def compared(folds: list[str], scores: list[float], held: float = 40.0) -> Comparison:
    values = [
        {"run_id": str(at), "seed": at, "fold": fold, "score": score}
        for at, (fold, score) in enumerate(zip(folds, scores, strict=True))
    ]
    made = row("nin", 1e6, 1e4, float(np.mean(scores)), 0.01) | {"values": values}
    found = Comparison(["history"], "test_top1", [made], [])
    return with_intervals(found, {str(at): (4 * held, held) for at in range(len(folds))})


def ends(comparison: Comparison) -> list[float]:
    [told] = comparison.rows
    return [told["interval_low"], told["interval_high"]]


def test_seeds_of_a_fold_are_one_score() -> None:
    folds = [f"fold/{i}" for i in range(5)]
    told = of_folds(SCORES, held=[40] * 5, trained=[160] * 5, images=200)
    alone = compared(folds, SCORES)
    assert ends(alone) == pytest.approx([told.low, told.high])
    twice = compared(folds * 2, [s - 0.01 for s in SCORES] + [s + 0.01 for s in SCORES])
    assert ends(twice) == pytest.approx(ends(alone))
    assert notes(alone) == [
        "95 % interval for new images (corrected resampled t): "
        f"nin {100 * told.low:.2f} to {100 * told.high:.2f} %",
        "A ± over folds is their standard deviation, no interval",
    ]


def test_a_repeat_has_the_same_images_again() -> None:
    folds = [f"repeat/{repeat}/fold/{i}" for repeat in range(4) for i in range(5)]
    told = wilson(0.9, 200)
    assert ends(compared(folds, [0.9] * 20)) == pytest.approx([told.low, told.high])


def test_no_interval_without_folds_or_their_sizes() -> None:
    assert ends(compared(["", ""], [0.9, 0.8])) == [None, None]
    assert ends(compared(["fold/0"], [0.9])) == [None, None]
    assert ends(compared(["fold/0", "fold/1"], [0.9, 0.8], held=0)) == [None, None]
    assert notes(compared(["", ""], [0.9, 0.8])) == []
