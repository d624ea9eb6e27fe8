"""Self-contained pages: one style, one script, no address of anybody's.

A matplotlib figure becomes inline SVG whose marks show their numbers on hover.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from experiments.errors import visible
from experiments.presentation.figure_style import svg_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 1000px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.3em; margin: 0 0 .3em }
svg { width: 100%; height: auto; font-size: 12px }
.grid { stroke: #e4e4e4 } .axis { stroke: #666 } .front { stroke: #999; fill: none }
.leader { stroke: #666; stroke-width: .6 } .bar { stroke-width: 1.2 }
.tick, .label { fill: #222 }
.label { paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-opacity: .85 }
.pareto { font-weight: bold }
.point { stroke-width: 1; cursor: default }
.point:hover, .point:focus { stroke-width: 3; outline: none }
.hover:hover, .hover:focus { opacity: .6; outline: none }
.details { min-height: 3em; font-size: .9em; white-space: pre-line; color: #222 }
.note { font-size: .85em; color: #444; margin: .1em 0 }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself sees to it that the page asks nobody."""
DETAILS = '<div class="details" aria-live="polite">Point at a mark for its numbers.</div>'
"""Goes below a drawing: what the pointer is at."""
SCRIPT = """
const show = event => {
  const mark = event.target.closest && event.target.closest(".point, .hover");
  const titled = mark && mark.querySelector("title");
  if (!titled) return;
  let below = mark.closest("svg").nextElementSibling;
  while (below && !below.classList.contains("details")) below = below.nextElementSibling;
  if (below) below.textContent = titled.textContent;
};
for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, show);
"""


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page; `body`, `style` and `script` are markup, the title is text."""
    return visible(f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}
<script>{SCRIPT}{script}</script>
</body>
</html>
""")


def paragraphs(lines: Iterable[str]) -> str:
    """Texts as small notes."""
    return "\n".join(f'<p class="note">{escape(line)}</p>' for line in lines)


@dataclass(frozen=True)
class Drawn:
    """A figure and what its marks say: texts by the gid of their artist."""

    slug: str
    """in file names and ids"""
    heading: str
    """of its section in a longer page"""
    title: str
    """of a page of its own"""
    figure: Figure
    hovers: Mapping[str, str] = field(default_factory=dict)


def inline_svg(drawn: Drawn) -> str:
    """The figure as an <svg> element; marks with a text are `g.hover` with a <title>."""
    text = svg_text(drawn.figure, drawn.slug)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # the picture's size comes from the page
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)

    def group(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in drawn.hovers:
            title = f"<title>{escape(drawn.hovers[name])}</title>"
            return f'<g id="{name}" class="hover" tabindex="0">{title}'
        return "<g>"  # figure_1, axes_1, ...: several figures in a page would share them

    return re.sub(r'<g id="([^"]+)">', group, text)


def page(drawn: Drawn) -> str:
    """The figure as a self-contained page."""
    return document(drawn.title, f"{inline_svg(drawn)}\n{DETAILS}")
