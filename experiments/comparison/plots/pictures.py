"""Every picture of a comparison that applies, as files: PNG and SVG for print, HTML to point at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from experiments.comparison.caption import top5
from experiments.comparison.grouping import Comparison
from experiments.comparison.pareto_front import drawable
from experiments.comparison.plots import (
    ablation_bars,
    depth,
    differences,
    learning_curves,
    timeline,
)
from experiments.comparison.plots.learning_curves import Curves
from experiments.presentation.columns import MACS
from experiments.presentation.html_page import Drawn


def write(comparison: Comparison, out: Path, curves: Mapping[str, Curves]) -> list[Path]:
    """pareto.{png,svg,html} always; of the other costs, of top-5 error (pareto_top5, ...) and of
    the other figures what the rows allow.

    Raises:
        OSError: a file cannot be written.
    """
    from experiments.comparison.plots import pareto, pareto_html
    from experiments.presentation import figure_style, html_page

    written: list[Path] = []
    costs = [MACS, *(axis for axis in drawable(comparison.rows) if axis != MACS)]
    for axis in [*costs, *drawable(comparison.rows, top5(comparison))]:
        written += pareto.pareto(comparison, out / axis.stem, axis)
        page = out / f"{axis.stem}.html"
        page.write_text(pareto_html.page(comparison, axis), encoding="utf-8")
        written.append(page)
    for drawn in figures(comparison, curves):
        written += figure_style.save(drawn.figure, out / drawn.slug)
        page = out / f"{drawn.slug}.html"
        page.write_text(html_page.page(drawn), encoding="utf-8")
        written.append(page)
    return written


def figures(comparison: Comparison, curves: Mapping[str, Curves]) -> list[Drawn]:
    """The figures besides accuracy against cost that the rows allow, in the report's order.

    Each file here draws one and says what it is called; files and report take it from this list.
    """
    drawn = [
        differences.draw(comparison),
        timeline.draw(comparison),
        learning_curves.draw(comparison, curves),
        depth.draw(comparison),
        ablation_bars.draw(comparison),
    ]
    return [one for one in drawn if one is not None]
