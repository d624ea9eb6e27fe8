"""From runs to rows: one row a configuration, its seeds averaged, the Pareto front marked."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

from experiments.errors import BadInput
from experiments.wording import in_words

if TYPE_CHECKING:
    from mlflow.entities import Run

ACCURACIES = ("test_top1", "test_top5", "val_top1", "val_top5", "train_top1")
ERRORS = ("test_mse", "val_mse", "train_mse")  # of reconstructions
COUNTS = ("params", "macs", "activation_bytes")
COSTS = (
    "latency_ms_p50",
    "latency_ms_p95",
    "train_images_per_second",
    "infer_images_per_second",
    "peak_memory_bytes",
    "train_seconds",
)
NOT_A_SETTING = {"seed", "name", "tracking", "launch", "sweep"}  # first parts of config keys

Score = Literal["test_top1", "val_top1", "test_mse", "val_mse"]


@dataclass(frozen=True)
class Comparison:
    """Rows sorted by top-1, best first, and what a reader must know about them.

    A row holds `name experiment model n seeds top1_mean top1_std top1_error pareto`, the varying
    settings under their config keys, means (accuracies as fractions and squared errors also with
    `_std`, the sample standard deviation over seeds, None with one seed) and `device precision
    source run_ids`. Reconstructions have `test_mse val_mse train_mse` and no top-1.
    """

    experiments: list[str]
    score: Score
    rows: list[dict[str, Any]]
    varying: list[str]
    """Config keys whose values differ between rows."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Runs without a result, counted by MLflow status."""
    repeats: int = 0
    """Runs left out because a newer run has the same config and seed."""
    sources: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    precisions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def grouped(runs: Sequence[tuple[str, Run]], experiments: Sequence[str]) -> Comparison:
    """Rows of finished runs, given as (experiment name, run); `left_out` stays empty.

    Raises:
        BadInput: no run has a top-1 or a squared error of reconstructions.
    """
    kept = _newest_of_each(runs)
    score = _score([run for _, run in kept], experiments)
    groups = _groups(kept)
    varying = _varying([members[0] for members in groups.values()])
    rows = [_row(key[0], members, varying, score) for key, members in groups.items()]
    rows.sort(key=_best_first)
    _name(rows, varying)
    _mark_pareto(rows)
    return Comparison(
        experiments=list(experiments),
        score=score,
        rows=rows,
        varying=varying,
        repeats=len(runs) - len(kept),
        sources=_all(rows, "source"),
        devices=_all(rows, "device"),
        precisions=_all(rows, "precision"),
        warnings=_warnings(rows, score),
    )


