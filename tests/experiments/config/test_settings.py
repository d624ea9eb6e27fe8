"""Config files, overrides, and what a mistake in them is told."""

from __future__ import annotations

import copy

import pytest
import yaml

from experiments.config import settings
from experiments.config.identity import config_hash
from experiments.config.schema import Config
from experiments.errors import BadInput


def load(tmp_path, text, *overrides):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return settings.load(path, overrides)


def test_empty_file_gives_every_default(tmp_path):
    assert load(tmp_path, "") == Config()


def test_overrides_are_read_as_yaml_in_order(tmp_path):
    config = load(
        tmp_path,
        "train: {epochs: 3}\naugment: {steps: [{op: pad_and_crop, padding: 2}]}",
        "train.epochs=5",
        "train.epochs=7",
        "train.optimizer.learning_rate=1e-3",
        "train.freeze=[conv*, fc1]",
        "data.image_size=[48, 64]",
        "augment.steps.0.padding=3",
        "train.early_stopping.patience=2",
        "tracking.uri=sqlite:///a=b.db",
    )
    assert config.train.epochs == 7
    assert config.train.optimizer.learning_rate == 0.001
    assert config.train.freeze == ("conv*", "fc1")
    assert config.data.image_size == (48, 64)
    assert config.augment.steps[0].padding == 3
    assert config.train.early_stopping.patience == 2
    assert config.tracking.uri == "sqlite:///a=b.db"


@pytest.mark.parametrize(
    ("text", "overrides", "said"),
    [
        ("train: {optimiser: {}}", [], ["train.optimiser", "did you mean train.optimizer?"]),
        ("epochs: 3", [], ["epochs: unknown key", "train.epochs"]),
        ("zzzz: 3", [], ["zzzz: unknown key", "valid: name, seed, data"]),
        (
            "augment: {steps: [{op: pad_and_crop, paddin: 2}]}",
            [],
            ["augment.steps.0.paddin", "did you mean augment.steps.0.padding?"],
        ),
        ("augment: {steps: [{op: cropp}]}", [], ["augment.steps.0.op", "pad_and_crop", "'cropp'"]),
        ("", ["train.optimizer.learning_rate=0"], ["learning_rate", "greater than 0", "0"]),
        ("", ["train.optimizer.learning_rate=-0.1"], ["learning_rate", "greater than 0"]),
        ("", ["train.optimizer.learning_rate=.nan"], ["learning_rate", "finite"]),
        ("", ["train.epochs=-1"], ["train.epochs", "-1"]),
        ("", ["train.epochs=two"], ["train.epochs", "valid integer", "'two'"]),
        ('train: {epochs: "3"}', [], ["train.epochs", "valid integer", "'3'"]),
        ("seed: true", [], ["seed", "valid integer"]),
        ("data: 3", [], ["data: expected a section", "3"]),
        ("", ["train.optimizer.name=sdg"], ["train.optimizer.name", "'sgd'", "'sdg'"]),
        ("", ["train.loss={name: hinge, label_smoothing: 0.1}"], ["label_smoothing", "hinge"]),
        ("", ["train.epochs.x=1"], ["train.epochs"]),
        ("", ["epochs"], ["key.path=value", "epochs"]),
        ("", ["sweep={seed: []}"], ["sweep", "axis seed has no values"]),
        ("", ["sweep={seed: [1, 1]}"], ["sweep", "seed", "twice"]),
        ("", ["name=a b"], ["name", "letters"]),
        (
            "augment: {steps: [{op: horizontal_flip}]}",
            ["augment.preset=cifar"],
            ["augment", "preset cifar and steps exclude each other"],
        ),
        ("x: [", [], ["not YAML", "line"]),
        ("- 1", [], ["expected sections"]),
    ],
)
def test_a_mistake_is_one_line_with_file_key_and_fix(tmp_path, text, overrides, said):
    with pytest.raises(BadInput) as caught:
        load(tmp_path, text, *overrides)
    message = str(caught.value)
    assert "\n" not in message
    for word in said:
        assert word in message
    if not any("=" not in word for word in overrides):
        assert "c.yaml" in message


