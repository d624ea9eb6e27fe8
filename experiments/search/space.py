"""From the search section to what tuning takes, each candidate checked before the first fit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import models
from experiments.config import settings
from experiments.config.evaluate import AFTER_TRAINING
from experiments.config.objectives import LESS_IS_BETTER, MEASURED, SCORES, Score
from experiments.config.schema import Config
from experiments.config.search import Search
from experiments.config.strategies import Strategy
from experiments.errors import BadInput
from experiments.jobs.plan import check_settings
from experiments.presentation.formatting import in_words
from experiments.search import race
from tuning.objectives import Objective
from tuning.oracles.oracle import Oracle, hears_all
from tuning.space import Parameter, Space, SpaceError

SIGN: dict[Score, int] = {score: -1 if score in LESS_IS_BETTER else 1 for score in SCORES}
"""Times the objective's value: the score that an oracle is told, of which higher is better."""
OF_CLASSES: tuple[Score, ...] = ("val_top1", "val_balanced_top1", "val_macro_f1")
"""Scores of a network that tells classes apart, the usual one first."""

NO_RESULT = ("name", "tracking", "launch", "bench", "sweep", "search")
OTHER_IMAGES = (
    "source", "on_corrupt", "max_corrupt_fraction", "max_pixels", "verify",
    "group_duplicates", "train_fraction",
)  # fmt: skip
OF_DEVICE = ("train.devices", "train.threads")
"""What a network is timed on."""
ALL_OF_THEM = 1_000  # candidates up to which every single one is checked


def space_of(search: Search) -> Space | None:
    """The space as typed parameters; None where candidates are listed."""
    return Space(tuple(search.parameters())) if search.space else None


def oracle_of(config: Config, declaration: Strategy | None = None) -> Oracle:
    """A fresh oracle of the config's strategy, or of another declaration of it.

    Raises:
        BadInput: the space has fewer candidates than the strategy draws.
    """
    search = _search(config)
    declaration = declaration or search.declaration
    directions = [one.minimise for one in objectives_of(config)]
    hears = directions and hears_all(declaration.oracle)
    given: dict[str, Any] = {"minimise": directions} if hears else {}
    try:
        return declaration.oracle(*_arguments(config, declaration), **given)
    except SpaceError as error:
        raise BadInput(f"search.{search.strategy}: {error}") from None


def candidate(
    config: Config,
    chosen: Mapping[str, Any],
    epochs: int | None = None,
    where: str = "config",
) -> Config:
    """The config with a candidate's settings, and without the search that proposed them.

    Raises:
        BadInput: a value that its key does not take.
    """
    raw = config.model_dump(mode="json") | {"sweep": {}, "search": None}
    for key, value in chosen.items():
        settings.set_key(raw, key, json.loads(json.dumps(value)))
    if epochs is not None:
        raw["train"]["epochs"] = epochs
    return settings.parse(raw, where=where)


def objective_of(config: Config) -> Score:
    """What is compared: as set, else top-1 on validation images, for a reconstruction its error. Of
    several objectives the first score.

    Raises:
        BadInput: an objective that the network's task has not, or no such network.
    """
    try:
        task = models.card(config.model.name).task
    except ValueError as error:
        raise BadInput(f"model.name: {error}") from None
    scores = ("val_mse",) if task == "reconstruction" else OF_CLASSES
    search = _search(config)
    key = "objectives" if search.objectives else "objective"
    given: list[Score] = [one for one in SCORES if one == search.objective]
    if search.objectives:
        given = [score for one in search.objectives for score in SCORES if score == one.name]
    for objective in given:
        if objective not in (*scores, "val_loss"):
            raise BadInput(
                f"search.{key}: {config.model.name} is a {task} and has no {objective}; set "
                f"{', '.join(scores)} or val_loss"
            )
    return given[0] if given else scores[0]


def objectives_of(config: Config) -> tuple[Objective, ...]:
    """Those of a search for several; none of one for a single score."""
    return tuple(one.resolved for one in _search(config).objectives or ())


def tested_score(config: Config) -> Score:
    """The score by which winners are tested: the objective, or of val_loss the task's own.

    Raises:
        BadInput: as `objective_of`.
    """
    objective = objective_of(config)
    if objective != "val_loss":
        return objective
    search = _search(config).model_copy(update={"objective": None, "objectives": None})
    return objective_of(config.model_copy(update={"search": search}))


def check(config: Config, where: str, folds: int | None = None) -> None:
    """Refuse a search that cannot work, before anything is trained.

    Args:
        config: the base settings, and the search.
        where: the config file, for errors.
        folds: fits that each candidate is scored on, where there are several.

    Raises:
        BadInput: no search section, a key that may not vary, a value that its key does not take.
    """
    if config.search is None:
        raise BadInput(
            f"{where}: search: no such section; add for example search: {{strategy: random, "
            "trials: 10, space: {train.optimizer.learning_rate: [0.01, 0.1]}}"
        )
    search = config.search
    _check_folds(config, search, where, folds or 1)
    listed = (*search.settings, *search.start)
    keys = list(search.space) or list(dict.fromkeys(key for one in listed for key in one))
    for key in keys:
        _check_key(key, keys, search, where)
    _check_objectives(config, search, keys, where)
    for part, chosen in samples(search):
        checked = candidate(config, chosen, where=f"{where}: search.{part}")
        _check_task(config, checked, chosen, f"{where}: search.{part}")
        if not any(key.startswith(("model", "data.image_size")) for key in keys):
            check_settings(checked)
    _check_together(config, search, where)
    try:
        search.declaration.check_size(*_arguments(config, search.declaration))
    except SpaceError as error:
        raise BadInput(f"{where}: search.{search.strategy}: {error}") from None


