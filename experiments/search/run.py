"""`ilsvrc search` and `ilsvrc nested`: settings chosen on validation folds, resumable, tracked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import prod
from typing import Any

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.dataset import open_source
from experiments.launch import executors
from experiments.launch.progress import Display
from experiments.runtime import devices
from experiments.runtime.startup import load_tensorflow
from experiments.search import report
from experiments.search import space as search_space
from experiments.search.candidates import Candidates
from experiments.search.drive import Drive
from experiments.search.folds import Folds, nested_folds, search_folds
from experiments.search.tracking import SearchRuns
from experiments.tracking.lock import held
from experiments.tracking.provenance import surroundings
from experiments.tracking.search_journal import State, find, what_matters
from tuning.nested import Nested
from tuning.search import Racing, Search


def search(config: Config, where: str, *, fresh: bool = False) -> dict[str, Any]:
    """Run what is not done yet of a search and return the command's JSON.

    Args:
        config: base settings and the search.
        where: the config file, for errors.
        fresh: start apart from what is there.

    Raises:
        BadInput: the search cannot be, or another one has its name.
    """
    return run("search", config, where, fresh=fresh)


def run(kind: str, config: Config, where: str, *, fresh: bool) -> dict[str, Any]:
    """A search, or a search in every outer fold: they differ in their folds."""
    began = time.monotonic()
    check(kind, config, where)
    with executors.executor(config.launch) as executor:
        source = open_source(config.data)
        folds = folds_of(kind, config, source)
        matters = what_matters(config, kind, source.fingerprint)
        directory = find(config.name, kind, matters, fresh=fresh)
        with held(directory):
            state = State(directory)
            versions = surroundings()[1]
            state.begin(matters, versions)
            candidates = Candidates(config, source, folds, directory, kind)
            work = new_work(kind, config, folds)
            planned = planned_fits(kind, config, work, folds)
            with Display(planned or 0) as display:
                display.say(announcement(kind, config, work, folds, planned))
                if state.versions != versions:
                    display.say(_changed(state.versions, versions))
                tracked = SearchRuns(
                    config, kind, state.id, f"{kind} {config.name}", source, display.say
                )
                state.journal.append(
                    "planned", fits=planned, workers=config.launch.workers, run_id=tracked.id
                )
                drive = Drive(config, work, candidates, state, tracked, display, planned, began)
                status = "killed"
                try:
                    drive.run(executor)
                    result = report.result(drive)
                    status = str(result["status"])
                    files = report.write(result, drive, directory)
                    state.journal.append("finished", status=status)
                    tracked.end(status, report.metrics(result), files)
                finally:
                    if status == "killed":
                        tracked.end(status, {}, [])
        result["tracking_seconds"] = tracked.seconds
        return result


def check(kind: str, config: Config, where: str) -> None:
    """Refuse what cannot work before anything starts.

    Raises:
        BadInput: see `search_space.check`; a schedule that a refit cannot follow.
    """
    protocol = config.validation
    folds = protocol.inner if kind == "nested" else protocol.folds or 1
    search_space.check(config, where, folds * protocol.repeats)
    devices.refuse_hosts(config.train.devices, kind)
    assert config.search
    refits = kind == "nested" or config.search.refit
    if refits and config.train.schedule.name == "plateau":
        raise BadInput(
            f"{where}: train.schedule.name: plateau waits for val_loss, and the refit of a winner "
            "has no validation images; set constant, step or cosine"
        )
    if kind == "search" and refits and not config.validation.test_fraction:
        raise BadInput(
            f"{where}: search.refit: tests the winner, and validation.test_fraction is 0; set it "
            "to 0.2, or search.refit=false"
        )


def folds_of(kind: str, config: Config, source: Any) -> list[Folds]:
    """One a search: of the outer folds, or a single one."""
    return nested_folds(config, source) if kind == "nested" else [search_folds(config, source)]


def new_work(kind: str, config: Config, folds: Sequence[Folds]) -> Nested:
    """The searches, at their beginning."""
    asked = config.search
    assert asked
    objective = search_space.objective_of(config)
    if asked.strategy not in ("manual", "grid"):
        load_tensorflow()  # quietly, before KerasTuner does it
    searches = []
    for fold in folds:
        racing = None
        if asked.racing:
            racing = Racing(
                asked.racing.after_folds,
                asked.racing.alpha,
                asked.racing.margin,
                fold.ratio(config.data.train_fraction),
            )
        searches.append(
            Search(
                search_space.oracle_of(config),
                len(fold.pairs),
                max_failures=asked.max_failures,
                parallel=asked.parallel,
                racing=racing,
                minimise=search_space.SIGN[objective] < 0,
            )
        )
    return Nested(searches, refit=kind == "nested" or asked.refit)


def planned_fits(kind: str, config: Config, work: Nested, folds: Sequence[Folds]) -> int | None:
    """Fits of the whole, refits included; None where only the budget ends it."""
    candidates = work.searches[0].oracle.announced()
    if candidates is None:
        return None
    return sum(candidates * len(fold.pairs) for fold in folds) + len(folds) * work.refit


def announcement(
    kind: str, config: Config, work: Nested, folds: Sequence[Folds], planned: int | None
) -> str:
    """What is about to be fitted: p^q candidates x folds."""
    assert config.search
    asked = config.search
    count = work.searches[0].oracle.announced()
    words = "candidates until the budget ends" if count is None else f"{count} candidates"
    space = search_space.space_of(asked)
    if asked.strategy == "grid" and space:
        sizes = {parameter.key: len(parameter.options or ()) for parameter in space.parameters}
        if prod(sizes.values()) == count:
            words += " (" + " x ".join(f"{n} {key}" for key, n in sizes.items()) + ")"
    inner = len(folds[0].pairs)
    text = f"{config.name}: {asked.strategy}, {words} x {inner} fold{'s' * (inner > 1)}"
    if kind == "nested":
        text += f" x {len(folds)} outer folds + {len(folds)} refits"
    elif work.refit:
        text += " + 1 refit"
    if planned is not None:
        text += f" = {planned} fits"
    train, validation = folds[0].pairs[0]
    images = f"{round(len(train) * config.data.train_fraction)} + {len(validation)} images a fold"
    held_out = "" if folds[0].test is None else f", {len(folds[0].test)} kept for the test"
    return f"{text}; {images}{held_out}"


def dry_run(kind: str, config: Config, where: str) -> dict[str, Any]:
    """What a search would do: its settings, its folds, its candidates where they are known."""
    check(kind, config, where)
    source = open_source(config.data)
    folds = folds_of(kind, config, source)
    work = new_work(kind, config, folds)
    planned = planned_fits(kind, config, work, folds)
    known = []
    if work.searches[0].oracle.independent and planned is not None:
        known = list(dict.fromkeys(fit.trial for fit in work.searches[0].ready()))
    trials = work.searches[0].trials
    return {
        "config": config.model_dump(mode="json", exclude={"tracking": {"uri"}}),
        "data": {
            "source": source.spec,
            "images": len(source),
            "fingerprint": source.fingerprint,
            "folds": [
                {
                    "train": [len(train) for train, _ in fold.pairs],
                    "validation": [len(held_out) for _, held_out in fold.pairs],
                    "test": 0 if fold.test is None else len(fold.test),
                }
                for fold in folds
            ],
        },
        "candidates": [dict(trials[number].settings) for number in known],
        "fits": planned,
        "text": announcement(kind, config, work, folds, planned),
    }


def _changed(before: dict[str, str], now: dict[str, str]) -> str:
    parts = [
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    return f"packages changed since the search began ({', '.join(parts)}): scores may differ a bit"


def nested(config: Config, where: str, *, fresh: bool = False) -> dict[str, Any]:
    """Run what is not done yet of a nested cross-validation and return the command's JSON.

    In each outer fold: a search over inner folds of its learning set, the winner retrained on the
    whole learning set, one test. `validation.test_fraction` plays no part: every image is tested
    once, by one outer fold. With early stopping a refit, which has no validation images, trains for
    the median of the best epochs of the winner's inner folds.

    Raises:
        BadInput: the search cannot be, or another one has its name.
    """
    return run("nested", config, where, fresh=fresh)
