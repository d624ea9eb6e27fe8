"""What stands under a table or figure: data, seeds, machine, tests, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.comparison import fold_intervals
from experiments.comparison.best_of import in_short
from experiments.comparison.grouping import Comparison
from experiments.comparison.row_names import subject
from experiments.presentation.columns import DISTURBED_NOTE, TIMED_NOTE, Column

OUTER_FOLDS = (
    "Rows are the outer folds of nested searches: each was tested once, with the settings that its "
    "own search chose"
)
UNEQUAL = 1.5  # largest class over smallest above which means over classes are shown


def title(comparison: Comparison) -> str:
    """The experiments, and what was picked from them."""
    names = ", ".join(comparison.experiments)
    picked = [*comparison.where, *([] if comparison.level == "run" else [comparison.level])]
    if comparison.best_of:
        picked.append(f"best of {in_short(comparison.best_of['keys'])} by validation")
    return f"{names} ({', '.join(picked)})" if picked else names


def part(comparison: Comparison) -> str:
    """The part of the data that the score was measured on: test or validation."""
    return "test" if comparison.score.startswith("test") else "validation"


def top5(comparison: Comparison) -> str:
    """The key of the top-5 accuracy on that part."""
    return f"{comparison.score.partition('_')[0]}_top5"


def imbalanced(comparison: Comparison) -> tuple[int, ...]:
    """Images of the smallest and the largest class of that part, where these differ by more than
    `UNEQUAL` times; else, and where no run tells them, empty."""
    sizes = [row["class_sizes"] for row in comparison.rows if row.get("class_sizes")]
    if not sizes:
        return ()
    low, high = min(low for low, _ in sizes), max(high for _, high in sizes)
    return (low, high) if high > UNEQUAL * low else ()


def origin(comparison: Comparison) -> str:
    """Source, number of seeds, device and precision in one line."""
    devices = [device.replace(", 1 threads", ", 1 thread") for device in comparison.devices]
    facts = [", ".join(comparison.sources), seeds(comparison), " and ".join(devices)]
    return "; ".join(fact for fact in [*facts, ", ".join(comparison.precisions)] if fact)


def figure_origin(comparison: Comparison) -> str:
    """The origin, after what the labels of a figure leave out."""
    return "; ".join(filter(None, [subject(comparison.rows), origin(comparison)]))


def repeated(comparison: Comparison) -> str:
    """What a mean is over: seeds, folds, or both."""
    folds = any(row.get("folds") for row in comparison.rows)
    several = any(len(row.get("seeds", ())) > 1 for row in comparison.rows)
    return "seeds and folds" if folds and several else "folds" if folds else "seeds"


def seeds(comparison: Comparison) -> str:
    """How many runs a mean is made of."""
    counts = sorted({row["n"] for row in comparison.rows})
    if counts == [1]:
        return "one seed each"
    many = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"mean over n = {many} {repeated(comparison)}"


def marked(comparison: Comparison, columns: Sequence[Column]) -> list[str]:
    """What the mark at values of these columns means, where there is one; else how far their times
    and rates are to be trusted, where no run says that it was alone on its machine."""
    cells = [(column, row) for column in columns for row in comparison.rows]
    if any(column.mark(row) for column, row in cells):
        return [DISTURBED_NOTE]
    return [TIMED_NOTE] if any(column.doubtful(row) for column, row in cells) else []


def notes(comparison: Comparison) -> list[str]:
    """What was tested, warnings, and runs that are not in the rows."""
    tested = comparison.significance or {}
    chosen = comparison.best_of or {}
    lines = [OUTER_FOLDS] if comparison.level == "outer_fold" else []
    lines += fold_intervals.notes(comparison)
    lines += [*chosen.get("notes", ()), *tested.get("notes", ())]
    lines += (comparison.bench or {}).get("notes", ())
    lines += [f"Warning: {warning}" for warning in comparison.warnings]
    gone = [f"{count} {status.lower()}" for status, count in comparison.left_out.items()]
    if comparison.repeats:
        gone.append(f"{comparison.repeats} repeated with the same config and seed since")
    if gone:
        lines.append(f"Runs left out: {', '.join(gone)}")
    return lines


def short_notes(comparison: Comparison, most: int = 3) -> list[str]:
    """For under a figure: how rows were chosen, warnings, and runs left out; all else stands
    under the table."""
    below = [*(comparison.significance or {}).get("notes", ())]
    below += (comparison.best_of or {}).get("notes", ())[1:]
    below += (comparison.bench or {}).get("notes", ())
    lines = [note for note in notes(comparison) if note not in below]
    rest = len(lines) - most
    return lines if rest <= 0 else [*lines[:most], f"{rest} more: see the table's notes"]
