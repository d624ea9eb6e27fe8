"""First starts of a command in an empty folder, killed or interrupted at a random moment: each must
be continued by the same command.

    PYTHONPATH=tests/support python tests/support/by_hand/first_start.py [kills] [seed] [1]

With the last word the moments are counted from the first sight of a store that is being made.
Prints the moments and what was there; exits 1 if one was not continued.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from command import finished, outside, write_config

MAKING_SECONDS = 2.0  # that a store is being made, on a machine with nothing else to do
SIGNALS = (signal.SIGKILL, signal.SIGINT)


def commands(folder: Path) -> list[list[str]]:
    """`train` and `sweep` of a tiny network on digits, from a config in the folder."""
    model = {"name": "mlp", "options": {"hidden": [8]}}
    write_config(folder, name="first", model=model)
    write_config(folder, name="firsts", model=model, sweep={"seed": [1, 2]})
    return [["train", "first.yaml"], ["sweep", "firsts.yaml"]]


def moments(kills: int, seed: int, seconds: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    """(command, signal, seconds after its start), drawn over the whole length of each command."""
    draw = random.Random(seed)
    for number in range(kills):
        command = number // 2 % len(seconds)
        yield command, SIGNALS[number % 2], draw.uniform(0, seconds[command])


def continued(
    folder: Path, command: int, number: int, moment: float, *, making: bool = False
) -> tuple[str, str]:
    """What a first start left behind, and what is wrong after the second; empty if nothing is."""
    words = commands(folder)[command]
    process = outside(folder, *words)
    while making and process.poll() is None and not list(folder.glob("mlflow.db*")):
        time.sleep(0.01)
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
    process.communicate()
    left = f"exit {process.returncode}, left: " + ", ".join(
        sorted(path.name for path in folder.iterdir() if path.suffix != ".yaml")
    )
    process = outside(folder, *words, "--json")
    out, err = process.communicate(timeout=300)
    if process.returncode:
        return left, err
    answer = json.loads(out)
    statuses = [row["status"] for row in answer.get("runs", [answer])]
    return left, "" if set(statuses) == {"finished"} else f"{statuses}: {err}"


def main(kills: int = 20, seed: int = 14, making: bool = False) -> int:
    """Time both commands, then kill them."""
    seconds = [MAKING_SECONDS] * 2
    if not making:
        seconds = list(lengths())
    print(f"seed {seed}; moments within {seconds[0]:.1f} s (train) and {seconds[1]:.1f} s (sweep)")
    wrong = 0
    for command, number, moment in moments(kills, seed, seconds):
        with tempfile.TemporaryDirectory(prefix="first-") as name:
            left, fault = continued(Path(name), command, number, moment, making=making)
        kind = f"{('train', 'sweep')[command]} {signal.Signals(number).name}"
        print(f"{kind} at {moment:.1f} s: {left}; then {fault or 'finished'}", flush=True)
        wrong += bool(fault)
    print(f"{kills - wrong} of {kills} were continued by the same command")
    return bool(wrong)


def lengths() -> Iterator[float]:
    """Seconds that each command takes when nobody ends it."""
    with tempfile.TemporaryDirectory(prefix="first-") as name:
        for words in commands(Path(name)):
            began = time.monotonic()
            finished(Path(name), *words)
            yield time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
