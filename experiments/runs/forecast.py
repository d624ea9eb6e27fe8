"""What runs will cost before they run: parameters, multiply-accumulates, time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.jobs.length import all_updates, updates_an_epoch
from experiments.jobs.pace import (
    IMAGE_MACS,
    PASSES,
    Pace,
    Work,
    duration,
    seconds_of,
    together,
    work_of,
)
from experiments.jobs.profile import profile_of
from experiments.launch import executors
from experiments.presentation.formatting import in_words, si
from experiments.runs.cells import Cell
from experiments.tracking.journal import Journal
from experiments.tracking.progress import paces

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 40  # rows for people
PROBE_IMAGES, PROBE_SIDE, PROBE_CHANNELS, PROBE_CALLS = 32, 16, 64, 5
PROBE_OVERHEAD = 2.0
"""A training step of a network over that of its convolutions: normalisation, activations, input."""
AROUND_SECONDS = 8.0
"""Of a run, where none was seen: start, tracing, scoring, measuring."""


def forecast(cells: Sequence[Cell]) -> dict[str, Any]:
    """What each cell costs and how long what is left of them will take, as JSON.

    Keys: cells (name, axes, params, macs, seconds, done), seconds (of all that is left, on the
    workers there are), seconds_from (earlier runs, or a probe of this machine).

    Raises:
        BadInput: a network cannot be, or does not fit into memory.
    """
    config = cells[0].plan.config
    seen = paces(config.name)
    origin = "earlier runs" if seen else "a probe"
    seen = seen or [probe()]
    rows: list[dict[str, Any]] = []
    for cell in cells:
        profile = profile_of(cell.plan)
        outcome = Journal(Path(cell.job.directory)).outcome(cell.plan.source.fingerprint)
        rows.append(
            {
                "name": cell.job.label,
                "axes": dict(cell.axes),
                "params": profile.params,
                "macs": profile.macs,
                "seconds": seconds_of(_work(cell, profile.macs), seen),
                "done": outcome is not None,
            }
        )
    left = [row["seconds"] for row in rows if not row["done"]]
    whole = together(left, executors.at_a_time(config.launch)) if left else 0.0
    return {"cells": rows, "seconds": whole, "seconds_from": origin}


def training(cells: Sequence[Cell], images_per_second: float | None) -> dict[str, Any]:
    """What training alone comes to, as JSON, scoring and what is done already aside.

    Keys: images_an_epoch, updates (of the first fit), images, macs (of all fits: PASSES of the
    network an image), images_per_second (as given), hours (at that rate; null without it).
    """
    config, first = cells[0].plan.config, len(cells[0].job.train)
    works = [_work(cell, profile_of(cell.plan).macs) for cell in cells]
    images = sum(work.images for work in works)
    return {
        "images_an_epoch": first,
        "updates": all_updates(config, updates_an_epoch(config, first)),
        "images": int(images),
        "macs": int(sum(PASSES * work.macs * work.images for work in works)),
        "images_per_second": images_per_second,
        "hours": images / images_per_second / 3600 if images_per_second else None,
    }


def training_in_words(document: Mapping[str, Any], network: str) -> str:
    """Its line for people."""
    rate = document["images_per_second"]
    if rate:
        hours = f"{document['hours']:,.3g} hours at {rate:g} images a second"
    else:
        hours = (
            f"hours: give --images-per-second, which `ilsvrc bench train bench.names=[{network}]` "
            "measures"
        )
    return (
        f"training: {document['images_an_epoch']:,} images an epoch, {document['updates']:,} "
        f"updates, {si(document['images'])} images and {document['macs']:.3g} MACs in all "
        f"({PASSES} forward passes each); {hours}"
    )


def _work(cell: Cell, macs: float) -> Work:
    work = work_of(cell.plan.config, cell.plan.input_shape, len(cell.job.train))
    return work if cell.plan.config.train.stages else Work(macs, work.images)


def probe() -> Pace:
    """How fast this machine is, from the gradients of one convolution, in about a second."""
    import tensorflow as tf

    images = tf.ones((PROBE_IMAGES, PROBE_SIDE, PROBE_SIDE, PROBE_CHANNELS))
    kernel = tf.ones((3, 3, PROBE_CHANNELS, PROBE_CHANNELS))

    @tf.function
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return [tf.reduce_sum(each) for each in tape.gradient(loss, [images, kernel])]

    def timed() -> float:
        began = time.perf_counter()
        [each.numpy() for each in gradients()]
        return time.perf_counter() - began

    timed()  # traces
    step = min(timed() for _ in range(PROBE_CALLS)) * PROBE_OVERHEAD
    macs = PROBE_SIDE**2 * 9.0 * PROBE_CHANNELS**2
    return Pace(macs, step / (PROBE_IMAGES * (macs + IMAGE_MACS)), AROUND_SECONDS)


def table(document: Mapping[str, Any]) -> Table:
    """A row a cell."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD)
    keys = list(dict.fromkeys(key for row in document["cells"] for key in row["axes"]))
    shown.add_column("run", justify="right")
    for key in keys:
        shown.add_column(key, no_wrap=True)
    for heading in ("params", "MACs", "time"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for number, row in enumerate(document["cells"][:SHOWN], start=1):
        took = "done" if row["done"] else f"{duration(row['seconds'])}"
        axes = [in_words(row["axes"][key]) if key in row["axes"] else "" for key in keys]
        shown.add_row(str(number), *axes, si(row["params"]), si(row["macs"]), took)
    return shown


def summary(document: Mapping[str, Any]) -> str:
    """How long all of it will take, and how that is known."""
    rows = document["cells"]
    left = sum(1 for row in rows if not row["done"])
    more = f"and {len(rows) - SHOWN} more; " if len(rows) > SHOWN else ""
    fits = f"{more}{len(rows)} fit{'s' * (len(rows) > 1)}"
    if left < len(rows):
        fits += f", {len(rows) - left} done"
    if not left:
        return fits
    how = {
        "earlier runs": "from the runs in this folder",
        "a probe": "roughly, from a second of convolutions: nothing has been trained here yet",
    }[document["seconds_from"]]
    return f"{fits}, about {duration(document['seconds'])} ({how})"
