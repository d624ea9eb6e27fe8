"""Input that the user can mend: one line that names the file, key or value, and the fix."""

from __future__ import annotations


class BadInput(ValueError):
    """Wrong input. The command line prints it as one line and exits with 2."""


class FailedWork(RuntimeError):
    """Work that was asked for rightly and went wrong, such as a loss that became NaN."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception, so that no handler takes it for a failed run."""


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
