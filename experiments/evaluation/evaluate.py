"""`ilsvrc evaluate`: networks on images, under a protocol: accuracies with their intervals,
confusion, calibration, cost; of several networks their ensemble and tests between each pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.evaluation import corruption_error, costs, named_sets, output, scoring
from experiments.evaluation.answers import Answers, figures, pairs, together
from experiments.evaluation.image_set import Subject, base, check_named, choose, kept
from experiments.evaluation.label_lists import read_labels, relabelled
from experiments.evaluation.published_check import beside
from experiments.inference.loading import Network, check_kinds, crop_fraction, load
from pipelines.resize import resized_sides


def evaluate(
    words: Sequence[str],
    changes: Sequence[str],
    out: Path | None = None,
    sets: Sequence[str] = (),
    *,
    quiet: bool = False,
    say: scoring.Say = lambda line: None,
    show: Callable[[dict[str, Any]], None] = lambda document: None,
) -> dict[str, Any]:
    """Score the networks that `words` name and return the command's JSON.

    Args:
        words: as `loading.load`.
        changes: settings key.path=value over the first run's own, or over the defaults.
        out: folder for tables, figures and predictions; None writes nothing.
        sets: NAME=SPEC of further sets, as `named_sets` has them.
        quiet: no bar.
        say: hears what is going to be done and what it costs, before it is done.
        show: is given the JSON once its tables are written, before any picture is drawn.

    Raises:
        BadInput: networks, images or classes that do not go together.
    """
    given = settings.parse(settings.override({}, changes))
    _check_reuse(given, sets)
    check_kinds(words, given)
    check_named(words, changes)
    if given.evaluate.labels is not None:  # before images are opened
        read_labels(given.evaluate.labels)
    networks = load(words, given, with_models=not given.evaluate.reuse)
    config = base(networks, changes)
    of_networks: list[dict[str, Any]] = [{} for _ in networks]
    beside_rows: dict[str, Any] = {}
    notes: list[str] = []
    if given.evaluate.reuse:
        runs = [network.run for network in networks if network.run]
        subject, chances = kept(runs, config.evaluate)
        answers = [
            Answers.of_probabilities(network.name, each, subject.labels, subject.class_names)
            for network, each in zip(networks, chances, strict=True)
        ]
        costs_of = [costs.kept(network) for network in networks]
    else:
        subject = choose(networks, config, changes)
        if config.evaluate.labels is not None:
            subject = relabelled(subject, config.evaluate.labels)
        prepared = scoring.prepare(networks, subject, config, given)
        further = named_sets.prepare(sets, prepared, config, given, changes)
        notes = prepared.notes
        if config.evaluate.corruptions:
            corruption_error.check(prepared)
        answers, costs_of = scoring.run(prepared, config, quiet=quiet, say=say)
        if config.evaluate.corruptions:
            of_networks, beside_rows = corruption_error.measure(
                prepared, costs_of, quiet=quiet, say=say
            )
        if further:
            named = named_sets.score(further, subject, answers, costs_of, quiet=quiet, say=say)
            beside_rows = {"sets": named} | beside_rows
    rows = [
        _row(*each, subject, config, given)
        for each in zip(networks, answers, costs_of, of_networks, strict=True)
    ]
    mean, why = together(answers)
    document: dict[str, Any] = {
        "source": subject.spec,
        "fingerprint": subject.fingerprint,
        "part": subject.part,
        "origin": subject.origin,
        "images": len(subject.indices),
        "classes": len(subject.class_names),
        "protocol": config.evaluate.protocol,
        "rows": rows,
        "ensemble": None,
        "mcnemar": pairs(answers),
        **beside_rows,
        "notes": [*subject.notes, *notes, *([why] if why else [])],
        "files": [],
    }
    if mean is not None:
        row = {"name": mean.name} | figures(mean, subject)
        document["ensemble"] = row | {"protocol": document["protocol"]} | costs.summed(rows)
    everyone = [*answers, *([mean] if mean else [])]
    if out is not None:
        output.write(out, document, everyone, subject)
    show(document)
    if out is not None:
        output.draw(out, document, everyone, subject)
    return document


def _row(
    network: Network,
    answers: Answers,
    cost: dict[str, Any],
    more: dict[str, Any],
    subject: Subject,
    config: Config,
    given: Config,
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": network.name}
    if network.run is not None:
        row["run_id"] = network.run.id
    row |= figures(answers, subject) | {"protocol": config.evaluate.protocol} | cost | more
    if network.architecture and network.origin:
        crop = crop_fraction(network, given, subject.source)
        row["published"] = beside(
            network.architecture,
            network.origin,
            subject,
            row,
            sides=config.evaluate.sides,
            resized_to=resized_sides(network.model.input_shape[1:3], crop)[0],
        )
    return row


def _check_reuse(config: Config, sets: Sequence[str]) -> None:
    evaluate = config.evaluate
    if not evaluate.reuse:
        return
    if evaluate.protocol != "centre" or evaluate.dropout_samples > 1:
        raise BadInput(
            "evaluate.reuse: the predictions that runs keep are of the centre crop; leave "
            "evaluate.protocol and evaluate.dropout_samples out"
        )
    for key, value in (
        ("--sets", sets),
        ("evaluate.labels", evaluate.labels),
        ("evaluate.corruptions", evaluate.corruptions),
    ):
        if value:
            raise BadInput(f"evaluate.reuse: {key} needs the images; leave one of the two out")
