"""How the numbers of a comparison came about, in sentences for a methods section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.comparison.caption import part, repeated
from experiments.comparison.grouping import Comparison
from experiments.presentation.formatting import in_words

if TYPE_CHECKING:
    from experiments.reporting.facts import Facts


NORMALISED = {
    "mean_std": "normalised by mean and deviation of the training part",
    "mean": "normalised by the mean of the training part",
    "unit": "pixels divided by 255",
    "published": "normalised as the published weights expect",
}
VARIED = {
    "train.epochs.": "epochs",
    "train.updates.": "updates",
    "data.batch_size.": "batch size",
    "train.optimizer.name.": "optimizer",
    "train.optimizer.learning_rate": "learning rate",
    "train.optimizer.weight_decay.": "weight decay",
    "train.optimizer.clip.": "gradient clipping",
    "train.optimizer.ema.": "averaging of the weights",
    "train.schedule.": "schedule",
    "train.loss.": "loss",
    "train.class_weights.": "class weights",
    "train.accumulate.": "accumulation",
    "data.image_size.": "image size",
    "data.normalise.": "normalisation",
    "train.precision.": "precision",
}
"""Beginnings of settings, and what is said to vary where one does."""


def sentences(comparison: Comparison, facts: Facts) -> list[str]:
    """Split, training, scoring, spread, tests, cost; what varies is said to vary."""
    told = [_split(comparison, facts), _training(comparison, facts), _scoring(comparison, facts)]
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
        shared = facts.settings  # what varies from run to run is not in it
        count = shared.get("bench.throughput_batches", "several")
        size = shared.get("data.eval_batch_size", "a size that varies")
        told.append(
            f"Latency: median of {calls} calls of the network alone at batch 1, image in memory, "
            f"logits read back, after warm-up; rates: median of {count} batches of {size}"
        )
    told.append("MACs: multiply-accumulates of convolutional and dense layers for one image")
    return [sentence for sentence in told if sentence]


def _split(comparison: Comparison, facts: Facts) -> str:
    share = facts.settings
    counts = [
        f"{data['train']:,} training, {data['validation'] or 0:,} validation and "
        f"{data['test'] or 0:,} test images"
        for data in facts.data
        if isinstance(data["train"], int)
    ]
    parts = [" or ".join(dict.fromkeys(counts))]
    if "validation.seed" in share:
        how = "parts without an official one are held out"
        if comparison.level == "outer_fold":
            how = "the test images of a run are those of its outer fold, which its search never saw"
        parts.append(
            f"{how}, stratified, with split seed {share['validation.seed']} "
            "(apart from the runs' seeds)"
        )
    folds = share.get("validation.test_folds") or share.get("validation.folds")
    if folds:
        part = "test" if share.get("validation.test_folds") else "validation"
        parts.append(f"in each of {folds} folds, which are the {part} part in turn")
    if share.get("data.group_duplicates"):
        parts.append("identical files stay on one side")
    return f"Data: {'; '.join(filter(None, parts))}" if any(parts) else ""


def _training(comparison: Comparison, facts: Facts) -> str:
    settings = facts.settings
    size = settings.get("data.image_size")
    augment = facts.tags.get("augment") or ["none"]
    parts = [
        _phrase(settings, "train.epochs", "{} epochs"),
        _phrase(settings, "train.updates", "{} updates"),
        _phrase(settings, "data.batch_size", "batches of {}"),
        _optimizer(settings),
        _phrase(settings, "train.schedule.name", "schedule {}"),
        _phrase(settings, "train.loss.name", "loss {}"),
        _class_weights(settings),
        f"images {' x '.join(map(str, size)) if isinstance(size, list) else size}" if size else "",
        NORMALISED.get(str(settings.get("data.normalise")), ""),
        f"augmentation: {augment[0]}" if len(augment) == 1 else "",
        _phrase(settings, "train.precision", "precision {}"),
        *_special(settings),
    ]
    chosen = (comparison.best_of or {}).get("keys", ())
    varying = [f"{key}." for key in comparison.varying if key not in chosen]
    varied = [said for key, said in VARIED.items() if any(x.startswith(key) for x in varying)]
    varied += ["augmentation"] * (len(augment) > 1)
    between = f"; varied between runs: {', '.join(varied)}" if varied else ""
    picked = f"; validation chose {', '.join(chosen)}" if chosen else ""
    return f"Training: {', '.join(filter(None, parts))}{between}{picked}"


def _phrase(settings: dict[str, Any], key: str, phrase: str) -> str:
    return phrase.format(in_words(settings[key])) if key in settings else ""


def _optimizer(settings: dict[str, Any]) -> str:
    """sgd at 0.05 with weight decay 0.0005, as far as the runs share it."""
    decay = "train.optimizer.weight_decay"
    words = [
        _phrase(settings, "train.optimizer.name", "{}") or "several optimizers",
        _phrase(settings, "train.optimizer.learning_rate", "at {}"),
        "without weight decay"
        if settings.get(decay) == 0
        else _phrase(settings, decay, "with weight decay {}"),
    ]
    return " ".join(filter(None, words))


def _class_weights(settings: dict[str, Any]) -> str:
    """balanced, or each class that has one."""
    key = "train.class_weights"
    if settings.get(key) == "balanced":
        return "loss weighted by class (balanced: by the inverse of its number of images)"
    weights = {
        name.removeprefix(f"{key}."): weight
        for name, weight in settings.items()
        if name.startswith(f"{key}.")
    }
    named = ", ".join(f"{name} {in_words(weight)}" for name, weight in weights.items())
    return f"loss weighted by class ({named}; rescaled to mean 1)" if named else ""


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
