"""`ilsvrc bench train` and `ilsvrc bench infer`: what networks cost on this machine.

Rounds are interleaved: each takes every (network, precision, side) once, in a fresh process, and
the machine's matrix-product peak in every precision, so that a disturbance falls on all alike.
Rates are the median over rounds of each round's median call; the range is that of the rounds.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

import models
from experiments import bench_sides
from experiments.bench_model_worker import POLICIES
from experiments.bench_sides import Side
from experiments.config import Config
from experiments.errors import BadInput, FailedWork, stop_if_asked

Mode = Literal["train", "infer"]
Say = Callable[[str], None]
Key = tuple[str, str, Side]  # network, precision, whose

FORWARD, UPDATE = 2, 6  # FLOPs a MAC: of a forward pass; of an update, counted as three of them
NOTES = (
    "images are random and already on the device: the network alone, without its input pipeline; "
    "latency: one call at batch 1",
    "bfloat16 and float16 are Keras's mixed policies, as train.precision has them",
    "FLOP/s: 2 a multiply-accumulate of conv and dense layers; an update counts as 3 forward "
    "passes; of peak: over the fastest square matrix product of the same run and precision, and "
    "above 1 where a library convolves in fewer operations",
    "memory: of the device where the backend tells, else peak resident memory of the process, "
    "libraries included",
    "by: ours on a backend of Keras; keras: its own loop on that of the first; pytorch: its own "
    "network and loop, channels last, bfloat16 by autocast or with weights in bfloat16 too",
)


def run(config: Config, mode: Mode, say: Say = print) -> dict[str, Any]:
    """{"rows", "peaks", "machine", "left_out", "notes"}; `say` hears of each step.

    A row is one network, precision and batch size asked for, with the keys that `_row` writes.

    Raises:
        BadInput: unknown networks, or images that they cannot take.
        FailedWork: no network could be measured.
    """
    names = tuple(dict.fromkeys(config.bench.names or (config.model.name,)))
    shapes = {name: _shape(name, config) for name in names}
    sides = bench_sides.chosen(config)
    measured: dict[Key, Measured] = {}
    peaks: dict[tuple[str, str], list[dict[str, Any]]] = {}
    left_out = {side.name: why for side in sides if (why := side.missing())}
    sides = tuple(side for side in sides if side.name not in left_out)
    started, load = datetime.datetime.now().astimezone(), os.getloadavg()[0]
    for number in range(config.bench.rounds):
        for precision in config.bench.precisions:
            where = f"round {number + 1}/{config.bench.rounds}: {precision}"
            for backend in dict.fromkeys(side.backend for side in sides):
                say(f"{where}: matrix product{f', {backend}' * (len(sides) > 1)}")
                peaks.setdefault((precision, backend), []).append(_peak(config, precision, backend))
            for name in names:
                for side in sides:
                    whose = f", {side.name}" * (len(sides) > 1)
                    title = f"{name} {precision}{whose}"
                    if title in left_out or not side.measures(precision):
                        continue
                    say(f"{where}: {mode} {name}{whose}")
                    key = name, precision, side
                    own = measured.setdefault(key, Measured(config.bench.batch_sizes))
                    try:
                        own.add(_job(config, mode, name, shapes[name], precision, side))
                    except FailedWork as error:
                        left_out[title] = str(error)
                        del measured[key]
    if not measured:
        raise FailedWork(f"bench {mode}: {_listed(left_out)}")
    best = {key: max(found, key=lambda x: x["flops_per_second"]) for key, found in peaks.items()}
    rows = [
        {
            **_row(mode, key, asked, own, best[key[1], key[2].backend], shapes[key[0]]),
            **_settings(config),
        }
        for key, own in measured.items()
        for asked in own.sizes
    ]
    return {
        "rows": rows,
        "peaks": [{"precision": p, "backend": b, **found} for (p, b), found in best.items()],
        "machine": {
            "device": rows[0]["device"],
            "framework": "; ".join(dict.fromkeys(row["framework"] for row in rows)),
            "load_at_start": load,
            "date": started.isoformat(timespec="seconds"),
            **_host(),
        },
        "left_out": left_out,
        "notes": list(NOTES),
    }


class Measured:
    """What the rounds found of one network in one precision."""

    def __init__(self, batch_sizes: Sequence[int | Literal["auto"]]):
        self.batches: list[dict[str, Any]] = [
            {"asked": asked, "batch": None if asked == "auto" else asked}
            for asked in _ascending(batch_sizes)
        ]
        self.built: list[dict[str, Any]] = []
        self.sizes: dict[int | str, list[dict[str, Any]]] = {}
        self.latencies: list[float] = []
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
                        self.latencies += line["seconds"]
                    elif line["kind"] == "size":
                        if first:
                            self.first_steps.append(line["first_step_seconds"])
                        first = False
                        self.sizes.setdefault(line["asked"], []).append(line)
                        waiting.pop(0)
                break
            except KilledBySystem as error:
                if trying < 2 or not waiting:
                    raise FailedWork(str(error)) from None
                waiting[0]["batch"] = trying // 2
        # What the first round settled holds for the next ones, or they would not be comparable.
        for item in self.batches:
            item["batch"] = self.sizes[item["asked"]][-1]["batch"]


class KilledBySystem(RuntimeError):
    """A process that was ended from outside, as systems do that have no memory left."""


def listen(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a process that does the job says, line by line.

    Raises:
        KilledBySystem: it was killed.
        FailedWork: it failed, and why.
    """
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "experiments.bench_model_worker", json.dumps(job)]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # nosec B603  # a worker of this suite, no shell
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ
            | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
            | ({"KERAS_BACKEND": job["backend"]} if "backend" in job else {}),
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                stop_if_asked()
                yield json.loads(line)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        if code == -9:
            raise KilledBySystem("its process was killed; out of memory? lower bench.batch_sizes")
        if code:
            errors.seek(0)
            said = errors.read().strip().splitlines() or [f"exit code {code}"]
            raise FailedWork(said[-1])


