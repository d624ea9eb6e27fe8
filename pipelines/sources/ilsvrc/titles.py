"""Readable names of wnids, and which wnids a set is of, from the files that come with it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.errors import SourceError
from pipelines.files.text import read_lines
from pipelines.sources.ilsvrc.kit import META, find_file, kit_files, synsets

MAPPINGS = ("LOC_synset_mapping.txt", "synset_words.txt")  # of the classes, "wnid words" a line
WORDS = "words.txt"  # of all of WordNet
WNIDS = "wnids.txt"  # the classes of Tiny ImageNet, one a line
CLASSES = 1000
KERAS_INDEX = "imagenet_class_index.json"


def titles_of(class_names: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """A readable name of each class of which one is known, no two alike.

    From Kaggle's mapping, `synset_words.txt`, `words.txt` or the development kit in one of the
    folders, or from Keras's list where Keras has fetched it. The first synonym; where two classes
    share it as many more as tell them apart, and at last the wnid.
    Raises SourceError for a kit that cannot be read.
    """
    words = _words(folders)
    return _distinct({name: words[name] for name in class_names if words.get(name)})


def known_wnids(folders: Sequence[Path]) -> list[str]:
    """Every class of the set, sorted, where a file names them; else none. Raises SourceError."""
    if path := find_file(folders, *MAPPINGS, WNIDS):
        return sorted({line.split()[0] for line in _lines(path)})
    meta = kit_files(folders, META)
    return sorted(s.wnid for s in synsets(meta[0]) if s.id <= CLASSES) if meta else []


def _words(folders: Sequence[Path]) -> dict[str, str]:
    if path := find_file(folders, *MAPPINGS, WORDS):
        pairs = (line.strip().split(maxsplit=1) for line in _lines(path))
        return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    if meta := kit_files(folders, META):
        return {synset.wnid: synset.words for synset in synsets(meta[0])}
    return _of_keras()


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in read_lines(path) if line.strip()]
    except (OSError, ValueError) as error:
        raise SourceError(
            f"ilsvrc: {path} cannot be read ({error}): save it as text in UTF-8, or remove it"
        ) from None


def _of_keras() -> dict[str, str]:
    """Of the list that keras.applications has fetched for its own use, if it has."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        index = json.loads(Path(home, "models", KERAS_INDEX).read_text(encoding="utf-8"))
        return {wnid: word.replace("_", " ") for wnid, word in index.values()}
    except (OSError, ValueError, AttributeError, TypeError):  # absent, or none of Keras's
        return {}


def _distinct(words: Mapping[str, str]) -> dict[str, str]:
    synonyms = {wnid: text.split(", ") for wnid, text in words.items()}
    length = dict.fromkeys(synonyms, 1)
    while True:
        titles = {wnid: ", ".join(names[: length[wnid]]) for wnid, names in synonyms.items()}
        count = Counter(map(str.casefold, titles.values()))
        alike = [wnid for wnid, title in titles.items() if count[title.casefold()] > 1]
        longer = [wnid for wnid in alike if length[wnid] < len(synonyms[wnid])]
        if not longer:
            return titles | {wnid: f"{titles[wnid]} ({wnid})" for wnid in alike}
        for wnid in longer:
            length[wnid] += 1
