"""Compare the runs of experiments: fetch them, group them, test them against the best."""

from __future__ import annotations

import contextlib
import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from experiments.comparison import bench_join, best_of, best_of_notes, selection
from experiments.comparison.against_best import checked, with_significance
from experiments.comparison.fold_intervals import with_intervals
from experiments.comparison.grouping import Comparison, Score, grouped, value_of
from experiments.comparison.pair_tests import HitsOf
from experiments.errors import BadInput, nearest
from experiments.jobs.composition import DATA
from experiments.metrics import ranks
from experiments.tracking.run_log import SETTLEMENT, UNTIL_ALPHA
from experiments.tracking.status import status
from experiments.tracking.tracked_run import FINAL, RUN_ID, find_run

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs fetched at a time

DEFAULT_LEVELS = ("run", "outer_fold", "fold")
"""What level auto takes: the first of which the experiments hold any run."""
BY_FOLD = "fold_"
"""What the scores of a run that averages over folds begin with, by step."""
INNER = f"{BY_FOLD}val_top1"
LOOKED_AT = (
    "seeds were added until rows were settled, so there are fewest where the lead came out large; "
    "`settled` allows for that, of other seeds on these images, and gives the verdict; p and "
    "intervals beside it are as of so many seeds chosen beforehand, and bear no star"
)
VERDICTS = {"best": "best", "beaten": "worse", "equivalent": "equivalent"}
"""By how a row was settled."""


def compare(
    client: MlflowClient,
    experiment_names: Sequence[str],
    *,
    level: str = "auto",
    where: Sequence[str] = (),
    sort: str | None = None,
    test: str = "none",
    bench: str | None = None,
    best_of_keys: Sequence[str] = (),
    margin: float | None = None,
) -> Comparison:
    """Finished runs of these experiments, grouped by config without its seed.

    Args:
        experiment_names: names; or, in place of them, ids of the runs or their first eight digits.
        level: the kind of runs, by their tag: run (of train and sweep), trial, outer_fold, ...;
            auto for the outer folds of nested searches where there are no plain runs. A run above
            folds stands for them all; those of level fold are they themselves.
        where, sort: as `selection.matching` and `selection.ordered`.
        test: of each row against the best, as `against_best.with_significance`.
        bench: measurements to stand beside the rows, as `bench_join.parsed`.
        margin: in points of accuracy, as `against_best.with_significance` takes it in fractions.
        best_of_keys: settings of which validation picks one a row, as `best_of.choose`.

    Raises:
        BadInput: an experiment is unknown, nothing in them has finished, or an option is wrong.
    """
    names, where, level = _of_runs(client, list(dict.fromkeys(experiment_names)), where, level)
    made = checked(test)
    if margin is not None and not 0 < margin < 100:
        raise BadInput(f"--margin {margin:g}: expected points of accuracy above 0, such as 0.5")
    if level == FINAL:
        raise BadInput(
            "--level final: final networks were trained on every image that could test them, and "
            "have no score to compare; ilsvrc report shows what their cards expect"
        )
    wanted = None if bench is None else bench_join.parsed(bench)
    level, attempts = _attempts(client, names, level)
    finished = [(name, r) for name, r in attempts if r.info.status == "FINISHED"]
    done = {_what(name, r) for name, r in finished}
    left_out = Counter(
        r.info.status
        for name, r in attempts
        if r.info.status != "FINISHED" and _what(name, r) not in done  # else tried again since
    )
    if not finished:
        raise BadInput(_nothing_finished(client, names, left_out, level))
    there = {name for name, _ in finished}
    empty = [_without_rows(client, name, level) for name in names if name not in there]
    matching = selection.matching(finished, where)
    choice = best_of.choose(matching, best_of_keys, level) if best_of_keys else None
    chosen = choice.kept(matching) if choice else matching
    comparison = grouped(
        chosen,
        names,
        level,
        _inner_folds(client, [r for _, r in chosen]),
        choice.keys if choice else (),
        [r for _, r in matching] if choice else (),
    )
    if choice:
        comparison = best_of_notes.described(comparison, choice)
    comparison = replace(
        comparison,
        rows=_with_classes(client, comparison.rows),
        where=list(where),
        left_out=dict(sorted(left_out.items())),
        warnings=empty + comparison.warnings,
    )
    runs = {r.info.run_id: r for _, r in chosen}
    sizes = _sizes(client, runs, comparison.score)
    within = None if margin is None else margin / 100
    comparison = with_significance(comparison, made, sizes, kept_answers(client), within)
    comparison = with_intervals(comparison, sizes)
    comparison = _with_settled(client, comparison, runs)
    if wanted:
        rows = _runs(client, find_experiment(client, wanted.experiment), "bench")
        rows = [r for r in rows if r.info.status == "FINISHED"]
        comparison = bench_join.joined(comparison, wanted, rows, runs)
    return selection.ordered(comparison, sort)


