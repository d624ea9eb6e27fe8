"""`ilsvrc bench pipeline`: our input pipeline beside the plain alternatives, in one run.

Every row is a process of its own, pinned to its cores; all are asked in turn, round by round, for
one recipe after the other, so that a disturbance of the machine falls on all rows alike, and none
works while another is timed. Ratios are taken within a round. Libraries without threads of their
own run one process a core, each on its share of the files, and their batches stay there: no cost of
sending them is counted.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from experiments.bench import pipeline_rows
from experiments.bench.course import Course, missing_lines, reasons_line
from experiments.bench.pipeline_rows import LIMIT_A, LIMIT_B, LIMITS, USUAL, Row
from experiments.bench.process import BenchProcess
from experiments.config.bench import Bench
from experiments.errors import BadInput
from experiments.runtime.machine import core_numbers

RECIPES = ("resnet", "inception")
NOTE = "resize: bilinear without antialiasing in every row (PIL always antialiases)"
STORES = "prepared: JPEG of short side 480; raw: uint8 of short side 256; both read from shards"
DRAWN = "drawn images: take real photographs (bench.images=DIR) for figures to publish"

Rates = dict[tuple[str, str, int], list[float]]  # of name, recipe and cores, round by round
Ask = Callable[[str], float]  # images a second of a recipe

Report = Callable[[str], None]


def run(bench: Bench, threads: int = 0, report: Report = print) -> dict[str, Any]:
    """{"status", "missing", "rows", "left_out": {name: why}, "notes"}; `report` hears of each step.

    A row: name, recipe, cores, dtype, store, images_per_second (median over rounds), low, high,
    ratio (to the usual tf.data, else to the first row, of the same recipe and cores; median of the
    rounds' ratios), of_limit_b (None without limits), rounds, of_rounds. Stopped, or where a row
    fails, they are of the rounds that were measured, and `missing` says which were not.

    Raises:
        BadInput: unknown rows, cores that are not there, or images that cannot be used.
        FailedWork: nothing could be measured.
        Stopped: before anything was.
    """
    cores = sorted(core_numbers())
    if max(bench.cores) > len(cores):
        raise BadInput(f"bench.cores: this process has {len(cores)}. Received: {max(bench.cores)}")
    rows, left_out = pipeline_rows.choose(bench)
    with tempfile.TemporaryDirectory(prefix="ilsvrc-bench-") as name:
        folder = Path(name)
        files, spec, store = pipeline_rows.chosen(bench, folder)
        program = None
        if store != "jpeg":
            for row in rows:
                if row.worker != "ours" or row.store != "jpeg":
                    left_out[row.name] = f"reads JPEG files, not {spec}"
            rows = [row for row in rows if row.name not in left_out]
        elif bench.limit is not None:
            program = pipeline_rows.compiled(Path(bench.limit), folder, left_out)
        else:
            left_out[LIMITS] = "bench.limit names no source file"
        if not rows and program is None:
            raise BadInput(f"bench.only: none of its rows can run here: {reasons_line(left_out)}")
        specs = {"jpeg": spec, store: spec} | pipeline_rows.stores(rows, spec, folder, report)
        jobs = {row: _job(bench, row, specs.get(row.store, spec), files, threads) for row in rows}
        rounds = Rounds(bench, jobs, folder, report)
        with rounds.course.until_stopped():
            for count in bench.cores:
                limits = None
                if program is not None:
                    limits = partial(pipeline_rows.rates, program, files, cores[:count], folder)
                rounds.measure(cores[:count], limits)
    course, rates = rounds.course, rounds.rates
    for row in rows:
        known = any(name == row.name for name, *_ in rates)
        if row.worker != "ours" and not known and row.name in course.failed:
            # Installed, but perhaps without a library that it needs.
            left_out[row.name] = course.failed[row.name]
    if not rates:
        raise course.nothing("bench pipeline", left_out | course.failed)
    wanted = [row.name for row in rows if row.name not in left_out]
    missing = course.missing(_done(wanted, program is not None, bench.cores, rates), bench.rounds)
    notes = [NOTE] + ([DRAWN] if bench.images is None else [])
    if any(row.store in pipeline_rows.PREPARED for row in rows) and store == "jpeg":
        notes.append(STORES)
    table = [row | {"of_rounds": bench.rounds} for row in summary(rates, rows, store)]
    return {
        "status": course.status(missing),
        "missing": missing,
        "rows": table,
        "left_out": left_out,
        "notes": notes,
    }


class Rounds:
    """The rows of a bench at work, and the rates that its rounds measured of them.

    jobs    what each row's processes are to do
    folder  that they work in
    """

    def __init__(
        self, bench: Bench, jobs: Mapping[Row, dict[str, Any]], folder: Path, report: Report
    ) -> None:
        self.bench, self.jobs, self.folder, self.report = bench, jobs, folder, report
        self.course = Course()
        self.rates: Rates = {}

    def measure(
        self, cores: list[int], limits: Callable[[], Mapping[tuple[str, str], float]] | None
    ) -> None:
        """All rounds on these cores; what fails in one is left alone in the next."""
        with ExitStack() as started:
            asks = self._start(cores, started)
            for number in range(self.bench.rounds if asks or limits else 0):
                self.report(f"round {number + 1}/{self.bench.rounds}, cores: {len(cores)}")
                self._round(asks, limits, len(cores))

    def _start(self, cores: list[int], started: ExitStack) -> dict[str, Ask]:
        """Start the rows that have not failed yet, one after the other."""
        asks = {}
        for row, job in self.jobs.items():
            if row.name not in self.course.failed:
                self.report(f"starting on {len(cores)}: {row.name}")
                with self.course.trying(row.name):
                    processes = _processes(job, cores, self.folder, row)
                    asks[row.name] = started.enter_context(processes)
        return asks

    def _round(
        self,
        asks: Mapping[str, Ask],
        limits: Callable[[], Mapping[tuple[str, str], float]] | None,
        count: int,
    ) -> None:
        course = self.course
        for recipe in RECIPES:
            for name, ask in asks.items():
                if name not in course.failed:
                    with course.trying(name):
                        self.rates.setdefault((name, recipe, count), []).append(ask(recipe))
        if limits is not None and LIMITS not in course.failed:
            with course.trying(LIMITS):
                for (recipe, limit), rate in limits().items():
                    self.rates.setdefault((limit, recipe, count), []).append(rate)


def _done(
    names: Iterable[str], limits: bool, cores: Iterable[int], rates: Rates
) -> Iterator[tuple[str, str, int]]:
    """In how many rounds everything was measured, as `Course.missing` takes it."""
    tried = {name: name for name in names}
    if limits:
        tried |= dict.fromkeys((LIMIT_A, LIMIT_B), LIMITS)
    for count, recipe, (name, by) in itertools.product(cores, RECIPES, tried.items()):
        yield f"{name}, {recipe}, cores: {count}", by, len(rates.get((name, recipe, count), ()))


def summary(rates: Rates, rows: Sequence[Row], store: str) -> list[dict[str, Any]]:
    """Rates of each (name, recipe, cores), round by round, as rows of the table."""
    dtypes = {row.name: row.dtype for row in rows} | {LIMIT_A: "none", LIMIT_B: "float32"}
    stores = {row.name: store if row.store == "jpeg" else row.store for row in rows}
    table = []
    for (name, recipe, cores), measured in rates.items():
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
                "images_per_second": median(measured),
                "low": min(measured),
                "high": max(measured),
                "ratio": _ratio(measured, rates[base, recipe, cores]),
                "of_limit_b": None if limit is None else _ratio(measured, limit),
                "rounds": len(measured),
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
    return "\n".join([*lines, *missing_lines(document["missing"]), *document["notes"]])


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:24}{cells[1]:10}{cells[2]:>5}  {cells[3]:8}{cells[4]:9}" + "".join(
        f"{cell:>9}" for cell in cells[5:]
    )


def _ratio(rates: Sequence[float], base: Sequence[float]) -> float:
    """Of the rounds that both were measured in: what failed or was stopped has the first ones."""
    return median(a / b for a, b in zip(rates, base, strict=False))


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
def _processes(job: dict[str, Any], cores: list[int], folder: Path, row: Row) -> Iterator[Ask]:
    """Start a row's processes; yields ask(recipe) -> images a second of all of them together."""
    shares = [[core] for core in cores] if row.spread else [cores]
    with ExitStack() as started:
        workers = []
        for at, share in enumerate(shares):
            files = job["files"][at :: len(shares)]
            listing = folder / f"files-{len(files)}-{at}.txt"
            listing.write_text("\n".join(files), encoding="utf-8")
            whole = {**job, "cores": share, "files": str(listing)}
            worker = BenchProcess("experiments.bench.pipeline_worker", whole, folder, "tensorflow")
            workers.append(started.enter_context(worker))

        def ask(recipe: str) -> float:
            for worker in workers:
                worker.tell(recipe)
            answers = [worker.answer() for worker in workers]
            return float(sum(one["images"] / median(one["seconds"]) for one in answers))

        for worker in workers:
            worker.answer()  # ready
        yield ask
