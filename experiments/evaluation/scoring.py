"""Networks on the images of one set: everything that can be refused first, then their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.config.schema import Config
from experiments.evaluation import costs
from experiments.evaluation.answers import Answers
from experiments.evaluation.image_set import Subject
from experiments.inference.class_match import Match, match
from experiments.inference.class_names import known_names, overruled
from experiments.inference.loading import Network, crop_fraction
from experiments.jobs.dataset import files_unchanged
from experiments.presentation.console import progress

if TYPE_CHECKING:
    from experiments.inference.protocols import Predictor

Say = Callable[[str], None]


@dataclass(frozen=True)
class Scoring:
    """What is going to be scored: a match and a predictor for every network, nothing run yet."""

    subject: Subject
    networks: Sequence[Network]
    matches: list[Match]
    predictors: list[Predictor]
    notes: list[str]


def prepare(
    networks: Sequence[Network],
    subject: Subject,
    config: Config,
    given: Config,
    traced: Scoring | None = None,
) -> Scoring:
    """Match the classes of every network to those of the set.

    Args:
        config: its evaluate, data and seed count.
        given: the command's own settings: where they name a crop fraction it holds for all.
        traced: of the same networks on another set, whose graphs serve here, too.

    Raises:
        BadInput: classes or a protocol that do not go with a network.
    """
    from experiments.inference.protocols import Predictor

    evaluate = config.evaluate
    matches = [
        match(
            network.name,
            known_names(network, evaluate.class_names, subject.class_names, subject.fingerprint),
            network.classes,
            subject.class_names,
            subject.spec,
            evaluate.classes,
        )
        for network in networks
    ]
    predictors = [
        Predictor(
            network,
            config,
            crop_fraction(network, given, subject.source),
            matched.columns,
            traced=traced.predictors[at] if traced else None,
        )
        for at, (network, matched) in enumerate(zip(networks, matches, strict=True))
    ]
    overrulings = [overruled(network, evaluate.class_names) for network in networks]
    notes = [matched.note for matched in matches] + overrulings
    notes += [predictor.dense.how for predictor in predictors if predictor.dense]
    return Scoring(subject, networks, matches, predictors, [line for line in notes if line])


def run(
    scoring: Scoring, config: Config, *, quiet: bool, say: Say
) -> tuple[list[Answers], list[dict[str, Any]]]:
    """Every network's answers, and what they cost; that is said before each begins."""
    answers: list[Answers] = []
    rows: list[dict[str, Any]] = []
    for network, predictor in zip(scoring.networks, scoring.predictors, strict=True):
        cost = costs.measured(network, predictor.passes, config)
        images = len(scoring.subject.indices)
        say(costs.announcement(network.name, predictor, cost, images))
        answers.append(answer(scoring, len(rows), quiet=quiet))
        rows.append(cost)
    return answers, rows


def answer(scoring: Scoring, position: int, *, quiet: bool, where: str = "") -> Answers:
    """Of the network at a position; `where` tells the set on the progress bar."""
    subject, name = scoring.subject, scoring.networks[position].name
    with (
        files_unchanged(subject.source),
        progress(f"scoring {name}{where}", len(subject.indices), quiet) as advance,
    ):
        scores = scoring.predictors[position].scores(subject.source, subject.indices, advance)
    columns = scoring.matches[position].names
    return Answers.of(name, scores, subject.labels, columns, subject.accepted)
