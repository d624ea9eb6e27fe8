"""The search section: what varies, who proposes, and when to stop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    JsonValue,
    NonNegativeFloat,
    NonNegativeInt,
    PlainValidator,
    PositiveFloat,
    SerializerFunctionWrapHandler,
    Tag,
    WithJsonSchema,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from experiments.config import objectives
from experiments.config.objectives import Constraints, Objectives, Score
from experiments.config.section import AtLeastTwo, Count, Limit, Section
from experiments.config.strategies import STRATEGIES, Strategy
from tuning import space
from tuning.space import Parameter, Space


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
    images: Annotated[int, Field(gt=0, le=10**15)] | None = Field(
        None, description="training images seen, epochs included"
    )


class Race(Section):
    """A candidate whose answers to the validation images say that it is worse than the leader, of
    several objectives than one that costs no more, gives up its remaining folds."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05,
        description="the best candidate, of several objectives any that is truly on the front, is "
        "lost in at most this share of searches, all looks and candidates together",
    )
    noise: Annotated[float, Field(ge=0, lt=0.5)] | None = Field(
        None,
        description="standard deviation of val_top1 between trainings of one setting, 0.003 for "
        "0.3 points; null: from the folds, the first look is after two. Known, it is after one",
    )


class Racing(Section):
    """The race on fold means of earlier versions, which loses more: see race."""

    after_folds: AtLeastTwo = Field(2, description="folds that all of them get")
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05,
        description="one-sided paired t-test on the folds that both have: gives up if p < alpha",
    )
    margin: NonNegativeFloat = Field(
        0.0, description="and its mean over them is worse by at least this much"
    )


def _strategy(name: Any) -> Any:
    """Looked up when a config is read, so that one without a section may be declared later."""
    if not isinstance(name, str) or name not in STRATEGIES:
        *most, last = (f"'{one}'" for one in STRATEGIES)
        expected = f"{', '.join(most)} or {last}"
        raise PydanticCustomError("literal_error", f"Input should be {expected}")
    return name


LATER = {"start", "constraints", "sampler", "objectives"}  # keys that older searches do not have


def _names(picked: Callable[[Strategy], bool]) -> str:
    return ", ".join(name for name, strategy in STRATEGIES.items() if picked(strategy))


ALWAYS = {"bayesian", "hyperband"}  # sections that older searches have, null or not


