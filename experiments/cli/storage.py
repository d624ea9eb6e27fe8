"""The commands `ilsvrc rm` and `du`; nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated

import typer

from experiments.cli.arguments import AsJson, tracking_uri
from experiments.cli.next_step import say_next
from experiments.presentation.console import answer, print_json, tell

Store = Annotated[
    list[str] | None, typer.Argument(metavar="[tracking.uri=URI]", help="Where its runs are.")
]


def rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Experiment, as in its config.")],
    changes: Store = None,
    keep_best: Annotated[
        bool,
        typer.Option("--keep-best", help="Of each architecture the best by validation stays."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it, only list.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove an experiment: its runs, artifacts, journals and networks; without --yes, list them.

    Refused while a process works on it. Registered networks stay, and so do their runs.
    """
    from experiments.storage import removal as command

    uri = tracking_uri(changes or [])
    plan = command.plan(name, uri, keep_best=keep_best)
    document = command.document(plan, removed=yes)
    if yes:
        command.carry_out(plan)
    if as_json:
        print_json(document)
        return
    again = ["ilsvrc rm", name, *(changes or []), *(["--keep-best"] if keep_best else []), "--yes"]
    tell(command.text(document, " ".join(again)))


def du(changes: Store = None, as_json: AsJson = False) -> None:
    """What takes space: journals, networks and artifacts of each experiment, and the caches."""
    from experiments.storage import usage as command

    document = command.usage(tracking_uri(changes or []))
    answer(document, command.tables(document), as_json)
    largest = [["rm", document["experiments"][0]["name"]]] if document["experiments"] else []
    note = "which only lists what would go" if largest else ""
    say_next(*largest, as_json=as_json, uri=tracking_uri(changes or []), note=note)
