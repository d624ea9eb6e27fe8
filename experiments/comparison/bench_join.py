"""`ilsvrc compare --bench`: what `ilsvrc bench` measured of a network, beside its accuracy.

The rows of a comparison and the runs of level bench meet by architecture: the same `model.name`
and `model.options`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.comparison.grouping import Comparison, value_of
from experiments.config.settings import flatten
from experiments.errors import BadInput
from experiments.presentation.columns import COLUMNS
from experiments.presentation.formatting import si

if TYPE_CHECKING:
    from mlflow.entities import Run

ALIKE = 0.01  # difference of MACs, as a fraction, that is not worth a word
SHOWN = 3  # networks in a warning

Architecture = tuple[str, str]
"""Name, and options as JSON."""


class Wanted(NamedTuple):
    """Which rows of a bench are taken."""

    experiment: str
    batch: int | str | None = None
    """None: the largest that was measured of every network; auto: each network's own largest."""
    precision: str | None = None
    """None: float32, or the only one."""
    side: str | None = None
    """As the rows have it. None: tensorflow, on which runs train, or the only one."""


def parsed(text: str) -> Wanted:
    """EXPERIMENT[,batch=N][,precision=P][,side=S].

    Raises:
        BadInput: anything else.
    """
    name, *words = [word.strip() for word in text.split(",")]
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key in options:
            raise BadInput(f"--bench {text}: {key} is given twice: remove one")
        if key == "batch" and (value == "auto" or re.fullmatch("0*[1-9][0-9]{0,8}", value)):
            options[key] = value if value == "auto" else int(value)
        elif key in ("precision", "side") and value:
            options[key] = value
        else:
            raise BadInput(f"--bench {text}: expected EXPERIMENT,batch=32,precision=float32")
    if not name:
        raise BadInput(f"--bench {text}: expected the name of an experiment first")
    return Wanted(name, **options)


def joined(
    comparison: Comparison, wanted: Wanted, benched: Sequence[Run], runs: Mapping[str, Run]
) -> Comparison:
    """The comparison with `bench` and the columns of that kind, None for what was not measured.

    Args:
        benched: finished runs of level bench.
        runs: of the comparison's rows, by id.

    Raises:
        BadInput: no bench rows, none of this batch or precision, or of other networks only.
    """
    rows = [run for run in benched if "batch" in run.data.params]  # the others are their parents
    if not rows:
        raise BadInput(
            f"--bench {wanted.experiment}: no rows of ilsvrc bench there; "
            f"write them: ilsvrc bench infer name={wanted.experiment} --log"
        )
    of_row = {id(row): _of_row([runs[i] for i in row["run_ids"]]) for row in comparison.rows}
    known = [run for run in rows if _of_bench(run) in of_row.values()]
    if not known:
        there = ", ".join(sorted({run.data.params["model.name"] for run in rows}))
        raise BadInput(
            f"--bench {wanted.experiment}: none of its networks ({there}) is a row here; "
            "rows meet by model.name and model.options"
        )
    side = wanted.side or _usual(known, "side", "tensorflow")
    known = _matching(known, wanted, "side", side)
    precision = wanted.precision or _usual(known, "precision", "float32")
    picked = _matching(known, wanted, "precision", precision)
    if wanted.batch:
        picked = _matching(picked, wanted, "batch", wanted.batch)
    batch = wanted.batch or _common(picked)
    picked = [run for run in picked if _batch(run, batch) == batch]
    newest: dict[tuple[Architecture | None, Any], Run] = {
        (_of_bench(run), run.data.params["mode"]): run
        for run in sorted(picked, key=lambda run: run.info.start_time)
    }
    sources = {column.key: column.bench for column in COLUMNS if column.bench}
    values = [
        row | {key: _value(newest.get((of_row[id(row)], mode)), metric)
               for key, (mode, metric) in sources.items()}
        for row in comparison.rows
    ]  # fmt: skip
    notes = [_note(wanted.experiment, batch, precision, list(newest.values()))]
    pairs = [
        (row, run)
        for row in comparison.rows
        for (architecture, _), run in newest.items()
        if architecture == of_row[id(row)]
    ]
    notes += _other_networks(pairs)
    notes += [
        f"Partial: {run.data.params['model.name']}, {run.data.params['mode']}: "
        f"{run.data.tags['partial']}"
        for run in newest.values()
        if "partial" in run.data.tags
    ]
    missing = [row["name"] for row in values if all(row[key] is None for key in sources)]
    if missing:
        notes.append(f"Not in the bench: {', '.join(missing)}")
    chosen = {"batch": batch, "precision": precision, "side": side}
    bench = {"experiment": wanted.experiment, **chosen, "notes": notes}
    return replace(comparison, rows=values, bench=bench)


