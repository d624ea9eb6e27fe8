"""From runs to rows: one row a configuration, its seeds and folds averaged, the front marked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

from experiments.comparison import pareto_front
from experiments.comparison.comparability import COUNTED_ONCE, distinct, warnings_of
from experiments.comparison.row_names import name_rows
from experiments.comparison.shared_cost import Shared, measurements, shared
from experiments.errors import BadInput
from experiments.jobs.composition import CLASS_SIZES
from experiments.presentation.columns import of_kind
from experiments.presentation.formatting import SEEDS
from experiments.tracking.tracked_run import FOLD as FOLD_TAG
from experiments.tracking.tracked_run import FOLDS as FOLDS_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run

NOT_A_SETTING = {
    "seed",
    "seeds",
    "name",
    "tracking",
    "launch",
    "sweep",
    "search",
}  # first parts of config keys
DIFFERS = "(differs)"
"""A setting that the folds of one row do not share: nested search picks it anew in each."""
FOLD = re.compile(r"(?:outer|fold|repeat)/\d+")

Score = Literal["test_top1", "val_top1", "test_mse", "val_mse"]
Folds = Mapping[tuple[str, str], Mapping[int, float]]
"""Of a run id and a score: its value by fold, where the run averages over folds."""
OF_SPLIT = ("data.train_images", "data.validation_images", "data.test_images")
"""Params that only say what another setting led to; folds of one config differ by an image."""


@dataclass(frozen=True)
class Comparison:
    """Rows sorted by top-1, best first, and what a reader must know about them.

    A row holds `name experiment model n seeds folds top1_mean top1_std top1_error pareto
    dominated`, the varying settings under their config keys, means (accuracies as fractions and
    squared errors also with `_std`, the sample standard deviation over seeds and folds, None where
    n is 1; latency and rate as `shared_cost`, with `latency_disturbed infer_disturbed`), `device
    precision source git_commit git_dirty machine run_ids`, `class_sizes` (images of the smallest
    and the largest class of the scored part, None where no run tells them), `classes` of the images
    as `compare.compare` gives them, and `values`: the score of every seed and fold, with `seeds`
    where draws have seeds of their own. Reconstructions have `test_mse val_mse train_mse` and
    no top-1.
    """

    experiments: list[str]
    score: Score
    rows: list[dict[str, Any]]
    varying: list[str]
    """Config keys whose values differ between rows."""
    level: str = "run"
    """The kind of runs in the rows: run (of train and sweep), trial, outer_fold, ..."""
    where: list[str] = field(default_factory=list)
    """Filters that the runs passed."""
    sort: str | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    """Runs without a result, counted by MLflow status."""
    repeats: int = 0
    """Runs left out because a newer run has the same config and seed."""
    sources: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    precisions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    significance: dict[str, Any] | None = None
    """See `against_best`: the best row, the tests made, and notes on what they say."""
    bench: dict[str, Any] | None = None
    """See `bench_join`: which measurements stand beside the rows, and notes on them."""
    best_of: dict[str, Any] | None = None
    """See `best_of`: the settings that validation chose, `keys`, and notes on the choice."""


def grouped(
    runs: Sequence[tuple[str, Run]],
    experiments: Sequence[str],
    level: str = "run",
    folds: Folds | None = None,
    chosen: Sequence[str] = (),
    measured: Sequence[Run] = (),
) -> Comparison:
    """Rows of finished runs, given as (experiment name, run); `left_out` stays empty.

    Args:
        chosen: config keys that rows hold, but are not told apart by.
        measured: other runs, whose measurements count where their networks are those of rows.

    Raises:
        BadInput: no run has a top-1 or a squared error of reconstructions.
    """
    kept = newest_of_each(runs)
    score = _score([run for _, run in kept], experiments)
    groups = groups_of(kept, level)
    grouped_runs = [run for members in groups.values() for run in members]
    varying = [key for key in varying_keys(grouped_runs) if key not in chosen]
    timed = shared([*(run for _, run in kept), *measured])
    rows = [
        _row(key[0], members, [*varying, *chosen], score, folds or {}, timed)
        for key, members in groups.items()
    ]
    rows.sort(key=_best_first)
    name_rows(rows, varying)
    pareto_front.mark(rows)
    warnings = warnings_of(rows, score)
    for row in rows:
        for key in COUNTED_ONCE:
            del row[key]
    return Comparison(
        experiments=list(experiments),
        score=score,
        rows=rows,
        varying=varying,
        level=level,
        repeats=len(runs) - len(kept),
        sources=distinct(rows, "source"),
        devices=distinct(rows, "device"),
        precisions=distinct(rows, "precision"),
        warnings=warnings,
    )


def fold_of(run: Run) -> str:
    """Which fold a run is of, such as outer/2; empty where there are none."""
    return "/".join(FOLD.findall(run.data.tags.get("path", "")))


def seeds_apart(run: Run) -> dict[str, int]:
    """What stands in place of a run's seed, by kind of draw; empty where nothing does."""
    params = run.data.params
    given = {key: value_of(text) for key, text in sorted(params.items()) if key.startswith(SEEDS)}
    return {key.removeprefix(SEEDS): seed for key, seed in given.items() if seed is not None}


