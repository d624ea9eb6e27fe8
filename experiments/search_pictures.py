"""The pictures of a finished search, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments import search_html, search_plots, winners
from experiments.search_axes import view
from experiments.search_places import whole
from tuning.space import Space


def write(
    result: Mapping[str, Any], directory: str | Path, space: Space | None = None, about: str = ""
) -> list[Path]:
    """Draw what `ilsvrc search` or `nested` returned.

    Args:
        result: the command's JSON, with `outer` for a nested one.
        directory: made if it is not there.
        space: what was searched; it gives the axes their scales and order.
        about: a line under the pictures, such as the data and the strategy.

    Returns:
        The files: parallel.png, effects.png, folds.png where trials have several, winners.png of a
        nested search, and search.html with all of it; none where no trial has started.
    """
    if not result["trials"]:
        return []
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    nested = "outer" in result
    trials = result["trials"]
    if result.get("strategy") == "hyperband":
        trials = [_with_epochs(trial) for trial in trials]
    shown = view(
        trials,
        str(result.get("name") or "search"),
        space=space,
        score_name=str(result.get("score_name") or "val_top1"),
        minimise=bool(result.get("minimise")),
        notes=[about] if about else [],
        chosen={(row["fold"], row["trial"]) for row in result["outer"]} if nested else None,
    )
    files = [folder / "parallel.png", folder / "effects.png"]
    search_plots.parallel_coordinates(shown, files[0])
    search_plots.effects(shown, files[1])
    if nested:
        files.append(folder / "winners.png")
        winners.draw(result, files[-1])
    elif any(whole(trial) for trial in shown.trials):
        files.append(folder / "folds.png")
        search_plots.folds(shown, files[-1])
    files.append(folder / "search.html")
    page = search_html.page(shown, winners.table(result) if nested else None)
    files[-1].write_text(page, encoding="utf-8")
    return files


def _with_epochs(trial: Mapping[str, Any]) -> dict[str, Any]:
    """How long Hyperband trained a trial is one of its settings, too."""
    epochs = [one for one in trial.get("epochs") or [] if one is not None]
    length = {"epochs": max(epochs)} if epochs else {}
    return {**trial, "hyperparameters": {**trial["hyperparameters"], **length}}
