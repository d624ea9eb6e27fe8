"""How commands answer on a terminal: tables, JSON, progress, one-line complaints."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import kind_and_first_line, shown

if TYPE_CHECKING:
    from rich.console import Console

SAY_SECONDS = 10.0  # between two lines of progress where there is no terminal


def wide_console() -> Console:
    """For tables. A file or a pipe has no width; rich would take 80 and cut the longest."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, 120)
    return console


@contextmanager
def progress(text: str, total: int, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """advance(done): a bar on a terminal's stderr, a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Eta

    console = Console(stderr=True, highlight=False, quiet=quiet)
    columns = TextColumn(text), BarColumn(), MofNCompleteColumn(), TextColumn("ETA"), Eta()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    said = time.monotonic()

    def advance(done: int) -> None:
        nonlocal said
        bar.update(task, completed=done)
        if not console.is_terminal and time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            console.print(f"{text}: {done} of {total} images", markup=False)

    with bar:
        task = bar.add_task(text, total=total)
        yield advance


def print_json(document: Any) -> None:
    """The answer of a command that was given --json."""
    print(json.dumps(document, indent=1))


def show(*parts: Any) -> None:
    """Tables and other things of rich, on a console as wide as they are."""
    console = wide_console()
    for part in parts:
        console.print(part)


def answer(document: Any, parts: Sequence[Any], as_json: bool) -> None:
    """The document as JSON, or its parts for people."""
    if as_json:
        print_json(document)
        return
    for part in parts:  # text is not wrapped: paths and digests are copied from it
        print(part) if isinstance(part, str) else show(part)


def say(line: str) -> None:
    """Progress, beside what a command answers on stdout."""
    print(line, file=sys.stderr, flush=True)


def complain(message: object) -> None:
    """One line, begun with the program's name once: messages on `ilsvrc:DIR` bring it along.

    A tracking URI that is quoted in it loses its password.
    """
    print(f"ilsvrc: {shown(str(message)).removeprefix('ilsvrc: ')}", file=sys.stderr)


def drawn(path: Path, draw: Callable[..., Any], *args: Any) -> list[Path]:
    """[path] of a picture that `draw` has made of the arguments and the path; where it could not,
    nothing and a line on stderr: what a picture shows must not be lost with it."""
    try:
        draw(*args, path)
    except Exception as error:  # of fonts, formulas, full disks
        complain(f"{path} could not be drawn ({kind_and_first_line(error)})")
        return []
    return [path]
