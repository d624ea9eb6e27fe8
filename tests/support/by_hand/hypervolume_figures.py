"""Hypervolume against images trained, by strategy, with the race that knows the cost and without.

    python tests/support/by_hand/hypervolume_figures.py CONFIG FOLDER [root seeds] [KEY=VALUE ...]

Trains every candidate of the config's space on every fold once a root seed, by `search.strategy:
grid`, and once more for its test score, by a sweep; both go on where they were stopped, below
FOLDER. Then each strategy that can do several objectives is replayed on these fits. Nothing is
trained again: a candidate's draws are those of its fold, so its fit is the same in every search.

The budget is the config's (`search.budget.images`), else half of what the grid takes. Only what
learns is raced: a search whose candidates are known from the start gives the first fold to all of
them, and would spend its budget before one has every fold.

Prints a Markdown table and writes FOLDER/hypervolume.png. A search is judged by what is true of the
candidates that are on its own front: their mean score over folds and root seeds, or over the tests,
and their cost. 100 % is what the front of the whole grid covers, see `tuning.objectives.share`.
"""

from __future__ import annotations

import copy
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import settings, yaml_text
from experiments.config.objectives import PLANNED
from experiments.config.schema import Config
from experiments.config.strategies import STRATEGIES
from experiments.jobs.folds import is_share
from experiments.jobs.job import ROOT
from experiments.jobs.predictions import HITS, unpacked_hits
from experiments.runs.sweep import sweep
from experiments.search import run as search_run
from experiments.search.candidates import Candidates
from experiments.search.space import objective_of, space_of
from experiments.search.study import new_work, open_study
from experiments.tracking.search_journal import State
from tuning.objectives import hypervolume, logarithmic, scaled
from tuning.space import Settings, identity

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Of the budget, at which the table has a column."""
POINTS = 200  # of a curve
ALONE = (
    "launch.executor=inline", "tracking.save_model=none", "bench.throughput_batches=1",
    "tracking.uri=sqlite:///mlflow.db",
)  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """A fit: its score, which images it had right, and the images that it trained on."""

    score: float
    hits: np.ndarray | None
    images: int


Table = Mapping[tuple[str, int], Ended]
"""Every fit from one root seed, by the identity of its settings and its fold."""


def with_search(document: Mapping[str, Any], seed: int, name: str, **keys: Any) -> dict[str, Any]:
    """The config with this root seed, which draws proposals, too, and other keys of its search;
    None removes one."""
    changed = copy.deepcopy(dict(document)) | {"seed": seed, "name": name}
    section = changed["search"] | {"seed": seed} | keys
    changed["search"] = {key: value for key, value in section.items() if value is not None}
    return changed


def parsed(document: Mapping[str, Any]) -> Config:
    """A search's config; keys that a strategy does not take are left out without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return settings.parse(dict(document))


def trained(document: Mapping[str, Any], seed: int) -> tuple[Table, dict[str, float]]:
    """Every fit of the grid from a root seed, and test scores by the identity of settings."""
    name = f"{document['name']}-{seed}"
    plain = dict.fromkeys(("objectives", "race", "budget", "trials", "refit"))
    grid = parsed(with_search(document, seed, name, strategy="grid", **plain))
    tests = with_search(document, seed, f"{name}-tests")
    space = space_of(grid.search) if grid.search else None
    assert space
    axes = {parameter.key: list(parameter.options or ()) for parameter in space.parameters}
    del tests["search"]
    protocol = {k: v for k, v in tests["validation"].items() if k not in ("folds", "repeats")}
    tests |= {"sweep": axes, "validation": protocol | {"validation_fraction": 0}}
    search_run.run("search", grid, "figures")
    rows = sweep(parsed(tests), "figures")["runs"]
    score = objective_of(grid)
    table = {}
    [directory] = (ROOT / name).glob("search-*")
    state = State(directory)
    for (_, trial, _, fold), record in state.ended.items():
        chosen, outcome = state.proposals[0, int(trial)]["settings"], record["outcome"]
        packed = outcome["artifacts"].get(HITS, {}).get("val") if is_share(score) else None
        hits = unpacked_hits(packed) if packed else None
        table[identity(chosen), int(fold)] = Ended(outcome["scores"][score], hits, record["images"])
    tested = score.replace("val_", "test_")
    return table, {identity({key: row[key] for key in axes}): row[tested] for row in rows}


