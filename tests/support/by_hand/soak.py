"""A soak: one sweep of many small runs while workers die, losses burst, files rot, and the tracking
server goes away. All of it must be accounted for, and memory and open files must stay flat.

    export PYTHONPATH=tests/support:tests/support/servers
    python tests/support/by_hand/soak.py [runs] [seed]

The sweep is run with faults, then once more without: what failed must be finished then, and nothing
else be run again. Prints a ledger; exits 1 if anything is unaccounted for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import psutil
from faults import ERRORS, RATES, SLOW_SECONDS, FaultyChild, draw, images
from real_server import Mlflow

from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import ask_to_stop
from experiments.jobs.job import ROOT, Job, OnEvent, Outcome
from experiments.launch import executors
from experiments.launch.processes import Child, Processes
from experiments.runs import sweep
from experiments.tracking import journal, upload

NAME, WORKERS, EPOCHS = "soak", 2, 2
OUTAGES = ((0.15, 0.25), (0.5, 0.6), (0.97, None))
"""Shares of the runs that have ended when the server is killed, and when it is started again; None:
not before the sweep has ended, and what it missed is uploaded."""
FLAT = {"memory": 1.15, "files": 1.2}
"""Last quarter over first, of a process that lived through both, at most."""
WARM = 5  # runs that a worker has had before it is read: libraries are loaded, networks compiled
WORDS = {"memory": "memory", "files": "open files"}
Statuses = Mapping[int, Sequence[str]]


def config(runs: int, source: str, uri: str, executor: str = "processes") -> Config:
    """LeNet-5 on drawn images, a run a seed."""
    return settings.parse(
        {
            "name": NAME,
            "data": {"source": source, "batch_size": 16},
            "model": {"name": "lenet5"},
            "train": {"epochs": EPOCHS, "optimizer": {"learning_rate": 0.05}},
            "bench": {"latency_calls": 2, "throughput_batches": 1},
            "launch": {"executor": executor, "workers": WORKERS},
            "tracking": {"uri": uri, "save_model": "last"},
            "sweep": {"seed": list(range(1, runs + 1))},
        }
    )


class Faulty(Processes):
    """Real processes, some of whose runs go wrong; `after` hears how many have ended."""

    def __init__(self, faults: Mapping[int, str], after: Callable[[int, Faulty], None]):
        super().__init__(WORKERS)
        self.workers = [FaultyChild(worker.share, faults) for worker in self.children]
        self.after = after

    @property
    def children(self) -> list[Child]:
        return [worker for worker in self.workers if isinstance(worker, Child)]

    def run(self, jobs: Any, on_event: OnEvent) -> Iterator[tuple[Job, Outcome]]:
        for number, ended in enumerate(super().run(jobs, on_event), start=1):
            yield ended
            self.after(number, self)


class Meter:
    """Resident memory and open files of the coordinator and its workers, after each run."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], list[tuple[int, float, int]]] = defaultdict(list)
        """(run, MiB, files) by (role, pid)."""

    def read(self, ended: int, executor: Faulty) -> None:
        pids = {os.getpid(): "coordinator"}
        warm = (child for child in executor.children if child.process and child.jobs > WARM)
        pids |= {child.process.pid: "worker" for child in warm}
        for pid, role in pids.items():
            with contextlib.suppress(psutil.Error):  # it may just have died
                process = psutil.Process(pid)
                mib = process.memory_info().rss / 2**20
                self.rows[role, pid].append((ended, mib, process.num_fds()))

    def quarters(self) -> Iterator[dict[str, Any]]:
        """First and last quarter of each process that was read 8 times or more, without the
        coordinator's first readings."""
        for (role, pid), rows in self.rows.items():
            warmed = rows[WARM if role == "coordinator" else 0 :]
            if len(warmed) < 8:
                continue
            part = len(warmed) // 4
            first, last = warmed[:part], warmed[-part:]
            row: dict[str, Any] = {"role": role, "pid": pid, "readings": len(rows)}
            for at, what in ((1, "memory"), (2, "files")):
                row[what] = tuple(median(one[at] for one in part) for part in (first, last))
            yield row