def _of_row(runs: Sequence[Run]) -> Architecture | None:
    architectures = {_of_params(run.data.params) for run in runs}
    return architectures.pop() if len(architectures) == 1 else None


def _of_params(params: Mapping[str, str]) -> Architecture:
    prefix = "model.options."
    options = {
        key.removeprefix(prefix): value_of(value)
        for key, value in params.items()
        if key.startswith(prefix)
    }
    return params.get("model.name", ""), _canonical(options)


def _of_bench(run: Run) -> Architecture:
    options = value_of(run.data.params.get("model.options")) or {}
    return run.data.params["model.name"], _canonical(flatten(options))


def _canonical(options: Mapping[str, Any]) -> str:
    return json.dumps({key: options[key] for key in sorted(options) if options[key] is not None})


def _matching(runs: Sequence[Run], wanted: Wanted, key: str, value: int | str) -> list[Run]:
    if key == "batch":
        matching = [run for run in runs if _batch(run, value) == value]
    else:
        matching = [run for run in runs if run.data.params.get(key, value) == value]
    if not matching:
        there = sorted({run.data.params[key] for run in runs})
        there.sort(key=lambda text: int(text) if text.isdecimal() else 0)
        raise BadInput(
            f"--bench {wanted.experiment}: {key}={value} was not measured; {', '.join(there)} were"
        )
    return matching


def _usual(runs: Sequence[Run], key: str, usual: str) -> str:
    there = sorted({run.data.params.get(key, usual) for run in runs})
    return usual if usual in there else there[0]


def _batch(run: Run, like: int | str) -> int | str:
    """The batch of a row, or `auto` where that was asked for and is what it is compared with."""
    params = run.data.params
    return "auto" if like == params["asked"] == "auto" else int(params["batch"])


def _common(runs: Sequence[Run]) -> int:
    """The largest batch that each network and mode was measured at; of none, the smallest."""
    of_each: dict[Any, set[int]] = {}
    for run in runs:
        key = (_of_bench(run), run.data.params["mode"])
        of_each.setdefault(key, set()).add(int(run.data.params["batch"]))
    shared = set.intersection(*of_each.values())
    return max(shared) if shared else min(set.union(*of_each.values()))


def _value(run: Run | None, metric: str) -> float | None:
    return run.data.metrics.get(metric) if run else None


def _note(experiment: str, batch: int | str, precision: str, runs: Sequence[Run]) -> str:
    devices = sorted({run.data.tags.get("device", "unknown device") for run in runs})
    devices += sorted({run.data.tags["framework"] for run in runs if "framework" in run.data.tags})
    sizes = sorted({_size(run) for run in runs})
    size = sizes[0] if len(sizes) == 1 else "images of each network's own size"
    at = "each network's largest batch" if batch == "auto" else f"batch {batch}"
    return (
        f"bench: {experiment}, {at} (latency: batch 1), {precision}, {size}, "
        f"{', '.join(devices)}; memory of the whole process, or of the device"
    )


def _size(run: Run) -> str:
    shape = value_of(run.data.params.get("input_shape"))
    return "x".join(map(str, shape)) if isinstance(shape, list) else "images of unknown size"


def _other_networks(pairs: Sequence[tuple[Mapping[str, Any], Run]]) -> list[str]:
    """A warning where what was measured is not what was trained."""
    differing = {}
    for row, run in pairs:
        there, here = run.data.metrics.get("macs"), row["macs"]
        if there and here and abs(there - here) > ALIKE * here:
            differing[row["name"]] = f"{row['name']} {si(there)} MACs there, {si(here)} here"
    if not differing:
        return []
    words = list(differing.values())
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return [
        "Warning: the bench measured other image sizes or numbers of classes than were trained: "
        f"{'; '.join(words[:SHOWN])}{more}"
    ]
