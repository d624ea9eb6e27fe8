"""A coordinator that is killed leaves nobody at work, and no snapshot that cannot be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from experiments.runtime import parent
from experiments.training.snapshots import FOLDER, Snapshots

SWEEP = """
from experiments.config import settings
from experiments.config.launch import Launch
from experiments.jobs.plan import prepare
from experiments.launch import executors

if __name__ == "__main__":
    config = settings.parse({
        "name": "orphan",
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.2},
        "train": {"epochs": 10000, "checkpoint": {"every_seconds": 0.001}},
        "bench": {"latency_calls": 2, "throughput_batches": 1},
    })
    with executors.executor(Launch(workers=1)) as executor:
        for _ in executor.run(
            [prepare(config).job(("cell", 0))], lambda job, event: print(event["kind"], flush=True)
        ):
            pass
"""
SILENT = """
import time
from experiments.launch.processes import Child

class Busy:
    def __reduce__(self):
        return time.sleep, (600,)

if __name__ == "__main__":
    child = Child()
    child.start()
    child.send(Busy())
    print("epoch", flush=True)
    time.sleep(600)
"""
"""Its worker is at work and has nothing to say."""
BENCH = """
from experiments.bench.process import BenchProcess

with BenchProcess("deaf", {}) as process:
    print(process.hear(), flush=True)
    process.hear()
"""
DEAF = "import time\nprint('epoch', flush=True)\ntime.sleep(600)\n"


@pytest.mark.parametrize("coordinator", [SWEEP, SILENT, BENCH])
def test_workers_end_within_seconds_of_their_coordinator(coordinator, tmp_path):
    (tmp_path / "deaf.py").write_text(DEAF)
    (tmp_path / "coordinator.py").write_text(coordinator)
    process = subprocess.Popen(
        [sys.executable, "coordinator.py"], stdout=subprocess.PIPE, text=True,
        env=psutil.Process().environ() | {"PYTHONPATH": parent.search_path()},
    )  # fmt: skip
    workers = []
    try:
        for line in process.stdout:
            if line.strip() == "epoch":
                break
        workers = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(workers, timeout=5)
        for worker in alive:
            worker.kill()
        process.stdout.close()
    assert workers
    assert alive == []
    said = []
    for directory in Path(".ilsvrc").glob("orphan/*"):
        Snapshots(directory, {}, 1).newest(said.append)
        assert list((directory / FOLDER).glob("*.npz"))
    assert not [line for line in said if "damaged" in line]
    assert bool(said) == (coordinator is SWEEP)
