"""What a network said of validation and test images: written by a fit, read without its network."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import BadInput, first_line


@dataclass(frozen=True)
class Evaluation:
    """Of one part: scores by metric name, mean loss, and columns of one value an image.

    The columns are `label predicted probabilities`, or `label mse` for a reconstruction.
    """

    scores: dict[str, float]
    loss: float
    columns: dict[str, np.ndarray]


def write_predictions(path: Path, parts: list[tuple[str, np.ndarray, Evaluation]]) -> str | None:
    """One row an image: part, index into the source, and the columns of its evaluation."""
    if not parts:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for part, indices, evaluation in parts:
        columns = {
            "part": pa.array([part] * len(indices)),
            "index": pa.array(np.asarray(indices, np.int64)),
        }
        for name, values in evaluation.columns.items():
            if values.ndim == 2:
                flat = pa.array(values.ravel())
                columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
            else:
                whole = values.dtype.kind in "iu"
                columns[name] = pa.array(values.astype(np.int32) if whole else values)
        tables.append(pa.table(columns))
    unfinished = path.with_suffix(".writing")
    pq.write_table(pa.concat_tables(tables), unfinished)
    os.replace(unfinished, path)
    return str(path)


HITS = "hits.json"
"""Artifact of a fit of a search: by part, which images it had right, as `packed_hits`."""


def packed_hits(columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Which images are right, one bit each: {images, bits}, base64 with the first image highest."""
    right = columns["label"] == columns["predicted"]
    bits = base64.b64encode(np.packbits(right).tobytes()).decode()
    return {"images": len(right), "bits": bits}


def unpacked_hits(packed: Mapping[str, Any]) -> np.ndarray:
    """bool [images], as they were packed."""
    bits = np.frombuffer(base64.b64decode(packed["bits"]), np.uint8)
    return np.unpackbits(bits, count=packed["images"]).astype(bool)


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
    """Of the source; None where it is not known, which clashes with none."""
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
        fingerprint: of the source, where it is known.
        column: of the probabilities; `epoch_column` names those of an earlier epoch.

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
        raise BadInput(f"{name}: cannot be read as predictions ({first_line(error)})") from None
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
    return Predictions(name, fingerprint, parts)


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
        theirs = member.parts[part]
        if not np.array_equal(theirs.index, base.index):
            shared = len(np.intersect1d(theirs.index, base.index))
            raise BadInput(
                f"{member.name}: its {part} images are not those of {first.name} ({shared} of "
                f"{len(theirs.index)} and {len(base.index)} are shared); compare runs of one split "
                "(the same validation section)"
            )
        if not np.array_equal(theirs.labels, base.labels):
            raise BadInput(f"{member.name}: its labels are not those of {first.name}")
        if theirs.probabilities.shape != base.probabilities.shape:
            raise BadInput(
                f"{member.name}: {theirs.probabilities.shape[1]} classes, "
                f"{base.probabilities.shape[1]} in {first.name}; compare networks of one task"
            )
    return base.index, base.labels, [member.parts[part].probabilities for member in members]


def epoch_column(epoch: int) -> str:
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
