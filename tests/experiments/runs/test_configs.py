"""Every shipped sweep runs as it is: each of its cells can be planned and built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import experiments.configs
import models
from experiments.config import settings
from experiments.runs import sweep
from models.cost import profile

FOLDER = Path(experiments.configs.__file__).parent
CONFIGS = sorted(
    path.relative_to(FOLDER)
    for path in FOLDER.rglob("*.yaml")
    if path.parent.name != "papers" and settings.load(path).sweep.axes
)


def test_the_ablations_are_all_there() -> None:
    assert {path.stem for path in CONFIGS} == {
        "quickstart", "history", "autoencoders", "activations", "dense_vs_conv", "depth",
        "inception_modules", "initializers", "kernels", "layerwise_pretraining", "normalizations",
        "regularizers", "training_size", "warm_start", "where_variance_comes_from",
    }  # fmt: skip


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_cell_can_be_planned_and_built(path: Path) -> None:
    config = settings.load(FOLDER / path)

    cells = list(sweep.plan_cells(config, str(path)))

    assert config.name == path.stem
    assert len(cells) > 1
    built = set()  # each network once, whatever seeds and rates it is trained with
    for plan in (cell.plan for cell in cells):
        network, shape = plan.config.model, plan.input_shape
        key = (network.name, json.dumps(network.options), shape, plan.classes)
        if key not in built:
            built.add(key)
            models.outline(network.name, input_shape=shape, classes=plan.classes, **network.options)


def test_the_quickstart_compares_a_dense_a_plain_and_a_residual_network_within_its_minute() -> None:
    cells = list(sweep.plan_cells(settings.load(FOLDER / "quickstart.yaml"), "quickstart"))
    plans = [cell.plan for cell in cells]

    assert {plan.classes for plan in plans} == {20}, "top-5 of few classes says nothing"
    macs = {}
    for plan in plans:
        network = plan.config.model
        macs[network.name] = profile(
            models.outline(
                network.name, input_shape=plan.input_shape, classes=20, **network.options
            )
        ).macs
    assert {"mlp", "lenet5"} < set(macs)
    assert macs["plain20_cifar"] == macs["resnet20_cifar"], "shortcuts alone tell them apart"

    shown = sum(
        macs[plan.config.model.name] * len(plan.split.train) * plan.config.train.epochs
        for plan in plans
    )
    assert shown < 0.6e12  # 0.48e12 takes 105 s of CPU, comparison included
