"""`ilsvrc data preview`: originals beside what the network sees of them, as a labelled grid."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config import settings
from experiments.config.meant import config_file
from experiments.errors import BadInput
from experiments.jobs.dataset import files_unchanged, open_source, steps_of, view
from experiments.jobs.plan import Plan, check_settings
from experiments.jobs.plan import prepare as settle
from experiments.presentation.figure_style import new_figure, save_picture

STATISTICS_IMAGES = 1000  # enough for colours that are only looked at
PHOTOGRAPHS = ("resnet50", "resnet")  # network and recipe where only a source is named
SMALL = ("lenet5", "cifar")


def preview(
    config_or_spec: str, changes: Sequence[str], out: Path, *, images: int = 6, draws: int = 5
) -> dict[str, Any]:
    """Write the grid as PNG: a row an image, first as stored, then `draws` augmented samples.

    A config gives its data, size and recipe. With a source spec alone, photographs are shown with
    the recipe `resnet` at 224 pixels, images of one size with `cifar` at their own.
    Keys of the answer: out, images, draws, recipe.

    Raises:
        BadInput: neither a config nor a source, or a file that cannot be written.
        FailedWork: an image file is damaged, or changed meanwhile.
    """
    from pipelines.augment.recipes import render

    plan = _plan(config_or_spec, changes)
    rows = _spread(plan.source.labels, plan.split.train, images)
    with files_unchanged(plan.source):
        originals = [example["image"].numpy() for example in plan.source.dataset(rows)]
        samples, captions = augmented(plan, rows, draws)
    recipe = render(steps_of(plan.config))
    names = [title if title == name else f"{title}\n{name}" for name, title in _names(plan, rows)]
    try:
        _draw(out, names, originals, samples, captions, f"{plan.config.data.source}\n{recipe}")
    except (OSError, ValueError) as error:
        raise BadInput(f"--out: {out} cannot be written ({error})") from None
    return {"out": str(out), "images": len(rows), "draws": draws, "recipe": recipe}


def is_config(config_or_spec: str) -> bool:
    """Is it a YAML file or the name of a shipped config, and no source?"""
    return config_or_spec.endswith((".yaml", ".yml")) or config_file(Path(config_or_spec)).is_file()


def augmented(plan: Plan, rows: np.ndarray, draws: int) -> tuple[np.ndarray, list[list[str]]]:
    """float32 [images, draws, h, w, c] on 0..255, and what to write under each."""
    from pipelines import statistics
    from pipelines.augment.recipes import Recipe
    from pipelines.build import training_dataset

    size, crop_fraction = view(plan.config)
    # Labels are row numbers here: they tell which image of a shuffled batch is which.
    source = copy.copy(plan.source)
    source.class_names = [title for _, title in _names(plan, rows)]
    source.labels = np.zeros(len(plan.source), np.int64)
    source.labels[rows] = np.arange(len(rows))
    colours = statistics.fit(plan.source, plan.split.train, limit=STATISTICS_IMAGES).colours
    batches = training_dataset(
        source,
        rows,
        Recipe(
            size, steps_of(plan.config), colours, plan.config.seed_of("augmentation"), crop_fraction
        ),
        batch_size=len(rows),
        epochs=draws,
    )
    samples = np.empty((len(rows), draws, *size, source.image_shape[2]), np.float32)
    captions = [[""] * draws for _ in rows]
    for draw, (pixels, labels) in enumerate(batches.as_numpy_iterator()):
        drawn_rows = _rows_of(labels)
        samples[drawn_rows, draw] = pixels
        if labels.ndim == 2:
            for row, shares in zip(drawn_rows, labels, strict=True):
                captions[row][draw] = _mixture(shares, source.class_names)
    return samples, captions


def _names(plan: Plan, rows: np.ndarray) -> list[tuple[str, str]]:
    """Of each image the name of its class, and the readable name, the same where there is none."""
    names = [str(plan.source.class_names[plan.source.labels[i]]) for i in rows]
    return [(name, plan.source.titles.get(name, name)) for name in names]


def _rows_of(labels: np.ndarray) -> np.ndarray:
    """The row of each image of a batch, from hard labels [b] or soft ones [b, rows]."""
    if labels.ndim == 1:
        return labels
    from scipy.optimize import linear_sum_assignment

    return np.asarray(linear_sum_assignment(-labels)[1])


def _mixture(shares: np.ndarray, names: Sequence[str]) -> str:
    order = [i for i in np.argsort(-shares) if shares[i] >= 0.005]
    if len(order) < 2:
        return ""
    return " + ".join(f"{shares[i]:.0%} {names[i]}" for i in order)


def _plan(config_or_spec: str, changes: Sequence[str]) -> Plan:
    if is_config(config_or_spec):
        return settle(settings.load(Path(config_or_spec), list(changes)))
    words = [f"data.source={config_or_spec}", "name=preview"]
    words += ["validation.validation_fraction=0", "validation.test_fraction=0", *changes]
    named = settings.parse(settings.override({}, words))
    check_settings(named)
    source = open_source(named.data)
    model, preset = PHOTOGRAPHS if source.image_shape[0] is None else SMALL
    defaults = [f"model.name={model}"]
    if not any(word.startswith("augment") for word in changes):
        defaults.append(f"augment.preset={preset}")
    return settle(settings.parse(settings.override({}, defaults + words)), source)


def _spread(labels: np.ndarray, train: np.ndarray, count: int) -> np.ndarray:
    """Training images of as many classes as there is room for, always the same ones."""
    firsts: dict[int, int] = {}
    for i in train.tolist():
        firsts.setdefault(int(labels[i]), i)
    chosen = [firsts[label] for label in sorted(firsts)]
    if len(chosen) > count:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, count).astype(int)]
    for i in train.tolist():
        if len(chosen) >= count:
            break
        if i not in chosen:
            chosen.append(i)
    return np.array(chosen, np.int64)


def _draw(
    out: Path,
    names: Sequence[str],
    originals: Sequence[np.ndarray],
    samples: np.ndarray,
    captions: Sequence[Sequence[str]],
    title: str,
) -> None:
    rows, columns = samples.shape[0], samples.shape[1] + 1
    figure = new_figure(1.7 * columns, 1.8 * rows + 0.7, 110, "constrained")
    figure.suptitle(title, fontsize=8)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row in range(rows):
        shown = [originals[row], *np.clip(samples[row], 0, 255).round().astype(np.uint8)]
        under = ["", *captions[row]]
        for column, (image, text) in enumerate(zip(shown, under, strict=True)):
            axis = axes[row, column]
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            axis.set_xlabel(text, fontsize=6)
            if row == 0:
                axis.set_title(f"draw {column}" if column else "original", fontsize=8)
        height, width = originals[row].shape[:2]
        axes[row, 0].set_ylabel(names[row], fontsize=8)
        axes[row, 0].set_xlabel(f"{height} x {width}", fontsize=6)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_picture(figure, out)
