"""Letters that the usual font lacks, from the fonts that are installed, each where it serves."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from experiments.errors import visible

if TYPE_CHECKING:
    from matplotlib.font_manager import FontEntry
    from matplotlib.text import Text


def cover(texts: Iterable[Text]) -> None:
    """Give each text fonts that have its letters, and escapes for its control characters.

    Letters that no font has stay boxes; a warning says so once.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    usual = get_font(findfont(FontProperties()))
    for text in texts:
        text.set_text(legible(text.get_text()))
        lacking = {x for x in text.get_text() if x != "\n" and not usual.get_char_index(ord(x))}
        if lacking:
            families = [*text.get_fontfamily(), *_families(frozenset(lacking))]
            text.set_fontfamily(list(dict.fromkeys(families)))


def legible(text: str) -> str:
    """With escapes for control characters, and letters composed.

    A font may have a letter and not its parts, which macOS keeps in names of files.
    """
    return visible(unicodedata.normalize("NFC", text))


@cache
def _families(letters: frozenset[str]) -> tuple[str, ...]:
    """Names of fonts that have these letters together, as far as installed ones do."""
    from matplotlib.font_manager import get_font

    lacking, families = set(letters), []
    for entry in _installed():
        font = get_font(entry.fname)
        if drawn := {letter for letter in lacking if font.get_char_index(ord(letter))}:
            families.append(entry.name)
            lacking -= drawn
        if not lacking:
            break
    else:
        _say_boxes()
    return tuple(families)


@cache
def _installed() -> list[FontEntry]:
    """Upright fonts of the usual weight, those without serifs first."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    known = {entry.fname for entry in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:  # installed since matplotlib made its list
            with suppress(OSError, RuntimeError, NotImplementedError):  # coloured ones of bitmaps
                fontManager.addfont(path)
    upright = [
        entry
        for entry in fontManager.ttflist
        if entry.style == "normal"
        and str(entry.weight) in ("400", "normal", "regular")
        and not entry.name.startswith("Last Resort")  # boxes, for every letter there is
    ]
    return sorted(upright, key=lambda entry: ("Sans" not in entry.name, entry.name))


@cache
def _say_boxes() -> None:
    warnings.warn(
        "some names in the pictures have letters that no installed font has, drawn as boxes; "
        "install one that has them, such as Noto Sans CJK (Debian, Ubuntu: fonts-noto-cjk; all "
        "scripts: fonts-noto-core)",
        stacklevel=1,
    )
