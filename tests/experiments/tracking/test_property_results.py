"""The journal of any fits, cut anywhere; rows, intervals and tests of any scores."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from attempts import attempt
from hypothesis import given
from hypothesis import strategies as st

from experiments.jobs.job import Outcome
from experiments.tracking.journal import Journal
from tuning.statistics import significance

NUMBERS = st.floats() | st.floats(width=32).map(np.float32)
TEXTS = st.text(st.characters(), max_size=8)
OUTCOMES = st.builds(
    Outcome,
    path=st.lists(st.integers() | TEXTS, max_size=3).map(tuple),
    status=st.sampled_from(["finished", "failed", "killed"]),
    scores=st.dictionaries(TEXTS, NUMBERS, max_size=3),
    history=st.lists(st.dictionaries(TEXTS, NUMBERS, max_size=2), max_size=3),
    cost=st.dictionaries(TEXTS, NUMBERS, max_size=2),
    tags=st.dictionaries(TEXTS, TEXTS, max_size=2),
    artifacts=st.dictionaries(TEXTS, st.lists(NUMBERS | TEXTS, max_size=3), max_size=2),
    error=st.none() | TEXTS,
)


def same(outcome: Outcome | None) -> str:
    """An outcome as text, in which NaN equals NaN and a float32 its value."""
    return json.dumps(vars(outcome), default=lambda x: x.item()) if outcome else "None"


@given(st.lists(st.tuples(OUTCOMES, st.sampled_from("ab")), min_size=1, max_size=4))
def test_outcomes_come_back_from_the_journal(written: list[tuple[Outcome, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder)).open()
        for outcome, fingerprint in written:
            journal.ended(outcome, fingerprint, "run", "store")
        assert len(Journal(Path(folder)).events()) == len(written)
        last, fingerprint = written[-1]
        expected = last if last.status == "finished" else None
        assert same(Journal(Path(folder)).outcome(fingerprint)) == same(expected)
        assert Journal(Path(folder)).outcome("other") is None


@given(st.lists(OUTCOMES, min_size=1, max_size=3), st.floats(0, 1))
def test_a_journal_cut_anywhere_loses_its_last_record_at_most(
    outcomes: list[Outcome], share: float
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        patch(
            "experiments.tracking.journal.time.time", lambda: 1.5
        ),  # its digits are part of the file
    ):
        journal = Journal(Path(folder)).open()
        for outcome in outcomes:
            journal.ended(outcome, "a", "run", "store")
        events, contents = journal.events(), journal.file.read_bytes()
        at = round(share * len(contents))
        journal.file.write_bytes(contents[:at])
        whole = contents[:at].count(b"\n")
        left = Journal(Path(folder)).open()
        found = left.events()
        assert len(found) in (whole, whole + 1)  # one more where only its line end is lost
        assert json.dumps(found) == json.dumps(events[: len(found)])
        left.outcome("a")
        left.append("started", run_id="b")
        assert json.dumps(left.events()[:-1]) == json.dumps(found)
        assert left.events()[-1]["run_id"] == "b"


SCORES = st.floats(0, 1)


@st.composite
def tracked(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """Runs of a few settings and seeds, some of them repeated."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        rate, seed = draw(st.sampled_from(["0.1", "0.01"])), draw(st.integers(1, 3))
        metrics = {"test_top1": draw(SCORES), "macs": float(draw(st.integers(1, 9)))}
        tags = {"config_hash": f"{rate}/{seed}", "group_hash": rate, "level": "run"}
        info = SimpleNamespace(run_id=f"{number:032x}", start_time=number, run_name="x")
        params = {"train.rate": rate, "seed": str(seed), "model.name": "mlp"}
        data = SimpleNamespace(params=params, tags=tags, metrics=metrics)
        found.append(("e", SimpleNamespace(info=info, data=data)))
    return found


@given(tracked(), st.randoms(use_true_random=False))
def test_each_run_is_in_one_row_and_rows_hold_their_means(found: Any, shuffle: Any) -> None:
    from experiments.comparison.grouping import grouped

    table = grouped(found, ["e"])
    ids = [run_id for row in table.rows for run_id in row["run_ids"]]
    assert len(set(ids)) == len(ids) == len(found) - table.repeats
    assert len(ids) == len(
        {(run.data.params["train.rate"], run.data.params["seed"]) for _, run in found}
    )
    scores = {run.info.run_id: run.data.metrics["test_top1"] for _, run in found}
    for row in table.rows:
        own = [scores[run_id] for run_id in row["run_ids"]]
        assert row["top1_mean"] == pytest.approx(fmean(own))
        assert min(own) - 1e-12 <= row["top1_mean"] <= max(own) + 1e-12
        assert row["n"] == len(row["seeds"]) == len(own)
        better = [
            other for other in table.rows
            if other["macs"] <= row["macs"] and other["top1_mean"] >= row["top1_mean"]
            and (other["macs"] < row["macs"] or other["top1_mean"] > row["top1_mean"])
        ]  # fmt: skip
        assert row["dominated"] == bool(better)
    means = [row["top1_mean"] for row in table.rows]
    assert means == sorted(means, reverse=True)
    mixed = list(found)
    shuffle.shuffle(mixed)
    assert grouped(mixed, ["e"]).rows == table.rows


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from(["bca", "percentile"]))
def test_an_interval_holds_its_accuracy(images: int, share: float, method: Any) -> None:
    hits = round(share * images)
    found = significance.accuracy_interval(hits, images, method=method)
    wider = significance.accuracy_interval(hits, images, method=method, confidence=0.99)
    assert 0 <= found.low <= hits / images <= found.high <= 1
    assert wider.low <= found.low <= found.high <= wider.high
    other = significance.accuracy_interval(images - hits, images, method="percentile")
    mirror = significance.accuracy_interval(hits, images, method="percentile")
    assert other.low == pytest.approx(1 - mirror.high, abs=1.01 / images)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_an_interval_holds_its_difference(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs, bool).T
    found = significance.difference_interval(first, second)
    mean = first.mean() - second.mean()
    assert -1 <= found.low <= mean + 1e-12
    assert mean - 1e-12 <= found.high <= 1
    test = significance.mcnemar(first, second)
    assert 0 <= test.p_value <= 1
    assert test.p_value == pytest.approx(significance.mcnemar(second, first).p_value)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=12), st.floats(1, 1e5), st.floats(1, 1e5))
def test_a_t_interval_holds_its_mean(values: list[float], train: float, test: float) -> None:
    found, why = attempt(
        ValueError, lambda: significance.corrected_resampled_t(values, train, test)
    )
    if found is None:
        assert "a t-test needs some that differ" in why
        return
    assert found.interval.low <= found.mean <= found.interval.high
    assert 0 <= found.p_value <= 1
    outside = not found.interval.low <= 0 <= found.interval.high
    assert outside == (found.p_value < 0.05) or found.p_value == pytest.approx(0.05)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_keeps_the_order_and_only_raises(values: list[float]) -> None:
    adjusted = significance.holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    steps = [p * sum(other >= p for other in values) for p in values]  # ties take the largest
    for p, q in zip(values, adjusted, strict=True):
        below = [step for step, other in zip(steps, values, strict=True) if other <= p]
        assert q == pytest.approx(min(1, max(below)))
    order = np.argsort(values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert np.array_equal(significance.holm(np.array(values)[order]), adjusted[order])
    assert all(q <= min(1, p * len(values)) + 1e-12 for p, q in zip(values, adjusted, strict=True))
