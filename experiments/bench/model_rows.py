"""The networks of `ilsvrc bench train|infer`, ours and others', and what rounds find of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from experiments.bench.process import BenchProcess, KilledBySystem
from experiments.config.schema import Config
from experiments.errors import FailedWork
from experiments.runtime.startup import keras_backend


class Side(NamedTuple):
    """Rows of one framework; each is measured in processes of its own."""

    name: str
    """As bench.backends and bench.peers have it."""
    backend: str
    """Of Keras, in its processes."""

    def missing(self) -> str | None:
        """Why it cannot be measured here."""
        if find_spec(self.backend):
            return None
        return f"{self.backend} is not installed; pip install -e '.[{self.backend}]'"

    def measures(self, precision: str) -> bool:
        return self.name != "pytorch_bfloat16" or precision == "bfloat16"


def chosen(config: Config) -> tuple[Side, ...]:
    """Ours on each backend asked for, then the peers; ours on Keras's where none is."""
    backend = keras_backend()
    backends = tuple(dict.fromkeys(config.bench.backends)) or (backend,)
    peers = tuple(dict.fromkeys(config.bench.peers))
    return (
        *(Side(name, name) for name in backends),
        *(Side(name, backend if name == "keras" else "torch") for name in peers),
    )


class Measured:
    """What the rounds found of one network in one precision."""

    def __init__(self, batch_sizes: Sequence[int | Literal["auto"]]):
        self.batches: list[dict[str, Any]] = [
            {"asked": asked, "batch": None if asked == "auto" else asked}
            for asked in _ascending(batch_sizes)
        ]
        self.built: list[dict[str, Any]] = []
        self.sizes: dict[int | str, list[dict[str, Any]]] = {}
        self.latencies: list[list[float]] = []
        self.first_steps: list[float] = []

    def add(self, job: dict[str, Any]) -> None:
        """One round: run the job in a process; where that dies of a batch, with half of it."""
        waiting, first = [dict(item) for item in self.batches], True
        while waiting:
            trying = 0
            try:
                for line in listen({**job, "batches": [*waiting]}):
                    if line["kind"] == "trying":
                        trying = line["batch"]
                    elif line["kind"] == "built" and first:
                        self.built.append(line)
                    elif line["kind"] == "latency":
                        self.latencies.append(line["seconds"])
                    elif line["kind"] == "size":
                        if first:
                            self.first_steps.append(line["first_step_seconds"])
                        first = False
                        self.sizes.setdefault(line["asked"], []).append(line)
                        waiting.pop(0)
                break
            except KilledBySystem as error:
                if trying < 2 or not waiting:
                    raise FailedWork(f"{error} lower bench.batch_sizes") from None
                waiting[0]["batch"] = trying // 2
        # What the first round settled holds for the next ones, or they would not be comparable.
        for item in self.batches:
            item["batch"] = self.sizes[item["asked"]][-1]["batch"]


def listen(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a process that does the job says, line by line.

    Raises:
        KilledBySystem: it was killed.
        FailedWork: it failed, and why.
    """
    module = "experiments.bench.model_worker"
    with BenchProcess(module, job, backend=job.get("backend")) as process:
        while line := process.hear():
            yield json.loads(line)


def _ascending(sizes: Sequence[int | Literal["auto"]]) -> list[int | Literal["auto"]]:
    """Small ones first, as memory that a library has taken it keeps; auto last."""
    numbers = sorted({size for size in sizes if not isinstance(size, str)})
    return [*numbers, *(["auto"] if "auto" in sizes else [])]  # type: ignore[list-item]
