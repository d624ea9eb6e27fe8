"""Calls to a tracking server, made in order by one thread: training never waits for a server.

A server that is away is knocked at until it answers; what waits here meanwhile is small, because
the journal holds the rest (`experiments.tracking.delivery`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from experiments.errors import first_line, kind_and_first_line

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0  # seconds between knocks at a server that is away
ATTEMPTS = 5  # at a call that a server which answers does not take
PATIENCE = 10.0  # seconds that the end of a command waits for a server that is away
SLOWEST_CALL = 600.0  # and for one that is there: the upload of a large network
PERMANENT = {
    "BAD_REQUEST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST",
}  # fmt: skip


class Outbox:
    """A queue of calls and the thread that makes them.

    Args:
        answers: a quick look whether the server is there.
        say: hears a line when the server goes, and one when it is back.
        server, returns: how lines name it, and its coming back; a file answers nobody.
    """

    def __init__(
        self,
        answers: Callable[[], bool],
        say: Callable[[str], None],
        server: str = "the server",
        returns: str = "answers again",
    ):
        self.server, self.returns = server, returns
        self.down = False
        """The last call failed, and none has succeeded since."""
        self.missed = 0
        """Calls that were given up."""
        self._answers, self._say = answers, say
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._finished = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        """Calls that are not done."""
        return len(self._waiting)

    def put(self, call: Callable[[], None]) -> None:
        """Queue a call. It may be made again after a failure, so it must be idempotent."""
        with self._changed:
            self._waiting.append(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self, patience: float = PATIENCE) -> bool:
        """Wait until all is sent, then end the thread. True if nothing was left or given up.

        A server that has been away for `patience` seconds, or has taken nothing for
        `SLOWEST_CALL`, is waited for no longer.
        """
        with self._changed:
            done, since = self._finished, time.monotonic()
            while self._waiting:
                if self._finished != done:
                    done, since = self._finished, time.monotonic()
                if time.monotonic() - since > (patience if self.down else SLOWEST_CALL):
                    break
                self._changed.wait(0.1)
            self.missed += len(self._waiting)
            self._waiting.clear()
            self._closed.set()
            self._changed.notify_all()
        return self.missed == 0

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed.is_set():
                    self._changed.wait()
                if self._closed.is_set():
                    return
                call = self._waiting[0]
            taken = self._make(call)
            with self._changed:
                if self._closed.is_set():
                    return
                self._waiting.popleft()
                self._finished += 1
                self.missed += not taken
                self._changed.notify_all()

    def _make(self, call: Callable[[], None]) -> bool:
        """Make a call until the server takes it; False if it never will."""
        from mlflow.exceptions import MlflowException

        attempts, pause = 0, FIRST_PAUSE
        while not self._closed.is_set():
            try:
                call()
                if self.down:
                    self._say(f"tracking: {self.server} {self.returns}; sending what it missed")
                self.down = False
                return True
            except (MlflowException, OSError) as error:
                attempts += 1
                hopeless = isinstance(error, FileNotFoundError) or attempts >= ATTEMPTS
                if hopeless or getattr(error, "error_code", "") in PERMANENT:
                    self._say(f"tracking failed ({first_line(error)}); the journal has it")
                    return False
                if not self.down:
                    self._say(
                        f"tracking failed ({first_line(error)}); training goes on, and what "
                        f"{self.server} misses is sent when it {self.returns}"
                    )
                self.down = True
            except Exception as error:  # a thread that died would leave the rest unsent
                self._say(f"tracking failed ({kind_and_first_line(error)}); the journal has it")
                return False
            self._closed.wait(pause)
            while not self._closed.is_set() and not self._answers():
                attempts = 0
                pause = min(2 * pause, LONGEST_PAUSE)
                self._closed.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return False
