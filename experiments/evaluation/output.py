"""What `ilsvrc evaluate` prints, and the folder that `--out` writes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.errors import BadInput
from experiments.evaluation import calibration, confusion
from experiments.evaluation.answers import Answers
from experiments.evaluation.image_set import PARTS, Subject
from experiments.jobs.predictions import Evaluation, write_predictions
from experiments.presentation.columns import DISTURBED, DISTURBED_NOTE, LATENCY_DISTURBED
from experiments.presentation.formatting import si, slug

COLUMNS = (
    "name", "images", "top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high", "ece",
    "protocol", "passes", "params", "macs_per_image", "latency_ms_per_image",
    LATENCY_DISTURBED,
)  # fmt: skip


def write(
    out: Path, document: dict[str, Any], answers: Sequence[Answers], subject: Subject
) -> list[str]:
    """evaluation.json and evaluation.csv, and of each network (in a folder of its own where there
    are several) confusion.csv/.png, per_class.csv, calibration.csv/.png, predictions.parquet.

    Returns:
        The files, `out` included.

    Raises:
        BadInput: the folder cannot be written.
    """
    title = f"{subject.spec}, {subject.part}, {document['protocol']}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = []
        for each in answers:
            name = slug(each.name).strip("_.") or "network"
            folder = out / name if len(answers) > 1 else out
            folder.mkdir(exist_ok=True)
            files += _one(folder, each, subject, f"{each.name} on {title}")
        files += [out / "evaluation.csv", out / "evaluation.json"]
        _table(files[-2], document)
        files[-1].write_text(
            json.dumps(document | {"files": [str(file) for file in files]}, indent=1) + "\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise BadInput(
            f"--out: {error.filename or out} cannot be written ({error.strerror})"
        ) from None
    return [str(file) for file in files]


def _one(folder: Path, answers: Answers, subject: Subject, title: str) -> list[Path]:
    names = subject.class_names
    counts = confusion.matrix(answers.labels, answers.predicted, len(names))
    classes = confusion.per_class(counts, names)
    calibrated = calibration.measure(answers.probabilities, answers.right)
    confusion.write_matrix(folder / "confusion.csv", counts, names)
    confusion.draw(counts, names, title, folder / "confusion.png")
    confusion.write_rows(folder / "per_class.csv", classes)
    confusion.write_rows(folder / "calibration.csv", [asdict(each) for each in calibrated.bins])
    calibration.draw(calibrated, title, folder / "calibration.png")
    columns = {
        "label": answers.labels,
        "predicted": answers.predicted,
        "probabilities": answers.probabilities.astype("float32"),
    }
    part = PARTS.get(subject.part, subject.part)
    write_predictions(
        folder / "predictions.parquet", [(part, subject.indices, Evaluation({}, 0.0, columns))]
    )
    kinds = ("confusion.csv", "confusion.png", "per_class.csv", "calibration.csv")
    return [folder / name for name in (*kinds, "calibration.png", "predictions.parquet")]


def _table(path: Path, document: dict[str, Any]) -> None:
    rows = [*document["rows"], *([document["ensemble"]] if document["ensemble"] else [])]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            ends = {
                f"{key}_{end}": interval[at]
                for key in ("top1", "top5")
                if (interval := row[f"{key}_interval"])
                for at, end in enumerate(("low", "high"))
            }
            writer.writerow(row | ends)


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
        f"{document['part']}; {document['protocol']}"
    )
    lines = [head, table]
    if any(row[LATENCY_DISTURBED] for row in rows):
        lines.append(DISTURBED_NOTE)
    lines += [line for row in document["rows"] for line in _published(row)]
    lines += [line for row in document["rows"] if (line := _worst(row))]
    lines += [_pair(pair) for pair in document["mcnemar"]]
    lines += document["notes"]
    if document["files"]:
        lines.append(f"{len(document['files'])} files, {document['files'][-1]} the last")
    return lines


def _worst(row: dict[str, Any]) -> str:
    pairs = row["worst_pairs"][:WORST]
    if not pairs:
        return ""
    words = [f"{p['class']} for {p['taken_for']} ({p['images']}, {p['share']:.0%})" for p in pairs]
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
