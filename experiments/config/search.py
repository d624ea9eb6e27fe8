"""The search section: what varies, who proposes, and when to stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from experiments.config.section import Section
from tuning import space
from tuning.keras_oracles import initial_points
from tuning.space import Parameter, Space

GUIDED = ("random", "bayesian")  # strategies that go on until they are told to stop


class Conditional(Section):
    when: dict[str, JsonValue] | None = Field(
        None, description="other keys of the space and the value, or list of values, they must have"
    )

    def parameter(self, key: str) -> Parameter:
        """The parameter of that key.

        Raises:
            SpaceError: its values cannot be.
        """
        raise NotImplementedError


class Choice(Conditional):
    """One of the values. A list instead of this mapping means the same."""

    type: Literal["choice"] = "choice"
    values: tuple[JsonValue, ...]

    def parameter(self, key: str) -> Parameter:
        return space.Choice(key, self.values, when=self.when or {})


class Int(Conditional):
    """Whole numbers from low to high."""

    type: Literal["int"]
    low: int
    high: int
    step: int | None = Field(None, description="with log a factor")
    log: bool = False

    def parameter(self, key: str) -> Parameter:
        return space.Int(key, self.low, self.high, self.step, self.log, when=self.when or {})


class Float(Conditional):
    """Numbers from low to high; without step all of them."""

    type: Literal["float"]
    low: float
    high: float
    step: float | None = Field(None, description="with log a factor")
    log: bool = False

    def parameter(self, key: str) -> Parameter:
        return space.Float(key, self.low, self.high, self.step, self.log, when=self.when or {})


class Boolean(Conditional):
    """True or false."""

    type: Literal["boolean"]

    def parameter(self, key: str) -> Parameter:
        return space.Boolean(key, when=self.when or {})


def _kind(value: Any) -> str:
    """Which of the forms a parameter is written in."""
    if isinstance(value, list | tuple):
        return "list"
    if isinstance(value, Conditional):
        return str(getattr(value, "type", "choice"))
    return str(value.get("type", "type is missing")) if isinstance(value, dict) else repr(value)


Varied = Annotated[
    Annotated[tuple[JsonValue, ...], Tag("list")]
    | Annotated[Choice, Tag("choice")]
    | Annotated[Int, Tag("int")]
    | Annotated[Float, Tag("float")]
    | Annotated[Boolean, Tag("boolean")],
    Discriminator(_kind),
]


TYPES: dict[str, type[Conditional]] = {
    "choice": Choice,
    "int": Int,
    "float": Float,
    "boolean": Boolean,
}


class Budget(Section):
    """No new fit starts once one of these is spent; trials has a key of its own."""

    seconds: PositiveFloat | None = None
    images: PositiveInt | None = Field(None, description="training images seen, epochs included")


class Racing(Section):
    """A candidate that cannot catch the leader gives up its remaining folds."""

    after_folds: Annotated[int, Field(ge=2)] = Field(2, description="folds that all of them get")
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05,
        description="one-sided paired t-test on the folds that both have: gives up if p < alpha",
    )
    margin: NonNegativeFloat = Field(
        0.0, description="and its mean over them is worse by at least this much"
    )


class Hyperband(Section):
    """Many candidates for few epochs, the best of them for more."""

    max_epochs: PositiveInt | None = Field(None, description="null: train.epochs")
    factor: Annotated[int, Field(ge=2)] = Field(
        3, description="epochs grow and candidates shrink by it from round to round"
    )
    iterations: PositiveInt = 1


class Bayesian(Section):
    """Gaussian process over the outcomes so far."""

    initial_points: PositiveInt | None = Field(
        None, description="random trials before the first guided one; null: three a parameter"
    )


class Search(Section):
    """Hyperparameters chosen on validation scores; see `ilsvrc search` and `ilsvrc nested`."""

    strategy: Literal["manual", "grid", "random", "bayesian", "hyperband"] = "random"
    space: dict[str, Varied] = Field(
        default_factory=dict,
        description="config key: list of values, or {type: choice, int, float or boolean, ...}",
    )
    settings: tuple[dict[str, JsonValue], ...] = Field(
        (), description="manual: the candidates, each a mapping of config keys to values"
    )
    trials: PositiveInt | None = Field(None, description="random, bayesian: candidates at most")
    seed: NonNegativeInt = Field(1, description="of the proposals, apart from the run's seed")
    parallel: PositiveInt = Field(
        1, description="candidates proposed at once; what bayesian and hyperband find depends on it"
    )
    objective: Literal["val_top1", "val_loss", "val_mse"] | None = Field(
        None, description="of the last epoch; null: val_top1, val_mse for a reconstruction"
    )
    max_failures: PositiveInt = Field(3, description="failed trials in a row that end the search")
    budget: Budget = Field(default_factory=Budget)
    racing: Racing | None = None
    hyperband: Hyperband | None = None
    bayesian: Bayesian | None = None
    refit: bool = Field(
        False, description="train the best once more, on all but the test images, and test it"
    )

    def parameters(self) -> Iterator[Parameter]:
        """The space as typed parameters, in order."""
        for key, varied in self.space.items():
            if isinstance(varied, Conditional):
                yield varied.parameter(key)
            else:
                yield space.Choice(key, varied)

    @field_validator("space", mode="after")
    @classmethod
    def _the_space_can_be(cls, varied: dict[str, Varied]) -> dict[str, Varied]:
        if varied:
            Space(tuple(cls.model_construct(space=varied).parameters()))
        return varied

    @field_validator("settings", mode="after")
    @classmethod
    def _no_settings_twice(cls, settings: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        texts = [space.identity(one) for one in settings]
        for position, text in enumerate(texts):
            if not settings[position]:
                raise ValueError(f"{position}: empty; name at least one key, or leave it out")
            if text in texts[:position]:
                raise ValueError(f"{position}: the same as {texts.index(text)}; leave it out")
        return settings

    @model_validator(mode="after")
    def _what_the_strategy_takes(self) -> Self:
        if self.strategy == "manual":
            if self.space:
                raise ValueError(
                    "space: strategy manual has none; list candidates under settings, or take "
                    "another strategy"
                )
            if not self.settings:
                raise ValueError("settings: strategy manual needs at least one candidate")
        else:
            if self.settings:
                raise ValueError(f"settings: for strategy manual. Received: {self.strategy}")
            if not self.space:
                raise ValueError(
                    f"space: strategy {self.strategy} needs one; add for example "
                    "space: {train.optimizer.learning_rate: [0.01, 0.1]}"
                )
        if self.trials is not None and self.strategy not in GUIDED:
            raise ValueError(f"trials: {self._why_no_trials()}; leave it out")
        for part in ("hyperband", "bayesian"):
            if getattr(self, part) is not None and self.strategy != part:
                raise ValueError(f"{part}: for strategy {part}. Received: {self.strategy}")
        if self.strategy in GUIDED and self.trials is None and self.budget == Budget():
            raise ValueError(
                f"trials: strategy {self.strategy} goes on for ever; set trials, budget.seconds or "
                "budget.images"
            )
        return self

    @model_validator(mode="after")
    def _the_strategy_can_work(self) -> Self:
        if self.strategy == "grid":
            Space(tuple(self.parameters())).check_listed()
        if self.strategy == "bayesian" and self.trials is not None:
            asked = (self.bayesian or Bayesian()).initial_points
            initial = asked or initial_points(Space(tuple(self.parameters())))
            if self.trials <= initial:
                raise ValueError(
                    f"trials: {self.trials} and the first {initial} are drawn at random; set more, "
                    "or search.bayesian.initial_points lower, or strategy random"
                )
        if self.strategy == "hyperband" and self.racing is not None:
            raise ValueError("racing: is over folds, and hyperband has none; leave it out")
        return self

    def _why_no_trials(self) -> str:
        return {
            "manual": "settings says how many candidates there are",
            "grid": "a grid is complete",
            "hyperband": "max_epochs, factor and iterations say how many there are",
        }[self.strategy]
