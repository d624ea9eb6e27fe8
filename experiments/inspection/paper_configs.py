"""The configs of the papers, made from the cards by `make papers`.

A config says nothing that its card does not: change the recipe on the card and make it again. What
the images are has to be given, as data.source.
"""

from __future__ import annotations

import math
import textwrap
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import models
from experiments.config import yaml_text
from experiments.config.meant import CONFIGS
from experiments.inspection.recipe import (
    config_of,
    differences,
    source_in_words,
    verified_in_words,
)
from experiments.jobs.pace import PASSES
from experiments.presentation.formatting import si
from models.published import Published, figures

if TYPE_CHECKING:
    from models.cards import ModelCard

RESNETS = ("resnet50", "resnet18", "resnet34", "resnet101", "resnet152", "plain18", "plain34")
ON_CIFAR = tuple(f"resnet{depth}_cifar" for depth in (20, 32, 44, 56, 110))
PAPERS: dict[str, tuple[str, ...]] = {
    "lenet5_1998": ("lenet5_1998",),
    "lenet5": ("lenet5",),
    "alexnet": ("alexnet", "alexnet_ungrouped"),
    "alexnet_owt": ("alexnet_owt",),
    "zfnet": ("zfnet",),
    "nin": ("nin",),
    "nin_cifar": ("nin_cifar",),
    "vgg": ("vgg16", "vgg_a", "vgg_a_lrn", "vgg_b", "vgg_c", "vgg19"),
    "googlenet": ("googlenet",),
    "bn_inception": ("bn_inception",),
    "inception_v2": ("inception_v2",),
    "inception_v3": ("inception_v3",),
    "inception_v4": ("inception_v4",),
    "inception_resnet": ("inception_resnet_v2", "inception_resnet_v1"),
    "resnet_imagenet": RESNETS,
    "resnet_v1_5": ("resnet50_v1_5", "resnet101_v1_5", "resnet152_v1_5"),
    "resnet_cifar": (*ON_CIFAR, "plain20_cifar", "plain56_cifar"),
    "resnet_v2": ("resnet50_v2", "resnet101_v2", "resnet152_v2"),
}
"""Networks of each config; the first is the one that it names."""
ILSVRC, CIFAR, MNIST = (
    ("ilsvrc:DIR", "ILSVRC-2012", 1_281_167),
    ("cifar", "CIFAR-10", 50_000),
    ("mnist", "MNIST", 60_000),
)
WIDTH = 98


def text(name: str) -> str:
    """The config of that name, with what it costs and is held against as a comment."""
    card, *others = (models.card(network) for network in PAPERS[name])
    source = images_of(card)[0]
    written = yaml_text.write({"name": name} | config_of(card))
    body = written.replace("source: null\n", f"source: null  # required: data.source={source}\n")
    return "".join(f"{line}\n" for line in _comment(name, card, others)) + body


def images_of(card: ModelCard) -> tuple[str, str, int]:
    """How the paper's images are named as data.source, what they are, how many it trains on."""
    if card.classes > 10:
        return ILSVRC
    spec, words, images = CIFAR if card.input_shape[2] == 3 else MNIST
    held_out = card.recipe.get("validation", {}).get("validation_fraction", 0.0)
    return spec, words, round(images * (1 - held_out))


def _comment(name: str, card: ModelCard, others: list[ModelCard]) -> list[str]:
    source, recipe = images_of(card)[0], card.recipe
    lines = ["# yaml-language-server: $schema=../schema.json"]
    lines += [*_wrapped(f"{card.title}: {source_in_words(recipe)}."), "#"]
    lines.append(f"#   ilsvrc train experiments/configs/papers/{name}.yaml data.source={source}")
    for other in others:
        words_of = " ".join(f"'{word}'" for word in differences(recipe, other.recipe))
        lines.append(f"#   ... model.name={other.name} {words_of}".rstrip())
    lines += [*_wrapped(f"Source: {verified_in_words(recipe)}."), *_wrapped(_cost(card))]
    optimizer = recipe["train"]["optimizer"]
    if batch := optimizer.get("learning_rate_for_batch"):
        rate = optimizer["learning_rate"]
        lines += _wrapped(
            "One device: lower data.batch_size until it fits, or raise it. The rate of a batch B "
            f"is {rate:g} x B / {batch}, the linear rule; train.accumulate shows {batch} in parts."
        )
    lines += _held_against(card)
    words = " ".join(
        f"evaluate.{key}={str(value).replace(' ', '')}" for key, value in recipe["evaluate"].items()
    )
    lines.append(f"# Scored as there: ilsvrc evaluate RUN {words}")
    lines += _wrapped(
        f"`ilsvrc describe {card.name}` says what the source leaves open "
        f"({len(recipe['assumed'])} keys) and what no key can say ({len(recipe['prose'])})."
    )
    return [*lines, "# Made from its card by `make papers`: change that."]


def _cost(card: ModelCard) -> str:
    """Images and multiply-accumulates of the whole training, on the images of the paper."""
    train, batch = card.recipe["train"], card.recipe["data"]["batch_size"]
    _, name, images = images_of(card)
    an_epoch = math.ceil(images / batch)
    updates = train.get("updates") or train["epochs"] * an_epoch
    epochs = train.get("epochs") or updates / an_epoch
    seen = updates * batch if "updates" in train else train["epochs"] * images
    return (
        f"To train: {epochs:.3g} epochs of {images:,} images of {name}, {si(seen)} in all in "
        f"{updates:,} updates of {batch}; {PASSES} x {si(card.macs)} MACs each, "
        f"{PASSES * card.macs * seen:.2g} MACs."
    )


def _held_against(card: ModelCard) -> list[str]:
    """The errors of a single network, the authors' own where there are any."""
    single = [figure for figure in figures(card) if figure.networks == 1]
    shown = [figure for figure in single if figure.own] or single
    return ["# Held against, % top-1 / top-5:", *map(_figure, shown)] if shown else []


def _figure(figure: Published) -> str:
    errors = " / ".join(f"{e:g}" if e else "-" for e in (figure.top1_error, figure.top5_error))
    line = f"#   {errors}: {figure.dataset}, {figure.protocol} ({figure.source})"
    return textwrap.fill(line, WIDTH, subsequent_indent="#     ", break_long_words=False)


def _wrapped(sentences: str) -> list[str]:
    return textwrap.wrap(
        sentences, WIDTH, initial_indent="# ", subsequent_indent="# ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def write() -> dict[Path, str]:
    """Write all of them where they are shipped; the files and their texts."""
    folder = Path(str(resources.files(CONFIGS))) / "papers"
    folder.mkdir(exist_ok=True)
    made = {folder / f"{name}.yaml": text(name) for name in PAPERS}
    for path, content in made.items():
        path.write_text(content, encoding="utf-8")
    return made


if __name__ == "__main__":
    write()
