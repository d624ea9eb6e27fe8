"""A comparison as a table: on the terminal, as Markdown, as CSV, and its cells for the report."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.comparison.caption import notes, origin, part, title
from experiments.comparison.cost_axes import MACS
from experiments.comparison.grouping import Comparison
from experiments.presentation.console import wide_console
from experiments.presentation.formatting import in_words, percent, si, significant

if TYPE_CHECKING:
    from rich.table import Table

MIB = 2**20

NAME = 26  # letters of a name that stay in one line

LEFT = {"", "model", "experiment"}  # columns of words

Cell = Callable[[dict[str, Any]], str]


def render(comparison: Comparison, width: int | None = None) -> Table:
    """A table for a terminal of `width` columns (None: this one); what does not fit is left out."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(width=width) if width else wide_console()
    columns = columns_of(comparison)
    while True:
        table = _table(comparison, columns)
        needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
        longest = max(len(row["name"]) for row in comparison.rows)
        needed -= max(0, longest - NAME)  # rather a name in two lines than a column less
        droppable = [column for column in columns if column[1] > 0]
        if needed <= console.width or not droppable:
            return table
        columns.remove(max(droppable, key=lambda column: column[1]))


def write_csv(comparison: Comparison, path: Path) -> None:
    """Raw numbers at full precision, one row a group; lists are joined by spaces."""
    fields = [field for field in comparison.rows[0] if field != "values"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        for row in comparison.rows:
            writer.writerow([_plain(row[field]) for field in fields])


def write_markdown(comparison: Comparison, path: Path) -> None:
    """The whole table with its legend, for a paper's appendix or a pull request."""
    columns = columns_of(comparison)
    headers = [_escaped(header.replace("\n", " ")) for header, _, _ in columns]
    rules = ["---" if header in LEFT else "--:" for header, _, _ in columns]
    lines = [f"# {_escaped(title(comparison))}", "", _line(headers), _line(rules)]
    for row in comparison.rows:
        lines.append(_line([_escaped(cell(row).strip()) for _, _, cell in columns]))
    notes_below = legend(comparison, [header for header, _, _ in columns])
    lines += ["", *(f"- {_escaped(note)}" for note in notes_below), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


def columns_of(comparison: Comparison) -> list[tuple[str, int, Cell]]:
    """Header, rank by which it goes when the terminal is narrow (0: never), and its cells."""

    def mean(key: str, show: Callable[[Any], str]) -> Cell:
        return lambda row: "" if row[key] is None else show(row[key])

    def benched(key: str, show: Callable[[Any], str]) -> Cell:
        return lambda row: "" if row.get(key) is None else show(row[key])

    def value(key: str) -> Cell:
        return lambda row: "" if row[key] is None else str(row[key])

    def setting(key: str) -> Cell:
        return lambda row: "" if row[key] is None else _setting(row[key])

    def squared(key: str) -> Cell:
        return lambda row: "" if row.get(key) is None else _error(row, key)

    def accuracy(key: str) -> Cell:
        return lambda row: _aligned(percent(row, key))

    shown_part = part(comparison)
    columns: list[tuple[str, int, Cell]] = [
        ("", 0, lambda row: "●" if row["pareto"] else "○" if row.get("dominated") else ""),
        ("model", 0, lambda row: row["name"]),
    ]
    if len(comparison.experiments) > 1:
        columns.append(("experiment", 3, value("experiment")))
    columns += [
        (key.split(".", 1)[-1], 20, setting(key))
        for key in comparison.varying
        if key != "model.name"
    ]
    columns += [
        ("n", 0, value("n")),
        (f"{shown_part}\ntop-1 %", 0, accuracy("top1_mean")),
        ("vs best\np (Holm)", 1, _against_best),
        (f"{shown_part}\ntop-5 %", 2, accuracy(f"{_prefix(comparison)}_top5")),
    ]
    if comparison.score == "test_top1":
        columns.append(("val\ntop-1 %", 7, accuracy("val_top1")))
    columns += [
        ("test\nMSE", 0, squared("test_mse")),
        ("val\nMSE", 7, squared("val_mse")),
        ("train\nMSE", 9, squared("train_mse")),
        ("train\ntop-1 %", 9, accuracy("train_top1")),
        ("MACs", 0, mean("macs", si)),
        ("params", 0, mean("params", si)),
        ("activations\nMiB", 12, mean("activation_bytes", lambda v: significant(v / MIB))),
        ("p50\nms", 4, mean("latency_ms_p50", significant)),
        ("p95\nms", 8, mean("latency_ms_p95", significant)),
        ("train\nimages/s", 5, mean("train_images_per_second", significant)),
        ("infer\nimages/s", 6, mean("infer_images_per_second", significant)),
        ("memory\nMiB", 10, mean("peak_memory_bytes", lambda v: f"{v / MIB:.0f}")),
        ("train\ns", 11, mean("train_seconds", significant)),
        ("bench\np50 ms", 2, benched("bench_latency_ms_p50", significant)),
        ("bench infer\nimages/s", 3, benched("bench_infer_images_per_second", significant)),
        ("bench infer\nMiB", 8, benched("bench_infer_memory_bytes", lambda v: f"{v / MIB:.0f}")),
        ("bench train\nimages/s", 3, benched("bench_train_images_per_second", significant)),
        ("bench train\nMiB", 8, benched("bench_train_memory_bytes", lambda v: f"{v / MIB:.0f}")),
    ]
    return [column for column in columns if any(column[2](row) for row in comparison.rows)]


def _table(comparison: Comparison, columns: list[tuple[str, int, Cell]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title(comparison), style="bold"),
        caption=Text("\n".join(legend(comparison, [column[0] for column in columns]))),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for header, _, _ in columns:
        table.add_column(
            Text(header),
            justify="left" if header in LEFT or header.endswith("%") else "right",
            vertical="top",
            overflow="fold",
            no_wrap=header != "model",
        )
    for row in comparison.rows:
        style = "bold" if row["pareto"] else None
        table.add_row(*(Text(cell(row)) for _, _, cell in columns), style=style)
    return table


def legend(comparison: Comparison, headers: list[str]) -> list[str]:
    """What stands below the table: marks, units, origin, tests, warnings."""
    lines = []
    if any(row["pareto"] for row in comparison.rows):
        lines.append(
            "● Pareto-optimal: no other row is at least as good in both MACs and "
            f"{part(comparison)} top-1, and better in one; ○ dominated"
        )
    if any(header.endswith("MSE") for header in headers):
        lines.append("MSE: mean squared error of reconstructions, pixels on 0..1")
    if any(header.startswith("p50") for header in headers):
        lines.append("p50, p95: median and 95th percentile of latency")
    return [*lines, MACS.note, origin(comparison), *notes(comparison)]


def _against_best(row: dict[str, Any]) -> str:
    """`best`, the adjusted p-value, or a dash where no test was possible."""
    text = row.get("vs_best") or ""
    return "–" if text.startswith("not tested") else text.removeprefix("p = ").removeprefix("p ")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for character in ("\\", "|", "<", "*", "_", "`"):
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _prefix(comparison: Comparison) -> str:
    return comparison.score.partition("_")[0]


def _setting(value: Any) -> str:
    """Lists of sections, such as stages, in words; the rest as it is."""
    return in_words(value) if isinstance(value, (list, dict)) else str(value)


def _error(row: dict[str, Any], key: str) -> str:
    spread = row.get(f"{key}_std")
    mean = significant(row[key])
    return mean if spread is None else f"{mean} ± {significant(spread)}"


def _aligned(accuracy: str) -> str:
    """Five wide before the ±, so that point stands under point with and without a spread."""
    mean, plus_minus, spread = accuracy.partition(" ± ")
    return f"{mean:>5}{plus_minus}{spread}" if mean else ""


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return " ".join(str(item) for item in value)
    return value
