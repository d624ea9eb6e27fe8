"""The rows of `ilsvrc bench pipeline`: ours, plain alternatives, the decoder's limits."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.config.bench import Bench
from experiments.errors import BadInput, FailedWork

USUAL = "tf.data usual"


class Row(NamedTuple):
    """name as printed; worker and dtype as `pipeline_worker` knows them; modules it needs."""

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


LIMITS, LIMIT_A, LIMIT_B = "limits A and B", "limit A", "limit B"

# The lines of their own output, by recipe.
LINES = {
    ("resnet", LIMIT_A): "window decode, resnet 256-480",
    ("resnet", LIMIT_B): "+ resize/flip/PCA fused f32, resnet",
    ("inception", LIMIT_A): "window decode, RRC",
    ("inception", LIMIT_B): "+ resize/flip/PCA fused f32, RRC",
}


def compiled(source: Path, folder: Path, left_out: dict[str, str]) -> Path | None:
    """The limits' program, or None and why in `left_out`."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not source.is_file():
        raise BadInput(f"bench.limit: expected the source file of the limits. Received: {source}")
    if compiler is None:
        left_out[LIMITS] = "no C compiler"
        return None
    program = folder / "limit"
    command = [compiler, "-O3", "-march=native", "-o", str(program), str(source), "-ljpeg", "-lm"]
    done = subprocess.run(  # nosec B603  # a C file that bench.limit names: the user's own
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        left_out[LIMITS] = f"they do not compile: {lines[0].strip()}"
        return None
    return program


def rates(
    program: Path, files: list[str], cores: list[int], folder: Path
) -> dict[tuple[str, str], float]:
    """Images a second by (recipe, limit), all cores at the same time."""
    listed = folder / "limit.txt"
    listed.write_text("\n".join(files) + "\n", encoding="utf-8")
    processes = [
        subprocess.Popen(  # nosec B603  # what was compiled just now, no shell
            [program, listed, str(core)], stdout=subprocess.PIPE, text=True
        )
        for core in cores
    ]
    outputs = [process.communicate()[0] for process in processes]
    return {key: sum(_rate(output, label) for output in outputs) for key, label in LINES.items()}


def _rate(output: str, label: str) -> float:
    for line in output.splitlines():
        name, _, rest = line.partition(" img/s")
        words = name.split()
        if rest and " ".join(words[:-1]) == label:
            return float(words[-1])
    raise FailedWork(f"the limits' program printed no line {label!r}")


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
    photographs = sorted(p for p in root.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if len(photographs) < 2:
        raise BadInput(f"bench.images: expected a folder of JPEG files. Received: {given}")
    # Copied, so that every row reads the same files, cached, whatever the layout.
    count = len(photographs)
    positions = np.linspace(0, count - 1, min(bench.count, count)).round().astype(int)
    files = []
    for number, position in enumerate(dict.fromkeys(positions.tolist())):
        to = copies / str(number % 2) / f"{number:05}.jpg"
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photographs[position], to)
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
        from pipelines.sources import prepare
        from pipelines.sources.open import open_source

        encoding, size = PREPARED[name]
        report(f"preparing: {name}, short side {size}")
        prepare.prepare(
            open_source(spec, memory_limit_bytes=0), folder / name, size=size, encoding=encoding
        )
        made[name] = f"prepared:{folder / name}"
    return made