def outages(runs: int, server: Any) -> Callable[[int], None]:
    """What kills the server and starts it again, told how many runs have ended."""
    acts: dict[int, list[Callable[[], None]]] = defaultdict(list)
    for down, up in OUTAGES:
        acts[max(1, round(down * runs))].append(server.kill)
        if up is not None:
            acts[max(2, round(up * runs))].append(server.start)

    def act(ended: int) -> None:
        for one in acts.pop(ended, ()):
            one()

    return act


def account(
    planned: Mapping[int, str],
    seeds: Iterable[int],
    told: Mapping[int, Sequence[Outcome]],
    store: Statuses,
    calls: int,
) -> list[str]:
    """What is not as planned after so many calls of the sweep: a line each.

    Args:
        planned: fault by seed.
        seeds: of all runs.
        told: outcomes in the journal by seed, oldest first.
        store: statuses of the tracked runs by seed.
        calls: 1, with faults; 2, and again without.
    """  # fmt: skip
    wrong = []
    for seed in seeds:
        error = ERRORS.get(planned.get(seed, ""))
        expected = ["finished"] if error is None else ["failed", "finished"][:calls]
        statuses = [outcome.status for outcome in told.get(seed, ())]
        where = f"seed {seed} ({planned.get(seed, 'no fault')})"
        if statuses != expected:
            wrong.append(f"{where}: the journal has {statuses}, expected {expected}")
        tracked = sorted(store.get(seed, ()))
        if tracked != sorted(status.upper() for status in expected):
            wrong.append(f"{where}: the store has {tracked}, expected {expected}")
        said = next((o.error or "" for o in told.get(seed, ()) if o.status == "failed"), "")
        if error is not None and error not in said:
            wrong.append(f"{where}: the error is {said!r}, expected one with {error}")
    for seed in sorted((told.keys() | store.keys()) - set(seeds)):
        wrong.append(f"seed {seed}: nobody asked for it")
    return wrong


def in_journals(root: Path) -> tuple[dict[int, list[Outcome]], dict[int, dict[str, float]]]:
    """Outcomes by seed, and the scores of the last one."""
    told: dict[int, list[Outcome]] = defaultdict(list)
    for folder in sorted(root.glob("*/journal.jsonl")):
        seed = 0
        for event in journal.Journal(folder.parent).events():
            if event["event"] == "started" and "seed" in event["params"]:
                seed = int(event["params"]["seed"])
            if event["event"] == "ended" and "outcome" in event:
                told[seed].append(Outcome.from_record(event))
    return dict(told), {seed: outcomes[-1].scores for seed, outcomes in told.items()}


