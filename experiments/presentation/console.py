"""How commands answer on a terminal: tables, JSON, progress, one-line complaints."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import kind_and_first_line, shown, visible

if TYPE_CHECKING:
    from experiments.presentation.terminal import Terminal

SAY_SECONDS = 10.0  # between two lines of progress where there is no terminal
STAND_INS = {
    "±": "+-", "×": "x", "–": "-", "−": "-", "…": "...", "●": "*", "○": "o", "·": ".",
    "≤": "<=", "≥": ">=", "→": "->",
}  # fmt: skip
"""Where a terminal or a file takes no UTF-8; of other letters the escapes."""


def wide_console() -> Terminal:
    """For tables. A file or a pipe has no width; rich would take 80 and cut the longest."""
    from experiments.presentation.terminal import Terminal

    console = Terminal()
    if not console.is_terminal:
        console.width = max(console.width, 120)
    return console


@contextmanager
def progress(text: str, total: int, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """advance(done): a bar on a terminal's stderr, a line now and then elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Eta

    from experiments.presentation.terminal import Terminal

    console = Terminal(stderr=True, quiet=quiet)
    name = TextColumn("{task.description}", markup=False)
    columns = name, BarColumn(), MofNCompleteColumn(), TextColumn("ETA"), Eta()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    said = time.monotonic()

    def advance(done: int) -> None:
        nonlocal said
        bar.update(task, completed=done)
        if not console.is_terminal and time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            console.print(f"{text}: {done} of {total} images")

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
        tell(part) if isinstance(part, str) else show(part)


def tell(text: str) -> None:
    """Lines of an answer, on stdout."""
    print(visible(text), flush=True)


def say(line: str) -> None:
    """Progress, beside what a command answers on stdout."""
    print(visible(line), file=sys.stderr, flush=True)


def complain(message: object) -> None:
    """One line, begun with the program's name once: messages on `ilsvrc:DIR` bring it along.

    A tracking URI that is quoted in it loses its password.
    """
    say(f"ilsvrc: {shown(str(message)).removeprefix('ilsvrc: ')}")


def drawn(path: Path, draw: Callable[..., Any], *args: Any) -> list[Path]:
    """[path] of a picture that `draw` has made of the arguments and the path; where it could not,
    nothing and a line on stderr: what a picture shows must not be lost with it."""
    try:
        draw(*args, path)
    except Exception as error:  # of fonts, formulas, full disks
        complain(f"{path} could not be drawn ({kind_and_first_line(error)})")
        return []
    return [path]


@contextmanager
def standard_streams() -> Iterator[_Output | None]:
    """stdout and stderr that take every letter, and an end in one line where stdout takes no more.

    Raises:
        SystemExit: with 1; a full disk is said, a closed pipe (`| head`) is not.
    """
    codecs.register_error("stand-ins", _stand_ins)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="stand-ins")
    before, output = sys.stdout, _watched_stdout()
    try:
        try:
            yield output
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except (OSError, SystemExit):
        if output is None or output.refused is None:
            raise
        # else Python tries once more as it ends, and says so
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        if not isinstance(output.refused, BrokenPipeError):
            complain(f"standard output cannot be written ({output.refused.strerror})")
        sys.exit(1)
    finally:
        sys.stdout = before


class _Output(io.FileIO):
    """A file that remembers that it could not be written."""

    refused: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.refused = error
            raise


def _watched_stdout() -> _Output | None:
    """Put in the place of stdout, where that is a file, a pipe or a terminal."""
    buffer = getattr(sys.stdout, "buffer", None)
    if not isinstance(sys.stdout, io.TextIOWrapper) or not isinstance(
        getattr(buffer, "raw", buffer), io.FileIO
    ):
        return None
    output = _Output(sys.stdout.fileno(), "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(output),
        sys.stdout.encoding,
        sys.stdout.errors,
        line_buffering=sys.stdout.line_buffering or sys.stdout.write_through,
    )
    return output


def _stand_ins(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    escapes = (x.encode("ascii", "backslashreplace").decode("ascii") for x in letters)
    return "".join(STAND_INS.get(x, y) for x, y in zip(letters, escapes, strict=True)), error.end
