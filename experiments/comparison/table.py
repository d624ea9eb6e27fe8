"""A comparison as a table: on the terminal, as Markdown, as CSV, and its cells for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.comparison.against_best import difference_text, p_text
from experiments.comparison.caption import imbalanced, marked, notes, origin, part, title, top5
from experiments.comparison.grouping import Comparison
from experiments.comparison.row_names import short_keys
from experiments.errors import visible
from experiments.presentation import csv_text, settled
from experiments.presentation.columns import COLUMNS, MACS, Column, Row
from experiments.presentation.console import wide_console
from experiments.presentation.formatting import in_words, percent, short_id, significant

if TYPE_CHECKING:
    from rich.table import Table

NAME = 26  # letters of a name that stay in one line
LEFT = {"", "model", "experiment"}  # columns of words
NAMED_RUNS = 24  # below the table


class TableColumn(NamedTuple):
    """A column of this table: of a metric, or of what the rows are."""

    heading: str
    dropped: int
    """As of `Column`."""
    cell: Callable[[Row], str]


def render(comparison: Comparison, width: int | None = None) -> Table:
    """A table for a terminal of `width` columns (None: this one); what does not fit is left out,
    and named below."""
    from rich.measure import Measurement

    from experiments.presentation.terminal import Terminal

    console = Terminal(width=width) if width else wide_console()
    columns = columns_of(comparison)
    every = list(columns)
    while True:
        table = _table(comparison, columns, [one.heading for one in every if one not in columns])
        needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
        longest = max(len(row["name"]) for row in comparison.rows)
        needed -= max(0, longest - NAME)  # rather a name in two lines than a column less
        droppable = [column for column in columns if column.dropped]
        if needed <= console.width or not droppable:
            return table
        columns.remove(max(droppable, key=lambda column: column.dropped))


def write_csv(comparison: Comparison, path: Path) -> None:
    """Raw numbers at full precision, one row a group; lists are joined by spaces."""
    fields = [field for field in comparison.rows[0] if field != "values"]
    rows = ([_plain(row[field]) for field in fields] for row in comparison.rows)
    csv_text.write(path, fields, rows)


def write_markdown(comparison: Comparison, path: Path) -> None:
    """The whole table with its legend, for a paper's appendix or a pull request."""
    path.write_text(markdown(comparison), encoding="utf-8")


def markdown(comparison: Comparison) -> str:
    """The whole table with its legend."""
    columns = columns_of(comparison)
    headings = [column.heading for column in columns]
    headers = [_escaped(heading.replace("\n", " ")) for heading in headings]
    rules = ["---" if heading in LEFT else "--:" for heading in headings]
    lines = [f"# {_escaped(title(comparison))}", "", _line(headers), _line(rules)]
    for row in comparison.rows:
        lines.append(_line([_escaped(column.cell(row).strip()) for column in columns]))
    lines += ["", *(f"- {_escaped(note)}" for note in legend(comparison, headings)), ""]
    return "\n".join(lines)


def columns_of(comparison: Comparison) -> list[TableColumn]:
    """What the rows are, their score, and the metrics that any of them has."""
    scored = part(comparison)
    with_margin = (comparison.significance or {}).get("margin") is not None  # else the star says it
    columns = [
        TableColumn(
            "", 0, lambda row: "●" if row["pareto"] else "○" if row.get("dominated") else ""
        ),
        TableColumn("model", 0, lambda row: row["name"]),
    ]
    if len(comparison.experiments) > 1:
        columns.append(TableColumn("experiment", 3, lambda row: row["experiment"]))
    columns += [
        TableColumn("chosen\n" + name.replace("_", "\n"), 0, partial(_setting, key))
        for key, name in short_keys((comparison.best_of or {}).get("keys", ())).items()
    ]
    columns += [
        TableColumn(key.split(".", 1)[-1], 20, partial(_setting, key))
        for key in comparison.varying
        if key != "model.name"
    ]
    columns += [
        TableColumn("n", 0, lambda row: str(row["n"])),
        TableColumn(f"{scored}\ntop-1 %", 0, partial(_accuracy, "top1_mean")),
        TableColumn("vs best\np (Holm)", 1, _against_best),
        TableColumn("difference\nto best", 4, difference_text),
        TableColumn("settled", 0, settled.cell),
        TableColumn("verdict", 0, lambda row: (with_margin and row.get("verdict")) or ""),
        TableColumn("these networks\np (Holm)", 5, _of_networks),
        TableColumn(f"{scored}\ntop-5 %", 2, partial(_accuracy, top5(comparison))),
    ]
    if imbalanced(comparison):
        shown = comparison.score.partition("_")[0]
        columns += [
            TableColumn(
                f"{scored} balanced\ntop-1 %", 1, partial(_accuracy, f"{shown}_balanced_top1")
            ),
            TableColumn(f"{scored}\nmacro F1 %", 1, partial(_accuracy, f"{shown}_macro_f1")),
        ]
    columns += [
        TableColumn(column.heading, column.dropped, _cell(column))
        for column in COLUMNS
        if column.heading and not (column.kind == "accuracy" and column.key == comparison.score)
    ]
    return [column for column in columns if any(column.cell(row) for row in comparison.rows)]


