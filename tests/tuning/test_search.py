"""The search's state machine: what it hands out, whatever order the outcomes come in."""

from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest

from tuning.fold_race import Racing
from tuning.oracles.hyperband import Hyperband
from tuning.oracles.keras_oracles import Random
from tuning.oracles.oracle import WAIT, Grid, Manual, Proposal
from tuning.search import Search
from tuning.space import Choice, Int, Space
from tuning.trial import Fit


class Learner:
    """An oracle that learns: keeps what it was told, and waits where it is asked to."""

    independent = False

    def __init__(self, count, waits_after=None):
        self.count, self.waits_after = count, waits_after
        self.told = []
        self.asked = 0

    def ask(self):
        if self.asked == self.count:
            return None
        if self.waits_after is not None and self.asked - len(self.told) >= self.waits_after:
            return WAIT
        self.asked += 1
        return Proposal(self.asked - 1, {"x": (self.asked, len(self.told))})

    def tell(self, number, score):
        self.told.append((number, score))

    def announced(self):
        return self.count


def listed(count):
    return Manual([{"x": number} for number in range(count)])


def names(fits):
    return [(fit.trial, fit.fold) for fit in fits]


def run(search, score, shuffle=None):
    """Work a search off; `score(fit)` is a number, or text for a failure."""
    waiting = search.ready()
    order = []
    while waiting:
        at = shuffle.randrange(len(waiting)) if shuffle else 0
        fit = waiting.pop(at)
        if search.wants(fit):
            order.append((fit.trial, fit.fold))
            value = score(fit)
            if isinstance(value, str):
                search.tell(fit, "failed", error=value)
            else:
                search.tell(fit, "finished", value)
        waiting += search.ready()
    search.close()
    return order


def test_an_independent_oracle_gives_every_fit_at_once_trial_by_trial():
    search = Search(Grid(Space((Choice("a", (1, 2)), Choice("b", (3, 4))))), 3)
    fits = search.ready()
    assert names(fits) == list(itertools.product(range(4), range(3)))
    assert fits[3].settings == {"a": 1, "b": 4}
    assert search.ready() == []
    for fit in fits:
        search.tell(fit, "finished", fit.trial + fit.fold / 10, epochs=5)
    assert search.ready() == []
    assert search.done
    assert search.best.number == 3
    assert search.best.score == pytest.approx(3.1)
    assert search.best.std == pytest.approx(0.1)
    assert search.best.lengths == {0: 5, 1: 5, 2: 5}


def test_minimising_picks_the_lowest_and_equals_go_to_the_first():
    search = Search(listed(4), 1, minimise=True)
    run(search, lambda fit: [3.0, 1.0, 1.0, 2.0][fit.trial])
    assert search.best.number == 1
    assert [trial.number for trial in search.ranked()] == [1, 2, 3, 0]


def test_rounds_are_told_in_trial_order_whatever_the_timing():
    results = []
    for seed in range(6):
        oracle = Learner(7)
        search = Search(oracle, 2, parallel=3)
        run(search, lambda fit: float(fit.trial), random.Random(seed))
        results.append((oracle.told, [trial.settings for trial in search.trials]))
    assert all(result == results[0] for result in results)
    told, settings = results[0]
    assert told == [(number, float(number)) for number in range(7)]
    # what each of the seven was proposed after: rounds of three
    assert [s["x"][1] for s in settings] == [0, 0, 0, 3, 3, 3, 6]


def test_the_next_round_waits_for_the_whole_one_before():
    search = Search(Learner(4), 2, parallel=2)
    fits = search.ready()
    assert names(fits) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for fit in fits[:3]:
        search.tell(fit, "finished", 1.0)
        assert search.ready() == []
    search.tell(fits[3], "finished", 1.0)
    assert names(search.ready()) == [(2, 0), (2, 1), (3, 0), (3, 1)]


def test_an_oracle_that_waits_ends_the_round_early():
    oracle = Learner(5, waits_after=2)
    search = Search(oracle, 1, parallel=4)
    assert len(search.ready()) == 2
    assert run(Search(Learner(5, waits_after=2), 1, parallel=4), lambda fit: 1.0) == [
        (number, 0) for number in range(5)
    ]
    with pytest.raises(RuntimeError, match="waits although"):
        Search(Learner(5, waits_after=0), 1).ready()


