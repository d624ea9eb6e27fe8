"""How near to the best each strategy comes, on a function that costs nothing.

    PYTHONPATH=tests/support python tests/support/by_hand/strategy_figures.py [trials] [root seeds]

Prints a Markdown table: of each strategy the median of the least value over the root seeds, and the
quartiles. The strategies are as configured by default; `bayesian` takes a minute a seed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

from ask_and_tell import run

from tuning.oracles.draws import Sobol
from tuning.oracles.keras_oracles import Bayesian, Random
from tuning.oracles.optuna_oracles import Cmaes, Nsga2, Qmc, Tpe
from tuning.space import Choice, Float, Int, Settings, Space

SPACE = Space(
    (
        Float("rate", 1e-4, 1, log=True),
        Float("decay", 1e-6, 1e-2, log=True),
        Int("width", 16, 256),
        Choice("optimizer", ("sgd", "adam")),
        Float("momentum", 0, 0.99, when={"optimizer": "sgd"}),
    )
)
STRATEGIES: dict[str, Callable[..., Any]] = {
    "random": Random, "random, sobol": Sobol, "qmc": Qmc, "bayesian": Bayesian, "tpe": Tpe,
    "nsga2": Nsga2, "cmaes": Cmaes,
}  # fmt: skip


def loss(settings: Settings) -> float:
    """0 at a rate of 0.1, a decay of 1e-4, a width of 96 and a momentum of 0.9 of SGD; Adam is best
    at 0.001, with 0.15."""
    sgd = settings["optimizer"] == "sgd"
    rate = math.log10(settings["rate"]) + (1 if sgd else 3)
    decay, width = math.log10(settings["decay"]) + 4, (settings["width"] - 96) / 96
    other = 2 * (settings["momentum"] - 0.9) ** 2 if sgd else 0.15
    return rate**2 + 0.3 * decay**2 + 0.5 * width**2 + other


def least(make: Callable[..., Any], seed: int, trials: int) -> float:
    proposals = run(make(SPACE, seed, trials), lambda proposal: -loss(proposal.settings))
    return min(loss(proposal.settings) for proposal in proposals)


def main(trials: int, seeds: int) -> None:
    print(f"| least value after {trials} trials | median of {seeds} seeds | quartiles |")
    print("|---|---|---|")
    for name, make in STRATEGIES.items():
        values = [least(make, seed, trials) for seed in range(seeds)]
        low, _, high = quantiles(values, n=4)
        print(f"| {name} | {median(values):.3f} | {low:.3f} to {high:.3f} |", flush=True)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*given, *(30, 30)[len(given) :])
