"""One look for all figures: colours that everybody can tell apart, thin frames, print quality."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.errors import visible
from experiments.presentation.fonts import cover
from experiments.presentation.label_placement import Box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

DPI = 200
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, LINE, FRONT, GRID, PALE = "#222222", "#666666", "#999999", "#E4E4E4", "#C8C8C8"
CAPTION_LINE = 0.16  # inches
LABEL = 7.0  # points


def new_figure(
    width: float,
    height: float,
    dpi: float = DPI,
    layout: Literal["constrained", "tight"] | None = None,
) -> Figure:
    """An empty white figure, in inches, on a canvas that can measure its texts.

    From here on this process draws a `$` as a `$`: names are never mathematics. (Ticks get their
    texts when a figure is drawn, so the figure alone cannot be told.)
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams["text.parse_math"] = False
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Two thin spines, a pale grid behind the marks."""
    axes.grid(True, axis=grid, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, color=LINE, labelcolor=INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)


def label_axes(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across, fontsize=9.5, color=INK)
    axes.set_ylabel(up, fontsize=9.5, color=INK)


def caption_below(figure: Figure, lines: Sequence[str], left: float = 0.085) -> float:
    """Write lines at the foot, wrapped to the width; the height that they take, in figure units."""
    width, height = figure.get_size_inches()
    wrapped = "\n".join(textwrap.fill(line, int(16.5 * width)) for line in lines if line)
    figure.text(left, 0.12 / height, wrapped, fontsize=7.2, color="#444444", linespacing=1.45)
    return float(0.12 + CAPTION_LINE * (wrapped.count("\n") + 1)) / float(height)


def heading(figure: Figure, text: str, left: float = 0.085) -> None:
    width, height = figure.get_size_inches()
    figure.text(
        left, 1 - 0.25 / height, cut(text, int(12 * width)), fontsize=11, weight="bold", color=INK
    )


def title_above(figure: Figure, text: str) -> None:
    """In lines as wide as the figure. (Matplotlib's own wrapping takes a `$` for mathematics.)"""
    letters = int(14 * figure.get_figwidth())
    figure.suptitle(textwrap.fill(text, letters), fontsize=8.5, color=INK)


def cut(name: str, width: int) -> str:
    """A name in one line of so many letters at most."""
    return name if len(name) <= width else f"{name[: width - 3].rstrip()}..."


def wrapped(name: str, width: int = 26, lines: int = 3) -> str:
    """A name for a label: so many lines at most."""
    words = " ".join(cut(word, width) for word in name.split(" "))
    return "\n".join(textwrap.wrap(words, width, max_lines=lines, placeholder=" ...") or [name])


def size_of(figure: Figure, text: Text) -> tuple[float, float]:
    """Width and height of a text in pixels."""
    cover([text])
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]  # Agg has one
    extent = text.get_window_extent(renderer)
    return float(extent.width), float(extent.height)


def with_halo(text: Text) -> Text:
    """A white rim, so that a line behind the text does not cut its letters."""
    from matplotlib import patheffects

    text.set_path_effects([patheffects.withStroke(linewidth=1.8, foreground="white", alpha=0.85)])
    return text


def move(figure: Figure, text: Text, box: Box) -> None:
    """Put a text (aligned left and bottom) into a box given in pixels.

    In figure units: pixels would differ in an SVG, which has 72 of them in an inch.
    """
    text.set_transform(figure.transFigure)
    text.set_position((box.left / figure.bbox.width, box.bottom / figure.bbox.height))


def line_between(
    figure: Figure, axes: Axes, ends: tuple[float, float, float, float], colour: str = LINE
) -> None:
    """A hair line between two points given in pixels, such as from a mark to its label."""
    width, height = figure.bbox.width, figure.bbox.height
    axes.plot(
        [ends[0] / width, ends[2] / width],
        [ends[1] / height, ends[3] / height],
        color=colour,
        linewidth=0.5,
        transform=figure.transFigure,
        zorder=2.5,
        clip_on=False,
        scalex=False,
        scaley=False,
    )


def save(figure: Figure, stem: Path) -> list[Path]:
    """STEM.png and STEM.svg; the same figure gives the same bytes."""
    png, svg = stem.with_suffix(".png"), stem.with_suffix(".svg")
    save_picture(figure, png)
    svg.write_text(svg_text(figure, "ilsvrc"), encoding="utf-8")
    return [png, svg]


def save_picture(figure: Figure, path: Path) -> None:
    """In the format that the file's name ends in."""
    _write(figure, path)


def svg_text(figure: Figure, salt: str) -> str:
    """The figure as an SVG file, without the date and addresses that matplotlib would add.

    Args:
        salt: of the ids in it, which two drawings in one page must not share.
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": salt}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        _write(figure, file, format="svg", metadata=metadata)
    return visible(file.getvalue())  # XML has no control characters, not in comments either


def _write(figure: Figure, file: Path | io.StringIO, **how: Any) -> None:
    from matplotlib.text import Text

    for axes in figure.axes:  # ticks get their texts by this
        axes.get_xticklabels()
        axes.get_yticklabels()
    cover(figure.findobj(Text))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph ")  # said by `cover`, once
        figure.savefig(file, **how)
