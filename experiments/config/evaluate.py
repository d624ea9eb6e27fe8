"""The evaluate section: how a trained network is scored, and which are averaged."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from experiments.config.section import AtLeastTwo, Count, Pixels, Section


class Ensemble(Section):
    """Which networks `ilsvrc ensemble` averages."""

    kind: Literal["seeds", "top", "checkpoints"] = Field(
        "seeds",
        description="seeds: same settings, other initial weights and order of images; top: the "
        "best candidates of the config's finished search; checkpoints: late epochs of one run",
    )
    size: AtLeastTwo = Field(5, description="number of members")
    every: Count = Field(1, description="checkpoints: epochs from one to the next")


class Evaluate(Section):
    """How the trained network is scored."""

    dropout_samples: Count = Field(
        1,
        description="stochastic passes whose probabilities the final validation and test scores "
        "average; above 1 it needs model.options.monte_carlo",
    )
    # What follows is read by `ilsvrc evaluate` and `predict` alone: see AFTER_TRAINING.
    protocol: Literal["centre", "ten_crop", "alexnet", "144_crop", "multi_scale", "dense"] = Field(
        "centre", description="crops of an image whose probabilities are averaged"
    )
    sides: tuple[Pixels, ...] = Field(
        (), description="short sides to resize to, for a network of 224; empty: as the paper's"
    )
    part: Literal["train", "validation", "test", "all"] | None = Field(
        None,
        description="images to score; null: a run's test part, else the set's official test or "
        "validation part, else all",
    )
    classes: Literal["equal", "restrict", "map"] = Field(
        "equal",
        description="equal: network and set have the same classes; where the set has some of them, "
        "restrict: probabilities over these alone; map: over all, the others' count as wrong",
    )
    class_names: str | None = Field(
        None,
        description="file with the network's class names in its order, a line each or JSON; wins "
        "over all that is known of it",
    )
    labels: str | None = Field(
        None,
        description="JSON file of all the right classes of each image, such as ReaL's real.json",
    )
    corruptions: bool = Field(
        False,
        description="score also eight corruptions of the images at five severities each, 40 x the "
        "cost",
    )
    reuse: bool = Field(
        False, description="score runs by the predictions they kept, without their models"
    )
    ensemble: Ensemble | None = Field(None, description="for `ilsvrc ensemble`")


AFTER_TRAINING = frozenset(
    {"protocol", "sides", "part", "classes", "class_names", "labels", "corruptions", "reuse"}
    | {"ensemble"}
)
"""Keys of Evaluate that no training run depends on."""
