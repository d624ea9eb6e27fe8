"""`ilsvrc reproduce`: run a tracked run again, and say which of its metrics come out the same.

On the same machine, thread count and versions every metric is identical bit for bit while
`train.deterministic` is on, as it is by default. Times and memory are no results; they are listed
apart. The repetition is a fit of its own: it is never answered from the journal of the first one.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from experiments.config import settings
from experiments.config.identity import config_hash
from experiments.config.schema import Config
from experiments.errors import BadInput, shown
from experiments.jobs.job import ROOT, Job, Outcome
from experiments.jobs.plan import Plan, prepare
from experiments.jobs.predictions import FILE
from experiments.launch import executors
from experiments.launch.progress import Display
from experiments.presentation.columns import COLUMNS
from experiments.runs.execute import execute
from experiments.tracking.experiment import Experiment
from experiments.tracking.initial import fetch_initial
from experiments.tracking.provenance import surroundings
from experiments.tracking.store import connect, store_uri
from experiments.tracking.tracked_run import FOLDS, TrackedRun, find_run

COUNTS = frozenset({"params", "macs", "activation_bytes"})
"""Of a run's cost, what no clock measures."""
LEVEL = "reproduction"
"""Of the new run: one of level run would count twice wherever runs are counted."""
CHANGEABLE = ("tracking.uri", "data.source", "launch.")  # none of them changes a result
FITS = ("run", "fold")
"""Levels of runs that are a single fit of their config."""
INSTEAD = {
    "sweep": "give one of its runs",
    FOLDS: "give one of the runs on its folds",
    "search": "run `ilsvrc search` on its config.yaml",
    "trial": "run `ilsvrc search` on the config.yaml of the run above it",
    "nested": "run `ilsvrc nested` on its config.yaml",
    "reproduction": "give the run that it repeats, the tag `reproduces` names it",
    "outer_fold": "run `ilsvrc nested` on the config.yaml of the run above it",
    "front": "run `ilsvrc nested` on the config.yaml of the run above it",
    "refit": "run `ilsvrc search` on the config.yaml of the run above it",
    "final": "run the command of the run above it, search or nested, on that one's config.yaml",
    "bench": "run `ilsvrc bench` again",
}


