"""What stands under a table or figure: data, seeds, machine, and what was left out."""

from __future__ import annotations

from experiments.grouping import Comparison

MACS = "MACs = multiply-accumulates of conv and dense layers, one image"


def title(comparison: Comparison) -> str:
    return ", ".join(comparison.experiments)


def part(comparison: Comparison) -> str:
    """The part of the data that the score was measured on: test or validation."""
    return "test" if comparison.score.startswith("test") else "validation"


def origin(comparison: Comparison) -> str:
    """Source, number of seeds, device and precision in one line."""
    facts = [", ".join(comparison.sources), seeds(comparison), " and ".join(comparison.devices)]
    return "; ".join(fact for fact in [*facts, ", ".join(comparison.precisions)] if fact)


def seeds(comparison: Comparison) -> str:
    """How many runs a mean is made of."""
    counts = sorted({row["n"] for row in comparison.rows})
    if counts == [1]:
        return "one seed each"
    many = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"mean over n = {many} seeds"


def notes(comparison: Comparison) -> list[str]:
    """Warnings, and runs that are not in the rows."""
    lines = [f"Warning: {warning}" for warning in comparison.warnings]
    gone = [f"{count} {status.lower()}" for status, count in comparison.left_out.items()]
    if comparison.repeats:
        gone.append(f"{comparison.repeats} repeated with the same config and seed since")
    if gone:
        lines.append(f"Runs left out: {', '.join(gone)}")
    return lines
