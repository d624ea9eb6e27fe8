"""The command line: words in, one call into a room, answers out."""

from experiments.cli.commands import app, main

__all__ = ["app", "main"]