def test_scores_are_told_so_that_higher_is_better():
    oracle = Learner(2)
    run(Search(oracle, 2, minimise=True), lambda fit: 1.0 + fit.trial + fit.fold)
    assert oracle.told == [(0, -1.5), (1, -2.5)]


def test_a_failed_fold_fails_its_trial_which_is_never_best():
    oracle = Learner(3)
    search = Search(oracle, 3, parallel=3)
    order = run(
        search, lambda fit: "out of memory" if names([fit]) == [(1, 1)] else 9.0 - fit.trial
    )
    assert (1, 2) not in order
    failed = search.trials[1]
    assert (failed.status, failed.error, failed.scores) == ("failed", "out of memory", [8.0])
    assert failed.score is None
    assert [trial.number for trial in search.ranked()] == [0, 2]
    assert oracle.told == [(0, 9.0), (1, None), (2, 7.0)]


@pytest.mark.parametrize("score", [math.nan, math.inf, None])
def test_a_score_that_is_no_number_is_a_failure(score):
    search = Search(listed(2), 1)
    first, second = search.ready()
    search.tell(first, "finished", score)
    search.tell(second, "finished", 0.5)
    assert search.trials[0].status == "failed"
    assert "not a number" in search.trials[0].error
    assert search.best.number == 1


def test_what_failed_first_does_not_depend_on_the_order():
    def score(fit):
        return f"fold {fit.fold}" if fit.trial == 1 and fit.fold in (1, 3) else 1.0

    seen = set()
    for seed in range(20):
        search = Search(listed(3), 5)
        run(search, score, random.Random(seed))
        seen.add(tuple((t.status, t.error, tuple(t.scores)) for t in search.trials))
    [(_, failed, _)] = seen
    assert failed == ("failed", "fold 1", (1.0,))


def test_failures_in_a_row_stop_the_search_and_are_named():
    search = Search(listed(9), 2, max_failures=3)
    bad = {1, 2, 4, 5, 6}
    order = run(search, lambda fit: f"no {fit.trial}" if fit.trial in bad else 0.5)
    assert search.stopped == "failures"
    assert [trial.number for trial in search.failed_in_a_row] == [4, 5, 6]
    assert [trial.error for trial in search.failed_in_a_row] == ["no 4", "no 5", "no 6"]
    assert max(order) == (6, 0)
    assert search.trials[8].status == "unfinished"
    assert search.ready() == []


def test_failures_in_a_row_are_in_trial_order_not_in_time():
    search = Search(listed(5), 1, max_failures=3)
    fits = search.ready()
    for fit in (fits[0], fits[2], fits[4]):
        search.tell(fit, "failed", error="no")
    assert search.stopped is None
    search.tell(fits[1], "failed", error="no")
    assert [trial.number for trial in search.failed_in_a_row] == [0, 1, 2]


def test_scattered_failures_do_not_stop_it():
    search = Search(listed(8), 1, max_failures=2)
    run(search, lambda fit: "no" if fit.trial % 2 else 0.5)
    assert search.stopped is None
    assert search.done
    assert len(search.ranked()) == 4


def test_a_budget_ends_it_and_only_complete_trials_count():
    search = Search(listed(4), 2)
    fits = search.ready()
    for fit in fits[:3]:
        search.tell(fit, "finished", 1.0 + fit.trial)
    search.stop("seconds")
    assert not any(search.wants(fit) for fit in fits)
    search.tell(fits[4], "finished", 99.0)  # was under way
    search.close()
    assert search.done
    assert [trial.status for trial in search.trials] == ["finished", *["unfinished"] * 3]
    assert search.best.number == 0


def test_telling_twice_or_of_an_unknown_fit_is_refused():
    search = Search(listed(2), 2)
    fit = search.ready()[0]
    search.tell(fit, "finished", 1.0)
    with pytest.raises(ValueError, match="trial 0, fold 0: not a fit that is under way"):
        search.tell(fit, "finished", 1.0)
    with pytest.raises(ValueError, match="trial 7"):
        search.tell(Fit(7, 0, {}), "finished", 1.0)


LEVELS = (0.9, 0.5, 0.88, 0.45)


def noisy(fit):
    return LEVELS[fit.trial] + 0.01 * ((fit.fold * 7 + fit.trial * 3) % 5)


