"""Timing on a busy machine, with a clock, counters and probes that are told what to say."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from experiments.runtime import disturbance, measure
from experiments.runtime.disturbance import ONCE, Disturbance, Reading, Watch, least_disturbed

CORES = 4


class Machine:
    """A machine of four cores. Each attempt at some calls finds it in the next of its states."""

    def __init__(self, *states):
        self.states = list(states)
        self.attempt = 0
        self.seconds = self.own = self.busy = self.idle = 0.0
        self.switches = 0
        self.watch = Watch(self.read, self.probe)

    @property
    def state(self):
        """Of the attempt that is under way; a probe after it is of it, too."""
        return self.states[min(self.attempt, len(self.states) - 1)]

    def read(self):
        return Reading(self.seconds, self.switches, self.own, self.busy, self.idle)

    def probe(self):
        self.seconds += 0.01
        return self.state.get("probe", 1.05)

    def calls(self, count=40):
        """A quarter of them take `slow` times as long as the others, in this state's `each`."""
        state = self.state
        each = state.get("each", 0.001)
        seconds = np.full(count, each)
        seconds[: count // 4] *= state.get("slow", 1.2)
        passed = float(seconds.sum())
        self.seconds += passed
        self.own += passed
        self.busy += passed * (1 + state.get("others", 0.0))
        self.idle += passed * (CORES - 1 - state.get("others", 0.0))
        self.switches += round(count * state.get("switches", 4.0))
        self.attempt += 1
        return seconds


QUIET, BUSY = {}, {"probe": 2.4, "each": 0.005}


def timed(*states):
    machine = Machine(*states)
    seconds, seen = least_disturbed(machine.calls, machine.watch)
    return machine, float(np.median(seconds)), seen


def test_what_nothing_disturbs_is_timed_once():
    machine, median, seen = timed(QUIET)
    assert (machine.attempt, median, seen.disturbed) == (1, 0.001, False)
    assert seen.probe == 1.05
    assert seen.spread == pytest.approx(1.2)
    assert seen.switches == 4.0  # those of its own threads
    assert seen.others == pytest.approx(0.0)
    assert seen.idle == pytest.approx(0.75)


def test_what_was_disturbed_is_timed_again_and_the_quiet_attempt_counts():
    # the disturbed attempt is the shorter one here: being undisturbed goes first
    machine, median, seen = timed({"probe": 2.4, "each": 0.0008}, QUIET)
    assert (machine.attempt, median, seen.disturbed) == (2, 0.001, False)


def test_of_disturbed_attempts_alone_the_shortest_median_counts_and_is_called_disturbed():
    machine, median, seen = timed(BUSY, {**BUSY, "each": 0.003}, BUSY)
    assert machine.attempt == disturbance.ATTEMPTS == 3
    assert (median, seen.disturbed) == (0.003, True)


def test_slow_calls_are_not_repeated_for_ever():
    machine, _, seen = timed({**BUSY, "each": 0.3})
    assert machine.attempt == 1  # 12 s and more
    assert seen.disturbed


def test_calls_that_several_hosts_make_together_are_made_once_whatever_each_sees():
    machine = Machine(BUSY)
    _, seen = least_disturbed(machine.calls, replace(ONCE, read=machine.read, probe=machine.probe))
    assert (machine.attempt, seen.disturbed) == (1, True)


@pytest.mark.parametrize(
    ("state", "disturbed"),
    [
        ({"probe": 1.6}, True),
        ({"slow": 4.0}, True),
        ({"slow": 2.0}, False),
        ({"switches": 100.0}, False),  # of its own threads, for nobody else is there
        ({"others": 3.0, "slow": 2.0}, True),  # no core is left, and calls are uneven
        ({"others": 3.0}, False),  # nor here, but nothing came of it
        ({"others": 3.0, "slow": 2.0, "switches": 0.1}, False),
        ({"others": 1.0, "slow": 2.0}, False),
    ],
)
def test_what_counts_as_a_disturbance(state, disturbed):
    assert timed(state)[2].disturbed is disturbed


def test_a_percentile_of_few_calls_says_nothing():
    machine = Machine({"slow": 50.0})
    _, seen = least_disturbed(lambda: machine.calls(8), machine.watch)
    assert (seen.spread, seen.disturbed) == (1.0, False)


def test_calls_shorter_than_a_tick_of_the_counters():
    still = Watch(lambda: Reading(0.0, 0, 0.0, 0.0, 0.0), lambda: 1.0)
    _, seen = least_disturbed(lambda: np.array([1e-6]), still)
    assert seen == Disturbance(1.0, 1.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("during_rate", "during_latency", "flags"),
    [(QUIET, QUIET, (0, 0)), (BUSY, QUIET, (1, 0)), (QUIET, BUSY, (0, 1)), (BUSY, BUSY, (1, 1))],
)
def test_rate_and_latency_are_flagged_apart(during_rate, during_latency, flags, monkeypatch):
    machine = Machine()
    machine.states = [QUIET]

    def infer(images):
        state = during_rate if len(images) > 1 else during_latency
        machine.states = [state]
        machine.seconds += state.get("each", 0.001)
        return images

    monkeypatch.setattr(measure.time, "perf_counter", lambda: machine.seconds)
    cost = measure.inference(
        infer, (2, 2, 1), 8, latency_calls=30, throughput_batches=5, watch=machine.watch
    )
    assert (cost["infer_disturbed"], cost["latency_disturbed"]) == flags
    each = during_latency.get("each", 0.001)
    assert cost["latency_ms_p50"] == pytest.approx(1000 * each)
    assert cost["latency_probe"] == during_latency.get("probe", 1.05)
    assert cost["infer_images_per_second"] == pytest.approx(8 / during_rate.get("each", 0.001))


def test_the_real_counters_only_grow():
    first = disturbance.reading()
    total = sum(range(200_000)) + time.monotonic()
    second = disturbance.reading()
    assert total
    assert second.seconds > first.seconds
    assert second.own >= first.own > 0
    assert second.switches >= first.switches >= 0
    assert second.busy + second.idle >= first.busy + first.idle > 0
    assert disturbance.probe() >= 1.0
