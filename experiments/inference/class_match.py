"""Which of a network's classes is which class of a set: by name, or by a number that is a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.errors import BadInput
from pipelines.files.naming import NUMBER


@dataclass(frozen=True)
class Match:
    """The classes that a network is scored over, its columns in their order.

    The set's own classes come first, in the set's order, so that label i is column i; `names`
    goes on with the others where answers outside the set count.
    """

    columns: np.ndarray | None
    names: list[str]
    note: str | None = None


def match(
    who: str, names: Sequence[str] | None, count: int, wanted: Sequence[str], spec: str, mode: str
) -> Match:
    """The columns of a network of `count` classes for the classes `wanted` of a set.

    Classes go by name. Where all of the set's are whole numbers (ImageNet-V2's folders 0 to 999)
    and no class of the network is called by one of these, n is class n of the network. The place
    of a name in a list says nothing.

    Args:
        who, spec: the network and the set, for messages.
        names: of the network's classes in its order, None where they are not known.
        mode: equal, restrict or map, as `evaluate.classes`.

    Raises:
        BadInput: classes that cannot be told apart, or others than the network's.
    """
    wanted = list(wanted)
    listed, notes = _in_the_sets_words(names, count, wanted)
    if not set(listed or ()) & set(wanted):
        known = "whose names are not known" if names is None else f"such as {names[0]}"
        raise BadInput(
            f"evaluate.classes: {who} has {count} classes {known}, {spec} has {len(wanted)} such "
            f"as {wanted[0]}; name the network's in its order with evaluate.class_names=FILE"
        )
    assert listed is not None
    column_of = {name: number for number, name in enumerate(listed)}
    if strange := [name for name in wanted if name not in column_of]:
        numbers = f"; its classes are 0 to {count - 1}" if notes else ""
        raise BadInput(
            f"evaluate.classes: {who} does not know {len(strange)} of the {len(wanted)} classes of "
            f"{spec}, such as {strange[0]}{numbers}; leave these out of the set, or name the "
            "network's classes with evaluate.class_names=FILE"
        )
    columns = [column_of[name] for name in wanted]
    others = sorted(set(listed) - set(wanted))
    if others and mode == "equal":
        raise BadInput(
            f"evaluate.classes: {spec} has {len(wanted)} of the {count} classes of {who}; set "
            "evaluate.classes=restrict to score it among these alone, or map to count answers of "
            "other classes as wrong"
        )
    if others and mode == "map":
        notes.append(f"answers among all its {count} classes, {len(others)} of them always wrong")
        columns += [column_of[name] for name in others]
        wanted += others
    elif others:
        notes.append(f"probabilities over the set's {len(wanted)} classes alone, of {count}")
    note = f"{who}: {'; '.join(notes)}" if notes else None
    in_order = columns == list(range(count))
    return Match(None if in_order else np.array(columns), wanted, note)


def all_numbers(names: Sequence[str]) -> bool:
    """Are the names whole numbers, each another one?"""
    numbers = {int(name) for name in names if NUMBER.fullmatch(name)}
    return 0 < len(numbers) == len(names)


def _in_the_sets_words(
    names: Sequence[str] | None, count: int, wanted: Sequence[str]
) -> tuple[list[str] | None, list[str]]:
    """The network's classes in its order, a number written as the set writes it (7, 007), and a
    note where the numbers are places in that order; None where nothing is known of them."""
    if set(wanted) <= set(names or ()) or not all_numbers(wanted):
        return (None if names is None else list(names)), []
    written = {int(name): name for name in wanted}
    numbered = {name: int(name) for name in names or () if NUMBER.fullmatch(name)}
    if set(numbered.values()) & set(written):
        if len(set(numbered.values())) < len(numbered):  # 1 and 01: only as they are written
            return list(names or ()), []
        return [written.get(numbered.get(name, -1), name) for name in names or ()], []
    places = names or [str(number) for number in range(count)]
    note = "the set's classes are numbers: n is class n of the network, counted from 0"
    return [written.get(number, name) for number, name in enumerate(places)], [note]
