"""Ports for servers that the tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket

# Below those that systems hand out by themselves (Linux from 32768, macOS from 49152): one that is
# free stays so until its server takes it, unless somebody else wants this very number.
LOWEST, HIGHEST = 20_000, 32_000

_ports = itertools.cycle(range(LOWEST, HIGHEST))

for _ in range(random.Random(os.urandom(8)).randrange(HIGHEST - LOWEST)):
    next(_ports)  # another process of the tests begins elsewhere


def free_port() -> int:
    """One where nobody listens, and which this process has not named lately."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("the ports go round")
