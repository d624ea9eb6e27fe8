"""`csv:FILE`: the images that a table names, with their labels and official parts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError, printable
from pipelines.files.naming import PARTS
from pipelines.files.verify import Files, verify
from pipelines.sources.base import Opening, Source, Unused
from pipelines.sources.file_source import file_source
from pipelines.sources.tables.classes import Classes, number_classes
from pipelines.sources.tables.images import MISSING, left_over, look_up
from pipelines.sources.tables.rows import Listed, list_rows
from pipelines.sources.tables.spec import TableSpec, parse_spec


def open_table(text: str, opening: Opening) -> Source:
    """`text`: a table or the folder of a published set, then settings; see `spec.parse_spec`.

    Images are in the order of the rows, photographs turned upright as in `folder.open_folder`. Rows
    without a label (empty; -1 or NaN among whole numbers) and repeated rows are left out. These are
    counted in `Source.unused`, as are the images beside the named ones. Raises SourceError.
    """
    spec = parse_spec(text)
    listed = list_rows(spec)
    rows, unused = _labelled(listed)
    files = look_up([listed.paths[i] for i in rows], listed.root)
    _check_missing(files, rows, listed, spec, opening)
    labels = [listed.labels[i] for i in rows]
    classes_file = Path(listed.root) / spec.classes if spec.classes else None
    classes = number_classes(labels, classes_file, listed.order)
    if len(classes.names) == 1:
        raise SourceError(
            f"csv: {listed.source} has one class only ({classes.names[0]!r}): classification needs "
            "two or more"
        )
    parts, part = _parts(listed, rows)
    return file_source(
        spec.text,
        files,
        verify(
            files,
            root=os.path.realpath(listed.source),
            max_pixels=opening.max_pixels,
            decode_all=opening.decodes,
        ),
        classes.labels,
        classes.names,
        part,
        parts,
        upright=True,
        opening=opening,
        unused=[*unused, *_left_over(listed)],
        titles=classes.titles,
        notes=[*listed.notes, *classes.notes, *_unseen(classes, part, parts)],
    )


def _labelled(listed: Listed) -> tuple[list[int], list[Unused]]:
    """The rows that are used, each image once, and how many are not."""
    first: dict[str, int] = {}
    unlabelled = repeated = 0
    for i, (path, label) in enumerate(zip(listed.paths, listed.labels, strict=True)):
        if not label:
            unlabelled += 1
            continue
        before = first.setdefault(path, i)
        if before == i:
            continue
        repeated += 1
        for kind, values in (("class", listed.labels), ("part", listed.parts)):
            if values[before] != values[i]:
                raise SourceError(
                    f"csv: {listed.at(i)}: {printable(os.path.basename(path))} has {kind} "
                    f"{values[i]!r} and in {listed.at(before)} {values[before]!r}: remove one"
                )
    if not first:
        raise SourceError(f"csv: {listed.source}: no row has a label")
    name = listed.source.name
    counts = (
        Unused(name, unlabelled, "are named in rows that have no label"),
        Unused(name, repeated, "are named again in rows that say the same"),
    )
    return list(first.values()), [count for count in counts if count.files]


def _parts(listed: Listed, rows: list[int]) -> tuple[list[str], np.ndarray]:
    """The parts that there are, and of each row its position in them."""
    present = {listed.parts[i] for i in rows}
    if present == {""}:
        return [], np.zeros(len(rows), np.int64)
    parts: list[str] = [part for part in PARTS if part in present]
    if "train" not in parts:
        raise SourceError(
            f"csv: {listed.source} has {' and '.join(parts)} and no train part: add it, or leave "
            "the parts out to take all images as one set"
        )
    place = {part: i for i, part in enumerate(parts)}
    return parts, np.array([place[listed.parts[i]] for i in rows], np.int64)


def _unseen(classes: Classes, part: np.ndarray, parts: list[str]) -> list[str]:
    """Classes that are scored and cannot be learned."""
    others = set(classes.labels[part > 0].tolist()) - set(classes.labels[part == 0].tolist())
    if not parts or not others:
        return []
    return [
        f"{len(others)} of {len(classes.names)} classes have no image in the train part, such as "
        f"{classes.names[min(others)]}: no network can learn them"
    ]


def _check_missing(
    files: Files, rows: list[int], listed: Listed, spec: TableSpec, opening: Opening
) -> None:
    """Names the settings by which the images would be there."""
    missing = [i for i, why in files.problems.items() if why == MISSING]
    share = len(missing) / len(files)
    allowed = opening.on_corrupt == "skip" and share <= opening.max_corrupt_fraction
    if not missing or (allowed and share < 1):
        return
    row = rows[missing[0]]
    settings = listed.fix(row, spec)
    fix = f"write {settings}" if settings else "check folder= and suffix=, or add them"
    if not settings and share < 1:
        skipping = opening.on_corrupt == "skip"
        fix += (
            f", or {'raise data.max_corrupt_fraction' if skipping else 'set data.on_corrupt: skip'}"
        )
    raise SourceError(
        f"csv: {len(missing)} of {len(files)} images are missing, the first "
        f"{printable(files.names[missing[0]])} ({listed.at(row)}): {fix}"
    )


def _left_over(listed: Listed) -> list[Unused]:
    folder, counts, whole = left_over(listed.paths, listed.root)
    shown = os.path.relpath(folder, listed.root)
    why = "are images that no row names" if whole else "or more are images that no row names"
    return [
        Unused(os.path.normpath(os.path.join(shown, name)), count, why)
        for name, count in sorted(counts.items())
    ]
