"""What a network that has learnt nothing scores: the commonest class always, or a guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import models
from experiments.config.schema import Config

MAJORITY, CHANCE = "majority_top1", "chance_top1"


def baselines(
    config: Config, parts: Mapping[str, Mapping[str, Any]], classes: int
) -> dict[str, float]:
    """majority_top1 and chance_top1 as fractions, of the test part, else of the validation part.

    Args:
        config: names the network; a reconstruction has no classes to guess, and gets {}.
        parts: of the images, as `composition` gives them; without a held-out part {}.
        classes: that the network tells apart.
    """
    part = parts.get("test") or parts.get("validation")
    if not part or not part["images"] or models.card(config.model.name).task == "reconstruction":
        return {}
    return {MAJORITY: part["largest"] / part["images"], CHANCE: 1 / classes}


def in_words(scores: Mapping[str, float]) -> str:
    """Both in a line; empty where there are none."""
    if MAJORITY not in scores:
        return ""
    return (
        f"to beat: the commonest class, always answered, scores {scores[MAJORITY]:.2%} top-1, "
        f"chance {scores[CHANCE]:.2%}"
    )


def remark(scores: Mapping[str, float]) -> str:
    """What is said of a run's scores that are no better than the commonest class; else empty."""
    top1 = scores.get("test_top1", scores.get("val_top1"))
    if top1 is None or MAJORITY not in scores or top1 > scores[MAJORITY]:
        return ""
    return f"; no better than the commonest class, always answered ({scores[MAJORITY]:.2%})"
