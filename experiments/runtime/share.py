"""What each worker of this machine gets: threads, and the GPUs that it sees.

Nothing here loads TensorFlow: its first use settles threads and devices for good.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_threads_here = 0


def threads(wanted: int) -> int:
    """Threads of this process: as `train.threads` wants, else its share; 0: one a core."""
    return wanted or _threads_here


@dataclass(frozen=True)
class Share:
    """A worker's part of the machine."""

    threads: int = 0
    """Where `train.threads` is 0; 0: TensorFlow's own choice, which is one a core."""
    devices: str | None = None
    """CUDA_VISIBLE_DEVICES; None: as it is."""
    together: bool = False
    """Other workers compute on the same device, so that none may take all of its memory."""

    def take(self) -> None:
        """Settle it for this process, before TensorFlow loads."""
        global _threads_here
        _threads_here = self.threads
        if self.devices is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.devices
        if self.together:
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def visible_gpus(environ: Mapping[str, str], devices: int | None = None) -> list[str]:
    """Names of the GPUs that CUDA would show, in its order.

    Args:
        environ: whose CUDA_VISIBLE_DEVICES decides, where it is set; the first bad name ends it.
        devices: number of GPUs of the machine; None: as the driver lists them.
    """
    devices = nvidia_devices() if devices is None else devices
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [str(number) for number in range(devices)]
    names = []
    for name in (part.strip() for part in listed.split(",")):
        if not name or name.startswith("-") or (name.isdecimal() and int(name) >= devices):
            break
        names.append(name)
    return names


def nvidia_devices() -> int:
    # A container that sees /dev/nvidia3 alone calls it 0, so that only their number counts.
    return sum(path.name[6:].isdecimal() for path in Path("/dev").glob("nvidia[0-9]*"))