def test_overrides_leave_the_mapping_of_the_caller_alone():
    raw = {"train": {"epochs": 3, "freeze": ["a", "b"]}, "augment": {"steps": [{"op": "rotate"}]}}
    before = copy.deepcopy(raw)
    words = ["train.epochs=5", "train.freeze.0=c", "augment.steps.0.degrees=4", "model.name=mlp"]
    changed = settings.override(raw, words)
    assert raw == before
    assert changed["train"] == {"epochs": 5, "freeze": ["c", "b"]}
    assert changed["augment"]["steps"] == [{"op": "rotate", "degrees": 4}]


def test_an_axis_can_be_set_by_its_dotted_key(tmp_path):
    text = "sweep: {model.name: [mlp], seed: [1, 2]}"
    config = load(tmp_path, text, "sweep.model.name=[lenet5]", "sweep.train.epochs=[1, 3]")
    assert config.sweep.axes == {"model.name": ["lenet5"], "seed": [1, 2], "train.epochs": [1, 3]}


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(BadInput, match=r"train\.epochs.*train\.optimizer\.learning_rate"):
        load(tmp_path, "train: {epochs: -1, optimizer: {learning_rate: 0}}")


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "quickstart.yaml").write_text("")
    with pytest.raises(BadInput, match=r"quickstar\.yaml: no such config.*quickstart\.yaml"):
        settings.load(tmp_path / "quickstar.yaml")


def test_a_written_config_reads_back_as_itself(tmp_path):
    from experiments.config.settings import to_yaml

    config = load(tmp_path, "augment: {preset: alexnet}\nmodel: {options: {activation: relu}}")
    assert load(tmp_path, to_yaml(config)) == config
    assert yaml.safe_load(to_yaml(config))["model"]["options"] == {"activation": "relu"}


def test_flatten_gives_dotted_leaves():
    flat = settings.flatten({"a": {"b": 1, "c": [1, 2]}, "d": {}})
    assert flat == {"a.b": 1, "a.c": [1, 2], "d": {}}


def test_ready_configs_are_valid():
    from importlib.resources import files

    found = [f for f in files("experiments.configs").iterdir() if f.name.endswith(".yaml")]
    assert found
    for file in found:
        settings.load(str(file))


def test_the_first_key_of_a_config_is_kept(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_bytes("\ufeffseed: 7\r\ntrain:\r\n  epochs: 3\r\n".encode())
    config = settings.load(file)
    assert (config.seed, config.train.epochs) == (7, 3)
    file.write_bytes(b"#" * 1_000_001)
    with pytest.raises(BadInput, match=r"c\.yaml: has more than 1,000,000 bytes"):
        settings.load(file)


UNTIL = [
    ("sweep.until.alhpa=0.1", "sweep.until.alhpa: unknown key; did you mean sweep.until.alpha?"),
    ("sweep.until=5", "sweep.until: expected a section with keys below it. Received: 5"),
    ("sweep.until.alpha=0", "sweep.until.alpha: input should be greater than 0. Received: 0"),
    ("sweep.until.at_most=two", "sweep.until.at_most: input should be a valid integer"),
    ("sweep.until.at_most=2", "until.at_most: 2, and the axis seed names 3 to begin with"),
    ("sweep.until.at_most=99999", "the axes come to 399,996 runs, and 100,000 are the most"),
]


@pytest.mark.parametrize(("word", "says"), UNTIL)
def test_when_a_sweep_has_seeds_enough_is_refused_in_a_line(word, says):
    with pytest.raises(BadInput) as error:
        settings.load("quickstart", [word])
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_when_a_sweep_has_seeds_enough_is_no_axis_and_changes_no_run():
    plain = settings.load("quickstart")
    asked = settings.load("quickstart", ["sweep.until={margin: null}", "sweep.until.alpha=0.1"])
    assert asked.sweep.axes == plain.sweep.axes
    assert asked.sweep.until.model_dump() == {"alpha": 0.1, "margin": None, "at_most": 20}
    assert "until" not in plain.model_dump(mode="json")["sweep"]
    assert settings.parse(yaml.safe_load(settings.to_yaml(asked))) == asked
    assert config_hash(asked) == config_hash(plain)
    one = settings.at_axes(asked.model_dump(mode="json"), {"seed": 4}, "")
    assert one.sweep.until is None
