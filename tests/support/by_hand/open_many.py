"""What it costs to open a folder of many photographs: the first time, and again.

    python tests/support/by_hand/open_many.py [FILES] [--photographs DIR] [--verify header|decode]

FILES hard links (200,000) of a few photographs in 1,000 class folders, in a temporary folder that
is removed again; the photographs are drawn, of about 110 kB each, or those of DIR. Everything is
in the page cache: the figures are what the processor does. Printed are seconds, microseconds of
processor time a file, and what 1.28 million files would take.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLASSES, DRAWN, WHOLE = 1_000, 300, 1_281_167


def draw(folder: Path, count: int = DRAWN) -> list[Path]:
    """Photographs of 500 x 375 pixels as JPEG files of about 110 kB, each another."""
    from PIL import Image

    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), np.uint8))
        smooth = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), np.float32)
        pixels = np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=88)
        paths.append(folder / f"{number:04d}.JPEG")
        paths[-1].write_bytes(file.getvalue())
    return paths


def link(root: Path, photographs: list[Path], files: int) -> None:
    """`files` names of these photographs, in class folders as ILSVRC has them."""
    for label in range(CLASSES):
        (root / f"n{label:08d}").mkdir(parents=True)
    for i in range(files):
        label = i * CLASSES // files
        os.link(photographs[i % len(photographs)], root / f"n{label:08d}" / f"n_{i:07d}.JPEG")


def measure(root: str, verify: str | None) -> dict[str, float]:
    """Of one opening: seconds and processor seconds of listing, and of all of it."""
    from pipelines.files.class_folders import list_directory
    from pipelines.lazy import tf
    from pipelines.sources.open import open_source

    assert tf.constant(0) == 0  # its import is no part of this
    settings = {} if verify is None else {"verify": verify}
    figures = {}
    for name, work in (
        ("listing", lambda: list_directory(Path(root))),
        ("opening", lambda: open_source(f"folder:{root}", **settings)),  # type: ignore[arg-type]
    ):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        figures[name] = time.perf_counter() - wall
        figures[f"{name} processor"] = time.process_time() - processor
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", type=int, nargs="?", default=200_000)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--verify", choices=("header", "decode"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.verify)))
        return
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn"
        drawn.mkdir()
        if given.photographs:
            photographs = []
            for path in sorted(given.photographs.iterdir()):
                photographs.append(drawn / path.name)
                photographs[-1].write_bytes(path.read_bytes())
        else:
            photographs = draw(drawn)
        root = Path(folder) / "set"
        link(root, photographs, given.files)
        command = [sys.executable, os.path.abspath(__file__), "--measure", str(root)]
        command += ["--verify", given.verify] if given.verify else []
        for which in ("first", "again"):
            # The cache of what was found lies in the working folder.
            output = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
            figures = json.loads(output.stdout)
            report(which, figures, given.files)


def report(which: str, figures: dict[str, float], files: int) -> None:
    rest = figures["opening processor"] - figures["listing processor"]
    scale = WHOLE / files
    print(
        f"{which}: listing {figures['listing']:.2f} s ({figures['listing processor']:.2f} s of "
        f"processor), opening {figures['opening']:.2f} s; beyond listing "
        f"{1e6 * rest / files:.1f} us of processor a file; {WHOLE:,} files: listing "
        f"{scale * figures['listing']:.0f} s, opening {scale * figures['opening']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
