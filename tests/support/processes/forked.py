"""Processes that begin with the libraries loaded, which takes seconds otherwise.

They are forked from a server in which TensorFlow is imported and nothing has been computed.
"""

from __future__ import annotations

import multiprocessing as mp
from multiprocessing.context import ForkServerContext

from experiments.runtime.startup import load_tensorflow

LIBRARIES = ["experiments.training.trainer", "pipelines.build", "pandas", "pyarrow.parquet"]
"""Not of `tests/support`: the server has no other path than Python's own."""

_context = mp.get_context("forkserver")


def context() -> ForkServerContext:
    """To start them with; the tests of one process share its server."""
    load_tensorflow()  # settles the environment that the server takes over
    _context.set_forkserver_preload(LIBRARIES)
    return _context
