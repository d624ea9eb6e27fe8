"""Searches of many trials on many workers: nothing lost, nothing twice, and no trial dearer than
the one before."""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import shutil
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from unittest import mock

import keras_tuner
import pytest
from simulated_cluster import Clock, Cluster, Store, config, ledger, run, run_cut

import experiments
import tuning
from experiments.launch import pool
from experiments.search.results import report
from experiments.tracking.journal import Journal

STEP = 80  # trials from one size to the next


def in_order(found):
    return not (found["lost"] or found["unasked"] or found["doubled"])


def test_of_2000_trials_on_200_workers_that_die_none_is_lost_or_doubled():
    cluster, store = Cluster(200, 1, Clock()), Store()
    result = run(config(2_000, 200), cluster, store)
    found = ledger(result, [cluster], store)
    assert in_order(found), found
    for place in ("proposed", "journal", "store", "report"):
        assert found[place] == 2_001, place
    failed = found["statuses"]["failed"]  # died twice
    assert cluster.busiest == 200
    assert 150 < found["workers that died"] < 300
    assert 5 < failed < 50
    assert found["begun"] == 2_001 + found["workers that died"] - failed
    assert found["statuses"] == {"finished": 2_000 - failed, "failed": failed}
    assert result["fits"]["done"] == 2_001
    assert result["best"]["number"] == result["refit"]["trial"]


