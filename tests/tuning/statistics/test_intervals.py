"""Intervals over folds: by hand, against Algorithm 1 written out, and how often they cover."""

from __future__ import annotations

import math

import interval_coverage as simulation
import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import RidgeClassifier

from tuning.statistics.intervals import corrected, nested_cv, of_folds, plain_t, wilson
from tuning.statistics.significance import Interval

rng = np.random.default_rng


def ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


# --- by hand -----------------------------------------------------------------------------------


def test_corrected_interval_by_hand() -> None:
    # mean 0.85, s = 0.05, t(0.975, 2) = 4.3027; sqrt(1/3 + 1/2) = 0.91287: 4.3027 x 0.045644
    told = corrected([0.80, 0.85, 0.90], held=[10, 10, 10], trained=[20, 20, 20])
    assert ends(told) == pytest.approx((0.85 - 0.19639, 0.85 + 0.19639), abs=2e-5)
    assert told.method == "corrected resampled t"
    plain = plain_t([0.80, 0.85, 0.90])
    assert ends(plain) == pytest.approx((0.85 - 0.12421, 0.85 + 0.12421), abs=2e-5)


def test_wilson_of_a_published_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263 and 0 of 20, method 3
    assert ends(wilson(81 / 263, 263)) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert ends(wilson(0.0, 20)) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_folds_that_agree_are_no_certainty() -> None:
    sizes = {"held": [20] * 5, "trained": [80] * 5}
    perfect = of_folds([1.0] * 5, **sizes, images=100)
    assert perfect == wilson(1.0, 100)
    assert perfect.low == pytest.approx(0.963, abs=5e-4)
    assert perfect.method == "Wilson over images"
    spread = of_folds([0.8, 0.9, 0.95, 0.85, 1.0], **sizes, images=100)
    assert ends(spread) == (corrected([0.8, 0.9, 0.95, 0.85, 1.0], **sizes).low, 1.0)
    assert spread.method == "corrected resampled t"


def test_losses_have_no_bounds_and_no_share_of_images() -> None:
    told = of_folds([0.1, 2.1, 3.0], held=[9, 9, 9], trained=[18, 18, 18])
    assert told.low < 0
    assert ends(of_folds([0.5, 0.5, 0.5], held=[9, 9, 9], trained=[18, 18, 18])) == (0.5, 0.5)


PAIRS = [[0.2, 0.4], [0.1, 0.3], [0.3, 0.5]]
SINGLES = [0.2, 0.2, 0.4]


@pytest.mark.parametrize(
    ("size", "error"),
    [
        # inner 0.3, 0.2, 0.4, mean 0.3; a 0.01, 0, 0; b (0.16, 0.16, 0.24) / (n - 1)
        (11, math.sqrt(0.21 / 33)),  # the MSE is negative: SE
        (101, math.sqrt(2 / 3 * (0.01 / 3 - 0.56 / 300))),  # within its bounds
        (1001, math.sqrt(3 * 0.21 / 3003)),  # sqrt(K) SE
    ],
)
def test_nested_interval_by_hand(size: int, error: float) -> None:
    told = nested_cv(PAIRS, SINGLES, [size] * 3)
    # the bias is (1 + 1/3) (0.3 - 0.8/3)
    assert told.estimate == pytest.approx(0.3 - 4 / 3 * (0.3 - 0.8 / 3))
    assert told.error == pytest.approx(error)
    assert ends(told.interval) == pytest.approx(
        (told.estimate - 1.959964 * error, told.estimate + 1.959964 * error), abs=1e-6
    )
    accuracies = nested_cv(1 - np.array(PAIRS), 1 - np.array(SINGLES), [size] * 3)
    assert accuracies.estimate == pytest.approx(1 - told.estimate)
    assert accuracies.error == pytest.approx(told.error)


