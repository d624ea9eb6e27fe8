"""Executors: the same results in this process and in workers, and a dead worker fails one job."""

from __future__ import annotations

import dataclasses
import os
import signal

import forked
import numpy as np
import pytest

from experiments import errors
from experiments.config import settings
from experiments.config.launch import Launch
from experiments.config.schema import Config
from experiments.fitting import fit
from experiments.jobs.job import Job, Outcome
from experiments.jobs.plan import prepare
from experiments.launch import executors, processes
from experiments.launch.pool import AHEAD, Backlog
from experiments.launch.processes import Child, Processes
from experiments.runtime.machine import cores

TINY = {
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.2},
    "train": {"epochs": 2},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
    "tracking": {"save_model": "none"},
}


def jobs(*changes):
    for number, words in enumerate(changes):
        config = settings.parse(settings.override(TINY, words))
        yield prepare(config).job(("cell", number))


@pytest.fixture
def loaded(monkeypatch):
    """Workers that begin with the libraries loaded; others are started as users' are."""
    monkeypatch.setattr(processes.mp, "get_context", lambda kind: forked.context())


def outcomes(executor, work, on_event=lambda job, event: None):
    with executor:
        return {job.path: outcome for job, outcome in executor.run(work, on_event)}


def test_inline_and_two_workers_give_the_same_scores():
    changes = (["seed=1"], ["seed=2"], ["model.name=mlp"])
    inline = outcomes(executors.executor(Launch(executor="inline")), list(jobs(*changes)))
    # As many threads as in this process: shared out, they could change last bits.
    two = Launch(workers=2, cpus=cores())
    spread = outcomes(executors.executor(two), list(jobs(*changes)))
    assert set(inline) == set(spread) == {("cell", i) for i in range(3)}
    for path, outcome in inline.items():
        assert outcome.status == "finished", outcome.error
        assert spread[path].scores == outcome.scores
        assert spread[path].tags["device"] == outcome.tags["device"]
        assert [e["val_loss"] for e in spread[path].history] == [
            e["val_loss"] for e in outcome.history
        ]


def test_a_worker_keeps_its_network_and_is_replaced_for_another(loaded):
    executor = Processes(1)
    seen = []

    def watch(job, event):
        if event["kind"] == "epoch":
            seen.append((job.config.model.name, executor.workers[0].process.pid))

    # In the order given, the third job would need the first network again.
    work = list(jobs(["seed=1"], ["model.name=mlp"], ["seed=2"]))
    done = outcomes(executor, work, watch)
    assert all(outcome.status == "finished" for outcome in done.values())
    assert [name for name, _ in seen] == ["lenet5"] * 4 + ["mlp"] * 2
    workers = {name: {pid for n, pid in seen if n == name} for name, _ in seen}
    assert len(workers["lenet5"]) == 1
    assert workers["lenet5"].isdisjoint(workers["mlp"])


def test_a_worker_that_is_killed_fails_its_job_only(loaded):
    executor = Processes(1)

    def kill_the_first(job, event):
        if job.path == ("cell", 0) and event["kind"] == "epoch":
            os.kill(executor.workers[0].process.pid, signal.SIGKILL)

    done = outcomes(executor, list(jobs(["train.epochs=500"], ["seed=2"])), kill_the_first)
    assert done["cell", 0].status == "failed"
    assert "SIGKILL" in done["cell", 0].error
    assert done["cell", 1].status == "finished"


@pytest.mark.parametrize("name", ["inline", "processes"])
def test_an_error_inside_fails_the_job_with_its_reason(name, loaded):
    work = list(jobs(["train.freeze=[zz]"], ["seed=2"]))
    done = outcomes(executors.executor(Launch(executor=name)), work)
    assert done["cell", 0].status == "failed"
    assert done["cell", 0].bad_input
    assert "zz" in done["cell", 0].error
    assert done["cell", 1].status == "finished"


