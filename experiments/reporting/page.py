"""The report as one HTML file that opens offline, sorts its table, and prints."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from experiments.comparison.caption import marked, part, repeated, title, top5
from experiments.comparison.grouping import Comparison, seeds_in_words
from experiments.comparison.pareto_front import drawable, optimal
from experiments.comparison.plots import pareto_html, pictures, search_front
from experiments.comparison.plots.learning_curves import Curves
from experiments.comparison.table import LEFT, columns_of, legend
from experiments.jobs.composition import in_detail, some_of, unused_in_words
from experiments.presentation.formatting import in_words, percent
from experiments.presentation.html_page import DETAILS, document, inline_svg, paragraphs
from experiments.reporting.caveats import caveats, chosen_by_validation
from experiments.reporting.protocol import sentences

if TYPE_CHECKING:
    from experiments.presentation.columns import CostAxis
    from experiments.reporting.facts import Facts

PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
NUMBER = re.compile(r"<?\s*(-?[\d.]+)(?: ([kMGT])\b)?")


def report_page(comparison: Comparison, facts: Facts, curves: Mapping[str, Curves]) -> str:
    """The whole page. Names and settings are text, whatever they hold."""
    body = [
        paragraphs(_summary(comparison, facts)),
        _section("Results", _table(comparison) + _single_runs(comparison)),
        *([_section("Final networks", _finals(facts))] if facts.finals else []),
        _section("Accuracy against cost", _pareto(comparison)),
        *(
            _section(
                f"Front of the {'nested ' * ('outer' in result)}search {result['name']}",
                _front(result, at),
            )
            for at, result in enumerate(facts.fronts)
            if result["front"]
        ),
        *(
            _section(drawn.heading, f"<figure>{inline_svg(drawn)}\n{DETAILS}</figure>")
            for drawn in pictures.figures(comparison, curves)
        ),
        _section("What was run on what", _facts(comparison, facts)),
        _section("Protocol", _list(sentences(comparison, facts))),
        _section("Caveats", _list(caveats(comparison, facts))),
        _section("To repeat it", _commands(comparison, facts)),
    ]
    return document(title(comparison), "\n".join(body), style=STYLE, script=SCRIPT)


def _summary(comparison: Comparison, facts: Facts) -> list[str]:
    rows, name = comparison.rows, part(comparison)
    n = "configuration" if len(rows) == 1 else "configurations"
    lines = [
        f"{len(rows)} {n}, {facts.runs} runs, on {', '.join(comparison.sources)}; "
        f"{_day(facts.began)} to {_day(facts.ended)}."
    ]
    scored = [row for row in rows if row["top1_mean"] is not None]
    if scored:
        best = max(scored, key=lambda row: row["top1_mean"])
        lines.append(
            f"Highest {name} top-1: {best['name']}, {percent(best, 'top1_mean')} % "
            f"(n = {best['n']} over {repeated(comparison)})."
        )
    chosen = chosen_by_validation(comparison)
    if chosen is not None:
        test = percent(chosen, "top1_mean")
        lines.append(
            f"Chosen by validation: {chosen['name']}, validation {percent(chosen, 'val_top1')} %, "
            f"{f'test {test} %' if test else 'not tested'}."
        )
    on_front = [row["name"] for row in optimal(rows)]
    if on_front:
        lines.append(f"Not dominated in MACs and top-1, cheapest first: {', '.join(on_front)}.")
    return lines


def _table(comparison: Comparison) -> str:
    columns = columns_of(comparison)
    heads = []
    for heading, _, _ in columns:
        text = escape(heading).replace("\n", " <br>") or "●"
        kind = ' class="word"' if heading in LEFT else ""
        heads.append(f'<th scope="col"{kind}><button type="button">{text}</button></th>')
    rows = []
    for row in comparison.rows:
        cells = []
        for heading, _, cell in columns:
            text = cell(row).strip()
            kind = "name word" if heading == "model" else "word" if heading in LEFT else ""
            cells.append(
                f'<td class="{kind}" data-sort="{escape(sort_key(text))}">{escape(text)}</td>'
            )
        kind = ' class="front"' if row["pareto"] else ""
        rows.append(f"<tr{kind}>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table class="sortable" id="results"><thead><tr>{"".join(heads)}</tr>'
        "</thead><tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table></div>\n"
        + '<p class="note screen">Click a column\'s head to sort by it.</p>\n'
        + paragraphs(legend(comparison, [column.heading for column in columns]))
    )


def sort_key(text: str) -> str:
    """What a cell is ordered by: its number without prefix and spread, else its text."""
    if text in ("●", "○"):
        return "01"["●○".index(text)]
    if text in ("", "–"):
        return ""
    number = NUMBER.match(text)
    if number is None or not re.fullmatch(r"[\d.]+", number[1].lstrip("-")):
        return text
    return f"{float(number[1]) * PREFIXES.get(number[2] or '', 1):.12g}"


def _single_runs(comparison: Comparison) -> str:
    """Every value that a mean is made of, and the run that it comes from."""
    rows = [
        (
            row["name"],
            seeds_in_words(value),
            value["fold"] or "",
            100 * value["score"],
            value["run_id"],
        )
        for row in comparison.rows
        if row["top1_mean"] is not None
        for value in row["values"]
    ]
    if not rows:
        return ""
    cells = "\n".join(
        f'<tr><td class="name word">{escape(name)}</td><td>{escape(seed)}</td>'
        f'<td>{escape(fold)}</td><td>{score:.2f}</td><td class="word">{escape(run_id)}</td></tr>'
        for name, seed, fold, score, run_id in rows
    )
    columns = ("model", "seed", "fold", f"{part(comparison)} top-1 %", "MLflow run")
    heads = "".join(
        f'<th scope="col"{kind}>{text}</th>'
        for text, kind in zip(columns, (' class="word"', "", "", "", ' class="word"'), strict=True)
    )
    return (
        f"<details><summary>Every run</summary><table><thead><tr>{heads}</tr></thead>"
        f"<tbody>\n{cells}\n</tbody></table></details>"
    )


def _finals(facts: Facts) -> str:
    """What to expect of networks that are no rows, because nothing is left to test them."""
    return _list(f"{run.name} (run {run.id}): {run.card}" for run in facts.finals)


def _pareto(comparison: Comparison) -> str:
    axes = drawable(comparison.rows)
    if not axes:
        return paragraphs(["No row has both a top-1 and a cost."])
    first, with_top5 = axes[0], drawable(comparison.rows, top5(comparison))
    choices = "\n".join(
        _choice(offered, first) for offered in ((axes, with_top5) if with_top5 else (axes,))
    )
    drawings = {axis.slug: pareto_html.svg(comparison, axis) for axis in (*axes, *with_top5)}
    # in templates: a browser neither draws nor counts them until they are asked for
    kept = "\n".join(
        f'<template data-axis="{slug}">{drawing}</template>' for slug, drawing in drawings.items()
    )
    lines = [
        "Area of a bubble: number of parameters. Line: Pareto front of the axis shown. "
        f"Bars: ± 1 sample standard deviation over {repeated(comparison)}.",
        *(f"{axis.note}." for axis in axes if axis.note),
        *marked(comparison, axes),
    ]
    return (
        f"{choices}\n"
        f'<figure class="stage">{drawings[first.slug]}\n{DETAILS}</figure>\n{kept}\n'
        f"{paragraphs(lines)}"
    )


def _front(result: Mapping[str, Any], at: int) -> str:
    """Of a search for several objectives: the figure, and its members cheapest first."""
    drawn = search_front.draw(result, f"search-{at}")
    figure = f"<figure>{inline_svg(drawn)}\n{DETAILS}</figure>" if drawn else ""
    return figure + _list(search_front.members_in_words(result))


def _choice(axes: Sequence[CostAxis], shown: CostAxis) -> str:
    buttons = "".join(
        f'<button type="button" data-axis="{axis.slug}" '
        f'aria-pressed="{str(axis is shown).lower()}">{escape(axis.title)}</button> '
        for axis in axes
    )
    what = f"{axes[0].ranked} error against"
    return f'<div class="choice" role="group" aria-label="{what}">{what}: {buttons}</div>'


def _facts(comparison: Comparison, facts: Facts) -> str:
    entries: list[tuple[str, str]] = [("Experiments", ", ".join(comparison.experiments))]
    if comparison.where:
        entries.append(("Filters", ", ".join(comparison.where)))
    entries.append(("Rows are", f"runs of level {comparison.level}"))
    if comparison.best_of:
        entries.append(("Chosen by validation", ", ".join(comparison.best_of["keys"])))
    for data in facts.data:
        counts = ", ".join(
            f"{data[name]:,} {name}" for name in ("train", "validation", "test") if data[name]
        )
        entries.append(("Data", f"{data['source']}: {counts} images" if counts else data["source"]))
        if data["class_names"]:
            entries.append(("Classes", some_of(data["class_names"])))
        entries += [("Part", line) for line in in_detail(data["parts"])]
        entries += [("Not used", unused_in_words(**unused)) for unused in data["unused"]]
        entries += [("Read as", note) for note in data["notes"]]
        entries.append(("Fingerprint", str(data["fingerprint"])))
    seeds = sorted({seed for row in comparison.rows for seed in row["seeds"]})
    entries.append(("Seeds", ", ".join(map(str, seeds))))
    labels = {"machine": "Machine", "device": "Device", "precision": "Precision"}
    for key, label in labels.items():
        if facts.tags[key]:
            entries.append((label, "; ".join(facts.tags[key])))
    versions = [f"{package} {' and '.join(v)}" for package, v in facts.versions.items()]
    if facts.tags["python"]:
        versions.insert(0, f"Python {' and '.join(facts.tags['python'])}")
    entries.append(("Versions", ", ".join(versions) or "not recorded"))
    dirty = " (with uncommitted changes)" if "true" in facts.tags["git_dirty"] else ""
    entries.append(("Code", (", ".join(facts.tags["git_commit"]) or "unknown") + dirty))
    entries.append(("Training time", f"{facts.train_seconds / 60:.1f} minutes, all runs together"))
    entries.append(("Varies", ", ".join(comparison.varying) or "nothing but the seed"))
    pairs = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in entries)
    same = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(in_words(value))}</dd>"
        for key, value in facts.settings.items()
    )
    folded = f"<details><summary>Settings that all runs share</summary><dl>{same}</dl></details>"
    return f"<dl>{pairs}</dl>{folded}"


def _commands(comparison: Comparison, facts: Facts) -> str:
    lines = []
    commits = facts.tags["git_commit"]
    if len(commits) == 1 and commits[0] != "unknown":
        lines.append(f"git checkout {commits[0]}")
    lines += [command.words for command in facts.commands]
    names = " ".join(shlex.quote(name) for name in comparison.experiments)
    options = "" if comparison.level == "run" else f" --level {shlex.quote(comparison.level)}"
    options += "".join(f" --where {shlex.quote(text)}" for text in comparison.where)
    options += f" --sort {shlex.quote(comparison.sort)}" if comparison.sort else ""
    chosen = (comparison.best_of or {}).get("keys", ())
    options += "".join(f" --best-of {shlex.quote(key)}" for key in chosen)
    if bench := comparison.bench:
        keys = ("batch", "precision", "side")
        picked = ",".join([bench["experiment"], *(f"{key}={bench[key]}" for key in keys)])
        options += f" --bench {shlex.quote(picked)}"
    lines.append(f"ilsvrc compare {names}{options} --out comparison")
    lines.append(f"ilsvrc report {names}{options} --out report.html")
    shown = escape("\n".join(lines))
    files = "\n".join(
        f"<details><summary>{escape(command.file)}</summary>"
        f"<pre>{escape(command.config or 'no longer in the store')}</pre></details>"
        for command in facts.commands
    )
    return f"<pre>{shown}</pre>\n{files}"


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>\n{content}\n</section>"


def _list(lines: Iterable[str]) -> str:
    texts = (re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(line)) for line in lines)
    return "<ul>" + "\n".join(f"<li>{text}.</li>" for text in texts) + "</ul>"


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


STYLE = """
body { max-width: 1200px } figure { max-width: 1000px }
h2 { font-size: 1.1em; margin: 1.6em 0 .3em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; font-size: .85em; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
th, td { padding: .15em .4em; text-align: right; vertical-align: top; white-space: nowrap }
th { border-bottom: 1px solid #666; vertical-align: bottom }
th button { font: inherit; font-weight: bold; border: 0; background: none; padding: 0;
            cursor: pointer; text-align: inherit }
th[aria-sort=ascending] button::after { content: " ↑" }
th[aria-sort=descending] button::after { content: " ↓" }
.word { text-align: left } td.name { white-space: normal; min-width: 9em }
tr.front { font-weight: bold } tbody tr:nth-child(even) { background: #f6f6f6 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; margin: .3em 0 }
dt { color: #666 } dd { margin: 0; overflow-wrap: anywhere }
pre { background: #f6f6f6; padding: .6em; overflow-x: auto; font-size: .8em; white-space: pre-wrap }
.choice button { font: inherit; font-size: .85em; padding: .1em .7em }
.choice button[aria-pressed=true] { font-weight: bold }
figure { margin: .5em 0 1.2em } li { margin: .15em 0 } summary { cursor: pointer; color: #444 }
@media print {
  body { font-size: 9.5pt; max-width: none; margin: 0; padding: 0 } figure { max-width: none }
  .choice, .details, .screen { display: none } summary { list-style: none }
  h2, summary { break-after: avoid } h2 + * { break-before: avoid }
  figure, tr, dt, dd, li { break-inside: avoid } figure { margin: .4em 0 }
  thead { display: table-header-group }
  .wide { overflow: visible } table { font-size: 6.5pt } th, td { padding: .15em .3em }
  .word, td.name { white-space: normal } td.name { min-width: 9em }
  details { font-size: 7.5pt } details dl { grid-template-columns: repeat(2, max-content 1fr) }
  pre { font-size: 6.5pt } details pre { columns: 3; background: none; padding: 0 }
  @page { margin: 15mm }
}
"""
SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.sort;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");  // without a value: last
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
}
const stage = document.querySelector(".stage");
const draw = slug => {
  const drawing = document.querySelector(`template[data-axis="${slug}"]`);
  stage.querySelector("svg").replaceWith(drawing.content.cloneNode(true));
  for (const button of document.querySelectorAll(".choice button"))
    button.setAttribute("aria-pressed", button.dataset.axis === slug);
};
for (const button of document.querySelectorAll(".choice button"))
  button.addEventListener("click", () => draw(button.dataset.axis));
const opened = [];
addEventListener("beforeprint", () => {  // paper shows every axis, and what is folded up
  let last = stage;
  for (const drawing of document.querySelectorAll("template[data-axis]")) {
    if (stage.querySelector(`svg[data-axis="${drawing.dataset.axis}"]`)) continue;
    const figure = document.createElement("figure");
    figure.className = "printed";
    figure.append(drawing.content.cloneNode(true));
    last.after(figure);
    last = figure;
  }
  for (const fold of document.querySelectorAll("details:not([open])"))
    { fold.open = true; opened.push(fold); }
});
addEventListener("afterprint", () => {
  for (const figure of document.querySelectorAll("figure.printed")) figure.remove();
  while (opened.length) opened.pop().open = false;
});
"""
