"""Tests and intervals against published worked examples, exact coverage and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tuning.statistics.significance import (
    accuracy_interval,
    corrected_resampled_t,
    difference_interval,
    holm,
    mcnemar,
    mcnemar_counts,
    mean_interval,
)

rng = np.random.default_rng


def with_t(n: int, t: float) -> np.ndarray:
    """n numbers whose plain t statistic is exactly t."""
    drawn = rng(0).normal(size=n)
    drawn = (drawn - drawn.mean()) / drawn.std(ddof=1)
    return drawn + t / np.sqrt(n)


def of_folds(k: int, runs: int, seed: int) -> np.ndarray:
    """Score differences of mean 0 over k folds, [runs, k]: what the folds share correlates them
    by 1/k = n_test / (n_test + n_train), Nadeau and Bengio's section 3."""
    draw = rng(seed)
    common, own = draw.normal(size=(runs, 1)), draw.normal(size=(runs, k))
    return np.sqrt(1 / k) * common + np.sqrt(1 - 1 / k) * own


# --- corrected resampled t ---------------------------------------------------------------------


def test_corrected_t_of_scikit_learns_published_example() -> None:
    # scikit-learn, "Statistical comparison of models using grid search": 10 x 10-fold on 100
    # images; uncorrected t 2.611 (p 0.005) becomes 0.750 (p 0.227), one-sided, 99 degrees
    found = corrected_resampled_t(with_t(100, 2.611), 90, 10, alternative="greater")

    assert found.degrees == 99
    assert round(found.statistic, 3) == 0.750
    assert round(found.p_value, 3) == 0.227


def test_corrected_t_by_hand() -> None:
    # mean 2, s^2 = 2.5, n = 5; 1/n + 1/4 = 0.45; t = 2 / sqrt(0.45 x 2.5) = 1.8856;
    # two-sided p with 4 degrees 0.1324; half width t(0.975, 4) = 2.7764 x 1.06066 = 2.9449
    found = corrected_resampled_t([0, 1, 2, 3, 4], train_size=80, test_size=20)

    assert found.mean == 2
    assert found.statistic == pytest.approx(1.8856, abs=5e-5)
    assert found.p_value == pytest.approx(0.1324, abs=5e-4)
    assert found.interval.low == pytest.approx(2 - 2.9449, abs=5e-4)
    assert found.interval.high == pytest.approx(2 + 2.9449, abs=5e-4)


def test_corrected_t_becomes_the_plain_t_as_the_test_part_vanishes() -> None:
    values = rng(1).normal(0.3, 1, 12)
    for alternative in ("two-sided", "greater", "less"):
        found = corrected_resampled_t(values, 1e9, 1, alternative=alternative)
        plain = stats.ttest_1samp(values, 0, alternative=alternative)
        bounds = plain.confidence_interval(0.95)
        assert found.statistic == pytest.approx(plain.statistic, rel=1e-6)
        assert found.p_value == pytest.approx(plain.pvalue, rel=1e-6)
        assert (found.interval.low, found.interval.high) == pytest.approx(tuple(bounds), rel=1e-6)


def test_sizes_of_unequal_folds_are_averaged() -> None:
    values = [0.1, 0.2, -0.05]
    unequal = corrected_resampled_t(values, [66, 67, 67], [34, 33, 33])
    assert unequal == corrected_resampled_t(values, 200 / 3, 100 / 3)


def test_corrected_t_keeps_its_level_where_the_plain_t_does_not() -> None:
    differences = of_folds(10, 1500, seed=2)

    corrected = [corrected_resampled_t(row, 90, 10).p_value < 0.05 for row in differences]
    plain = stats.ttest_1samp(differences, 0, axis=1).pvalue < 0.05

    assert np.mean(corrected) == pytest.approx(0.05, abs=0.02)
    assert np.mean(plain) > 0.13