def _search(config: Config) -> Search:
    if config.search is None:
        raise BadInput("search: the config has no such section")
    return config.search


def _arguments(config: Config, declaration: Strategy) -> tuple[Any, ...]:
    """What the strategy's oracle is made of."""
    search = _search(config)
    return declaration.arguments(search, space_of(search), config.train.epochs)


def _check_folds(config: Config, search: Search, where: str, folds: int) -> None:
    if search.declaration.brackets and folds > 1:
        raise BadInput(
            f"{where}: search.strategy: {search.strategy} stops candidates early on one score "
            f"each. Received: {folds} folds; take another strategy"
        )
    if search.racing and search.racing.after_folds >= folds:
        raise BadInput(
            f"{where}: search.racing.after_folds: {search.racing.after_folds} of {folds} folds "
            "leaves none to give up; lower it, or leave racing out"
        )
    if search.declaration.brackets and config.train.updates is not None:
        raise BadInput(
            f"{where}: train.updates: {search.strategy} gives its candidates epochs; leave it out, "
            "and set train.epochs"
        )
    objective = objective_of(config)
    race.check(search, objective, folds, where)
    if search.choose != "best" and folds == 1 and objective != "val_top1":
        raise BadInput(
            f"{where}: search.choose: {search.choose} asks how far a score scatters, and one fold "
            f"does not tell it of {objective}; set validation.folds=5, or search.choose=best"
        )


def _check_objectives(config: Config, search: Search, keys: list[str], where: str) -> None:
    """Times of several objectives are of one device, and no race looks at fold means of one."""
    if not search.objectives:
        return
    if search.racing:
        raise BadInput(
            f"{where}: search.racing: looks at one score, and would drop cheap members of "
            "the front; leave it out"
        )
    timed = next((one.name for one in search.objectives if one.name in MEASURED), None)
    if timed and config.launch.address:
        raise BadInput(
            f"{where}: search.objectives: {timed} is measured where a fit runs, and launch.address "
            "sends fits to machines that may differ; leave the address out, or take macs"
        )
    if timed and (key := next((key for key in keys if key in OF_DEVICE), None)):
        raise BadInput(
            f"{where}: search.objectives: {timed} is of one device, and {key} varies; leave that "
            "key out of the space, or take macs"
        )


def _check_key(key: str, keys: list[str], search: Search, where: str) -> None:
    first, _, rest = key.partition(".")
    where = f"{where}: search.{'space' if search.space else 'settings'}: {key}"
    if first in NO_RESULT or (first == "evaluate" and rest in AFTER_TRAINING):
        raise BadInput(f"{where}: cannot vary; it changes no result of training")
    if first == "validation" or (first == "data" and rest in OTHER_IMAGES):
        raise BadInput(f"{where}: cannot vary; it decides which images candidates are compared on")
    if key == "train.epochs" and search.declaration.brackets:
        decides = search.strategy
        raise BadInput(f"{where}: {decides} decides the epochs; set search.{decides}.max_epochs")
    if key == "train.updates" and search.declaration.brackets:
        raise BadInput(f"{where}: {search.strategy} gives its candidates epochs, not updates")
    above = next((other for other in keys if key.startswith(f"{other}.")), None)
    if above:
        raise BadInput(f"{where}: {above} holds it already; vary one of the two")


def samples(search: Search, most: int = ALL_OF_THEM) -> Iterator[tuple[str, dict[str, Any]]]:
    """Candidates with every value that a key may take, or both ends of its range where they are
    more than `most`, and the key of the section that names them."""
    yield from (("start", one) for one in search.start)
    space = space_of(search)
    if space is None:
        yield from (("settings", one) for one in search.settings)
        return
    for parameter in space.ordered:
        for value in _values(parameter, most):
            yield "space", _leading_to(space, parameter.key) | {parameter.key: value}


def _values(parameter: Parameter, most: int) -> list[Any]:
    options = parameter.options
    if options is not None and (len(options) <= most or not hasattr(parameter, "low")):
        return list(options[:most])
    return [getattr(parameter, "low", None), getattr(parameter, "high", None)]


def _leading_to(space: Space, key: str) -> dict[str, Any]:
    """Settings of the keys that this one depends on, so that it exists."""
    leading: dict[str, Any] = {}
    for other, values in space.conditions[key].items():
        leading |= _leading_to(space, other) | {other: values[0]}
    return leading


def _check_together(config: Config, search: Search, where: str) -> None:
    """Every candidate of a small space: some values are refused only beside others."""
    space = space_of(search)
    size = space.size() if space else None
    if space is None or size is None or size > ALL_OF_THEM:
        return
    for chosen in space.grid():
        try:
            candidate(config, chosen, where=f"{where}: search.space")
        except BadInput as error:
            together = ", ".join(f"{key}={in_words(value)}" for key, value in chosen.items())
            raise BadInput(
                f"{error}. The candidate is {together}; keep the two apart by a condition, "
                "when: {key: value}"
            ) from None


def _check_task(base: Config, checked: Config, chosen: Mapping[str, Any], where: str) -> None:
    """Networks that are compared have the same task."""
    try:
        wanted, card = models.card(base.model.name), models.card(checked.model.name)
    except ValueError as error:
        raise BadInput(f"{where}: model.name: {error}") from None
    if card.task != wanted.task:
        raise BadInput(
            f"{where}: model.name: {card.name} is a {card.task} and {wanted.name}, the config's "
            f"own, a {wanted.task}; compare networks of one task"
        )
