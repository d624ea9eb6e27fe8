"""The rows of `ilsvrc bench pipeline`: our input pipeline, and the plain alternatives."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from experiments.config import Bench
from experiments.errors import BadInput

USUAL = "tf.data usual"


class Row(NamedTuple):
    """name as printed; worker and dtype as `bench_workers` knows them; modules it needs."""

    name: str
    worker: str
    dtype: str
    needs: tuple[str, ...] = ()
    spread: bool = False  # one process a core
    store: str = "jpeg"


ROWS = (
    Row(USUAL, "tf.data usual", "float32"),
    Row("ours float32", "ours", "float32"),
    Row("ours uint8", "ours", "uint8"),
    Row("ours float32, prepared", "ours", "float32", store="prepared"),
    Row("ours uint8, prepared", "ours", "uint8", store="prepared"),
    Row("ours float32, raw", "ours", "float32", store="raw"),
    Row("ours uint8, raw", "ours", "uint8", store="raw"),
    Row("tf.data, Keras layers", "tf.data, Keras layers", "float32"),
    Row("PIL as torchvision", "PIL as torchvision", "float32", ("PIL",), spread=True),
    Row("OpenCV", "OpenCV", "float32", ("cv2",), spread=True),
    Row("simplejpeg + OpenCV", "simplejpeg + OpenCV", "float32", ("simplejpeg", "cv2"), True),
    Row("DALI", "DALI", "float32", ("nvidia.dali",)),
)


def choose(bench: Bench) -> tuple[list[Row], dict[str, str]]:
    """Those asked for that can run here; of the others, why not."""
    known = {row.name: row for row in ROWS}
    for name in bench.only:
        if name not in known:
            raise BadInput(f"bench.only: expected some of {', '.join(known)}. Received: {name}")
    rows, left_out = [], {}
    for row in ROWS:
        if bench.only and row.name not in bench.only:
            continue
        missing = [module for module in row.needs if not _installed(module)]
        if missing:
            left_out[row.name] = f"{missing[0]} is not installed"
        else:
            rows.append(row)
    return rows, left_out


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it is in
        return False