@dataclass(frozen=True)
class Grid:
    """All candidates of a space, what they cost, and what is true of them."""

    candidates: Sequence[Settings]
    costs: Mapping[str, Mapping[str, float]]
    """By the identity of a candidate."""
    config: Config

    def box(self, score: Mapping[str, float]) -> np.ndarray:
        """float [candidates, objectives], from 0, the worst of the grid, to 1, the best of it.

        Args:
            score: true of each candidate, by its identity.
        """
        assert self.config.search
        objective, columns = objective_of(self.config), []
        for one in self.config.search.objectives or ():
            if one.name not in (objective, *PLANNED):
                raise SystemExit(f"{one.name}: only {objective} and {', '.join(PLANNED)} here")
            sign = -1 if one.minimise else 1
            names = (identity(candidate) for candidate in self.candidates)
            column = (score[n] if one.name == objective else self.costs[n][one.name] for n in names)
            columns.append([sign * value for value in column])
        values = np.array(columns, float).T
        on_scale = scaled(values, logarithmic(values))
        return np.asarray((on_scale - on_scale.min(0)) / np.ptp(on_scale, axis=0))


def grid_of(document: Mapping[str, Any]) -> Grid:
    """The config's space, whose candidates are priced but not trained."""
    config = parsed(document)
    assert config.search
    space = space_of(config.search)
    assert space
    candidates = Candidates(open_study("search", config), Path())
    listed = list(space.grid())
    return Grid(listed, {identity(one): candidates.priced(one) for one in listed}, config)


