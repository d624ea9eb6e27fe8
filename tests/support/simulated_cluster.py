"""A search on workers that are not there: their delays and deaths are drawn, nothing is trained.

    python tests/support/simulated_cluster.py [trials] [workers] [seed]

Everything else is the search as it runs: oracle, candidates' configs, jobs, the loop over workers,
journal, what the store is sent, tables. What a worker does is settled by the place of its fit,
so a search that was stopped and started again must end as one that never was.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from experiments.config import settings
from experiments.config.schema import Config
from experiments.jobs.job import Job, Outcome, seed_for
from experiments.launch import executors
from experiments.launch.pool import Lost, Message, Pool, Worker
from experiments.runtime.startup import load_tensorflow
from experiments.search import drive
from experiments.search import run as search_run
from experiments.search.results.plots import pictures
from experiments.search.study import Kind
from experiments.tracking import experiment, journal

RATE, WIDTH, BATCH = "train.optimizer.learning_rate", "model.options.width", "data.batch_size"
MEAN_SECONDS, RESTART_SECONDS = 60.0, 20.0  # of the clock: a fit, a worker that died
DEATHS = 0.1  # of all tries; a fit is tried twice
EPOCHS = 3


class Clock:
    """Takes the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


class PowerCut(BaseException):
    """The coordinator is gone."""


class Slot(Worker):
    """One worker: it trains as long as the dice say, or dies first and is away for a while."""

    def __init__(self, cluster: Cluster):
        super().__init__()
        self.cluster = cluster
        self.away = False
        self.says: list[Message] = []

    def ready(self) -> bool:
        return not self.away

    def send(self, job: Job) -> None:
        self.cluster.begun[job.path] += 1
        self.says, seconds = self.cluster.fit(job)
        self.cluster.later(seconds, self)

    def hear(self) -> list[Message]:
        if isinstance(self.says[-1], Lost):
            self.cluster.died += 1
            self.renew()
        return self.says

    def renew(self) -> None:
        self.away = True
        self.forget()
        self.cluster.later(RESTART_SECONDS, self)

    def ask(self) -> None:
        pass

    def stop(self, seconds: float = 5.0) -> None:
        pass


class Cluster(Pool):
    """Workers that wait and die, under the loop that keeps real ones busy.

    Args:
        workers: that work at the same time.
        seed: of the delays, deaths and scores.
        clock: is moved on to whatever happens next.
        deaths: share of the tries that end with their worker.
        cut: so many outcomes, then the coordinator is gone.
    """

    def __init__(
        self, workers: int, seed: int, clock: Clock, deaths: float = DEATHS, cut: int | None = None
    ):
        super().__init__([Slot(self) for _ in range(workers)], retries=1)
        self.seed, self.clock, self.deaths, self.cut = seed, clock, deaths, cut
        self.begun: Counter[tuple[str | int, ...]] = Counter()
        """Tries of each fit."""
        self.busiest = 0
        """Most fits at the same time."""
        self.died = 0
        self.under_way: list[Job] = []
        """Fits that the cut found."""
        self._coming: list[tuple[float, int, Slot]] = []
        self._tickets = count()
        self._outcomes = 0

    def later(self, seconds: float, slot: Slot) -> None:
        heapq.heappush(self._coming, (self.clock.now + seconds, next(self._tickets), slot))

    def wait(self, busy: Sequence[Worker], seconds: float) -> Sequence[Worker]:
        self.busiest = max(self.busiest, len(busy))
        self.clock.now, _, slot = heapq.heappop(self._coming)
        if slot.away:  # no longer
            slot.away = False
            return []
        if isinstance(slot.says[-1], Outcome):
            if self._outcomes == self.cut:
                self.under_way = [worker.job for worker in busy if worker.job]
                raise PowerCut
            self._outcomes += 1
        return [slot]

    def fit(self, job: Job) -> tuple[list[Message], float]:
        """What a try will say, and after how long."""
        rng = random.Random(seed_for(self.seed, *job.path))
        top1 = 0.9 - abs(float(job.axes[RATE]) - 0.05) + rng.gauss(0, 0.01)
        for _ in range(self._tries[job.path]):
            seconds, dies = rng.expovariate(1 / MEAN_SECONDS), rng.random() < self.deaths
        if dies:
            return [Lost("the worker was ended by SIGKILL")], seconds * rng.random()
        history = [
            {"train_loss": 1 / epoch, "val_loss": 1.1 / epoch, "val_top1": top1 * epoch / EPOCHS}
            for epoch in range(1, EPOCHS + 1)
        ]
        scores = {"train_loss": 1 / EPOCHS, "val_loss": 1.1 / EPOCHS, "val_top1": top1}
        for fold in job.pair or ():
            scores[f"val_{fold}_top1"] = top1 + rng.gauss(0, 0.01)
        if job.test is not None:
            scores["test_top1"] = top1 - 0.01
        cost = {"train_seconds": seconds, "train_images_per_second": len(job.train) / seconds}
        return [
            *(
                {"kind": "epoch", "epoch": epoch, "values": values}
                for epoch, values in enumerate(history, start=1)
            ),
            Outcome(job.path, "finished", scores, history, cost),
        ], seconds


