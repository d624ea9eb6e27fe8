"""What `ilsvrc evaluate` prints for people."""

from __future__ import annotations

from typing import Any

from experiments.numbers import si

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
            "" if latency is None else f"{latency:.3g}",
        ]
        table.add_row(row["name"], *cells)
    head = (
        f"{document['images']:,} images of {document['classes']} classes: {document['source']}, "
        f"{document['part']}; {document['protocol']}"
    )
    lines = [head, table]
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