@dataclass(frozen=True)
class Replay:
    """What a search came to."""

    steps: list[tuple[int, list[str]]]
    """Images trained so far and the identities of the front, whenever a trial has finished."""
    gave_up: int

    def curve(self, grid: Grid, box: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Hypervolume in percent of what the whole grid has, after so many images each."""
        place = {identity(candidate): row for row, candidate in enumerate(grid.candidates)}
        origin = np.zeros(box.shape[1])
        whole = hypervolume(box, origin)
        fronts = (box[[place[one] for one in front]] for _, front in self.steps)
        values = [100 * hypervolume(front, origin) / whole for front in fronts]
        reached = np.searchsorted([images for images, _ in self.steps], at, side="right")
        return np.concatenate([[0.0], values])[reached]


def replayed(config: Config, grid: Grid, table: Table, budget: int) -> Replay:
    """A search whose fits have ended before it begins.

    Args:
        config: with the strategy and the race that are replayed.
        budget: images at which no further fit is begun.
    """
    study = open_study("search", config)
    assert study.section.strategy

    def known(trial: Any) -> Any:
        return grid.costs[identity(trial.settings)]

    [search] = new_work(study, known=known).searches
    steps, images = [], 0
    while fits := search.ready():
        for fit in fits:
            if not search.wants(fit):
                continue
            ended, settled = table[identity(fit.settings), fit.fold], len(search.settled)
            figures = {str(objective_of(config)): ended.score}
            search.tell(fit, "finished", ended.score, None, 1, ended.hits, figures)
            images += ended.images
            if len(search.settled) > settled:
                steps.append((images, [identity(trial.settings) for trial in search.front()]))
            if images >= budget:
                search.stop("images")
    return Replay(steps, sum(trial.gave_up is not None for trial in search.trials))


def strategies(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that can do several objectives and need no list, by the name of a row: what learns with
    a race, then all without."""
    assert config.search
    race = config.search.race.model_dump() if config.search.race else {}
    for raced in (True, False):
        for name, strategy in STRATEGIES.items():
            if raced and not strategy.learns:
                continue
            if strategy.several and not strategy.listed and not strategy.complete:
                row = f"{name}, race" if raced else name
                yield row, {"strategy": name, "race": race if raced else None}


def compared(
    document: Mapping[str, Any],
    grid: Grid,
    tables: Mapping[int, Table],
    budget: int,
    boxes: Sequence[np.ndarray],
) -> dict[str, tuple[np.ndarray, str]]:
    """Of each strategy float [boxes, root seeds, POINTS] hypervolume, and in words the trials that
    finished and that gave up, means."""
    at = np.linspace(0, budget, POINTS + 1)[1:]
    told = {}
    for row, keys in strategies(grid.config):
        curves, counts = [], []
        for seed, table in tables.items():
            more = {"trials": len(grid.candidates), "refit": None, "budget": None}
            config = parsed(with_search(document, seed, "replay", **keys, **more))
            replay = replayed(config, grid, table, budget)
            counts.append((len(replay.steps), replay.gave_up))
            curves.append([replay.curve(grid, box, at) for box in boxes])
        finished, gave_up = np.mean(counts, axis=0)
        told[row] = np.array(curves).swapaxes(0, 1), f"{finished:.0f}, {gave_up:.0f}"
    return told


def rows(told: Mapping[str, tuple[np.ndarray, str]]) -> Iterator[str]:
    """The table, in Markdown: median over root seeds, in brackets the least and the most."""
    heads = [f"{100 * share:g} % of the budget" for share in SHARES]
    yield f"| strategy | finished, gave up | {' | '.join(heads)} | tested, {heads[-1]} |"
    yield f"|---|--:|{'--:|' * (len(heads) + 1)}"
    columns = [round(share * POINTS) - 1 for share in SHARES]
    for name, (curves, counts) in told.items():
        validated, tested = curves
        cells = [_spread(values) for values in (*validated[:, columns].T, tested[:, -1])]
        yield f"| {name} | {counts} | {' | '.join(cells)} |"


def _spread(values: np.ndarray) -> str:
    return f"{np.median(values):.1f} ({values.min():.1f} to {values.max():.1f})"


def draw(told: Mapping[str, tuple[np.ndarray, str]], budget: int, path: Path) -> None:
    """Median curves, and the band from the least to the most."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True)
    at = np.linspace(0, budget, POINTS + 1)[1:] / 1e6
    for panel, title, which in zip(panels, ("validated", "tested"), (0, 1), strict=True):
        for name, (curves, _) in told.items():
            line = "-" if name.endswith("race") else "--"
            [drawn] = panel.step(at, np.median(curves[which], axis=0), line, label=name)
            ends = curves[which].min(0), curves[which].max(0)
            panel.fill_between(at, *ends, step="pre", alpha=0.07, color=drawn.get_color())
        panel.set(title=title, xlabel="images trained, millions")
    panels[0].set_ylabel("hypervolume, % of the whole grid")
    panels[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main(config: str, folder: str, seeds: str = "5", *words: str) -> None:
    raw = yaml_text.read(Path(config).read_text(), config)
    document = settings.override(raw, (*ALONE, *words))
    document.setdefault("name", Path(config).stem)
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    grid = grid_of(document)
    roots = range(1, int(seeds) + 1)
    fits, tests = zip(*(trained(document, seed) for seed in roots), strict=True)
    names = [identity(candidate) for candidate in grid.candidates]
    folds = range(1 + max(fold for _, fold in fits[0]))
    validated = {n: float(np.mean([t[n, f].score for t in fits for f in folds])) for n in names}
    tested = {n: float(np.mean([scores[n] for scores in tests])) for n in names}
    images = sum(ended.images for ended in fits[0].values())
    assert grid.config.search
    budget = grid.config.search.budget.images or images // 2
    print(f"{len(names)} candidates, {images} images a root seed, budget {budget}\n", flush=True)
    boxes = [grid.box(validated), grid.box(tested)]
    told = compared(document, grid, dict(zip(roots, fits, strict=True)), budget, boxes)
    print("\n".join(rows(told)), flush=True)
    draw(told, budget, Path("hypervolume.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
