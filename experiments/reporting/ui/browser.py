"""A browser without a window, driven over a pipe: open a page, wait for it, take its picture.

Chromium's remote protocol over two pipes (`--remote-debugging-pipe`): JSON documents that end in a
zero byte, read by the browser from descriptor 3 and written to 4. No port is opened.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.errors import FailedWork

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
    # a mouse, as on a desk: without one pages keep toolbars open that wait for the pointer
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,"
    "availablePointerTypes=4",
)  # fmt: skip
SECONDS = 120.0
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """The path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Tab:
    """One page of a running browser."""

    def __init__(self, reading: int, writing: int):
        self._reading, self._writing = reading, writing
        self._rest, self._number, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser for something, and wait for its answer.

        Raises:
            FailedWork: it refused, ended, or took more than SECONDS.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        with contextlib.suppress(BrokenPipeError):
            os.write(self._writing, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self._next(deadline)
            if answer.get("id") != self._number:
                continue  # an event
            if "error" in answer:
                raise FailedWork(f"the browser refused {method}: {answer['error']['message']}")
            result: dict[str, Any] = answer["result"]
            return result

    def open(self, address: str, size: tuple[int, int], ready: str) -> None:
        """Load an address in a window of this size and wait until `ready`, an expression, holds.

        Raises:
            FailedWork: it does not within SECONDS.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=size[0], height=size[1], deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + SECONDS
        while not self.evaluate(f"Boolean({ready})"):
            if time.monotonic() > deadline:
                raise FailedWork(f"the browser's page was not ready within {SECONDS:.0f} s")
            time.sleep(0.1)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; None where it threw."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def picture(self) -> bytes:
        """PNG of the window."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select(
                [self._reading], [], [], max(0, deadline - time.monotonic())
            )
            if not ready:
                raise FailedWork(f"the browser did not answer within {SECONDS:.0f} s")
            piece = os.read(self._reading, 1 << 20)
            if not piece:
                raise FailedWork("the browser ended by itself")
            self._rest += piece
        whole, _, self._rest = self._rest.partition(b"\0")
        document: dict[str, Any] = json.loads(whole)
        return document


@contextlib.contextmanager
def tab(browser: str, flags: Sequence[str] = ()) -> Iterator[Tab]:
    """A browser with one page; it is ended and its profile removed afterwards."""
    to_browser, from_browser = os.pipe(), os.pipe()
    ours, theirs = (from_browser[0], to_browser[1]), (to_browser[0], from_browser[1])
    with tempfile.TemporaryDirectory(
        prefix="ilsvrc-browser-", ignore_cleanup_errors=True
    ) as profile:
        command = [sys.executable, "-c", LAUNCH, *map(str, theirs), browser, *FLAGS, *flags]
        command += [f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        process = subprocess.Popen(  # nosec B603  # the browser that was found or named, no shell
            command, pass_fds=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            for end in theirs:
                os.close(end)
            yield Tab(*ours)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for end in ours:
                os.close(end)
