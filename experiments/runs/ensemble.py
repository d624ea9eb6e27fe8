"""`ilsvrc ensemble`: several networks' probabilities averaged, against the best of them.

The best member is the one of the highest validation top-1; test images only compare. A set whose
published results are of its validation part is compared on that. What the ensemble costs is what
all its members cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.config.schema import Config
from experiments.jobs.job import FitPath, Outcome
from experiments.jobs.predictions import (
    FILE,
    Evaluation,
    Predictions,
    paired,
    read,
    write_predictions,
)
from experiments.metrics import over_classes
from experiments.presentation.columns import DISTURBED, DISTURBED_NOTE, LATENCY_DISTURBED
from experiments.presentation.console import say
from experiments.runs.members import Team, plan_team
from experiments.runs.parent import parent_run
from experiments.runs.sweep import run_cells
from experiments.runtime import devices
from experiments.tracking.experiment import Experiment, forgiving
from experiments.tracking.journal import of_sweep
from experiments.tracking.run_log import RunLog
from tuning import ensemble as arrays
from tuning.statistics.significance import Interval

if TYPE_CHECKING:
    from rich.table import Table

PARTS = ("val", "test")  # candidates of a search are trained on the validation images in the end
KEPT_COSTS = ("params", "macs", "latency_ms_p50", LATENCY_DISTURBED, "train_seconds")


def ensemble(config: Config, where: str) -> dict[str, Any]:
    """Train the members that are not done yet, average them, and return the command's JSON.

    Args:
        config: settings with an `evaluate.ensemble` section.
        where: the config file, for errors.

    Raises:
        BadInput: settings or data that make no such ensemble; nothing has started then.
    """
    devices.refuse_hosts(config.train.devices, "ensemble")
    team = plan_team(config, where)
    book = of_sweep(config.name, team.digest).open()
    experiment = Experiment(config.name, config.tracking)
    params = {f"ensemble.{key}": value for key, value in team.settings.items()}
    parent = parent_run(config, experiment, book, "ensemble", params, team.cells)
    status = "killed"
    try:
        line = headline(config, team)
        done = run_cells(config, team.cells, experiment, parent.id, book, line, level=team.level)
        failed = any(outcome.status != "finished" for outcome, _ in done.values())
        status = "failed" if failed else "finished"
        document = {"run_id": parent.id, "name": config.name, **team.settings, "status": status}
        begun = [n for n, member in enumerate(team.members) if member.cell.job.path in done]
        rows = [_row(number, team, done) for number in begun]
        if failed:
            return document | {"members": rows}
        predictions = [_read(number, team, done) for number in range(len(team.members))]
        held_out = [part for part in PARTS if part in predictions[0].parts]
        parts = {part: paired(predictions, part) for part in held_out}
        document |= judge(rows, {part: scored[1:] for part, scored in parts.items()})
        fits = [done[cell.job.path][0] for cell in team.cells]
        document["ensemble"]["train_seconds"] = sum(fit.cost["train_seconds"] for fit in fits)
        file = _write(book.directory / FILE, parts)
        with forgiving(say):
            _track(parent, document, team, file)
    finally:
        with forgiving(say):
            parent.end(status)
    return document


def judge(
    rows: Sequence[Mapping[str, Any]],
    parts: Mapping[str, tuple[np.ndarray, Sequence[np.ndarray]]],
) -> dict[str, Any]:
    """The ensemble of these members against the best of them, as JSON.

    Args:
        rows: identity and cost of each member.
        parts: (labels [images], probabilities [images, classes] of each member) by part, `test`
            and `val` or one of them. Without `val` the first member counts as the best; without
            `test` the validation images compare as well, on which the best member is too good.

    Returns:
        `members` (rows with their scores), `ensemble` (scores, intervals, cost), `best_member`
        (its row), and of the test top-1 `mean_member_test_top1`, `std_member_test_top1`, `gain`,
        `gain_interval`, `p_value`, `mcnemar`; without a test part `val` stands in these names.
        Interval and p are of the choice of images, the networks given: training them again would
        give another gain.
    """
    members = [dict(row) for row in rows]
    team: dict[str, Any] = {}
    averages = {}
    for part, (labels, probabilities) in parts.items():
        averages[part] = arrays.average(probabilities)
        team |= _scores(part, averages[part], labels)
        for member, of_member in zip(members, probabilities, strict=True):
            member |= _scores(part, of_member, labels)
    best = 0
    if "val" in parts:
        best = arrays.best_member(parts["val"][1], parts["val"][0])
    part = compared(parts)
    labels, probabilities = parts[part]
    gain = arrays.gain(averages[part], probabilities[best], labels)
    scores = [member[f"{part}_top1"] for member in members]
    return {
        "members": members,
        "ensemble": team | arrays.cost(members) | _disturbed(members),
        "best_member": members[best],
        f"mean_member_{part}_top1": fmean(scores),
        f"std_member_{part}_top1": stdev(scores),
        "gain": gain.top1,
        "gain_interval": _pair(gain.interval),
        "p_value": gain.test.p_value,
        "mcnemar": {
            "only_ensemble": gain.test.only_first,
            "only_best_member": gain.test.only_second,
            "method": gain.test.method,
        },
    }


def compared(names: Iterable[str]) -> str:
    """The part that an ensemble is compared on: test, or val where names begin with no test."""
    return "test" if any(name.startswith("test") for name in names) else "val"


def _disturbed(members: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The sum of the members' latencies is as good as the worst of them."""
    known = [member[LATENCY_DISTURBED] for member in members if LATENCY_DISTURBED in member]
    return {LATENCY_DISTURBED: max(known)} if known else {}


