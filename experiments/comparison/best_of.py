"""`--best-of KEY`: a row for all settings of a key, with the one that validation chose.

Runs that differ in the named settings and in seeds alone compete. The setting with the best mean
validation score over its seeds is kept, and its runs alone make the row: its test figures had no
part in the choice, so choosing does not make them optimistic, as picking by test would (Cawley and
Talbot 2010, JMLR 11). The validation figures of the kept rows are optimistic.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments.comparison.grouping import (
    NOT_A_SETTING,
    OF_SPLIT,
    fold_of,
    groups_of,
    newest_of_each,
    seeds_apart,
    value_of,
)
from experiments.comparison.row_names import short_keys
from experiments.comparison.selection import full_key
from experiments.config.meant import ABBREVIATIONS
from experiments.errors import BadInput

if TYPE_CHECKING:
    from mlflow.entities import Run

UNSET = ("null", "None", "{}")
TOP1, MSE = "val_top1", "val_mse"
DIGITS = 9  # of scores; beyond them means of equal values differ by rounding


@dataclass(frozen=True)
class Setting:
    """Runs of one config but for the seed."""

    values: Mapping[str, Any]
    """By the named keys."""
    runs: Sequence[Run]
    score: float | None
    """Mean of the validation score; None where no run has one."""
    loss: float
    """Mean validation loss, infinite where no run has one."""

    @property
    def repeats(self) -> set[tuple[str | None, str, str]]:
        """Seeds, those in their place, and folds."""
        return {
            (run.data.params.get("seed"), str(seeds_apart(run)), fold_of(run)) for run in self.runs
        }


@dataclass(frozen=True)
class Family:
    """Settings that differ in the named keys alone, in the order in which they were begun."""

    model: str
    metric: str
    settings: Sequence[Setting]
    chosen: Setting | None
    """None where there are several and none has a validation score."""


@dataclass(frozen=True)
class Choice:
    """What validation chose."""

    keys: list[str]
    families: list[Family]

    def kept(self, runs: Sequence[tuple[str, Run]]) -> list[tuple[str, Run]]:
        """Those of the runs, given as to `choose`, that are of a chosen setting."""
        hashes = {_config(run) for f in self.families if f.chosen for run in f.chosen.runs}
        return [(name, run) for name, run in runs if _config(run) in hashes]


def choose(runs: Sequence[tuple[str, Run]], names: Sequence[str], level: str = "run") -> Choice:
    """Which setting each family of runs, given as (experiment name, run), is shown with.

    Args:
        names: config keys or sections, whole or cut to their last parts; several by commas.

    Raises:
        BadInput: no such key, nothing to choose from, or no run has a validation score.
    """
    if level == "outer_fold":
        raise BadInput("--best-of: each outer fold has chosen its settings already; leave it out")
    newest = newest_of_each(runs)
    keys = _keys([run for _, run in newest], names)
    families: dict[Hashable, list[list[Run]]] = {}
    for (name, _, fingerprint), members in groups_of(newest, level).items():
        rest = frozenset(
            (key, value)
            for key, value in members[0].data.params.items()
            if _is_setting(key) and key not in keys and value not in UNSET
        )
        families.setdefault((name, fingerprint, rest), []).append(members)
    if all(len(settings) == 1 for settings in families.values()):
        raise BadInput(
            f"--best-of {', '.join(names)}: no two configs differ in that alone; what differs: "
            f"{', '.join(_differing([run for _, run in newest])) or 'nothing but the seed'}"
        )
    keys = [k for k in keys if any(_differ(settings, k) for settings in families.values())]
    choice = Choice(keys, [_family(settings, keys) for settings in families.values()])
    if not any(f.chosen and f.chosen.score is not None for f in choice.families):
        raise BadInput(
            f"--best-of {', '.join(names)}: no run has val_top1 or val_mse, by which to choose; "
            "give the config a validation part (validation.validation_fraction)"
        )
    return choice


def in_short(keys: Sequence[str]) -> str:
    """The keys in a line: learning_rate and weight_decay."""
    return " and ".join(short_keys(keys).values())


def _keys(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    there = sorted({key for run in runs for key in run.data.params if _is_setting(key)})
    keys: list[str] = []
    for name in filter(None, (word.strip() for text in names for word in text.split(","))):
        if name.split(".")[0] in NOT_A_SETTING:
            raise BadInput(f"--best-of {name}: this is no setting of a network or its training")
        name = ABBREVIATIONS.get(name, name)
        section = [key for key in there if key.startswith(f"{name}.")]
        keys += section or [full_key(name, there, "--best-of", "setting")]
    return list(dict.fromkeys(keys))


def _is_setting(key: str) -> bool:
    return key.split(".")[0] not in NOT_A_SETTING and key not in OF_SPLIT


def _differ(settings: Sequence[Sequence[Run]], key: str) -> bool:
    return len({members[0].data.params.get(key) for members in settings}) > 1


def _differing(runs: Sequence[Run]) -> list[str]:
    keys = sorted({key for run in runs for key in run.data.params if _is_setting(key)})
    return [key for key in keys if _differ([[run] for run in runs], key)]


def _config(run: Run) -> str:
    tags = run.data.tags
    return "/".join(
        [
            run.info.experiment_id,
            tags.get("group_hash") or tags.get("config_hash") or run.info.run_id,
            tags.get("source_fingerprint", ""),
        ]
    )


def _family(settings: Sequence[Sequence[Run]], keys: Sequence[str]) -> Family:
    metric = TOP1 if any(values_of(runs, TOP1) for runs in settings) else MSE
    ordered = sorted(settings, key=lambda runs: min(run.info.start_time for run in runs))
    tried = [_setting(runs, keys, metric) for runs in ordered]
    scored = [setting for setting in tried if setting.score is not None]
    chosen = min(scored, key=lambda s: (rank(s, metric), s.loss), default=None)
    if chosen is None and len(tried) == 1:
        chosen = tried[0]
    return Family(str(ordered[0][0].data.params.get("model.name")), metric, tried, chosen)


def _setting(runs: Sequence[Run], keys: Sequence[str], metric: str) -> Setting:
    scores, losses = values_of(runs, metric), values_of(runs, "val_loss")
    return Setting(
        values={key: value_of(runs[0].data.params.get(key)) for key in keys},
        runs=runs,
        score=fmean(scores) if scores else None,
        loss=fmean(losses) if losses else math.inf,
    )


def values_of(runs: Sequence[Run], metric: str) -> list[float]:
    """A metric of the runs that have it."""
    numbers = (run.data.metrics.get(metric, math.nan) for run in runs)
    return [number for number in numbers if math.isfinite(number)]


def rank(setting: Setting, metric: str) -> float:
    """The less, the better; equal scores have one."""
    score = setting.score or 0.0
    return round(score if metric == MSE else -score, DIGITS)
