"""A process of a bench: a worker of this suite that is told and heard line by line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from experiments.errors import FailedWork, stop_if_asked
from experiments.runtime import parent


class KilledBySystem(FailedWork):
    """A process that was ended from outside, as systems do that have no memory left."""


class BenchProcess:
    """`python -m MODULE JOB`, started at once; killed where its `with` or this process ends.

    Args:
        module: of this suite.
        job: what it is to do, as JSON on its command line.
        folder: that it works in; None: this one's.
        backend: of Keras, in it; None: as here.
    """

    def __init__(
        self,
        module: str,
        job: Mapping[str, Any],
        folder: Path | None = None,
        backend: str | None = None,
    ):
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": parent.search_path()}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(  # nosec B603  # a worker of this suite, no shell
            parent.command(module, json.dumps(job)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=folder,
            env=os.environ | environment | ({"KERAS_BACKEND": backend} if backend else {}),
        )

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `hear` says why it is no longer there
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def hear(self) -> str:
        """Its next line; empty once it has ended well.

        Raises:
            KilledBySystem: it was killed.
            FailedWork: it failed, and why.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        stop_if_asked()
        if line:
            return line
        code = self._process.wait()
        if code == -9:
            raise KilledBySystem("its process was killed; out of memory?")
        if code:
            self._errors.seek(0)
            *_, said = [f"exit code {code}", *self._errors.read().strip().splitlines()]
            prefix = f"{FailedWork.__module__}.{FailedWork.__name__}: "
            raise FailedWork(
                said.removeprefix(prefix) if prefix in said else f"its process failed: {said}"
            )
        return ""

    def answer(self) -> Any:
        """Its next line, JSON, which must come. Raises as `hear`."""
        if line := self.hear():
            return json.loads(line)
        raise FailedWork("its process ended before its time")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()