def test_interval_covers_as_often_as_it_says() -> None:
    differences = 0.7 + of_folds(5, 800, seed=3)
    for confidence in (0.8, 0.95):
        intervals = [
            corrected_resampled_t(row, 80, 20, confidence=confidence).interval
            for row in differences
        ]
        covered = np.mean([i.low <= 0.7 <= i.high for i in intervals])
        assert covered == pytest.approx(confidence, abs=0.04)


def test_equal_models_do_not_differ() -> None:
    found = corrected_resampled_t([0.0, 0.0, 0.0], 2, 1)
    assert (found.p_value, found.mean) == (1.0, 0.0)
    rounded = corrected_resampled_t([0.3 - 0.1 - 0.2, 0.0, 0.2 + 0.1 - 0.3], 2, 1)
    assert rounded.p_value == 1.0


@pytest.mark.parametrize(
    ("values", "train", "test", "says"),
    [
        ([0.1], 80, 20, "two finite numbers"),
        ([0.1, np.nan], 80, 20, "two finite numbers"),
        ([0.1, 0.1, 0.1], 80, 20, "all 3 are 0.1"),
        ([0.3, 0.1 + 0.2, 0.3], 80, 20, "all 3 are 0.3"),
        ([0.1, 0.2], 80, 0, "above 0"),
        ([0.1, 0.2], [80, 0], 20, "above 0"),
    ],
)
def test_corrected_t_refuses(values, train, test, says) -> None:
    with pytest.raises(ValueError, match=says):
        corrected_resampled_t(values, train, test)


# --- McNemar -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("b", "c", "plain", "p_plain", "corrected", "p_corrected", "p_exact"),
    [
        # Bentur et al. (2009), airway hyper-responsiveness, in Fagerland et al. (2013), BMC
        # Medical Research Methodology 13:91: p 0.034, 0.077 and 0.070
        (1, 7, 4.5, 0.034, 3.125, 0.077, 0.070),
        # Wikipedia, McNemar's test, second example: chi-square 4.55 (p 0.033), with the
        # correction 3.68 (p 0.055)
        (6, 16, 4.55, 0.033, 3.68, 0.055, 0.052),
        # stat-tools.xyz/mcnemar: corrected 2.1176 (p 0.1456), exact p 0.1435
        (12, 5, 2.88, 0.0896, 2.1176, 0.1456, 0.1435),
        # a debate and its 75 viewers, studylib.net/doc/15930168: z = 6 / sqrt(20) = 1.34
        (7, 13, 1.34**2, 0.180, 1.25, 0.264, 0.263),
    ],
)
def test_mcnemar_of_published_examples(b, c, plain, p_plain, corrected, p_corrected, p_exact):
    without = mcnemar_counts(b, c, exact=False, correction=False)
    edwards = mcnemar_counts(b, c, exact=False)
    exact = mcnemar_counts(b, c)

    assert without.statistic == pytest.approx(plain, abs=5e-3)
    assert without.p_value == pytest.approx(p_plain, abs=5e-4)
    assert edwards.statistic == pytest.approx(corrected, abs=5e-3)
    assert edwards.p_value == pytest.approx(p_corrected, abs=6e-4)
    assert exact.method == "exact"
    assert exact.p_value == pytest.approx(p_exact, abs=6e-4)


def test_mcnemar_of_agrestis_approval_ratings() -> None:
    # Agresti (1990), p. 350, as in R's mcnemar.test: of 1,600 Britons 794 approve twice, 570
    # never, 150 only at first, 86 only at last. (86 - 150)^2 / (86 + 150) = 17.36;
    # R's corrected (64 - 1)^2 / 236 = 16.82, p = 4.1e-05
    first = np.repeat([True, True, False, False], [794, 150, 86, 570])
    second = np.repeat([True, False, True, False], [794, 150, 86, 570])

    found = mcnemar(first, second)

    assert (found.only_first, found.only_second) == (150, 86)
    assert found.method == "chi-square with continuity correction"
    assert round(found.statistic, 2) == 16.82
    assert found.p_value == pytest.approx(4.1e-5, rel=0.01)
    assert round(mcnemar_counts(150, 86, correction=False).statistic, 2) == 17.36
    # Wikipedia's first example: 121 and 59 of 314 patients
    assert mcnemar_counts(121, 59, correction=False).statistic == pytest.approx(21.35, abs=6e-3)


