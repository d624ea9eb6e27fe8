"""What a search is before its first fit: its config, its images, its folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from statistics import fmean
from typing import Any, Literal

import numpy as np

from experiments.config.schema import Config
from experiments.config.search import Search as Section
from experiments.errors import BadInput
from experiments.jobs.baseline import baselines
from experiments.jobs.composition import composition
from experiments.jobs.dataset import open_source, with_test_fraction
from experiments.jobs.job import FitPath
from experiments.runtime.startup import load_tensorflow
from experiments.search.folds import Folds, final_folds, nested_folds, search_folds
from experiments.search.race import cost_of, race_of
from experiments.search.sharing import fits_apart, fits_shared, settled, why_not
from experiments.search.space import SIGN, objective_of, objectives_of, oracle_of, space_of
from tuning.choice import Choice
from tuning.fold_race import FEWEST_FOLDS
from tuning.nested import Nested
from tuning.search import Refuse, Search
from tuning.trial import Trial

Kind = Literal["search", "nested"]


@dataclass(frozen=True)
class Sizes:
    """Images of the parts of each inner fold."""

    trained: list[float]
    held: list[int]
    images: int
    """Different ones among the held: a repeat has the same again."""


@dataclass(frozen=True)
class Study:
    """A search, or a search in every outer fold: they differ in their folds."""

    kind: Kind
    config: Config
    source: Any
    """The images, opened."""
    folds: list[Folds]
    """One an outer fold; one in all for a plain search."""
    final: Folds | None = None
    """All images, for the final fit (`search.final`); with folds where a search over them chooses
    what is fitted."""

    @property
    def all_folds(self) -> list[Folds]:
        """By the numbers that searches and refits have in `tuning.nested`."""
        return [*self.folds, *([self.final] if self.final else [])]

    def is_final(self, outer: int) -> bool:
        """Is that the number of the final fit, and of the search that chooses for it?"""
        return outer == len(self.folds)

    @property
    def nested(self) -> bool:
        return self.kind == "nested"

    @property
    def shared(self) -> bool:
        """Is each pair of outer folds left out of one fit, which both score by?"""
        return self.nested and self.config.validation.inner == "shared"

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

    @cached_property
    def sizes(self) -> list[Sizes]:
        """Of the inner folds of each outer fold, trained on as many as `train_fraction` leaves."""
        fraction = self.config.data.train_fraction
        return [
            Sizes(
                [len(train) * fraction for train, _ in fold.pairs],
                [len(held) for _, held in fold.pairs],
                len(np.unique(np.concatenate([held for _, held in fold.pairs]))),
            )
            for fold in self.all_folds
            if fold.pairs
        ]

    def number(self, outer: int) -> int | str:
        """Of an outer fold; final for the search over all images."""
        return "final" if self.is_final(outer) else outer

    @cached_property
    def to_beat(self) -> dict[str, float]:
        """What a network that has learnt nothing scores, as `baseline.baselines`, of the images
        that the result is of: nested the outer test folds, else the validation folds. A mean."""
        held_out = [fold.test for fold in self.folds if fold.test is not None]
        if not self.nested:
            held_out = [validation for _, validation in self.folds[0].pairs]
        classes = len(self.source.class_names)
        of_folds = [
            baselines(self.config, composition(self.source, None, images, None), classes)
            for images in held_out
        ]
        return {name: fmean(fold[name] for fold in of_folds) for name in of_folds[0]}

    def below(self, outer: int) -> FitPath:
        """What paths of an outer fold begin with."""
        if self.is_final(outer):
            return ("final", "search")
        return ("outer", outer) if self.nested else ()

    def in_words(self, outer: int) -> str:
        """The outer fold before what is said of it; nothing in a plain search."""
        if self.is_final(outer):
            return "final search, "
        return f"outer fold {outer}, " if self.nested else ""


def open_study(kind: Kind, config: Config, *, fresh: bool = False) -> Study:
    """Open the images and draw the folds.

    A search that is under way goes on as it began, a `fresh` one as its config is read today.

    Raises:
        BadInput: the images cannot be read, a class has too few, or a refit has no test images.
    """
    source = open_source(config.data)
    config = settled(kind, with_test_fraction(config, source), source, fresh=fresh)
    folds = nested_folds(config, source) if kind == "nested" else [search_folds(config, source)]
    study = Study(kind, config, source, folds)
    if study.section.final and folds[0].test is not None:
        # Candidates that are the same in every outer fold have been scored on all of them; others
        # are the outcome of a search, and so the final one must be.
        again = kind == "nested" and study.section.declaration.learns
        inner = config.validation.inner if again else None
        assert inner != "shared"  # nothing that learns shares its fits
        study = replace(study, final=final_folds(config, source, folds[0], inner))
    if kind == "search" and study.section.refit and folds[0].test is None:
        raise BadInput(
            "search.refit: tests the winner, and there are no test images; set "
            "validation.test_fraction=0.2, or search.refit=false"
        )
    return study


def new_work(
    study: Study,
    refuses: Refuse = lambda settings: None,
    cost: Callable[[Trial], tuple[float, ...]] = lambda _: (),
    *,
    known: Callable[[Trial], Mapping[str, float]] = lambda _: {},
    former: bool = False,
) -> Nested:
    """The searches, at their beginning.

    Args:
        study: what is searched.
        refuses: candidates that are not fitted.
        cost: of a candidate, where a choice asks for it: cheaper is less.
        known: of a candidate, the costs that are known before it is fitted.
        former: propose as searches did that began before there were other oracles.
    """
    section = study.section
    declaration = section.declaration.as_it_began() if former else section.declaration
    objective, objectives = objective_of(study.config), objectives_of(study.config)
    if declaration.on_keras_tuner:
        load_tensorflow()  # quietly, before KerasTuner does it
    searches: list[Search] = []
    chosen_from = [fold for fold in study.all_folds if fold.pairs]
    for fold in chosen_from:
        oracle = oracle_of(study.config, declaration)
        ratio = fold.ratio(study.config.data.train_fraction)
        images = [held for _, held in fold.pairs]
        noise = section.race.noise if section.race else None
        candidates = oracle.announced() if declaration.ends else None
        cost_of_number = partial(cost_of, searches, len(searches))
        searches.append(
            Search(
                oracle,
                len(fold.pairs),
                max_failures=section.max_failures,
                parallel=section.parallel,
                racing=race_of(section, images, ratio, candidates, cost_of_number),
                minimise=SIGN[objective] < 0,
                choice=Choice(section.choose, images, ratio, noise),
                cost=cost,
                refuses=refuses,
                objectives=objectives,
                known=known,
            )
        )
    outer, last = searches[: len(study.folds)], searches[len(study.folds) :]
    final = last[0] if last else study.final is not None
    return Nested(
        outer,
        refit=study.nested or section.refit,
        shared=study.shared,
        final=final,
        fronts=study.nested and bool(objectives),
    )


@dataclass(frozen=True)
class Fits:
    """Of the whole, refits included; None where only the budget ends it."""

    planned: int | None
    shared: int | None = None
    """Where outer folds share them; None where that cannot be."""
    apart: int | None = None
    """Where each outer fold of a nested search has inner folds of its own."""


def planned_fits(study: Study, work: Nested, refused: int = 0) -> Fits:
    """How many fits there will be, and of a nested search how many the other way. Of a front that
    is refitted one member, as nobody knows yet how many it has.

    Args:
        study, work: what is searched, at its beginning.
        refused: candidates of those that are known which are not fitted.
    """
    announced, folds, config = work.searches[0].oracle.announced(), study.folds, study.config
    if announced is None:
        return Fits(None)
    candidates = announced - refused
    refits = len(folds) * work.refit
    if study.final:
        refits += candidates * len(study.final.pairs) + 1
    if not study.nested:
        return Fits(candidates * len(folds[0].pairs) + refits)
    shared = None if why_not(config) else fits_shared(config, candidates) + refits
    apart = fits_apart(config, candidates) + refits
    return Fits(shared if study.shared else apart, shared, apart)


def announcement(study: Study, work: Nested, fits: Fits, refused: int = 0) -> str:
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
    text = f"{config.name}: {section.strategy}, {words} x {_folds_in_words(study)}"
    if study.nested:
        text += f" + {len(folds)} refits" + " or more, of each front" * work.fronts
    elif work.refit:
        text += " + 1 refit"
    if study.final:
        if study.final.pairs:
            text += f" + a search over all images ({len(study.final.pairs)} folds)"
        pool = round(len(study.final.learning) * config.data.train_fraction)
        text += f" + 1 final fit on {pool} images"
    if fits.planned is not None:
        text += f" = {fits.planned} fits"
    if study.nested:
        text += _the_other_way(study, fits)
    if section.racing and work.searches[0].racing is None:
        text += f"; racing needs {FEWEST_FOLDS + 1} folds or more to save any"
    train, validation = folds[0].pairs[0]
    scored = (
        f"2 x {len(validation)} images a pair"
        if study.shared
        else (f"{len(validation)} images a fold")
    )
    images = f"{round(len(train) * config.data.train_fraction)} + {scored}"
    held_out = "" if folds[0].test is None else f", {len(folds[0].test)} kept for the test"
    return f"{text}; {images}{held_out}"


def _folds_in_words(study: Study) -> str:
    inner, outer = len(study.folds[0].pairs), len(study.folds)
    if not study.shared:
        folds = f"{inner} fold{'s' * (inner > 1)}"
        return f"{folds} x {outer} outer folds" if study.nested else folds
    repeats = study.config.validation.repeats
    again = f" x {repeats} repeats" if repeats > 1 else ""
    return f"{outer * (outer - 1) // 2} pairs of outer folds{again}"


def _the_other_way(study: Study, fits: Fits) -> str:
    """How many fits it would be if they were shared, or not; or why they cannot be."""
    if study.shared:
        return "" if fits.apart is None else f" ({fits.apart} unshared)"
    if why := why_not(study.config):
        return f" (not shared: {why})"
    shared = "" if fits.shared is None else f", {fits.shared} with validation.inner=shared"
    return f" (not shared: validation.inner is {study.config.validation.inner}{shared})"
