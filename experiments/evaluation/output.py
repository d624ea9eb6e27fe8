"""What `ilsvrc evaluate` prints, and the folder that `--out` writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.errors import BadInput
from experiments.evaluation import calibration, confusion, robustness_output
from experiments.evaluation.answers import Answers
from experiments.evaluation.image_set import PARTS, Subject
from experiments.jobs.predictions import Evaluation, write_predictions
from experiments.presentation import csv_text
from experiments.presentation.columns import DISTURBED, DISTURBED_NOTE, LATENCY_DISTURBED
from experiments.presentation.console import drawn
from experiments.presentation.formatting import si, slug

COLUMNS = (
    "name", "images", "top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high", "ece",
    "protocol", "passes", "params", "macs_per_image", "latency_ms_per_image",
    LATENCY_DISTURBED, "macro_precision", "macro_recall", "macro_f1",
)  # fmt: skip


def write(
    out: Path, document: dict[str, Any], answers: Sequence[Answers], subject: Subject
) -> None:
    """evaluation.json and evaluation.csv, what `robustness_output` adds, and of each network (in a
    folder of its own where there are several) confusion.csv, per_class.csv, calibration.csv,
    predictions.parquet.

    The document is told of the files.

    Raises:
        BadInput: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = []
        for each in answers:
            folder = _folder(out, each, answers)
            folder.mkdir(exist_ok=True)
            files += _one(folder, each, subject)
        files += robustness_output.write(out, document)
        files += [out / "evaluation.csv", out / "evaluation.json"]
        _table(files[-2], document)
        _finish(document, files)
    except OSError as error:
        raise BadInput(
            f"--out: {error.filename or out} cannot be written ({error.strerror})"
        ) from None


def draw(out: Path, document: dict[str, Any], answers: Sequence[Answers], subject: Subject) -> None:
    """Behind `write`: confusion.png and calibration.png of each network, sets.png, and their names
    in the document. One that cannot be drawn is a line on stderr."""
    title = f"{subject.spec}, {subject.part}, {document['protocol']}"
    names = [subject.titles.get(name, name) for name in subject.class_names]
    pictures: list[Path] = []
    if "sets" in document:
        pictures += drawn(out / "sets.png", robustness_output.draw, document)
    for each in answers:
        folder, of = _folder(out, each, answers), f"{each.name} on {title}"
        counts = confusion.matrix(each.labels, each.predicted, len(names))
        calibrated = calibration.measure(each.probabilities, each.right)
        pictures += drawn(folder / "confusion.png", confusion.draw, counts, names, of)
        pictures += drawn(folder / "calibration.png", calibration.draw, calibrated, of)
    _finish(document, [*pictures, *map(Path, document["files"])])


def _finish(document: dict[str, Any], files: Sequence[Path]) -> None:
    """Name the files in the document, and write it into the last one."""
    document["files"] = [str(file) for file in files]
    files[-1].write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _folder(out: Path, answers: Answers, everyone: Sequence[Answers]) -> Path:
    name = slug(answers.name).strip("_.") or "network"
    return out / name if len(everyone) > 1 else out


def _one(folder: Path, answers: Answers, subject: Subject) -> list[Path]:
    names = subject.class_names
    counts = confusion.matrix(answers.labels, answers.predicted, len(names))
    classes = confusion.per_class(counts, names, subject.titles)
    calibrated = calibration.measure(answers.probabilities, answers.right)
    confusion.write_matrix(folder / "confusion.csv", counts, names)
    csv_text.write(folder / "per_class.csv", list(classes[0]), classes)
    bins = [asdict(each) for each in calibrated.bins]
    csv_text.write(folder / "calibration.csv", list(bins[0]), bins)
    columns = {
        "label": answers.labels,
        "predicted": answers.predicted,
        "probabilities": answers.probabilities.astype("float32"),
    }
    part = PARTS.get(subject.part, subject.part)
    write_predictions(
        folder / "predictions.parquet", [(part, subject.indices, Evaluation({}, 0.0, columns))]
    )
    tables = ("confusion.csv", "per_class.csv", "calibration.csv", "predictions.parquet")
    return [folder / name for name in tables]


