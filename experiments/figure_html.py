"""A matplotlib figure inside a page: inline SVG whose marks show their numbers on hover."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from experiments.figure_style import SVG_METADATA
from experiments.html_page import DETAILS, document

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawn:
    """A figure and what its marks say: texts by the gid of their artist."""

    slug: str
    """in file names and ids"""
    title: str
    figure: Figure
    hovers: Mapping[str, str] = field(default_factory=dict)


def inline_svg(drawn: Drawn) -> str:
    """The figure as an <svg> element; marks with a text are `g.hover` with a <title>."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": drawn.slug}):
        drawn.figure.savefig(file, format="svg", metadata=dict.fromkeys(SVG_METADATA))
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # the picture's size comes from the page
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)

    def group(found: re.Match[str]) -> str:
        name = found.group(1)
        if name in drawn.hovers:
            title = f"<title>{escape(drawn.hovers[name])}</title>"
            return f'<g id="{name}" class="hover" tabindex="0">{title}'
        return "<g>"  # figure_1, axes_1, ...: several figures in a page would share them

    return re.sub(r'<g id="([^"]+)">', group, text)


def page(drawn: Drawn) -> str:
    """The figure as a self-contained page."""
    return document(drawn.title, f"{inline_svg(drawn)}\n{DETAILS}")
