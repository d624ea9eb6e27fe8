"""What a search is before its first fit: its config, its images, its folds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

from experiments.config.schema import Config
from experiments.config.search import Search as Section
from experiments.errors import BadInput
from experiments.jobs.composition import composition
from experiments.jobs.dataset import open_source, with_test_fraction
from experiments.jobs.job import FitPath
from experiments.runtime.startup import load_tensorflow
from experiments.search.folds import Folds, nested_folds, search_folds
from experiments.search.space import SIGN, objective_of, oracle_of, space_of
from tuning.nested import Nested
from tuning.search import FEWEST_FOLDS, Racing, Refuse, Search

Kind = Literal["search", "nested"]


@dataclass(frozen=True)
class Study:
    """A search, or a search in every outer fold: they differ in their folds."""

    kind: Kind
    config: Config
    source: Any
    """The images, opened."""
    folds: list[Folds]
    """One an outer fold; one in all for a plain search."""

    @property
    def nested(self) -> bool:
        return self.kind == "nested"

    @property
    def section(self) -> Section:
        """The config's."""
        assert self.config.search
        return self.config.search

    @cached_property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Where the images come from, as `composition`; in the first outer fold of several. What
        the folds share out counts as training part."""
        return composition(self.source, self.folds[0].learning, None, self.folds[0].test)

    def below(self, outer: int) -> FitPath:
        """What paths of an outer fold begin with."""
        return ("outer", outer) if self.nested else ()

    def in_words(self, outer: int) -> str:
        """The outer fold before what is said of it; nothing in a plain search."""
        return f"outer fold {outer}, " if self.nested else ""


def open_study(kind: Kind, config: Config) -> Study:
    """Open the images and draw the folds.

    Raises:
        BadInput: the images cannot be read, a class has too few, or a refit has no test images.
    """
    source = open_source(config.data)
    config = with_test_fraction(config, source)
    folds = nested_folds(config, source) if kind == "nested" else [search_folds(config, source)]
    study = Study(kind, config, source, folds)
    if kind == "search" and study.section.refit and folds[0].test is None:
        raise BadInput(
            "search.refit: tests the winner, and there are no test images; set "
            "validation.test_fraction=0.2, or search.refit=false"
        )
    return study


def new_work(
    study: Study, refuses: Refuse = lambda settings: None, *, former: bool = False
) -> Nested:
    """The searches, at their beginning.

    Args:
        study: what is searched.
        refuses: candidates that are not fitted.
        former: propose as searches did that began before there were other oracles.
    """
    section = study.section
    declaration = section.declaration.as_it_began() if former else section.declaration
    objective = objective_of(study.config)
    if declaration.on_keras_tuner:
        load_tensorflow()  # quietly, before KerasTuner does it
    searches = []
    for fold in study.folds:
        racing = None
        if section.racing:
            ratio = fold.ratio(study.config.data.train_fraction)
            racing = Racing(**section.racing.model_dump(), ratio=ratio)
        searches.append(
            Search(
                oracle_of(study.config, declaration),
                len(fold.pairs),
                max_failures=section.max_failures,
                parallel=section.parallel,
                racing=racing,
                minimise=SIGN[objective] < 0,
                refuses=refuses,
            )
        )
    return Nested(searches, refit=study.nested or section.refit)


def planned_fits(study: Study, work: Nested, refused: int = 0) -> int | None:
    """Fits of the whole, refits included; None where only the budget ends it.

    Args:
        study, work: what is searched, at its beginning.
        refused: candidates of those that are known which are not fitted.
    """
    candidates = work.searches[0].oracle.announced()
    if candidates is None:
        return None
    folds = study.folds
    return sum((candidates - refused) * len(fold.pairs) for fold in folds) + len(folds) * work.refit


def announcement(study: Study, work: Nested, planned: int | None, refused: int = 0) -> str:
    """What is about to be fitted: p^q candidates x folds."""
    config, folds, section = study.config, study.folds, study.section
    count = work.searches[0].oracle.announced()
    words = "candidates until the budget ends" if count is None else f"{count} candidates"
    space = space_of(section)
    if section.declaration.complete and space:
        sizes = {parameter.key: len(parameter.options or ()) for parameter in space.parameters}
        if prod(sizes.values()) == count:
            words += " (" + " x ".join(f"{n} {key}" for key, n in sizes.items()) + ")"
    if refused:
        words = f"({words} - {refused} over search.constraints)"
    inner = len(folds[0].pairs)
    text = f"{config.name}: {section.strategy}, {words} x {inner} fold{'s' * (inner > 1)}"
    if study.nested:
        text += f" x {len(folds)} outer folds + {len(folds)} refits"
    elif work.refit:
        text += " + 1 refit"
    if planned is not None:
        text += f" = {planned} fits"
    if section.racing and work.searches[0].racing is None:
        text += f"; racing needs {FEWEST_FOLDS + 1} folds or more to save any"
    train, validation = folds[0].pairs[0]
    images = f"{round(len(train) * config.data.train_fraction)} + {len(validation)} images a fold"
    held_out = "" if folds[0].test is None else f", {len(folds[0].test)} kept for the test"
    return f"{text}; {images}{held_out}"
