"""How often a parameter without effect looks important, by simulation.

    python tests/support/by_hand/importance_by_chance.py 200    # draws a cell, minutes

prints the Markdown tables of tuning/statistics/README.md. The truth: a score of strong effect of
`strong`, weak of `weak`, none of `idle` and `listed`, and noise.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from unittest import mock

import numpy as np
import optuna

from tuning.space import Boolean, Choice, Float, Space
from tuning.statistics import importance as measured
from tuning.statistics.importance import importance

SPACE = Space(
    (
        Float("strong", 1e-4, 1e-1, log=True),
        Boolean("weak"),
        Float("idle", 0.0, 1.0),
        Choice("listed", ("a", "b", "c", "d")),
    )
)
IDLE = ("idle", "listed")
TRIALS = (10, 20, 40, 80)
NOISES = (0.5, 1.0, 2.0)
SHUFFLES = 19
ALPHA = 0.05


def effect(settings, strong=1.0, weak=0.3):
    """The score without noise; each part has the standard deviation that is its weight."""
    along = (np.log10(settings["strong"]) + 2.5) / 3 * np.sqrt(12)
    return strong * along + weak * (2 * settings["weak"] - 1)


def drawn(draw, trials, noise, **weights):
    """Settings at random, and their scores."""
    settings = [
        {
            "strong": float(10 ** draw.uniform(-4, -1)),
            "weak": bool(draw.integers(2)),
            "idle": float(draw.random()),
            "listed": "abcd"[draw.integers(4)],
        }
        for _ in range(trials)
    ]
    return settings, [effect(one, **weights) + noise * draw.normal() for one in settings]


def guided(draw, trials, noise, **weights):
    """The same, proposed by TPE from the scores so far."""
    sampler = optuna.samplers.TPESampler(seed=int(draw.integers(2**31)))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    settings, scores = [], []
    for _ in range(trials):
        trial = study.ask()
        settings.append(
            {
                "strong": trial.suggest_float("strong", 1e-4, 1e-1, log=True),
                "weak": trial.suggest_categorical("weak", (False, True)),
                "idle": trial.suggest_float("idle", 0.0, 1.0),
                "listed": trial.suggest_categorical("listed", ("a", "b", "c", "d")),
            }
        )
        scores.append(effect(settings[-1], **weights) + noise * draw.normal())
        study.tell(trial, scores[-1])
    return settings, scores


@contextmanager
def best(share):
    """The best of the trials are that share of them."""
    with mock.patch.object(measured, "BEST", share):
        yield


def by_chance(draws, trials, noise, draw_trials=drawn, shuffles=SHUFFLES, **weights):
    """Shares of draws: an idle parameter comes first; some without effect has p <= ALPHA; the
    strong one has."""
    without = [*IDLE, *(key for key, weight in weights.items() if weight == 0)]
    draw = np.random.default_rng([trials, round(10 * noise)])
    first = false = seen = 0
    for _ in range(draws):
        found = importance(SPACE, *draw_trials(draw, trials, noise, **weights), shuffles=shuffles)
        first += next(iter(found.shares)) in IDLE
        false += min(found.p[key] for key in without) <= ALPHA
        seen += found.p["strong"] <= ALPHA
    return np.array([first, false, seen]) / draws


def covered(draws, trials, noise=1.0, resamples=60):
    """Of the strong and of an idle parameter: how often a 95 % interval by resampling the trials
    has the share that endless trials have."""
    endless = importance(SPACE, *drawn(np.random.default_rng(7), 5000, noise), shuffles=0).shares
    draw, inside = np.random.default_rng(trials), np.zeros(2)
    for _ in range(draws):
        settings, scores = drawn(draw, trials, noise)
        again = [draw.integers(trials, size=trials) for _ in range(resamples)]
        shares = [
            importance(
                SPACE, [settings[at] for at in order], [scores[at] for at in order], shuffles=0
            ).shares
            for order in again
        ]
        for at, key in enumerate(("strong", "idle")):
            low, high = np.percentile([one[key] for one in shares], (2.5, 97.5))
            inside[at] += low <= endless[key] <= high
    return inside / draws


def main(draws=200):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| drawn | trials | noise | idle first, best tenth | idle first | idle p | strong p |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, draw_trials in (("at random", drawn), ("by TPE", guided)):
        for trials in TRIALS:
            for noise in NOISES:
                with best(0.1):
                    tenth = by_chance(draws, trials, noise, draw_trials, shuffles=0)[0]
                shares = (tenth, *by_chance(draws, trials, noise, draw_trials))
                cells = " | ".join(f"{100 * one:.0f}" for one in shares)
                print(f"| {name} | {trials} | {noise:g} | {cells} |", flush=True)
    print("nothing has an effect: share of draws with some p <= 0.05")
    for name, draw_trials in (("at random", drawn), ("by TPE", guided)):
        shares = [
            by_chance(draws, trials, 1.0, draw_trials, strong=0.0, weak=0.0)[1] for trials in TRIALS
        ]
        print(f"{name}: " + ", ".join(f"{100 * one:.0f}" for one in shares), flush=True)
    print("an interval by resampling covers the share of the strong one, of an idle one")
    for trials in TRIALS:
        shares = covered(draws // 2, trials)
        print(f"{trials}: " + ", ".join(f"{100 * one:.0f}" for one in shares), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