def test_a_stop_that_python_swallowed_is_still_heard(monkeypatch):
    # A signal's exception raised inside a finaliser or weak-reference callback is printed and lost.
    monkeypatch.setattr(errors, "_asked", True)
    with pytest.raises(errors.Stopped):
        outcomes(executors.executor(Launch(executor="inline")), list(jobs(["seed=1"])))
    seen = []
    with pytest.raises(errors.Stopped), executors.executor(Launch(workers=1)) as processes:
        for _ in processes.run(list(jobs(["seed=1"])), lambda job, event: seen.append(event)):
            pass
    assert seen == [{"kind": "begin"}]


def job(number, graph):
    return Job(("cell", number), Config(), np.arange(2), None, None, graph, "x")


def taken(backlog, *arguments):
    return backlog.take(*arguments).path[1]


def test_a_backlog_prefers_the_graph_held_then_one_that_nobody_holds():
    backlog = Backlog([job(n, graph) for n, graph in enumerate("aabbc")])
    assert taken(backlog) == 0
    assert taken(backlog, "b") == 2
    assert taken(backlog, "x", {"a", "b"}) == 4
    assert taken(backlog, "x", {"a", "b"}) == 1
    backlog.add([job(5, "b")])
    assert [taken(backlog, "b"), taken(backlog, "b")] == [3, 5]
    assert backlog.take("b") is None


def test_a_backlog_makes_jobs_as_they_are_needed_and_drops_what_is_not_wanted():
    made = []

    def endless():
        for number in range(10_000):
            made.append(number)
            yield job(number, "a")

    backlog = Backlog(endless(), wanted=lambda one: one.path[1] % 2 == 1)
    assert [taken(backlog, "a"), taken(backlog, "a")] == [1, 3]
    assert len(made) <= 2 * AHEAD + 4


def test_jobs_that_come_while_it_runs_are_run_too(monkeypatch):
    monkeypatch.setattr(fit, "attempt", lambda one, emit: Outcome(one.path, "finished"))
    backlog = Backlog([job(0, "a")])
    seen = []
    for one, _ in executors.Inline().run(backlog, lambda one, event: None):
        seen.append(one.path[1])
        if len(seen) < 4:
            backlog.add([job(len(seen), "a")])
    assert seen == [0, 1, 2, 3]


def test_a_fresh_worker_computes_while_the_coordinator_hears_of_the_last_outcome(loaded):
    events, pids = [], []
    work = list(jobs(["seed=1"], ["seed=2"]))
    with executors.executor(Launch(workers=1, runs_per_worker=1, cpus=1)) as executor:

        def watch(one, event):
            events.append((one.path, event["kind"]))
            if event["kind"] == "epoch":
                pids.append(executor.workers[0].process.pid)

        for one, outcome in executor.run(work, watch):
            events.append((one.path, "heard"))
            assert outcome.tags["device"].endswith(", 1 threads")
    order = [event for event in events if event[1] in ("begin", "heard")]
    assert order == [
        (("cell", 0), "begin"), (("cell", 1), "begin"), (("cell", 0), "heard"),
        (("cell", 1), "heard"),
    ]  # fmt: skip
    assert len(pids) == 4
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_worker_keeps_its_process_for_another_graph_unless_cost_is_measured(monkeypatch):
    class Pipe:
        def send(self, message):
            pass

    worker, starts = Child(), []

    def start():
        starts.append(1)
        worker.process, worker.connection = object(), Pipe()
        worker.forget()

    monkeypatch.setattr(worker, "start", start)
    monkeypatch.setattr(worker, "stop", lambda: None)
    for graph, measured, expected in (
        ("a", False, 1),  # the first process
        ("b", False, 1),
        ("a", False, 1),
        ("b", True, 2),  # it held a, too
        ("b", True, 2),
        ("b", False, 2),
        ("a", True, 3),
    ):
        given = dataclasses.replace(job(0, graph), measured=measured)
        assert worker.ready()
        if worker.spent(given, None):
            worker.renew()
        worker.give(given)
        assert len(starts) == expected, graph
