"""What a search found: the command's JSON, flat tables, figures of the parent run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from experiments.config.objectives import PLANNED
from experiments.errors import kind_and_first_line
from experiments.jobs.baseline import CHANCE, MAJORITY
from experiments.jobs.job import Outcome
from experiments.presentation.csv_text import csv_text
from experiments.search.race import why_gave_up
from experiments.search.results import final, front, importance, intervals
from experiments.search.space import SIGN, space_of
from experiments.tracking.tracked_run import IMPORTANCE
from pipelines.files.shards import write_whole
from tuning.nested import Task, summary
from tuning.search import Search
from tuning.trial import Fit, Trial

if TYPE_CHECKING:
    from experiments.search.drive import Drive

ENDS = ("low", "high", "method")  # of an interval, in trials.csv


def top(result: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The best finished trials of a search's JSON, best first; longer ones before shorter ones."""
    finished = [trial for trial in result["trials"] if trial["status"] == "finished"]
    sign = 1 if result["minimise"] else -1
    return sorted(finished, key=lambda t: (-(t.get("budget") or 0), sign * t["score"]))[:count]


def result(drive: Drive) -> dict[str, Any]:
    """The JSON of `ilsvrc search` or `ilsvrc nested`."""
    section, nested = drive.study.section, drive.study.nested
    searches = drive.work.searches
    trials = [
        ({"outer": drive.study.number(outer)} if nested else {}) | _trial(drive, outer, trial)
        for outer, search in enumerate(searches)
        for trial in search.trials
        if trial.told or trial.status != "unfinished"  # the budget ended before its first fold
    ]
    document: dict[str, Any] = {
        "run_id": drive.tracked.id,
        "name": drive.config.name,
        "strategy": section.strategy,
        "status": "finished",
        "score_name": drive.objective,
        "minimise": searches[0].minimise,
        "folds": searches[0].folds,
        **drive.study.to_beat,
    }
    document |= ({"shared": drive.study.shared} | _outer(drive)) if nested else _single(drive)
    document |= front.document(drive) | importance.document(drive)
    if drive.study.final:
        document["final"] = final.document(drive)
    error = _error(drive, document)
    if error:
        document |= {"status": "failed", "error": error}
    saved = drive.work.saved
    gave_up = sum(1 for search in searches for trial in search.trials if trial.gave_up)
    raced = {"gave_up": gave_up, "folds_saved": saved}
    return document | {
        "trials": trials,
        "fits": {
            "planned": drive.planned,
            "done": drive.fits,
            "failed": drive.failed,
            "saved": saved,
        },
        "seconds": drive.wall,
        "tracking_seconds": drive.tracked.seconds,
        "budget": {
            **section.budget.model_dump(),
            "spent_images": drive.images,
            "stopped_by": next((s.stopped for s in searches if s.stopped), None),
        },
        "racing": section.racing and section.racing.model_dump() | raced,
        "race": section.race and section.race.model_dump() | raced,
        "brackets": _brackets(drive),
        "refused": sum(trial["status"] == "refused" for trial in trials),
        "state": str(drive.state.directory),
    }


def _brackets(drive: Drive) -> dict[str, Any] | None:
    """Epochs that were trained, and those that promoted candidates had already; None where a
    strategy promotes none."""
    if not drive.study.section.declaration.brackets:
        return None
    counts = {"promoted": 0, "went_on": 0, "epochs_trained": 0, "epochs_saved": 0}
    for outer, search in enumerate(drive.work.searches):
        for trial in search.trials:
            for fold, record in enumerate(drive.outcomes(outer, trial)):
                outcome = Outcome.from_record(record)
                task = Task(outer, Fit(trial.number, fold, trial.settings))
                kept = drive.promotions.epochs_kept(task, outcome)
                counts["promoted"] += trial.earlier is not None
                counts["went_on"] += kept > 0
                counts["epochs_saved"] += kept
                counts["epochs_trained"] += len(outcome.history) - kept
    return counts


def metrics(document: Mapping[str, Any]) -> dict[str, float]:
    """What the parent run is compared by."""
    compared: dict[str, float] = {"search_seconds": document["seconds"]}
    compared |= {f"fits_{name}": n for name, n in document["fits"].items() if n is not None}
    best = document.get("best")
    if best:
        compared |= {k: v for k, v in best.items() if k.startswith("val_") and v is not None}
        if best["std"] is not None:
            compared[f"{document['score_name']}_std"] = best["std"]
    if covered := document.get("hypervolume"):
        compared |= {"hypervolume": covered[-1], "front_members": len(document["front"])}
    refit = document.get("refit") or {}
    compared |= {k: v for k, v in refit.items() if k.startswith("test_")}
    names = ("mean_test_", "std_test_", "best_inner_score", "optimism")
    compared |= {k: v for k, v in document.items() if k.startswith(names) and v is not None}
    compared |= importance.metrics(document)
    if interval := document.get("interval"):
        [mean] = (key for key in document if key.startswith("mean_test_"))
        compared |= {f"{mean}_low": interval["low"], f"{mean}_high": interval["high"]}
    return compared


