"""A search that trains in seconds, in the folder of the test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from blank_store import blank_store

from experiments.config import settings
from experiments.search.results.plots import pictures
from experiments.search.run import run

BASE = {
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.15},
    "model": {"name": "mlp"},
    "train": {"epochs": 1, "loss": {"name": "mean_squared_error"}},
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
}
RATES = [0.05, 1e30, 0.02]  # the second one fails
SEARCH = {"strategy": "grid", "space": {"train.optimizer.learning_rate": RATES}, "refit": True}
ONE = ("search.space={train.optimizer.learning_rate: [0.05, 0.1]}", "search.refit=false")


def quieten(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A store without runs, and no pictures, which take seconds."""
    blank_store(folder)
    patch.setattr(pictures, "write", lambda *_: [])


@contextlib.contextmanager
def quiet_folder(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """Inside a folder that is made quiet, for what a file's tests share."""
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        quieten(folder, patch)
        yield patch


def uri():
    """The store of this folder; MLflow keeps one connection for a relative path wherever it is."""
    return f"sqlite:///{Path.cwd()}/mlflow.db"


def config(name="s", *words, **sections):
    document = {
        "tracking": {"save_model": "none", "uri": uri()},
        "name": name, "validation": {"folds": 2}, "search": SEARCH, **BASE, **sections,
    }  # fmt: skip
    return settings.parse(settings.override(document, words))


def go(made, fresh=False):
    return run("search", made, "s.yaml", fresh=fresh)