def reproduce(
    run_id: str, changes: Sequence[str] = (), *, anyway: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Run a run again as a new run, tagged `reproduces`, and compare the two.

    Args:
        run_id: a finished run of level run or fold, also one of a sweep.
        changes: tracking.uri=..., data.source=... (the same data elsewhere), launch.*=...
        anyway: go on although the data are not the same.
        quiet: no line an epoch.

    Returns:
        {"run_id", "reproduces", "status", "identical": [metrics], "differences": {metric:
        {"original", "reproduced", "difference"}}, "epochs_differ": {metric: first such epoch},
        "predictions_identical", "costs": {metric: {"original", "reproduced"}}, "warnings"}

    Raises:
        BadInput: no such run, none that can be repeated, or other data without `anyway`.
    """
    given = settings.override({}, _checked(changes))
    uri = store_uri(settings.parse(given).tracking.uri)
    original = _original(uri, run_id)
    config = _config(original, uri, changes)
    with executors.executor(config.launch) as executor:
        plan = prepare(config)
        warnings = _differences_of_surroundings(original)
        warnings += _differences_of_inputs(original, plan, config, anyway)
        job = _job(plan, run_id)
        experiment = Experiment(config.name, config.tracking)
        experiment.origin |= {"reproduces": run_id}
        fetch_initial(job, experiment, plan.source)
        with Display(1, every_epoch=not quiet) as display:
            for line in warnings:
                display.say(f"warning: {line}")
            [(job, outcome, run)] = execute(
                [job], executor, experiment, {job.path: plan.source.fingerprint}, display,
                level=LEVEL,
            )  # fmt: skip
            was, device = original.tags.get("device"), outcome.tags.get("device")
            if device not in (None, was):
                warnings.append(f"device: {was} then, {device} now")
                display.say(f"warning: {warnings[-1]}")
    if outcome.bad_input:
        raise BadInput(str(outcome.error))
    document: dict[str, Any] = {"run_id": run.id, "reproduces": run_id, "status": outcome.status}
    if outcome.error:
        document["error"] = outcome.error
    document |= compare(original, outcome)
    document["predictions_identical"] = _same_predictions(original, outcome)
    return document | {"warnings": warnings}


def compare(original: TrackedRun, outcome: Outcome) -> dict[str, Any]:
    """Metric by metric, the last value and every epoch's, what is identical and what is not."""
    now = {**(outcome.history[-1] if outcome.history else {}), **outcome.scores, **outcome.cost}
    was = {k: v for k, v in original.metrics.items() if not k.startswith("system/")}
    measured = set(outcome.cost) - COUNTS | {c.key for c in COLUMNS if c.kind == "measured"}
    identical, differences, epochs, costs = [], {}, {}, {}
    for name in sorted(set(was) | set(now)):
        then, here = was.get(name), now.get(name)
        if then is None and name.endswith(("_balanced_top1", "_macro_f1")):
            continue  # runs of before these scores have none to compare
        pair: dict[str, float | None] = {"original": then, "reproduced": here}
        if name in measured:
            costs[name] = pair
            continue
        curve = [values[name] for values in outcome.history if name in values]
        first = _first_other_epoch(original, name, curve)
        if first is not None:
            epochs[name] = first
        if first is None and _same(then, here):
            identical.append(name)
        else:
            difference = None if then is None or here is None else here - then
            differences[name] = pair | {"difference": difference}
    return {
        "identical": identical,
        "differences": differences,
        "epochs_differ": epochs,
        "costs": costs,
    }


def text(document: dict[str, Any]) -> str:
    """The comparison for people, who have seen the warnings come."""
    lines = [f"run {document['run_id']} repeats {document['reproduces']}: {document['status']}"]
    if document.get("error"):
        return "\n".join([*lines, document["error"]])
    identical, differences = document["identical"], document["differences"]
    lines.append(f"identical, bit for bit: {', '.join(identical) or 'no metric'}")
    for name, pair in differences.items():
        epoch = document["epochs_differ"].get(name)
        since = f", from epoch {epoch}" if epoch else ""
        lines.append(f"{name}: {_shown(pair['original'])} then, {_shown(pair['reproduced'])} now"
                     + ("" if pair["difference"] is None else f" ({pair['difference']:+.3g})")
                     + since)  # fmt: skip
    same = document["predictions_identical"]
    if same is not None:
        lines.append(f"predictions: {'identical' if same else 'not identical'}")
    for name, pair in document["costs"].items():
        lines.append(f"cost, {name}: {_shown(pair['original'])} then, "
                     f"{_shown(pair['reproduced'])} now")  # fmt: skip
    return "\n".join(lines)


def _checked(changes: Sequence[str]) -> Sequence[str]:
    for word in changes:
        if not word.startswith(CHANGEABLE):
            raise BadInput(
                "reproduce: only tracking.uri, data.source (the same data elsewhere) and launch.* "
                f"can be changed. Received: {word}; use `ilsvrc train` for another run"
            )
    return changes


def _original(uri: str, run_id: str) -> TrackedRun:
    client = connect(uri)
    run = find_run(client, run_id)
    if run is None:
        raise BadInput(
            f"reproduce: no run {run_id} in {shown(uri)}; give its full id, and "
            "tracking.uri=... if it is in another store"
        )
    if run.level not in FITS or run.is_above_folds:
        kind = FOLDS if run.is_above_folds else run.level
        advice = INSTEAD.get(kind, "it was not written by this suite")
        if kind in ("sweep", FOLDS):
            children = client.search_runs(
                [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.id}'", max_results=3
            )
            advice += "".join(f" {child.info.run_id}" for child in children)
        what = "the mean over folds" if run.is_above_folds else f"of level {run.level}"
        raise BadInput(f"reproduce: {run_id} is {what}, not a single fit; {advice}")
    if run.info.status != "FINISHED":
        raise BadInput(
            f"reproduce: {run_id} is {run.info.status.lower()} and has no results to compare with; "
            "give a finished run"
        )
    return run


def _config(original: TrackedRun, uri: str, changes: Sequence[str]) -> Config:
    """The run's own settings, in its own store."""
    raw = settings.override(original.sections(), changes)
    raw["tracking"] = (raw.get("tracking") or {}) | {"uri": uri}
    return settings.parse(raw, where=f"{original.id}/config.yaml")


def _job(plan: Plan, run_id: str) -> Job:
    """The fit, in a directory of its own: journal and files of the first one stay as they are."""
    folder = ROOT / plan.config.name / "reproduced" / f"{run_id[:12]}-{uuid.uuid4().hex[:8]}"
    return replace(plan.job(("reproduce",)), directory=str(folder))


def _differences_of_surroundings(original: TrackedRun) -> list[str]:
    """Versions, git commit and machine, then and now, where they are not the same."""
    tags, versions = surroundings()
    lines = []
    before = json.loads(original.text_if_any("versions.json") or "{}")
    pairs = {key: (before.get(key), versions.get(key)) for key in sorted({*before, *versions})}
    pairs |= {key: (original.tags.get(key), tags[key]) for key in sorted(tags)}
    for key, (then, now) in pairs.items():
        if then != now and key != "git_dirty":
            lines.append(f"{key}: {then or 'not recorded'} then, {now or 'not installed'} now")
    for when, dirty in (("then", original.tags.get("git_dirty")), ("now", tags["git_dirty"])):
        if dirty == "true":
            lines.append(f"git_dirty: the code had uncommitted changes {when}")
    return lines


def _differences_of_inputs(
    original: TrackedRun, plan: Plan, config: Config, anyway: bool
) -> list[str]:
    """Data, settings and determinism. Raises BadInput for other data, unless `anyway`."""
    lines = []
    then, now = original.tags.get("source_fingerprint"), plan.source.fingerprint
    if not plan.source.is_known_as(then):
        line = f"source_fingerprint: {then} then, {now} now: {config.data.source} is not the same"
        if not anyway:
            raise BadInput(f"reproduce: {line} data; --anyway runs on what is there")
        lines.append(f"{line} data")
    if original.tags.get("config_hash") not in (None, config_hash(plan.config)):
        lines.append(
            "config_hash: the settings come to others now (a default or a key has changed, or "
            "data.source was given)"
        )
    if not config.train.deterministic:
        lines.append("train.deterministic was off: last digits differ from run to run")
    return lines


def _first_other_epoch(original: TrackedRun, name: str, curve: Sequence[float]) -> int | None:
    """The first epoch whose value the original does not have; 0 if one has more epochs."""
    if not curve:
        return None
    logged: dict[int, list[float]] = {}
    for epoch, value in original.curve(name):
        logged.setdefault(epoch, []).append(value)
    for epoch, value in enumerate(curve, start=1):
        if not any(_same(value, other) for other in logged.get(epoch, [])):
            return epoch
    return None if max(logged, default=0) == len(curve) else len(curve) + 1


def _same_predictions(original: TrackedRun, outcome: Outcome) -> bool | None:
    """Are all validation and test predictions equal bit for bit? None where one kept none."""
    import pyarrow.parquet as pq

    if outcome.predictions is None:
        return None
    now = pq.read_table(outcome.predictions)
    try:
        with original.fetched(FILE) as path:
            then = pq.read_table(path)
    except BadInput:
        return None
    if not set(now.column_names) <= set(then.column_names):
        return False
    return bool(then.select(now.column_names).equals(now))


def _same(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return False
    return a == b or (math.isnan(a) and math.isnan(b))


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.10g}"