def tags(document: Mapping[str, Any]) -> dict[str, str]:
    """What the metrics of the parent run do not say: what kind of interval theirs is, and what
    their importance is of."""
    told = {
        "interval": intervals.of_outer_in_words(document)[:1],
        IMPORTANCE: list(importance.in_words(document)) if document["importance"] else [],
    }
    return {tag: "\n".join(lines) for tag, lines in told.items() if lines}


def write(document: Mapping[str, Any], drive: Drive, directory: Path) -> list[Path]:
    """folds.csv, trials.csv, result.json, and the pictures if anything was fitted since the last.

    Pictures that cannot be drawn cost a line, not the search.
    """
    keys = list(dict.fromkeys(k for t in document["trials"] for k in t["hyperparameters"]))
    texts = {
        "folds.csv": table(fold_rows(drive, keys)),
        "trials.csv": table(_trial_rows(document["trials"], keys)),
        "result.json": json.dumps(document, indent=1),
    }
    if "front" in document:
        texts["front.csv"] = table(_front_rows(document, keys))
    for name, content in texts.items():
        write_whole(directory / name, content)
    files = [directory / name for name in texts]
    newest = "importance.png" if document["importance"] else ""  # older searches lack it
    if drive.seconds or not (directory / "plots" / newest).exists():
        from experiments.search.results.plots import pictures

        about = f"{drive.config.data.source}, {document['strategy']}, {document['folds']} folds"
        space = space_of(drive.study.section)
        try:
            files += pictures.write(document, directory / "plots", space, about)
        except Exception as error:
            drive.display.say(f"the pictures could not be drawn: {kind_and_first_line(error)}")
    return files


