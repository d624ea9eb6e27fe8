"""Scripts on a Keras backend of their own, in processes: it is chosen when Keras is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def start(
    backend: str, *words: str | Path, devices: int = 1, **environ: str
) -> subprocess.Popen[str]:
    """`python WORDS...`, on processors alone.

    Args:
        backend: for KERAS_BACKEND.
        words: a script and its arguments.
        devices: virtual ones, of JAX.
        environ: what else is set.
    """
    settled = {
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # networks compile in half the time
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=os.environ | settled | environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(processes: Iterable[subprocess.Popen[str]], seconds: float = 500) -> None:
    """Wait for scripts, each of which must end well; none outlives a failure."""
    running = list(processes)
    try:
        for process in running:
            said, _ = process.communicate(timeout=seconds)
            assert process.returncode == 0, said[-3000:]
    finally:
        for process in running:
            process.kill()
            process.wait()