def test_nested_interval_is_algorithm_1_over_the_losses_of_images() -> None:
    draw, k = rng(3), 4
    sizes = [30, 31, 30, 29]
    lost = {
        (i, j): draw.random(sizes[j]) < 0.3 + 0.1 * draw.normal() * 0.2
        for i in range(k)
        for j in range(k)
    }  # of the images of j, by the fit without i and j

    a, b, everything = [], [], []
    for i in range(k):
        inner = np.concatenate([lost[i, j] for j in range(k) if j != i])
        a.append((inner.mean() - lost[i, i].mean()) ** 2)
        b.append(np.var(lost[i, i], ddof=1) / sizes[i])
        everything.append(inner.mean())
    error = math.sqrt(max(0.0, (k - 1) / k * (np.mean(a) - np.mean(b))))
    share = np.mean(everything)
    lowest = math.sqrt(share * (1 - share) / sum(sizes))

    pairs = [[lost[i, j].mean() for j in range(k) if j != i] for i in range(k)]
    singles = [lost[i, i].mean() for i in range(k)]
    told = nested_cv(pairs, singles, sizes)
    assert told.error == pytest.approx(min(max(error, lowest), 2 * lowest))
    by_image = nested_cv(pairs, singles, sizes, losses=[lost[i, i] for i in range(k)])
    assert by_image.estimate == pytest.approx(told.estimate)
    assert by_image.error == pytest.approx(told.error, rel=0.1)  # its SE is of the outer fits


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: of_folds([0.9], held=[10], trained=[90], images=10), "two finite numbers"),
        (lambda: of_folds([0.9, math.nan], held=[1, 1], trained=[1, 1]), "two finite numbers"),
        (lambda: of_folds([0.9, 0.8], held=[0, 10], trained=[10, 10]), "above 0"),
        (lambda: plain_t([0.9]), "two or more"),
        (lambda: wilson(1.2, 10), "within 0..1"),
        (lambda: nested_cv([[0.1], [0.1]], [0.1, 0.1], [9, 9]), "three folds"),
        (lambda: nested_cv([*PAIRS[:2], [0.1]], SINGLES, [9] * 3), "pairs of"),
        (lambda: nested_cv(PAIRS, [0.1, 0.2, 1.4], [9] * 3), "losses of each image"),
    ],
)
def test_what_has_no_interval_is_refused(make, says) -> None:
    with pytest.raises(ValueError, match=says):
        make()


# --- coverage ----------------------------------------------------------------------------------

RESAMPLES = 150
PROMISED = 0.95
LEAST = PROMISED - 2 * math.sqrt(PROMISED * (1 - PROMISED) / RESAMPLES)  # 91.4 %


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, int, int], list[simulation.Fits]]:
    kinds = [("linear", 150, 5), ("network", 150, 5)]
    return {kind: simulation.resamples(*kind, RESAMPLES) for kind in kinds}


@pytest.mark.parametrize("chooses", [False, True])
def test_the_interval_that_is_printed_covers_as_promised_on_real_digits(drawn, chooses) -> None:
    """True: errors on the digits that were not drawn. Promised: 95 %."""
    naive = []
    for fits in drawn.values():
        told, error = simulation.coverage(fits, chooses)
        assert 0.05 < error < 0.2
        assert min(told["printed"].average, told["printed"].this_one) >= LEAST
        assert told["printed"].width < 0.25
        naive += [told["Wilson"].this_one, told["t over folds"].this_one]
    assert np.mean(naive) < LEAST


def test_it_covers_where_the_truth_is_known_exactly() -> None:
    """Drawn scores: a truth of 0.9, noise of training that folds share by 1/k, noise of images."""
    k, images, truth, noise, draws = 5, 40, 0.9, 0.02, 1500
    draw = rng(1)
    shared, each = draw.normal(size=(draws, 1)), draw.normal(size=(draws, k))
    chance = truth + noise * (math.sqrt(1 / k) * shared + math.sqrt(1 - 1 / k) * each)
    scores = draw.binomial(images, np.clip(chance, 0, 1)) / images
    sizes = {"held": [images] * k, "trained": [(k - 1) * images] * k}
    covered = []
    for row in scores:
        told = of_folds(row, **sizes, images=k * images)
        covered.append(told.low <= truth <= told.high)
    assert np.mean(covered) >= PROMISED - 2 * math.sqrt(0.05 * 0.95 / draws)


def test_the_learner_of_the_simulation_is_scikit_learns() -> None:
    pixels, labels = simulation.digits()
    train, scored = np.arange(300), np.arange(300, 600)
    targets = np.eye(simulation.CLASSES)[labels] * 2 - 1
    weights = simulation.ridge(pixels[train], targets[train])
    for penalty, one in zip(simulation.PENALTIES, weights, strict=True):
        theirs = RidgeClassifier(alpha=penalty, fit_intercept=False)
        theirs.fit(pixels[train], labels[train])
        same = (pixels[scored] @ one).argmax(axis=1) == theirs.predict(pixels[scored])
        assert same.mean() > 0.995


def test_t_of_two_folds_is_as_wide_as_it_is() -> None:
    told = of_folds([0.90, 0.92], held=[50, 50], trained=[50, 50], images=100)
    assert told.high == 1.0
    assert told.low == pytest.approx(0.91 - stats.t.isf(0.025, 1) * 0.01 * math.sqrt(2 * 1.5))
