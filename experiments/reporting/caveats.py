"""What a reader of a comparison should doubt, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.comparison.caption import part
from experiments.comparison.grouping import Comparison

if TYPE_CHECKING:
    from experiments.reporting.facts import Facts

FEW = 3  # values below which a standard deviation is no more than a hint


def caveats(comparison: Comparison, facts: Facts) -> list[str]:
    """Sentences, the gravest first."""
    rows = comparison.rows
    doubts = list(comparison.warnings)
    if comparison.best_of:
        doubts += comparison.best_of["notes"][1:]
        if comparison.score.startswith("test"):
            doubts.append(
                "Validation chose the setting of each row, so the rows' validation figures are "
                "optimistic; their test figures are not for that reason"
            )
    doubts += _repetition([row["n"] for row in rows])
    if comparison.score == "test_top1" and len(rows) > 1:
        doubts.append(
            f"{len(rows)} configurations were tested on the same test images and are ranked by "
            "that test: the figure of the first is optimistic; choose by validation"
            + (" among the rows, too" if comparison.best_of else "")
        )
    if (interval := best_interval(comparison, facts)) is not None:
        doubts.append(interval)
    doubts += _budget(comparison, facts)
    if facts.stopped_early:
        doubts.append(f"{facts.stopped_early} of {facts.runs} runs stopped early, on validation")
    for package, versions in facts.versions.items():
        if len(versions) > 1:
            doubts.append(f"The runs used different versions of {package} ({', '.join(versions)})")
    if len(facts.tags.get("python", ())) > 1:
        doubts.append(f"The runs used different Pythons ({', '.join(facts.tags['python'])})")
    for data in facts.data:
        if data["corrupt"]:
            doubts.append(f"{data['source']}: {data['corrupt']} unreadable images were left out")
        if str(data["source"]).startswith(("synthetic", "directions")):
            doubts.append(f"{data['source']}: drawn images; they say little about photographs")
    if facts.settings.get("train.deterministic") is False:
        doubts.append("Training was not deterministic: the same seed gives other last digits")
    gone = sum(comparison.left_out.values())
    if gone:
        what = ", ".join(f"{n} {status.lower()}" for status, n in comparison.left_out.items())
        doubts.append(f"Runs without a result are not in the table: {what}")
    if comparison.repeats:
        doubts.append(
            f"{comparison.repeats} runs were repeated with the same config and seed; "
            "the newest of each counts"
        )
    if any(row["latency_ms_p50"] is not None for row in rows):
        doubts.append(
            "Times, rates and memory were measured at the end of each run on a machine that may "
            "have done other things (so it did where a † stands); `ilsvrc bench infer` measures "
            "them side by side"
        )
    return list(dict.fromkeys(doubts))


def best_interval(comparison: Comparison, facts: Facts) -> str | None:
    """How far the size of the scored part lets one tell rows apart; None of rows over folds, which
    are scored on the images of all folds and have their interval under the table."""
    from tuning.statistics.significance import accuracy_interval

    images = {data[part(comparison)] for data in facts.data}
    scored = [row for row in comparison.rows if row["top1_mean"] is not None]
    if len(images) != 1 or not scored or not (count := images.pop()):
        return None
    best = max(scored, key=lambda row: row["top1_mean"])
    if best["folds"]:
        return None
    interval = accuracy_interval(round(best["top1_mean"] * count), count)
    return (
        f"{count:,} {part(comparison)} images: a top-1 of {100 * best['top1_mean']:.1f} % has a "
        f"95 % interval of {100 * interval.low:.1f} to {100 * interval.high:.1f} % over other "
        f"images of this kind ({interval.method}), besides the spread over seeds"
    )


def chosen_by_validation(comparison: Comparison) -> Mapping[str, Any] | None:
    """The row that validation picks; None where the score is itself that of validation."""
    rows = [row for row in comparison.rows if row["val_top1"] is not None]
    if comparison.score != "test_top1" or not rows:
        return None
    return max(rows, key=lambda row: row["val_top1"])


def _repetition(counts: list[int]) -> list[str]:
    doubts = []
    single = sum(n == 1 for n in counts)
    if single == len(counts):
        doubts.append("One seed each: nothing is known of how much a repetition would differ")
    elif single:
        doubts.append(f"{single} of {len(counts)} rows have one seed: no spread is known of them")
    few = sorted({n for n in counts if 1 < n < FEW})
    if few:
        doubts.append(f"A standard deviation of {few[0]} values is a hint, not an estimate")
    if len(set(counts)) > 1:
        doubts.append(
            f"Rows are means over {min(counts)} to {max(counts)} runs, not over equally many"
        )
    return doubts


def _budget(comparison: Comparison, facts: Facts) -> list[str]:
    chosen = (comparison.best_of or {}).get("keys", ())
    varying = {*comparison.varying, *chosen}
    doubts = []
    if varying & {"train.epochs", "train.updates"}:
        doubts.append("Rows trained for different numbers of epochs")
    if "data.image_size" in varying:
        doubts.append("Rows saw images of different sizes, to which MACs and accuracy answer")
    if "data.train_images" in varying:
        doubts.append("Rows trained on different numbers of images")
    tuned = comparison.level == "outer_fold" or any(key.startswith("train.") for key in chosen)
    if "model.name" in varying and "train.optimizer.learning_rate" in facts.settings and not tuned:
        doubts.append(
            "All architectures share one recipe (optimizer, learning rate, epochs); "
            "each might do better with its own"
        )
    return doubts
