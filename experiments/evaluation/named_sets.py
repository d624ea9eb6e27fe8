"""`ilsvrc evaluate --sets NAME=SPEC ...`: the same networks on further sets, beside the main one.

V2=DIR is a folder, X=ilsvrc:DIR any source, REAL=FILE.json the main set under other labels
(`evaluate.labels`). Where a set has some of the networks' classes (ImageNet-A and -R have 200 of
the 1,000) networks are scored among these alone, as its authors do (Hendrycks et al. 2021a, 2021b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.evaluation import scoring
from experiments.evaluation.answers import Answers, figures, pairs
from experiments.evaluation.image_set import Subject, choose
from experiments.evaluation.label_lists import relabelled
from pipelines.sources.open import SCHEMES
from tuning.statistics.significance import accuracy_interval


@dataclass(frozen=True)
class NamedSet:
    """A set with a name, ready to be scored; `scoring` is None for the main set's images under the
    labels of a file, whose answers are the main set's."""

    name: str
    subject: Subject
    scoring: scoring.Scoring | None


def prepare(
    words: Sequence[str],
    main: scoring.Scoring,
    config: Config,
    given: Config,
    changes: Sequence[str],
) -> list[NamedSet]:
    """Open every set and match its classes, so that what can be refused is, before anything runs.

    Args:
        words: NAME=SPEC, as the command has them.
        main: the set that the others are beside, and the networks.
        config, given: as for the main set; part, labels and corruptions are of that alone.
        changes: as the command has them.

    Raises:
        BadInput: a set that cannot be opened, or whose classes are not the networks'.
    """
    named = dict(word.split("=", 1) for word in words)
    if len(named) < len(words):
        raise BadInput("--sets: every set needs a name of its own")
    given_here = any(change.startswith("evaluate.classes=") for change in changes)
    if config.evaluate.classes == "equal" and not given_here:
        config = _with(config, classes="restrict")
    config = _with(config, part=None, labels=None, corruptions=False)
    sets = []
    for name, spec in named.items():
        try:
            if spec.lower().endswith(".json"):
                sets.append(NamedSet(name, relabelled(_without_labels(main.subject), spec), None))
                continue
            if spec.partition(":")[0] not in SCHEMES or Path(spec).is_dir():
                spec = f"folder:{spec}"
            data = config.data.model_copy(update={"source": spec})
            of_set = config.model_copy(update={"data": data})
            subject = choose(main.networks, of_set, [f"data.source={spec}"])
            prepared = scoring.prepare(main.networks, subject, of_set, given, traced=main)
        except BadInput as error:
            raise BadInput(f"--sets {name}: {error}") from None
        sets.append(NamedSet(name, subject, prepared))
    return sets


def _with(config: Config, **changed: Any) -> Config:
    evaluate = config.evaluate.model_copy(update=changed)
    return config.model_copy(update={"evaluate": evaluate})


def _without_labels(main: Subject) -> Subject:
    if main.accepted is not None:
        raise BadInput("evaluate.labels are those of the main set; leave one of the two out")
    return replace(main, notes=())


def score(
    sets: Sequence[NamedSet],
    main: Subject,
    main_answers: Sequence[Answers],
    costs: Sequence[dict[str, Any]],
    *,
    quiet: bool,
    say: scoring.Say,
) -> dict[str, Any]:
    """The document's `sets`: by name source fingerprint part origin images classes rows mcnemar
    notes; a row is `figures` of a network with its name, and drop, main top-1 minus this one.

    drop_interval is None under other labels of the main set's images, which are not others.
    """
    documents = {}
    for each in sets:
        subject = each.subject
        if each.scoring is None:
            answers = [_under(labels_of, main, subject) for labels_of in main_answers]
            notes = list(subject.notes)
        else:
            where = f" on {each.name}"
            places, images = range(len(each.scoring.networks)), len(subject.indices)
            seconds = images * sum(cost["latency_ms_per_image"] for cost in costs) / 1000
            say(f"{each.name}: {images:,} images, all networks, {seconds:.0f} s at batch 1")
            answers = [scoring.answer(each.scoring, at, quiet=quiet, where=where) for at in places]
            notes = [*subject.notes, *each.scoring.notes]
        rows = []
        for answer, main_answer in zip(answers, main_answers, strict=True):
            row = {"name": answer.name} | figures(answer, subject)
            rows.append(row | _drop(main_answer, answer, same_images=each.scoring is None))
        documents[each.name] = {
            "source": subject.spec,
            "fingerprint": subject.fingerprint,
            "part": subject.part,
            "origin": subject.origin,
            "images": len(subject.indices),
            "classes": len(subject.class_names),
            "rows": rows,
            "mcnemar": pairs(answers),
            "notes": notes,
        }
    return documents


def _under(answers: Answers, main: Subject, subject: Subject) -> Answers:
    """The main set's answers, under the labels of `subject`, which has some of its images."""
    place = {int(index): at for at, index in enumerate(main.indices)}
    chosen = [place[int(index)] for index in subject.indices]
    return Answers.of_probabilities(
        answers.name,
        answers.probabilities[chosen],
        subject.labels,
        answers.columns,
        subject.accepted,
    )


def _drop(main: Answers, here: Answers, *, same_images: bool) -> dict[str, Any]:
    """Of two sets of images that have nothing in common the interval is made of theirs, by the
    sum of squares (Newcombe 1998, method 10; Zou and Donner 2008)."""
    before, after = (int(answers.right.sum()) / len(answers.right) for answers in (main, here))
    if same_images:
        return {"drop": before - after, "drop_interval": None}
    of_main, of_this = (
        accuracy_interval(int(answers.right.sum()), len(answers.right)) for answers in (main, here)
    )
    below = math.hypot(before - of_main.low, of_this.high - after)
    above = math.hypot(of_main.high - before, after - of_this.low)
    return {
        "drop": before - after,
        "drop_interval": [before - after - below, before - after + above],
    }
