"""The recipes on the cards are sections of the config, and say what the papers print."""

from __future__ import annotations

import pytest

import models
from experiments.config import settings
from experiments.inspection.recipe import config_of, differences, in_words, sections

WITH_RECIPE = [name for name in models.list_models() if models.card(name).recipe]


@pytest.mark.parametrize("name", WITH_RECIPE)
def test_a_recipe_is_sections_of_the_config(name: str) -> None:
    recipe = models.card(name).recipe
    raw = settings.override(config_of(models.card(name)), ["data.source=digits"])
    config = settings.parse(raw, name)
    flat = settings.flatten(sections(recipe))
    for key in recipe["assumed"]:
        assert any(known == key or known.startswith(f"{key}.") for known in flat), key
    # at the paper's own batch the rate is the paper's
    optimizer = config.train.optimizer
    assert optimizer.learning_rate_for_batch in (None, config.data.batch_size)


def recipe_of(name: str) -> dict[str, object]:
    return settings.flatten(sections(models.card(name).recipe))


def test_recipes_hold_what_the_papers_print() -> None:
    wanted: dict[str, dict[str, object]] = {
        "alexnet": {  # section 5
            "data.batch_size": 128, "train.optimizer.momentum": 0.9, "train.epochs": 90,
            "train.optimizer.weight_decay": 0.0005, "train.optimizer.learning_rate": 0.01,
            "train.schedule.monitor": "val_top1", "train.schedule.smallest_rate": 1e-5,
            "evaluate.protocol": "alexnet",
        },
        "inception_v3": {  # section 8
            "train.optimizer.rho": 0.9, "train.optimizer.epsilon": 1.0, "train.epochs": 100,
            "train.optimizer.learning_rate": 0.045, "train.schedule.rate": 0.94,
            "train.schedule.every_epochs": 2, "train.optimizer.clip.global_norm": 2.0,
            "train.loss.label_smoothing": 0.1,
        },
        "resnet20_cifar": {  # section 4.2
            "train.schedule.boundaries.32000": 0.01, "train.schedule.boundaries.48000": 0.001,
            "train.schedule.unit": "updates", "train.optimizer.learning_rate": 0.1,
            "train.optimizer.weight_decay": 0.0001, "augment.preset": "cifar",
        },
        "lenet5_1998": {  # section III.B: eta 5e-4, 2e-4, 1e-4, 5e-5, 1e-5, all over mu, 0.02
            "train.epochs": 20, "train.optimizer.learning_rate": 5e-4 / 0.02,
            "train.schedule.boundaries.2": 0.01, "train.schedule.boundaries.5": 0.005,
            "train.schedule.boundaries.8": 0.0025, "train.schedule.boundaries.12": 0.0005,
        },
        "nin_cifar": {  # the authors' README: 200 epochs, 30 and 30 more; epsW 1 and 0.1, coeff 0.1
            "train.epochs": 260, "train.schedule.boundaries.200": 0.01,
            "train.schedule.boundaries.230": 0.001, "train.optimizer.weight_decay": 1e-4,
            "train.optimizer.factors.mlpconv3_3_conv/*.rate": 0.1,
        },
        "nin": {  # the solver's stepsize 200,000 of 450,000; blobs_lr 1 and 2
            "train.updates": 450_000, "train.schedule.boundaries.200000": 0.001,
            "train.schedule.boundaries.400000": 1e-4, "train.optimizer.factors.*bias.rate": 2,
        },
        "resnet110_cifar": {"train.schedule.warmup.until_train_error": 0.8, "train.updates": 64000},
        "resnet50_v2": {  # the appendix, where the rate falls at 30 and 60 epochs
            "train.schedule.boundaries.30": 0.01, "train.schedule.boundaries.60": 0.001,
        },
    }  # fmt: skip
    for name, facts in wanted.items():
        assert recipe_of(name) | facts == recipe_of(name), name
    # each group is of one family, trained alike
    for names in (("vgg_a", "vgg_c", "vgg19"), ("plain18", "resnet34", "resnet152")):
        first, *others = (models.card(name).recipe for name in names)
        assert all(differences(first, other) == [] for other in others)


def test_a_recipe_is_read_by_people() -> None:
    text = "\n".join(in_words(models.card("googlenet").recipe))
    assert text.startswith("Going Deeper with Convolutions, sections 6, 7 (re-read)\ndata:\n")
    assert "    rate: 0.96\n    every_epochs: 8\n" in text
    assert "- train.optimizer.weight_decay: not printed; BVLC's" in text
    assert "not re-read" not in text
    lenet = in_words(models.card("lenet5").recipe)[0]
    assert "(not re-read: a convention, which no one publication prints)" in lenet


def test_the_differences_of_two_recipes_are_words_for_the_command_line() -> None:
    small, deep = models.card("resnet20_cifar").recipe, models.card("resnet110_cifar").recipe
    words = differences(small, deep)
    assert words == ['train.schedule.warmup={"rate": 0.01, "until_train_error": 0.8}']
    assert settings.override(sections(small), words) == sections(deep)
    vgg, googlenet = models.card("vgg16").recipe, models.card("googlenet").recipe
    assert "train.schedule.monitor=null" in differences(vgg, googlenet)
