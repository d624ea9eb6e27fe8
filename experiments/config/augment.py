"""The augment section: a training recipe as typed steps, in the order in which they run.

The steps are made from the declarations in pipelines/augment/: what each does, with its formula and
source, is written there, and so are its settings, defaults and limits.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin

from pydantic import Field, create_model, model_validator

from experiments.config.section import Section
from pipelines.augment.declaration import LIMITS, Augmentation, Parameter
from pipelines.augment.ops import OPS
from pipelines.augment.recipes import PRESETS, check_steps


def _section(op: Augmentation) -> type[Section]:
    """The typed step of an augmentation, PadAndCrop of pad_and_crop."""
    order = dict.fromkeys((*op.first, "op", *op.settings))
    fields: dict[str, Any] = order | {k: _field(v) for k, v in op.settings.items()}
    fields["op"] = (Literal[op.name], ...)
    name = op.name.title().replace("_", "")
    return create_model(name, __base__=Section, __module__=__name__, **fields)


def _field(parameter: Parameter) -> tuple[Any, Any]:
    """Type and default as `create_model` takes them."""
    limits = {name: getattr(parameter.setting, name) for name in LIMITS}
    if parameter.setting.config_gt is not None:
        limits |= {"gt": parameter.setting.config_gt, "ge": None}

    def limited(kind: Any) -> Any:
        return Annotated[kind, Field(**limits)] if kind in (int, float) else kind

    kind, parts = limited(parameter.type), tuple(map(limited, get_args(parameter.type)))
    if get_origin(parameter.type) is tuple:
        kind = tuple[parts]  # type: ignore[valid-type]
    elif type(None) in parts:
        kind = reduce(or_, parts)
    return kind, Field(parameter.default, description=parameter.setting.description)


STEPS: dict[str, type[Section]] = {name: _section(op) for name, op in OPS.items()}

globals().update({section.__name__: section for section in STEPS.values()})  # pickle looks here

if TYPE_CHECKING:
    Step: TypeAlias = Any
    Preset: TypeAlias = str
else:
    Step = Annotated[reduce(or_, STEPS.values()), Field(discriminator="op")]
    Preset = Literal[tuple(PRESETS)]


class Augment(Section):
    """The training recipe: a preset, or steps in order."""

    preset: Preset | None = None
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
        return any(OPS[step.op].on == "batch" for step in self.steps or ())
