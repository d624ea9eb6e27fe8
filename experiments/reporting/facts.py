"""What the runs of a comparison say of themselves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.comparison.compare import find_experiment
from experiments.comparison.grouping import NOT_A_SETTING, Comparison, tag_values, value_of
from experiments.jobs.composition import DATA
from experiments.tracking.tracked_run import FINAL, SUPERSEDED, TrackedRun, find_run

if TYPE_CHECKING:
    from mlflow import MlflowClient

COMMANDS = ("sweep", "search", "nested", "ensemble")
"""Made a parent run, which bears the command's name as its level."""
SEARCHES = ("search", "nested")
SINGLE_COMMANDS = 12
"""Runs without a parent whose config is shown."""


@dataclass(frozen=True)
class Command:
    """A command that repeats runs, and the file that it reads."""

    words: str
    file: str
    config: str | None
    """YAML; None where the store no longer has it."""


@dataclass(frozen=True)
class Facts:
    """What the runs of a comparison say of themselves."""

    runs: int
    began: int
    """Milliseconds since 1970."""
    ended: int
    settings: dict[str, Any]
    """Params that all runs share."""
    tags: dict[str, list[str]]
    """Values of the tags that tell where a result comes from."""
    versions: dict[str, list[str]]
    """Of packages; more than one where runs differ."""
    data: list[dict[str, Any]]
    """A source each: source, fingerprint, train, validation and test images, corrupt images, and
    what `jobs.composition.document` tells of it (empty where it was not kept)."""
    train_seconds: float
    stopped_early: int
    commands: list[Command] = field(default_factory=list)
    finals: list[TrackedRun] = field(default_factory=list)
    """Networks that the experiments' searches ended with, which are no rows, newest first."""
    fronts: list[dict[str, Any]] = field(default_factory=list)
    """Results of the experiments' searches for several objectives, newest first."""


def gather(client: MlflowClient, comparison: Comparison) -> Facts:
    """Read the runs of the rows once more: their params, tags, versions and configs."""
    ids = [run_id for row in comparison.rows for run_id in row["run_ids"]]
    with ThreadPoolExecutor(4) as pool:
        runs = [run for run in pool.map(lambda i: find_run(client, i), ids) if run]
        documents = list(pool.map(lambda run: run.text_if_any("versions.json"), runs))
    if None in documents:  # trials leave it to their search
        parents = [find_run(client, i) for i in {run.parent for run in runs} if i]
        documents += [parent.text_if_any("versions.json") for parent in parents if parent]
    versions: dict[str, set[str]] = {}
    for document in filter(None, documents):
        for package, version in json.loads(document).items():
            versions.setdefault(package, set()).add(version)
    keys = ("git_commit", "git_dirty", "machine", "device", "python", "precision", "augment")
    return Facts(
        runs=len(runs),
        began=min(one.info.start_time for one in runs),
        ended=max(one.info.end_time or one.info.start_time for one in runs),
        settings=_shared(runs),
        tags={key: tag_values([one.tags for one in runs], key) for key in keys},
        versions={package: sorted(several) for package, several in sorted(versions.items())},
        data=_data(runs),
        train_seconds=sum(one.metrics.get("train_seconds", 0.0) for one in runs),
        stopped_early=sum(one.tags.get("stopped_early") == "true" for one in runs),
        commands=_commands(client, runs, comparison),
        finals=_finals(client, comparison),
        fronts=_fronts(client, comparison),
    )


def _finals(client: MlflowClient, comparison: Comparison) -> list[TrackedRun]:
    ids = [find_experiment(client, name) for name in comparison.experiments]
    query = f"tags.level = '{FINAL}' and attributes.status = 'FINISHED'"
    runs = [TrackedRun.of(client, run) for run in client.search_runs(ids, query)]
    return [run for run in runs if run.card and SUPERSEDED not in run.tags]


def _fronts(client: MlflowClient, comparison: Comparison) -> list[dict[str, Any]]:
    ids = [find_experiment(client, name) for name in comparison.experiments]
    queries = [f"tags.level = '{kind}' and attributes.status = 'FINISHED'" for kind in SEARCHES]
    runs = [TrackedRun.of(client, run) for one in queries for run in client.search_runs(ids, one)]
    texts = [run.text_if_any("result.json") for run in runs if "search.objectives" in run.params]
    return [json.loads(text) for text in texts if text]


def _shared(runs: Sequence[TrackedRun]) -> dict[str, Any]:
    keys = sorted({key for one in runs for key in one.params})
    texts = {key: {one.params.get(key) for one in runs} for key in keys}
    return {
        key: value_of(values.pop())
        for key, values in texts.items()
        if len(values) == 1 and key.split(".")[0] not in NOT_A_SETTING
    }


def _data(runs: Sequence[TrackedRun]) -> list[dict[str, Any]]:
    sources: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in runs:
        params, tags = one.params, one.tags
        entry = {
            "source": tags.get("source") or params.get("data.source"),
            "fingerprint": tags.get("source_fingerprint"),
            **{
                part: value_of(params.get(f"data.{part}_images"))
                for part in ("train", "validation", "test")
            },
            "corrupt": value_of(tags.get("corrupt_images")),
        }
        if tuple(entry.values()) not in sources:
            kept = json.loads(one.text_if_any(DATA) or "{}")
            told: dict[str, Any] = {"class_names": [], "parts": {}, "unused": [], "notes": []}
            sources[tuple(entry.values())] = entry | told | kept
    return list(sources.values())


def _commands(
    client: MlflowClient, runs: Sequence[TrackedRun], comparison: Comparison
) -> list[Command]:
    """One for each parent run, and one for each run without a parent."""
    names = {find_experiment(client, name): name for name in comparison.experiments}
    parents: dict[str, TrackedRun] = {}
    single: list[TrackedRun] = []
    for one in runs:
        parent = _root(one)
        if parent is None:
            single.append(one)
        else:
            parents[parent.id] = parent
    commands = []
    several = Counter(names[parent.info.experiment_id] for parent in parents.values())
    seen: dict[str, int] = {}
    for parent in parents.values():
        name = names[parent.info.experiment_id]
        seen[name] = seen.get(name, 0) + 1
        file = f"{name}-{seen[name]}.yaml" if several[name] > 1 else f"{name}.yaml"
        word = parent.level if parent.level in COMMANDS else "train"
        config = parent.text_if_any("config.yaml")
        commands.append(Command(f"ilsvrc {word} {file}", file, config))
    for number, one in enumerate(single[:SINGLE_COMMANDS], start=1):
        file = f"{names[one.info.experiment_id]}-run-{number}.yaml"
        commands.append(Command(f"ilsvrc train {file}", file, one.text_if_any("config.yaml")))
    return commands


def _root(one: TrackedRun) -> TrackedRun | None:
    """The run of the command that made a run: its topmost parent."""
    root, parent = None, one.parent
    while parent and (above := find_run(one.client, parent)):
        root, parent = above, above.parent
    return root
