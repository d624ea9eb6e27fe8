"""The augment section: a training recipe as typed steps, in the order in which they run.

What each step does, with its formula and source, is written where it is made: pipelines/augment.py,
geometry.py, colour.py, erasing.py and mixing.py. Value ranges are those of pipelines/recipes.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from experiments.config.section import Fraction, Probability, Section
from pipelines.augment.recipes import BATCH_OPS, check_steps

Fill = Literal["mean", "edge", "reflect"]

Factors = tuple[NonNegativeFloat, NonNegativeFloat]


class PadAndCrop(Section):
    op: Literal["pad_and_crop"]
    padding: PositiveInt = 4


class RandomResizedCrop(Section):
    op: Literal["random_resized_crop"]
    scale: tuple[Fraction, Fraction] = (0.08, 1.0)
    ratio: tuple[PositiveFloat, PositiveFloat] = (3 / 4, 4 / 3)


class ScaleAndCrop(Section):
    op: Literal["scale_and_crop"]
    short_side: tuple[PositiveInt, PositiveInt] = (256, 480)
    reference: PositiveInt | None = Field(
        None, description="network size that short_side is meant for; null: pixels as they are"
    )


class HorizontalFlip(Section):
    op: Literal["horizontal_flip"]
    probability: Probability = 0.5


class VerticalFlip(Section):
    op: Literal["vertical_flip"]
    probability: Probability = 0.5


class RightAngles(Section):
    op: Literal["right_angles"]
    probability: Probability = Field(0.75, description="of 90, 180 or 270 degrees")


class Geometric(Section):
    fill: Fill = Field("reflect", description="outside the image: training mean, edge, reflect")
    probability: Probability = 1.0


class Translate(Geometric):
    op: Literal["translate"]
    fraction: Probability = Field(0.1, description="of height and width, at most")


class Rotate(Geometric):
    op: Literal["rotate"]
    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0


class Stretch(Geometric):
    op: Literal["stretch"]
    factor: tuple[PositiveFloat, PositiveFloat] = Field(
        (0.8, 1.25), description="of height and of width, drawn apart"
    )


class Shear(Geometric):
    op: Literal["shear"]
    degrees: Annotated[float, Field(ge=0, lt=90)] = 10.0


class LensDistortion(Geometric):
    op: Literal["lens_distortion"]
    strength: Annotated[float, Field(ge=0, lt=1 / 3)] = Field(
        0.2, description="k of r * (1 + k * r * r), r 1 at the corners"
    )


class ColourFactor(Section):
    factor: Factors = Field((0.5, 1.5), description="1 leaves the image as it is")
    probability: Probability = 1.0


class Brightness(ColourFactor):
    op: Literal["brightness"]


class Contrast(ColourFactor):
    op: Literal["contrast"]


class Saturation(ColourFactor):
    op: Literal["saturation"]


class Hue(Section):
    op: Literal["hue"]
    shift: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.2, description="at most, as a part of the colour circle"
    )
    probability: Probability = 1.0


class PcaJitter(Section):
    op: Literal["pca_jitter"]
    sigma: NonNegativeFloat = 0.1


class RandomErasing(Section):
    op: Literal["random_erasing"]
    area: tuple[Fraction, Fraction] = (0.02, 0.4)
    ratio: tuple[PositiveFloat, PositiveFloat] = (0.3, 1 / 0.3)
    fill: Literal["random", "mean"] = "random"
    probability: Probability = 0.5


class Mixup(Section):
    op: Literal["mixup"]
    alpha: PositiveFloat = 0.2
    probability: Probability = Field(1.0, description="of a batch")


class Cutmix(Section):
    op: Literal["cutmix"]
    alpha: PositiveFloat = 1.0
    probability: Probability = Field(1.0, description="of a batch")


Step = Annotated[
    PadAndCrop
    | RandomResizedCrop
    | ScaleAndCrop
    | HorizontalFlip
    | VerticalFlip
    | RightAngles
    | Translate
    | Rotate
    | Stretch
    | Shear
    | LensDistortion
    | Brightness
    | Contrast
    | Saturation
    | Hue
    | PcaJitter
    | RandomErasing
    | Mixup
    | Cutmix,
    Field(discriminator="op"),
]

STEPS: dict[str, type[Section]] = {
    "pad_and_crop": PadAndCrop,
    "random_resized_crop": RandomResizedCrop,
    "scale_and_crop": ScaleAndCrop,
    "horizontal_flip": HorizontalFlip,
    "vertical_flip": VerticalFlip,
    "right_angles": RightAngles,
    "translate": Translate,
    "rotate": Rotate,
    "stretch": Stretch,
    "shear": Shear,
    "lens_distortion": LensDistortion,
    "brightness": Brightness,
    "contrast": Contrast,
    "saturation": Saturation,
    "hue": Hue,
    "pca_jitter": PcaJitter,
    "random_erasing": RandomErasing,
    "mixup": Mixup,
    "cutmix": Cutmix,
}


class Augment(Section):
    """The training recipe: a preset, or steps in order."""

    preset: Literal["none", "cifar", "alexnet", "vgg", "inception", "resnet"] | None = None
    steps: tuple[Step, ...] | None = None

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Augment:
        if self.preset is not None and self.steps is not None:
            raise ValueError(
                f"preset {self.preset} and steps exclude each other; leave one out, or replace "
                f"the section: augment={{preset: {self.preset}}}"
            )
        return self

    @model_validator(mode="after")
    def _steps_in_a_possible_order(self) -> Augment:
        check_steps(self.as_data())
        return self

    def as_data(self) -> tuple[dict[str, Any], ...]:
        """The steps as the pipeline takes them; none where a preset is named."""
        return tuple(step.model_dump() for step in self.steps or ())

    @property
    def mixes(self) -> bool:
        """Do labels become soft, as MixUp and CutMix make them?"""
        return any(step.op in BATCH_OPS for step in self.steps or ())
