"""What a run said of its validation and test images, read back without its network."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import track
from experiments.errors import BadInput
from experiments.journal import Journal

FILE = "predictions.parquet"
PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Part:
    """The validation or test part: one row an image, in the order of `index`."""

    index: np.ndarray
    """int64 [images], ascending positions in the source."""
    labels: np.ndarray
    """int64 [images]."""
    probabilities: np.ndarray
    """float [images, classes]."""


@dataclass(frozen=True)
class Predictions:
    """One network's predictions by part, `val` and `test`, and the data that they are of."""

    name: str
    """For people: a file, a run's name."""
    fingerprint: str | None
    """Of the source; None for a file apart from its journal, which clashes with none."""
    parts: dict[str, Part]


def read(
    path: str | Path,
    *,
    name: str | None = None,
    fingerprint: str | None = None,
    column: str = PROBABILITIES,
) -> Predictions:
    """Read a predictions.parquet.

    Args:
        path: the file.
        name: what to call it in errors; None: its path.
        fingerprint: of the source; None: as the journal beside the file has it, if there is one.
        column: of the probabilities; `checkpoint_column` names those of an earlier epoch.

    Raises:
        BadInput: no such file, not a predictions file, or one of a reconstruction.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    name = name or str(path)
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise BadInput(f"{name}: no such file; give a {FILE} or a run id") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{name}: cannot be read as predictions ({reason})") from None
    needed = ("part", "index", "label", column)
    missing = [key for key in needed if key not in table.column_names]
    if missing:
        hint = "; a reconstruction has no probabilities" if "mse" in table.column_names else ""
        have = ", ".join(table.column_names)
        raise BadInput(f"{name}: no column {missing[0]}{hint}. Columns: {have}")
    part_of = table["part"].to_numpy()
    parts = {
        str(part): _part(name, table.filter(pa.array(part_of == part)), column)
        for part in sorted(set(part_of))
    }
    return Predictions(name, fingerprint or _fingerprint_beside(path), parts)


def of_run(run_id: str, uri: str) -> Predictions:
    """The predictions that a tracked run keeps.

    Raises:
        BadInput: the store has no such run, or the run kept no predictions.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    client = track.connect(uri)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise BadInput(f"no run {run_id} in {track.shown(uri)} ({_first(error)})") from None
    name = f"run {run.info.run_name} ({run_id})"
    with tempfile.TemporaryDirectory() as folder:
        try:
            local = download_artifacts(
                run_id=run_id, artifact_path=FILE, dst_path=folder, tracking_uri=uri
            )
        except (MlflowException, OSError) as error:
            raise BadInput(
                f"{name}: keeps no {FILE} ({_first(error)}); finished runs with validation or "
                "test images do"
            ) from None
        fingerprint = run.data.tags.get("source_fingerprint")
        return read(local, name=name, fingerprint=fingerprint)


def open_predictions(word: str, uri: str) -> Predictions:
    """Those of a file, if the word names one, else those of a run id."""
    if word.endswith(".parquet") or Path(word).is_file():
        return read(word)
    return of_run(word, uri)


def paired(
    members: Sequence[Predictions], part: str
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """What several networks said of the same images, row by row.

    Args:
        part: val or test.

    Returns:
        index int64 [images], labels int64 [images], probabilities [images, classes] of each.

    Raises:
        BadInput: the networks were not asked about the same images of the same source.
    """
    first = members[0]
    for member in members:
        if part not in member.parts:
            have = ", ".join(member.parts)
            raise BadInput(f"{member.name}: has no {part} predictions. Parts: {have}")
    base = first.parts[part]
    for member in members[1:]:
        _check_same_source(first, member)
        own = member.parts[part]
        if not np.array_equal(own.index, base.index):
            shared = len(np.intersect1d(own.index, base.index))
            raise BadInput(
                f"{member.name}: its {part} images are not those of {first.name} ({shared} of "
                f"{len(own.index)} and {len(base.index)} are shared); compare runs of one split "
                "(the same validation section)"
            )
        if not np.array_equal(own.labels, base.labels):
            raise BadInput(f"{member.name}: its labels are not those of {first.name}")
        if own.probabilities.shape != base.probabilities.shape:
            raise BadInput(
                f"{member.name}: {own.probabilities.shape[1]} classes, "
                f"{base.probabilities.shape[1]} in {first.name}; compare networks of one task"
            )
    return base.index, base.labels, [member.parts[part].probabilities for member in members]


def checkpoint_column(epoch: int) -> str:
    """The column of what the network of an earlier epoch said, beside `probabilities`."""
    return f"{PROBABILITIES}_epoch_{epoch}"


def _part(name: str, table: Any, column: str) -> Part:
    index = table["index"].to_numpy().astype(np.int64)
    order = np.argsort(index, kind="stable")
    if (np.diff(index[order]) == 0).any():
        raise BadInput(f"{name}: names an image twice; expected one row an image")
    flat = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if len(flat) % max(len(index), 1) or not np.isfinite(flat).all():
        raise BadInput(f"{name}: {column}: expected one finite number a class for every image")
    probabilities = flat.reshape(len(index), -1)
    return Part(
        index[order], table["label"].to_numpy().astype(np.int64)[order], probabilities[order]
    )


def _check_same_source(first: Predictions, other: Predictions) -> None:
    if None in (first.fingerprint, other.fingerprint):
        return  # images and labels must still be the same
    if first.fingerprint != other.fingerprint:
        raise BadInput(
            f"{other.name}: predictions of other data (source {other.fingerprint}) than "
            f"{first.name} (source {first.fingerprint}); compare runs on one source"
        )


def _fingerprint_beside(path: Path) -> str | None:
    ended = Journal(path.parent).last("ended")
    return str(ended["fingerprint"]) if ended else None


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
