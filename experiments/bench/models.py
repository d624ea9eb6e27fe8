"""`ilsvrc bench train` and `ilsvrc bench infer`: what networks cost on this machine.

Rounds are interleaved: each takes every (network, precision, side) once, in a fresh process, and
the machine's matrix-product peak in every precision, so that a disturbance falls on all alike.
Rates are the median over rounds of each round's median call; the range is that of the rounds.
"""

from __future__ import annotations

import datetime
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np

import models
from experiments.bench import model_rows
from experiments.bench.course import Course
from experiments.bench.model_rows import Measured, Side
from experiments.config.bench import POLICIES
from experiments.config.schema import Config, Sweep
from experiments.errors import BadInput
from experiments.runtime.machine import cores, processor

Mode = Literal["train", "infer"]
Say = Callable[[str], None]

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


class Key(NamedTuple):
    """What one process measures: a network in one precision, by one side."""

    name: str
    precision: str
    side: Side


def run(config: Config, mode: Mode, say: Say = print) -> dict[str, Any]:
    """{"status", "missing", "rows", "peaks", "machine", "left_out", "notes"}; `say` hears of each
    step.

    A row is one network, precision and batch size asked for, with the keys that `_row` writes.
    Stopped, or where a network fails, the rows are those that were measured, and `missing` says
    what was not, in how many rounds. A network that was never measured is in `left_out`.

    Raises:
        BadInput: unknown networks, or images that they cannot take.
        FailedWork: no network could be measured.
        Stopped: before any was.
    """
    rounds = Rounds(config, mode)
    started, load = datetime.datetime.now().astimezone(), os.getloadavg()[0]
    with rounds.course.until_stopped():
        rounds.measure(say)
    rounds.leave_out_the_failed()
    rows = rounds.rows()
    if not rows:
        raise rounds.course.nothing(f"bench {mode}", rounds.left_out)
    missing = rounds.course.missing(rounds.done(), config.bench.rounds)
    return {
        "status": rounds.course.status(missing),
        "missing": missing,
        "rows": rows,
        "peaks": [
            {"precision": precision, "backend": backend, **peak}
            for (precision, backend), peak in rounds.best_peaks().items()
        ],
        "machine": {
            "device": rows[0]["device"],
            "framework": "; ".join(dict.fromkeys(row["framework"] for row in rows)),
            "load_at_start": load,
            "date": started.isoformat(timespec="seconds"),
            "processor": processor(),
            "cores": cores(),
            "of_cores": os.cpu_count(),
        },
        "left_out": rounds.left_out,
        "notes": list(NOTES),
    }


