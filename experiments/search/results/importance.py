"""What mattered in a search: the importance of each key, in JSON and in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from experiments.config.strategies import Strategy
from experiments.errors import kind_and_first_line
from experiments.search.space import space_of
from tuning.statistics.importance import ALPHA, FEW, LEAST, Importance, NoImportance, of_trials

if TYPE_CHECKING:
    from experiments.search.drive import Drive

SHOWN = 6  # keys in the line
FILLED = f"Filled bars: more than by chance, p up to {ALPHA} against shuffled scores."
NO_METRIC_NAME = re.compile(r"[^\w\-. /]")


def document(drive: Drive) -> dict[str, Any]:
    """Its keys of the JSON: shares and p by config key, null where there are none, and notes.

    Of a nested search the mean of the outer folds' shares; its p is twice the median of theirs,
    which holds however the folds hang together.
    """
    section, searches = drive.study.section, drive.work.outer
    space = space_of(section)
    if space is None:
        return _none("the candidates are listed, and their keys have no range to be compared on")
    measured: list[Importance] = []
    reasons: list[str] = []
    for search in searches:
        try:
            measured.append(of_trials(space, search.trials, search.minimise))
        except NoImportance as error:
            reasons.append(str(error))
        except Exception as error:  # the search is done: what mattered must not cost it
            return _none(f"could not be computed: {kind_and_first_line(error)}")
    if not measured:
        return _none(reasons[0])
    shares, p = over_folds(measured) if drive.study.nested else (measured[0].shares, measured[0].p)
    failed = sum(one.status == "failed" for search in searches for one in search.trials)
    notes = list(_notes(measured, section.declaration, failed))
    if drive.study.nested:
        notes.insert(0, _of_folds(len(measured), len(searches)))
    return {"importance": shares, "importance_p": p, "importance_notes": notes}


def over_folds(measured: Sequence[Importance]) -> tuple[dict[str, float], dict[str, float]]:
    """Shares and p over outer folds, the largest share first; a key that a fold has not is none
    of its share."""
    keys = dict.fromkeys(key for one in measured for key in one.shares)
    means = {key: fmean(one.shares.get(key, 0.0) for one in measured) for key in keys}
    shares = dict(sorted(means.items(), key=lambda item: -item[1]))
    p = {key: min(1.0, 2 * median(one.p.get(key, 1.0) for one in measured)) for key in shares}
    return shares, p


def in_words(result: Mapping[str, Any]) -> Iterator[str]:
    """Of a search's JSON: the shares in a line, what is told from chance, and the notes; nothing
    where there are no shares, of which the JSON says why."""
    shares, p = result.get("importance"), result.get("importance_p")
    if not shares or not p:
        return
    first = [f"{key} {100 * share:.0f} %" for key, share in list(shares.items())[:SHOWN]]
    more = [f"{len(shares) - SHOWN} more"] if len(shares) > SHOWN else []
    beyond = [key for key in shares if is_beyond_chance(p, key)]
    yield (
        f"importance: {', '.join(first + more)}; more than by chance (p up to {ALPHA}): "
        f"{', '.join(beyond) or 'none'}"
    )
    yield from (f"importance: {note}" for note in result["importance_notes"])


def is_beyond_chance(p: Mapping[str, float], key: str) -> bool:
    """Does the key set the best apart by more than shuffled scores let it?"""
    return p[key] <= ALPHA


def share_in_words(share: float, p: float) -> str:
    """Beside a bar."""
    return f"{100 * share:.0f} %, p {p:.2g}"


def metrics(result: Mapping[str, Any]) -> dict[str, float]:
    """For the parent run: `importance.KEY`, with what no metric's name may have replaced."""
    shares = result.get("importance") or {}
    return {f"importance.{NO_METRIC_NAME.sub('_', key)}": share for key, share in shares.items()}


def _none(reason: str) -> dict[str, Any]:
    return {"importance": None, "importance_p": None, "importance_notes": [f"none: {reason}"]}


def _of_folds(measured: int, folds: int) -> str:
    of = f"{measured} of {folds}" if measured < folds else str(folds)
    return f"mean over {of} outer folds, each by the trials of its own search"


def _notes(measured: Sequence[Importance], strategy: Strategy, failed: int) -> Iterator[str]:
    trials = min(one.trials for one in measured)
    yield (
        f"what sets the best third of {trials} trials apart from all, each key by itself "
        "(PED-ANOVA); no cause"
    )
    if trials < FEW:
        yield (
            f"under {FEW} trials the order is often chance: simulated, with noise as large as the "
            "effect, a key without any came first in 20 % of searches of 10 trials, 9 % of 20"
        )
    if strategy.brackets:
        yield (
            "a candidate counts once, by how many it outdid of those that began as short: with "
            "longer trials before shorter ones"
        )
    elif strategy.learns:
        yield (
            f"{strategy.name} draws mostly where scores were good, which hides what it settled "
            "early: its trials hardly differ in that"
        )
    if failed:
        yield f"without the {failed} that failed, whatever made them fail"
    if left_out := list(dict.fromkeys(key for one in measured for key in one.left_out)):
        yield f"left out, in fewer than {LEAST} trials: {', '.join(left_out)}"
