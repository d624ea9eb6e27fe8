"""`ilsvrc predict`: the most probable classes of pictures, and where the network looked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import settings
from experiments.class_match import known_names
from experiments.config import Config
from experiments.data import progress
from experiments.errors import BadInput
from experiments.evaluate import crop_fraction
from experiments.jobs import seed_for
from experiments.loading import Network, load
from experiments.picture_files import Pictures, open_pictures
from experiments.scores import softmax

TOP = 5


def predict(
    word: str,
    images: Sequence[str],
    changes: Sequence[str],
    explain: Path | None = None,
    *,
    quiet: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """A row a picture: file, predictions (label and probability, five at most, best first).

    With `explain`, explanation: a Grad-CAM picture for the first class. With data.on_corrupt=skip
    a bad picture has no predictions and skipped, the reason.

    Args:
        word: a network, as `loading.load`.
        images: picture files, and folders that are searched for them.
        changes: settings key.path=value over the run's own, or over the defaults.

    Raises:
        BadInput: no such network or picture, or a picture that cannot be read.
    """
    asked = settings.parse(settings.override({}, changes))
    [network] = load([word], asked)
    run = network.run
    raw = run.config.model_dump(mode="json") if run else {}
    config = settings.parse(settings.override(raw, changes))
    pictures = open_pictures(
        images,
        channels=network.model.input_shape[-1],
        max_pixels=config.data.max_pixels,
        on_corrupt=config.data.on_corrupt,
    )
    if pictures.problems:
        say(f"{len(pictures.problems)} of {len(pictures.files)} pictures skipped")
    names = class_names(network, config, say)
    crop = crop_fraction(network, asked, pictures.source)
    probabilities = _probabilities(network, pictures, config, crop, quiet)
    rows: list[dict[str, Any]] = []
    answers = iter(probabilities)
    for at, file in enumerate(pictures.files):
        if at in pictures.problems:
            rows.append({"file": file, "predictions": [], "skipped": pictures.problems[at]})
            continue
        row = next(answers)
        best = np.argsort(-row, kind="stable")[:TOP]
        shown = [{"label": names[i], "probability": float(row[i])} for i in best]
        rows.append({"file": file, "predictions": shown})
    if explain is not None:
        scored = [row for row in rows if row["predictions"]]
        _explain(network, pictures, scored, probabilities.argmax(axis=1), crop, explain)
    return rows


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The answer for people."""
    found = []
    for row in rows:
        if "skipped" in row:
            found.append(f"{row['file']}: skipped, {row['skipped']}")
            continue
        words = [f"{each['label']} {each['probability']:.1%}" for each in row["predictions"]]
        found.append(f"{row['file']}: {', '.join(words)}")
        if "explanation" in row:
            found.append(f"  {row['explanation']}")
    return found


def class_names(network: Network, config: Config, say: Callable[[str], None]) -> list[str]:
    """The network's class names; a run's are its source's; numbers where they are nowhere."""
    names = None
    try:
        names = known_names(network, config.evaluate.class_names, [])
    except BadInput as error:
        if config.evaluate.class_names is not None:
            raise
        say(str(error))
    if names is None or len(names) != network.classes:
        say(f"{network.name}: its class names are not known; give evaluate.class_names=FILE")
        return [str(number) for number in range(network.classes)]
    return names


def _probabilities(
    network: Network, pictures: Pictures, config: Config, crop: float, quiet: bool
) -> np.ndarray:
    from experiments import protocols

    settled = protocols.settle(config.evaluate, network.model, crop)
    indices = np.arange(len(pictures.source))
    with progress("predicting", len(indices), quiet) as advance:
        scores = protocols.scores(
            network.model,
            settled,
            pictures.source,
            indices,
            crop_fraction=crop,
            batch_size=min(config.data.eval_batch_size, 64),
            gives_probabilities=network.gives_probabilities,
            seed=seed_for(config.seed, "dropout_samples"),
            threads=config.data.threads,
            advance=advance,
        )
    return softmax(scores)


def _explain(
    network: Network,
    pictures: Pictures,
    rows: Sequence[dict[str, Any]],
    answers: np.ndarray,
    crop: float,
    folder: Path,
) -> None:
    """Write a picture for each row, and its path into the row."""
    from experiments import grad_cam
    from pipelines.build import evaluation_dataset

    explained = grad_cam.Explainer(network.model)
    views = evaluation_dataset(
        pictures.source,
        np.arange(len(pictures.source)),
        size=network.model.input_shape[1:3],
        batch_size=1,
        crop_fraction=crop,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for at, ((image, _), row) in enumerate(zip(views, rows, strict=True)):
            best = row["predictions"][0]
            path = folder / f"{at + 1:04d}_{_slug(row['file'])}.png"
            pixels = np.asarray(image)[0]
            heat = explained.heat(pixels, int(answers[at]))
            title = f"{best['label']}  {best['probability']:.1%}"
            grad_cam.draw(pixels, heat, Path(row["file"]).name, title, path)
            row["explanation"] = str(path)
    except OSError as error:
        raise BadInput(f"--explain: {folder} cannot be written ({error.strerror})") from None


def _slug(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", Path(file).stem)[:60] or "picture"
