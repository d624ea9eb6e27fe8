"""The file of `evaluate.class_names`: a network's classes in its order, in the forms people have.

tench                                       a class a line
n01440764 tench, Tinca tinca                LOC_synset_mapping.txt, synset_words.txt
{"0": ["n01440764", "tench"], ...}          imagenet_class_index.json; or {"0": "tench", ...}
{"tench": 0, ...}                           class_indices of Keras, class_to_idx of torchvision
["tench", ...]                              a JSON list, also of pairs [wnid, word]
"""

from __future__ import annotations

import json
import re
from typing import Any

from experiments.errors import BadInput
from pipelines.files.text import read_lines

WNID = re.compile(r"n\d{8}")
KEY = "evaluate.class_names"


def read_names(file: str, who: str, count: int) -> list[str]:
    """The names in the file for a network `who` of so many classes.

    Raises:
        BadInput: they are not as many, or one comes twice, or the file has another form.
    """
    names = [name for name, _ in read_entries(file)]
    if len(names) != count or len(set(names)) < len(names):
        raise BadInput(
            f"{KEY}: {file} has {len(set(names))} different names; {who} has {count} classes"
        )
    return names


def read_entries(file: str) -> list[tuple[str, str]]:
    """(class name, readable name or "") in the network's order. Raises BadInput."""
    try:
        lines = read_lines(file)
    except (OSError, ValueError):
        raise BadInput(f"{KEY}: {file}: no such text file") from None
    if file.lower().endswith(".json"):
        return _of_json(file, "\n".join(lines))
    words = [line.strip() for line in lines if line.strip()]
    parts = [word.split(maxsplit=1) for word in words]
    if all(WNID.fullmatch(first) for first, *_ in parts):
        return [(first, rest[0] if rest else "") for first, *rest in parts]
    return [(word, "") for word in words]


def _of_json(file: str, text: str) -> list[tuple[str, str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{KEY}: {file} is no JSON ({error})") from None
    if isinstance(document, dict) and all(type(place) is int for place in document.values()):
        document = {str(place): name for name, place in document.items()}
    if isinstance(document, dict):
        places = [str(place) for place in range(len(document))]
        if set(document) != set(places):
            raise BadInput(f"{KEY}: {file}: expected its classes numbered 0 to {len(places) - 1}")
        document = [document[place] for place in places]
    entries = [_entry(item) for item in document] if isinstance(document, list) else [None]
    if None in entries:
        raise BadInput(
            f"{KEY}: {file}: expected a JSON list of names or of [name, word], or an object that "
            "numbers them from 0"
        )
    return [entry for entry in entries if entry]


def _entry(item: Any) -> tuple[str, str] | None:
    if isinstance(item, str):
        return item, ""
    if isinstance(item, list) and len(item) == 2 and all(isinstance(word, str) for word in item):
        return item[0], item[1]
    return None
