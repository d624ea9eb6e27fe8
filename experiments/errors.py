"""Input that the user can mend: one line that names the file, key or value, and the fix."""

from __future__ import annotations


class BadInput(ValueError):
    """Wrong input. The command line prints it as one line and exits with 2."""


class FailedWork(RuntimeError):
    """Work that was asked for rightly and went wrong, such as a loss that became NaN."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception, so that no handler takes it for a failed run."""
