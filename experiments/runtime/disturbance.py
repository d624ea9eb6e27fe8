"""Was the machine busy with other things while calls were timed? Those that were are timed again.

What disturbs makes a time longer, never shorter. So of several attempts at the same calls the one
that nothing disturbed counts, else the one of the shortest median, which is then called disturbed.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import psutil

ATTEMPTS = 3
SECONDS = 10.0  # of attempts, after which none is added
PROBES = 50  # runs of the fixed work: 5 ms or more
WORK = range(8_000)

# On two cores that others kept busy by three quarters or more the probe gave 1.6 to 19 and the
# spread 2 to 80; where nothing came between, 1.03 to 1.1 and 1.3 to 2.2.
SLOW_PROBE = 1.5
WIDE_SPREAD, WIDE_IN_A_CROWD = 3.0, 1.5
FEWEST_CALLS = 20  # that a 95th percentile is of
OTHERS, IDLE = 0.25, 0.05  # shares of all cores that make a crowd: busy with others, left to use
SWITCHES = 1.0  # a call; the threads of one process take cores from each other, too


@dataclass(frozen=True)
class Reading:
    """Counters at one moment."""

    seconds: float
    switches: int
    """Involuntary context switches of all threads of this process."""
    own: float
    """CPU seconds of this process."""
    busy: float
    """CPU seconds of the machine, on anything."""
    idle: float


def reading() -> Reading:
    """The counters now."""
    used, times = resource.getrusage(resource.RUSAGE_SELF), psutil.cpu_times()._asdict()
    idle = times["idle"] + times.get("iowait", 0.0)
    guests = times.get("guest", 0.0) + times.get("guest_nice", 0.0)  # in user and nice already
    busy = sum(times.values()) - idle - guests
    own = used.ru_utime + used.ru_stime
    return Reading(time.perf_counter(), used.ru_nivcsw, own, busy, idle)


def probe() -> float:
    """Mean over fastest time of a fixed piece of work: 1 on a machine that does nothing else."""
    seconds = []
    for _ in range(PROBES):
        start = time.perf_counter()
        sum(WORK)
        seconds.append(time.perf_counter() - start)
    return fmean(seconds) / min(seconds)


@dataclass(frozen=True)
class Watch:
    """What looks at the machine, and how often it may look again."""

    read: Callable[[], Reading] = reading
    probe: Callable[[], float] = probe
    attempts: int = ATTEMPTS


MACHINE = Watch()
ONCE = Watch(attempts=1)
"""For calls that processes make together, as each would repeat them another number of times."""


@dataclass(frozen=True)
class Disturbance:
    """What came between calls that were timed."""

    probe: float
    """The slower of the probes before and after them."""
    spread: float
    """95th percentile of the calls over their median; 1 where they are too few for one."""
    switches: float
    """Involuntary context switches a call."""
    others: float
    """Share of all cores that other processes kept busy."""
    idle: float
    """Share of all cores that nobody used."""

    @property
    def disturbed(self) -> bool:
        """Is a time measured then not the network's alone?"""
        crowd = self.others >= OTHERS and self.idle <= IDLE and self.switches >= SWITCHES
        wide = WIDE_IN_A_CROWD if crowd else WIDE_SPREAD
        return self.probe > SLOW_PROBE or self.spread > wide


def least_disturbed(
    calls: Callable[[], np.ndarray], watch: Watch = MACHINE
) -> tuple[np.ndarray, Disturbance]:
    """Time calls, again while they are disturbed, as often as `watch` says or for SECONDS.

    Args:
        calls: makes them and gives the seconds of each.

    Returns:
        Seconds of each call of the attempt that counts, and what disturbed it.
    """
    attempts: list[tuple[np.ndarray, Disturbance]] = []
    began = watch.read().seconds
    while True:
        attempts.append(_watched(calls, watch))
        spent = watch.read().seconds - began
        enough = len(attempts) >= watch.attempts or spent >= SECONDS
        if enough or not attempts[-1][1].disturbed:
            return min(attempts, key=lambda x: (x[1].disturbed, float(np.median(x[0]))))


def _watched(calls: Callable[[], np.ndarray], watch: Watch) -> tuple[np.ndarray, Disturbance]:
    before, start = watch.probe(), watch.read()
    seconds = calls()
    end, after = watch.read(), watch.probe()
    spread = 1.0
    if len(seconds) >= FEWEST_CALLS:
        spread = float(np.percentile(seconds, 95) / max(np.median(seconds), 1e-12))
    own, busy, idle = end.own - start.own, end.busy - start.busy, end.idle - start.idle
    cores = busy + idle  # CPU seconds; 0 where the calls were shorter than a tick of the counters
    return seconds, Disturbance(
        probe=max(before, after),
        spread=spread,
        switches=(end.switches - start.switches) / len(seconds),
        others=max(0.0, busy - own) / cores if cores > 0 else 0.0,
        idle=idle / cores if cores > 0 else 1.0,
    )
