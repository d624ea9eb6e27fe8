"""Hosts that train one network go on from the snapshot of the first, and end together."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from real_server import free_port

from experiments import errors
from experiments.errors import BadInput, FailedWork, Stopped
from experiments.runtime import hosts
from experiments.runtime.devices import Devices
from experiments.training import resume
from experiments.training.snapshots import Snapshot, Snapshots

SCRIPT = str(find_spec("hosts_run").origin)


def start(part: str, folder: Path) -> list[tuple[int, str]]:
    """(exit code, output) of two hosts on the loopback, once both have ended."""
    names = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    running = [
        subprocess.Popen(
            [sys.executable, SCRIPT, part, str(folder / str(index))],
            env={**os.environ, "ILSVRC_HOSTS": names, "ILSVRC_HOST_INDEX": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in (0, 1)
    ]
    outputs = [process.communicate(timeout=500)[0] for process in running]
    return [(process.returncode, text) for process, text in zip(running, outputs, strict=True)]


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A folder of each host, and what it said by part; the second was killed in `stopped`."""
    folder = tmp_path_factory.mktemp("hosts")
    for index in (0, 1):
        (folder / str(index)).mkdir()
    (first, text), (second, _) = start("stopped", folder)
    assert first == 0, text[-3000:]
    assert second == -signal.SIGKILL
    for code, text in start("continued", folder):
        assert code == 0, text[-3000:]
    files = {"continued": (0, 1), "stopped": (0,)}
    return folder, {
        (part, index): json.loads((folder / str(index) / f"{part}.json").read_text())
        for part, indices in files.items()
        for index in indices
    }


def test_hosts_that_were_stopped_and_killed_end_with_the_same_bits(lived):
    folder, said = lived
    [*_, whole] = said["stopped", 0]["whole"]
    for index in (0, 1):
        [*_, place, history] = said["continued", index]["continued"]
        # the first host may have lost the other before it heard of its last update
        assert re.search(r"snapshot, after epoch 1 of 3 and [23] of 5 updates$", place)
        assert history == whole
        own = [np.load(folder / str(index) / f"{name}.npz") for name in ("whole", "own")]
        assert own[0].files == own[1].files
        for name in own[0].files:
            assert own[0][name].tobytes() == own[1][name].tobytes()


def test_a_signal_to_one_host_ends_all_at_the_same_update(lived):
    _, said = lived
    [*_, ended] = said["stopped", 0]["asked"]
    assert ended == f"another host was asked to stop; {hosts.AGAIN}"
    assert (
        "goes on from its snapshot, after epoch 0 of 3 and 4 of 5 updates"
        in (said["stopped", 0]["killed"])
    )


def test_a_host_that_lost_another_says_so_in_a_line(lived):
    _, said = lived
    [*_, ended] = said["stopped", 0]["killed"]
    assert ended.startswith(f"another host has gone; {hosts.AGAIN} (")
    assert "\n" not in ended


def test_only_the_first_host_takes_snapshots(lived):
    folder, _ = lived
    assert list((folder / "0" / "own" / "snapshots").glob("*.npz"))
    assert not (folder / "1" / "own" / "snapshots").exists()


