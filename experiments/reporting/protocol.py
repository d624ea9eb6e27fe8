"""How the numbers of a comparison came about, in sentences for a methods section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.comparison.caption import part, repeated
from experiments.comparison.grouping import Comparison
from experiments.presentation.formatting import in_words

if TYPE_CHECKING:
    from experiments.reporting.facts import Facts


def sentences(comparison: Comparison, facts: Facts) -> list[str]:
    """Split, training, scoring, spread, tests, cost; what varies is said to vary."""
    told = [_split(facts), _training(comparison, facts), _scoring(comparison, facts)]
    told += (comparison.best_of or {}).get("notes", [])[:1]
    if any(row["n"] > 1 for row in comparison.rows):
        told.append(
            f"A figure a ± b is the mean and the sample standard deviation over "
            f"{repeated(comparison)}; n is how many values that is"
        )
    told += (comparison.significance or {}).get("notes", [])
    told.append(
        "Pareto front: rows that no other equals or beats in both cost and top-1, and beats in one"
    )
    if calls := facts.settings.get("bench.latency_calls"):
        told.append(
            f"Latency: median of {calls} calls of the network alone at batch 1, image in memory, "
            "logits read back, after warm-up; rates: median of "
            f"{facts.settings.get('bench.throughput_batches', '?')} batches of "
            f"{facts.settings.get('data.eval_batch_size', '?')}"
        )
    told.append("MACs: multiply-accumulates of convolutional and dense layers for one image")
    return [sentence for sentence in told if sentence]


def _split(facts: Facts) -> str:
    share = facts.settings
    counts = [
        f"{data['train']:,} training, {data['validation'] or 0:,} validation and "
        f"{data['test'] or 0:,} test images"
        for data in facts.data
        if isinstance(data["train"], int)
    ]
    parts = [" or ".join(dict.fromkeys(counts))]
    if "validation.seed" in share:
        parts.append(
            "parts without an official one are held out, stratified, with split seed "
            f"{share['validation.seed']} (apart from the runs' seeds)"
        )
    if share.get("data.group_duplicates"):
        parts.append("identical files stay on one side")
    return f"Data: {'; '.join(filter(None, parts))}" if any(parts) else ""


def _training(comparison: Comparison, facts: Facts) -> str:
    chosen = (comparison.best_of or {}).get("keys", ())

    def setting(key: str) -> Any:
        if key in chosen:
            return "the value that validation chose"
        if key in facts.settings:
            return in_words(facts.settings[key])
        return "varied" if key in comparison.varying else "?"

    augment = facts.tags.get("augment") or ["none"]
    text = (
        f"{setting('train.epochs')} epochs, batches of {setting('data.batch_size')}, "
        f"{setting('train.optimizer.name')} at {setting('train.optimizer.learning_rate')} with "
        f"weight decay {setting('train.optimizer.weight_decay')}, schedule "
        f"{setting('train.schedule.name')}, loss {setting('train.loss.name')}, images "
        f"{setting('data.image_size')}, normalised by {setting('data.normalise')} of the training "
        f"part, augmentation: {augment[0] if len(augment) == 1 else 'varied'}, precision "
        f"{setting('train.precision')}"
    )
    return ", ".join([f"Training: {text}", *_special(facts.settings)])


def _special(settings: dict[str, Any]) -> list[str]:
    """What an update has that most have not, in words."""

    def of(key: str) -> Any:
        return settings.get(f"train.{key}")

    parts = []
    if of("optimizer.learning_rate_for_batch"):
        parts.append(
            f"learning rate as for batches of {of('optimizer.learning_rate_for_batch')}, "
            f"{of('optimizer.learning_rate_scaling')} scaling"
        )
    parts += [
        f"gradients clipped to a {words} of {of(f'optimizer.clip.{kind}')}"
        for kind, words in (
            ("norm", "norm (of each variable)"), ("global_norm", "global norm"), ("value", "value")
        )
        if of(f"optimizer.clip.{kind}")
    ]  # fmt: skip
    if of("optimizer.ema.momentum") is not None:
        parts.append(
            "scored with moving averages of the weights, momentum "
            f"{of('optimizer.ema.momentum')}{', warmed up' * bool(of('optimizer.ema.warmup'))}"
        )
    if (of("accumulate") or 1) > 1:
        parts.append(f"gradients summed over {of('accumulate')} parts of a batch")
    return parts


def _scoring(comparison: Comparison, facts: Facts) -> str:
    stopping = any(
        key.startswith("train.early_stopping.") for key in [*facts.settings, *comparison.varying]
    )
    epoch = "the epoch that validation picked (early stopping)" if stopping else "the last epoch"
    text = f"The network scored is that of {epoch}"
    if part(comparison) == "test":
        return f"{text}; its test images are seen once, at the end, by no choice before"
    return f"{text}; it is scored on the validation images, on which choices may rest"
