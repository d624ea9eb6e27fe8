"""Config files and words of the command line: what is written is read, and nothing else gets in."""

from __future__ import annotations

import json
import math
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from attempts import attempt
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from experiments.config import settings as config_files
from experiments.config import yaml_text
from experiments.config.augment import STEPS
from experiments.config.identity import config_hash, group_hash
from experiments.config.schema import Config
from experiments.config.settings import to_yaml
from experiments.errors import BadInput
from experiments.tracking import experiment

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["1e3", "-.5E-2", "yes", "null", "2001-01-01", "0x_", "1:30", "=", "~", "#a"]),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=8)
LISTED_APART = {"augment", "search", "sweep"}


def of_type(kind: Any, limits: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """What a field of this type takes, as YAML has it."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        more = [
            x
            for limit in inside[1:]
            for x in (limit.metadata if isinstance(limit, FieldInfo) else [limit])
        ]
        return of_type(inside[0], (*limits, *more))
    if origin in (Union, UnionType):
        return st.one_of([of_type(member, limits) for member in inside])
    if origin is Literal:
        return st.sampled_from(inside)
    if origin is tuple and inside[-1] is Ellipsis:
        return st.lists(of_type(inside[0]), min_size=1, max_size=3)
    if origin is tuple:
        return st.tuples(*map(of_type, inside)).map(list)
    if origin is list:
        return st.lists(of_type(inside[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(NAMES, of_type(inside[1]), max_size=3)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return section(kind)
    if kind is Any:
        return VALUES
    if kind is float:
        return limited(kind, limits).filter(math.isfinite)
    if kind is int:
        return limited(kind, limits)
    return {str: st.text(max_size=12), bool: st.booleans(), type(None): st.none()}[kind]


def limited(kind: type, limits: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.from_type(Annotated[kind, *limits] if limits else kind)


def section(model: type[BaseModel], without: set[str] = frozenset()) -> st.SearchStrategy[Any]:
    """A mapping with some of a section's keys."""
    fields = model.model_fields.items()
    return st.fixed_dictionaries(
        {},
        optional={
            name: of_type(field.annotation, tuple(field.metadata))
            for name, field in fields
            if name not in without
        },
    )


STEP = st.one_of(
    [section(model, {"op"}).map(lambda x, op=op: {"op": op, **x}) for op, model in STEPS.items()]
)
RAW = st.builds(
    lambda name, base, augment, sweep: base | {"name": name} | augment | sweep,
    st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,9}\Z") | st.sampled_from(["1e3", "0", "12E4"]),
    section(Config, LISTED_APART | {"name"}),
    st.one_of(
        st.just({}),
        st.sampled_from(["none", "cifar", "resnet"]).map(lambda x: {"augment": {"preset": x}}),
        st.lists(STEP, max_size=2).map(lambda x: {"augment": {"steps": x}}),
    ),
    st.dictionaries(NAMES, st.lists(LEAVES, min_size=1, max_size=3), max_size=2).map(
        lambda axes: {"sweep": axes}
    ),
)


def accepted(raw: dict[str, Any]) -> Config:
    config, _ = attempt(BadInput, lambda: config_files.parse(raw))
    assume(config is not None)
    assert config
    return config


@settings(max_examples=120)
@given(RAW)
def test_a_resolved_config_is_written_and_read_as_itself(raw: dict[str, Any]) -> None:
    config = accepted(raw)
    written = to_yaml(config)
    again = config_files.parse(config_files.sections(written, "config.yaml"))
    tracking = config.tracking.model_copy(update={"uri": None})  # it may hold a password
    assert again == config.model_copy(update={"tracking": tracking})
    assert config_hash(again) == config_hash(config)
    assert group_hash(again) == group_hash(config)
    assert experiment.params_of(again) == experiment.params_of(config)
    assert to_yaml(again) == written


@settings(max_examples=120)
@given(section(Config, LISTED_APART | {"name", "model", "bench"}))
def test_a_config_is_the_same_as_words_of_the_command_line(raw: dict[str, Any]) -> None:
    config = accepted(raw)
    flat = config_files.flatten(raw)
    assume(all("." not in part for key in flat for part in key.split(".")))
    words = [f"{key}={json.dumps(value)}" for key, value in flat.items()]
    assert config_files.parse(config_files.override({}, words)) == config


KEYS = sorted(config_files.flatten(Config().model_dump(mode="json")))
SECTIONS = sorted(
    {".".join(key.split(".")[:depth]) for key in KEYS for depth in (1, 2)} - set(KEYS)
)


@given(st.sampled_from(["", *SECTIONS]), NAMES, VALUES)
def test_an_unknown_key_is_refused_by_its_name(above: str, name: str, value: Any) -> None:
    key = f"{above}.{name}".strip(".")
    assume(not any(known == key or known.startswith(f"{key}.") for known in [*KEYS, "search"]))
    assume(above not in ("sweep", "model.options", "train.class_weights"))
    with pytest.raises(BadInput) as caught:
        config_files.parse(config_files.override({}, [f"{key}={json.dumps(value)}"]))
    assert "\n" not in str(caught.value)
    assert f"{key}: unknown key; " in str(caught.value)


WORDS = st.one_of(
    st.text(max_size=30),
    st.builds(
        lambda key, tail, text: f"{key}{tail}={text}",
        st.sampled_from(
            [*KEYS, *SECTIONS, "sweep.seed", "search.space.seed", "augment.steps.0.op"]
        ),
        st.sampled_from(
            ["", ".x", ".0", ".²", ".", ".99999999999999999999", "..", ".op", ".\ud800"]
        ),
        st.one_of(
            st.text(max_size=12),
            VALUES.map(json.dumps),
            st.sampled_from(
                ["[", "&a [*a]", "!!int x", "!!python/name:os.x", "2001-99-99", "{a: b}"]
            ),
            st.sampled_from(["0x_", "9" * 5000, "0x" + "f" * 5000, "\x00", "? [a] : b", "\ud800"]),
        ),
    ),
)


@settings(max_examples=400)
@given(
    st.dictionaries(st.sampled_from(["data", "sweep", "search", "augment", "train"]), VALUES),
    st.lists(WORDS, min_size=1, max_size=3),
)
def test_any_words_give_a_config_or_one_line(raw: dict[str, Any], words: list[str]) -> None:
    found = attempt(BadInput, lambda: config_files.parse(config_files.override(raw, words)))
    assert isinstance(found[0], Config) or found[1]


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda x: x.decode("latin-1")))
def test_any_text_of_a_file_gives_sections_or_one_line(text: str) -> None:
    found, why = attempt(BadInput, lambda: config_files.sections(text, "c.yaml"))
    assert isinstance(found, dict) or why.startswith("c.yaml")


@given(VALUES)
def test_yaml_gives_back_what_was_written(value: Any) -> None:
    assert yaml_text.read(yaml_text.write(value), "x") == value
