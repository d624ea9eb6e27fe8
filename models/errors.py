"""What can be wrong with a request for a network.

All are ValueErrors, the input and not the work, but for what could not be fetched.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownModel(ValueError):
    """No network is registered under this name."""


class UnknownOption(ValueError):
    """The network has no option of this name."""


class InvalidOption(ValueError):
    """The network has this option, but it does not take this value."""


class InputTooSmall(ValueError):
    """The network's strides and windows use up an image of this size."""


class WeightsUnavailable(OSError):
    """Published weights could not be fetched: no connection, or a damaged file."""


def nearest(word: str, words: Iterable[str], count: int = 5) -> list[str]:
    """The `words` most like `word`: those that contain it or lie in it, then by spelling."""
    words = list(words)
    lowered = word.lower()
    contained = [w for w in words if lowered and (lowered in w.lower() or w.lower() in lowered)]
    spelled = difflib.get_close_matches(lowered, words, n=count, cutoff=0.6)
    return list(dict.fromkeys([*contained, *spelled]))[:count]