def _cell(column: Column) -> Callable[[Row], str]:
    written = {"accuracy": _accuracy, "error": _error}.get(column.kind)
    return partial(written, column.key) if written else column.cell


def _table(
    comparison: Comparison, columns: list[TableColumn], left_out: Sequence[str] = ()
) -> Table:
    from rich import box
    from rich.table import Table

    below = [*legend(comparison, [column.heading for column in columns]), _run_ids(comparison)]
    if left_out:
        names = ", ".join(heading.replace("\n", " ") for heading in left_out)
        below.append(f"Left out for want of width: {names}; --out and --json have them")
    table = Table(
        title=title(comparison),
        title_style="bold",
        caption="\n".join(below),
        caption_style="none",
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading, _, _ in columns:
        table.add_column(
            heading,
            justify="left" if heading in LEFT or heading.endswith("%") else "right",
            vertical="top",
            overflow="fold",
            no_wrap=heading != "model",
        )
    for row in comparison.rows:
        style = "bold" if row["pareto"] else None
        table.add_row(*(column.cell(row) for column in columns), style=style)
    return table


def _run_ids(comparison: Comparison) -> str:
    """The runs of each row, as other commands take them; of many runs those of the first row."""
    few = sum(len(row["run_ids"]) for row in comparison.rows) <= NAMED_RUNS
    words = [
        f"{row['name']} {' '.join(map(short_id, row['run_ids'][:NAMED_RUNS]))}"
        for row in (comparison.rows if few else comparison.rows[:1])
    ]
    return f"Runs: {'; '.join(words)}{'' if few else '; --json has the others'}"


def legend(comparison: Comparison, headings: list[str]) -> list[str]:
    """What stands below the table: marks, units, origin, tests, warnings."""
    lines = []
    if any(row["pareto"] for row in comparison.rows):
        lines.append(
            "● Pareto-optimal: no other row is at least as good in both MACs and "
            f"{part(comparison)} top-1, and better in one; ○ dominated"
        )
    if any("balanced" in heading for heading in headings):
        low, high = imbalanced(comparison)
        lines.append(
            f"A class has {low:,} to {high:,} {part(comparison)} images: balanced is the mean of "
            "the classes' top-1, macro F1 that of their F1, each class counted alike"
        )
    if any(heading.endswith("MSE") for heading in headings):
        lines.append("MSE: mean squared error of reconstructions, pixels on 0..1")
    if any(heading.startswith("p50") for heading in headings):
        lines.append("p50, p95: median and 95th percentile of latency")
    lines += marked(comparison, [column for column in COLUMNS if column.heading in headings])
    if any("MACs" in line for line in [*lines, *headings]):
        lines.append(MACS.note)
    return [*lines, origin(comparison), *notes(comparison)]


def _against_best(row: Row) -> str:
    """`best`, the adjusted p-value, or a dash where no test was possible."""
    text = row.get("vs_best") or ""
    return "–" if text.startswith("not tested") else text.removeprefix("p = ").removeprefix("p ")


def _of_networks(row: Row) -> str:
    p = row.get("networks_p_holm")
    return "" if p is None else p_text(p).removeprefix("p = ").removeprefix("p ")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for character in ("\\", "|", "<", "*", "_", "`", "["):
        text = text.replace(character, f"\\{character}")
    return visible(text.replace("\n", " "))


def _setting(key: str, row: Row) -> str:
    """Lists of sections, such as stages, in words; the rest as it is."""
    value = row[key]
    if isinstance(value, (list, dict)):
        return in_words(value)
    return "" if value is None else str(value)


def _error(key: str, row: Row) -> str:
    mean, spread = significant(row.get(key)), row.get(f"{key}_std")
    return mean if spread is None else f"{mean} ± {significant(spread)}"


def _accuracy(key: str, row: Row) -> str:
    """Five wide before the ±, so that point stands under point with and without a spread."""
    mean, plus_minus, spread = percent(row, key).partition(" ± ")
    return f"{mean:>5}{plus_minus}{spread}" if mean else ""


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return " ".join(str(item) for item in value)
    return value