class Common(Section):
    """Settings of every strategy."""

    strategy: Annotated[
        str,
        PlainValidator(_strategy),
        WithJsonSchema({"enum": [*STRATEGIES], "type": "string"}),
    ] = "random"
    space: dict[str, Varied] = Field(
        default_factory=dict,
        description="config key: list of values, or {type: choice, int, float or boolean, ...}",
    )
    settings: tuple[dict[str, JsonValue], ...] = Field(
        (),
        description=f"{_names(lambda one: one.listed)}: the candidates, each a mapping of config "
        "keys to values",
    )
    trials: Count | None = Field(
        None, description=f"{_names(lambda one: one.ends is None)}: candidates at most"
    )
    seed: NonNegativeInt = Field(1, description="of the proposals, apart from the run's seed")
    parallel: Count = Field(
        1,
        description="candidates proposed at once; it decides what is found by "
        f"{_names(lambda one: one.learns)}",
    )
    objective: Score | None = Field(
        None,
        description="of the last epoch; null: val_top1, val_mse for a reconstruction; "
        "val_balanced_top1 and val_macro_f1 count every class alike, however many images it has",
    )
    objectives: Objectives | None = Field(
        None,
        description="several instead of one, such as [val_top1, macs]: the result is the front of "
        "what nothing beats in all of them",
    )
    max_failures: Limit = Field(3, description="failed trials in a row that end the search")
    budget: Budget = Field(default_factory=Budget)
    racing: Racing | None = None
    paired: bool = Field(
        True,
        description="weights, order of images, augmentation and dropout of a fit are drawn by its "
        "fold and repeat, the same for every candidate; false: by its trial, too",
    )
    race: Race | None = None
    choose: Literal["best", "one_standard_error", "cheapest"] = Field(
        "best",
        description="the highest mean; the simplest (fewest MACs, then parameters) within one "
        "standard error of it; or the simplest that its paired answers cannot tell from it",
    )
    start: tuple[dict[str, JsonValue], ...] = Field(
        (), description="known settings that are tried first, each a candidate of the search"
    )
    constraints: Constraints = Field(
        default_factory=Constraints,
        description="candidates that cost more are refused, untrained, and cost no trial",
    )
    sampler: Literal["random", "sobol"] = Field(
        "random",
        description=f"{_names(lambda one: bool(one.samplers))}: sobol draws evenly spread "
        "candidates, a scrambled Sobol' sequence",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Keys that came later: without them, a search and its hash are what they were before."""
        document: dict[str, Any] = serialise(self)
        for key in (LATER | STRATEGIES.keys() - ALWAYS) & document.keys():
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if getattr(self, key) == default:
                del document[key]
        return document

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

    @field_validator("settings", "start", mode="after")
    @classmethod
    def _no_settings_twice(cls, settings: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        texts = [space.identity(one) for one in settings]
        for position, text in enumerate(texts):
            if not settings[position]:
                raise ValueError(f"{position}: empty; name at least one key, or leave it out")
            if text in texts[:position]:
                raise ValueError(f"{position}: the same as {texts.index(text)}; leave it out")
        return settings


if TYPE_CHECKING:
    WithSections = Common
else:  # a key for the section of each strategy that has one
    WithSections = create_model(
        "WithSections",
        __base__=Common,
        **{
            strategy.name: (strategy.section | None, None)
            for strategy in reversed(STRATEGIES.values())  # the order of files written before
            if strategy.section
        },
    )


class Search(WithSections):
    """Hyperparameters chosen on validation scores; see `ilsvrc search` and `ilsvrc nested`."""

    refit: bool = Field(
        False, description="train the best once more, on all but the test images, and test it"
    )
    final: bool = Field(
        False,
        description="then train once more on all images, the tested ones too: a network to use, "
        "with the estimate of the tests on its card. nested: the candidate best over all folds, or "
        "where candidates depend on scores that of one more search; search: the best, after refit",
    )

    @property
    def declaration(self) -> Strategy:
        """What the strategy asks of the rest."""
        return STRATEGIES[self.strategy].drawn_by(self.sampler)

    @property
    def section(self) -> Any:
        """The strategy's section, with its defaults if none is given."""
        assert self.declaration.section
        return getattr(self, self.strategy) or self.declaration.section()

    @model_validator(mode="after")
    def _without_what_is_ignored(self) -> Self:
        """Strategies are switched by one key: what only another one takes is said and left out."""
        ignored = dict(self.ignored())
        for key, why in ignored.items():
            warnings.warn(f"search.{key} is ignored: {why}", stacklevel=1)
        fields = type(self).model_fields
        defaults = {key: fields[key].get_default(call_default_factory=True) for key in ignored}
        return self.model_copy(update=defaults) if ignored else self

    def ignored(self) -> Iterator[tuple[str, str]]:
        """Keys that are set and that the strategy takes no notice of, and why."""
        name, strategy = self.strategy, self.declaration
        if strategy.listed and self.space and self.settings:
            yield "space", f"strategy {name} takes its candidates from search.settings"
        if not strategy.listed and self.settings and self.space:
            yield "settings", f"strategy {name} takes its candidates from search.space"
        if self.trials is not None and strategy.ends:
            yield "trials", f"strategy {name}: {strategy.ends}"
        for part in list(WithSections.model_fields)[len(Common.model_fields) :]:
            if getattr(self, part) is not None and name != part:
                yield part, f"it is of strategy {part}, and this is {name}"
        for race in ("racing", "race"):
            if strategy.brackets and getattr(self, race) is not None:
                yield race, f"it is over folds, and {name} has none"
        if self.sampler != "random" and self.sampler not in strategy.samplers:
            yield "sampler", f"strategy {name} draws in its own way"

    @model_validator(mode="after")
    def _what_the_strategy_takes(self) -> Self:
        strategy = self.declaration
        if strategy.listed:
            if self.space:
                raise ValueError(
                    f"space: strategy {self.strategy} has none; list candidates under settings, or "
                    "take another strategy"
                )
            if not self.settings:
                raise ValueError(f"settings: strategy {self.strategy} needs at least one candidate")
        else:
            if self.settings:
                listed = _names(lambda one: one.listed)
                raise ValueError(f"settings: for strategy {listed}. Received: {self.strategy}")
            if not self.space:
                raise ValueError(
                    f"space: strategy {self.strategy} needs one; add for example "
                    "space: {train.optimizer.learning_rate: [0.01, 0.1]}"
                )
        if strategy.ends is None and self.trials is None and self.budget == Budget():
            raise ValueError(
                f"trials: strategy {self.strategy} goes on for ever; set trials, budget.seconds or "
                "budget.images"
            )
        return self

    @model_validator(mode="after")
    def _one_race(self) -> Self:
        if self.race and self.racing:
            raise ValueError("racing: race takes its place; leave one of the two out")
        return self

    @model_validator(mode="after")
    def _the_objectives_can_be(self) -> Self:
        if self.objectives is None:
            return self
        objectives.check(self.objectives, self.objective, self.choose)
        if not self.declaration.several:
            raise ValueError(
                f"objectives: strategy {self.strategy} proposes by one score; take "
                f"{_names(lambda one: one.several)}, or one search.objective"
            )
        return self

    @model_validator(mode="after")
    def _the_strategy_can_work(self) -> Self:
        if self.space:
            whole = Space(tuple(self.parameters()))
            for position, known in enumerate(self.start):
                try:
                    whole.check(known)
                except space.SpaceError as error:
                    raise ValueError(f"start.{position}: {error}") from None
            self.declaration.check_space(self, whole)
        return self
