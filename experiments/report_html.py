"""The report as one HTML file that opens offline, sorts its table, and prints."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from experiments import pareto_html, pictures
from experiments.caption import part, repeated, title
from experiments.caveats import caveats, chosen_by_validation
from experiments.cost_axes import drawable, optimal
from experiments.figure_html import inline_svg
from experiments.grouping import Comparison
from experiments.html_page import DETAILS, document, paragraphs
from experiments.learning_curves import Curves
from experiments.numbers import percent
from experiments.report_protocol import sentences
from experiments.report_style import SCRIPT, STYLE
from experiments.table import LEFT, columns_of, legend
from experiments.wording import in_words

if TYPE_CHECKING:
    from experiments.report import Facts

PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
NUMBER = re.compile(r"<?\s*(-?[\d.]+)(?: ([kMGT])\b)?")
HEADINGS = {
    "timeline": "Beside the winners of ILSVRC",
    "curves": "Learning curves",
    "depth": "Depth against error",
    "ablation": "Ablation",
}


def page(comparison: Comparison, facts: Facts, curves: Mapping[str, Curves]) -> str:
    """The whole page. Names and settings are text, whatever they hold."""
    body = [
        paragraphs(_summary(comparison, facts)),
        _section("Results", _table(comparison) + _single_runs(comparison)),
        _section("Accuracy against cost", _pareto(comparison)),
        *(
            _section(HEADINGS[drawn.slug], f"<figure>{inline_svg(drawn)}\n{DETAILS}</figure>")
            for drawn in pictures.others(comparison, curves)
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
        lines.append(
            f"Chosen by validation: {chosen['name']}, validation {percent(chosen, 'val_top1')} %, "
            f"test {percent(chosen, 'top1_mean') or '?'} %."
        )
    on_front = [row["name"] for row in optimal(rows)]
    if on_front:
        lines.append(f"Not dominated in MACs and top-1, cheapest first: {', '.join(on_front)}.")
    return lines


def _table(comparison: Comparison) -> str:
    columns = columns_of(comparison)
    heads = []
    for header, _, _ in columns:
        text = escape(header).replace("\n", " <br>") or "●"
        kind = ' class="word"' if header in LEFT else ""
        heads.append(f'<th scope="col"{kind}><button type="button">{text}</button></th>')
    rows = []
    for row in comparison.rows:
        cells = []
        for header, _, cell in columns:
            text = cell(row).strip()
            kind = "name word" if header == "model" else "word" if header in LEFT else ""
            cells.append(
                f'<td class="{kind}" data-sort="{escape(sort_key(text))}">{escape(text)}</td>'
            )
        kind = ' class="front"' if row["pareto"] else ""
        rows.append(f"<tr{kind}>{''.join(cells)}</tr>")
    headers = [header for header, _, _ in columns]
    return (
        f'<div class="wide"><table class="sortable" id="results"><thead><tr>{"".join(heads)}</tr>'
        "</thead><tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table></div>\n"
        + '<p class="note screen">Click a column\'s head to sort by it.</p>\n'
        + paragraphs(legend(comparison, headers))
    )


def sort_key(text: str) -> str:
    """What a cell is ordered by: its number without prefix and spread, else its text."""
    if text in ("●", "○"):
        return "01"["●○".index(text)]
    if text in ("", "–"):
        return ""
    found = NUMBER.match(text)
    if found is None or not re.fullmatch(r"[\d.]+", found[1].lstrip("-")):
        return text
    return f"{float(found[1]) * PREFIXES.get(found[2] or '', 1):.12g}"


def _single_runs(comparison: Comparison) -> str:
    """Every value that a mean is made of, and the run that it comes from."""
    rows = [
        (row["name"], value["seed"], value["fold"] or "", 100 * value["score"], value["run_id"])
        for row in comparison.rows
        if row["top1_mean"] is not None
        for value in row["values"]
    ]
    if not rows:
        return ""
    cells = "\n".join(
        f'<tr><td class="name word">{escape(name)}</td><td>{escape(str(seed))}</td>'
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


def _pareto(comparison: Comparison) -> str:
    axes = drawable(comparison.rows)
    if not axes:
        return paragraphs(["No row has both a top-1 and a cost."])
    first = axes[0]
    buttons = "".join(
        f'<button type="button" data-axis="{axis.slug}" '
        f'aria-pressed="{str(axis is first).lower()}">{escape(axis.title)}</button> '
        for axis in axes
    )
    drawings = {axis.slug: pareto_html.svg(comparison, axis) for axis in axes}
    # in templates: a browser neither draws nor counts them until they are asked for
    kept = "\n".join(
        f'<template data-axis="{slug}">{drawing}</template>' for slug, drawing in drawings.items()
    )
    lines = [
        "Area of a bubble: number of parameters. Line: Pareto front of the axis shown. "
        f"Bars: ± 1 sample standard deviation over {repeated(comparison)}.",
        *(f"{axis.note}." for axis in axes if axis.note),
    ]
    return (
        f'<div class="choice" role="group" aria-label="Cost">{buttons}</div>\n'
        f'<figure class="stage">{drawings[first.slug]}\n{DETAILS}</figure>\n{kept}\n'
        f"{paragraphs(lines)}"
    )


def _facts(comparison: Comparison, facts: Facts) -> str:
    entries: list[tuple[str, str]] = [("Experiments", ", ".join(comparison.experiments))]
    if comparison.where:
        entries.append(("Filters", ", ".join(comparison.where)))
    entries.append(("Rows are", f"runs of level {comparison.level}"))
    for data in facts.data:
        counts = ", ".join(
            f"{data[name]:,} {name}" for name in ("train", "validation", "test") if data[name]
        )
        entries.append(("Data", f"{data['source']}: {counts} images" if counts else data["source"]))
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
