"""The front of a search for several objectives: its members, what they dominate, the knee.

Of a nested search each outer fold has a front, whose members were refitted and tested once: their
inner scores, by which they came onto the front, promise more than their tests hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.presentation.formatting import in_percent, in_words
from experiments.presentation.quantities import with_spread, written
from experiments.search.space import SIGN
from tuning.objectives import logarithmic, share
from tuning.search import Search
from tuning.trial import Trial

if TYPE_CHECKING:
    from experiments.search.drive import Drive


def document(drive: Drive) -> dict[str, Any]:
    """`objectives`, `front`, and of a plain search `hypervolume` and `knee`; empty without several
    objectives. A nested search has these for each outer fold, see `of_outer`."""
    searches = drive.work.outer
    if not searches[0].objectives:
        return {}
    axes = {"objectives": _axes(searches)}
    if not drive.study.nested:
        return axes | _of(searches[0], _seen(searches))
    return axes | {
        "front": [
            {"outer": outer} | member
            for outer in range(len(searches))
            for member in _tested(drive, outer)
        ]
    }


def of_outer(drive: Drive, outer: int) -> dict[str, Any]:
    """Of an outer fold `front` with the test of each member, `hypervolume`, `knee`, and `optimism`:
    by how much their inner scores are better than their tests, mean over the members."""
    searches = drive.work.outer
    if not searches[0].objectives:
        return {}
    members, test = _tested(drive, outer), drive.best_by.replace("val_", "test_")
    sign = SIGN[drive.best_by]
    apart = [sign * (m["inner_score"] - m[test]) for m in members if m.get(test) is not None]
    return _of(searches[outer], _seen(searches)) | {
        "front": members,
        "optimism": fmean(apart) if members and len(apart) == len(members) else None,
    }


def values(search: Search, trial: Trial) -> dict[str, Any]:
    """`values` and `spread` (standard deviation over folds; None of what is known before) of a
    finished trial by objective; empty without several."""
    if not search.objectives or trial.status != "finished":
        return {}
    names = [objective.name for objective in search.objectives]
    measured = [[trial.figures[fold].get(name) for fold in range(trial.folds)] for name in names]
    return {
        "values": dict(zip(names, search.values(trial), strict=True)),
        "spread": {name: _spread(of) for name, of in zip(names, measured, strict=True)},
    }


def rows(
    trials: Sequence[Mapping[str, Any]],
    front: Sequence[Mapping[str, Any]],
    knees: Sequence[tuple[int, int]],
) -> Iterator[dict[str, Any]]:
    """Of front.csv: every finished trial of the outer folds, and whether it is on the front."""
    members = {(member.get("outer", 0), member["trial"]): member for member in front}
    for trial in trials:
        key = (trial.get("outer", 0), trial["number"])
        if "values" not in trial or key[0] == "final":
            continue
        member = members.get(key, {})
        tests = {name: member.get(name) for name in _tests(front)}
        yield {
            "outer": trial.get("outer", ""),
            "trial": trial["number"],
            "settings": trial["hyperparameters"],
            **trial["values"],
            **{f"{name}_std": spread for name, spread in trial["spread"].items()},
            "front": key in members,
            "knee": key in knees,
            **tests,
        }


def knees(result: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(outer, trial) of the knee of each front; 0 of a plain search."""
    folds = result.get("outer") or [{"fold": 0, "knee": result["knee"]}]
    return [(row["fold"], row["knee"]) for row in folds if row["knee"] is not None]


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The front as a table for people, cheapest first."""
    of_folds = [(f"outer fold {row['fold']}, ", row) for row in result.get("outer", ())]
    for words, one in of_folds or [("", result)]:
        yield from _table(words, one, result)
    apart = [row["optimism"] for row in result.get("outer", ()) if row["optimism"] is not None]
    if apart:
        points = in_percent(_tests(result["front"])[0])
        mean = f"{100 * fmean(apart):+.2f} points" if points else f"{fmean(apart):+.4f}"
        yield f"optimism of the naive fronts: inner score less test of their members {mean}, mean"


def _table(words: str, one: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[str]:
    names = [objective["name"] for objective in result["objectives"]]
    front, tests = one.get("front") or [], _tests(one.get("front") or [])
    covered = one["hypervolume"][-1] if one.get("hypervolume") else 0.0
    of = " and ".join(f"{o['name']} ({o['direction']})" for o in result["objectives"])
    yield (
        f"{words}front of {of}: {len(front)} trials, hypervolume {100 * covered:.1f} % of the box "
        "from the worst to the best that was seen"
    )
    if not front:
        return
    table = [["trial", *names, *tests, "settings"]]
    cost = next((name for name in names if not name.startswith("val_")), names[-1])
    for member in sorted(front, key=lambda m: (m["values"][cost], m["trial"])):
        shown = [with_spread(name, member) for name in names]
        shown += ["failed" if member[n] is None else written(n, member[n]) for n in tests]
        settings = ", ".join(f"{k}={in_words(v)}" for k, v in member["settings"].items())
        knee = "  <- knee" if member["trial"] == one["knee"] else ""
        table.append([str(member["trial"]), *shown, settings + knee])
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]) - 1)]
    for row in table:
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=False))
        yield f"{'  '.join(cells)}  {row[-1]}"


def _tests(front: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the scores that members were tested by, the one that searches compare first."""
    return list(dict.fromkeys(k for m in front for k in m if k.startswith("test_")))[:1]