def test_a_search_cut_three_times_ends_as_one_that_was_not(tmp_path, monkeypatch):
    rng = random.Random(3)
    cuts = [rng.randint(20, 60) for _ in range(3)]
    asked, results = config(240, 25), {}
    for name in ("whole", "cut", "torn"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        store = Store()
        result, clusters = run_cut(
            asked, 25, [] if name == "whole" else cuts, store, tear=name == "torn"
        )
        found = ledger(result, clusters, store)
        assert in_order(found), (name, found)
        torn = len(cuts) if name == "torn" else 0
        dead = found["workers that died"] - found["statuses"]["failed"]
        assert found["begun"] == 241 + dead + found["under way at cuts"] + torn
        assert (found["under way at cuts"] > 20 * len(cuts)) == (name != "whole")
        assert found["journal"] == found["store"] == found["report"] == 241
        results[name] = [
            {key: trial[key] for key in ("number", "hyperparameters", "score", "error")}
            for trial in (*result["trials"], result["best"])
        ]
    assert results["cut"] == results["torn"] == results["whole"]


def test_the_refit_waits_for_fits_that_the_budget_left_under_way():
    cluster, store = Cluster(20, 1, Clock()), Store()
    jobs = []
    with mock.patch.object(
        cluster, "fit", side_effect=lambda job, real=cluster.fit: (jobs.append(job), real(job))[1]
    ):
        result = run(config(400, 20, budget={"seconds": 60}), cluster, store)
    assert result["budget"]["stopped_by"] == "seconds"
    assert 20 < result["fits"]["done"] < 100
    assert jobs[-1].path == ("refit",)
    assert jobs[-1].axes == result["best"]["hyperparameters"]


def test_shared_fits_on_workers_that_die_end_as_if_nothing_was_cut(tmp_path, monkeypatch):
    """Each pair of outer folds once a trial, whatever was cut, died or was torn."""
    rng = random.Random(4)
    cuts = [rng.randint(20, 60) for _ in range(3)]
    asked, outer = config(20, 25, refit=False), 5
    results = {}
    for name in ("whole", "cut", "torn"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        store = Store()
        result, clusters = run_cut(
            asked, 25, [] if name == "whole" else cuts, store, name == "torn", "nested"
        )
        assert result["shared"]
        told = Journal(Path(result["state"])).events()
        ended = Counter(tuple(e["path"]) for e in told if e["event"] == "ended")
        fits = {path for path in ended if "pair" in path}
        failed = {(t["outer"], t["number"]) for t in result["trials"] if t["status"] == "failed"}
        assert set(ended.values()) == {1}
        for number in range(20):
            for i, j in itertools.combinations(range(outer), 2):
                ran = ("trial", number, "pair", f"{i}-{j}") in fits
                # left out only where it would tell nobody anything
                assert ran or {(i, number), (j, number)} <= failed
        begun = sum((cluster.begun for cluster in clusters), Counter())
        assert set(begun) == set(ended)
        assert result["fits"]["planned"] == 20 * 10 + outer
        assert len(ended) == result["fits"]["done"]
        in_store = Counter(run.data.tags["path"] for run in store.runs.values())
        assert set(in_store.values()) == {1}
        assert len(in_store) == 20 * outer + outer + 1
        assert failed  # workers died twice
        results[name] = [
            {key: trial[key] for key in ("outer", "number", "status", "score", "error")}
            for trial in result["trials"]
        ] + [{key: row.get(key) for key in ("trial", "test_top1")} for row in result["outer"]]
    assert results["cut"] == results["torn"] == results["whole"]


def test_a_budget_counts_a_shared_fit_once_and_leaves_the_refits():
    cluster, store = Cluster(10, 1, Clock(), deaths=0.0), Store()
    images = 3 * 215 * 60  # epochs of the fifth of 1,077 images
    result = run(config(50, 10, budget={"images": images}), cluster, store, "nested")
    assert result["budget"]["stopped_by"] == "images"
    assert 60 <= result["fits"]["done"] - 5 <= 60 + 10
    assert all(row["status"] == "finished" for row in result["outer"])
    assert {t["status"] for t in result["trials"]} <= {"finished", "failed", "unfinished"}
    again = run(config(50, 10), Cluster(10, 1, Clock()), store, "nested")
    assert again["state"] == result["state"]
    assert again["fits"]["done"] <= 50 * 10 + 5
    assert not [t for t in again["trials"] if t["status"] == "unfinished"]


@pytest.fixture
def sizes(tmp_path, monkeypatch):
    """Calls `measured(trials)` for sizes that grow by STEP, each search in a folder of its own."""
    monkeypatch.setattr(pool, "AHEAD", 16)  # jobs looked through for each that is handed out

    def of(measured):
        rows = []
        for number in range(1, 4):
            folder = tmp_path / str(number)
            folder.mkdir()
            monkeypatch.chdir(folder)
            rows.append(measured(number * STEP))
            shutil.rmtree(folder / ".ilsvrc")
        return rows

    return of


def added(rows):
    """What the second and the third STEP trials added."""
    return rows[1] - rows[0], rows[2] - rows[1]


def test_memory_grows_with_the_trials_and_no_faster(sizes):
    run(config(5, 5), Cluster(5, 1, Clock()), Store())  # what is loaded once
    shutil.rmtree(".ilsvrc")
    held = []

    def at_the_end(drive, real=report.result):
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        return real(drive)

    def measured(trials):
        gc.collect()
        tracemalloc.start()
        try:
            with mock.patch.object(report, "result", at_the_end):
                run(config(trials, 10), Cluster(10, 1, Clock()), Store())
        finally:
            tracemalloc.stop()
        return held.pop()

    second, third = added(sizes(measured))
    assert third < 1.05 * second
    assert third / STEP < 40_000  # bytes


def test_work_done_for_a_trial_does_not_grow_with_their_number(sizes):
    """Lines that run, bytes and syncs of the journal, calls to the store and what they hold."""
    rooms = tuple(
        str(Path(room.__file__).parent) + os.sep for room in (experiments, tuning, keras_tuner)
    )
    ours = {}  # by code object

    def measured(trials):
        counts = Counter()

        def line(frame, event, argument):
            counts["lines"] += event == "line"
            return line

        def call(frame, event, argument):
            code = frame.f_code
            if code not in ours:
                ours[code] = code.co_filename.startswith(rooms)
            return line if ours[code] else None

        store, real = Store(), os.fsync

        def sync(number):
            counts["syncs"] += 1
            real(number)

        before = sys.gettrace()
        with mock.patch.object(os, "fsync", sync):
            sys.settrace(call)
            try:
                result = run(config(trials, 10, refit=False), Cluster(10, 1, Clock()), store)
            finally:
                sys.settrace(before)
        counts["bytes"] = (Path(result["state"]) / "journal.jsonl").stat().st_size
        counts["calls"], counts["sent"] = store.calls.total(), store.sent
        return counts

    rows = sizes(measured)
    for what, percent in (("lines", 1), ("bytes", 2), ("syncs", 0), ("calls", 0), ("sent", 2)):
        second, third = added([row[what] for row in rows])
        assert abs(third - second) <= percent / 100 * second, (what, json.dumps(rows))
    assert added([row["syncs"] for row in rows]) == (STEP, STEP)  # one an outcome
    assert added([row["calls"] for row in rows]) == (3 * STEP, 3 * STEP)
