"""Importance of parameters where it is known what has an effect: as Optuna measures it, and how
often chance looks like it. Truth of the draws: `importance_by_chance`."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from importance_by_chance import IDLE, SPACE, best, by_chance, drawn

from tuning.space import Boolean, Choice, Float, Int, Space
from tuning.statistics.importance import (
    FEW,
    LEAST,
    SHUFFLES,
    NoImportance,
    importance,
    of_trials,
)
from tuning.trial import GaveUp, Trial

LINE = Space((Float("x", 0.0, 1.0), Float("y", 0.0, 1.0)))


def on_a_line(count: int, seed: int = 0) -> list[dict[str, float]]:
    draw = np.random.default_rng(seed)
    return [{"x": float(x), "y": float(y)} for x, y in draw.random((count, 2))]


def finished(number: int, settings: dict, *scores: float, epochs: int | None = None) -> Trial:
    told = dict(enumerate(scores))
    return Trial(number, settings, epochs, len(scores), "finished", told)


def test_shares_are_those_of_optuna_and_the_same_each_time() -> None:
    settings, scores = drawn(np.random.default_rng(3), 31, 0.5)
    kinds = {
        "strong": optuna.distributions.FloatDistribution(1e-4, 1e-1, log=True),
        "weak": optuna.distributions.CategoricalDistribution((False, True)),
        "idle": optuna.distributions.FloatDistribution(0.0, 1.0),
        "listed": optuna.distributions.CategoricalDistribution(("a", "b", "c", "d")),
    }
    study = optuna.create_study(direction="maximize")
    for one, score in zip(settings, scores, strict=True):
        study.add_trial(optuna.trial.create_trial(value=score, params=one, distributions=kinds))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=1 / 3)
    theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    ours = importance(SPACE, settings, scores)
    assert ours.shares == pytest.approx(theirs)
    assert list(ours.shares) == sorted(ours.shares, key=lambda key: -ours.shares[key])
    assert ours.p["strong"] == 1 / (SHUFFLES + 1)
    assert min(ours.p[key] for key in IDLE) > 0.05
    assert ours == importance(SPACE, settings, scores)
    assert ours == importance(SPACE, settings, [-score for score in scores], minimise=True)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    verbosity = optuna.logging.get_verbosity()
    settings = on_a_line(LEAST)
    importance(LINE, settings, [one["x"] for one in settings], shuffles=0)
    assert capfd.readouterr().err == ""
    assert optuna.logging.get_verbosity() == verbosity


def test_steps_and_lists_are_compared_on_their_scale() -> None:
    """Powers of two lie as far apart as their exponents; a list or 1.0 for 1 is a value."""
    space = Space((Int("width", 8, 512, step=2, log=True), Choice("sizes", ([1, 2], 1, "none"))))
    draw = np.random.default_rng(1)
    settings = [
        {"width": 8 * 2 ** int(draw.integers(7)), "sizes": ((1, 2), 1.0, "none")[draw.integers(3)]}
        for _ in range(60)
    ]
    shares = importance(space, settings, [np.log2(one["width"]) for one in settings]).shares
    assert shares["width"] > 0.9
    same = Space((Int("width", 0, 6), space.parameters[1]))
    steps = [one | {"width": int(np.log2(one["width"])) - 3} for one in settings]
    assert importance(same, steps, [one["width"] for one in steps]).shares == shares


def test_a_condition_is_compared_where_it_holds() -> None:
    """The momentum decides among those that have it, and having it nothing."""
    draw = np.random.default_rng(2)
    space = Space((Boolean("sgd"), Float("momentum", 0, 1, when={"sgd": True}), Float("x", 0, 1)))
    settings, scores = [], []
    for number in range(60):
        one = {"sgd": number % 2 == 0, "x": float(draw.random())}
        settings.append(one | ({"momentum": float(draw.random())} if one["sgd"] else {}))
        scores.append(settings[-1].get("momentum", draw.random()))
    measured = importance(space, settings, scores)
    assert next(iter(measured.shares)) == "momentum"
    assert measured.p["momentum"] <= 0.05 < min(measured.p["sgd"], measured.p["x"])
    few = importance(space, settings[1::2] + settings[:: 60 // 5], scores[1::2] + scores[::12])
    assert few.left_out == ("momentum",)
    assert set(few.shares) == {"sgd", "x"}


@pytest.mark.parametrize(
    ("count", "score", "why"),
    [(LEAST - 1, lambda one: one["x"], "9 trials"), (30, lambda one: 0.1, "all scores are equal")],
)
def test_what_tells_nothing_is_refused_with_the_reason(count, score, why) -> None:
    settings = on_a_line(count)
    with pytest.raises(NoImportance, match=why):
        importance(LINE, settings, [score(one) for one in settings])


def test_the_few_that_learnt_are_the_best_where_all_others_are_at_chance() -> None:
    """A third of the trials would take in all that share the lowest score."""
    settings = on_a_line(30)
    scores = [0.9 + one["y"] / 100 if one["x"] > 0.8 else 0.1 for one in settings]
    assert 3 <= sum(score > 0.1 for score in scores) < 10
    measured = importance(LINE, settings, scores)
    assert measured.shares["x"] > 0.6
    assert measured.p["x"] <= 0.05 < measured.p["y"]


def test_the_loser_of_a_race_counts_by_folds_that_all_have() -> None:
    """The first fold is the easy one, by 0.3: losers of low x look better on it than winners."""
    settings = on_a_line(40)
    trials = [
        finished(number, one, one["x"] + 0.3, one["x"], one["x"])
        for number, one in enumerate(settings)
    ]
    whole = of_trials(LINE, trials)
    for trial in trials:
        if trial.settings["x"] < 0.5:
            trial.status, trial.gave_up = "gave_up", GaveUp(1, 0, 0.01)
            trial.told = {0: trial.told[0]}
    assert of_trials(LINE, trials) == whole
    trials[0].status = trials[1].status = "failed"
    trials.append(Trial(40, settings[0], None, 3, "unfinished"))
    assert of_trials(LINE, trials).trials == 38


def test_a_longer_trial_is_compared_with_those_that_began_as_short() -> None:
    """A bracket that begins long is no better for that; a candidate counts once."""
    settings, trials = on_a_line(36), []
    for number, one in enumerate(settings):
        long = number % 2  # drawn without looking at x
        trials.append(finished(number, one, one["x"] + long, epochs=9 if long else 1))
    for one in settings[::2]:
        if one["x"] > 0.6:
            trials.append(finished(len(trials), one, one["x"] + 1, epochs=9))
    measured = of_trials(LINE, trials)
    assert measured.trials == len(settings)
    assert measured.shares["x"] > 0.85
    losses = [finished(t.number, t.settings, -t.scores[0], epochs=t.epochs) for t in trials]
    assert of_trials(LINE, losses, minimise=True) == measured


def test_a_search_without_scores_has_none() -> None:
    with pytest.raises(NoImportance, match="no trial has finished"):
        of_trials(LINE, [Trial(0, {"x": 1.0, "y": 0.0}, None, 1, "failed")])


def test_the_order_is_chance_for_few_trials_and_not_for_many() -> None:
    """What the bound under which a caveat is printed rests on: noise as large as the effect."""
    few, _, _ = by_chance(60, LEAST, 1.0, shuffles=0)
    enough, _, _ = by_chance(60, FEW, 1.0, shuffles=0)
    assert 0.08 < few < 0.4
    assert enough <= 0.05
    with best(0.1):  # as Optuna has it: one trial of ten, against noise
        assert by_chance(60, LEAST, 1.0, shuffles=0)[0] > few


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_p_is_wrong_in_no_more_searches_than_it_says(weight: float) -> None:
    """Promised: in 5 % at most some parameter without effect has p <= 0.05, whether another has
    one or none has. 60 draws: three standard errors are 8.4 points."""
    _, false, found = by_chance(60, 20, 0.7, strong=weight, weak=0.0)
    assert false <= 0.05 + 0.084
    assert found > 0.4 if weight else found <= 0.05 + 0.084
