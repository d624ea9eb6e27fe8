"""Can the outer folds of a nested search share their fits, and how many fits that saves."""

from __future__ import annotations

import contextlib
from typing import Any

from experiments.config.schema import INNER, Config
from experiments.errors import BadInput
from experiments.search.space import candidate, samples
from experiments.tracking.search_journal import as_begun

STOPS = ("train.early_stopping", "train.schedule")  # keys of what may follow validation images
FEWEST = 3  # outer folds: of two, a fit without both has nothing to train on


def why_not(config: Config) -> str | None:
    """What stands against it; None where a pair of outer folds can share a fit.

    The candidates must be the same in each of them, and what a network becomes must not depend on
    which of the two folds it is scored on.
    """
    search, outer = config.search, config.validation.outer
    assert search
    if search.declaration.learns:
        return f"strategy {search.strategy} proposes by the scores of one outer fold"
    if outer < FEWEST:
        return f"{outer} outer folds leave a fit without two of them nothing to train on"
    trained = [config.train]
    for _, chosen in samples(search):
        if any(key.startswith(STOPS) or key == "train" for key in chosen):
            with contextlib.suppress(BadInput):  # its trial fails
                trained.append(candidate(config, chosen).train)
    for train in trained:
        if train.early_stopping:
            return "train.early_stopping would end a fit by the images of one of its two folds"
        if train.schedule.name == "plateau":
            return "schedule plateau would follow the images of one of its two folds"
    return None


def check(config: Config, where: str) -> None:
    """Refuse sharing that is asked for where it cannot be.

    Raises:
        BadInput: says why.
    """
    if config.validation.inner == "shared" and (why := why_not(config)):
        raise BadInput(
            f"{where}: validation.inner: shared cannot be, for {why}; leave it out, or set "
            f"validation.inner={INNER}"
        )


def inner_folds(config: Config) -> int:
    """Folds that each candidate of an outer fold is scored on, without repeats."""
    protocol = config.validation
    apart = isinstance(protocol.inner, int) or why_not(config)
    return protocol.inner_apart if apart else protocol.outer - 1


def settled(kind: str, config: Config, source: Any, *, fresh: bool = False) -> Config:
    """The config with `validation.inner` decided, unless a search of it is under way that an
    earlier version began: that one goes on with its own folds and draws.

    Args:
        kind: search or nested.
        config: with or without what it leaves open.
        source: the images, opened.
        fresh: whatever is under way.
    """
    now = _with_inner(kind, config, INNER if kind != "nested" or why_not(config) else "shared")
    assert now.search
    if fresh or (now == config and "paired" in now.search.model_fields_set):
        return now
    former = _with_inner(kind, config, INNER)
    if "paired" not in now.search.model_fields_set:
        unpaired = now.search.model_copy(update={"paired": False})
        former = former.model_copy(update={"search": unpaired})
    return as_begun(kind, source, now, former)


def fits_shared(config: Config, candidates: int) -> int:
    """Of all candidates, where outer folds share them; refits not included."""
    protocol = config.validation
    return candidates * protocol.outer * (protocol.outer - 1) // 2 * protocol.repeats


def fits_apart(config: Config, candidates: int) -> int:
    """Of all candidates, where each outer fold has inner folds of its own."""
    protocol = config.validation
    return candidates * protocol.outer * protocol.inner_apart * protocol.repeats


def _with_inner(kind: str, config: Config, inner: Any) -> Config:
    """With this where nothing is set."""
    if kind != "nested" or config.validation.inner is not None:
        return config
    validation = config.validation.model_copy(update={"inner": inner})
    return config.model_copy(update={"validation": validation})
