"""Hyperband: Algorithm 1 of the paper, whom it promotes, and whose snapshots it still needs."""

from __future__ import annotations

import itertools

import pytest
from ask_and_tell import run, score

from tuning.oracles.hyperband import Hyperband, brackets, epochs_in_all
from tuning.oracles.oracle import WAIT, Proposal
from tuning.space import Boolean, Choice, Float, Int, Space, SpaceError

SMALL = Space((Choice("a", ("x", "y", "z")), Boolean("b"), Int("c", 1, 2, when={"b": True})))
WIDE = Space(
    (
        Choice("optimizer", ("sgd", "adam")),
        Float("rate", 1e-4, 1, log=True),
        Float("momentum", 0, 0.99, when={"optimizer": "sgd"}),
    )
)

TABLE_1 = [  # of the paper, R = 81 and eta = 3, s from 4 to 0
    [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    [(34, 3), (11, 9), (3, 27), (1, 81)],  # printed with 27 first; n = ceil(5 / 4 * 27) is 34
    [(15, 9), (5, 27), (1, 81)],
    [(8, 27), (2, 81)],
    [(5, 81)],
]


def test_brackets_are_the_table_of_the_paper() -> None:
    assert brackets(81, 3) == TABLE_1
    assert epochs_in_all(TABLE_1, goes_on=False) == 1902


@pytest.mark.parametrize(
    ("longest", "factor", "bracket_count", "first", "fits", "epochs"),
    [
        (1, 3, 1, (1, 1), 1, 1),
        (2, 3, 1, (1, 2), 1, 2),
        (10, 3, 3, (9, 1), 22, 83),  # 86.67 with the paper's fractions of epochs
        (100, 3, 5, (81, 1), 206, 2276),
        (243, 3, 6, (243, 1), 611, 8457),  # log(243) / log(3) is 4.999...
        (1000, 10, 4, (1000, 1), 1285, 15640),  # and log(1000) / log(10) 2.999...
    ],
)
def test_brackets_where_logarithms_and_fractions_mislead(
    longest: int, factor: int, bracket_count: int, first: tuple[int, int], fits: int, epochs: int
) -> None:
    plan = brackets(longest, factor)
    assert len(plan) == bracket_count
    assert plan[0][0] == first
    assert sum(count for rungs in plan for count, _ in rungs) == fits
    assert epochs_in_all(plan, goes_on=False) == epochs
    assert all(rungs[-1][1] == longest for rungs in plan)
    for rungs in plan:
        assert sum(count * length for count, length in rungs) <= len(plan) * longest * 1.2
        for (count, _), (kept, _) in itertools.pairwise(rungs):
            assert kept == count // factor


def test_going_on_from_snapshots_leaves_out_the_epochs_that_were_trained() -> None:
    """81 + 27 x 2 + 9 x 6 + 3 x 18 + 54 of the first bracket of the table, and so on."""
    assert epochs_in_all(TABLE_1[:1], goes_on=False) == 405
    assert epochs_in_all(TABLE_1[:1], goes_on=True) == 81 + 54 + 54 + 54 + 54
    assert epochs_in_all(TABLE_1, goes_on=True) == 1581


def test_a_search_is_the_brackets() -> None:
    oracle = Hyperband(WIDE, 1, max_epochs=81)
    proposed = run(oracle)
    assert len(proposed) == oracle.announced() == 206
    plan = [rung for rungs in TABLE_1 for rung in rungs]
    assert [p.epochs for p in proposed] == [epochs for n, epochs in plan for _ in range(n)]
    ends = {p.number for p in proposed if not p.goes_on}
    assert {proposed[number].epochs for number in ends} == {81}
    assert len(ends) == 1 + 1 + 1 + 2 + 5


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_the_best_are_promoted_whatever_number_runs_at_once(at_once: int) -> None:
    proposed = run(Hyperband(WIDE, 1, max_epochs=9, factor=3), at_once=at_once)
    assert len(proposed) == 9 + 3 + 1 + 5 + 1 + 3
    drawn = [p.settings for p in run(Hyperband(WIDE, 1, 9)) if p.resume_from is None]
    assert sorted(map(str, drawn)) == sorted(
        str(p.settings) for p in proposed if p.resume_from is None
    )
    by_number = {proposal.number: proposal for proposal in proposed}
    first = sorted((p for p in proposed if p.epochs == 1), key=lambda p: -score(p.settings))
    second = [p for p in proposed if p.epochs == 3 and p.resume_from is not None]
    assert [p.resume_from for p in second] == [p.number for p in first[:3]]
    for proposal in proposed:
        if proposal.resume_from is not None:
            earlier = by_number[proposal.resume_from]
            assert earlier.settings == proposal.settings
            assert earlier.goes_on
            assert (earlier.epochs or 0) * 3 <= (proposal.epochs or 0)


def test_failed_trials_are_never_promoted_and_hold_nothing_up() -> None:
    def fails(number: int) -> bool:
        return number % 9 not in (2, 5)  # all but two of the first bracket

    oracle = Hyperband(WIDE, 1, max_epochs=9)
    proposed = run(oracle, lambda p: float("nan") if fails(p.number) else score(p.settings))
    promoted = {p.resume_from for p in proposed if p.resume_from is not None}
    assert {2, 5} <= promoted
    assert not any(fails(number) for number in promoted)
    assert oracle.ask() is None


def test_it_waits_where_it_must_know_more() -> None:
    oracle = Hyperband(WIDE, 1, max_epochs=3)
    asked = []
    while isinstance(proposal := oracle.ask(), Proposal):
        asked.append(proposal)
    assert proposal is WAIT
    assert len(asked) == 3 + 2  # both brackets' first rungs
    for earlier in asked:
        oracle.tell(earlier.number, score(earlier.settings))
    promoted = oracle.ask()
    assert isinstance(promoted, Proposal)
    assert promoted.epochs == 3
    assert oracle.ask() is WAIT
    oracle.tell(promoted.number, 1.0)
    assert oracle.ask() is None


def test_those_that_may_yet_be_promoted_are_few_and_known() -> None:
    """Of nine trials three go on: at no time are more than these, and the one under way, needed."""
    oracle, scores = Hyperband(WIDE, 1, max_epochs=9), {}
    for number in range(9):
        proposal = oracle.ask()
        assert isinstance(proposal, Proposal)
        assert oracle.waiting() == {*sorted(scores, key=lambda n: -scores[n])[:3], number}
        scores[number] = score(proposal.settings)
        oracle.tell(number, scores[number])
    best = sorted(scores, key=lambda n: -scores[n])[:3]
    assert oracle.waiting() == set(best)
    promoted = oracle.ask()
    assert isinstance(promoted, Proposal)
    assert promoted.resume_from == best[0]
    assert oracle.waiting() == {*best[1:], promoted.number}
    oracle.tell(promoted.number, 0.0)
    run(oracle)
    assert oracle.waiting() == set()


def test_a_space_that_it_would_exhaust_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"17 candidates are drawn .* the space has 9"):
        Hyperband(SMALL, 1, max_epochs=9)


def test_a_space_that_refusals_exhaust_ends_it() -> None:
    space = Space((Int("x", 1, 17),))
    oracle, trained = Hyperband(space, 1, max_epochs=9), []
    while isinstance(proposal := oracle.ask(), Proposal):
        if proposal.settings["x"] > 4:
            oracle.refuse(proposal.number)
        else:
            trained.append(proposal)
            oracle.tell(proposal.number, 1.0)
    assert proposal is None
    assert [p.epochs for p in trained] == [1, 1, 1, 1, 3, 3, 3, 9]
