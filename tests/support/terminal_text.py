"""What a terminal of a given width shows of tables."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console


def shown(*parts: Any, width: int = 200, markup: bool = True) -> str:
    """The text of these tables and lines, one below the other."""
    text = io.StringIO()
    console = Console(file=text, width=width, markup=markup)
    for part in parts:
        console.print(part)
    return text.getvalue()