def draw_of(value: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal for values of a row whose runs drew alike: of one seed, `seeds` and fold."""
    return value["seed"], *value.get("seeds", {}).items(), value["fold"]


def seeds_in_words(value: Mapping[str, Any]) -> str:
    """Of a value of a row: its seed, and what stands in its place: 1 weights 2 order 3."""
    apart = value.get("seeds", {}).items()
    return " ".join([str(value["seed"]), *(f"{draw} {seed}" for draw, seed in apart)])


def value_of(text: str | None) -> Any:
    """A parameter as it was in the config: MLflow keeps strings."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _best_first(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """By top-1, then reconstructions by squared error, then by cost."""
    mse = row["val_mse"] if row["test_mse"] is None else row["test_mse"]
    return (-_or(row["top1_mean"], -1.0), _or(mse, math.inf), _or(row["macs"], math.inf))


def newest_of_each(runs: Sequence[tuple[str, Run]]) -> list[tuple[str, Run]]:
    """One run for each (experiment, config with seed, data, fold): the newest."""
    newest: dict[tuple[str, ...], tuple[str, Run]] = {}
    for name, run in sorted(runs, key=lambda pair: (pair[1].info.start_time, pair[1].info.run_id)):
        tags = run.data.tags
        config = tags.get("config_hash", run.info.run_id)
        newest[name, config, tags.get("source_fingerprint", ""), fold_of(run)] = (name, run)
    return list(newest.values())


def _score(runs: Sequence[Run], names: Sequence[str]) -> Score:
    """The test's, before that of the validation; of runs on folds that of what these share out: the
    images of another part are the same for all of them, and no spread over folds tells of it."""
    for score in by_preference(validation_first=all(_on_validation_folds(run) for run in runs)):
        if any(_number(run, score) is not None for run in runs):
            return score
    raise BadInput(
        f"{', '.join(names)}: no finished run has test_top1, val_top1, test_mse or val_mse; "
        "compare ranks runs with a test or validation part"
    )


def by_preference(*, validation_first: bool) -> list[Score]:
    """Scores to rank by, of which the first counts that there is."""
    scores: list[Score] = ["test_top1", "val_top1", "test_mse", "val_mse"]
    return (
        sorted(scores, key=lambda score: score.startswith("test")) if validation_first else scores
    )


def _on_validation_folds(run: Run) -> bool:
    """Was it trained on folds, or is it a mean over such, that are the validation part in turn?"""
    tags = run.data.tags
    tested = value_of(run.data.params.get("validation.test_folds"))
    return (FOLD_TAG in tags or FOLDS_TAG in tags) and not tested


def groups_of(runs: Sequence[tuple[str, Run]], level: str) -> dict[tuple[str, str, str], list[Run]]:
    """Runs of one config without its seed; outer folds by the nested search that they belong to,
    because each of them picks its own settings."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for name, run in runs:
        tags = run.data.tags
        group = tags.get("group_hash") or tags.get("config_hash") or run.info.run_id
        if level == "outer_fold":
            group = tags.get("mlflow.parentRunId") or group
        groups.setdefault((name, group, tags.get("source_fingerprint", "")), []).append(run)
    return groups


def _is_of_fold(run: Run) -> bool:
    """Was it trained on one of several folds, whose sizes differ by an image?"""
    return FOLD_TAG in run.data.tags or run.data.tags.get("level") == "outer_fold"


def varying_keys(runs: Sequence[Run]) -> list[str]:
    """Settings that these runs do not share."""
    keys = sorted({key for run in runs for key in run.data.params})
    return [
        key
        for key in keys
        if key.split(".")[0] not in NOT_A_SETTING
        and not (key in OF_SPLIT and any(_is_of_fold(run) for run in runs))
        and len({run.data.params.get(key) for run in runs}) > 1
    ]


def _row(
    experiment: str,
    runs: Sequence[Run],
    varying: Sequence[str],
    score: Score,
    folds: Folds,
    timed: Mapping[str, Mapping[str, Shared]],
) -> dict[str, Any]:
    first = runs[0].data
    values = _values(runs, score, folds)
    means: dict[str, Any] = {}
    for column in of_kind("accuracy", "error", "size", "work", "measured"):
        numbers = _numbers(runs, column.key)
        if column.key == score:
            numbers = [value["score"] for value in values]
        if column.disturbed:
            measured = [timed[run.info.run_id].get(column.disturbed) for run in runs]
            numbers = [x.values[column.key] for x in measured if x and column.key in x.values]
            if len(set(numbers)) == 1:  # or their mean would be off by a rounding
                numbers = numbers[:1]
        mean = fmean(numbers) if numbers else None
        if column.kind in ("size", "work") and mean is not None and mean.is_integer():
            mean = int(mean)
        means[column.key] = mean
        if column.kind in ("accuracy", "error"):
            means[f"{column.key}_std"] = stdev(numbers) if len(numbers) > 1 else None
    ranked_by_top1 = score.endswith("top1")
    top1 = means[score] if ranked_by_top1 else None
    model = _setting(runs, "model.name")
    return {
        "name": runs[0].info.run_name if model in (None, DIFFERS) else model,
        "experiment": experiment,
        "model": model,
        **{key: _setting(runs, key) for key in varying},
        "n": max(len(values), len(runs)),
        "seeds": sorted({int(r.data.params["seed"]) for r in runs if "seed" in r.data.params}),
        "folds": len({value["fold"] for value in values} - {""}) or None,
        "top1_mean": top1,
        "top1_std": means[f"{score}_std"] if ranked_by_top1 else None,
        "top1_error": None if top1 is None else 1 - top1,
        **means,
        **{metric: _disturbed(runs, metric, timed) for metric in measurements()},
        "pareto": False,
        "dominated": False,
        "device": _joined(runs, "device"),
        "precision": _joined(runs, "precision") or first.params.get("train.precision"),
        "source": _joined(runs, "source") or first.params.get("data.source"),
        "source_fingerprint": first.tags.get("source_fingerprint"),
        "group_hash": first.tags.get("group_hash"),
        "class_sizes": _class_sizes(runs, score.partition("_")[0]),
        "git_commit": _joined(runs, "git_commit"),
        "git_dirty": _joined(runs, "git_dirty"),
        "machine": _joined(runs, "machine"),
        "run_ids": [run.info.run_id for run in runs],
        "values": values,
        "without_score": sum(_number(run, score) is None for run in runs),
        "dirty_runs": sum(run.data.tags.get("git_dirty") == "true" for run in runs),
    }


def _disturbed(
    runs: Sequence[Run], metric: str, timed: Mapping[str, Mapping[str, Shared]]
) -> bool | None:
    """Was a measurement disturbed, of any of the networks in a row? None where none tells."""
    flags = [one.disturbed for run in runs if (one := timed[run.info.run_id].get(metric))]
    known = [flag for flag in flags if flag is not None]
    return any(known) if known else None


def _values(runs: Sequence[Run], score: Score, folds: Folds) -> list[dict[str, Any]]:
    """The score of every seed and fold, in the order of the seeds."""
    scores = []
    for run in runs:
        mean = _number(run, score)
        if mean is None:
            continue
        seed, fold = value_of(run.data.params.get("seed")), fold_of(run)
        inner = folds.get((run.info.run_id, score))
        parts = {fold: mean}
        if inner:
            parts = {f"{fold}/fold/{k}".strip("/"): value for k, value in inner.items()}
        for part, value in parts.items():
            one = {"run_id": run.info.run_id, "seed": seed, "fold": part, "score": value}
            scores.append(one | ({"seeds": apart} if (apart := seeds_apart(run)) else {}))
    return sorted(scores, key=lambda v: (str(v["seed"]).zfill(12), seeds_in_words(v), v["fold"]))


def _setting(runs: Sequence[Run], key: str) -> Any:
    texts = {run.data.params.get(key) for run in runs}
    return value_of(texts.pop()) if len(texts) == 1 else DIFFERS


def tag_values(tags: Sequence[Mapping[str, str]], tag: str) -> list[str]:
    """The values of a tag in runs of these tags, sorted."""
    return sorted({of_run[tag] for of_run in tags if of_run.get(tag)})


def _class_sizes(runs: Sequence[Run], part: str) -> list[int] | None:
    """Images of the smallest and of the largest class of a part, over all runs; None where no run
    tells them."""
    told = [value_of(run.data.tags.get(CLASS_SIZES)) or {} for run in runs]
    sizes = [of_run[part] for of_run in told if part in of_run]
    return [min(low for low, _ in sizes), max(high for _, high in sizes)] if sizes else None


def _joined(runs: Sequence[Run], tag: str) -> str | None:
    return "; ".join(tag_values([run.data.tags for run in runs], tag)) or None


def _number(run: Run, metric: str) -> float | None:
    value = run.data.metrics.get(metric)
    return value if value is not None and math.isfinite(value) else None


def _numbers(runs: Sequence[Run], metric: str) -> list[float]:
    return [value for run in runs if (value := _number(run, metric)) is not None]


def _or(value: Any, instead: Any) -> Any:
    return instead if value is None else value
