"""`ilsvrc bench train` and `ilsvrc bench infer`: what networks cost on this machine.

Rounds are interleaved: each takes every (network, precision, side) once, in a fresh process, and
the machine's matrix-product peak in every precision, so that a disturbance falls on all alike.
Rates are the median over rounds of each round's median call; the range is that of the rounds.
"""

from __future__ import annotations

import datetime
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Literal

import numpy as np

import models
from experiments.bench import model_rows
from experiments.bench import model_rows as bench_sides
from experiments.bench.course import Course
from experiments.bench.model_rows import Measured, Side
from experiments.config.bench import POLICIES
from experiments.config.schema import Config
from experiments.errors import BadInput

Mode = Literal["train", "infer"]

Say = Callable[[str], None]

Key = tuple[str, str, Side]  # network, precision, whose

Peaks = dict[tuple[str, str], list[dict[str, Any]]]  # of precision and backend

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
    names = tuple(dict.fromkeys(config.bench.names or (config.model.name,)))
    shapes = {name: _shape(name, config) for name in names}
    sides = bench_sides.chosen(config)
    left_out = {side.name: why for side in sides if (why := side.missing())}
    sides = tuple(side for side in sides if side.name not in left_out)
    wanted: dict[Key, Measured] = {
        (name, precision, side): Measured(config.bench.batch_sizes)
        for precision in dict.fromkeys(config.bench.precisions)
        for name in names
        for side in sides
        if side.measures(precision)
    }
    peaks: Peaks = {(precision, side.backend): [] for _, precision, side in wanted}
    course = Course()
    started, load = datetime.datetime.now().astimezone(), os.getloadavg()[0]
    with course.until_stopped():
        _measure(config, mode, shapes, wanted, peaks, course, say)
    several = _several(wanted)
    for key, own in list(wanted.items()):
        if not own.sizes and (why := course.failed.get(_title(key, several))):
            left_out[_title(key, several)] = why
            del wanted[key]
    measured = {key: own for key, own in wanted.items() if own.sizes}
    if not measured:
        raise course.nothing(f"bench {mode}", left_out)
    best = {
        key: max(found, key=lambda x: x["flops_per_second"])
        for key, found in peaks.items()
        if found
    }
    rows = [
        _row(mode, key, asked, own, best.get((key[1], key[2].backend)), shapes[key[0]])
        | {"of_rounds": config.bench.rounds}
        | _settings(config)
        for key, own in measured.items()
        for asked in own.sizes
    ]
    missing = course.missing(_done(mode, wanted, peaks, several), config.bench.rounds)
    return {
        "status": course.status(missing),
        "missing": missing,
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


def _measure(
    config: Config,
    mode: Mode,
    shapes: Mapping[str, tuple[int, int, int]],
    wanted: Mapping[Key, Measured],
    peaks: Peaks,
    course: Course,
    say: Say,
) -> None:
    """All rounds; what fails in one is left alone in the next."""
    several, rounds = _several(wanted), config.bench.rounds
    precisions = tuple(dict.fromkeys(precision for _, precision, _ in wanted))
    for number, precision in itertools.product(range(1, rounds + 1), precisions):
        where = f"round {number}/{rounds}: {precision}"
        for backend in (backend for own, backend in peaks if own == precision):
            title = _peak_title(precision, backend)
            if title not in course.failed:
                say(f"{where}: matrix product{f', {backend}' * several}")
                with course.trying(title):
                    peaks[precision, backend].append(_peak(config, precision, backend))
        for key, own in wanted.items():
            name, its_precision, side = key
            title = _title(key, several)
            if its_precision == precision and title not in course.failed:
                say(f"{where}: {mode} {name}{f', {side.name}' * several}")
                with course.trying(title):
                    own.add(_job(config, mode, name, shapes[name], precision, side))


def _several(wanted: Mapping[Key, Measured]) -> bool:
    """Does it take a word to say whose a row is?"""
    return len({side for *_, side in wanted}) > 1


def _title(key: Key, several: bool) -> str:
    name, precision, side = key
    return f"{name} {precision}{f', {side.name}' * several}"


def _peak_title(precision: str, backend: str) -> str:
    return f"matrix-product peak, {precision}, {backend}"


def _done(
    mode: Mode,
    wanted: Mapping[Key, Measured],
    peaks: Mapping[tuple[str, str], Sequence[Any]],
    several: bool,
) -> Iterator[tuple[str, str, int]]:
    """In how many rounds everything was measured, as `Course.missing` takes it."""
    for key, found in peaks.items():
        yield _peak_title(*key), _peak_title(*key), len(found)
    for own_key, own in wanted.items():
        title = _title(own_key, several)
        for item in own.batches:
            yield f"{title} batch {item['asked']}", title, len(own.sizes.get(item["asked"], ()))
        if mode == "infer":
            yield f"{title} latency", title, len(own.latencies)


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
    [found] = model_rows.listen({**job, **_settings(config)})
    return {key: found[key] for key in ("flops_per_second", "side")}


def _settings(config: Config) -> dict[str, Any]:
    train = config.train
    return {"threads": train.threads, "deterministic": train.deterministic, "jit": train.jit}


def _row(
    mode: Mode,
    key: Key,
    asked: int | str,
    own: Measured,
    peak: dict[str, float] | None,
    shape: tuple[int, int, int],
) -> dict[str, Any]:
    """Rates in images a second, latencies in ms, memory in bytes, other times in seconds."""
    sizes, built = own.sizes[asked], own.built[0]
    batch = sizes[-1]["batch"]
    rates = [batch / median(round_["seconds"]) for round_ in sizes]
    latencies = [x for round_ in own.latencies for x in round_]
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
        "fraction_of_peak": flops / peak["flops_per_second"] if peak else None,
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


def _host() -> dict[str, Any]:
    from experiments.runtime.machine import cores, processor

    return {"processor": processor(), "cores": cores(), "of_cores": os.cpu_count()}
