"""An oracle asked and told to its end, as a search does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuning.oracles.oracle import Proposal


def score(settings: dict[str, Any]) -> float:
    """Best at a rate of 0.01."""
    return -abs(settings["rate"] - 0.01)


def run(
    oracle: Any,
    outcome: Callable[[Proposal], Any] = lambda proposal: score(proposal.settings),
    at_once: int = 1,
    limit: int = 10_000,
) -> list[Proposal]:
    """Ask in rounds, tell in order of trials, until the oracle has no more."""
    done: list[Proposal] = []
    while len(done) < limit:
        proposals = []
        while len(proposals) < at_once and isinstance(asked := oracle.ask(), Proposal):
            proposals.append(asked)
        if not proposals:
            assert asked is None
            return done
        for proposal in proposals:
            oracle.tell(proposal.number, outcome(proposal))
        done += proposals
    return done