def in_store(
    uri: str, scores: Mapping[int, Mapping[str, float]]
) -> tuple[dict[int, list[str]], list[str]]:
    """Statuses by seed, and what finished runs hold otherwise than the journal or twice."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    [experiment] = [e for e in client.search_experiments() if e.name == NAME]
    statuses: dict[int, list[str]] = defaultdict(list)
    wrong: list[str] = []
    found = client.search_runs([experiment.experiment_id], "tags.level = 'run'", max_results=5000)
    for run in found:
        seed = int(run.data.params["seed"])
        statuses[seed].append(run.info.status)
        if run.info.status != "FINISHED":
            continue
        for name in scores[seed]:
            if run.data.metrics.get(name) != scores[seed][name]:
                wrong.append(f"seed {seed}: the store has another {name} than the journal")
        history = client.get_metric_history(run.info.run_id, "val_top1")
        steps = [metric.step for metric in history if metric.step < EPOCHS]
        if steps != list(range(1, EPOCHS)):  # the last epoch's value is the run's, too
            wrong.append(f"seed {seed}: the store has the curve at {steps}")
    parents = client.search_runs([experiment.experiment_id], "tags.level = 'sweep'")
    if [run.info.status for run in parents] != ["FINISHED"]:
        wrong.append(f"the sweep's own run: {[run.info.status for run in parents]}")
    return dict(statuses), wrong


def ledger(planned: Mapping[int, str], told: Mapping[int, Sequence[Outcome]], store: Statuses,
           seeds: Iterable[int]) -> str:  # fmt: skip
    """Runs by fault, what the journal has of them, and what the store has."""
    rows = Counter(
        (
            planned.get(seed, "none"),
            ", ".join(outcome.status for outcome in told.get(seed, ())) or "nothing",
            ", ".join(sorted(store.get(seed, ()))) or "nothing",
        )
        for seed in seeds
    )
    lines = [f"{'fault':9} {'journal':18} {'store':18} runs"]
    lines += [f"{a:9} {b:18} {c:18} {n:4}" for (a, b, c), n in sorted(rows.items())]
    return "\n".join(lines)


def not_flat(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Which processes grew."""
    grown = ((row, what) for row in rows for what, most in FLAT.items()
             if row[what][1] > most * row[what][0])  # fmt: skip
    return [
        f"{row['role']} {row['pid']}: {WORDS[what]} grew from {row[what][0]:.0f} "
        f"to {row[what][1]:.0f}"
        for row, what in grown
    ]


def main(runs: int = 200, seed: int = 1) -> int:
    """Run it in a folder of its own, and print what came of it."""
    seeds, planned, meter = range(1, runs + 1), draw(range(1, runs + 1), seed), Meter()
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # else MLflow sits out the outages
    os.chdir(tempfile.mkdtemp(prefix="soak-"))
    here = Path.cwd()
    print(f"in {here}: {runs} runs on {WORKERS} workers; of them {dict(Counter(planned.values()))}"
          f" (rates {RATES}, slow {SLOW_SECONDS:g} s); outages {OUTAGES}", flush=True)  # fmt: skip
    server = Mlflow(f"sqlite:///{here}/server.db", here)
    asked = config(runs, f"folder:{images(here / 'images')}", server.uri)
    wrong: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: ask_to_stop())  # so that the server ends, too
    try:
        server.start()
        server.wait()
        act = outages(runs, server)

        def after(ended: int, executor: Faulty) -> None:
            meter.read(ended, executor)
            act(ended)

        for call in (1, 2):
            executor = Faulty(planned if call == 1 else {}, after if call == 1 else meter.read)
            began = time.monotonic()
            with (
                (here / f"call{call}.log").open("w") as log,
                contextlib.redirect_stderr(log),
                mock.patch.object(executors, "executor", return_value=executor),
            ):
                result = sweep.sweep(asked, "soak.yaml")
            print(
                f"\ncall {call}: {result['status']}, {time.monotonic() - began:.0f} s", flush=True
            )
            if server.process is None:
                server.start()
                server.wait()
                sent = upload.upload(NAME, server.uri, lambda line: None)
                print(f"the server is back: {len(sent['sent'])} runs uploaded, {sent['held']} were "
                      f"there, {len(sent['left'])} left")  # fmt: skip
            told, scores = in_journals(here / ROOT / NAME)
            store, differs = in_store(server.uri, scores)
            print(ledger(planned, told, store, seeds))
            wrong += account(planned, seeds, told, store, call) + (differs if call == 2 else [])
    finally:
        server.kill()
    grown = list(meter.quarters())
    print("\nfirst and last quarter of each process's runs:")
    for row in grown:
        (a, b), (c, d) = row["memory"], row["files"]
        print(f"{row['role']:11} {row['readings']:3} readings: memory {a:.0f} to {b:.0f} MiB, "
              f"open files {c:.0f} to {d:.0f}")  # fmt: skip
    wrong += not_flat(grown)
    print("\n".join(wrong) if wrong else "\nall accounted for; memory and open files flat")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
