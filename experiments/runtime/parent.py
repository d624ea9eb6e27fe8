"""A process that ends when the one that started it does, however that ends (kill -9 included).

`python -m experiments.runtime.parent PID MODULE [ARGUMENT]...` runs a module as a child of PID.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

LOOK_SECONDS = 0.5


def end_after(until_it_ended: Callable[[], object]) -> None:
    """End this process, and the group that it leads, once the call returns; it waits in a thread.

    At once: what must survive that is written under another name and renamed, as snapshots are.
    """

    def follow() -> None:
        until_it_ended()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=follow, name="parent", daemon=True).start()


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a module that ends with this process."""
    words = [sys.executable, "-m", "experiments.runtime.parent", str(os.getpid())]
    return [*words, module, *arguments]


def search_path() -> str:
    """PYTHONPATH on which a process finds this suite, in whatever folder it starts."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))


def _until_another_is_parent(pid: int) -> None:
    while os.getppid() == pid:
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    parent = int(sys.argv[1])
    sys.argv = sys.argv[2:]
    end_after(lambda: _until_another_is_parent(parent))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
