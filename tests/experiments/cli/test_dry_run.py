"""What is said before anything is trained: the runs, their cost, the settings that were chosen."""

from __future__ import annotations

import json

import pytest
from command import inside, write_config

from experiments.config import settings
from experiments.jobs.pace import Pace
from experiments.runs import forecast

AXES = {"model.name": ["mlp", "lenet5"], "seed": [1, 2]}


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(forecast, "probe", lambda: Pace(1e6, 1e-9, 5.0))
    return write_config(tmp_path, sweep=AXES)


def test_a_sweep_shows_each_run_its_cost_and_the_time_of_all(config, monkeypatch, capsys):
    assert inside(monkeypatch, "sweep", config, "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [cell["axes"] for cell in told["cells"]] == [
        {"model.name": name, "seed": seed} for name in AXES["model.name"] for seed in AXES["seed"]
    ]
    mlp, _, lenet, _ = told["cells"]
    assert told["cost"]["macs"] == mlp["macs"] < lenet["macs"]
    assert mlp["seconds"] < lenet["seconds"]
    assert told["seconds_from"] == "a probe"
    assert told["seconds"] == pytest.approx(sum(cell["seconds"] for cell in told["cells"]))
    assert inside(monkeypatch, "sweep", config, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "4 fits, about 21 s (roughly, from a second of convolutions" in out
    assert "bench:" in out  # which the config sets
    assert "momentum" not in out  # a default
    assert not (config.parent / ".ilsvrc").exists()


def test_only_what_differs_from_the_defaults_is_printed_unless_all_is_asked(
    config, monkeypatch, capsys
):
    assert inside(monkeypatch, "train", config, "seed=3", "--dry-run") == 0
    out, err = capsys.readouterr()
    assert "seed: 3" in out
    assert "momentum" not in out
    assert "train takes one run, model.name=lenet5, seed=3, and leaves the sweep axes" in err
    assert "(2 model.name x 2 seed) out; for all of them: ilsvrc sweep" in err
    assert inside(monkeypatch, "train", config, "--dry-run", "--all") == 0
    assert "momentum: 0.9" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ("model.name=mlp", "model.options={hidden: [6]}", "data.source=synthetic:shapes"),
        ("augment={preset: cifar}", "train.schedule={name: cosine, epochs: 40}"),
        ("search={strategy: grid, space: {seed: {type: int, low: 1, high: 3}}, racing: {}}",),
        ("sweep={model.name: [mlp]}", "train.optimizer.clip={norm: 1}", "name=other"),
    ],
)
def test_what_is_printed_gives_the_same_config(words):
    config = settings.parse(settings.override({}, words))
    text = settings.changed_yaml(config.model_dump(mode="json"))
    assert settings.parse(settings.sections(text, "text")) == config
    assert len(text.splitlines()) < 20