class Rounds:
    """The networks of a bench, and what its rounds measured of them.

    Raises:
        BadInput: unknown networks, or images that they cannot take.
    """

    def __init__(self, config: Config, mode: Mode) -> None:
        bench = config.bench
        names = tuple(dict.fromkeys(bench.names or (config.model.name,)))
        self.config, self.mode, self.course = config, mode, Course()
        self.shapes = {name: _shape(name, config) for name in names}
        sides = model_rows.chosen(config)
        self.left_out = {side.name: why for side in sides if (why := side.missing())}
        """What is not measured, and why."""
        self.measured = {
            Key(name, precision, side): Measured(bench.batch_sizes)
            for precision in dict.fromkeys(bench.precisions)
            for name in names
            for side in sides
            if side.name not in self.left_out and side.measures(precision)
        }
        self.peaks: dict[tuple[str, str], list[dict[str, Any]]] = {
            (key.precision, key.side.backend): [] for key in self.measured
        }
        """Of precision and backend, round by round."""
        self.several = len({key.side for key in self.measured}) > 1
        """Does it take a word to say whose a row is?"""

    def measure(self, say: Say) -> None:
        """All rounds; what fails in one is left alone in the next."""
        course, rounds = self.course, self.config.bench.rounds
        precisions = tuple(dict.fromkeys(key.precision for key in self.measured))
        for number, precision in itertools.product(range(1, rounds + 1), precisions):
            where = f"round {number}/{rounds}: {precision}"
            for backend in (backend for other, backend in self.peaks if other == precision):
                title = _peak_title(precision, backend)
                if title not in course.failed:
                    say(f"{where}: matrix product{f', {backend}' * self.several}")
                    with course.trying(title):
                        self.peaks[precision, backend].append(
                            _peak(self.config, precision, backend)
                        )
            for key, measured in self.measured.items():
                title = self._title(key)
                if key.precision == precision and title not in course.failed:
                    say(f"{where}: {self.mode} {key.name}{f', {key.side.name}' * self.several}")
                    with course.trying(title):
                        measured.add(job(self.config, self.mode, key, self.shapes[key.name]))

    def leave_out_the_failed(self) -> None:
        """Networks that failed before anything of them was measured."""
        for key, measured in list(self.measured.items()):
            if not measured.sizes and (why := self.course.failed.get(self._title(key))):
                self.left_out[self._title(key)] = why
                del self.measured[key]

    def best_peaks(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The fastest of the rounds, of precision and backend."""
        return {
            key: max(peaks, key=lambda peak: peak["flops_per_second"])
            for key, peaks in self.peaks.items()
            if peaks
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row a network, precision, side and batch size that was measured."""
        best = self.best_peaks()
        shared = {"of_rounds": self.config.bench.rounds} | _settings(self.config)
        return [
            self._row(key, asked, best.get((key.precision, key.side.backend))) | shared
            for key, measured in self.measured.items()
            for asked in measured.sizes
        ]

    def done(self) -> Iterator[tuple[str, str, int]]:
        """In how many rounds everything was measured, as `Course.missing` takes it."""
        for peak_of, peaks in self.peaks.items():
            yield _peak_title(*peak_of), _peak_title(*peak_of), len(peaks)
        for key, measured in self.measured.items():
            title = self._title(key)
            for item in measured.batches:
                rounds = len(measured.sizes.get(item["asked"], ()))
                yield f"{title} batch {item['asked']}", title, rounds
            if self.mode == "infer":
                yield f"{title} latency", title, len(measured.latencies)

    def _title(self, key: Key) -> str:
        return f"{key.name} {key.precision}{f', {key.side.name}' * self.several}"

    def _row(self, key: Key, asked: int | str, peak: dict[str, float] | None) -> dict[str, Any]:
        """Rates in images a second, latencies in ms, memory in bytes, other times in seconds."""
        measured, training = self.measured[key], self.mode == "train"
        sizes, built = measured.sizes[asked], measured.built[0]
        batch = sizes[-1]["batch"]
        rates = [batch / median(size["seconds"]) for size in sizes]
        latencies = [seconds for calls in measured.latencies for seconds in calls]
        if training:  # an update of one image, where batch 1 was asked for
            latencies = [x for size in measured.sizes.get(1, []) for x in size["seconds"]]
        flops = (UPDATE if training else FORWARD) * built["macs"] * median(rates)
        host = max(size["host_peak"] for size in sizes)
        device = [size["device_peak"] for size in sizes if size["device_peak"] is not None]
        return {
            "name": key.name,
            "mode": self.mode,
            "batch": batch,
            "precision": key.precision,
            "images_per_second": median(rates),
            "low": min(rates),
            "high": max(rates),
            **{f"latency_ms_p{p}": _percentile(latencies, p) for p in (50, 95, 99)},
            "latency_calls": len(latencies),
            "peak_memory_bytes": max(device, default=host),
            "device_memory_bytes": max(device, default=None),
            "host_memory_bytes": host,
            "build_seconds": median(line["build_seconds"] for line in measured.built),
            "first_step_seconds": median(measured.first_steps),
            "flops_per_second": flops,
            "fraction_of_peak": flops / peak["flops_per_second"] if peak else None,
            "params": built["params"],
            "macs": built["macs"],
            "input_shape": list(self.shapes[key.name]),
            "asked": asked,
            "rounds": len(sizes),
            "policy": POLICIES[key.precision],
            "side": key.side.name,
            "device": built["machine"],
            "framework": built["framework"],
        }


def job(config: Config, mode: Mode, key: Key, shape: tuple[int, int, int]) -> dict[str, Any]:
    """What `model_worker` is to measure of one network."""
    train = config.train.model_copy(update={"precision": POLICIES[key.precision], "stages": ()})
    model = config.model.model_copy(update={"name": key.name, "weights": None})
    alone = config.model_copy(update={"model": model, "train": train, "sweep": Sweep()})
    return {
        "mode": mode,
        "name": key.name,
        "side": key.side.name,
        "backend": key.side.backend,
        "options": model.options,
        "input_shape": shape,
        "classes": models.card(key.name).classes,
        "precision": key.precision,
        "config": alone.model_dump(mode="json"),
        "calls": config.bench.throughput_batches,
        "seconds": config.bench.seconds,
        "latency_calls": config.bench.latency_calls if mode == "infer" else 0,
        **_settings(config),
    }


def _peak(config: Config, precision: str, backend: str) -> dict[str, float]:
    job = {"mode": "peak", "precision": precision, "seconds": 2 * config.bench.seconds}
    [line] = model_rows.listen({**job, "backend": backend, **_settings(config)})
    return {key: line[key] for key in ("flops_per_second", "side")}


def _peak_title(precision: str, backend: str) -> str:
    return f"matrix-product peak, {precision}, {backend}"


def _settings(config: Config) -> dict[str, Any]:
    train = config.train
    return {"threads": train.threads, "deterministic": train.deterministic, "jit": train.jit}


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