def _of_runs(
    client: MlflowClient, names: list[str], where: Sequence[str], level: str
) -> tuple[list[str], Sequence[str], str]:
    """The same; where runs are named, their experiments, a filter for them, and their level.

    Raises:
        BadInput: a run that there is not, or runs beside experiments.
    """
    ids = [n for n in names if RUN_ID.fullmatch(n) and client.get_experiment_by_name(n) is None]
    if not ids:
        return names, where, level
    if len(ids) < len(names):
        other = next(name for name in names if name not in ids)
        raise BadInput(f"name experiments or runs, not both. Received: {other} beside {ids[0]}")
    runs = [find_run(client, run_id) for run_id in ids]
    if None in runs:
        raise BadInput(f"{ids[runs.index(None)]}: no such run in this store")
    there = [run for run in runs if run]
    levels = {run.level for run in there}
    if level == "auto" and len(levels) == 1:
        [level] = levels
    experiments = [client.get_experiment(run.info.experiment_id).name for run in there]
    return list(dict.fromkeys(experiments)), [*where, f"{selection.RUN_KEY}={','.join(ids)}"], level


def _attempts(
    client: MlflowClient, names: Sequence[str], level: str
) -> tuple[str, list[tuple[str, Run]]]:
    """The level, and its runs as (experiment name, run), whatever became of them."""
    ids = {name: find_experiment(client, name) for name in names}
    for one in DEFAULT_LEVELS if level == "auto" else (level,):
        attempts = [(name, run) for name in names for run in _runs(client, ids[name], one)]
        if attempts:
            return one, attempts
    return (DEFAULT_LEVELS[0] if level == "auto" else level), []


def find_experiment(client: MlflowClient, name: str) -> str:
    """The id of an experiment.

    Raises:
        BadInput: there is none of this name; the text has the nearest ones.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == "active":
        return str(experiment.experiment_id)
    known = [e.name for e in client.search_experiments() if e.name != "Default"]
    close = nearest(name, known) or ", ".join(known[:5])
    hint = (
        f"nearest: {close}"
        if close
        else "the store holds none; run a sweep or point tracking.uri at the store that holds it"
    )
    raise BadInput(f"No experiment named {name} in this store; {hint}")


def _runs(client: MlflowClient, experiment_id: str, level: str) -> list[Run]:
    if not level.replace("_", "").isalnum():
        raise BadInput(f"--level {level}: expected a word such as run, trial or outer_fold")
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], f"tags.level = '{level}'", max_results=PAGE, page_token=token
        )
        runs += [run for run in page if not _is_reproduction(run)]
        token = page.token
        if not token:
            return runs


def _what(name: str, run: Run) -> tuple[str | None, ...]:
    """What tells apart a run from another attempt at the same."""
    keys = ("config_hash", "source_fingerprint", "path")
    tags = [run.data.tags.get(key) for key in keys]
    return name, *(tags if tags[0] else [run.info.run_id])


def _with_classes(client: MlflowClient, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `classes`, of how many their images are; None where no run keeps that."""
    counts: dict[str | None, int | None] = {}
    for row in rows:
        if row["source_fingerprint"] not in counts:
            run = find_run(client, row["run_ids"][0])
            kept = json.loads((run and run.text_if_any(DATA)) or "{}")
            counts[row["source_fingerprint"]] = len(kept.get("class_names", ())) or None
    return [{**row, "classes": counts[row["source_fingerprint"]]} for row in rows]


def _with_settled(
    client: MlflowClient, comparison: Comparison, runs: Mapping[str, Run]
) -> Comparison:
    """With `settled_as` and `settled_after` in the rows, where a sweep with `until` had any; of
    several the newest counts."""
    ids = {run.data.tags.get("mlflow.parentRunId", "") for run in runs.values()} - {""}
    parents = [parent for run_id in ids if (parent := find_run(client, run_id))]
    by_group: dict[str, Mapping[str, Any]] = {}
    for parent in sorted(parents, key=lambda run: run.info.start_time):
        if UNTIL_ALPHA in parent.params:
            document = json.loads(parent.text_if_any(SETTLEMENT) or '{"rows": []}')
            by_group |= {row["group_hash"]: row for row in document["rows"]}
    if not by_group:
        return comparison
    rows = []
    for row in comparison.rows:
        of_sweep = by_group.get(row["group_hash"] or "", {})
        more = {key: of_sweep.get(key) for key in ("settled_as", "settled_after")}
        if kind := more["settled_as"]:
            more["verdict"] = VERDICTS.get(kind, "undecided")
            more["vs_best"] = row.get("vs_best", "").removesuffix(" *")
        rows.append({**row, **more})
    return replace(comparison, rows=rows, warnings=[*comparison.warnings, LOOKED_AT])