def test_mcnemar_is_exact_for_few_pairs_and_the_two_agree_for_many() -> None:
    assert mcnemar_counts(4, 20).method == "exact"
    assert mcnemar_counts(5, 20).method.startswith("chi-square")
    assert mcnemar_counts(0, 0).p_value == 1.0
    assert mcnemar_counts(30, 30).p_value == 1.0
    for b, c in ((300, 360), (1000, 1100)):
        exact, approximate = mcnemar_counts(b, c, exact=True), mcnemar_counts(b, c)
        assert approximate.p_value == pytest.approx(exact.p_value, rel=0.01)


def test_mcnemar_knows_no_order_and_only_discordant_images() -> None:
    first, second = rng(6).random((2, 400)) < [[0.8], [0.7]]
    found, mirrored = mcnemar(first, second), mcnemar(second, first)
    assert found.p_value == mirrored.p_value
    assert (found.only_first, found.only_second) == (mirrored.only_second, mirrored.only_first)
    differs = first != second
    assert mcnemar(first[differs], second[differs]) == found


def test_pairs_that_are_no_pairs_are_refused() -> None:
    right = np.ones(5, bool)
    for test in (mcnemar, difference_interval):
        with pytest.raises(ValueError, match="bool arrays of one length"):
            test(right, right[:4])
        with pytest.raises(ValueError, match="bool arrays of one length"):
            test(right.astype(int), right)
    with pytest.raises(ValueError, match="counts of pairs"):
        mcnemar_counts(-1, 3)


# --- bootstrap ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize(("hits", "images"), [(120, 150), (285, 300)])
def test_accuracy_interval_is_scipys_bootstrap_without_its_noise(method, hits, images) -> None:
    right = np.repeat([1.0, 0.0], [hits, images - hits])
    drawn = stats.bootstrap(
        (right,), np.mean, n_resamples=20_000, vectorized=True, method=method, rng=rng(7)
    ).confidence_interval

    found = accuracy_interval(hits, images, method=method)

    assert (found.low, found.high) == pytest.approx((drawn.low, drawn.high), abs=1.01 / images)


def test_percentile_interval_is_the_binomials_quantiles() -> None:
    for hits, images in ((38_000, 50_000), (77, 80), (1, 300)):
        found = accuracy_interval(hits, images, method="percentile")
        expected = stats.binom.ppf([0.025, 0.975], images, hits / images) / images
        assert [found.low, found.high] == pytest.approx(expected, abs=1e-12)


def test_ilsvrc_top1_is_known_to_four_tenths_of_a_point() -> None:
    found = accuracy_interval(38_000, 50_000)  # 76.0% of the validation images
    assert 0.76 - found.low == pytest.approx(1.96 * np.sqrt(0.76 * 0.24 / 50_000), rel=0.02)
    assert found.high - 0.76 == pytest.approx(1.96 * np.sqrt(0.76 * 0.24 / 50_000), rel=0.02)


@pytest.mark.parametrize("accuracy", [0.6, 0.9, 0.97])
def test_accuracy_interval_covers(accuracy) -> None:
    images = 300  # coverage summed over every possible number of hits, not simulated
    chance = stats.binom.pmf(np.arange(images + 1), images, accuracy)
    covered = 0.0
    for hits in range(images + 1):
        found = accuracy_interval(hits, images)
        covered += chance[hits] * (found.low <= accuracy <= found.high)
    assert 0.925 < covered < 0.975


