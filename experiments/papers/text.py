"""Tables for people: the paper's figure, ours and its interval, and the verdict, side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from experiments.jobs.pace import duration
from experiments.presentation.formatting import si

if TYPE_CHECKING:
    from rich.table import Table

    from experiments.papers.declaration import Table as PaperTable
    from experiments.papers.planning import Planned


def table(document: Mapping[str, Any]) -> Table:
    """A row a cell."""
    from rich import box
    from rich.table import Table

    headings: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("", "left"), ("", "left"), ("published", "right"), ("ours", "right"),
        ("95 % interval", "right"), ("verdict", "left"),
    )  # fmt: skip
    shown = Table(box=box.SIMPLE_HEAD, title=f"{document['name']}: {document['title']}")
    for heading, justify in headings:
        shown.add_column(heading, justify=justify, no_wrap=True)
    for cell in document["cells"]:
        shown.add_row(
            cell["row"], cell["column"], published(cell), ours(cell), interval(cell), verdict(cell)
        )
    return shown


def published(cell: Mapping[str, Any]) -> str:
    """The paper's figure; an asterisk where it was not read again in the paper."""
    if cell["published"] is None:
        return ""
    return f"{cell['published']:g}{'' if cell['verified'] else ' *'}"


def ours(cell: Mapping[str, Any]) -> str:
    if not cell["reached"]:
        return "not reached"
    if cell["ours"] is None:
        return ""
    return f"{cell['ours']:.2f}" if cell["ours"] >= 0.1 else f"{cell['ours']:.3g}"


def interval(cell: Mapping[str, Any]) -> str:
    return "{:.2f} to {:.2f}".format(*cell["interval"]) if cell["interval"] else ""


def verdict(cell: Mapping[str, Any]) -> str:
    """With a question mark where chance may have ordered it."""
    ordered = cell["verdict"] in ("same order", "other order")
    return cell["verdict"] + (" ?" if ordered and not cell["settled"] else "")


def agreement(document: Mapping[str, Any]) -> str:
    """Kendall's tau in a line."""
    if document["tau"] is None:
        return f"{document['name']}: the paper orders no two figures that we have"
    low, high = document["tau_interval"]
    return (
        f"{document['name']}: Kendall's tau {document['tau']:+.2f} (95 % interval {low:+.2f} to "
        f"{high:+.2f}; {document['pairs']} pairs, {document['undecided']} undecided; "
        f"{document['tau_method']})"
    )


def lines(document: Mapping[str, Any]) -> list[Any]:
    """The parts of a command's answer."""
    parts: list[Any] = []
    for each in document["tables"]:
        parts += [table(each), agreement(each)]
        parts += [f"  {remark}" for remark in (*each["departs"], *each["notes"])]
    parts.append(
        "published: *, not read again in the paper; verdict: ?, within chance "
        f"({'of images alone' if document['seeds'] == 1 else 'of seeds and images'})"
    )
    if document["update_seconds"]:
        ratio = document["wall_seconds"] / document["update_seconds"]
        parts.append(
            f"{duration(document['wall_seconds'])} in all, {duration(document['update_seconds'])} "
            f"of it in updates (x {ratio:.2f})"
        )
    return parts


def fits(tables: Sequence[PaperTable], planned: Planned, document: Mapping[str, Any]) -> Table:
    """A row a fit of a dry run, by the rows that it is of; `document` is its forecast."""
    from rich import box
    from rich.table import Table

    headings: tuple[tuple[str, Literal["left", "right"]], ...] = (
        ("fit", "right"), ("of", "left"), ("seed", "right"), ("network", "left"),
        ("params", "right"), ("MACs", "right"), ("epochs", "right"), ("time", "right"),
    )  # fmt: skip
    shown = Table(box=box.SIMPLE_HEAD)
    for heading, justify in headings:
        shown.add_column(heading, justify=justify, no_wrap=heading != "of")
    cells = {table.name: table.cells for table in tables}
    of: dict[Any, dict[str, None]] = defaultdict(dict)
    for (name, position, _), hashes in planned.members.items():
        for each in hashes:
            of[planned.by_hash[each].job.path][cells[name][position].row] = None
    for number, (fit, row) in enumerate(zip(planned.fits, document["cells"], strict=True), start=1):
        config = fit.plan.config
        shown.add_row(
            str(number), "; ".join(of[fit.job.path]), str(config.seed),
            config.model.name, si(row["params"]), si(row["macs"]), str(config.train.epochs),
            "done" if row["done"] else duration(row["seconds"]),
        )  # fmt: skip
    return shown


def listing(papers: Sequence[Mapping[str, Any]]) -> Table:
    """Every paper and its tables."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD)
    for heading in ("paper", "table", "figures", "images", "what it compares"):
        of_words = heading == "what it compares"
        shown.add_column(
            heading, justify="right" if heading == "figures" else "left", no_wrap=not of_words
        )
    for paper in papers:
        for at, each in enumerate(paper["tables"]):
            name = paper["name"] if at == 0 else ""
            shown.add_row(name, each["name"], str(each["cells"]), each["images"], each["title"])
    return shown
