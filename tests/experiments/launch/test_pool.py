"""The loop over workers, with workers that only pretend."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from idle_worker import IdleWorker

from experiments.config.schema import Config
from experiments.jobs.job import Job, Outcome
from experiments.launch.pool import Lost, Pool


class Actor(IdleWorker):
    """Says what it was told to say of each job, try by try."""

    def __init__(self, script, starts_after=0):
        super().__init__()
        self.script, self.renewals, self.given = script, 0, []
        self.starts_after = self.left = starts_after
        """Times that it is asked in vain whether it is ready, after each start."""

    def ready(self):
        self.left -= 1
        return self.left < 0

    def send(self, job):
        self.given.append(job.path)

    def hear(self):
        tries = self.script.get(self.job.path, [])
        return tries.pop(0) if tries else [Outcome(self.job.path, "finished")]

    def renew(self):
        self.renewals += 1
        self.left = self.starts_after
        super().renew()


class Stage(Pool):
    def wait(self, busy, seconds):
        return busy

    def remark(self):
        return "waits"


def job(number, graph="a", measured=True):
    one = Job(("cell", number), Config(), np.arange(2), None, None, graph, "x")
    return dataclasses.replace(one, measured=measured)


def played(pool, jobs):
    events, outcomes = [], []
    with pool:
        for one, outcome in pool.run(jobs, lambda one, event: events.append((one.path[1], event))):
            outcomes.append((one.path[1], outcome.status, outcome.error))
    return events, outcomes


def epoch(number):
    return {"kind": "epoch", "epoch": number, "values": {}}


@pytest.mark.parametrize("limit", [None, 1, 2])
def test_a_process_is_replaced_after_so_many_runs(limit):
    worker = Actor({})
    _, outcomes = played(Stage([worker], runs_per_worker=limit), [job(n) for n in range(5)])
    assert [status for _, status, _ in outcomes] == ["finished"] * 5
    assert worker.renewals == {None: 0, 1: 4, 2: 2}[limit]


def test_a_job_whose_worker_died_is_tried_again_and_its_epochs_are_told_once():
    script = {
        ("cell", 0): [
            [epoch(1), epoch(2), Lost("gone")],
            [epoch(1)],
            [epoch(2), epoch(3), Lost("gone again")],
        ]
    }
    events, outcomes = played(Stage([Actor(script)], retries=2), [job(0), job(1)])
    # the other job may come first: it was next when the worker died
    assert sorted(outcomes) == [(0, "finished", None), (1, "finished", None)]
    own = [event for number, event in events if number == 0]
    assert [e["epoch"] for e in own if e["kind"] == "epoch"] == [1, 2, 3]
    assert [e["kind"] for e in own].count("begin") == 1
    assert [e["text"] for e in own if e["kind"] == "note"] == [
        "gone; tried again, 1 of 2", "gone again; tried again, 2 of 2"
    ]  # fmt: skip


@pytest.mark.parametrize(("retries", "error"), [(0, "gone"), (1, "gone (tried 2 times)")])
def test_beyond_its_retries_a_job_fails_and_the_others_go_on(retries, error):
    script = {("cell", 0): [[Lost("gone")]] * 5}
    _, outcomes = played(Stage([Actor(script)], retries=retries), [job(0), job(1)])
    assert sorted(outcomes) == [(0, "failed", error), (1, "finished", None)]


def test_a_worker_that_cannot_start_holds_no_job_up():
    never, works = Actor({}, starts_after=10**6), Actor({}, starts_after=3)
    events, outcomes = played(Stage([never, works]), [job(n, graph="ab"[n % 2]) for n in range(4)])
    assert len(outcomes) == 4
    assert never.given == []
    # each network is held by a process of its own; the job waits for it, and begins once
    assert works.given == [("cell", n) for n in (0, 2, 1, 3)]
    assert works.renewals == 1
    begun = [number for number, event in events if event["kind"] == "begin"]
    assert sorted(begun) == [0, 1, 2, 3]
    assert {"kind": "note", "text": "waits"} in [event for _, event in events]


def test_nothing_to_do_needs_no_worker():
    assert played(Stage([Actor({}, starts_after=10**6)]), []) == ([], [])
