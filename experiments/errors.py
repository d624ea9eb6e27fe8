"""Input that the user can mend: one line that names the file, key or value, and the fix."""

from __future__ import annotations

import re

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
LONGEST = 4000  # characters of a text for people


class BadInput(ValueError):
    """Wrong input. The command line prints it as one line and exits with 2.

    The text repeats what was received, names of files included: line ends and what a terminal
    would take for a command are escaped in it.
    """

    def __init__(self, text: str = ""):
        shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
        super().__init__(UNPRINTABLE.sub(_escaped, shown))


class FailedWork(RuntimeError):
    """Work that was asked for rightly and went wrong, such as a loss that became NaN."""


def _escaped(found: re.Match[str]) -> str:
    return found.group().encode("unicode_escape").decode("ascii")


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception, so that no handler takes it for a failed run.

    Its text, if any, says what became of the work; else the same command continues it.
    """


_asked = False


def ask_to_stop() -> None:
    """Remember that a signal asked for the end: an exception that a handler raises inside a
    finaliser or a weak reference's callback is printed and lost by Python."""
    global _asked
    _asked = True


def asked_to_stop() -> bool:
    """Has a signal asked for the end?"""
    return _asked


def stop_if_asked() -> None:
    """Raise Stopped if a signal has asked for it. Called between updates and between fits."""
    if _asked:
        raise Stopped
