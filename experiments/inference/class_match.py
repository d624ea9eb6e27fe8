"""Which of a network's classes is which class of a set: by name, else by number, never by guess."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.inference.loading import Network
from experiments.jobs.dataset import open_source
from experiments.tracking.tracked_run import TrackedRun
from pipelines.files.text import read_lines


def class_names(network: Network, config: Config, say: Callable[[str], None]) -> list[str]:
    """The network's class names; a run's are its source's; numbers where they are nowhere."""
    names = None
    try:
        names = known_names(network, config.evaluate.class_names, [])
    except BadInput as error:
        if config.evaluate.class_names is not None:
            raise
        say(str(error))
    if names is None or len(names) != network.classes:
        say(f"{network.name}: its class names are not known; give evaluate.class_names=FILE")
        return [str(number) for number in range(network.classes)]
    return names


WNID = re.compile(r"n\d{8}")
INDEX = "imagenet_class_index.json"


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

    Args:
        who, spec: the network and the set, for messages.
        names: of the network's classes in its order, None where they are not known.
        mode: equal, restrict or map, as `evaluate.classes`.

    Raises:
        BadInput: classes that cannot be told apart, or others than the network's.
    """
    wanted = list(wanted)
    if names is None or not set(names) & set(wanted):
        if count != len(wanted):
            known = "" if names is None else ", none of them the set's by name"
            raise BadInput(
                f"evaluate.classes: {who} has {count} classes{known}, {spec} has {len(wanted)}; "
                "give a set with the same classes, or their names with evaluate.class_names=FILE"
            )
        why = "are not known" if names is None else "are all others"
        return Match(
            None, wanted, f"{who}: its class names {why}; classes are matched by number to {spec}"
        )
    column_of = {name: number for number, name in enumerate(names)}
    if strange := [name for name in wanted if name not in column_of]:
        raise BadInput(
            f"evaluate.classes: {who} does not know {len(strange)} of the {len(wanted)} classes of "
            f"{spec}, such as {strange[0]}; leave these out of the set"
        )
    columns = [column_of[name] for name in wanted]
    others = sorted(set(names) - set(wanted))
    if others and mode == "equal":
        raise BadInput(
            f"evaluate.classes: {spec} has {len(wanted)} of the {count} classes of {who}; set "
            "evaluate.classes=restrict to score it among these alone, or map to count answers of "
            "other classes as wrong"
        )
    if others and mode == "map":
        note = f"{who}: answers among all its {count} classes, {len(others)} of them always wrong"
        return Match(np.array(columns + [column_of[x] for x in others]), wanted + others, note)
    if others:
        note = f"{who}: probabilities over the set's {len(wanted)} classes alone, of {count}"
        return Match(np.array(columns), wanted, note)
    in_order = columns == list(range(count))
    return Match(None if in_order else np.array(columns), wanted)


def known_names(
    network: Network, file: str | None, source_names: Sequence[str], fingerprint: str = ""
) -> list[str] | None:
    """A network's class names: those it came with, a file's, its run's source's, or the wnids.

    Published weights of 1,000 classes are in the order of the sorted wnids. They are the set's own
    where it has them all, else those of Keras's list.

    Args:
        file: `evaluate.class_names`, for networks that came without.
        source_names: classes of the set that is scored, empty for none.
        fingerprint: of that set.

    Raises:
        BadInput: the file does not fit, or the list of wnids is nowhere.
    """
    if network.class_names is not None:
        return network.class_names
    if file is not None:
        return read_names(file, network)
    if network.run is not None:
        return _of_run(network.run, source_names, fingerprint)
    if network.origin is None or network.classes != 1000:
        return None
    if len(source_names) == 1000 and all(WNID.fullmatch(name) for name in source_names):
        return sorted(source_names)
    return [wnid for wnid, _ in keras_index(network.name)]


def _of_run(run: TrackedRun, source_names: Sequence[str], fingerprint: str) -> list[str] | None:
    """Those of the source it was trained on, where that can be opened here."""
    if run.fingerprint and run.fingerprint == fingerprint:
        return list(source_names)
    try:
        return list(open_source(run.config.data).class_names)
    except BadInput:
        return None


def read_names(file: str, network: Network) -> list[str]:
    """One class a line, as many as the network has. Raises BadInput."""
    try:
        lines = read_lines(file)
    except (OSError, ValueError):
        raise BadInput(f"evaluate.class_names: {file}: no such text file") from None
    names = [line.strip() for line in lines if line.strip()]
    if len(names) != network.classes or len(set(names)) < len(names):
        raise BadInput(
            f"evaluate.class_names: {file} has {len(set(names))} different names; {network.name} "
            f"has {network.classes} classes"
        )
    return names


def keras_index(who: str) -> list[tuple[str, str]]:
    """(wnid, word) of the 1,000 classes in order: Keras's file, fetched once.

    Raises:
        BadInput: it is not there and cannot be fetched.
    """
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    file = home / "models" / INDEX
    if not file.is_file():
        import keras
        from keras.applications import imagenet_utils

        try:
            address = imagenet_utils.CLASS_INDEX_PATH
        except AttributeError:
            address = f"https://storage.googleapis.com/download.tensorflow.org/data/{INDEX}"
        try:
            file = Path(keras.utils.get_file(INDEX, address, cache_subdir="models"))
        except Exception as error:  # Keras raises Exception itself where a download fails
            reason = " ".join(str(error).split())
            raise BadInput(
                f"{who}: the list of the 1,000 classes is not in {file} and could not be fetched "
                f"({reason}); put it there, or give their wnids with evaluate.class_names=FILE"
            ) from None
    index = json.loads(file.read_text(encoding="utf-8"))
    return [(index[str(i)][0], index[str(i)][1]) for i in range(1000)]
