"""`ilsvrc predict`: the most probable classes of pictures, and where the network looked."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.inference.class_names import class_names, titles
from experiments.inference.loading import Network, crop_fraction, load
from experiments.metrics import softmax
from experiments.presentation.console import drawn, progress
from experiments.presentation.formatting import slug

if TYPE_CHECKING:
    from pipelines.files.verify import Files

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
    """A row a picture: file, predictions (label and probability, five at most, best first, and the
    title, a readable name, of a label that has one).

    With `explain`, explanation: a Grad-CAM picture for the first class. A bad picture has no
    predictions, and error, the reason: skipped instead, with data.on_corrupt=skip.

    Args:
        word: a network, as `loading.load`.
        images: picture files, and folders that are searched for them.
        changes: settings key.path=value over the run's own, or over the defaults.

    Raises:
        BadInput: no such network, or none of the pictures can be read.
    """
    given = settings.parse(settings.override({}, changes))
    [network] = load([word], given)
    run = network.run
    raw = run.config.model_dump(mode="json") if run else {}
    config = settings.parse(settings.override(raw, changes))
    pictures = open_pictures(
        images,
        channels=network.model.input_shape[-1],
        max_pixels=config.data.max_pixels,
    )
    bad = "skipped" if config.data.on_corrupt == "skip" else "error"
    if pictures.problems and bad == "skipped":
        say(f"{len(pictures.problems)} of {len(pictures.files)} pictures skipped")
    names = class_names(network, config, say)
    readable = titles(names, config.evaluate.class_names, network.titles)
    crop = crop_fraction(network, given, pictures.source)
    probabilities = _probabilities(network, pictures, config, crop, quiet)
    rows: list[dict[str, Any]] = []
    answers = iter(probabilities)
    for at, file in enumerate(pictures.files):
        if at in pictures.problems:
            rows.append({"file": file, "predictions": [], bad: pictures.problems[at]})
            continue
        row = next(answers)
        best = np.argsort(-row, kind="stable")[:TOP]
        shown = [
            {"label": names[i]}
            | ({"title": readable[names[i]]} if names[i] in readable else {})
            | {"probability": float(row[i])}
            for i in best
        ]
        rows.append({"file": file, "predictions": shown})
    if explain is not None:
        scored = [row for row in rows if row["predictions"]]
        _explain(network, pictures, scored, probabilities.argmax(axis=1), crop, explain)
    return rows


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The answer for people; pictures with an error are left to `complaints`."""
    printed = []
    for row in rows:
        if "error" in row:
            continue
        if "skipped" in row:
            printed.append(f"{row['file']}: skipped, {row['skipped']}")
            continue
        words = [f"{_shown(each)} {each['probability']:.1%}" for each in row["predictions"]]
        printed.append(f"{row['file']}: {', '.join(words)}")
        if "explanation" in row:
            printed.append(f"  {row['explanation']}")
    return printed


def complaints(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each picture that could not be scored."""
    return [f"{row['file']}: {row['error']}" for row in rows if "error" in row]


def _shown(prediction: dict[str, Any]) -> str:
    """n01440764 tench."""
    return f"{prediction['label']} {prediction.get('title', '')}".rstrip()


def _probabilities(
    network: Network, pictures: Pictures, config: Config, crop: float, quiet: bool
) -> np.ndarray:
    from experiments.inference.protocols import Predictor

    batch_size = min(config.data.eval_batch_size, 64)
    predictor = Predictor(network, config, crop, batch_size=batch_size)
    indices = np.arange(len(pictures.source))
    with progress("predicting", len(indices), quiet) as advance:
        return softmax(predictor.scores(pictures.source, indices, advance))


def _explain(
    network: Network,
    pictures: Pictures,
    rows: Sequence[dict[str, Any]],
    answers: np.ndarray,
    crop: float,
    folder: Path,
) -> None:
    """Write a picture for each row, and its path into the row."""
    from experiments.inference import grad_cam
    from pipelines.resize import resize_centre

    explained = grad_cam.Explainer(network.model)
    size = network.model.input_shape[1:3]
    view = resize_centre(size, crop)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for at, row in enumerate(rows):
            best = row["predictions"][0]
            name = slug(Path(row["file"]).stem)[:60] or "picture"
            path = folder / f"{at + 1:04d}_{name}.png"
            photograph = pictures.source.images(at)
            heat = explained.heat(np.asarray(view(photograph)), int(answers[at]))
            window = grad_cam.crop_window(photograph.shape, size, crop)
            texts = Path(row["file"]).name, f"{_shown(best)}\n{best['probability']:.1%}"
            if drawn(path, grad_cam.draw, np.asarray(photograph), window, heat, *texts):
                row["explanation"] = str(path)
    except OSError as error:
        raise BadInput(f"--explain: {folder} cannot be written ({error.strerror})") from None


@dataclass(frozen=True)
class Pictures:
    """`source` holds the good ones, in order; `files` names all, and `problems` why some are not
    in it, by position in `files`."""

    source: Any
    files: list[str]
    problems: dict[int, str]


def open_pictures(names: Sequence[str], *, channels: int, max_pixels: int) -> Pictures:
    """Files as named, folders by all the image files in and below them, by name.

    Photographs are turned upright as their EXIF orientation says.

    Raises:
        BadInput: not one of them is a picture.
    """
    from pipelines.errors import printable
    from pipelines.files.verify import Examined, Files, examine
    from pipelines.sources.file_source import FileSource

    files = _listed(names)
    examined = [
        Examined(files.problems[at])
        if at in files.problems
        else examine(path, -1, int(files.sizes[at]), max_pixels)
        for at, path in enumerate(files.paths)
    ]
    problems = {at: each.reason for at, each in enumerate(examined) if each.reason}
    if len(problems) == len(examined):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BadInput(f"{printable(files.paths[0])}: {problems[0]}{more}")
    good = [at for at in range(len(examined)) if at not in problems]
    chosen = Files(
        [files.names[at] for at in good],
        [files.paths[at] for at in good],
        files.offsets[good],
        files.sizes[good],
        files.stamps[good],
    )
    source = FileSource(
        "pictures",
        chosen,
        np.array([examined[at].orientation for at in good], np.int64),
        np.zeros(len(good), np.int64),
        ["unknown"],
        (None, None, channels),
        "",
        None,
        [],
    )
    return Pictures(source, [printable(path) for path in files.paths], problems)


def _listed(names: Sequence[str]) -> Files:
    """What is named; a row with a problem where that is no picture."""
    from pipelines.errors import SourceError
    from pipelines.files.layout import join, list_images
    from pipelines.files.verify import Files, files_of

    def listed(name: str) -> Files:
        path = Path(name)
        problem = "expected a picture or a folder"
        try:
            if path.is_dir():
                below = [Path(folder) for folder, _, _ in sorted(os.walk(path))]
                if len(files := join([list_images(path, folder) for folder in below])):
                    return files
                problem = "no image file in this folder"
            elif path.is_file():
                return replace(files_of([path]), names=[name], paths=[name])
            path.stat()
        except OSError as error:
            problem = f"no such picture ({error.strerror})"
        except SourceError as error:
            problem = str(error)
        nothing = np.zeros(1, np.int64), np.zeros((1, 2), np.int64)
        return Files([name], [name], np.array([-1]), *nothing, {0: problem})

    return join([listed(name) for name in names])
