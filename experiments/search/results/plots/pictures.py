"""The pictures of a finished search, as files and as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from experiments.comparison.plots import search_front
from experiments.config.strategies import STRATEGIES
from experiments.errors import visible
from experiments.presentation import html_page
from experiments.presentation.figure_style import save_picture
from experiments.presentation.html_page import Drawn
from experiments.search.results import leads
from experiments.search.results.intervals import of_best_in_words
from experiments.search.results.plots import figures, winners
from experiments.search.results.plots.svg import effects, folds, importance, parallel
from experiments.search.results.plots.view import View, name, view, whole, why
from experiments.search.results.plots.winners import Table
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
        The files: parallel.png, effects.png, importance.png where there is one, folds.png where
        trials have several, winners.png of a nested search, front.png and front.html of several
        objectives, and search.html with all of it; none where no trial has started.
    """
    if not result["trials"]:
        return []
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    nested = "outer" in result
    trials = result["trials"]
    strategy = STRATEGIES.get(result.get("strategy", ""))
    if strategy and strategy.brackets:
        trials = [_with_epochs(trial) for trial in trials]
    score_name, choice = str(result.get("score_name") or "val_top1"), result.get("choice")
    notes = list(leads.of_outer(result["outer"])) if nested else []
    notes += leads.of_search(choice, score_name) if choice else []
    shown = view(
        trials,
        str(result.get("name") or "search"),
        space=space,
        score_name=score_name,
        minimise=bool(result.get("minimise")),
        notes=[*notes, *filter(None, [about]), *of_best_in_words(result)],
        chosen=_chosen(result),
        picked="on the front" if "objectives" in result else View.picked,
    )
    files = [folder / "parallel.png", folder / "effects.png"]
    figures.parallel_coordinates(shown, files[0])
    figures.effects(shown, files[1])
    if result.get("importance"):
        files.append(folder / "importance.png")
        figures.importance(shown, result, files[-1])
    if nested:
        files.append(folder / "winners.png")
        winners.draw(result, files[-1])
    elif any(whole(trial) for trial in shown.trials):
        files.append(folder / "folds.png")
        figures.folds(shown, files[-1])
    fronts = search_front.draw(result)
    if fronts:
        files += [folder / "front.png", folder / "front.html"]
        save_picture(fronts.figure, files[-2])
        files[-1].write_text(html_page.page(fronts), encoding="utf-8")
    files.append(folder / "search.html")
    if card := (result.get("final") or {}).get("card"):  # too long for the pictures
        shown = replace(shown, notes=(*shown.notes, f"Final network, on all images: {card}."))
    page = page_of(shown, winners.table(result) if nested else None, fronts, result)
    files[-1].write_text(page, encoding="utf-8")
    return files


def _chosen(result: Mapping[str, Any]) -> set[tuple[int | str, int]] | None:
    """The members of the front, the winners of the outer folds, or None: the best."""
    if "front" in result:
        return {(member.get("outer", 0), member["trial"]) for member in result["front"]}
    if "outer" in result:
        return {(row["fold"], row["trial"]) for row in result["outer"]}
    return None


def _with_epochs(trial: Mapping[str, Any]) -> dict[str, Any]:
    """How long a trial was trained is one of its settings, too, where brackets decide it."""
    epochs = [one for one in trial.get("epochs") or [] if one is not None]
    budget = trial.get("budget") or max(epochs, default=None)
    length = {"epochs": budget} if budget else {}
    return {**trial, "hyperparameters": {**trial["hyperparameters"], **length}}


PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 1020px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.3em; margin: 0 0 .3em } h2 { font-size: 1.05em; margin: 1.4em 0 .2em }
svg { height: auto; font-size: 12px } svg text { fill: #222 }
.grid { stroke: #e4e4e4 } .axis { stroke: #222; fill: none } .none { stroke-dasharray: 1 3 }
.halo { paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round }
.quiet { fill: #555; font-style: italic }
.mean { stroke: #222; stroke-width: 3 }
.trial { cursor: default; outline: none }
path.trial { fill: none; stroke-width: 1.8 } path.chosen { stroke-width: 4 }
path.failed { stroke: #8a8a8a; stroke-dasharray: 6 3; stroke-width: 1.2 }
.dim .trial:not(.on) { opacity: .12 }
path.trial.on { stroke-width: 4.5 } circle.trial.on { stroke: #222; stroke-width: 2 }
tr.trial.on { background: #fff0d9 }
#details { position: sticky; top: 0; background: #fffd; min-height: 4.4em; font-size: .88em;
           white-space: pre-line; border-bottom: 1px solid #e4e4e4; z-index: 1 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .85em }
th, td { padding: .2em .7em; text-align: right; white-space: nowrap }
th { border-bottom: 1px solid #666; vertical-align: bottom }
.last td { border-top: 1px solid #666; font-weight: bold }
th:first-child, td:first-child { text-align: left }
.note { font-size: .85em; color: #444; margin: .1em 0 }
</style>
</head>
<body>
<h1>$title</h1>
<div id="details" aria-live="polite">Point at a line, a dot or a row for its trial.</div>
$body
$notes
<script>
const marks = [...document.querySelectorAll(".trial")];
const details = document.getElementById("details");
for (const mark of marks) {
  const same = marks.filter(other => other.dataset.trial === mark.dataset.trial);
  const show = () => {
    document.body.classList.add("dim");
    for (const other of same) other.classList.add("on");
    details.textContent = same.find(other => other.dataset.details).dataset.details;
  };
  const hide = () => {
    document.body.classList.remove("dim");
    for (const other of same) other.classList.remove("on");
  };
  mark.addEventListener("mouseenter", show);
  mark.addEventListener("mouseleave", hide);
  mark.addEventListener("focus", show);
  mark.addEventListener("blur", hide);
}
</script>
</body>
</html>
""")


def page_of(
    view: View,
    winners: Table | None = None,
    front: Drawn | None = None,
    result: Mapping[str, Any] | None = None,
) -> str:
    """A self-contained page: winners of a nested search, the front of several objectives, lines,
    effects, folds, all trials; from the command's JSON the importance of each key."""
    mattered = result if result and result.get("importance") else None
    several = any(whole(trial) for trial in view.trials)
    parts = [
        *([("Winners of the outer folds", _winners(winners))] if winners else []),
        *([(front.heading, html_page.inline_svg(front))] if front else []),
        ("Trials", parallel(view)),
        ("Score against each parameter", effects(view)),
        *([("Importance of each parameter", importance(view, mattered))] if mattered else []),
        *([("Folds of the best trials", folds(view))] if several and not winners else []),
        ("All trials", _table(view)),
    ]
    body = "\n".join(f"<h2>{escape(title)}</h2>\n{part}" for title, part in parts)
    lines = [*(winners.notes if winners else []), *view.notes]
    notes = "\n".join(f'<p class="note">{escape(line)}</p>' for line in lines)
    return visible(PAGE.substitute(title=escape(view.title), body=body, notes=notes))


def _table(view: View) -> str:
    several = any(len(trial.get("scores") or []) > 1 for trial in view.trials)
    header = ["", *(axis.label for axis in view.axes), view.score_label]
    header += ["folds"] if several else []
    rows = []
    for trial in reversed(view.trials):
        settings, score = trial["hyperparameters"], trial["score"]
        cells = [trial["label"] + (" (chosen)" if trial["chosen"] else "")]
        cells += [name(settings[axis.key]) if axis.key in settings else "–" for axis in view.axes]
        cells.append(why(trial) if score is None else view.text(score))
        if several:
            shown = [view.text(one) for one in trial.get("scores") or [] if one is not None]
            cells.append(", ".join(shown))
        inside = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr class="trial" data-trial="{trial["id"]}">{inside}</tr>')
    return _rows(header, rows)


def _winners(winners: Table) -> str:
    rows = [f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in row)}</tr>" for row in winners.rows]
    means = "".join(f"<td>{escape(cell)}</td>" for cell in winners.mean)
    return _rows(winners.header, [*rows, f'<tr class="last">{means}</tr>'])


def _rows(header: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    return '<div class="scroll"><table><tr>' + head + "</tr>\n" + "\n".join(rows) + "</table></div>"