def test_racing_gives_up_folds_of_what_cannot_win_and_keeps_the_winner():
    fair = Search(listed(4), 6)
    run(fair, noisy)
    raced = Search(listed(4), 6, racing=Racing(after_folds=3, alpha=0.05, ratio=0.2))
    order = run(raced, noisy)
    assert order[:8] == [(t, f) for f in (0, 1) for t in range(4)]  # fold by fold
    assert raced.best.number == fair.best.number == 0
    assert raced.best.score == fair.best.score
    assert [trial.status for trial in raced.trials] == [
        "finished",
        "gave_up",
        "finished",
        "gave_up",
    ]
    assert raced.trials[1].gave_up.folds == 3
    assert raced.trials[1].gave_up.leader == 0
    assert raced.trials[1].gave_up.p < 0.05
    assert raced.trials[1].score is None
    assert raced.saved == 6
    assert len(order) == 24 - 6


def test_racing_gives_up_the_same_where_less_is_better():
    raced = Search(listed(4), 6, racing=Racing(3, ratio=0.2), minimise=True)
    run(raced, lambda fit: -noisy(fit))
    assert [trial.status for trial in raced.trials] == [
        "finished",
        "gave_up",
        "finished",
        "gave_up",
    ]
    assert {trial.gave_up.leader for trial in raced.trials if trial.gave_up} == {0}
    assert raced.best.number == 0


def test_racing_decides_at_barriers_only():
    seen = set()
    for seed in range(10):
        search = Search(listed(4), 6, racing=Racing(3, ratio=0.2))
        order = run(search, noisy, random.Random(seed))
        seen.add((frozenset(order), tuple(trial.status for trial in search.trials)))
    assert len(seen) == 1


def test_racing_compares_with_the_winner_of_earlier_rounds():
    oracle = Learner(4)
    search = Search(oracle, 5, parallel=1, racing=Racing(2, ratio=0.25))
    order = run(search, noisy)
    assert search.trials[1].gave_up.leader == 0
    assert oracle.told[1][1] == pytest.approx(0.5 + 0.01 * (3 + 0 + 2) / 3)  # of its three folds
    assert search.best.number == 0
    assert search.saved == 20 - len(order) > 0


def test_a_margin_keeps_what_is_hardly_worse():
    def score(fit):
        return 0.9 - 0.001 * fit.trial + 0.0001 * (fit.fold * (1 + fit.trial) % 3)

    alone, beside = (
        Search(listed(2), 5, racing=Racing(2, ratio=0.25, margin=margin)) for margin in (0.0, 0.01)
    )
    run(alone, score)
    run(beside, score)
    assert (alone.saved > 0, beside.saved) == (True, 0)


def test_the_race_is_corrected_for_overlapping_training_parts():
    differences = [0.02, 0.01, 0.03]
    assert Racing(ratio=0.5).p(differences) > Racing(ratio=1e-9).p(differences)
    assert Racing().p([0.0, 0.0]) == 1.0
    assert Racing().p([-0.1, -0.1]) == 1.0


@pytest.mark.parametrize(
    "differences",
    [
        [0.1, 0.1],
        [0.1, 0.11],  # one degree of freedom
        [0.3],
        [0.1, 0.1, 0.1],
        [50 / 58 - 49 / 58, 44 / 58 - 43 / 58, 40 / 58 - 39 / 58],  # equal but for rounding
        [1e6 + 0.1, 1e6 + 0.1 + 2e-10, 1e6 + 0.1],
    ],
)
def test_a_race_tests_nothing_where_nothing_can_be_tested(differences):
    assert Racing().p(differences) == 1.0
    assert Racing().loses(differences) is None


