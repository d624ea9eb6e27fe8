"""The rows of `ilsvrc bench train|infer` for people, as CSV files, and as runs of the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.bench.course import missing_lines
from experiments.config.schema import Config
from experiments.presentation import csv_text
from experiments.presentation.formatting import si, slug

if TYPE_CHECKING:
    from experiments.tracking.experiment import Experiment

MIB = 2**20


def text(document: dict[str, Any]) -> str:
    """The table, the machine that it is of, and how to read it."""
    head = [
        "name", "precision", "batch", "images/s", "low", "high", "p50 ms", "p95", "p99",
        "MiB", "build s", "first s", "FLOP/s", "of peak",
    ]  # fmt: skip
    several = len({row["side"] for row in document["rows"]}) > 1
    widest = max(len(row["side"]) for row in document["rows"]) + 2
    lines = [f"{'by' * several:{widest * several}}{_line(head)}"]
    for row in document["rows"]:
        side = f"{row['side']:{widest}}" * several
        rates = [_rate(row[key]) for key in ("images_per_second", "low", "high")]
        latencies = [_ms(row[f"latency_ms_p{p}"]) for p in (50, 95, 99)]
        batch = str(row["batch"]) + (" auto" if row["asked"] == "auto" else "")
        if row["asked"] not in ("auto", row["batch"]):
            batch += f" of {row['asked']}"
        lines.append(
            side
            + _line(
                [row["name"], row["precision"], batch, *rates, *latencies]
                + [f"{row['peak_memory_bytes'] / MIB:.0f}"]
                + [f"{row[key]:.2f}" for key in ("build_seconds", "first_step_seconds")]
                + [si(row["flops_per_second"]), _share(row["fraction_of_peak"])]
            )
        )
    for peak in document["peaks"]:
        lines.append(
            f"matrix-product peak, {peak['precision']}"
            f"{', ' * several}{peak['backend'] * several}: {si(peak['flops_per_second'])}FLOP/s "
            f"(side {peak['side']:.0f})"
        )
    machine = document["machine"]
    lines.append(
        f"{machine['device']}; {machine['framework']}; host {machine['processor']}, "
        f"{machine['cores']} of {machine['of_cores']} cores; load {machine['load_at_start']:.1f} "
        f"at the start; {machine['date']}"
    )
    lines += [f"left out: {name}: {why}" for name, why in document["left_out"].items()]
    return "\n".join([*lines, *missing_lines(document["missing"]), *document["notes"]])


def write_csv(rows: Sequence[dict[str, Any]], folder: Path, *, partial: bool = False) -> list[Path]:
    """One file a precision and framework, named by mode, device, precision and framework version;
    full digits. What is `partial` is named so, and replaces nothing that is whole."""
    files = []
    for precision, framework in dict.fromkeys((r["precision"], r["framework"]) for r in rows):
        group = [r for r in rows if (r["precision"], r["framework"]) == (precision, framework)]
        words = [group[0]["mode"], group[0]["device"], precision, group[0]["framework"]]
        words += ["partial"] * partial
        parts = [slug(word.lower(), "-", keep=".").strip("-") for word in words]
        path = folder / ("-".join(parts) + ".csv")
        folder.mkdir(parents=True, exist_ok=True)
        shapes = ({"input_shape": "x".join(map(str, row["input_shape"]))} for row in group)
        written = [row | shape for row, shape in zip(group, shapes, strict=True)]
        csv_text.write(path, list(group[0]), written)
        files.append(path)
    return files


def log(
    document: dict[str, Any], files: Sequence[Path], config: Config, experiment: Experiment
) -> str:
    """Write each row as a run (level bench) under one run of the command; returns that one's id.

    The command's run has the document's status, and missing.json where it is partial; rows of fewer
    rounds than were asked for have the tag `partial`.

    Metrics are named as those of training runs, so that a row can stand beside them by
    `model.name`: `infer_images_per_second latency_ms_p50 ... peak_memory_bytes params macs`, or
    `train_images_per_second update_ms_p50 ...`.
    """
    from experiments.config.settings import to_yaml
    from experiments.tracking.run_log import RunLog

    rows = document["rows"]
    mode = rows[0]["mode"]
    tags = experiment.origin | {"level": "bench", "device": rows[0]["device"]}
    tags["framework"] = document["machine"]["framework"]

    def start(name: str, path: str, params: dict[str, Any], parent: str | None) -> RunLog:
        row = {key: params[key] for key in ("precision", "framework")} if parent else {}
        of_run = tags | {"path": path} | row
        return RunLog.start(experiment.client, experiment.id, name, of_run, params, parent)

    top = start(f"bench {mode}", "bench", {"mode": mode}, None)
    for row in rows:
        title = f"bench {mode} {row['name']} {row['precision']} batch {row['batch']}"
        child = start(title, f"bench/{mode}", _params(row, config), top.id)
        child.metrics(_metrics(row))
        if row["rounds"] < row["of_rounds"]:
            child.tag({"partial": f"{row['rounds']} of {row['of_rounds']} rounds"})
        child.end("finished")
    top.document("config.yaml", to_yaml(config))
    if document["missing"]:
        top.document("missing.json", json.dumps(document["missing"], indent=1))
    for file in files:
        top.file(file)
    top.end(document["status"])
    return top.id


def _params(row: dict[str, Any], config: Config) -> dict[str, Any]:
    keys = (
        "mode", "batch", "asked", "precision", "policy", "input_shape", "rounds", "of_rounds",
        "threads", "deterministic", "jit", "side", "framework",
    )  # fmt: skip
    model = {"model.name": row["name"], "model.options": config.model.options}
    return model | {key: row[key] for key in keys}


def _metrics(row: dict[str, Any]) -> dict[str, float]:
    mode = row["mode"]
    latency = "latency_ms" if mode == "infer" else "update_ms"
    keys = (
        "peak_memory_bytes", "device_memory_bytes", "host_memory_bytes", "params", "macs",
        "build_seconds", "first_step_seconds", "flops_per_second", "fraction_of_peak",
    )  # fmt: skip
    named = {f"{mode}_images_per_second": row["images_per_second"]}
    named |= {f"{mode}_images_per_second_{end}": row[end] for end in ("low", "high")}
    named |= {f"{latency}_p{p}": row[f"latency_ms_p{p}"] for p in (50, 95, 99)}
    named |= {key: row[key] for key in keys}
    return {key: float(value) for key, value in named.items() if value is not None}


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:22}{cells[1]:10}{cells[2]:>10}" + "".join(f"{cell:>9}" for cell in cells[3:])


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
