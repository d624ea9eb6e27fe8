"""The commands `ilsvrc search` and `nested`; nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from experiments.cli.arguments import (
    AsJson,
    ConfigFile,
    DryRun,
    EveryKey,
    Overrides,
    fail_unless,
)
from experiments.cli.next_step import REFIT, of_search, say_next
from experiments.presentation.console import complain, print_json, tell

Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start apart from an earlier search of this name.")
]


def search(
    config: ConfigFile,
    changes: Overrides = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    every_key: EveryKey = False,
    as_json: AsJson = False,
) -> None:
    """Choose settings on validation folds; run again to continue."""
    _search("search", config, changes, fresh, dry_run, every_key, as_json)


def nested(
    config: ConfigFile,
    changes: Overrides = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    every_key: EveryKey = False,
    as_json: AsJson = False,
) -> None:
    """Nested cross-validation: a search in every outer fold, its winner tested once."""
    _search("nested", config, changes, fresh, dry_run, every_key, as_json)


def _search(
    kind: Literal["search", "nested"],
    path: Path,
    changes: list[str] | None,
    fresh: bool,
    dry_run: bool,
    every_key: bool,
    as_json: bool,
) -> None:
    from experiments.config import settings
    from experiments.search import run
    from experiments.search.results import text

    checked = settings.load(path, changes or ())
    if dry_run:
        document = run.dry_run(kind, checked, str(path))
        print_json(document) if as_json else tell(text.of_dry_run(document, every_key))
        return
    result = run.run(kind, checked, str(path), fresh=fresh)
    print_json(result) if as_json else tell(text.of_result(result))
    if "error" in result:
        complain(result["error"])
    else:
        commands = of_search(kind, checked, result, [kind, str(path), *(changes or ())])
        note = REFIT if "search.refit=true" in commands[0] else ""
        say_next(*commands, as_json=as_json, uri=checked.tracking.uri, note=note)
    fail_unless(result["status"] == "finished")
