"""Which race a search runs, what it needs, and why a candidate gave up.

With several objectives the race knows the costs, and candidates are held against those that cost no
more. Costs that a fit measures, and further scores, are known of no candidate before it has ended:
one that is dropped might be on the front by them, so such searches have no race.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.config.objectives import PLANNED
from experiments.config.search import Search as Section
from experiments.errors import BadInput
from experiments.presentation.formatting import si
from tuning.cost_race import CostRace
from tuning.fold_race import Racing
from tuning.race import Race
from tuning.search import Search
from tuning.trial import Trial


def check(section: Section, objective: str, folds: int, where: str) -> None:
    """Refuse a race that cannot be.

    Args:
        objective: the score that candidates are compared by.
        folds: of each candidate.
        where: the config file, for errors.

    Raises:
        BadInput: a score that tells of no images, too few folds, an objective that is measured.
    """
    if section.race and objective != "val_top1":
        key = "objectives to [val_top1, ...]" if section.objectives else "objective=val_top1"
        raise BadInput(
            f"{where}: search.race: is decided on which images are right, and {objective} tells of "
            f"none; set search.{key}, or leave race out"
        )
    first = 1 if section.race and section.race.noise is not None else 2
    if section.race and folds <= first:
        several = f"{folds} fold{'s' * (folds > 1)}"
        raise BadInput(
            f"{where}: search.race: first looks after {first} fold{'s' * (first > 1)}, and "
            f"{several} leave{'s' * (folds == 1)} none to give up; set validation.folds=5 (of "
            "nested: inner), or leave race out"
        )
    known = (objective, *PLANNED)
    if section.race and (late := [o.name for o in section.objectives or () if o.name not in known]):
        raise BadInput(
            f"{where}: search.race: {', '.join(late)}: known only when a candidate has every fold, "
            f"and one that gave up might be on the front by that; keep {objective}, "
            f"{', '.join(PLANNED)} in search.objectives, or leave race out"
        )


def race_of(
    section: Section,
    images: Sequence[np.ndarray],
    ratio: float,
    candidates: int | None,
    cost: Callable[[int], Sequence[float]],
) -> Race | Racing | None:
    """The race of one search, None without.

    Args:
        images: of each fold.
        ratio: validation over training images of a fold.
        candidates: in all, None where a search may be taken further.
        cost: of a candidate by its number, of several objectives those that are costs, less is
            better.
    """
    if section.racing:
        return Racing(**section.racing.model_dump(), ratio=ratio)
    if section.race and section.objectives:
        return CostRace(images, ratio, candidates, **section.race.model_dump(), cost=cost)
    if section.race:
        return Race(images, ratio, candidates, **section.race.model_dump())
    return None


def cost_of(searches: Sequence[Search], at: int, number: int) -> list[float]:
    """What a trial of one of several searches costs in each objective that is known before it is
    fitted, less is better."""
    search = searches[at]
    known = search.known(search.trials[number])
    return [-one.sign * known[one.name] for one in search.objectives if one.name in PLANNED]


def why_gave_up(search: Search, trial: Trial) -> dict[str, Any] | None:
    """Why a trial left the race, for the JSON: folds, leader, p; of several objectives also what it
    costs and what the leader does, by name."""
    if trial.gave_up is None:
        return None
    if not search.objectives:
        return vars(trial.gave_up)
    names = [one.name for one in search.objectives if one.name in PLANNED]
    costs = {}
    for key, priced in (("cost", trial), ("leader_cost", search.trials[trial.gave_up.leader])):
        known = search.known(priced)
        costs[key] = {name: known[name] for name in names}
    return vars(trial.gave_up) | costs


def in_words(search: Search, trial: Trial) -> str:
    """The same in words."""
    told = why_gave_up(search, trial)
    assert told
    words = f"gave up after {told['folds']} fold{'s' * (told['folds'] > 1)}"
    if "cost" in told:
        costs = (f"{n} {si(told['leader_cost'][n])} of {si(c)}" for n, c in told["cost"].items())
        words += f": trial {told['leader']} is better for no more, {', '.join(costs)}"
    return f"{words} (p {told['p']:.2g})"