@pytest.mark.parametrize("minimise", [False, True])
def test_races_of_any_size_end_and_nobody_gives_up_for_what_cannot_be_tested(minimise):
    """Searches as users have them: 2 to 10 folds, 20 to 5,000 images a fold, 2 to 30 candidates.
    Differences are held against their exact fractions."""
    gave_up = equal = 0
    for seed in range(250):
        draw = random.Random(seed)
        folds, images = draw.randint(2, 10), round(20 * 250 ** draw.random())
        candidates = draw.randint(2, 30)
        sizes = [images - draw.choice([0, 0, seed % 2]) for _ in range(folds)]  # odd: unequal ones
        spread = draw.choice([0, 1, 2, max(2, images // 20)])
        levels = [draw.choice([0.5, 0.9, draw.uniform(0.3, 1)]) for _ in range(candidates)]
        hits = {}

        def score(fit, draw=draw, sizes=sizes, levels=levels, spread=spread, hits=hits):
            size = sizes[fit.fold]
            right = round(size * levels[fit.trial]) + draw.randint(-spread, spread)
            hits[fit.trial, fit.fold] = Fraction(min(max(right, 0), size), size)
            fraction = float(hits[fit.trial, fit.fold])
            return 1 - fraction if minimise else fraction

        racing = Racing(draw.choice([1, 2, 3]), ratio=1 / max(1, folds - 1))
        search = Search(listed(candidates), folds, racing=racing, minimise=minimise)
        run(search, score)
        assert search.done
        assert search.best is not None
        for trial in search.trials:
            if trial.gave_up:
                at = trial.gave_up
                exact = {
                    hits[at.leader, fold] - hits[trial.number, fold] for fold in range(at.folds)
                }
                assert at.folds >= 3
                assert len(exact) > 1
                assert 0 < at.p < racing.alpha
                gave_up += 1
            elif folds > 3:
                exact = {
                    hits[search.best.number, fold] - hits[trial.number, fold] for fold in range(3)
                }
                equal += len(exact) == 1
    assert min(gave_up, equal) > 50  # both kinds were there


def over(settings):
    return {"x": 1.0} if settings["x"] % 2 else None


def test_refused_candidates_are_listed_and_others_take_their_place():
    grid = Search(listed(6), 2, refuses=over)
    assert run(grid, lambda fit: 1.0) == [(t, fold) for t in (0, 2, 4) for fold in (0, 1)]
    assert [trial.status for trial in grid.trials] == ["finished", "refused"] * 3
    assert [trial.refused for trial in grid.trials[:2]] == [None, {"x": 1.0}]
    assert [trial.number for trial in grid.settled] == [1, 3, 5, 0, 2, 4]  # known before they run
    assert len(grid.ranked()) == 3
    drawn = Search(Random(Space((Int("x", 1, 1000),)), 1, 5), 1, refuses=over)
    run(drawn, lambda fit: 1.0)
    assert sum(trial.status == "finished" for trial in drawn.trials) == 5
    assert all(trial.status == "refused" for trial in drawn.trials if trial.settings["x"] % 2)


def test_refused_candidates_are_no_failures_and_hide_none():
    """Of 0 to 9 the odd ones are refused; two failures in a row are those of 2 and 4."""
    search = Search(listed(10), 1, max_failures=2, refuses=over)
    order = run(search, lambda fit: "no" if fit.trial in (2, 4) else 1.0)
    assert [trial.number for trial in search.failed_in_a_row] == [2, 4]
    assert order == [(0, 0), (2, 0), (4, 0)]
    patient = Search(listed(10), 1, max_failures=2, refuses=over)
    run(patient, lambda fit: "no" if fit.trial in (2, 6) else 1.0)
    assert not patient.failed_in_a_row


def test_nothing_but_refused_candidates_is_the_end():
    search = Search(listed(3), 1, refuses=lambda settings: {"x": 1.0})
    assert search.ready() == []
    assert search.done
    assert search.best is None


def test_the_best_is_one_of_those_that_were_trained_longest():
    search = Search(Hyperband(Space((Int("x", 1, 1000),)), 1, max_epochs=9), 1)
    # shorter ones score more
    run(search, lambda fit: 100 / fit.epochs + fit.settings["x"] / 1000)
    assert search.best.epochs == 9
    ranked = [(trial.epochs, trial.score) for trial in search.ranked()]
    assert ranked == sorted(ranked, reverse=True)
    longer = [trial for trial in search.trials if trial.earlier is not None]
    assert {trial.first for trial in longer} <= {
        trial.number for trial in search.trials if trial.earlier is None and trial.goes_on
    }
    top = search.trials[9 + 3]  # of the first bracket
    row = search.trials[top.earlier]
    assert (row.epochs, top.epochs) == (3, 9)
    assert row.first == top.first
    assert row.settings == top.settings == search.trials[top.first].settings