def _job(
    config: Config,
    mode: Mode,
    name: str,
    shape: tuple[int, int, int],
    precision: str,
    side: Side,
) -> dict[str, Any]:
    train = config.train.model_copy(update={"precision": POLICIES[precision], "stages": ()})
    model = config.model.model_copy(update={"name": name, "weights": None})
    own = config.model_copy(update={"model": model, "train": train, "sweep": {}})
    return {
        "mode": mode,
        "name": name,
        "side": side.name,
        "backend": side.backend,
        "options": model.options,
        "input_shape": shape,
        "classes": models.card(name).classes,
        "precision": precision,
        "config": own.model_dump(mode="json"),
        "calls": config.bench.throughput_batches,
        "seconds": config.bench.seconds,
        "latency_calls": config.bench.latency_calls if mode == "infer" else 0,
        **_settings(config),
    }


def _peak(config: Config, precision: str, backend: str) -> dict[str, float]:
    job = {"mode": "peak", "precision": precision, "seconds": 2 * config.bench.seconds}
    job["backend"] = backend
    [found] = listen({**job, **_settings(config)})
    return {key: found[key] for key in ("flops_per_second", "side")}


def _settings(config: Config) -> dict[str, Any]:
    train = config.train
    return {"threads": train.threads, "deterministic": train.deterministic, "jit": train.jit}


def _row(
    mode: Mode,
    key: Key,
    asked: int | str,
    own: Measured,
    peak: dict[str, float],
    shape: tuple[int, int, int],
) -> dict[str, Any]:
    """Rates in images a second, latencies in ms, memory in bytes, other times in seconds."""
    sizes, built = own.sizes[asked], own.built[0]
    batch = sizes[-1]["batch"]
    rates = [batch / median(round_["seconds"]) for round_ in sizes]
    latencies = own.latencies
    if mode == "train":  # an update of one image, where batch 1 was asked for
        latencies = [x for round_ in own.sizes.get(1, []) for x in round_["seconds"]]
    flops = (UPDATE if mode == "train" else FORWARD) * built["macs"] * median(rates)
    host = max(round_["host_peak"] for round_ in sizes)
    told = [round_["device_peak"] for round_ in sizes if round_["device_peak"] is not None]
    return {
        "name": key[0],
        "mode": mode,
        "batch": batch,
        "precision": key[1],
        "images_per_second": median(rates),
        "low": min(rates),
        "high": max(rates),
        **{f"latency_ms_p{p}": _percentile(latencies, p) for p in (50, 95, 99)},
        "latency_calls": len(latencies),
        "peak_memory_bytes": max(told, default=host),
        "device_memory_bytes": max(told, default=None),
        "host_memory_bytes": host,
        "build_seconds": median(x["build_seconds"] for x in own.built),
        "first_step_seconds": median(own.first_steps),
        "flops_per_second": flops,
        "fraction_of_peak": flops / peak["flops_per_second"],
        "params": built["params"],
        "macs": built["macs"],
        "input_shape": list(shape),
        "asked": asked,
        "rounds": len(sizes),
        "policy": POLICIES[key[1]],
        "side": key[2].name,
        "device": built["machine"],
        "framework": built["framework"],
    }


def _percentile(seconds: Sequence[float], percent: int) -> float | None:
    return 1000 * float(np.percentile(seconds, percent)) if seconds else None


def _shape(name: str, config: Config) -> tuple[int, int, int]:
    """(height, width, channels): as data.image_size and data.channels say, else the card's."""
    try:
        card = models.card(name)
    except ValueError as error:
        raise BadInput(f"bench.names: {error}") from None
    size = config.data.image_size or card.input_shape[:2]
    height, width = (size, size) if isinstance(size, int) else size
    smallest = card.smallest_input
    if height < smallest[0] or width < smallest[1]:
        raise BadInput(
            f"data.image_size: {name} takes images of {smallest[0]}x{smallest[1]} or larger. "
            f"Received: {height}x{width}"
        )
    return height, width, config.data.channels or card.input_shape[2]


def _ascending(sizes: Sequence[int | Literal["auto"]]) -> list[int | Literal["auto"]]:
    """Small ones first, as memory that a library has taken it keeps; auto last."""
    numbers = sorted({size for size in sizes if not isinstance(size, str)})
    return [*numbers, *(["auto"] if "auto" in sizes else [])]  # type: ignore[list-item]


def _host() -> dict[str, Any]:
    from experiments import measure

    return {"processor": measure.processor(), "cores": measure.cores(), "of_cores": os.cpu_count()}


def _listed(left_out: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in left_out.items())