def _best_first(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """By top-1, then reconstructions by squared error, then by cost."""
    mse = row["val_mse"] if row["test_mse"] is None else row["test_mse"]
    return (-_or(row["top1_mean"], -1.0), _or(mse, math.inf), _or(row["macs"], math.inf))


def front(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The Pareto-optimal rows, cheapest first."""
    chosen = [row for row in rows if row["pareto"]]
    return sorted(chosen, key=lambda row: (row["macs"], row["top1_error"]))


def placeable(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows that have both coordinates of the accuracy-cost plane."""
    return [row for row in rows if row["macs"] is not None and row["top1_mean"] is not None]


def _newest_of_each(runs: Sequence[tuple[str, Run]]) -> list[tuple[str, Run]]:
    """One run for each (experiment, config with seed, data): the newest."""
    newest: dict[tuple[str, str, str], tuple[str, Run]] = {}
    for name, run in sorted(runs, key=lambda pair: (pair[1].info.start_time, pair[1].info.run_id)):
        tags = run.data.tags
        key = (name, tags.get("config_hash", run.info.run_id), tags.get("source_fingerprint", ""))
        newest[key] = (name, run)
    return list(newest.values())


def _score(runs: Sequence[Run], names: Sequence[str]) -> Score:
    scores: tuple[Score, ...] = ("test_top1", "val_top1", "test_mse", "val_mse")
    for score in scores:
        if any(_number(run, score) is not None for run in runs):
            return score
    raise BadInput(
        f"{', '.join(names)}: no finished run has test_top1, val_top1, test_mse or val_mse; "
        "compare ranks runs with a test or validation part"
    )


def _groups(runs: Sequence[tuple[str, Run]]) -> dict[tuple[str, str, str], list[Run]]:
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for name, run in runs:
        tags = run.data.tags
        group = tags.get("group_hash") or tags.get("config_hash") or run.info.run_id
        groups.setdefault((name, group, tags.get("source_fingerprint", "")), []).append(run)
    return groups


def _varying(runs: Sequence[Run]) -> list[str]:
    keys = sorted({key for run in runs for key in run.data.params})
    return [
        key
        for key in keys
        if key.split(".")[0] not in NOT_A_SETTING
        and len({run.data.params.get(key) for run in runs}) > 1
    ]


def _row(
    experiment: str, runs: Sequence[Run], varying: Sequence[str], score: Score
) -> dict[str, Any]:
    first = runs[0].data
    means: dict[str, Any] = {}
    for metric in (*ACCURACIES, *ERRORS):
        values = _numbers(runs, metric)
        means[metric] = fmean(values) if values else None
        means[f"{metric}_std"] = stdev(values) if len(values) > 1 else None
    for metric in (*COUNTS, *COSTS):
        values = _numbers(runs, metric)
        mean = fmean(values) if values else None
        whole = metric in COUNTS and mean is not None and mean.is_integer()
        means[metric] = int(mean) if whole and mean is not None else mean
    top1 = means[score] if score in ACCURACIES else None
    return {
        "name": first.params.get("model.name", runs[0].info.run_name),
        "experiment": experiment,
        "model": first.params.get("model.name"),
        **{key: _value(first.params.get(key)) for key in varying},
        "n": len(runs),
        "seeds": sorted(int(run.data.params["seed"]) for run in runs if "seed" in run.data.params),
        "top1_mean": top1,
        "top1_std": means[f"{score}_std"] if score in ACCURACIES else None,
        "top1_error": None if top1 is None else 1 - top1,
        **means,
        "pareto": False,
        "device": _shared(runs, "device"),
        "precision": _shared(runs, "precision") or first.params.get("train.precision"),
        "source": _shared(runs, "source") or first.params.get("data.source"),
        "source_fingerprint": first.tags.get("source_fingerprint"),
        "group_hash": first.tags.get("group_hash"),
        "run_ids": [run.info.run_id for run in runs],
        "without_score": sum(_number(run, score) is None for run in runs),
    }


def _name(rows: Sequence[dict[str, Any]], varying: Sequence[str]) -> None:
    """Tell rows of one model apart by the settings in which those rows differ."""
    short = _short(varying)
    for shared in _clashes(rows):
        keys = [key for key in varying if len({str(row[key]) for row in shared}) > 1]
        for row in shared:
            # What is null in one of many rows is what no setting was given for.
            given = [key for key in keys if row[key] is not None] if len(keys) > 1 else keys
            parts = [f"{short[key]}={in_words(row[key])}" for key in given]
            row["name"] = " ".join([row["name"], *parts])
    for extra in ("experiment", "source_fingerprint", "group_hash"):
        for shared in _clashes(rows):
            if len({row[extra] for row in shared}) > 1:
                for row in shared:
                    row["name"] += f" ({_or(row[extra], '?')})"


def _clashes(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    return [shared for shared in by_name.values() if len(shared) > 1]


def _short(keys: Sequence[str]) -> dict[str, str]:
    """Each key's last part, or last two where the last is shared: optimizer.name, schedule.name."""
    ends = Counter(key.split(".")[-1] for key in keys)
    return {
        key: key.split(".")[-1] if ends[key.split(".")[-1]] == 1 else ".".join(key.split(".")[-2:])
        for key in keys
    }


def _mark_pareto(rows: Sequence[dict[str, Any]]) -> None:
    """A row is dominated by one at least as good in MACs and top-1, and better in one of them."""
    points = placeable(rows)
    for row in rows:
        row["pareto"] = row in points and not any(
            other["macs"] <= row["macs"]
            and other["top1_mean"] >= row["top1_mean"]
            and (other["macs"] < row["macs"] or other["top1_mean"] > row["top1_mean"])
            for other in points
        )


def _warnings(rows: Sequence[dict[str, Any]], score: Score) -> list[str]:
    found = []
    fingerprints = {row["source_fingerprint"] for row in rows}
    if len(fingerprints) > 1:
        sources = ", ".join(sorted(str(f)[:12] for f in fingerprints))
        found.append(f"Not comparable: the rows were trained on different data (sources {sources})")
    for row in rows:
        missing = row.pop("without_score")
        if missing and not (score in ACCURACIES and _is_error(row)):
            found.append(f"{row['name']}: {missing} of {row['n']} runs have no {score}")
    if score.startswith("val"):
        what = "top-1" if score in ACCURACIES else "squared error"
        found.append(f"No run has a test part: {what} here is that of the validation part")
    if score in ACCURACIES and any(row["top1_mean"] is None and _is_error(row) for row in rows):
        found.append("Reconstructions have no top-1; their squared error stands beside it")
    if len(_all(rows, "device")) > 1:
        found.append("Times, rates and memory come from different devices")
    if len(_all(rows, "precision")) > 1:
        found.append("The rows mix precisions")
    return found


def _shared(runs: Sequence[Run], tag: str) -> str | None:
    values = sorted({run.data.tags[tag] for run in runs if run.data.tags.get(tag)})
    return "; ".join(values) or None


def _all(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return sorted({part for row in rows if row[key] for part in row[key].split("; ")})


def _number(run: Run, metric: str) -> float | None:
    value = run.data.metrics.get(metric)
    return value if value is not None and math.isfinite(value) else None


def _numbers(runs: Sequence[Run], metric: str) -> list[float]:
    return [value for run in runs if (value := _number(run, metric)) is not None]


def _value(text: str | None) -> Any:
    """A parameter as it was in the config: MLflow keeps strings."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def _is_error(row: Mapping[str, Any]) -> bool:
    return any(row[metric] is not None for metric in ERRORS)


def _or(value: Any, instead: Any) -> Any:
    return instead if value is None else value
