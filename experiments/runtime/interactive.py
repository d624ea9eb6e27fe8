"""Calls from a notebook or a script: packages that others hide, and Ctrl-C.

The command line is a process of its own; here the process is the caller's, and lives on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.errors import BadInput, Stopped, ask_to_stop, forget_to_stop

HOME = Path(__file__).resolve().parents[2]
PACKAGES = ("models", "pipelines", "tuning")


def check_packages() -> None:
    """See that the suite's packages are found, and no file of the user's that has such a name.

    Raises:
        BadInput: one is hidden; the text names the file.
    """
    for name in PACKAGES:
        module = sys.modules.get(name)
        spec = find_spec(name) if module is None else None
        file = module.__file__ if module else spec and spec.origin
        if file and Path(file).resolve().parent != HOME / name:
            raise BadInput(
                f"{name}: {Path(file).resolve()} hides the suite's package of this name; rename "
                "it, or work in another folder, and start Python anew (in a notebook: restart "
                "the kernel)"
            )


@contextlib.contextmanager
def interactive() -> Iterator[None]:
    """Work for a caller whose process goes on: Ctrl-C leaves what the same call continues.

    Raises:
        BadInput: see `check_packages`.
        KeyboardInterrupt: the work was stopped, and has put away what it had.
    """
    check_packages()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = signal.getsignal(signal.SIGINT)
    heard = threading.current_thread() is threading.main_thread() and before != signal.SIG_IGN
    try:
        if heard:
            signal.signal(signal.SIGINT, _stop)
        yield
    except Stopped:
        raise KeyboardInterrupt("stopped; make the same call to continue") from None
    finally:
        if heard:
            signal.signal(signal.SIGINT, before)
        forget_to_stop()


def _stop(number: int, frame: Any) -> None:
    ask_to_stop()
    raise Stopped
