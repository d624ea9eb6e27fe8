"""What a network's classes are called, in its order: as a file says, else as is known of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.inference.class_match import all_numbers
from experiments.inference.loading import Network
from experiments.inference.names_file import WNID, read_entries, read_names
from experiments.jobs.dataset import open_source
from experiments.tracking.tracked_run import TrackedRun

NO_TITLES: Mapping[str, str] = MappingProxyType({})
INDEX = "imagenet_class_index.json"
ILSVRC = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
"""sha256 of the 1,000 wnids of ILSVRC 2012 to 2017 in their order, a line each."""


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


def known_names(
    network: Network, file: str | None, source_names: Sequence[str], fingerprint: str = ""
) -> list[str] | None:
    """A network's class names: a file's, those it came with, its run's source's, or the wnids.

    Published weights of 1,000 classes are in the order of the sorted wnids. They are the set's own
    where it has them all, else those of Keras's list.

    Args:
        file: `evaluate.class_names`; it wins.
        source_names: classes of the set that is scored, empty for none.
        fingerprint: of that set.

    Raises:
        BadInput: the file does not fit, or the list of wnids is nowhere.
    """
    if file is not None:
        return read_names(file, network.name, network.classes)
    if network.class_names is not None:
        return network.class_names
    if network.run is not None:
        if network.run.fingerprint and network.run.fingerprint == fingerprint:
            return list(source_names)
        return names_of_source(network.run)
    if network.origin is None or network.classes != 1000 or all_numbers(source_names):
        return None
    if hashlib.sha256("\n".join(sorted(source_names)).encode()).hexdigest() == ILSVRC:
        return sorted(source_names)
    return [wnid for wnid, _ in keras_index(network.name)]


def overruled(network: Network, file: str | None) -> str | None:
    """A line where `evaluate.class_names` says something else than a network came with."""
    if file is None or network.class_names is None:
        return None
    pairs = zip(read_names(file, network.name, network.classes), network.class_names, strict=True)
    differ = [(place, *pair) for place, pair in enumerate(pairs) if pair[0] != pair[1]]
    if not differ:
        return None
    place, named, own = differ[0]
    return (
        f"{network.name}: evaluate.class_names wins over the names it was saved with in "
        f"{len(differ)} of {network.classes} classes, the first {place}: {named}, not {own}"
    )


def names_of_source(run: TrackedRun) -> list[str] | None:
    """The class names of the source that a run was trained on; None where it cannot be opened
    here, or has other contents today: its classes may have moved."""
    try:
        source = open_source(run.config.data)
    except BadInput:
        return None
    return list(source.class_names) if source.fingerprint == run.fingerprint else None


def titles(
    names: Sequence[str], file: str | None, of_source: Mapping[str, str] = NO_TITLES
) -> dict[str, str]:
    """Readable names by class name, of those that have one: the file's, the source's, and for
    wnids those of Keras's list where it lies on this machine. Of several ("tench, Tinca tinca")
    the first, unless it is another class's too (crane).

    Raises:
        BadInput: the file has another form.
    """
    known = {name: title for name, title in (read_entries(file) if file else ()) if title}
    known = {**of_source, **known}
    if any(WNID.fullmatch(name) and name not in known for name in names) and _index().is_file():
        with contextlib.suppress(BadInput):  # a list that is not Keras's has no titles to give
            known = {wnid: word.replace("_", " ") for wnid, word in keras_index("")} | known
    whole = {name: known[name] for name in names if name in known}
    first = {name: title.partition(",")[0].strip() for name, title in whole.items()}
    times = Counter(first.values())
    return {name: title if times[title] == 1 else whole[name] for name, title in first.items()}


def _index() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models" / INDEX


def keras_index(who: str) -> list[tuple[str, str]]:
    """(wnid, word) of the 1,000 classes in order: Keras's file, fetched once.

    Raises:
        BadInput: it is not there and cannot be fetched, or it is another file.
    """
    file = _index()
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
    entries = read_entries(str(file))
    if len(entries) != 1000:
        raise BadInput(f"{file} lists {len(entries)} classes, not the 1,000 of Keras; delete it")
    return entries