def _inner_folds(
    client: MlflowClient, runs: Sequence[Run]
) -> dict[tuple[str, str], dict[int, float]]:
    """Of runs that average over folds: each fold's scores."""
    folds = {}
    for run in runs:
        for score in get_args(Score):
            if f"{BY_FOLD}{score}" in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, f"{BY_FOLD}{score}")
                folds[run.info.run_id, score] = {metric.step: metric.value for metric in history}
    return folds


def _sizes(
    client: MlflowClient, runs: Mapping[str, Run], score: str
) -> dict[str, tuple[float, float]]:
    """Training and scored images of each run; of a trial over inner folds, their proportion."""
    part = "test" if score.startswith("test") else "validation"

    @functools.cache
    def inner_folds(parent: str) -> int:
        params = client.get_run(parent).data.params
        nested = client.get_run(parent).data.tags.get("level") == "nested"
        if nested and params.get("validation.inner") == "shared":  # the other outer folds
            return value_of(params["validation.outer"]) - 1
        return value_of(params.get("validation.inner" if nested else "validation.folds")) or 0

    sizes = {}
    for run_id, run in runs.items():
        params, parent = run.data.params, run.data.tags.get("mlflow.parentRunId")
        train, held = params.get("data.train_images"), params.get(f"data.{part}_images")
        if train and held:
            sizes[run_id] = (float(train), float(held))
        elif INNER in run.data.metrics and parent and (k := inner_folds(parent)):
            sizes[run_id] = (k - 1.0, 1.0)
    return sizes


def kept_answers(client: MlflowClient) -> HitsOf:
    """Which images a run had right, from the predictions that it kept; each read once."""

    @functools.cache
    def answers(run_id: str, part: str) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            run = find_run(client, run_id)
            kept = run.predictions.parts[part] if run else None
        except (BadInput, KeyError):
            return None
        return (kept.index, ranks(kept.probabilities, kept.labels) < 1) if kept else None

    return answers


def _nothing_finished(
    client: MlflowClient, names: Sequence[str], left_out: Mapping[str, int], level: str
) -> str:
    what = ", ".join(f"{count} {status.lower()}" for status, count in sorted(left_out.items()))
    shown = ", ".join(names)
    if not what:
        others = _levels(client, names)
        if others:
            there = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
            return f"{shown}: no runs of level {level}; there are {there}: --level {min(others)}"
        return f"{shown}: no runs of sweep or train to compare; run: ilsvrc sweep CONFIG"
    if set(left_out) <= {"RUNNING", "SCHEDULED"}:
        return f"{shown}: no finished runs yet ({what}); {_until_they_finish(names)}"
    return (
        f"{shown}: no finished runs ({what}); the tag `error` of a failed run says why, and "
        "the same ilsvrc sweep CONFIG resumes"
    )


def _without_rows(client: MlflowClient, name: str, level: str) -> str:
    others = _levels(client, [name])
    others.pop(level, None)
    there = ", ".join(f"{count} {other}" for other, count in sorted(others.items()))
    return f"{name}: no finished runs, so no rows" + (
        f" (it has {there}: --level)" if there else ""
    )


def _until_they_finish(names: Sequence[str]) -> str:
    """What to do about runs that the store takes for running: their journals know."""
    counts: Counter[str] = Counter()
    for name in names:
        with contextlib.suppress(BadInput):  # it runs elsewhere
            [row] = status(name)
            counts.update({key: row[key] for key in ("running", "left", "done", "failed")})
    if counts["running"] or not counts.total():
        return f"wait for them: ilsvrc status {names[0]}"
    if counts["done"] or counts["failed"]:
        return f"they have ended, and this store was not told all: ilsvrc upload {names[0]}"
    return "nobody is at work on them: run the same command again to continue"


def _levels(client: MlflowClient, names: Sequence[str]) -> Counter[str]:
    """Kinds of runs in these experiments that have something to compare."""
    ids = [find_experiment(client, name) for name in names]
    runs = client.search_runs(ids, "", max_results=PAGE)
    levels = Counter(run.data.tags.get("level", "") for run in runs if _is_compared(run))
    return Counter({name: count for name, count in levels.items() if name})


def _is_reproduction(run: Run) -> bool:
    """It is there to be compared with its original, not to stand in for it."""
    return "reproduces" in run.data.tags


def _is_compared(run: Run) -> bool:
    return not _is_reproduction(run) and any(
        metric.startswith(("test_", "val_")) for metric in run.data.metrics
    )
