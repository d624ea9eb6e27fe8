"""YAML in and out: plain values as they are written, and no text too large to hold.

Built on PyYAML's safe loader, which makes no Python objects. Plain words are read as in YAML 1.2,
where PyYAML, which is at 1.1, sees more than is written: 1e-3 is a number, but yes, 010, 1:30 and
2001-01-01 are words. Keys are always words. What either version takes for more than a word is
quoted when written.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from experiments.errors import BadInput

MOST_CHARACTERS = 250_000
"""Of a text, seen before it is parsed: PyYAML takes seconds for so many."""
MOST_VALUES = 100_000
"""Of one document, with everything that its aliases repeat: a kilobyte of them can mean 10^9."""
DEEPEST = 50
LONGEST_NUMBER = 250  # characters; more digits, of whatever base, are beyond any float
TAG = "tag:yaml.org,2002:"
NULL, BOOL, INT, FLOAT, STR = (TAG + kind for kind in ("null", "bool", "int", "float", "str"))
MERGE = TAG + "merge"
DECIMAL = r"(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)"
PLAIN = (
    (NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (BOOL, r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    (INT, r"[-+]?(?:0|[1-9][0-9_]*|0b[01][01_]*|0x[0-9a-fA-F][0-9a-fA-F_]*)", list("-+0123456789")),
    (FLOAT, rf"[-+]?{DECIMAL}", list("-+.0123456789")),
    # told apart at the first character that is no digit: the time is linear
    (FLOAT, rf"[-+]?(?:{DECIMAL}|[0-9][0-9_]*)[eE][-+]?[0-9]+", list("-+.0123456789")),
    (FLOAT, r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", list("-+.")),
    (MERGE, r"<<", ["<"]),
)
"""Tag, pattern and first characters of the plain words that are more than words."""


class _Loader(yaml.SafeLoader):
    """The safe loader with `PLAIN` words only, whose nodes become values by `value`."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's name; filled below

    def __init__(self, text: str):
        super().__init__(text)
        self.left = MOST_VALUES

    def value(self, node: yaml.Node, path: tuple[str, ...] = ()) -> Any:
        """What a node and those below it say; aliases are copied.

        Raises:
            _Refused: it is no plain value, or holds too much.
        """
        self.left -= 1
        if self.left < 0:
            raise _Refused(node, f"more than {MOST_VALUES} values in one document")
        if len(path) > DEEPEST:
            raise RecursionError
        if isinstance(node, yaml.MappingNode) and node.tag == self.DEFAULT_MAPPING_TAG:
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == self.DEFAULT_SEQUENCE_TAG:
            return [self.value(item, (*path, str(i))) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, item in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(key_node, "a key must be a word")
            if key_node.tag != MERGE:
                self._scalar(key_node)  # refuses objects
            key = key_node.value
            if key in lines:
                first = f", first in line {lines[key]}" if self.line > 0 else ""
                name = ".".join((*path, key))
                raise _Refused(key_node, f"{name} is written twice{first}; keep one")
            lines[key] = key_node.start_mark.line + 1
            value = self.value(item, (*path, key))
            if key_node.tag != MERGE:
                values[key] = value
                continue
            for section in value if isinstance(value, list) else [value]:
                if not isinstance(section, dict):
                    raise _Refused(item, "<< takes a mapping, or a list of them")
                merged = section | merged
        return merged | values

    def _scalar(self, node: yaml.Node) -> Any:
        plain = isinstance(node, yaml.ScalarNode)
        if not plain or node.tag not in (NULL, BOOL, INT, FLOAT, STR, MERGE):
            tag = node.tag.replace(TAG, "!!")
            raise _Refused(node, f"only plain values are read, never objects. Received: tag {tag}")
        looks = self.resolve(yaml.ScalarNode, node.value, (True, False))
        if node.tag not in (STR, looks) and (node.tag, looks) != (FLOAT, INT):
            raise _Refused(node, f"{node.value[:80]!r} is no {node.tag.removeprefix(TAG)}")
        if node.tag in (STR, MERGE):
            return node.value
        if len(node.value) > LONGEST_NUMBER:
            raise _Refused(node, f"a number of {len(node.value)} characters cannot be read")
        return self.construct_object(node)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which also quotes what `_Loader` would take for a number."""


for _tag, _pattern, _first in PLAIN:
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


class _Refused(yaml.MarkedYAMLError):
    """YAML, but not what is read."""

    def __init__(self, node: yaml.Node, problem: str):
        super().__init__(problem=problem, problem_mark=node.start_mark)


def read(text: str, where: str) -> Any:
    """The values of a YAML text.

    Args:
        where: file or key, for the errors.

    Raises:
        BadInput: it is not YAML, repeats a key, names a Python object, or holds too much.
    """
    if len(text) > MOST_CHARACTERS:
        raise BadInput(f"{where}: more than {MOST_CHARACTERS:,} characters; that is no config")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else loader.value(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark and "\n" in text.strip() else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "no document"
        kind = "" if isinstance(error, _Refused) else "not YAML: "
        raise BadInput(f"{where}{line}: {kind}{problem}") from None
    except RecursionError:
        raise BadInput(f"{where}: values are nested more than {DEEPEST} deep") from None


def write(document: Any) -> str:
    """YAML that `read` gives back as it was, keys in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)
