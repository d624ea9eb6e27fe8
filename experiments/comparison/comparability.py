"""What keeps rows from being compared like with like: other data, code, machines, precisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.config.schema import Seeds
from experiments.presentation.columns import of_kind

COUNTED_ONCE = ("without_score", "dirty_runs")
"""Keys of rows that only these warnings need."""


def warnings_of(rows: Sequence[Mapping[str, Any]], score: str) -> list[str]:
    """One sentence each; empty where the rows are alike in all of it."""
    warnings = []
    fingerprints = {row["source_fingerprint"] for row in rows}
    if len(fingerprints) > 1:
        sources = ", ".join(sorted(str(f)[:12] for f in fingerprints))
        warnings.append(
            f"Not comparable: the rows were trained on different data (sources {sources})"
        )
    top1 = score.endswith("top1")
    for row in rows:
        missing = row["without_score"]
        if missing and not (top1 and _is_error(row)):
            warnings.append(f"{row['name']}: {missing} of {row['n']} runs have no {score}")
        if shared := _shared_draws(row["values"]):
            warnings.append(
                f"{row['name']}: its {len(row['values'])} runs have {shared} alone, so that "
                "spread, intervals and tests over seeds leave out some of the chance of training; "
                "sweep seed for all of it"
            )
    if score.startswith("val"):
        what = "top-1" if top1 else "squared error"
        tested = any(row[score.replace("val", "test")] is not None for row in rows)
        warnings.append(
            f"{what} here is that of the validation folds; the test part is the same for all folds"
            if tested
            else f"No run has a test part: {what} here is that of the validation part"
        )
    if top1 and any(row["top1_mean"] is None and _is_error(row) for row in rows):
        warnings.append("Reconstructions have no top-1; their squared error stands beside it")
    warnings += _code(rows)
    machines = distinct(rows, "machine")
    if len(machines) > 1:
        warnings.append(f"The runs were made on different machines ({_list(machines)})")
    for row in rows:
        if len(distinct([row], "machine")) > 1:
            warnings.append(f"{row['name']}: its own runs come from different machines")
    if len(distinct(rows, "device")) > 1:
        warnings.append("Times, rates and memory come from different devices")
    if len(distinct(rows, "precision")) > 1:
        warnings.append("The rows mix precisions")
    return warnings


def _shared_draws(values: Sequence[Mapping[str, Any]]) -> str:
    """Draws whose seeds stand apart from the runs', or stayed behind, and how many seeds they have
    where these are fewer than runs: 3 seeds of weights and 1 of order; else nothing."""
    if not any("seeds" in value for value in values):
        return ""
    seeds = {
        draw: {(value.get("seeds", {}).get(draw, value["seed"]), value["fold"]) for value in values}
        for draw in Seeds.model_fields
    }
    fewer = [
        f"{len(of)} seed{'s' * (len(of) > 1)} of {draw}"
        for draw, of in seeds.items()
        if len(of) < len(values)
    ]
    return " and ".join(fewer)


def _code(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    warnings = []
    commits = distinct(rows, "git_commit")
    if len(commits) > 1:
        shown = _list([commit[:7] for commit in commits])
        warnings.append(f"The runs were made by different versions of the code (commits {shown})")
    for row in rows:
        of_row = distinct([row], "git_commit")
        if len(of_row) > 1:
            shown = _list([commit[:7] for commit in of_row])
            warnings.append(f"{row['name']}: its own runs come from different commits ({shown})")
    dirty = sum(row["dirty_runs"] for row in rows)
    if dirty:
        runs = sum(len(row["run_ids"]) for row in rows)
        warnings.append(
            f"{dirty} of {runs} runs were made with uncommitted changes in the code; "
            "their commit does not tell what ran"
        )
    return warnings


def distinct(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """The values of a tag in these rows, sorted; a row has those of its runs joined by "; "."""
    return sorted({part for row in rows if row[key] for part in row[key].split("; ")})


def _list(words: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"


def _is_error(row: Mapping[str, Any]) -> bool:
    return any(row[column.key] is not None for column in of_kind("error"))
