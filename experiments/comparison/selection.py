"""Which runs are compared (`--where`) and in which order their rows stand (`--sort`)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import yaml

from experiments.comparison.grouping import Comparison
from experiments.errors import BadInput, nearest
from experiments.presentation.columns import COLUMNS

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN_KEY = "run_id"
HIGHEST_FIRST = {"top1_mean", "n", "folds", "pareto"}  # beside what is better so


def matching(runs: Sequence[tuple[str, Run]], filters: Sequence[str]) -> list[tuple[str, Run]]:
    """Runs whose params or tags pass every filter: KEY=VALUE or KEY!=VALUE.

    A value is compared as YAML, so that 1e-3 is 0.001, and may hold * and ?. A key may be cut to
    its last parts where that is unambiguous: learning_rate for train.optimizer.learning_rate.
    run_id takes ids and first digits of ids, joined by commas.

    Raises:
        BadInput: a filter without =, a key that no run has, or nothing passes.
    """
    kept = list(runs)
    for text in filters:
        name, wanted, negated = _parsed(text)
        if name == RUN_KEY:
            ids = tuple(part.strip() for part in wanted.split(","))
            kept = [pair for pair in kept if pair[1].info.run_id.startswith(ids) != negated]
            if not kept:
                raise BadInput(f"--where {text}: no run passes; they must have finished")
            continue
        keys = {key for _, run in runs for key in (*run.data.params, *run.data.tags)}
        key = full_key(name, keys, "--where", "param or tag")
        passing = [pair for pair in kept if _is(pair[1], key, wanted) != negated]
        if not passing:
            values = sorted({str(_get(run, key)) for _, run in kept})
            raise BadInput(
                f"--where {text}: no run passes; {key} is {', '.join(values[:8])}"
                f"{' and others' if len(values) > 8 else ''}"
            )
        kept = passing
    return kept


def ordered(comparison: Comparison, column: str | None) -> Comparison:
    """The rows by a column: accuracies and rates from the highest, all else from the lowest.

    A minus sign before the column turns that around; rows without a value come last.

    Raises:
        BadInput: no such column.
    """
    if column is None:
        return comparison
    key = _column(comparison, column.removeprefix("-"))
    highest_first = {*HIGHEST_FIRST, *(c.key for c in COLUMNS if not c.less_is_better)}
    downwards = (key in highest_first) != column.startswith("-")
    there = [row for row in comparison.rows if _sortable(row[key]) is not None]
    absent = [row for row in comparison.rows if _sortable(row[key]) is None]
    there.sort(key=lambda row: _rank(row[key]), reverse=downwards)
    return replace(comparison, rows=there + absent, sort=column)


def _parsed(text: str) -> tuple[str, str, bool]:
    name, equals, wanted = text.partition("=")
    if not equals or not name.strip("! "):
        raise BadInput(f"--where {text}: expected KEY=VALUE or KEY!=VALUE, such as model.name=nin")
    return name.rstrip("! "), wanted.strip(), name.rstrip().endswith("!")


def full_key(name: str, keys: Collection[str], option: str, kind: str) -> str:
    """The key that an option names, whole or by its last parts.

    Raises:
        BadInput: none of the keys, or several.
    """
    if name in keys:
        return name
    ends = sorted(key for key in keys if key.endswith(f".{name}"))
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise BadInput(f"{option} {name}: could be {', '.join(ends)}; write it in full")
    close = nearest(name, sorted(keys))
    hint = f"nearest: {close}" if close else f"any {kind} of the runs will do"
    raise BadInput(f"{option} {name}: no run has a {kind} of this name; {hint}")


def _get(run: Run, key: str) -> str | None:
    value = run.data.params.get(key)
    return run.data.tags.get(key) if value is None else value


def _is(run: Run, key: str, wanted: str) -> bool:
    value = _get(run, key)
    if value is None:
        return wanted in ("null", "")
    return fnmatchcase(value, wanted) or _read(value) == _read(wanted)


def _read(text: str) -> Any:
    """A value as YAML 1.2 means it: 1e-3 is a number there."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # 2001-99-99 looks like a date
        return text


def _column(comparison: Comparison, name: str) -> str:
    columns = [key for key in comparison.rows[0] if key not in ("values", "run_ids", "seeds")]
    ends = [key for key in columns if key == name or key.endswith(f".{name}")]
    if name in columns or len(ends) == 1:
        return name if name in columns else ends[0]
    close = nearest(name, columns)
    what = f"nearest: {close}" if close else f"columns: {', '.join(columns)}"
    raise BadInput(f"--sort {name}: no such column; {what}")


def _sortable(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _rank(value: Any) -> tuple[int, float, str]:
    """Numbers by size, then words by letter; a column of settings may hold both."""
    if isinstance(value, (bool, int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)