class Store:
    """MLflow's client as a search uses it: it counts, and keeps what tells runs apart."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.sent = 0
        """Params, metrics and tags."""
        self.runs: dict[str, SimpleNamespace] = {}

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id="1", lifecycle_stage="active")

    def create_run(self, experiment: str, *, tags: dict[str, str], **more: Any) -> SimpleNamespace:
        self._count("create_run", len(tags))
        info = SimpleNamespace(run_id=f"run{len(self.runs)}", status="RUNNING")
        info.lifecycle_stage = "active"
        told = {key: tags[key] for key in ("level", "path")}
        run = SimpleNamespace(info=info, data=SimpleNamespace(tags=told))
        self.runs[info.run_id] = run
        return run

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        self._count("log_batch", len(metrics) + len(params) + len(tags))

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self._count("set_tag")
        self.runs[run_id].data.tags[key] = value

    def log_text(self, run_id: str, content: str, name: str) -> None:
        self._count("log_text")

    def log_inputs(self, run_id: str, datasets: Any) -> None:
        self._count("log_inputs")

    def log_artifact(self, run_id: str, path: str, folder: str | None = None) -> None:
        self._count("log_artifact")
        assert Path(path).stat().st_size

    def set_terminated(self, run_id: str, status: str, stamp: int | None = None) -> None:
        self._count("set_terminated")
        self.runs[run_id].info.status = status

    def get_run(self, run_id: str) -> SimpleNamespace:
        self._count("get_run")
        return self.runs[run_id]

    def update_run(self, run_id: str, status: str) -> None:
        self._count("update_run")
        self.runs[run_id].info.status = status

    def delete_run(self, run_id: str) -> None:
        self._count("delete_run")
        del self.runs[run_id]

    def search_runs(
        self, experiments: list[str], query: str, max_results: int, page_token: str | None = None
    ) -> Any:
        self._count("search_runs")
        first = int(page_token or 0)
        rows = list(self.runs.values())
        last = first + max_results

        class Page(list[Any]):
            token = str(last) if last < len(rows) else None

        return Page(rows[first:last])

    def _count(self, name: str, values: int = 1) -> None:
        self.calls[name] += 1
        self.sent += values


def config(trials: int, workers: int, seed: int = 1, **search: Any) -> Config:
    """A random search over three settings; one hidden validation part, one refit."""
    document = {
        "name": "simulated",
        "seed": seed,
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.2},
        "model": {"name": "mlp"},
        "train": {"epochs": EPOCHS},
        "launch": {"workers": workers},
        "tracking": {"uri": "sqlite:///nowhere.db", "save_model": "none"},
        "search": {
            "strategy": "random",
            "trials": trials,
            "max_failures": trials,
            "refit": True,
            "space": {
                RATE: {"type": "float", "low": 0.001, "high": 0.3, "log": True},
                "train.optimizer.momentum": {"type": "float", "low": 0.0, "high": 0.99},
                BATCH: [16, 32, 64],
            },
            **search,
        },
    }
    return settings.parse(document)


@contextlib.contextmanager
def simulated(cluster: Cluster, store: Store) -> Iterator[None]:
    """Searches run on this cluster and write to this store."""
    with (
        mock.patch.object(executors, "executor", return_value=cluster),
        mock.patch.object(experiment, "connect", return_value=store),
        mock.patch.object(drive, "time", cluster.clock),
        mock.patch.object(pictures, "write", return_value=[]),  # seconds, once
    ):
        yield


def run(asked: Config, cluster: Cluster, store: Store, kind: Kind = "search") -> dict[str, Any]:
    """One start of the search, here. What it says to people goes nowhere."""
    with (
        simulated(cluster, store),
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):
        return search_run.run(kind, asked, "simulated.yaml")


def run_cut(
    asked: Config,
    workers: int,
    cuts: list[int],
    store: Store,
    tear: bool = False,
    kind: Kind = "search",
) -> tuple[dict[str, Any], list[Cluster]]:
    """The search in a start more than there are cuts, each so many outcomes after its beginning.

    With `tear` each cut leaves half of the journal's last line.
    """
    clock, clusters = Clock(), []
    for cut in cuts:
        clusters.append(Cluster(workers, asked.seed, clock, cut=cut))
        try:
            run(asked, clusters[-1], store, kind)
        except PowerCut:
            if tear:
                tear_last_line(next(Path(".ilsvrc").glob(f"*/{kind}-*/journal.jsonl")))
            continue
        raise AssertionError(f"the search ended before outcome {cut}")
    clusters.append(Cluster(workers, asked.seed, clock))
    return run(asked, clusters[-1], store, kind), clusters


def tear_last_line(file: Path) -> None:
    """As a power cut does in the middle of a write."""
    lines = file.read_bytes().splitlines(keepends=True)
    last = lines.pop()
    file.write_bytes(b"".join([*lines, last[: len(last) // 2]]))


def ledger(result: dict[str, Any], clusters: list[Cluster], store: Store) -> dict[str, Any]:
    """Every fit in each of the places that hear of it; `lost`, `unasked` and `doubled` name paths.

    A fit is begun once more for a worker that died at it, a cut that found it under way, or a
    record that the cut tore; else once.
    """
    told = journal.Journal(Path(result["state"])).events()
    proposed = Counter(
        f"trial/{trial['trial']}"
        for event in told
        if event["event"] == "proposed"
        for trial in event["trials"]
    )
    proposed.update(["refit"] * bool(result["refit"]))
    in_journal = Counter(_name(event["path"]) for event in told if event["event"] == "ended")
    in_store = Counter(run.data.tags["path"] for run in store.runs.values())
    del in_store["search"]
    reported = Counter(f"trial/{trial['number']}" for trial in result["trials"])
    reported.update(["refit"] * bool(result["refit"]))
    begun = Counter(_name(path) for cluster in clusters for path in cluster.begun.elements())
    places = {"journal": in_journal, "store": in_store, "report": reported}
    everywhere = [*places.values(), begun]
    return {
        "proposed": proposed.total(),
        "begun": begun.total(),
        **{name: found.total() for name, found in places.items()},
        "under way at cuts": sum(len(cluster.under_way) for cluster in clusters),
        "workers that died": sum(cluster.died for cluster in clusters),
        "statuses": dict(Counter(trial["status"] for trial in result["trials"])),
        "lost": sorted({path for found in everywhere for path in proposed.keys() - found.keys()}),
        "unasked": sorted(
            {path for found in everywhere for path in found.keys() - proposed.keys()}
        ),
        "doubled": sorted(
            {path for found in (proposed, *places.values()) for path in found if found[path] > 1}
        ),
    }


def _name(path: Iterable[str | int]) -> str:
    return "/".join(map(str, path)).removesuffix("/fold/0")


def main(trials: int = 10_000, workers: int = 1_000, seed: int = 1) -> int:
    """Run it whole, then cut twice and started again; print what came of both."""
    load_tensorflow()  # seconds, whatever the number of trials
    import keras_tuner  # noqa: F401  # the same

    asked, wrong, here = config(trials, workers, seed), False, Path.cwd()
    for words, cuts in (("in one go", []), ("cut twice", [trials // 3, trials // 3])):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            before, began, store = peak_mib(), time.perf_counter(), Store()
            result, clusters = run_cut(asked, workers, cuts, store)
            took = time.perf_counter() - began
            found = ledger(result, clusters, store)
            size = (Path(result["state"]) / "journal.jsonl").stat().st_size
            os.chdir(here)
        each, calls = 1000 * took / trials, store.calls.total() / trials
        print(f"{trials} trials on {workers} workers, {words}: {took:.1f} s, {each:.2f} ms each")
        print(f"  peak memory {peak_mib():.0f} MiB, {before:.0f} of them before")
        print(f"  a trial: {size / trials:.0f} bytes of journal, {calls:.2f} calls to the store")
        print(f"  fits at once: {max(one.busiest for one in clusters)}")
        for name, value in found.items():
            print(f"  {name}: {value if value != [] else 'none'}")
        wrong = wrong or bool(found["lost"] or found["doubled"] or found["unasked"])
    return int(wrong)


def peak_mib() -> float:
    """Most memory that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
