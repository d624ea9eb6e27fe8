"""What YAML says is what is written: repeated keys, plain words, and the cost of bad input."""

from __future__ import annotations

import pytest

from experiments.config import settings, yaml_text
from experiments.config.settings import to_yaml
from experiments.errors import BadInput


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {epochs: 3}\nseed: 2\ntrain:\n  epochs: 4\n",
         "c.yaml, line 3: train is written twice, first in line 1; keep one"),
        ("train:\n  optimizer:\n    momentum: 0.5\n    name: sgd\n    momentum: 0.6\n",
         "c.yaml, line 5: train.optimizer.momentum is written twice, first in line 3; keep one"),
        ("sweep:\n  seed: [1]\n  train.epochs: [1]\n  'seed': [2]\n",
         "c.yaml, line 4: sweep.seed is written twice, first in line 2; keep one"),
        ("augment:\n  steps:\n  - op: rotate\n    degrees: 1\n    degrees: 2\n",
         "c.yaml, line 5: augment.steps.0.degrees is written twice, first in line 4; keep one"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n",
         "c.yaml, line 4: b.<< is written twice, first in line 3; keep one"),
        ("{a: 1, a: 1}", "c.yaml: a is written twice; keep one"),
    ],
)  # fmt: skip
def test_a_repeated_key_is_refused_by_its_name_and_lines(text, said):
    with pytest.raises(BadInput) as caught:
        yaml_text.read(text, "c.yaml")
    assert str(caught.value) == said


def test_a_word_of_the_command_line_repeats_no_key_either():
    with pytest.raises(BadInput, match=r"^train: optimizer\.name is written twice; keep one$"):
        settings.override({}, ["train={optimizer: {name: sgd, name: adam}}"])


def test_keys_are_the_words_that_are_written():
    keys = ["no", "on", "true", "null", "01", "1e5", "1:30", "1_0", "0x10", "1.50", "2001-01-01"]
    text = ", ".join(f"{key}: 2.0" for key in keys)
    config = settings.parse(settings.override({}, [f"train.class_weights={{{text}}}"]))
    assert list(config.train.class_weights) == keys
    again = settings.parse(settings.sections(to_yaml(config), "config.yaml"))
    assert again == config


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("no", "Yes", "off", "010", "-01", "1:30", "1:30.5", "=",
                                    "2001-01-01", "2001-99-99", "0o17", "0x_", "1e", "e5")),
        ("1e-4", 1e-4), ("1E5", 1e5), ("-.5", -0.5), ("1.", 1.0), ("1.5e3", 1500.0), ("0.1", 0.1),
        ("178_956_970", 178956970), ("0x1F", 31), ("0b11", 3), ("0", 0), ("-7", -7), ("+7", 7),
        ("~", None), ("null", None), ("", None), ("true", True), ("False", False),
        ("!!str 010", "010"), ("!!float 1", 1.0), ("'1e5'", "1e5"), ("-.inf", float("-inf")),
        ("{a: &x {b: 1, c: 2}, d: {<<: *x, c: 3}}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("[&x {b: 1}, {<<: [{b: 2}, *x]}]", [{"b": 1}, {"b": 2}]),
    ],
)  # fmt: skip
def test_plain_words_are_read_as_written(text, value):
    got = yaml_text.read(text, "x")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train.epochs=010", "Received: '010'"),
        ("train.epochs=1:30", "Received: '1:30'"),
        ("train.jit=yes", "valid boolean. Received: 'yes'"),
        ("train.epochs=null", "valid integer. Received: null"),
        ("train.epochs=true", "valid integer. Received: true"),
        ("name=1e5", "name: input should be a valid string; put quotes around it"),
        ("train.epochs=!!int 010", "'010' is no int"),
        ("data=!!set {a}", "only plain values are read, never objects. Received: tag !!set"),
        ("data=!!timestamp 2001-01-01", "never objects. Received: tag !!timestamp"),
        ("data={<<: 3}", "<< takes a mapping"),
        ("data={[a]: 3}", "a key must be a word"),
    ],
)
def test_what_is_refused_is_named_as_it_was_written(word, said):
    with pytest.raises(BadInput) as caught:
        settings.parse(settings.override({}, [word]))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_configs_written_before_are_read_as_before():
    """By PyYAML's dumper at YAML 1.1, which quoted other words than ours."""
    text = (
        "train:\n  class_weights: {'no': 2.0, '01': 1.0}\n  optimizer: {weight_decay: 1.0e-05}\n"
        "  jit: false\n  freeze: ['1:30', 'on', '1e5']\nmodel: {weights: null}\n"
    )
    train = settings.parse(settings.sections(text, "config.yaml")).train
    assert train.class_weights == {"no": 2.0, "01": 1.0}
    assert train.optimizer.weight_decay == 1e-5
    assert train.freeze == ("1:30", "on", "1e5")


def test_a_text_that_is_too_long_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(yaml_text, "_Loader", None)  # calling it would fail
    with pytest.raises(BadInput, match=r"^c\.yaml: more than 250,000 characters"):
        yaml_text.read("a" * 250_001, "c.yaml")


@pytest.mark.parametrize("kind", ["9", "0x", "1.", "1_", ".5", "1e", "-0b1"])
def test_a_long_number_is_refused_in_steps_that_grow_with_its_length(kind):
    """A quadratic pattern takes minutes for this many digits: the test would run into its limit."""
    with pytest.raises(BadInput, match=r"a number of 2[0-9]{5} characters cannot be read"):
        yaml_text.read(kind + "1" * 200_000, "x")
    assert yaml_text.read(kind + "1" * 200_000 + "x", "x").endswith("1x")