def test_bca_leans_the_way_that_the_errors_do() -> None:
    bca, percentile = accuracy_interval(297, 300), accuracy_interval(297, 300, method="percentile")
    assert bca.low < percentile.low
    assert bca.high < percentile.high == 1.0


def test_without_an_error_the_interval_still_has_a_width() -> None:
    found = accuracy_interval(300, 300)
    assert found.method == "clopper-pearson"
    exact = stats.binomtest(300, 300).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    mirrored = accuracy_interval(0, 300)
    assert (mirrored.low, mirrored.high) == pytest.approx((0, 1 - exact.low))
    with pytest.raises(ValueError, match=r"hits within 0\.\.images"):
        accuracy_interval(301, 300)


def paired(plus: int, minus: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers of two models with so many discordant images."""
    first = np.repeat([True, False, True], [plus, minus, images - plus - minus])
    second = np.repeat([False, True, True], [plus, minus, images - plus - minus])
    return first, second


def test_the_ends_of_the_difference_are_those_that_tangos_test_refuses() -> None:
    for plus, minus, images in ((1, 0, 44), (12, 2, 50), (40, 25, 359), (9, 9, 100)):
        found = difference_interval(*paired(plus, minus, images))
        for end in (found.low, found.high):
            # the likelihood of the four cells under this difference, at its highest
            shares = np.linspace(max(0, -end), (1 - end) / 2, 200_001)[1:-1]
            likelihood = (
                plus * np.log(shares + end)
                + minus * np.log(shares)
                + (images - plus - minus) * np.log1p(-2 * shares - end)
            )
            share = shares[likelihood.argmax()]
            error = np.sqrt((2 * share + end - end**2) / images)
            z = ((plus - minus) / images - end) / error
            assert abs(z) == pytest.approx(1.96, abs=0.01)
        mirrored = difference_interval(*paired(minus, plus, images))
        assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high))


@pytest.mark.parametrize("images", [100, 200, 359])
def test_the_interval_of_a_difference_covers_where_few_images_are_discordant(images) -> None:
    """Exact: every pair of counts, weighed by its chance. A bootstrap covers 0.904 to 0.913."""
    largest = 30  # discordant images of a kind; more have no chance to speak of
    ends = {
        (plus, minus): difference_interval(*paired(plus, minus, images))
        for plus in range(largest)
        for minus in range(largest)
    }
    for discordant in (0.005, 0.01, 0.02, 0.03):
        for share in (0.5, 0.7, 0.9, 1.0):
            better, worse = discordant * share, discordant * (1 - share)
            counts = np.array([(*pair, images - sum(pair)) for pair in ends])
            chance = stats.multinomial.pmf(counts, images, (better, worse, 1 - better - worse))
            inside = [found.low <= better - worse <= found.high for found in ends.values()]
            assert chance.sum() == pytest.approx(1, abs=1e-6)
            # where only one is ever better, the one-sided counts step over the ends
            least = 0.93 if share == 1.0 else 0.94
            assert chance[inside].sum() > least, (discordant, share)


def test_pairing_narrows_the_difference_of_models_that_err_alike() -> None:
    first = np.repeat([True, False], [900, 100])
    alike = first.copy()
    alike[:10] = False
    unlike = rng(10).permutation(alike)

    close, far = difference_interval(first, alike), difference_interval(first, unlike)

    assert close.low > 0  # ten images lost, none won
    assert far.low < 0 < far.high
    assert close.high - close.low < (far.high - far.low) / 2


def test_models_that_never_differ_leave_room_for_what_was_not_seen() -> None:
    right = np.arange(100) % 3 > 0
    found = difference_interval(right, right)
    assert found.low == pytest.approx(-found.high)
    assert found.high == pytest.approx(1.96**2 / (100 + 1.96**2), abs=1e-4)
    always = difference_interval(np.ones(100, bool), np.zeros(100, bool))
    assert 0.9 < always.low < always.high == 1.0


def test_confidence_widens() -> None:
    widths = [
        i.high - i.low
        for i in (accuracy_interval(250, 300, confidence=c) for c in (0.5, 0.9, 0.99))
    ]
    assert widths == sorted(widths)
    assert len(set(widths)) == 3


# --- Holm --------------------------------------------------------------------------------------


def test_holm_of_published_examples() -> None:
    # pingouin.holm's documentation
    assert holm([0.50, 0.003, 0.32, 0.054, 0.0003]) == pytest.approx(
        [0.64, 0.012, 0.64, 0.162, 0.0015]
    )
    # @stdlib/stats/padjust's documentation
    assert holm([0.319, 0.201, 0.4, 0.374, 0.113]) == pytest.approx(
        [0.957, 0.804, 0.957, 0.957, 0.565]
    )


def test_holm_by_hand() -> None:
    # sorted 0.005 x4 = 0.02, 0.01 x3 = 0.03, 0.03 x2 = 0.06, 0.04 x1 = 0.04, raised to 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([0.03]) == pytest.approx([0.03])
    assert len(holm([])) == 0


def test_holm_rejects_what_the_step_down_rule_rejects() -> None:
    for seed in range(20):
        p = rng(seed).beta(0.3, 3, 8)
        adjusted, rejected = holm(p), np.zeros(8, bool)
        for rank, at in enumerate(np.argsort(p)):
            if p[at] > 0.05 / (8 - rank):
                break
            rejected[at] = True
        assert ((adjusted <= 0.05) == rejected).all()


def test_holm_holds_the_chance_of_any_false_rejection() -> None:
    p = rng(11).random((3000, 6))
    found = np.mean([(holm(row) <= 0.05).any() for row in p])
    assert found == pytest.approx(0.05, abs=0.02)
    assert (p <= 0.05).any(axis=1).mean() > 0.2


def test_holm_refuses_what_is_no_p_value() -> None:
    for bad in ([0.1, np.nan], [1.2], [-0.1]):
        with pytest.raises(ValueError, match=r"p-values within 0\.\.1"):
            holm(bad)


def test_the_mean_interval_is_the_others_where_values_are_theirs():
    hits, others = rng(5).uniform(size=80) < 0.7, rng(6).uniform(size=80) < 0.6
    expected = accuracy_interval(int(hits.sum()), 80)
    made = mean_interval(hits.astype(int), 0, 1)
    assert (made.low, made.high) == (expected.low, expected.high)
    expected = difference_interval(hits, others)
    made = mean_interval(hits.astype(int) - others, -1, 1)
    assert (made.low, made.high) == pytest.approx((expected.low, expected.high), abs=1.5 / 80)
    for value, low, high in ((0, 0, 40), (40, 0, 40), (3, -40, 40)):
        made = mean_interval(np.full(50, value), low, high)
        assert low <= made.low <= value <= made.high <= high
        assert made.low < made.high
    with pytest.raises(ValueError, match="whole numbers from 0 to 1"):
        mean_interval(np.array([0, 2]), 0, 1)


def test_the_interval_of_errors_on_many_versions_covers_the_truth():
    """Forty versions of an image, as hard as it is: two networks on the same images."""
    random, images, versions, draws = rng(11), 120, 40, 500
    covered = 0
    for _ in range(draws):
        hardness, of_second = random.beta(0.6, 0.9, (2, images))  # mean 0.4
        first = random.binomial(versions, hardness)
        second = random.binomial(versions, 0.6 * hardness + 0.3 * of_second + 0.06)  # mean 0.42
        interval = mean_interval(first - second, -versions, versions)
        covered += interval.low <= versions * (0.40 - 0.42) <= interval.high
        # of versions taken for images of their own it would be a fraction as wide
        alone = 2 * 1.96 * np.sqrt((first - second).var() / versions / images)
        assert interval.high - interval.low > 2 * alone
    assert covered / draws == pytest.approx(0.95, abs=0.025)  # 2.5 standard errors
