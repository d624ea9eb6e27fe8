"""The figures of hypervolume against images, on fits that are drawn: the replay is the search's."""

from __future__ import annotations

import hypervolume_figures as figures
import numpy as np
import pytest

from tuning.space import identity

IMAGES, FOLDS = 1_000, 4
DOCUMENT = {
    "name": "h",
    "data": {"source": "digits", "image_size": 16},
    "model": {"name": "mlp"},
    "validation": {"test_fraction": 0.2, "folds": FOLDS},
    "search": {
        "strategy": "random",
        "objectives": ["val_top1", "macs"],
        "space": {
            "model.options.hidden": [[8], [16], [32], [64]],
            "model.options.activation": ["relu", "tanh"],
        },
        "trials": 8,
        "tpe": {"startup_trials": 3},
        "nsga2": {"population": 3},
        "race": {},
    },
}


@pytest.fixture(scope="module")
def grid():
    return figures.grid_of(DOCUMENT)


@pytest.fixture(scope="module")
def truth(grid):
    """Accuracy grows with width; tanh is under the front everywhere."""
    return {
        identity(one): 0.7
        + 0.05 * np.log2(one["model.options.hidden"][0] / 8)
        - 0.3 * (one["model.options.activation"] == "tanh")
        for one in grid.candidates
    }


@pytest.fixture(scope="module")
def table(grid, truth):
    """Every fit, its answers drawn on the images of its fold, which all candidates share."""
    config = figures.parsed(figures.with_search(DOCUMENT, 1, "h"))
    [folds] = figures.open_study("search", config).folds
    drawn = {}
    for fold, (_, held) in enumerate(folds.pairs):
        hard = np.random.default_rng(fold).random(len(held))
        for one in grid.candidates:
            hits = hard < truth[identity(one)]
            drawn[identity(one), fold] = figures.Ended(float(hits.mean()), hits, IMAGES)
    return drawn


def replay(grid, table, budget, **keys):
    config = figures.parsed(figures.with_search(DOCUMENT, 1, "h", **keys))
    return figures.replayed(config, grid, table, budget)


def test_a_search_of_the_whole_grid_covers_all_and_of_half_the_images_half_of_the_trials(
    grid, truth, table
):
    whole = len(grid.candidates) * FOLDS * IMAGES
    unraced = replay(grid, table, whole, race=None)
    assert [images for images, _ in unraced.steps] == [n * FOLDS * IMAGES for n in range(1, 9)]
    values = unraced.curve(grid, grid.box(truth), np.array([0, whole // 2, whole]))
    assert values[0] == 0.0
    assert 0 < values[1] <= values[2] == pytest.approx(100)
    assert len(replay(grid, table, whole // 2, race=None).steps) == 4


def test_the_race_ends_with_the_same_front_for_fewer_images(grid, truth, table):
    whole = len(grid.candidates) * FOLDS * IMAGES
    raced = replay(grid, table, whole)
    images, front = raced.steps[-1]
    assert raced.gave_up == 4  # all of tanh, after two of four folds
    assert images == whole - 4 * 2 * IMAGES
    assert set(front) == {one for one in truth if '"relu"' in one}
    assert raced.curve(grid, grid.box(truth), np.array([whole]))[0] == pytest.approx(100)


def test_a_box_goes_from_the_worst_to_the_best_with_cost_turned_round(grid, truth):
    box = grid.box(truth)
    assert box.min() == 0.0
    assert box.max() == 1.0
    widths = [one["model.options.hidden"][0] for one in grid.candidates]
    assert box[np.argmin(widths), 1] == 1.0
    assert box[np.argmax([truth[identity(one)] for one in grid.candidates]), 0] == 1.0


def test_the_table_has_a_row_a_strategy_with_the_median_over_root_seeds(grid, truth, table):
    box = grid.box(truth)
    told = figures.compared(DOCUMENT, grid, {1: table, 2: table}, 16 * IMAGES, [box, box])
    assert "random" in told
    assert told["random"][0].shape == (2, 2, figures.POINTS)
    head, line, *rows = figures.rows(told)
    assert head.count("|") == line.count("|") == rows[0].count("|")
    assert all(name.partition(",")[0] in figures.STRATEGIES for name in told)
