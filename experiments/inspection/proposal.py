"""Settings for a first sweep over one's own images, each with the reason it was chosen for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from experiments.inspection.budget import LARGE, ROOM, SEEDS, Work, natural_side
from experiments.inspection.survey import Survey
from experiments.jobs.composition import IMBALANCED
from pipelines.sources.open import SCHEMES

FEW = 50  # training images of a class: below, the score of one split says little
FOLDS = 5
UNKNOWN = Work(size=(96, 96), width=0.25, networks=LARGE, batch=32, epochs=20)
"""What is written where no images are named: photographs, on a workstation."""


class Choice(NamedTuple):
    """A setting, why it is so, and whether it is set or only suggested."""

    value: Any
    why: str
    is_set: bool = True


def settings(images: Survey | None, work: Work) -> dict[str, Choice]:
    """By dotted key, in the order in which they are to be written."""
    return dict([*_data(images, work), *_model(images, work), *_rest(images, work)])


def _data(images: Survey | None, work: Work) -> Iterator[tuple[str, Choice]]:
    height, width = work.size
    if images is None:
        forms = ", ".join(scheme.form for scheme in SCHEMES.values())
        yield "data.source", Choice("folder:DIR", f"Write your own here; one of {forms}.")
    else:
        yield "data.source", Choice(images.spec, f"{images.described()}.")
    size = height if height == width else [height, width]
    yield "data.image_size", Choice(size, _why_size(images, work))
    if images and images.channels == 1:
        grey = "Grey, as far as was looked; 3 for colour, which some published weights need."
        yield "data.channels", Choice(1, grey)
    why = "A power of two near a fiftieth of the training images, from 16 to 128."
    if images is None:
        why = "16 to 128; small sets learn better from small batches."
    yield "data.batch_size", Choice(work.batch, f"{why} Search the learning rate again with it.")
    if work.share < 1:
        why = "All of the training images take longer than the time that was given; 1 is all."
        yield "data.train_fraction", Choice(work.share, why)


def _why_size(images: Survey | None, work: Work) -> str:
    published = "Most networks were published at 224 to 299."
    if images is None:
        return f"Not above the short side of your images; time grows with its square. {published}"
    natural, side = natural_side(images), min(work.size)
    if side < natural:
        return (
            f"Shrunk to fit the time; {natural} shows more of images whose short side is "
            f"{images.short_side[1]:g} pixels. {published}"
        )
    return "The images' own size." if images.fixed_size else f"Near their short side. {published}"


def _model(images: Survey | None, work: Work) -> Iterator[tuple[str, Choice]]:
    if work.options:
        reasons = []
        if "width" in work.options:
            reasons.append(
                f"width: {work.width:g} of the published channels, so that it takes minutes and "
                "not days; take it out with more time or a GPU."
            )
        if "normalization" in work.options:
            reasons.append(
                "normalization: batch in all networks, so that the oldest learn in so few epochs "
                "too; without it they are as published."
            )
        yield "model.options", Choice(work.options, " ".join(reasons))
    if max(work.size) > ROOM and (images is None or images.channels == 3):
        why = (
            "Of few photographs, weights that were trained on ImageNet make more than any other "
            "setting. They suit vgg16, vgg19, resnet50, resnet50_v2, inception_v3 and "
            "inception_resnet_v2 in full: name these in the sweep, take model.options out, and "
            "set data.normalise: published."
        )
        yield "model.weights", Choice("imagenet", why, is_set=False)


def _rest(images: Survey | None, work: Work) -> Iterator[tuple[str, Choice]]:
    yield _augment(images, work)
    yield "train.epochs", Choice(work.epochs, "More where the validation curve still climbs.")
    optimizer = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.0005}
    why = "What the papers used. 0.01 to 0.1 is usual: `ilsvrc search` finds a network's own."
    yield "train.optimizer", Choice(optimizer, why)
    schedule = {"name": "cosine", "warmup_epochs": 1}
    yield "train.schedule", Choice(schedule, "Ends at 0, so that all runs end at rest.")
    if images and images.largest[1] >= IMBALANCED * images.smallest[1]:
        why = (
            f"{images.largest[0]} has {images.largest[1]:,} training images, {images.smallest[0]} "
            f"{images.smallest[1]:,}. This weighs classes by their size; per-class accuracy tells "
            "more than top-1 then."
        )
        yield "train.class_weights", Choice("balanced", why, is_set=False)
    yield from _validation(images)
    why = "From old to new; `ilsvrc models` lists all."
    if images is None:
        why += " Take out what takes too long."
    yield "sweep.model.name", Choice(list(work.networks), why)
    why = "Each network so many times: less than their spread is no difference."
    yield "sweep.seed", Choice(list(SEEDS), why)


def _augment(images: Survey | None, work: Work) -> tuple[str, Choice]:
    look = "`ilsvrc data preview` shows it."
    if min(work.size) <= ROOM:
        if images and images.channels == 1:
            why = "Shifts alone: a mirrored digit or letter is another sign."
            return "augment.steps", Choice([{"op": "pad_and_crop", "padding": 2}], f"{why} {look}")
        why = "Shifts and mirror images; write steps without the flip where left and right matter."
        return "augment.preset", Choice("cifar", f"{why} {look}")
    if images and images.channels == 1:
        why = "Windows of any size, mirrored; the other recipes change colours, which these lack."
        return "augment.preset", Choice("inception", f"{why} {look}")
    why = "Scales, windows, mirror images, light. inception changes more, for long training."
    return "augment.preset", Choice("resnet", f"{why} {look}")


def _validation(images: Survey | None) -> Iterator[tuple[str, Choice]]:
    official = (
        [] if images is None else [n for n, (_, by) in images.parts.items() if by == "official"]
    )
    if official:
        parts = ", ".join(official)
        why = f"The set's own parts are kept ({parts}); what is missing is held out of train."
    else:
        why = "Held out of all images, each class in proportion."
    if "validation" not in official:
        yield "validation.validation_fraction", Choice(0.2, why)
    if "test" not in official and (images is None or "test" in images.parts):
        if images is not None:
            count = images.parts["test"][0]
            why = f"{count:,} images: one of them is {100 / count:.2g} points of accuracy."
        yield "validation.test_fraction", Choice(0.2, why)
    if images and 2 <= images.smallest[1] < FEW:
        folds = min(FOLDS, images.smallest[1])
        why = (
            f"A class has as few as {images.smallest[1]} training images, and one split of so few "
            "says little. With this `ilsvrc train`, `sweep` and `search` train on each of so many "
            f"folds and take the mean, in {folds} times the time; `ilsvrc nested` tests on all "
            "images in turn."
        )
        yield "validation.folds", Choice(folds, why, is_set=False)
