"""From YAML files and key.path=value words to a checked Config and back; a line a mistake."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experiments.config import meant, yaml_text
from experiments.config.schema import Config
from experiments.config.search import TYPES, Search
from experiments.errors import BadInput, nearest
from pipelines.files.text import read_text


def to_yaml(config: Config) -> str:
    """The config as a file that `ilsvrc train` takes; a tracking URI's password stays out."""
    document = config.model_dump(mode="json", exclude={"tracking": {"uri"}})
    for section in ("sweep", "search"):
        if not document[section]:
            del document[section]
    return yaml_text.write(document)


SAID_ANYWAY = ("name", "data.source", "model.name")  # what is trained on what


def changed_yaml(document: Mapping[str, Any]) -> str:
    """As `to_yaml` of a config's JSON, without the keys that have their defaults."""
    defaults = Config().model_dump(mode="json")
    if document.get("search"):
        defaults["search"] = Search.model_construct().model_dump(mode="json")
    kept = _differing(document, defaults)
    kept.get("tracking", {}).pop("uri", None)
    return yaml_text.write({key: value for key, value in kept.items() if value not in ({}, None)})


def _differing(
    document: Mapping[str, Any], defaults: Mapping[str, Any], above: str = ""
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in document.items():
        default = defaults.get(key, ...)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            if below := _differing(value, default, f"{above}{key}."):
                kept[key] = below
        elif value != default or f"{above}{key}" in SAID_ANYWAY:
            kept[key] = value
    return kept


def load(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML file, apply overrides in order, and check the whole.

    Raises:
        BadInput: the file is missing or not YAML, or a key or value is wrong.
    """
    raw = _read(meant.config_file(Path(path)))
    return parse(override(raw, overrides), where=str(path))


def parse(raw: Mapping[str, Any], where: str = "config") -> Config:
    """Check a nested mapping. `where` names its origin in the errors."""
    try:
        # Through JSON, where strict means strict about types and still reads a list as a tuple.
        text = json.dumps(raw, default=str)
    except ValueError as error:  # a whole number of more digits than Python writes
        raise BadInput(f"{where}: a value that cannot be read: {error}") from None
    try:
        return Config.model_validate_json(text)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise BadInput(f"{where}: " + "; ".join(dict.fromkeys(lines))) from None


def override(raw: Mapping[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """Apply key.path=value words, values read as YAML, to a copy of a nested mapping."""
    changed = copy.deepcopy(dict(raw))
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise BadInput(f"expected key.path=value. Received: {word}")
        try:
            value = yaml_text.read(text, key)
        except BadInput as error:
            hint = "; quote it for the shell" if meant.cut_by_the_shell(text) else ""
            raise BadInput(f"{error}{hint}") from None
        set_key(changed, key, value)
    return changed


def at_axes(sections: Mapping[str, Any], axes: Mapping[str, Any], where: str) -> Config:
    """The config at one point of a sweep. Raises BadInput: a key or value of an axis is wrong."""
    raw = copy.deepcopy(dict(sections)) | {"sweep": {}}
    for key, value in axes.items():
        set_key(raw, key, copy.deepcopy(value))
    return parse(raw, where=f"{where}: sweep")


def set_key(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set one dotted key in place; a whole number as a part is a position in a list."""
    if key.startswith("sweep.") and key.split(".")[1] != "until":  # an axis is a dotted key itself
        axes = raw.get("sweep") or {}
        if not isinstance(axes, dict):
            raise BadInput(f"{key}: sweep holds {axes!r}, which has no keys below it")
        raw["sweep"] = axes | {key.removeprefix("sweep."): value}
        return
    if key.startswith("search.space."):  # a parameter, too
        set_key(raw, "search.space", _space(raw) | {key.removeprefix("search.space."): value})
        return
    *parents, last = key.split(".")
    node: Any = raw
    for depth, part in enumerate(parents):
        if isinstance(node, list):
            node = node[_position(node, part, key)]
        else:
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
        if not isinstance(node, dict | list):
            above = ".".join(parents[: depth + 1])
            raise BadInput(f"{key}: {above} holds {node!r}, which has no keys below it")
    if isinstance(node, list):
        node[_position(node, last, key)] = value
    else:
        node[last] = value


def _space(raw: Mapping[str, Any]) -> dict[str, Any]:
    search = raw.get("search")
    space = search.get("space") if isinstance(search, dict) else None
    return space if isinstance(space, dict) else {}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping to {dotted key: leaf}; lists are leaves."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        near = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        close = nearest(path.name, near, 1, 0.6)
        hint = f"; did you mean {path.parent / close}?" if close else ""
        if not close and (other := meant.instead_of_config(path)):
            hint = f"; {other}"
        raise BadInput(f"{path}: no such config file{hint}")
    try:
        text = read_text(path, 4 * yaml_text.MOST_CHARACTERS)  # UTF-8 takes four bytes at most
    except UnicodeDecodeError:
        raise BadInput(f"{path}: not YAML: not text in UTF-8") from None
    except ValueError as error:
        raise BadInput(f"{path}: {error}; that is no config") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    return sections(text, str(path))


def sections(text: str, where: str) -> dict[str, Any]:
    """The nested mapping of a YAML text; empty for an empty one.

    Raises:
        BadInput: it is not YAML, or not a mapping.
    """
    raw = yaml_text.read(text, where)
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise BadInput(f"{where}: expected sections such as data: and model:. Received: {raw!r}")
    return raw


def _position(node: list[Any], part: str, key: str) -> int:
    if not (part.isascii() and part.isdecimal()) or int(part[:9]) >= len(node):
        raise BadInput(f"{key}: {part} is not a position in a list of {len(node)}")
    return int(part)


def _explain(item: Mapping[str, Any]) -> str:
    key = ".".join(meant.key_of(item["loc"])) or "config"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; {meant.nearest_key(item['loc'])}"
    if item["type"] == "union_tag_invalid":
        received, valid = item["ctx"]["tag"], item["ctx"]["expected_tags"]
        if item["loc"][:2] == ("search", "space"):
            types = ", ".join(TYPES)
            return f"{key}: expected a list of values, or type one of {types}. Received: {received}"
        return f"{key}.op: expected one of {valid}. Received: {received!r}"
    message = item["msg"]
    for prefix in ("Value error, ", "Assertion failed, "):
        message = message.removeprefix(prefix)
    if item["type"] in ("model_type", "dict_type"):
        message = "expected a section with keys below it"
        if suggestion := meant.key_of_section(key, item["input"]):
            return f"{key}: {message}; did you mean {suggestion}?"
    if item["type"] == "string_pattern_mismatch":
        message = "letters, digits, dot, dash and underscore only, starting with a letter or digit"
    if item["type"].startswith("value_error"):
        return f"{key}: {message}" if key != "config" else message
    received = item["input"]
    if key == "data.source" and received is None:
        return f"{key}: not given; add {key}=ilsvrc:DIR, or whatever else the images are in"
    if item["type"] == "string_type" and isinstance(received, int | float):
        message += "; put quotes around it"
    constant = received is None or isinstance(received, bool)
    written = json.dumps(received) if constant else repr(received)
    return f"{key}: {message[:1].lower()}{message[1:]}. Received: {written}"
