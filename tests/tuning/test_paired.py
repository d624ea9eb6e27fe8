"""Differences of candidates on the same images: their variance, the noise of training, p."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tuning.paired import Residual, of_hits, of_scores, p_no_better, residual

ALL = np.ones


def left(variance, of_images, degrees):
    return Residual(np.array(float(variance)), np.array(float(of_images)), np.array(degrees))


def drawn(rng, candidates, sizes, accuracy=0.8):
    return [[rng.random(size) < accuracy for size in sizes] for _ in range(candidates)]


@pytest.mark.parametrize("degrees", [1, 2, 9, 27, 2000])
def test_without_images_it_is_the_t_test_of_a_table_of_candidates_by_folds(degrees):
    for t in (0.5, 3.0, 6.0):
        p = p_no_better(t, 0.0, left(0.5, 0.0, degrees), 1, ratio=0.0)  # 2 (1/1 + 0) x 0.5 = 1
        assert p == pytest.approx(stats.t.sf(t, degrees), rel=1e-6)


def test_where_images_explain_what_is_left_it_is_near_the_test_of_paired_answers():
    p = p_no_better(4.0, 1.0, left(0.5, 1.0, 2000), 1, ratio=0.25)
    assert p == pytest.approx(stats.norm.sf(4.0), rel=0.1)
    few = p_no_better(4.0, 1.0, left(0.5, 1.0, 2), 1, ratio=0.25)
    assert few > 100 * p  # two degrees cannot rule out that training is noisy


@pytest.mark.parametrize("images", [58, 300, 10_000])
def test_equal_differences_are_never_certain(images):
    """The race on fold means once gave p([1/300, 1/300]) = 0.0."""
    first = [np.arange(images) < images // 2 + 1] * 2
    second = [np.arange(images) < images // 2] * 2
    answers = of_hits([first, second], [np.arange(images), np.arange(images, 2 * images)])
    lead = answers.scores.mean(1)[0] - answers.scores.mean(1)[1]
    assert lead == pytest.approx(1 / images)
    both = residual(answers, ALL(2, bool))
    assert p_no_better(lead, answers.of_mean[0, 1], both, 2, ratio=0.5) > 0.05
    # Without the images there is nothing to hold equal differences against.
    alone = of_scores([[0.8, 0.7], [0.7, 0.6]])
    assert p_no_better(0.1, 0.0, residual(alone, ALL(2, bool)), 2, ratio=0.5) == 1.0


def test_one_fold_tells_nothing_of_training_unless_its_noise_is_known():
    one = left(0.0, 0.001, 0)
    assert p_no_better(0.05, 1e-6, one, 1, ratio=0.25) == 1.0
    known = p_no_better(0.05, 1e-6, one, 1, ratio=0.25, noise=0.02)
    assert known == pytest.approx(stats.norm.sf(0.05 / np.sqrt(1e-6 + 2.5 * 0.02**2)))


def test_overlapping_training_parts_count_for_training_not_for_images():
    noisy, still = left(1e-4, 0.0, 18), left(1e-4, 1e-4, 100_000)
    assert p_no_better(0.02, 1e-5, noisy, 3, ratio=0.5) > 3 * p_no_better(
        0.02, 1e-5, noisy, 3, ratio=0.0
    )
    assert p_no_better(0.01, 1e-5, still, 3, ratio=0.5) == pytest.approx(
        p_no_better(0.01, 1e-5, still, 3, ratio=0.0), rel=0.25
    )


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
def test_a_known_noise_is_the_least_that_is_reckoned_with(noise):
    shown = left(2.0, 1.0, 9)
    ps = [p_no_better(3.0, 1.0, shown, 2, ratio=0.2, noise=n) for n in (None, noise, noise + 1)]
    assert ps[0] <= ps[1] < ps[2]


def test_variances_by_images_are_those_of_the_differences_image_by_image():
    rng = np.random.default_rng(0)
    sizes = [40, 50, 30]
    hits = drawn(rng, 3, sizes)
    answers = of_hits(hits, [np.arange(40), np.arange(40, 90), np.arange(90, 120)])
    for one, other in [(0, 1), (2, 0), (1, 2)]:
        apart = [a.astype(float) - b for a, b in zip(hits[one], hits[other], strict=True)]
        of_fold = np.mean([d.var(ddof=1) / len(d) for d in apart])
        assert answers.of_fold[one, other] == pytest.approx(of_fold)
        of_mean = sum((d**2).sum() / len(d) ** 2 for d in apart) / 9
        assert answers.of_mean[one, other] == pytest.approx(of_mean)
    assert answers.again == 0.0
    assert answers.scores[1, 2] == hits[1][2].mean()
    with pytest.raises(ValueError, match=r"hits: expected \[40, 50\]"):
        of_hits([[hit[0], hit[1][:-1]] for hit in hits], [np.arange(40), np.arange(40, 90)])


def test_images_that_are_asked_again_count_once():
    rng = np.random.default_rng(1)
    images = [np.arange(0, 60), np.arange(60, 120)]
    shuffled = rng.permutation(120)
    again = [np.sort(shuffled[:60]), np.sort(shuffled[60:])]
    right = rng.random((2, 120)) < 0.8
    once = of_hits([[row[fold] for fold in images] for row in right], images)
    twice = of_hits([[row[fold] for fold in images + again] for row in right], images + again)
    assert twice.of_mean[0, 1] == pytest.approx(once.of_mean[0, 1])  # equal answers add nothing
    assert twice.again == pytest.approx(4 * 0.5 / 6, rel=0.2)
    other = rng.random((2, 120)) < 0.8
    folds = [[row[fold] for fold in images] for row in right]
    more = [[*of, *(row[fold] for fold in again)] for of, row in zip(folds, other, strict=True)]
    weighed = 0.0
    for image in range(120):
        seen = [right[0][image] * 1.0 - right[1][image], other[0][image] * 1.0 - other[1][image]]
        weighed += (sum(seen) / (4 * 60)) ** 2
    assert of_hits(more, images + again).of_mean[0, 1] == pytest.approx(weighed)


def test_the_noise_of_training_is_what_images_do_not_explain():
    """Known truth: training scatters by 2 points, images by sqrt(0.8 x 0.2 / 400) of each."""
    rng = np.random.default_rng(2)
    images = [np.arange(fold * 400, (fold + 1) * 400) for fold in range(3)]
    estimates = []
    for _ in range(400):
        accuracy = 0.8 + 0.02 * rng.standard_normal((6, 3))
        hits = [[rng.random(400) < share for share in row] for row in accuracy]
        shown = residual(of_hits(hits, images), ALL(6, bool))
        assert shown.degrees == 10
        assert shown.of_images == pytest.approx(0.16 / 400, rel=0.25)
        estimates.append(shown.variance - shown.of_images)
    assert np.mean(estimates) == pytest.approx(0.02**2, abs=3 * np.std(estimates) / 20)


def test_only_those_that_count_tell_the_noise():
    scores = [[0.9, 0.8, 0.85], [0.9, 0.8, 0.85], [0.1, 0.9, 0.2]]
    few = residual(of_scores(scores), np.array([True, True, False]))
    assert few.variance == pytest.approx(0.0)
    assert few.degrees == 2
    assert residual(of_scores(scores), ALL(3, bool)).variance > 0.01
