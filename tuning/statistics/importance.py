"""What sets the best trials of a search apart: a share of importance for each parameter."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from tuning.oracles.optuna_study import encoded, quiet
from tuning.space import Float, Int, Parameter, Settings, Space, identity
from tuning.trial import Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

LEAST = 10
"""Trials under which nothing is said. Of ten, the best third is four, and a parameter without
effect leads in a fifth of searches where noise is as large as the effect."""
FEW = 40
"""Trials under which the order of the parameters is often chance."""
BEST = 1 / 3
"""Of the trials, which the rest is compared with. Optuna's tenth is one trial of ten."""
SHUFFLES = 99
"""Of the scores, for p; the smallest p is one in a hundred."""
ALPHA = 0.05


class NoImportance(ValueError):
    """Trials that tell of no importance; one line that says why."""


@dataclass(frozen=True)
class Importance:
    """Of the parameters of one search."""

    shares: dict[str, float]
    """Largest first; they sum to 1."""
    p: dict[str, float]
    """How often shuffled scores make some parameter stand out as much, standardised."""
    trials: int
    """That were compared."""
    left_out: tuple[str, ...] = ()
    """Parameters that fewer than LEAST of the trials have."""


def importance(
    space: Space,
    settings: Sequence[Mapping[str, Any]],
    scores: Sequence[float],
    minimise: bool = False,
    shuffles: int = SHUFFLES,
) -> Importance:
    """Which parameters set the best third of the trials apart from all of them?

    Optuna's PED-ANOVA: the Pearson divergence of a parameter's distribution among the best from
    that among all, each estimated by kernels on the parameter's own scale (Watanabe, Bansal and
    Hutter, 2023, arXiv:2304.10255). A conditional parameter is compared within the trials that
    have it, weighted by how many of the best do (arXiv:2601.20800); what it means to have it at
    all is its parent's. Each parameter is looked at alone: one that matters only together with
    another has little. It is about the trials as they were drawn, so that a guided search, which
    draws mostly what is good, hides what it has settled; and it is no cause.

    Shares have no interval: one of 95 % by resampling the trials has the share of endless trials in
    it in 12 % of draws at most, as repeated trials make any parameter look peaked. Instead, p
    compares with shuffled scores. Where trials were drawn without looking at scores, parameters
    without effect have some p of 0.05 or less in at most 5 % of searches, however many there are.

    Args:
        space: of the settings, for the scale of each parameter.
        settings: of the trials.
        scores: of the trials.
        minimise: a lower score is better.
        shuffles: of the scores, for p.

    Raises:
        NoImportance: fewer than LEAST trials, or all scores are equal.
    """
    losses = np.asarray(scores, float) * (1 if minimise else -1)
    if len(losses) < LEAST:
        raise NoImportance(f"{len(losses)} trials to compare; it takes {LEAST}")
    if np.ptp(losses) == 0:
        raise NoImportance("all scores are equal")
    counts = {key: sum(key in one for one in settings) for key in space.by_key}
    keys = [key for key, count in counts.items() if count >= LEAST]
    draw = np.random.default_rng(0)
    orders = [np.arange(len(losses)), *(draw.permutation(len(losses)) for _ in range(shuffles))]
    with quiet():
        study = _study(space, keys, settings)
        divergences = np.array([_divergences(study, keys, losses[order]) for order in orders])
    measured = divergences[0]
    if not measured.any():
        raise NoImportance("no parameter differs between the best trials and the others")
    spread = divergences.std(axis=0)
    standard = (divergences - divergences.mean(axis=0)) / np.where(spread > 0, spread, 1)
    extreme = standard.max(axis=1)
    p = [float(np.mean(extreme >= one - 1e-9)) for one in standard[0]]
    order = np.argsort(-measured, kind="stable")
    return Importance(
        {keys[at]: float(measured[at] / measured.sum()) for at in order},
        {keys[at]: p[at] for at in order},
        len(losses),
        tuple(key for key, count in counts.items() if count < LEAST),
    )


def of_trials(space: Space, trials: Sequence[Trial], minimise: bool = False) -> Importance:
    """The same of a search's trials, by scores that can be compared.

    Failed, refused and unfinished trials have none. A trial that gave up a race has the mean of
    its folds, shifted by as much as those folds differ from all of them for finished trials:
    without it, what is worst would not be there. Where some are trained longer (Hyperband), a
    candidate counts once: for the share of those that began as short as it did which it outdid,
    longer trials before shorter ones.

    Raises:
        NoImportance: as `importance`.
    """
    finished = np.array([trial.scores for trial in trials if trial.status == "finished"])
    told = [trial for trial in trials if trial.status in ("finished", "gave_up") and trial.scores]
    if not len(finished):
        raise NoImportance("no trial has finished")
    by_fold = finished.mean(axis=0)
    scores = [
        fmean(trial.scores) + float(by_fold.mean() - by_fold[: len(trial.scores)].mean())
        for trial in told
    ]
    if any(trial.epochs is not None for trial in told):
        return importance(space, *_within_brackets(told, scores, minimise))
    return importance(space, [trial.settings for trial in told], scores, minimise)


def _within_brackets(
    trials: Sequence[Trial], scores: Sequence[float], minimise: bool
) -> tuple[list[Settings], list[float]]:
    sign = -1 if minimise else 1
    lengths: dict[str, list[tuple[int, float]]] = defaultdict(list)
    settings: dict[str, Settings] = {}
    for trial, score in zip(trials, scores, strict=True):
        lengths[identity(trial.settings)].append((trial.epochs or 0, sign * score))
        settings[identity(trial.settings)] = dict(trial.settings)
    brackets: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for reached in lengths.values():
        brackets[min(reached)[0]].append(max(reached))
    outdone = []
    for reached in lengths.values():
        mine, beside = max(reached), brackets[min(reached)[0]]
        outdone.append(fmean((mine > other) + (mine == other) / 2 for other in beside))
    return list(settings.values()), outdone


def _best(values: np.ndarray) -> int:
    """How many are the best: a third, or with those of equal scores as near to it as can be."""
    wanted = math.ceil(BEST * len(values))
    last = np.sort(values)[::-1][wanted - 1]
    counts = {int((values > last).sum()), int((values >= last).sum())} - {0, len(values)}
    return min(sorted(counts), key=lambda count: abs(count - wanted))


def _scale(parameter: Parameter) -> BaseDistribution:
    """The parameter's distribution; listed values and steps, also those that multiply, are
    numbered."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    options = parameter.options
    if not isinstance(parameter, Int | Float):
        return CategoricalDistribution(range(len(options or ())))
    if options is not None:
        return IntDistribution(0, len(options) - 1)
    if isinstance(parameter, Int):
        return IntDistribution(parameter.low, parameter.high, log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _study(
    space: Space, keys: Sequence[str], settings: Sequence[Mapping[str, Any]]
) -> optuna.Study:
    """The trials in memory; their scores are told with each question."""
    import optuna

    scales = {key: _scale(space.by_key[key]) for key in keys}
    study = optuna.create_study()
    for one in settings:
        params = encoded(space, {key: one[key] for key in keys if key in one})
        kinds = {key: scales[key] for key in params}
        trial = optuna.trial.create_trial(value=0.0, params=params, distributions=kinds)
        study.add_trial(trial)
    return study


def _divergences(study: optuna.Study, keys: Sequence[str], losses: np.ndarray) -> list[float]:
    import optuna

    quantile = (_best(-losses) - 0.5) / len(losses)  # of which Optuna takes the ceiling
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    measured = evaluator.evaluate(study, list(keys), target=lambda one: float(losses[one.number]))
    return [measured[key] for key in keys]