class Loopback:
    """Two hosts as threads, whose collectives are of what both have given."""

    def __init__(self, monkeypatch):
        self._met, self._given = threading.Barrier(2, timeout=30), [None, None]
        monkeypatch.setattr(hosts, "_mean", lambda *own: np.mean(self._all(*own), axis=0))
        monkeypatch.setattr(hosts, "_of_first", lambda *own: self._all(*own)[0])

    def _all(self, place, given):
        self._given[place.process] = given
        self._met.wait()
        found = list(self._given)
        self._met.wait()
        return found

    def both(self, act) -> list[Any]:
        """What `act` gives or raises on each host."""
        found: list[Any] = [None, None]

        def live(process):
            try:
                found[process] = act(Devices(("", ""), process=process, processes=2))
            except Exception as error:
                found[process] = error

        threads = [threading.Thread(target=live, args=(process,)) for process in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


@pytest.fixture
def loopback(monkeypatch):
    return Loopback(monkeypatch)


@pytest.fixture
def unasked(monkeypatch):
    monkeypatch.setattr(errors, "_asked", False)
    monkeypatch.setattr(hosts, "_wished", False)
    monkeypatch.setattr(hosts, "_settled", False)


@pytest.mark.parametrize("size", [0, 1, 4, 7, 20])
def test_a_file_of_the_first_host_comes_whole(loopback, tmp_path, monkeypatch, size):
    monkeypatch.setattr(hosts, "CHUNK", 7)
    content, file = os.urandom(size), tmp_path / "0" / "x.npz"
    file.parent.mkdir()
    file.write_bytes(content)
    loopback.both(
        lambda own: hosts.broadcast_file(
            own, None if own.process else file, tmp_path / str(own.process) / "in"
        )
    )
    assert not (tmp_path / "0" / "in").exists()
    assert (tmp_path / "1" / "in" / "x.npz").read_bytes() == content


def test_hosts_that_differ_are_refused_on_all_of_them(loopback):
    same = {"seed": 1, "data": "abc"}
    assert loopback.both(lambda own: hosts.check_same(own, same)) == [None, None]
    first, second = loopback.both(lambda own: hosts.check_same(own, same | {"seed": own.process}))
    assert isinstance(first, BadInput)
    assert isinstance(second, BadInput)
    assert "another host differs" in str(first)
    assert "this host differs from the first: seed 1 (there 0);" in str(second)


def test_a_snapshot_that_one_host_cannot_read_is_not_gone_on_from(loopback, tmp_path):
    def make(own):
        store = Snapshots(tmp_path / str(own.process), {"packages": own.process}, 2)
        if own.process == 0:
            store.write(Snapshot({}, {"loop": {}}))
        return resume.Keeper(store, 60, lambda event: None, own)

    for found in loopback.both(make):
        assert isinstance(found, FailedWork)
        assert "cannot be read on every host" in str(found)


def test_all_are_asked_where_one_wishes(loopback, unasked, monkeypatch):
    monkeypatch.setattr(hosts, "SECONDS", 0.0)  # after every batch

    def settle(own):
        accord = hosts.Accord(own)
        assert accord.due()
        accord.settle()
        return accord.due(), errors.asked_to_stop()

    assert loopback.both(settle) == [(True, False), (True, False)]
    hosts.wish_to_stop()
    assert not errors.asked_to_stop()
    assert loopback.both(settle) == [(True, True), (True, True)]


def test_the_next_question_is_at_the_same_batch_on_all(loopback, unasked, monkeypatch):
    """A host whose clock says 0.02 s a batch and one whose says 0.03 s both count 40 batches."""
    now = iter([0.0, 0.0, 0.02, 0.03, 0.02, 0.03])
    turn = threading.Lock()

    class Clock:
        @staticmethod
        def perf_counter():
            with turn:
                return next(now)

    monkeypatch.setattr(hosts, "time", Clock)

    def count(own):
        accord = hosts.Accord(own)
        loopback._met.wait()
        assert accord.due()
        accord.settle()
        return [accord.due() for _ in range(40)].index(True)

    assert loopback.both(count) == [39, 39]


def test_a_host_alone_asks_nobody(unasked):
    accord = hosts.Accord(Devices())
    assert not any(accord.due() for _ in range(3))
    with pytest.raises(Stopped), hosts.together(Devices()):
        raise Stopped


def test_what_is_not_of_other_hosts_is_told_as_it_is():
    two = Devices(("", ""), processes=2)
    for error in (ValueError("a shape"), BadInput("a collective"), MemoryError()):
        with pytest.raises(type(error)) as caught, hosts.together(two):
            raise error
        assert caught.value is error
    gone = pytest.raises(FailedWork, match=r"another host has gone; .* \(Gloo failed: reset\)$")
    with gone, hosts.together(two):
        raise RuntimeError("Gloo failed: reset")