def _table(path: Path, document: dict[str, Any]) -> None:
    rows = [*document["rows"], *([document["ensemble"]] if document["ensemble"] else [])]
    ends = [
        {
            f"{key}_{end}": interval[at]
            for key in ("top1", "top5")
            if (interval := row[f"{key}_interval"])
            for at, end in enumerate(("low", "high"))
        }
        for row in rows
    ]
    csv_text.write(path, COLUMNS, [row | each for row, each in zip(rows, ends, strict=True)])


WORST = 3  # pairs that are named


def parts(document: dict[str, Any]) -> list[Any]:
    """A table of the networks, then lines."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = [*document["rows"], *([document["ensemble"]] if document["ensemble"] else [])]
    ranked = any(row["top5"] is not None for row in rows)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("network")
    titles = ["top-1 %", "95%", *(["top-5 %", "95%"] if ranked else []), "ECE", "MACs", "ms"]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        cells = [_percent(row["top1"]), _interval(row["top1_interval"])]
        if ranked:
            cells += [_percent(row["top5"]), _interval(row["top5_interval"])]
        macs, latency = row["macs_per_image"], row["latency_ms_per_image"]
        cells += [
            f"{row['ece']:.3f}",
            "" if macs is None else si(macs),
            ""
            if latency is None
            else f"{latency:.3g}{DISTURBED if row[LATENCY_DISTURBED] else ''}",
        ]
        table.add_row(row["name"], *cells)
    head = (
        f"{document['images']:,} images of {document['classes']} classes: {document['source']}, "
        f"{document['part']} ({document['origin']}); {document['protocol']}"
    )
    lines = [head, table]
    if any(row[LATENCY_DISTURBED] for row in rows):
        lines.append(DISTURBED_NOTE)
    lines += [_macro(row) for row in rows]
    lines += [line for row in document["rows"] for line in _published(row)]
    lines += [line for row in document["rows"] if (line := _worst(row))]
    lines += [_pair(pair) for pair in document["mcnemar"]]
    lines += robustness_output.parts(document)
    lines += document["notes"]
    if document["files"]:
        lines.append(f"{len(document['files'])} files beside the pictures, {document['files'][-1]}")
    return lines


def _macro(row: dict[str, Any]) -> str:
    precision, recall, f1 = (_percent(row[f"macro_{rate}"]) for rate in confusion.RATES)
    return (
        f"{row['name']}: macro-averaged precision {precision} %, recall {recall} %, F1 {f1} % "
        "(the mean over classes)"
    )


def _worst(row: dict[str, Any]) -> str:
    pairs = row["worst_pairs"][:WORST]
    if not pairs:
        return ""
    words = [
        f"{p.get('title', p['class'])} for {p.get('taken_for_title', p['taken_for'])} "
        f"({p['images']}, {p['share']:.0%})"
        for p in pairs
    ]
    return f"{row['name']}: most often takes {', '.join(words)}"


def _published(row: dict[str, Any]) -> list[str]:
    lines = []
    for figure in row.get("published", ()):
        errors = [
            f"top-{k} error {figure[f'top{k}_error']:g}%{_verdict(figure[f'top{k}_within'])}"
            for k in (1, 5)
            if figure[f"top{k}_error"] is not None
        ]
        why = "" if figure["comparable"] else f"; does not compare: {figure['why_not']}"
        lines.append(
            f"{row['name']}: published {', '.join(errors)} ({figure['source']}; "
            f"{figure['protocol']}){why}"
        )
    return lines


def _verdict(within: bool | None) -> str:
    return {None: "", True: " (within our interval)", False: " (outside our interval)"}[within]


def _pair(pair: dict[str, Any]) -> str:
    low, high = pair["interval"]
    return (
        f"{pair['first']} - {pair['second']}: top-1 {100 * pair['top1_difference']:+.2f} points "
        f"[{100 * low:+.2f}, {100 * high:+.2f}], {pair['only_first']} : {pair['only_second']} "
        f"images, McNemar p = {pair['p_value']:.2g} (Holm {pair['p_holm']:.2g})"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _interval(interval: list[float] | None) -> str:
    return "" if interval is None else f"{100 * interval[0]:.2f} - {100 * interval[1]:.2f}"