def _of(search: Search, seen: np.ndarray) -> dict[str, Any]:
    best = search.best
    return {
        "front": [
            {"trial": trial.number, "settings": dict(trial.settings)} | values(search, trial)
            for trial in search.front()
        ],
        "hypervolume": _by_trial(search, seen),
        "knee": best and best.number,
    }


def _by_trial(search: Search, seen: np.ndarray) -> list[float]:
    """`share` after each trial in the order of their numbers, also of those that have no values."""
    finished = [trial for trial in search.trials if trial.status == "finished"]
    covered = iter(share(search.signed_values(finished), seen))
    now, volumes = 0.0, []
    for trial in search.trials:
        now = next(covered) if trial.status == "finished" else now
        volumes.append(now)
    return volumes


def _tested(drive: Drive, outer: int) -> list[dict[str, Any]]:
    """Members of an outer fold's front with their inner score and their test."""
    search, test = drive.work.outer[outer], drive.best_by.replace("val_", "test_")
    members = []
    for trial in search.front():
        refit = drive.members.get((outer, trial.number))
        inner = [record["outcome"]["scores"][drive.best_by]
                 for record in drive.outcomes(outer, trial)]  # fmt: skip
        members.append(
            {"trial": trial.number, "settings": dict(trial.settings)}
            | values(search, trial)
            | {
                "inner_score": fmean(inner),
                test: refit and refit[0].scores.get(test),
                "run_id": refit[1] if refit else "",
                "error": refit[0].error if refit else "did not run",
            }
        )
    return members


def _seen(searches: Sequence[Search]) -> np.ndarray:
    """Values of all finished trials, float [trials, objectives], higher is better."""
    return np.concatenate(
        [s.signed_values([t for t in s.trials if t.status == "finished"]) for s in searches]
    )


def _axes(searches: Sequence[Search]) -> list[dict[str, Any]]:
    """Name and direction of each objective, the worst and the best that was seen of it, between
    which the hypervolume is measured, and whether on a logarithmic scale."""
    seen = _seen(searches)
    ends = [seen.min(0), seen.max(0)] if len(seen) else None
    log = logarithmic(seen)
    return [
        {
            "name": objective.name,
            "direction": "min" if objective.minimise else "max",
            "reference": objective.sign * float(ends[0][at]) if ends else None,
            "best": objective.sign * float(ends[1][at]) if ends else None,
            "log": bool(log[at]),
        }
        for at, objective in enumerate(searches[0].objectives)
    ]


def _spread(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return stdev(known) if len(known) > 1 else None
