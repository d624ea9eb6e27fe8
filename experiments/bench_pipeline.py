"""`ilsvrc bench pipeline`: our input pipeline beside the plain alternatives, in one run.

Every row is a process of its own, pinned to its cores; all are asked in turn, round by round, for
one recipe after the other, so that a disturbance of the machine falls on all rows alike, and none
works while another is timed. Ratios are taken within a round. Libraries without threads of their
own run one process a core, each on its share of the files, and their batches stay there: no cost of
sending them is counted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np

from experiments.config import Bench
from experiments.errors import BadInput, FailedWork

RECIPES = ("resnet", "inception")
USUAL, LIMIT_A, LIMIT_B = "tf.data usual", "limit A", "limit B"
NOTE = "resize: bilinear without antialiasing in every row (PIL always antialiases)"
STORES = "prepared: JPEG of short side 480; raw: uint8 of short side 256; both read from shards"
DRAWN = "drawn images: take real photographs (bench.images=DIR) for figures to publish"
# The lines of the limits' own output, by recipe.
LIMIT_LINES = {
    ("resnet", LIMIT_A): "window decode, resnet 256-480",
    ("resnet", LIMIT_B): "+ resize/flip/PCA fused f32, resnet",
    ("inception", LIMIT_A): "window decode, RRC",
    ("inception", LIMIT_B): "+ resize/flip/PCA fused f32, RRC",
}


# Stores that are made of the same photographs: encoding and short side, as `data prepare` has them.
PREPARED = {"prepared": ("jpeg", 480), "raw": ("raw", 256)}


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


def run(bench: Bench, threads: int = 0, report: Callable[[str], None] = print) -> dict[str, Any]:
    """{"rows": [...], "left_out": {name: why}, "notes": [...]}; `report` hears of each step.

    A row: name, recipe, cores, dtype, store, images_per_second (median over rounds), low, high,
    ratio (to the usual tf.data, else to the first row, of the same recipe and cores; median of the
    rounds' ratios), of_limit_b (None without limits).
    Raises BadInput for unknown rows, cores that are not there, or images that cannot be used.
    """
    cores = sorted(_affinity())
    if max(bench.cores) > len(cores):
        raise BadInput(f"bench.cores: this process has {len(cores)}. Received: {max(bench.cores)}")
    rows, left_out = _choose(bench)
    with tempfile.TemporaryDirectory(prefix="ilsvrc-bench-") as name:
        folder = Path(name)
        files, spec, store = _images(bench, folder)
        limit = None
        if store != "jpeg":
            for row in rows:
                if row.worker != "ours" or row.store != "jpeg":
                    left_out[row.name] = f"reads JPEG files, not {spec}"
            rows = [row for row in rows if row.name not in left_out]
        elif bench.limit is not None:
            limit = _compile(Path(bench.limit), folder, left_out)
        else:
            left_out["limits A and B"] = "bench.limit names no source file"
        if not rows and limit is None:
            raise BadInput("bench.only: none of its rows can run here: " + _listed(left_out))
        specs = {"jpeg": spec, store: spec} | _stores(rows, spec, folder, report)
        rates: dict[tuple[str, str, int], list[float]] = {}
        for count in bench.cores:
            pinned = cores[:count]
            with ExitStack() as started:
                asked = {}
                for row in rows:
                    report(f"starting on {count}: {row.name}")
                    job = _job(bench, row, specs.get(row.store, spec), files, threads)
                    try:
                        asked[row.name] = started.enter_context(_process(job, pinned, folder, row))
                    except FailedWork as error:
                        if row.worker == "ours" or len(rows) == 1:
                            raise
                        # Installed, but perhaps without a library that it needs.
                        left_out[row.name] = str(error).removeprefix("bench pipeline: ")
                if not asked and limit is None:
                    raise FailedWork(f"bench pipeline: no row runs here: {_listed(left_out)}")
                for number in range(bench.rounds):
                    report(f"round {number + 1}/{bench.rounds}, cores: {count}")
                    for recipe in RECIPES:
                        for name, ask in asked.items():
                            rates.setdefault((name, recipe, count), []).append(ask(recipe))
                    if limit is not None:
                        for (recipe, what), rate in _limits(limit, files, pinned, folder).items():
                            rates.setdefault((what, recipe, count), []).append(rate)
    notes = [NOTE] + ([DRAWN] if bench.images is None else [])
    if any(row.store in PREPARED for row in rows) and store == "jpeg":
        notes.append(STORES)
    return {"rows": summary(rates, rows, store), "left_out": left_out, "notes": notes}


def summary(
    rates: dict[tuple[str, str, int], list[float]], rows: Sequence[Row], store: str
) -> list[dict[str, Any]]:
    """Rates of each (name, recipe, cores), round by round, as rows of the table."""
    dtypes = {row.name: row.dtype for row in rows} | {LIMIT_A: "none", LIMIT_B: "float32"}
    stores = {row.name: store if row.store == "jpeg" else row.store for row in rows}
    table = []
    for (name, recipe, cores), own in rates.items():
        first = next(n for n, r, c in rates if (r, c) == (recipe, cores))
        base = USUAL if (USUAL, recipe, cores) in rates else first
        limit = rates.get((LIMIT_B, recipe, cores))
        table.append(
            {
                "name": name,
                "recipe": recipe,
                "cores": cores,
                "dtype": dtypes[name],
                "store": stores.get(name, "memory"),
                "images_per_second": median(own),
                "low": min(own),
                "high": max(own),
                "ratio": _ratio(own, rates[base, recipe, cores]),
                "of_limit_b": None if limit is None else _ratio(own, limit),
            }
        )
    return sorted(table, key=lambda row: (RECIPES.index(row["recipe"]), row["cores"]))


def text(document: dict[str, Any]) -> str:
    """The table for people."""
    head = ("name", "recipe", "cores", "dtype", "store", "images/s", "low", "high", "ratio", "of B")
    lines = [_line(head)]
    for row in document["rows"]:
        share = "" if row["of_limit_b"] is None else f"{row['of_limit_b']:.2f}"
        rates = [f"{row[key]:.0f}" for key in ("images_per_second", "low", "high")]
        fixed = [str(row[key]) for key in ("name", "recipe", "cores", "dtype", "store")]
        lines.append(_line([*fixed, *rates, f"{row['ratio']:.2f}", share]))
    lines += [f"left out: {name}: {why}" for name, why in document["left_out"].items()]
    return "\n".join([*lines, *document["notes"]])


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:24}{cells[1]:10}{cells[2]:>5}  {cells[3]:8}{cells[4]:9}" + "".join(
        f"{cell:>9}" for cell in cells[5:]
    )


def _ratio(own: Sequence[float], base: Sequence[float]) -> float:
    return median(a / b for a, b in zip(own, base, strict=True))


def _listed(reasons: dict[str, str]) -> str:
    return ", ".join(f"{name} ({why})" for name, why in reasons.items())


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _choose(bench: Bench) -> tuple[list[Row], dict[str, str]]:
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


def _images(bench: Bench, folder: Path) -> tuple[list[str], str, str]:
    """JPEG files, the spec that reads them, and what they are stored as."""
    given = bench.images
    copies = folder / "jpegs"
    if given is not None and ":" in given and not given.startswith("folder:"):
        return [], given, given.partition(":")[0]
    if given is None:
        return _draw(copies, bench.count), f"folder:{copies}", "jpeg"
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


def _draw(folder: Path, count: int) -> list[str]:
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
        drawn = np.clip(pixels + grain, 0, 255).astype(np.uint8)
        Image.fromarray(drawn).save(to, quality=90, subsampling=0 if number % 4 else 2)
        files.append(str(to))
    return files


def _stores(
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


def _job(bench: Bench, row: Row, spec: str, files: list[str], threads: int) -> dict[str, Any]:
    return {
        "row": row.worker,
        "dtype": row.dtype,
        "recipes": RECIPES,
        "spec": spec,
        "files": files,
        "count": min(bench.count, len(files)) if files else bench.count,
        "size": bench.size,
        "batch_size": bench.batch_size,
        "passes": bench.passes,
        "threads": threads,
        # Equal-sized JPEGs would else be decoded once and held, and shards read into memory.
        "memory_limit_bytes": 0 if files else 2 * 1024**3,
    }


@contextmanager
def _process(
    job: dict[str, Any], cores: list[int], folder: Path, row: Row
) -> Iterator[Callable[[str], float]]:
    """Start a row's processes; yields ask(recipe) -> images a second of all of them together."""
    shares = [[core] for core in cores] if row.spread else [cores]
    commands = [
        _python({**job, "cores": own, "files": job["files"][at :: len(shares)]}, at, folder)
        for at, own in enumerate(shares)
    ]
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "PYTHONPATH": path}
    with TemporaryFile("w+") as errors:
        processes = [
            subprocess.Popen(  # nosec B603  # a worker of this suite, no shell
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env=os.environ | quiet,
            )
            for command in commands
        ]

        def listen(process: subprocess.Popen[str]) -> str:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                errors.seek(0)
                lines = errors.read().strip().splitlines() or ["no message"]
                raise FailedWork(f"bench pipeline: {row.name}: its process failed: {lines[-1]}")
            return line

        def ask(recipe: str) -> float:
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(recipe + "\n")
                process.stdin.flush()
            found = [json.loads(listen(process)) for process in processes]
            return float(sum(one["images"] / median(one["seconds"]) for one in found))

        try:
            for process in processes:
                listen(process)
            yield ask
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def _python(job: dict[str, Any], number: int, folder: Path) -> list[str]:
    files = folder / f"files-{len(job['files'])}-{number}.txt"
    files.write_text("\n".join(job["files"]), encoding="utf-8")
    words = json.dumps({**job, "files": str(files)})
    return [sys.executable, "-m", "experiments.bench_workers", words]


def _compile(source: Path, folder: Path, left_out: dict[str, str]) -> Path | None:
    """The limits' program, or None and why in `left_out`."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not source.is_file():
        raise BadInput(f"bench.limit: expected the source file of the limits. Received: {source}")
    if compiler is None:
        left_out["limits A and B"] = "no C compiler"
        return None
    program = folder / "limit"
    command = [compiler, "-O3", "-march=native", "-o", str(program), str(source), "-ljpeg", "-lm"]
    done = subprocess.run(  # nosec B603  # a C file that bench.limit names: the user's own
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["no message"]
        left_out["limits A and B"] = f"they do not compile: {lines[0].strip()}"
        return None
    return program


def _limits(
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
    return {
        key: sum(_rate(output, label) for output in outputs) for key, label in LIMIT_LINES.items()
    }


def _rate(output: str, label: str) -> float:
    for line in output.splitlines():
        name, _, rest = line.partition(" img/s")
        words = name.split()
        if rest and " ".join(words[:-1]) == label:
            return float(words[-1])
    raise FailedWork(f"bench pipeline: the limits' program printed no line {label!r}")
