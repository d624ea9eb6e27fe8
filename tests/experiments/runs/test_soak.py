"""The soak's faults and its ledger, on four runs in this process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from unittest import mock

import pytest
import soak
from blank_store import blank_store
from faults import DAMAGED, draw, images, wrapped

from experiments.fitting import fit
from experiments.jobs.job import ROOT, Outcome
from experiments.runs import sweep

PLANNED = {1: "nan", 2: "corrupt", 3: "slow"}
SEEDS = range(1, 5)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of four runs with faults, then without: what journal and store say after each."""
    folder = tmp_path_factory.mktemp("soak")
    uri = blank_store(folder)
    asked = soak.config(4, f"folder:{images(folder / 'images')}", uri, "inline")
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for planned in (PLANNED, {}):
            with mock.patch.object(fit, "run", wrapped(fit.run, planned, slow=0.0)):
                sweep.sweep(asked, "soak.yaml")
            told, scores = soak.in_journals(Path(ROOT) / soak.NAME)
            seen.append((told, *soak.in_store(uri, scores)))
    return seen


def test_every_fault_ends_as_planned_and_the_second_call_finishes_what_failed(swept):
    for calls, (told, store, _) in enumerate(swept, start=1):
        assert soak.account(PLANNED, SEEDS, told, store, calls) == []
    told, store, differs = swept[1]
    assert differs == []
    assert {seed: len(outcomes) for seed, outcomes in told.items()} == {1: 2, 2: 2, 3: 1, 4: 1}
    assert sorted(store[2]) == ["FAILED", "FINISHED"]
    text = soak.ledger(PLANNED, told, store, SEEDS)
    assert "corrupt   failed, finished   FAILED, FINISHED      1" in text


def test_what_is_not_as_planned_is_named(swept):
    told, store, _ = swept[1]

    def wrong(planned=PLANNED, seeds=SEEDS, told=told, store=store):
        return "\n".join(soak.account(planned, seeds, told, store, 2))

    assert "seed 1 (no fault): the journal has ['failed', 'finished']" in wrong({2: "corrupt"})
    assert "seed 3 (crash): the journal has ['finished']" in wrong(PLANNED | {3: "crash"})
    assert "seed 4 (no fault): the store has []" in wrong(store={**store, 4: []})
    assert "seed 4 (no fault): the store has ['FINISHED', 'FINISHED']" in wrong(
        store={**store, 4: ["FINISHED"] * 2}
    )
    assert "seed 5 (no fault): the journal has []" in wrong(seeds=range(1, 6))
    assert "seed 4: nobody asked for it" in wrong(seeds=range(1, 4))
    other = [Outcome(("cell", 0), "failed", error="disk full"), told[1][1]]
    assert "seed 1 (nan): the error is 'disk full'" in wrong(told={**told, 1: other})


def test_a_worker_that_crashes_is_killed_after_its_first_epoch(monkeypatch):
    killed, heard = [], []
    monkeypatch.setattr(os, "kill", lambda *words: killed.append(words))

    def real(job, emit):
        emit({"kind": "progress"})
        assert not killed
        emit({"kind": "epoch"})

    job = mock.Mock()
    job.config.seed = 7
    wrapped(real, {7: "crash"})(job, heard.append)
    assert killed == [(os.getpid(), signal.SIGKILL)]
    assert [event["kind"] for event in heard] == ["progress", "epoch"]


def test_faults_are_drawn_at_their_rates_and_the_same_again():
    drawn = draw(range(10_000), 1, {"crash": 0.1, "nan": 0.2})
    counts = [list(drawn.values()).count(fault) for fault in ("crash", "nan")]
    assert 900 < counts[0] < 1100
    assert 1850 < counts[1] < 2150
    assert drawn == draw(range(10_000), 1, {"crash": 0.1, "nan": 0.2})
    assert drawn != draw(range(10_000), 2, {"crash": 0.1, "nan": 0.2})


def test_one_damaged_file_lies_beside_the_good_folder(tmp_path):
    images(tmp_path / "own", classes=2, each=2)
    good, bad = (sorted(Path(f"{tmp_path}/own{end}").rglob("*.png")) for end in ("", f"-{DAMAGED}"))
    assert len(good) == len(bad) == 4
    assert [path.name for path in bad].count("damaged.png") == 1


def test_the_server_is_killed_and_started_at_stated_runs():
    server = mock.Mock()
    act = soak.outages(100, server)
    seen = []
    for ended in range(1, 101):
        before = len(server.mock_calls)
        act(ended)
        seen += [(ended, call[0]) for call in server.mock_calls[before:]]
    assert seen == [(15, "kill"), (25, "start"), (50, "kill"), (60, "start"), (97, "kill")]


def test_a_process_that_grows_is_named():
    meter = soak.Meter()
    for ended in range(50):
        meter.rows["worker", 1].append((ended, 500.0 + 4 * ended, 20))
        meter.rows["coordinator", 2].append((ended, 700.0, 30 + 10 * (ended // 25)))
        meter.rows["worker", 3].append((ended, 600.0, 20))
    rows = list(meter.quarters())
    assert soak.not_flat(rows) == [
        "worker 1: memory grew from 522 to 674",
        "coordinator 2: open files grew from 30 to 40",
    ]
