"""`ilsvrc report`: one page on what was run on what, and what came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.comparison.compare import compare
from experiments.comparison.plots import learning_curves
from experiments.errors import BadInput
from experiments.presentation.console import say
from experiments.reporting.facts import gather
from experiments.reporting.page import report_page
from experiments.tracking.store import connect


def run(
    uri: str,
    names: Sequence[str],
    out: Path,
    *,
    level: str = "auto",
    where: Sequence[str] = (),
    sort: str | None = None,
    test: str = "auto",
    margin: float | None = None,
    bench: str | None = None,
    best_of: Sequence[str] = (),
) -> Path:
    """The command: write the page.

    Raises:
        BadInput: as `compare`, or the file cannot be written.
    """
    client = connect(uri)
    comparison = compare(
        client, names,
        level=level, where=where, sort=sort, test=test, margin=margin, bench=bench,
        best_of_keys=best_of,
    )  # fmt: skip
    facts = gather(client, comparison)
    curves = learning_curves.fetch(client, comparison)
    target = out / "report.html" if out.is_dir() else out
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(report_page(comparison, facts, curves), encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"--out: cannot write {target}: {error.strerror or error}; name a file to write"
        ) from None
    say(f"Wrote {target}")
    return target
