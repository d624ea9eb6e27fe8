"""The command line. Heavy libraries are imported by the command that needs them."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import typer

from experiments.cli.arguments import Command, Group
from experiments.cli.bench import bench_app
from experiments.cli.compare import compare, plan, report
from experiments.cli.configs import configs, schema
from experiments.cli.data import data_app
from experiments.cli.evaluate import evaluate, predict
from experiments.cli.examples import epilog
from experiments.cli.init import init
from experiments.cli.paper import paper
from experiments.cli.runs import export, register, reproduce
from experiments.cli.search import nested, search
from experiments.cli.storage import du, rm
from experiments.cli.tracking import status, ui, upload
from experiments.cli.train import ensemble, sweep, train
from experiments.cli.zoo import describe, models
from experiments.errors import BadInput, FailedWork, Stopped, ask_to_stop, of_surroundings
from experiments.presentation.console import complain, standard_streams
from experiments.runtime.interactive import check_packages

app = typer.Typer(
    name="ilsvrc",
    cls=Group,
    help="Sweeps of the historical ILSVRC architectures on your images: accuracy against cost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=epilog(""),
)

HOME = Path(__file__).parents[2]
ROOMS = tuple(HOME / name for name in ("models", "pipelines", "tuning", "experiments"))

COMMANDS = (
    models, describe, init, configs, schema, train, sweep, ensemble, search, nested, paper, status,
    upload, compare, plan, report, ui, export, reproduce, register, evaluate, predict, du, rm,
)  # fmt: skip
"""In the order of `ilsvrc --help`."""

for command in COMMANDS:
    app.command(cls=Command, epilog=epilog(command.__name__))(command)

app.add_typer(bench_app, name="bench")
app.add_typer(data_app, name="data")


def main() -> None:
    """Entry point: bad input is one line and exit 2, an interrupt exit 130."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _one_line_warnings()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    with standard_streams() as stdout:
        try:
            check_packages()
            app()
        except (BadInput, FailedWork) as error:
            complain(error)
            sys.exit(2 if isinstance(error, BadInput) else 1)
        except Exception as error:
            if (stdout and stdout.refused) or not (line := of_surroundings(error)):
                raise
            complain(line)
            sys.exit(2)
        except Stopped as stopped:
            complain(str(stopped) or "stopped; run the same command to continue")
            sys.exit(130)


def _one_line_warnings() -> None:
    """What the suite itself warns of is one line; other libraries' warnings stay as they are."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if category is UserWarning and any(Path(filename).is_relative_to(room) for room in ROOMS):
            complain(message)
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def _stop(number: int, frame: Any) -> None:
    ask_to_stop()
    raise Stopped
