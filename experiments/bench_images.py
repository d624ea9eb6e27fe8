"""The photographs of `ilsvrc bench pipeline`, and the stores that are made of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.bench_rows import Row
from experiments.config import Bench
from experiments.errors import BadInput

PREPARED = {"prepared": ("jpeg", 480), "raw": ("raw", 256)}
"""Stores made of the same photographs: encoding and short side, as `data prepare` has them."""


def chosen(bench: Bench, folder: Path) -> tuple[list[str], str, str]:
    """JPEG files, the spec that reads them, and what they are stored as."""
    given = bench.images
    copies = folder / "jpegs"
    if given is not None and ":" in given and not given.startswith("folder:"):
        return [], given, given.partition(":")[0]
    if given is None:
        return drawn(copies, bench.count), f"folder:{copies}", "jpeg"
    root = Path(given.removeprefix("folder:")).expanduser()
    found = sorted(p for p in root.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if len(found) < 2:
        raise BadInput(f"bench.images: expected a folder of JPEG files. Received: {given}")
    # Copied, so that every row reads the same files, cached, whatever the layout.
    chosen = np.linspace(0, len(found) - 1, min(bench.count, len(found))).round().astype(int)
    files = []
    for number, position in enumerate(dict.fromkeys(chosen.tolist())):
        to = copies / str(number % 2) / f"{number:05}.jpg"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found[position], to)
        files.append(str(to))
    return files, f"folder:{copies}", "jpeg"


def drawn(folder: Path, count: int) -> list[str]:
    """Photograph-sized JPEGs (500 x 375 and the like, about 100 KB) of smooth noise and grain."""
    from PIL import Image

    rng = np.random.default_rng(1)
    files = []
    for number in range(count):
        wide, tall = (500, 375) if number % 3 else (375, 500)
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        pixels = np.asarray(Image.fromarray(coarse).resize((wide, tall), Image.Resampling.BICUBIC))
        grain = rng.normal(0.0, 12.0, (tall, wide, 1))
        to = folder / str(number % 2) / f"{number:05}.jpg"
        to.parent.mkdir(parents=True, exist_ok=True)
        image = np.clip(pixels + grain, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(to, quality=90, subsampling=0 if number % 4 else 2)
        files.append(str(to))
    return files


def stores(
    rows: Sequence[Row], spec: str, folder: Path, report: Callable[[str], None]
) -> dict[str, str]:
    """The stores that rows ask for, made of the photographs: their specs."""
    made = {}
    for name in sorted({row.store for row in rows} & set(PREPARED)):
        from pipelines import open_source, prepare

        encoding, size = PREPARED[name]
        report(f"preparing: {name}, short side {size}")
        prepare.prepare(
            open_source(spec, memory_limit_bytes=0), folder / name, size=size, encoding=encoding
        )
        made[name] = f"prepared:{folder / name}"
    return made
