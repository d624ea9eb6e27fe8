"""What the user can mend, what failed, and being asked to stop; how an error reads in one line."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable

CREDENTIAL = r"pwd|\w*passw(?:or)?d|\w*secret\w*|[\w-]*api[_-]?key"
IN_QUERY = r"\w*token|\w*_key|key|sig|signature"
VALUE = r"(?:\{[^}]*\}|[^&;\s'\"}]+)"
SECRETS = tuple(
    (re.compile(pattern, re.IGNORECASE), instead)
    for pattern, instead in (
        # greedy: a password may hold / and @, and a few spaces; a path has lost one of the slashes
        (r"(https?://?|://)[^\s:/@'\"]*:\S*(?: \S+){1,3}@", r"\1"),
        (r"(https?://?|://)\S*@", r"\1"),
        (r"(odbc_connect=)[^&\s'\"]+", r"\1..."),
        (r"\b(bearer|basic) +[\w.~+/=-]+", r"\1 ..."),
        (rf"((?<![\w-])(?:{CREDENTIAL})['\"]?(?:=|: ?|%3d)['\"]?){VALUE}", r"\1..."),
        (rf"([?&;](?:{IN_QUERY})=){VALUE}", r"\1..."),
    )
)
"""What is not repeated, and what stands in its place."""


def shown(text: str) -> str:
    """A URI, or a text with URIs and headers in it, without passwords, keys and tokens."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def first_line(error: BaseException) -> str:
    """What went wrong, in one line without passwords."""
    from pipelines import errors  # loads NumPy, which `--help` does without

    return shown(errors.first_line(error))


def kind_and_first_line(error: BaseException) -> str:
    """The same of an error that nobody expected, behind the name of its class."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
LIBRARIES_OF_STORES = {"mlflow", "sqlalchemy"}


def of_surroundings(error: Exception) -> str | None:
    """One line of a disk without room or a store that fails; None of an error of the suite."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'a file'}: cannot be written ({error.strerror})"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{error.filename}: longer than names of files may be"
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if libraries & LIBRARIES_OF_STORES:
        return f"tracking: the store does not work: {first_line(error)}"
    return None


def nearest(word: str, known: Iterable[str], count: int = 3, cutoff: float = 0.4) -> str:
    """The known words most like this one, joined by commas; empty where none is like it.

    Args:
        cutoff: least likeness, from 0 to 1, as of `difflib.get_close_matches`.
    """
    return ", ".join(difflib.get_close_matches(word, list(known), count, cutoff))


UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
COMMANDING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 4000  # characters of a text for people


class BadInput(ValueError):
    """Wrong input. The command line prints it as one line and exits with 2.

    The text repeats what was received, names of files included: line ends and what a terminal
    would take for a command are escaped in it.
    """

    def __init__(self, text: str = ""):
        cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
        super().__init__(UNPRINTABLE.sub(_escaped, cut))


class FailedWork(RuntimeError):
    """Work that was asked for rightly and went wrong, such as a loss that became NaN."""


def visible(text: str) -> str:
    """Lines of text in which what a terminal takes for a command is an escape: \\x1b for ESC."""
    return COMMANDING.sub(_escaped, text)


def _escaped(character: re.Match[str]) -> str:
    return character.group().encode("unicode_escape").decode("ascii")


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


def forget_to_stop() -> None:
    """The work that was to end has ended, and this process goes on."""
    global _asked
    _asked = False


def asked_to_stop() -> bool:
    """Has a signal asked for the end?"""
    return _asked


def stop_if_asked() -> None:
    """Raise Stopped if a signal has asked for it. Called between updates and between fits."""
    if _asked:
        raise Stopped
