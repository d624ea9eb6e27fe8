"""What several hosts that train one network tell each other: what the first knows, and when to end.

All that is here is a collective: every host calls it, in the same order, between the same updates.
A host alone has nothing to tell, and nothing is computed for it.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import BadInput, FailedWork, Stopped, ask_to_stop
from experiments.runtime.devices import Devices

SECONDS = 1.0  # between the questions whether anyone is to end
CHUNK = 1 << 26  # bytes of a file that are under way at a time
AGAIN = "give the same command on every host to continue"

_BY_OTHERS = re.compile(  # what TensorFlow, JAX, Gloo and NCCL call it when a host has gone
    r"unavailable|aborted|collective|coordination|gloo|nccl|connection|heartbeat|deadline", re.I
)

_wished = False
_settled = False


def wish_to_stop() -> None:
    """Remember that a signal has asked this host for the end, which all are to come to together."""
    global _wished
    _wished = True


def wished() -> bool:
    """Has a signal asked this host for the end?"""
    return _wished


class Accord:
    """Brings all hosts to their end at the same batch, whichever of them was asked for it.

    About once a second they ask each other. A clock would have each of them ask at another batch,
    so the batches to the next question follow from what a batch took, on average over the hosts.
    """

    def __init__(self, devices: Devices):
        self._devices = devices
        self._every = self._left = 1
        self._since = time.perf_counter()

    @property
    def alone(self) -> bool:
        return self._devices.processes == 1

    def due(self) -> bool:
        """Hear of a batch that was computed; do all hosts ask each other after it?"""
        if self.alone:
            return False
        self._left -= 1
        return self._left == 0

    def settle(self) -> None:
        """Ask for the end here, if any host was asked for it."""
        global _settled
        seconds = (time.perf_counter() - self._since) / self._every
        wishes, seconds = _mean(self._devices, [float(_wished), seconds])
        if wishes > 0:
            _settled = True
            ask_to_stop()
        self._every = self._left = int(np.clip(SECONDS / seconds, 1, 1000))
        self._since = time.perf_counter()


@contextlib.contextmanager
def together(devices: Devices) -> Iterator[None]:
    """The work of a host among several, which leaves them in good order when it is done.

    Raises:
        FailedWork: another host has gone, or was asked to end.
    """
    if devices.processes == 1:
        yield
        return
    try:
        yield
    except Stopped:
        if _settled:  # else by a second Ctrl-C, from somebody who will not wait
            _leave(devices)
        if _wished:
            raise
        raise FailedWork(f"another host was asked to stop; {AGAIN}") from None
    except (BadInput, FailedWork):
        raise
    except Exception as error:
        lines = [*str(error).splitlines(), type(error).__name__]
        reasons = [
            line.strip(" :\t") for line in lines if _BY_OTHERS.search(line) and "node " not in line
        ]
        if not reasons:
            raise
        raise FailedWork(f"another host has gone; {AGAIN} ({reasons[0][:200]})") from error
    else:
        with contextlib.suppress(Exception):  # the work is done, whatever became of the others
            _leave(devices)


def check_same(devices: Devices, ours: Mapping[str, Any]) -> None:
    """See that every host is about to do what the first one does.

    Args:
        devices: with several processes.
        ours: what must be equal, as JSON has it.

    Raises:
        BadInput: on every host, if one of them differs.
    """
    document = json.dumps(ours, default=str)
    here, first = json.loads(document), json.loads(broadcast(devices, document.encode()))
    differ = [key for key in {**first, **here} if first.get(key) != here.get(key)]
    if agreed(devices, not differ):
        return
    if not differ:
        raise BadInput("train.devices: hosts: another host differs from this one, and says in what")
    words = ", ".join(f"{key} {here.get(key)} (there {first.get(key)})" for key in sorted(differ))
    raise BadInput(
        f"train.devices: hosts: this host differs from the first: {words}; give every host the "
        "same command, data and packages"
    )


def agreed(devices: Devices, yes: bool) -> bool:
    """Do all hosts say so?"""
    return float(_mean(devices, [float(yes)])[0]) == 1.0


def broadcast(devices: Devices, content: bytes) -> bytes:
    """The first host's content, on every host; what the others give is not looked at."""
    [size] = _of_first(devices, np.array([len(content)], np.int32))
    if not size:  # TensorFlow does not survive a sum of nothing
        return b""
    words = np.zeros(-(-int(size) // 4), np.int32)
    if devices.process == 0:
        words.view(np.uint8)[:size] = np.frombuffer(content, np.uint8)
    return _of_first(devices, words).tobytes()[:size]


def broadcast_file(devices: Devices, path: Path | None, folder: Path) -> None:
    """Put the first host's file, if it has one, into a folder of each other host.

    Args:
        devices: with several processes.
        path: of the file; heeded on the first host alone.
        folder: made where it lacks; on the first host nothing is written.
    """
    name = broadcast(devices, path.name.encode() if path else b"").decode()
    if not name:
        return
    if path and devices.process == 0:
        with path.open("rb") as read:
            while broadcast(devices, read.read(CHUNK)):
                pass
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / Path(name).name).open("wb") as written:
        while chunk := broadcast(devices, b""):
            written.write(chunk)


def _leave(devices: Devices) -> None:
    """Wait until every host is done. One that ended before would seem lost to the others, and JAX
    ends a process that has lost another, unless it has taken its leave."""
    agreed(devices, True)
    if devices.distribution is not None:
        import jax

        jax.distributed.shutdown()


def _mean(devices: Devices, values: list[float]) -> np.ndarray:
    """Mean over the hosts of each value, the same bits on all of them."""
    here = np.asarray(values, np.float32)
    if devices.distribution is not None:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(here)).mean(axis=0)
    return np.asarray(_tensorflow(devices.strategy)[0](here))


def _of_first(devices: Devices, words: np.ndarray) -> np.ndarray:
    """The first host's int32 [n]; n is the same on all."""
    if devices.distribution is not None:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.broadcast_one_to_all(words))
    return np.asarray(_tensorflow(devices.strategy)[1](words))


@cache
def _tensorflow(strategy: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(mean over the devices of float32 [n], the first device's int32 [n]), traced once."""
    import tensorflow as tf

    def reduced(one: Callable[[Any], Any], how: Any, given: Any) -> Any:
        return strategy.reduce(how, strategy.run(one, args=(given,)), axis=None)

    def mean(values: Any) -> Any:
        return reduced(tf.identity, tf.distribute.ReduceOp.MEAN, values)

    def only_first(words: Any) -> Any:
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.where(number == 0, words, tf.zeros_like(words))  # whole numbers: exact

    def first(words: Any) -> Any:
        return reduced(only_first, tf.distribute.ReduceOp.SUM, words)

    vector = {kind: [tf.TensorSpec([None], kind)] for kind in (tf.float32, tf.int32)}
    return (
        tf.function(mean, input_signature=vector[tf.float32], autograph=False),
        tf.function(first, input_signature=vector[tf.int32], autograph=False),
    )
