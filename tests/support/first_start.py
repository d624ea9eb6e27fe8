"""First starts of a command in an empty folder, killed or interrupted at a random moment: each must
be continued by the same command.

    python tests/support/first_start.py [kills] [seed]

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


def continued(folder: Path, command: int, number: int, moment: float) -> tuple[str, str]:
    """What a first start left behind, and what is wrong after the second; empty if nothing is."""
    words = commands(folder)[command]
    process = outside(folder, *words)
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


def main(kills: int = 20, seed: int = 14) -> int:
    """Time both commands, then kill them."""
    seconds = []
    with tempfile.TemporaryDirectory(prefix="first-") as name:
        for words in commands(Path(name)):
            began = time.monotonic()
            finished(Path(name), *words)
            seconds.append(time.monotonic() - began)
    print(
        f"seed {seed}; train and sweep take {seconds[0]:.1f} s and {seconds[1]:.1f} s", flush=True
    )
    wrong = 0
    for command, number, moment in moments(kills, seed, seconds):
        with tempfile.TemporaryDirectory(prefix="first-") as name:
            left, fault = continued(Path(name), command, number, moment)
        kind = f"{('train', 'sweep')[command]} {signal.Signals(number).name}"
        print(f"{kind} at {moment:.1f} s: {left}; then {fault or 'finished'}", flush=True)
        wrong += bool(fault)
    print(f"{kills - wrong} of {kills} were continued by the same command")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
