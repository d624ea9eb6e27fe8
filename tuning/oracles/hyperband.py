"""Hyperband as published (Li et al., JMLR 18, 2018, Algorithm 1).

Every bracket spends about as much: the first draws many candidates for few epochs, the last one a
few for all of them. In a bracket the best are promoted from rung to rung, to `factor` times the
epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from tuning.oracles.draws import Draws, random_points
from tuning.oracles.oracle import WAIT, Open, Proposal, Waiting, usable
from tuning.space import Settings, Space, SpaceError


def brackets(max_epochs: int, factor: int) -> list[list[tuple[int, int]]]:
    """Algorithm 1's brackets in order, each a list of rungs: (candidates, epochs of each).

    With R = `max_epochs`, eta = `factor` and s_max = floor(log_eta R), bracket s begins with
    n = ceil((s_max + 1) eta^s / (s + 1)) candidates, has floor(n eta^-i) of them on rung i, and
    trains these for R eta^(i-s) epochs. All of it in whole numbers, so that no logarithm is a last
    bit short (R = 243). Where R is no power of eta, epochs are rounded down: no bracket costs more
    than its budget (s_max + 1) R, and the last rung has R itself.

    >>> brackets(9, 3)
    [[(9, 1), (3, 3), (1, 9)], [(5, 3), (1, 9)], [(3, 9)]]
    """
    largest = 0
    while factor ** (largest + 1) <= max_epochs:
        largest += 1
    plan = []
    for bracket in range(largest, -1, -1):
        first = -(-(largest + 1) * factor**bracket // (bracket + 1))
        plan.append(
            [
                (first // factor**rung, max_epochs // factor ** (bracket - rung))
                for rung in range(bracket + 1)
            ]
        )
    return plan


def epochs_in_all(plan: Sequence[Sequence[tuple[int, int]]], *, goes_on: bool) -> int:
    """Epochs of all brackets; where a promoted candidate `goes_on`, those it has are not trained
    again."""
    total = 0
    for rungs in plan:
        before = 0
        for count, epochs in rungs:
            total += count * (epochs - before)
            before = epochs if goes_on else 0
    return total


def check_draws(space: Space, max_epochs: int, factor: int, iterations: int) -> None:
    """Refuse a space with fewer candidates than Hyperband draws: it would end half-way.

    Raises:
        SpaceError: as said.
    """
    if max_epochs < 1:
        raise SpaceError(f"hyperband needs max_epochs of 1 or more. Received: {max_epochs}")
    drawn = iterations * sum(rungs[0][0] for rungs in brackets(max_epochs, factor))
    size = space.size()
    if size is not None and size < drawn:
        raise SpaceError(
            f"{drawn} candidates are drawn ({max_epochs} epochs, factor {factor}, iterations "
            f"{iterations}), and the space has {size}; widen it, lower max_epochs, or use strategy "
            "grid"
        )


class Bracket:
    """One bracket: who is on each rung, and how they did."""

    def __init__(self, plan: Sequence[tuple[int, int]]):
        self.plan = plan
        self.rungs: list[list[int]] = [[] for _ in plan]
        """Numbers of trials."""
        self.full = False
        """Are all candidates of the first rung there?"""
        self.told: dict[int, float | None] = {}
        self.promoted: set[int] = set()

    def ranked(self, rung: int) -> list[int]:
        """Trials of a rung with a score, best first; equals in the order of their numbers."""
        scored = [(self.told[n], n) for n in self.rungs[rung] if self.told.get(n) is not None]
        return [number for _, number in sorted(scored, key=lambda one: (-(one[0] or 0.0), one[1]))]

    def decided(self, rung: int) -> bool:
        """Is every trial of a rung told of, and will none join it?"""
        if any(number not in self.told for number in self.rungs[rung]):
            return False
        return self.full if rung == 0 else self.decided(rung - 1) and not self._best_below(rung)

    def next_up(self, rung: int) -> list[int]:
        """Trials of the rung below that are still to be promoted to this one, best first."""
        return self._best_below(rung) if self.decided(rung - 1) else []

    def _best_below(self, rung: int) -> list[int]:
        """Trials of the rung below that are not promoted yet and would be, as things stand."""
        best = self.ranked(rung - 1)[: self.plan[rung][0]]
        return [number for number in best if number not in self.promoted]

    def waiting(self) -> set[int]:
        """Trials under way, and ended ones that may yet be promoted, as things stand."""
        numbers = set()
        for rung, members in enumerate(self.rungs):
            numbers |= {number for number in members if number not in self.told}
            if rung + 1 < len(self.plan):
                numbers |= set(self._best_below(rung + 1))
        return numbers

    @property
    def done(self) -> bool:
        return self.decided(len(self.plan) - 1)


class Hyperband:
    """Many candidates for few epochs, the best for more.

    Candidates of a bracket do not depend on outcomes, on the number of trials at once, or on what
    other brackets found. Failed trials are never promoted.

    Args:
        space: what varies.
        seed: of the draws.
        max_epochs: of the longest trials, R.
        factor: eta, by which epochs grow and candidates shrink from rung to rung.
        iterations: how often the whole is repeated with other candidates.
        start: candidates that are tried first, on the first rung of the first bracket.

    Raises:
        SpaceError: the space has fewer candidates than are drawn.
    """

    independent: ClassVar[bool] = False

    def __init__(
        self,
        space: Space,
        seed: int,
        max_epochs: int,
        factor: int = 3,
        iterations: int = 1,
        start: Sequence[Settings] = (),
    ):
        check_draws(space, max_epochs, factor, iterations)
        self._draws = Draws(space, random_points(space, seed), start)
        self._brackets = [
            Bracket(plan) for _ in range(iterations) for plan in brackets(max_epochs, factor)
        ]
        self._settings: dict[int, Settings] = {}
        self._bracket_of: dict[int, Bracket] = {}
        self._open = Open()

    def ask(self) -> Proposal | Literal[Waiting.OUTCOMES] | None:
        """The next trial: of the first bracket that has one which waits for no outcome."""
        for bracket in self._brackets:
            for rung in range(1, len(bracket.plan)):
                if best := bracket.next_up(rung):
                    bracket.promoted.add(best[0])
                    return self._propose(bracket, rung, self._settings[best[0]], best[0])
            if not bracket.full:
                settings = None if self._open.barren else self._draws.next()
                if settings is not None:
                    return self._propose(bracket, 0, settings)
                bracket.full = True
                return self.ask()  # one of this bracket may be promoted now
        return None if all(bracket.done for bracket in self._brackets) else WAIT

    def tell(self, number: int, score: float | None) -> None:
        self._open.end(number)
        self._bracket_of[number].told[number] = usable(score)

    def refuse(self, number: int) -> None:
        """Another candidate takes its place on the first rung."""
        self._open.refuse(number)
        bracket = self._bracket_of[number]
        bracket.rungs[0].remove(number)
        bracket.full = False

    def announced(self) -> int:
        return sum(count for bracket in self._brackets for count, _ in bracket.plan)

    def epochs_in_all(self, *, goes_on: bool) -> int:
        return epochs_in_all([bracket.plan for bracket in self._brackets], goes_on=goes_on)

    def waiting(self) -> set[int]:
        """Numbers of trials under way, and of ended ones that may yet be promoted."""
        return {number for bracket in self._brackets for number in bracket.waiting()}

    def _propose(
        self, bracket: Bracket, rung: int, settings: Settings, earlier: int | None = None
    ) -> Proposal:
        number = self._open.start()
        bracket.rungs[rung].append(number)
        bracket.full = bracket.full or len(bracket.rungs[0]) == bracket.plan[0][0]
        self._settings[number], self._bracket_of[number] = settings, bracket
        return Proposal(
            number,
            dict(settings),
            epochs=bracket.plan[rung][1],
            resume_from=earlier,
            goes_on=rung + 1 < len(bracket.plan),
        )
