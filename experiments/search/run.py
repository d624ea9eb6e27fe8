"""`ilsvrc search` and `ilsvrc nested`: settings chosen on validation folds, resumable, tracked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.baseline import in_words
from experiments.jobs.composition import document, lines
from experiments.launch import executors
from experiments.launch.progress import Display
from experiments.runtime import devices
from experiments.search import bounds, promotion, sharing, space
from experiments.search.candidates import Candidates
from experiments.search.drive import Drive
from experiments.search.results import report
from experiments.search.study import (
    Kind,
    announcement,
    new_work,
    open_study,
    planned_fits,
)
from experiments.search.tracking import SearchRuns
from experiments.tracking.lock import held
from experiments.tracking.provenance import surroundings
from experiments.tracking.search_journal import State, find, matters_of


def run(kind: Kind, config: Config, where: str, *, fresh: bool = False) -> dict[str, Any]:
    """Run what is not done yet of a search and return the command's JSON.

    Nested, there is in each outer fold a search over inner folds of its learning set, the winner
    retrained on the whole learning set, and one test. `validation.test_fraction` plays no part
    then: every image is tested once, by one outer fold. With early stopping a refit, which has no
    validation images, ends after the median of the best epochs of the winner's inner folds, on
    the learning-rate schedule that they had.

    Args:
        kind: search or nested.
        config: base settings and the search.
        where: the config file, for errors.
        fresh: start apart from what is there.

    Raises:
        BadInput: the search cannot be, or another one has its name.
    """
    began = time.monotonic()
    check(kind, config, where)
    with executors.executor(config.launch) as executor:
        study = open_study(kind, config, fresh=fresh)
        matters = matters_of(study.config, kind, study.source)
        directory = find(config.name, kind, matters, fresh=fresh)
        candidates = Candidates(study, directory)
        refused = bounds.refusals(candidates)
        count = bounds.count_refused(study, refused)
        bounds.check_costs_differ(candidates)
        with held(directory):
            state = State(directory)
            versions = surroundings()[1]
            state.begin(matters, versions)
            work = new_work(
                study, refused, candidates.cost, known=candidates.known, former=state.former
            )
            fits = planned_fits(study, work, count)
            planned = fits.planned
            with Display(planned or 0, workers=executors.at_a_time(config.launch)) as display:
                said = [announcement(study, work, fits, count), promotion.announcement(study, work)]
                said += [*lines(study.source, study.parts), in_words(study.to_beat)]
                for line in filter(None, said):
                    display.say(line)
                if changed := _changed(state.versions, versions):
                    display.say(changed)
                tracked = SearchRuns(study, state.id, display.say)
                state.journal.append(
                    "planned", fits=planned, workers=config.launch.workers, run_id=tracked.id
                )
                drive = Drive(work, candidates, state, tracked, display, planned, began)
                status = "killed"
                try:
                    drive.run(executor)
                    result = report.result(drive)
                    status = str(result["status"])
                    files = report.write(result, drive, directory)
                    state.journal.append("finished", status=status)
                    if result.get("final"):
                        tracked.card(result["final"])
                    tracked.end(status, report.metrics(result), files, report.tags(result))
                finally:
                    if status == "killed":
                        tracked.end(status, {}, [])
        result["tracking_seconds"] = tracked.seconds
        return result


def check(kind: Kind, config: Config, where: str) -> None:
    """Refuse what cannot work before anything starts.

    Raises:
        BadInput: see `space.check`; a schedule that a refit cannot follow.
    """
    protocol = config.validation
    for key in ("test_folds", "fold"):
        if getattr(protocol, key) is not None:
            raise BadInput(
                f"{where}: validation.{key}: of train and sweep; leave it out, search chooses on "
                "validation.folds, and ilsvrc nested tests on each of validation.outer"
            )
    folds = protocol.folds or 1
    if kind == "nested" and config.search:
        sharing.check(config, where)
        folds = sharing.inner_folds(config)
    space.check(config, where, folds * protocol.repeats)
    devices.refuse_hosts(config.train.devices, kind)
    assert config.search
    refits = kind == "nested" or config.search.refit
    if config.search.final and not refits:
        raise BadInput(
            f"{where}: search.final: what its card says is the test score of the refit, and there "
            "is none; set search.refit=true, too"
        )
    if refits and config.train.schedule.name == "plateau":
        raise BadInput(
            f"{where}: train.schedule.name: plateau waits for val_loss, and the refit of a winner "
            "has no validation images; set constant, step or cosine"
        )


def dry_run(kind: Kind, config: Config, where: str) -> dict[str, Any]:
    """What a search would do: its settings, its folds, its candidates where they are known."""
    check(kind, config, where)
    study = open_study(kind, config)
    candidates = Candidates(study, Path())
    refused = bounds.refusals(candidates)
    count = bounds.count_refused(study, refused)
    bounds.check_costs_differ(candidates)
    work = new_work(study, refused)
    fits = planned_fits(study, work, count)
    said = [announcement(study, work, fits, count), promotion.announcement(study, work)]
    known = []
    if work.searches[0].oracle.independent and fits.planned is not None:
        known = list(dict.fromkeys(fit.trial for fit in work.searches[0].ready()))
    trials = work.searches[0].trials
    return {
        "config": study.config.model_dump(mode="json", exclude={"tracking": {"uri"}}),
        "data": {
            "source": study.source.spec,
            "images": len(study.source),
            "fingerprint": study.source.fingerprint,
            **document(study.source, study.parts),
            "folds": [
                {
                    "train": [len(train) for train, _ in fold.pairs],
                    "validation": [len(held_out) for _, held_out in fold.pairs],
                    "test": 0 if fold.test is None else len(fold.test),
                }
                for fold in study.folds
            ],
        },
        "candidates": [dict(trials[number].settings) for number in known],
        "fits": fits.planned,
        **({"fits_shared": fits.shared, "fits_unshared": fits.apart} if study.nested else {}),
        "text": "\n".join([*filter(None, said), *lines(study.source, study.parts)]),
    }


def _changed(before: dict[str, str], now: dict[str, str]) -> str | None:
    """Packages of other versions than the search began with, of those that were recorded then."""
    parts = [
        f"{name} {version} -> {now.get(name, 'absent')}"
        for name, version in sorted(before.items())
        if now.get(name) != version
    ]
    if not parts:
        return None
    return f"packages changed since the search began ({', '.join(parts)}): scores may differ a bit"
