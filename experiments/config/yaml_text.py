"""YAML in and out: plain values only, numbers as people write them, and no text too large to hold.

Built on PyYAML's safe loader, which makes no Python objects. As in YAML 1.2 a bare 1e-3 is a
number; PyYAML, which is at 1.1, takes it for a string. A string of that look is quoted when written
and stays a string when read.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from experiments.errors import BadInput

MOST_VALUES = 100_000
"""Of one document, with everything that its aliases repeat: a kilobyte of them can mean 10^9."""
DEEPEST = 50
NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+")
FLOAT = "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """The safe loader with 1e-3 for a number."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:  # each merge (<<) of merges multiplies them
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {MOST_VALUES} merged keys", node.start_mark
            )


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which quotes what `_Loader` would take for a number."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(FLOAT, re.compile(f"^(?:{NUMBER.pattern})$"), list("-+.0123456789"))


def read(text: str, where: str) -> Any:
    """The values of a YAML text.

    Args:
        where: file or key, for the errors.

    Raises:
        BadInput: it is not YAML, names a Python object, or holds too much.
    """
    try:
        loader = _Loader(text)
        try:
            value = loader.get_single_data()
        finally:
            loader.dispose()
        return _within(value, [MOST_VALUES], DEEPEST)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark and "\n" in text.strip() else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "no document"
        if "could not determine a constructor" in problem:
            tag = problem.rpartition(" ")[2].strip("'").replace("tag:yaml.org,2002:", "!!")
            raise BadInput(
                f"{where}{line}: only plain values are read, never objects. Received: tag {tag}"
            ) from None
        raise BadInput(f"{where}{line}: not YAML: {problem}") from None
    except RecursionError:
        raise BadInput(f"{where}: values are nested more than {DEEPEST} deep") from None
    except (ValueError, OverflowError) as error:  # 2001-99-99 looks like a date
        raise BadInput(f"{where}: a value that cannot be read: {error}") from None


def write(document: Any) -> str:
    """YAML that `read` gives back as it was, keys in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False)


def _within(value: Any, left: list[int], depth: int) -> Any:
    """A copy without aliases. Raises ValueError, or RecursionError where it is too deep."""
    left[0] -= 1
    if left[0] < 0:
        raise ValueError(f"more than {MOST_VALUES} in one document")
    if depth < 0:
        raise RecursionError
    if isinstance(value, dict):
        return {_key(key): _within(item, left, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_within(item, left, depth - 1) for item in value]
    return value


def _key(key: Any) -> Any:
    """JSON knows no keys such as dates."""
    return key if key is None or isinstance(key, str | int | float) else str(key)