def fold_rows(drive: Drive, keys: list[str]) -> list[dict[str, Any]]:
    """One row an outer fold, trial and inner fold that was fitted."""
    rows = []
    for outer, search in enumerate(drive.work.searches):
        sizes = drive.study.sizes[outer]
        for trial in search.trials:
            for fold, record in enumerate(drive.outcomes(outer, trial)):
                outcome = Outcome.from_record(record)
                rows.append(
                    {
                        "outer": drive.study.number(outer) if drive.study.nested else "",
                        "trial": trial.number,
                        "fold": fold,
                        **{key: _cell(trial.settings, key) for key in keys},
                        "status": outcome.status,
                        "score": trial.told.get(fold),
                        "train_images": round(sizes.trained[fold]),
                        "scored_images": sizes.held[fold],
                        "epochs": trial.lengths.get(fold),
                        "seconds": record["seconds"],
                        "error": trial.errors.get(fold, ""),
                    }
                )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV."""
    return csv_text(list(rows[0]) if rows else [], rows)


def _trial(drive: Drive, outer: int, trial: Trial) -> dict[str, Any]:
    records = drive.outcomes(outer, trial)
    outcomes = [Outcome.from_record(record) for record in records]
    names = sorted({name for o in outcomes for name in o.scores if name.startswith("val_")})
    means = {}
    if trial.status == "finished":
        means = {name: fmean(o.scores[name] for o in outcomes) for name in names}
    return {
        "number": trial.number,
        "status": trial.status,
        "hyperparameters": dict(trial.settings),
        "score": trial.score,
        "std": trial.std,
        "interval": intervals.of_trial(drive.study, outer, trial, drive.objective),
        "scores": trial.scores + [None] * (trial.folds - len(trial.scores)),
        **means,
        "epochs": [trial.lengths[fold] for fold in range(len(trial.scores))],
        "seconds": sum(record["seconds"] for record in records),
        "error": trial.error,
        "gave_up": why_gave_up(drive.work.searches[outer], trial),
        "budget": trial.epochs,
        "refused": trial.refused and dict(trial.refused),
        **front.values(drive.work.searches[outer], trial),
    }


def choice(search: Search) -> dict[str, Any] | None:
    """Which trial is chosen and why, and what is known of the lead of the highest mean; of another
    rule than the best also what both cost. None without a finished trial."""
    best, ranked, lead = search.best, search.ranked(), search.lead()
    if best is None:
        return None
    rule = "knee" if search.objectives else search.choice.rule
    document = {
        "rule": rule,
        "trial": best.number,
        "highest": ranked[0].number,
        "lead": lead
        and vars(lead)
        | {"over": ranked[1].number, "alike": [ranked[at].number for at in lead.alike]},
    }
    if rule != "best":
        for name, trial in (("cost", best), ("cost_of_highest", ranked[0])):
            document[name] = dict(zip(("macs", "params"), search.cost(trial), strict=False))
    return document


def _single(drive: Drive) -> dict[str, Any]:
    best = drive.work.searches[0].best
    refit = drive.refits.get(0)
    return {
        "best": None if best is None else _trial(drive, 0, best),
        "refit": None if best is None or refit is None else {"trial": best.number} | _refit(*refit),
        "choice": choice(drive.work.searches[0]),
    }


def _outer(drive: Drive) -> dict[str, Any]:
    test = drive.best_by.replace("val_", "test_")
    rows = []
    for outer, search in enumerate(drive.work.outer):
        best, refit = search.best, drive.refits.get(outer)
        row: dict[str, Any] = {"fold": outer, "status": "failed", "run_id": "", "error": None}
        if best is not None:
            winner = _trial(drive, outer, best)
            row |= {
                "trial": best.number,
                "choice": choice(search),
                "hyperparameters": winner["hyperparameters"],
                "inner_score": winner[drive.best_by],
                "inner_scores": [
                    o["outcome"]["scores"][drive.best_by] for o in drive.outcomes(outer, best)
                ],
            }
        if refit is not None:
            row |= _refit(*refit)
        rows.append(row | front.of_outer(drive, outer))
    document: dict[str, Any] = {"outer": rows, "winners_differ": drive.work.winners_differ}
    names = (f"mean_{test}", f"std_{test}", "best_inner_score", "optimism")
    if all(test in row and "inner_score" in row for row in rows):
        estimate = summary(
            [row["inner_score"] for row in rows],
            [row[test] for row in rows],
            minimise=SIGN[drive.best_by] < 0,
        )
        values = (estimate.mean, estimate.std, estimate.best_inner_score, estimate.optimism)
        document |= dict(zip(names, values, strict=True))
        return document | _intervals(drive, rows, test)
    return document | dict.fromkeys((*names, "interval", "nested_interval"))


def _intervals(drive: Drive, rows: list[dict[str, Any]], test: str) -> dict[str, Any]:
    """The one to quote; and that of Bates, Hastie and Tibshirani, for which the inner folds must
    be the other outer folds, and the procedure must choose nothing."""
    study, tests = drive.study, [row[test] for row in rows]
    fixed = all(len(search.trials) == 1 for search in drive.work.outer)
    paired = study.shared and fixed
    inner = [row["inner_scores"] for row in rows]
    return {
        "interval": intervals.of_outer(study, tests, test),
        "nested_interval": intervals.of_pairs(study, inner, tests, test) if paired else None,
    }


def _refit(outcome: Any, run_id: str) -> dict[str, Any]:
    kept = ("test_", "train_", MAJORITY, CHANCE)
    scores = {name: v for name, v in outcome.scores.items() if name.startswith(kept)}
    return {
        "run_id": run_id,
        "status": outcome.status,
        "error": outcome.error,
        "epochs": len(outcome.history),
        **scores,
    }


def _error(drive: Drive, document: Mapping[str, Any]) -> str | None:
    for outer, search in enumerate(drive.work.outer):
        fold = f"outer fold {outer}: " if drive.study.nested else ""
        if search.failed_in_a_row:
            return f"{fold}{_in_a_row(search)}"
        if search.best is None:
            reason = "ended with its budget before any trial" if search.stopped else "failed in all"
            return f"{fold}the search {reason}; no trial has finished"
    for (outer, number), (outcome, _) in drive.members.items():
        if outcome.status != "finished" and drive.work.is_member(outer, number):
            return f"refit of trial {number} of outer fold {outer}: {outcome.error}"
    for outer in range(len(drive.work.outer)) if drive.work.refit else ():
        refit = drive.refits.get(outer)
        if refit is None or refit[0].status != "finished":
            fold = f" of outer fold {outer}" if drive.study.nested else ""
            return f"refit of the winner{fold}: {refit[0].error if refit else 'did not run'}"
    return final.error(drive)


def _in_a_row(search: Search) -> str:
    failed = search.failed_in_a_row
    named = "; ".join(f"trial {trial.number}: {trial.error}" for trial in failed)
    return (
        f"{len(failed)} trials in a row failed, search.max_failures is {search.max_failures}: "
        f"{named}; raise it to go on, or mend what they share and start apart with --fresh"
    )


def _trial_rows(trials: Iterable[Mapping[str, Any]], keys: list[str]) -> list[dict[str, Any]]:
    trials = list(trials)
    bounded = any(trial["refused"] for trial in trials)
    return [
        {
            "outer": trial.get("outer", ""),
            "trial": trial["number"],
            **{key: _cell(trial["hyperparameters"], key) for key in keys},
            **{name: trial[name] for name in ("status", "score", "std")},
            **{f"interval_{end}": (trial["interval"] or {}).get(end) for end in ENDS},
            **{name: trial[name] for name in ("seconds", "error")},
            "epochs": trial["budget"] or max(trial["epochs"], default=None),
            **({name: (trial["refused"] or {}).get(name) for name in PLANNED} if bounded else {}),
        }
        for trial in trials
    ]


def _front_rows(document: Mapping[str, Any], keys: list[str]) -> list[dict[str, Any]]:
    return [
        {k: row[k] for k in ("outer", "trial")}
        | {key: _cell(row["settings"], key) for key in keys}
        | {k: v for k, v in row.items() if k not in ("outer", "trial", "settings")}
        for row in front.rows(document["trials"], document["front"], front.knees(document))
    ]


def _cell(settings: Mapping[str, Any], key: str) -> Any:
    if key not in settings:
        return ""
    value = settings[key]
    return value if isinstance(value, str | int | float) else json.dumps(value)
