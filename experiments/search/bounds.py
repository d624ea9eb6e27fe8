"""`search.constraints`: candidates that cost too much are known, and refused, before any is fitted.
And costs that are objectives differ between candidates.

The cost of an image depends on network and size alone, so it is the same in every fold, and equal
for all candidates that differ in how they are trained.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from experiments.config.objectives import PLANNED, Constraints
from experiments.errors import BadInput
from experiments.presentation.formatting import si
from experiments.runtime.startup import load_tensorflow
from experiments.search.candidates import Candidates
from experiments.search.space import oracle_of, samples
from experiments.search.study import Study
from tuning.oracles.oracle import MOST_REFUSED, Proposal
from tuning.search import Search

Cost = dict[str, float]
SOME = 8  # values of a key that are looked at


def refusals(candidates: Candidates) -> Callable[[Mapping[str, Any]], Cost | None]:
    """What says the cost of settings that the constraints refuse, and None of others.

    Settings that do not go with the data have no cost: they are not refused, and fail as they do.
    """
    constraints = candidates.study.section.constraints
    if constraints == Constraints():
        return lambda settings: None

    def refused(settings: Mapping[str, Any]) -> Cost | None:
        try:
            priced = candidates.priced(settings)
        except BadInput:
            return None
        return priced if constraints.exceeded(priced) else None

    return refused


def count_refused(study: Study, refused: Callable[[Mapping[str, Any]], Cost | None]) -> int:
    """How many candidates of a complete list are refused, 0 where they are drawn.

    Raises:
        BadInput: all of them are, or all that were drawn.
    """
    section = study.section
    if section.constraints == Constraints():
        return 0
    load_tensorflow()  # quietly, before KerasTuner or a network does it
    oracle, costs, admitted = oracle_of(study.config), list[Cost](), 0
    counted = section.declaration.complete or section.declaration.listed
    while isinstance(proposal := oracle.ask(), Proposal):
        if priced := refused(proposal.settings):
            costs.append(priced)
            oracle.refuse(proposal.number)
        elif not counted:
            return 0
        else:
            admitted += 1
    if admitted:
        return len(costs)
    cheapest = {name: min(one[name] for one in costs) for name in PLANNED}
    beyond = section.constraints.exceeded(cheapest)
    why = excess(cheapest, section.constraints) if beyond else "not all of them at once"
    raise BadInput(
        f"search.constraints: {'none' if counted else f'none of {len(costs)} draws'} of the "
        f"candidates is within them (at best {why}); raise them, or widen the space"
    )


def check_costs_differ(candidates: Candidates) -> None:
    """Refuse an objective of which all candidates have the same: it decides nothing.

    Raises:
        BadInput: a cost that no value of any key changes.
    """
    section = candidates.study.section
    known = [one.name for one in section.objectives or () if one.name in PLANNED]
    costs: dict[str, set[float]] = {name: set() for name in known}
    for _, settings in samples(section, SOME):
        if all(len(values) > 1 for values in costs.values()):
            return
        with contextlib.suppress(BadInput):  # its trial fails
            priced = candidates.priced(settings)
            for name, values in costs.items():
                values.add(priced[name])
    for name, values in costs.items():
        if len(values) == 1:
            raise BadInput(
                f"search.objectives: {name} is {si(values.pop())} for every candidate, as no key "
                "of the space changes the network; leave it out, or vary one that does, such as "
                "model.options.width"
            )


def scarcity(search: Search) -> str | None:
    """Why a search ended with fewer candidates than it was asked for, if its constraints did it."""
    asked = search.oracle.announced()
    refused = sum(trial.status == "refused" for trial in search.trials)
    tried = len(search.trials) - refused
    if search.stopped or asked is None or tried >= asked or refused < MOST_REFUSED:
        return None
    return (
        f"search.constraints: {tried} of {asked} trials; after {MOST_REFUSED} draws in a row that "
        "are over them no more are looked for"
    )


def excess(cost: Mapping[str, float], constraints: Constraints) -> str:
    """What a refused candidate costs, and what it might, where it is above."""
    return ", ".join(
        f"{name} {si(cost[name])} > {si(getattr(constraints, name))}"
        for name in constraints.exceeded(cost)
    )
