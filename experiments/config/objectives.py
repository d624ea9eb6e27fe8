"""What a search looks at beside its score: several objectives, and bounds on cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PositiveFloat,
    field_validator,
)
from pydantic_core import core_schema

from experiments.config.section import Section
from experiments.errors import nearest
from tuning import objectives

Score = Literal["val_top1", "val_balanced_top1", "val_macro_f1", "val_loss", "val_mse"]
SCORES: tuple[Score, ...] = get_args(Score)
PLANNED = ("macs", "params", "activation_bytes")
"""Costs that are known before a candidate is trained."""
LATENCIES = ("latency_ms_p50",)
MEASURED = (*LATENCIES, "train_seconds")
"""Costs that each fit measures."""
LESS_IS_BETTER = ("val_loss", "val_mse", *PLANNED, *MEASURED)
NAMES = (*SCORES, *PLANNED, *MEASURED)


class Constraints(Section):
    """What a candidate may cost, known before it is trained; one that costs more is refused."""

    macs: PositiveFloat | None = Field(
        None, description="multiply-accumulates of one image, at most"
    )
    params: PositiveFloat | None = Field(None, description="parameters that training moves")
    activation_bytes: PositiveFloat | None = Field(
        None, description="of one image's activations in float32, as a backward pass needs them"
    )

    def exceeded(self, cost: Mapping[str, float]) -> list[str]:
        """Which of them a cost is above."""
        return [name for name, most in self if most is not None and cost[name] > most]


class Objective(Section):
    """One of several objectives."""

    name: str
    direction: Literal["min", "max"] | None = Field(
        None, description="null: as known, max for a share of right images and min for the others"
    )

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in NAMES:
            close = nearest(name, NAMES)
            hint = f"did you mean {close}?" if close else f"known: {', '.join(NAMES)}"
            raise ValueError(f"no such objective: {name}; {hint}")
        return name

    @property
    def minimise(self) -> bool:
        """Is less of it better?"""
        if self.direction is not None:
            return self.direction == "min"
        return self.name in LESS_IS_BETTER

    @property
    def resolved(self) -> objectives.Objective:
        """Its name and direction."""
        return objectives.Objective(self.name, self.minimise)


class _OrName:
    """A name alone stands for the mapping."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        def named(value: Any) -> Any:
            return {"name": value} if isinstance(value, str) else value

        return core_schema.no_info_before_validator_function(named, handler(source))

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> Any:
        return {"anyOf": [{"enum": list(NAMES), "type": "string"}, handler(core)]}


Objectives = tuple[Annotated[Objective, _OrName()], ...]


def check(several: Objectives, objective: str | None, choose: str) -> None:
    """Refuse objectives that cannot be searched for together.

    Args:
        several: `search.objectives`.
        objective, choose: of the same section.

    Raises:
        ValueError: fewer than two, one twice, no score among them, one the wrong way round.
    """
    names = [one.name for one in several]
    if objective is not None:
        raise ValueError("objective: objectives takes its place; leave one of the two out")
    if choose != "best":
        raise ValueError(
            f"choose: {choose} looks at one score; with objectives the knee of their front is "
            "chosen; leave choose out"
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"objectives: {twice} is named twice; leave one out")
    if len(names) < 2:
        only = names[0] if names else "none"
        raise ValueError(
            f"objectives: expected two or more, such as [val_top1, macs]. Received: {only}; for "
            "one alone set search.objective"
        )
    if not set(names) & set(SCORES):
        raise ValueError(
            f"objectives: {', '.join(names)} need no training; add a validation score: "
            f"{', '.join(SCORES)}"
        )
    for one in several:
        if one.name in SCORES and one.minimise != (one.name in LESS_IS_BETTER):
            known = "min" if one.name in LESS_IS_BETTER else "max"
            raise ValueError(
                f"objectives: {one.name} is better the other way; leave direction out, or set "
                f"direction: {known}"
            )
