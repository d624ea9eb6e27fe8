"""What is said of the settings that validation chose: how many, ties, what was missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from experiments.comparison.best_of import (
    MSE,
    TOP1,
    Choice,
    Family,
    Setting,
    in_short,
    rank,
    values_of,
)
from experiments.comparison.grouping import Comparison
from experiments.comparison.row_names import short_keys
from experiments.presentation.formatting import in_words, significant

WORDS = {TOP1: "validation top-1", MSE: "validation squared error"}


def described(comparison: Comparison, choice: Choice) -> Comparison:
    """The comparison of the kept runs with `best_of`, and with `settings_tried` in its rows."""
    of_run = {
        run.info.run_id: family
        for family in choice.families
        if family.chosen
        for run in family.chosen.runs
    }
    families = [of_run[row["run_ids"][0]] for row in comparison.rows]
    rows = [
        {**row, "settings_tried": len(family.settings)}
        for row, family in zip(comparison.rows, families, strict=True)
    ]
    named = [(row["name"], family) for row, family in zip(rows, families, strict=True)]
    return replace(
        comparison,
        rows=rows,
        best_of={
            "keys": choice.keys,
            "by": sorted({family.metric for family in families}),
            "notes": _notes(choice, named, comparison.score),
        },
    )


def _notes(choice: Choice, named: Sequence[tuple[str, Family]], score: str) -> list[str]:
    counts = sorted({len(family.settings) for _, family in named})
    tried = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    metrics = " or ".join(WORDS[m] for m in sorted({f.metric for _, f in named}, reverse=True))
    every = sum(len(setting.runs) for f in choice.families for setting in f.settings)
    kept = sum(len(family.chosen.runs) for _, family in named if family.chosen)
    apart = (
        "test was not used to choose"
        if score.startswith("test")
        else "the figures shown are those that chose, and so optimistic"
    )
    notes = [
        f"Best of {in_short(choice.keys)}: each row has the setting, of {tried} tried, with the "
        f"best mean {metrics} over its seeds; {apart}; {kept} of {every} runs are in the rows"
    ]
    short = short_keys(choice.keys)
    kinds = {
        "Ties": _tie,
        "Settings without a validation score, not chosen from": _without_score,
        "Not every setting was run for every seed": _unequal,
        "Chosen at the edge of what was tried, so the best may lie beyond": _edge,
    }
    for heading, look in kinds.items():
        lines = [f"{name}: {text}" for name, family in named if (text := look(family, short))]
        notes += [f"{heading}: {'; '.join(lines)}"] if lines else []
    single = [name for name, family in named if len(family.settings) == 1]
    if single:
        notes.append(f"Nothing to choose from, one setting only: {', '.join(single)}")
    lost = [f"{f.model} ({len(f.settings)} settings)" for f in choice.families if not f.chosen]
    if lost:
        notes.append(f"No row, for want of any validation score: {', '.join(lost)}")
    return notes


def _tie(family: Family, short: Mapping[str, str]) -> str:
    chosen = family.chosen
    if chosen is None or chosen.score is None:
        return ""
    best = rank(chosen, family.metric)
    level = [s for s in family.settings if s.score is not None and rank(s, family.metric) == best]
    if len(level) == 1:
        return ""
    by_loss = all(s is chosen or s.loss > chosen.loss for s in level)
    figure = f"{100 * chosen.score:.2f} %" if family.metric == TOP1 else significant(chosen.score)
    return (
        f"{' and '.join(_words(s, short) for s in level)} at {figure}, "
        f"{'the lower validation loss decided' if by_loss else 'the one begun first is shown'}"
    )


def _without_score(family: Family, short: Mapping[str, str]) -> str:
    texts = [_words(s, short) for s in family.settings if s.score is None]
    for setting in family.settings:
        missing = len(setting.runs) - len(values_of(setting.runs, family.metric))
        if setting.score is not None and missing:
            texts.append(f"{missing} of {len(setting.runs)} runs of {_words(setting, short)}")
    return ", ".join(texts)


def _unequal(family: Family, short: Mapping[str, str]) -> str:
    every = set().union(*(setting.repeats for setting in family.settings))
    fewer = [
        f"{_words(setting, short)} {len(setting.repeats)} of {len(every)}"
        for setting in family.settings
        if setting.repeats != every
    ]
    return ", ".join(fewer)


def _edge(family: Family, short: Mapping[str, str]) -> str:
    texts = []
    for key, name in short.items():
        values = {setting.values[key] for setting in family.settings if _is_number(setting, key)}
        if len(values) < 3 or family.chosen is None or not _is_number(family.chosen, key):
            continue
        value = family.chosen.values[key]
        if value in (min(values), max(values)):
            size = "smallest" if value == min(values) else "largest"
            texts.append(f"{name}={in_words(value)} is the {size} of {len(values)}")
    return ", ".join(texts)


def _is_number(setting: Setting, key: str) -> bool:
    return type(setting.values[key]) in (int, float)


def _words(setting: Setting, short: Mapping[str, str]) -> str:
    return " ".join(f"{short[key]}={in_words(value)}" for key, value in setting.values.items())
