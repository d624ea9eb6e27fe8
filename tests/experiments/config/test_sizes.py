"""Sizes that no machine holds are refused in one line, before anything starts."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from command import inside, write_config
from pydantic import BaseModel

from experiments.config import settings
from experiments.config.schema import LONGEST_NAME, Config, Seeds
from experiments.errors import BadInput
from experiments.jobs.plan import prepare
from experiments.runtime import machine

UNBOUNDED = {"seed", "validation.seed", "search.seed"}  # any number seeds
UNBOUNDED |= {f"seeds.{draw}" for draw in Seeds.model_fields}
HUGE = 10**20


def whole_numbers(model: type[BaseModel], above: str = "") -> list[tuple[str, bool]]:
    """Every key that takes a whole number, and whether in a list."""
    keys = []
    for name, field in model.model_fields.items():
        keys += inside_of(f"{above}{name}", field.annotation)
    return keys


def inside_of(key: str, kind: Any) -> list[tuple[str, bool]]:
    if get_origin(kind) in (Union, UnionType):
        return list(dict.fromkeys(x for one in get_args(kind) for x in inside_of(key, one)))
    if get_origin(kind) is Annotated:
        return inside_of(key, get_args(kind)[0])
    if get_origin(kind) is tuple:
        return [(key, True) for one in get_args(kind) if inside_of(key, one) == [(key, False)]][:1]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return whole_numbers(kind, f"{key}.")
    return [(key, False)] if kind is int else []


KEYS = [key for key in whole_numbers(Config) if key[0] not in UNBOUNDED]


def test_the_walk_finds_the_keys():
    assert {"data.batch_size", "data.image_size", "train.epochs", "bench.latency_calls"} <= {
        key for key, _ in KEYS
    }
    assert ("bench.batch_sizes", True) in KEYS


@pytest.mark.parametrize(("key", "listed"), KEYS)
def test_no_key_takes_what_no_machine_holds(key, listed):
    value = [HUGE, HUGE] if listed else HUGE
    with pytest.raises(BadInput) as caught:
        settings.parse(settings.override({}, [f"{key}={value}"]))
    assert f"config: {key}" in str(caught.value)
    assert "less than" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "step", ["pad_and_crop, padding: 9999999", "scale_and_crop, short_side: [2, 9999999]"]
)
def test_steps_of_the_recipe_neither(step):
    with pytest.raises(BadInput, match="less than or equal to 16384"):
        settings.parse(settings.override({}, [f"augment.steps=[{{op: {step}}}]"]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data.batch_size=100000000000000000000"], "data.batch_size: input should be less than"),
        (["name=" + "n" * (LONGEST_NAME + 1)], "name: string should have at most 200 characters"),
        (["model.name=mlp", "model.options.hidden=[100000000]"],
         "model: hidden must be a list of positive integers up to 1000000"),
        (["model.options.width=1e9"], "model: width must be a number at most 100. Received: "),
    ],
)  # fmt: skip
def test_a_dry_run_refuses_it_in_one_line(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    path = write_config(tmp_path)
    assert inside(monkeypatch, "train", path, *words, "--dry-run") == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_sweep_of_more_runs_than_anybody_waits_for_is_refused():
    axes = {f"train.optimizer.{key}": [n / 100 for n in range(1, 51)] for key in
            ("learning_rate", "momentum", "weight_decay")}  # fmt: skip
    with pytest.raises(BadInput, match=r"sweep: the axes come to 125,000 runs, and 100,000 are"):
        settings.parse({"sweep": axes})
    axes["train.optimizer.momentum"] = [n / 100 for n in range(1, 41)]
    assert len(settings.parse({"sweep": axes}).sweep.axes) == 3


def test_the_longest_name_is_a_folder(tmp_path):
    config = settings.parse({"name": "n" * LONGEST_NAME})
    (tmp_path / config.name).mkdir()


@pytest.mark.parametrize("words", [["n" * 300 + ".yaml"], ["tiny.yaml", "model.weights=IT.pth"]])
def test_a_file_whose_name_is_too_long_is_one_line(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path)
    words = [word.replace("IT", "w" * 300) for word in words]
    assert inside(monkeypatch, "train", *words, "--dry-run") == 2
    said = capsys.readouterr().err
    assert "longer than names of files may be" in said
    assert said.count("\n") == 1


def test_batches_and_weights_are_held_against_the_memory(monkeypatch):
    total = type("Memory", (), {"total": 10 * 2**20})
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: total)
    config = settings.parse({"data": {"image_size": 32, "eval_batch_size": 2560}})
    assert prepare(config).config.data.eval_batch_size == 2560
    larger = settings.parse({"data": {"image_size": 32, "eval_batch_size": 2561}})
    says = r"^data\.eval_batch_size: a batch of 2,561 images of 32x32x1 needs 0\.0 GiB"
    with pytest.raises(BadInput, match=says):
        prepare(larger)
    one = settings.parse({"data": {"batch_size": 10**6}})  # all images are one batch
    prepare(one)
    with pytest.raises(BadInput, match=r"^model: a network of 2,000,000 parameters needs"):
        machine.check_weights(2_000_000)
    machine.check_weights(1_000_000)