def headline(config: Config, team: Team) -> str:
    """What is about to run, in a line."""
    fits, size = len(team.cells), len(team.members)
    what = {"seeds": "initialisations", "top": "candidates", "checkpoints": "checkpoints"}
    text = f"{config.name}: ensemble of {size} {what[team.settings['kind']]} of {config.model.name}"
    return text + f", {fits} {'run' if fits == 1 else 'runs'}"


def render(document: Mapping[str, Any]) -> Table:
    """The members, the ensemble and the verdict, for people."""
    from rich import box
    from rich.table import Table

    from experiments.presentation.formatting import si, significant

    gain, (low, high) = 100 * document["gain"], document["gain_interval"]
    best, searched = document["best_member"]["name"], document["kind"] == "top"
    mcnemar, chosen = document["mcnemar"], "the search's best" if searched else "best on validation"
    part = compared(document["ensemble"])
    chosen += ", and compared on it" * (part == "val")
    images = {"test": "test", "val": "validation"}[part]
    caption = (
        f"Ensemble minus {best} ({chosen}): {gain:+.2f} points of {images} top-1, "
        f"95% {100 * low:+.2f} to {100 * high:+.2f}; McNemar p = "
        f"{significant(document['p_value'], 2)} ({mcnemar['only_ensemble']} images right only in "
        f"the ensemble, {mcnemar['only_best_member']} only in {best}; {mcnemar['method']})\n"
        f"Members: mean {_percent(document[f'mean_member_{part}_top1'])}, standard deviation "
        f"{_percent(document[f'std_member_{part}_top1'])}. Intervals and p: of the choice of "
        f"{images} images, these networks given (95%: bootstrap; of the gain, score)\n"
        "p50 ms: a batch of 1; the ensemble's members one after another"
    )
    if document["ensemble"].get(LATENCY_DISTURBED):
        caption += f"\n{DISTURBED_NOTE}"
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", pad_edge=False)
    chooses = [("folds" if searched else "val") + "\ntop-1 %"] if part == "test" else []
    heads = (
        "",
        *chooses,
        f"{part}\ntop-1 %",
        "95%",
        f"{part}\ntop-5 %",
        "MACs",
        "params",
        "p50\nms",
    )
    for head in heads:
        table.add_column(head, justify="right" if head else "left", no_wrap=True)
    rows = [*document["members"], {"name": "ensemble", **document["ensemble"]}]
    for row in rows:
        ends = row[f"{part}_top1_interval"]
        chosen_by = [_percent(row.get("fold_val_top1" if searched else "val_top1"))]
        mark = " ●" if row["name"] == best else ""
        table.add_row(
            row["name"] + mark,
            *(chosen_by if chooses else []),
            _percent(row[f"{part}_top1"]),
            f"[{_percent(ends[0])}, {_percent(ends[1])}]",
            _percent(row.get(f"{part}_top5")),
            si(row.get("macs")),
            si(row.get("params")),
            significant(row.get("latency_ms_p50"))
            + (DISTURBED if row.get(LATENCY_DISTURBED) else ""),
            style="bold" if row["name"] == "ensemble" else None,
        )
    return table


Done = Mapping[FitPath, tuple[Outcome, str]]


def _row(number: int, team: Team, done: Done) -> dict[str, Any]:
    member = team.members[number]
    outcome, run_id = done[member.cell.job.path]
    row = {"run_id": run_id, "name": member.name, "status": outcome.status, **member.about}
    row |= {key: outcome.cost[key] for key in KEPT_COSTS if key in outcome.cost}
    return row | ({"error": outcome.error} if outcome.error else {})


def _read(number: int, team: Team, done: Done) -> Predictions:
    member = team.members[number]
    outcome, _ = done[member.cell.job.path]
    return read(
        str(outcome.predictions),
        name=member.name,
        fingerprint=member.cell.plan.source.fingerprint,
        column=member.column,
    )


def _scores(part: str, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    score = arrays.score(probabilities, labels)
    scores: dict[str, Any] = {
        f"{part}_images": score.images,
        f"{part}_top1": score.top1,
        f"{part}_top1_interval": _pair(score.top1_interval),
        **over_classes(probabilities.argmax(axis=1), labels, part),
    }
    if score.top5 is not None and score.top5_interval is not None:
        scores[f"{part}_top5"] = score.top5
        scores[f"{part}_top5_interval"] = _pair(score.top5_interval)
    return scores


def _write(path: Path, parts: Mapping[str, Any]) -> str | None:
    """The ensemble's own predictions, in the form of a run's."""
    kept = []
    for part, (index, labels, probabilities) in parts.items():
        mean = arrays.average(probabilities)
        columns = {"label": labels, "predicted": mean.argmax(axis=1), "probabilities": mean}
        kept.append((part, index, Evaluation({}, 0.0, columns)))
    return write_predictions(path, kept)


def _track(parent: RunLog, document: Mapping[str, Any], team: Team, file: str | None) -> None:
    """Bring the parent run to what the ensemble is: compared later without its networks."""
    team_scores = document["ensemble"]
    metrics = {k: v for k, v in team_scores.items() if isinstance(v, int | float)}
    score = f"{compared(team_scores)}_top1"
    metrics |= {key: document[key] for key in ("gain", "p_value", f"mean_member_{score}")}
    metrics[f"best_member_{score}"] = document["best_member"][score]
    parent.metrics(metrics)
    source = team.members[0].cell.plan.source
    parent.tag({"source": source.spec, "source_fingerprint": source.fingerprint})
    parent.tag({"precision": team.members[0].cell.plan.config.train.precision})
    parent.document("ensemble.json", json.dumps(document, indent=1))
    if file:
        parent.file(file)


def _pair(interval: Interval) -> list[float]:
    return [interval.low, interval.high]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"
