"""Optuna's studies in memory, silent, and their trials as settings: its public names only."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tuning.space import Boolean, Choice, Float, Int, Parameter, Space, position

LEAST = 5  # the major version of Optuna


def check_installed() -> None:
    """Refuse to work without Optuna, which is not imported for that.

    Raises:
        ValueError: it is missing or too old.
    """
    try:
        version = importlib.metadata.version("optuna")
    except importlib.metadata.PackageNotFoundError:
        version = "none"
    if version == "none" or int(version.partition(".")[0]) < LEAST:
        raise ValueError(
            f"tpe, nsga2, qmc and cmaes need optuna {LEAST} or later. Received: {version}; "
            f"pip install 'optuna>={LEAST}'"
        )


def study(sampler: str, seed: int, minimise: Sequence[bool], **options: Any) -> Any:
    """A study in memory, with Optuna's sampler of that name.

    Raises:
        ValueError: Optuna is missing or too old.
    """
    check_installed()
    import optuna

    digest = hashlib.sha256(f"optuna {seed}".encode()).digest()
    options["seed"] = int.from_bytes(digest[:4])
    with quiet():
        return optuna.create_study(
            sampler=getattr(optuna.samplers, sampler)(**options),
            directions=["minimize" if less else "maximize" for less in minimise],
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what Optuna logs, and what it warns of as experimental."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)


def suggested(trial: Any, parameter: Parameter) -> Any:
    """The value that Optuna's trial has for it."""
    options, key = parameter.options, parameter.key
    if isinstance(parameter, Choice | Boolean):
        assert options is not None
        return options[trial.suggest_categorical(key, range(len(options)))]
    if options is not None:
        return options[trial.suggest_int(key, 0, len(options) - 1)]
    if isinstance(parameter, Int):
        return trial.suggest_int(key, parameter.low, parameter.high, log=True)
    assert isinstance(parameter, Float)
    value = trial.suggest_float(key, parameter.low, parameter.high, log=parameter.log)
    return parameter.nearest(value)


def encoded(space: Space, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as the values that `suggested` has read them from."""
    return {
        key: value if (one := space.by_key[key]).options is None else position(one, value)
        for key, value in settings.items()
    }
