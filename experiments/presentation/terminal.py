"""What rich draws, with everything in it that came from outside as letters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from experiments.errors import visible


class Terminal(Console):
    """A console on which names are neither markup nor emoji codes nor commands to a terminal."""

    def __init__(self, **how: Any):
        super().__init__(highlight=False, markup=False, emoji=False, **how)

    def render_str(self, text: str, **how: Any) -> Text:
        """Cells are measured as they will be shown."""
        return super().render_str(visible(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """And what is rich's own text already is cleaned on its way out."""
        for segment in super().render(renderable, options):
            if segment.control:  # rich's own, such as moving up to draw a bar again
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)
