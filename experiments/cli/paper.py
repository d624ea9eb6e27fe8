"""The command `ilsvrc paper`; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.arguments import AsJson, DryRun, fail_unless
from experiments.cli.next_step import REPEAT, say_next
from experiments.errors import BadInput
from experiments.presentation.console import answer, print_json, say, show, tell
from experiments.presentation.formatting import short_id

if TYPE_CHECKING:
    from experiments.papers.planning import Request

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME] [KEY.PATH=VALUE]...",
        help="A paper, and changed settings, data.source=... among them; without a paper they are "
        "listed.",
    ),
]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="TABLE", help="Of its tables this one; may be repeated."),
]
Rows = Annotated[
    list[str] | None,
    typer.Option("--row", metavar="ROW", help="Of their rows this one; may be repeated."),
]
Scale = Annotated[
    str,
    typer.Option(
        help="1 is the paper's own; 1/64 makes classes, images, sides, widths, epochs, batch and "
        "rate smaller by one rule, experiments/papers/README.md."
    ),
]
Seeds = Annotated[int, typer.Option(help="Networks of each cell, with the seeds 1 to N.")]
Listed = Annotated[bool, typer.Option("--list", help="Name the papers and their tables.")]
Results = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write a page of all tables that were run in this folder, and stop."
    ),
]


def paper(
    words: Words = None,
    table: Tables = None,
    row: Rows = None,
    scale: Scale = "1/64",
    seeds: Seeds = 1,
    listed: Listed = False,
    results: Results = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """A paper's tables, trained, beside the published ones; run again to continue."""
    names = [word for word in words or () if "=" not in word]
    changes = [word for word in words or () if "=" in word]
    if results is not None:
        from experiments.papers.results import write

        count = write(results)
        tell(f"{results}: {count} table{'s' * (count != 1)}")
        return
    if listed or not names:
        from experiments.papers.catalogue import listed as papers
        from experiments.papers.text import listing

        if changes and not listed:
            raise BadInput(f"name a paper before {changes[0]}; ilsvrc paper --list names them")
        known = papers()
        answer(known, [listing(known)], as_json)
        return
    if len(names) > 1:
        raise BadInput(f"one paper at a time. Received: {' and '.join(names)}; tables are --table")
    from experiments.papers import run as command
    from experiments.papers.text import lines

    request = command.requested(names[0], table or [], row or [], scale, seeds, changes)
    if dry_run:
        _dry_run(request, as_json)
        return
    document = command.run(request)
    answer(document, lines(document), as_json)
    for each in document["failed"]:
        say(f"failed: run {short_id(each['run_id'])}, {each['label']}: {each['error']}")
    fine = document["status"] == "finished"
    uri = next((w.partition("=")[2] for w in changes if w.startswith("tracking.uri=")), None)
    say_next(
        ["report", request.name],
        as_json=as_json, uri=uri, note="" if fine else REPEAT,
    )  # fmt: skip
    fail_unless(fine)


def _dry_run(request: Request, as_json: bool) -> None:
    from experiments.papers.planning import plan
    from experiments.papers.run import announcement
    from experiments.papers.text import fits
    from experiments.runs import forecast

    planned = plan(request)
    document = {"paper": request.paper.name, "scale": str(request.scale)} | forecast.forecast(
        planned.fits
    )
    if as_json:
        print_json(document)
        return
    tell(announcement(request, planned))
    show(fits(request.tables, planned, document))
    tell(f"{forecast.summary(document)}; nothing was trained (--dry-run)")
