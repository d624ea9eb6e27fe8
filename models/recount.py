"""Counts and deviations of the cards, taken anew from the networks: `python -m models.recount`."""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from models import cards


def measure(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with counts of the network as built now, and its module's deviations."""
    side = smallest_side(
        lambda side: fits(entry, side),
        guess=entry["smallest_input"][0],
        works=max(entry["input_shape"][:2]),
    )
    measured = {
        "smallest_input": [side, side],
        **counts(entry),
        "deviations": deviations(
            entry["name"], importlib.import_module(entry["module"]).__doc__ or ""
        ),
    }
    return {**entry, **measured}


def counts(entry: dict[str, Any]) -> dict[str, int]:
    """What the network costs at its own input size and number of classes."""
    from models.cost import profile

    cost = profile(_outline(entry, *entry["input_shape"][:2]))
    return {
        "params": cost.params,
        "params_total": cost.params_total,
        "macs": cost.macs,
        "activation_bytes": cost.activation_bytes,
    }


def fits(entry: dict[str, Any], side: int) -> bool:
    """Whether the network can be built on square images of this side."""
    try:
        _outline(entry, side, side)
    except ValueError:  # how Keras refuses a window larger than its image
        return False
    return True


def _outline(entry: dict[str, Any], height: int, width: int) -> Any:
    from models import registry

    shape = (height, width, entry["input_shape"][2])
    name, module = entry["name"], entry["module"]
    return registry.assemble(name, module, shape, entry["classes"], {}, draw_weights=False)


def smallest_side(takes: Callable[[int], bool], guess: int, works: int) -> int:
    """The smallest side that `takes` accepts, 1 to `works`, which it does; two calls if `guess`."""
    fails = 0
    if 0 < guess < works:
        if takes(guess):
            works = guess
            if guess > 1 and not takes(guess - 1):
                fails = guess - 1
        else:
            fails = guess
    while works - fails > 1:
        middle = (works + fails) // 2
        if takes(middle):
            works = middle
        else:
            fails = middle
    return works


def deviations(name: str, docstring: str) -> list[str]:
    """What the docstring of a module lists for one network, one line each, in its order.

    Lists begin "Deviations:", for all of the module, or "Deviations (NAME, PATTERN):"; a blank line
    ends them, and lines that do not begin with "- " continue the one before.
    """
    listed: list[str] = []
    listing = False
    for line in (*docstring.splitlines(), ""):
        heading = re.fullmatch(r"Deviations(?: \((.+)\))?:", line.strip())
        if heading:
            patterns = (heading[1] or "*").split(",")
            listing = any(fnmatchcase(name, pattern.strip()) for pattern in patterns)
        elif not line.strip():
            listing = False
        elif listing and line.strip().startswith("- "):
            listed.append(line.strip().removeprefix("- "))
        elif listing and listed:
            listed[-1] += f" {line.strip()}"
    return listed


def main(names: Sequence[str] = ()) -> None:
    """Rewrite the counts and deviations in cards.json, of all networks or of these."""
    unknown = sorted(set(names) - set(cards.entries()))
    if unknown:
        sys.exit(f"cards.json has no {', '.join(unknown)}")
    before = list(cards.entries().values())
    after = []
    for number, entry in enumerate(before, start=1):
        if names and entry["name"] not in names:
            after.append(entry)
            continue
        started = time.perf_counter()
        after.append(measure(entry))
        seconds = time.perf_counter() - started
        print(f"{number}/{len(before)} {entry['name']} {seconds:.1f} s", file=sys.stderr)
    cards.CARDS.write_text(json.dumps(after, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    changed = [new["name"] for old, new in zip(before, after, strict=True) if old != new]
    print(f"{len(after)} cards; changed: {', '.join(changed) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
