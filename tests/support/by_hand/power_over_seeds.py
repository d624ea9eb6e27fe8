"""Power of the test over seeds and images, beside the paired t over seeds, by simulation.

    python tests/support/by_hand/power_over_seeds.py 0.01 100    # lead, as a fraction; draws a cell

prints a Markdown table for tuning/statistics/README.md: the share of draws in which two settings,
one of which is truly better by the lead, are found different at 5 %.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy import stats

from tuning.statistics.over_seeds import difference, training_variances

ALPHA = 0.05
SEEDS = (2, 3, 5, 10)
IMAGES = (359, 2000, 10_000, 50_000)
NOISES = (0.0, 0.003, 0.006, 0.01)


def answers(draw, rows, seeds, images, noise, lead=0.0, accuracy=0.9):
    """Bool [rows, seeds, images] of rows that are equal but for the first's lead.

    Images are as hard as they are for every row, so that answers are paired; a training shifts the
    accuracy by a normal draw of standard deviation `noise`, one for all rows or one a row.
    """
    hard = draw.beta(2 * accuracy, 2 * (1 - accuracy), images)
    shift = np.reshape(noise, (-1, 1)) * draw.normal(size=(rows, seeds))
    shift[0] += lead
    # a shift spares the images that are always right or always wrong
    slope = hard * (1 - hard) / (hard * (1 - hard)).mean()
    chance = hard.astype(np.float32) + shift[..., None].astype(np.float32) * slope.astype(
        np.float32
    )
    return draw.random((rows, seeds, images), dtype=np.float32) < chance


def power(draw, seeds, images, noise, lead, repeats):
    """Of our test, and of the paired t over seeds on these images."""
    ours = paired = 0
    for _ in range(repeats):
        first, second = answers(draw, 2, seeds, images, noise, lead)
        scores = first.mean(axis=1), second.mean(axis=1)
        known = training_variances(dict(enumerate(scores)))
        ours += difference(first, second, (known[0], known[1])).p_value <= ALPHA
        gaps = scores[0] - scores[1]
        if gaps.std() > 0:
            paired += stats.ttest_1samp(gaps, 0.0).pvalue <= ALPHA
    return ours / repeats, paired / repeats


def main(lead=0.01, repeats=100):
    draw = np.random.default_rng(1)
    words = " | ".join(f"noise {100 * noise:g}" for noise in NOISES)
    print(f"| seeds | images | {words} |\n|--:|--:|{'--:|' * len(NOISES)}")
    for seeds in SEEDS:
        for images in IMAGES:
            cells = [power(draw, seeds, images, noise, lead, repeats) for noise in NOISES]
            text = " | ".join(f"{100 * ours:.0f}, {100 * other:.0f}" for ours, other in cells)
            print(f"| {seeds} | {images} | {text} |", flush=True)


if __name__ == "__main__":
    main(*(kind(word) for kind, word in zip((float, int), sys.argv[1:], strict=False)))
