"""What shared fits save, and what common draws are worth: the figures of the search's README.

    export PYTHONPATH=tests/support
    python tests/support/by_hand/shared_figures.py nested
    python tests/support/by_hand/shared_figures.py photographs FOLDER    a folder for each class
    python tests/support/by_hand/shared_figures.py paired [root seeds]

`nested` runs the shipped nested.yaml with shared fits and with inner folds of its own, one after
the other in this process; `photographs` does so with LeNet-5 and three rates. `paired` searches
eight rates of LeNet-5 on five folds of the digits, from several root seeds on the same folds, and
prints how much the difference of two candidates' scores varies from seed to seed.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from simulated_cluster import Store

from experiments.config import settings
from experiments.config.schema import Config
from experiments.search import run as search_run
from experiments.search.results.plots import pictures
from experiments.search.study import Kind
from experiments.tracking import experiment

SHIPPED = Path(settings.__file__).parents[1] / "configs" / "nested.yaml"
RATE = "train.optimizer.learning_rate"
FEWEST = 4  # root seeds before a spread is printed
RATES = [0.01, 0.02, 0.03, 0.05, 0.08, 0.1, 0.15, 0.2]
ALONE = ("launch.executor=inline", "tracking.save_model=none", "bench.throughput_batches=1")


def search(kind: Kind, config: Config) -> dict[str, Any]:
    """Its JSON; what it says to people goes to stderr."""
    with mock.patch.object(pictures, "write", return_value=[]):
        return search_run.run(kind, config, "figures")


def both_ways(config: Path | dict[str, Any], *words: str) -> None:
    """Fits, seconds and result with shared fits and with three inner folds, after a start that
    loads the libraries."""
    for inner, more in (("2", ("train.epochs=1", "validation.outer=2")), ("shared", ()), ("3", ())):
        changes = (*words, *ALONE, f"validation.inner={inner}", f"name=inner-{inner}", *more)
        made = (
            settings.load(config, changes)
            if isinstance(config, Path)
            else settings.parse(settings.override(config, changes))
        )
        began, used = time.perf_counter(), time.process_time()
        result = search("nested", made)
        seconds, processor = time.perf_counter() - began, time.process_time() - used
        chosen = [row["hyperparameters"] for row in result["outer"]]
        print(
            f"inner {inner}: {result['fits']['done']} fits, {seconds:.0f} s ({processor:.0f} s of "
            f"processor), test top-1 {result['mean_test_top1']:.2%} ± {result['std_test_top1']:.2%}"
            f", inner {result['best_inner_score']:.2%}, optimism {100 * result['optimism']:+.2f} "
            f"points, {len({str(one) for one in chosen})} winners"
        )


def photographs(folder: str) -> None:
    both_ways(
        {
            "data": {"source": f"folder:{folder}", "image_size": 32, "batch_size": 64},
            "model": {"name": "lenet5"},
            "train": {"epochs": 10, "optimizer": {"name": "sgd", "momentum": 0.9},
                      "schedule": {"name": "cosine"}},
            "search": {"strategy": "grid", "space": {RATE: [0.01, 0.03, 0.1]}},
        }
    )  # fmt: skip


def scores(seed: int, is_paired: bool) -> np.ndarray:
    """Top-1 in percent of each candidate on each fold."""
    document = {
        "name": f"paired-{is_paired}-{seed}",
        "seed": seed,
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.5},
        "model": {"name": "lenet5"},
        "train": {"epochs": 8, "optimizer": {"name": "sgd", "momentum": 0.9}},
        "validation": {"folds": 5},
        "search": {"strategy": "grid", "space": {RATE: RATES}, "paired": is_paired},
    }
    with mock.patch.object(experiment, "connect", return_value=Store()):
        result = search("search", settings.parse(settings.override(document, ALONE)))
    return 100 * np.array([trial["scores"] for trial in result["trials"]], float)


def paired(seeds: int) -> None:
    points: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for seed in range(1, seeds + 1):
        for is_paired, of_seeds in points.items():
            of_seeds.append(scores(seed, is_paired))
        if seed >= FEWEST:
            print(f"{seed} root seeds", flush=True)
            compare(*(np.stack(points[is_paired]) for is_paired in (True, False)))


def compare(with_them: np.ndarray, without: np.ndarray) -> None:
    """sd over root seeds of the difference of two candidates, on a fold and of the means of folds:
    its median over pairs of candidates, and how the pairs' ratios are spread.

    Args:
        with_them, without: paired or not, [root seed, candidate, fold].
    """
    for name, pairs in (("all pairs", 8), ("neighbours", 1)):
        chosen = [(a, b) for a, b in itertools.combinations(range(len(RATES)), 2) if b - a <= pairs]
        for what, mean in (("on a fold", False), ("of means", True)):
            sds = [_spreads(points, chosen, mean) for points in (with_them, without)]
            low, middle, high = np.quantile(sds[0] / sds[1], (0.25, 0.5, 0.75))
            pooled = np.sqrt((sds[0] ** 2).mean() / (sds[1] ** 2).mean())
            print(
                f"{name}, difference {what}: sd {np.median(sds[0]):.2f} points paired, "
                f"{np.median(sds[1]):.2f} unpaired; ratio {middle:.2f} (quartiles {low:.2f} to "
                f"{high:.2f}), pooled {pooled:.2f}",
                flush=True,
            )


def _spreads(points: np.ndarray, pairs: list[tuple[int, int]], mean: bool) -> np.ndarray:
    """sd over root seeds of each pair's difference."""
    differences = np.stack([points[:, a] - points[:, b] for a, b in pairs])
    if mean:
        return differences.mean(axis=2).std(axis=1, ddof=1)
    return np.sqrt(differences.var(axis=1, ddof=1).mean(axis=1))


def main(what: str, *words: str) -> None:
    words = tuple(str(Path(word).resolve()) if Path(word).exists() else word for word in words)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if what == "nested":
            both_ways(SHIPPED)
        elif what == "photographs":
            photographs(*words)
        else:
            paired(int(*(words or ("8",))))


if __name__ == "__main__":
    main(*sys.argv[1:])
