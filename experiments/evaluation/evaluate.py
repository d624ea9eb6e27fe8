"""`ilsvrc evaluate`: networks on images, under a protocol: accuracies with their intervals,
confusion, calibration, cost; of several networks their ensemble and tests between each pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.evaluation import output
from experiments.evaluation.answers import Answers, figures, pairs, together
from experiments.evaluation.image_set import Subject, base, check_named, choose, kept
from experiments.evaluation.published_check import beside
from experiments.inference.class_match import known_names, match
from experiments.inference.loading import Network, check_kinds, crop_fraction, load
from experiments.jobs.dataset import files_unchanged
from experiments.presentation.columns import LATENCY_DISTURBED
from experiments.presentation.console import progress
from experiments.presentation.formatting import si
from experiments.runtime import measure
from pipelines.resize import resized_sides

if TYPE_CHECKING:
    from experiments.inference.protocols import Predictor

Say = Callable[[str], None]


def evaluate(
    words: Sequence[str],
    changes: Sequence[str],
    out: Path | None = None,
    *,
    quiet: bool = False,
    say: Say = lambda line: None,
    show: Callable[[dict[str, Any]], None] = lambda document: None,
) -> dict[str, Any]:
    """Score the networks that `words` name and return the command's JSON.

    Args:
        words: as `loading.load`.
        changes: settings key.path=value over the first run's own, or over the defaults.
        out: folder for tables, figures and predictions; None writes nothing.
        quiet: no bar.
        say: hears what is going to be done and what it costs, before it is done.
        show: is given the JSON once its tables are written, before any picture is drawn.

    Raises:
        BadInput: networks, images or classes that do not go together.
    """
    given = settings.parse(settings.override({}, changes))
    _check_reuse(given)
    check_kinds(words, given)
    check_named(words, changes)
    networks = load(words, given, with_models=not given.evaluate.reuse)
    config = base(networks, changes)
    notes: list[str] = []
    if given.evaluate.reuse:
        runs = [network.run for network in networks if network.run]
        subject, chances = kept(runs, config.evaluate.part)
        answers = [
            Answers.of_probabilities(network.name, each, subject.labels, subject.class_names)
            for network, each in zip(networks, chances, strict=True)
        ]
        costs = [_kept_cost(network) for network in networks]
    else:
        subject = choose(networks, config, changes)
        crops = [crop_fraction(network, given, subject.source) for network in networks]
        answers, costs, notes = score(networks, crops, subject, config, quiet=quiet, say=say)
    protocol = {"protocol": config.evaluate.protocol}
    rows = []
    for network, each, cost in zip(networks, answers, costs, strict=True):
        row: dict[str, Any] = {"name": network.name}
        if network.run is not None:
            row["run_id"] = network.run.id
        row |= figures(each, subject.class_names) | protocol | cost
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
        rows.append(row)
    mean, why = together(answers)
    document: dict[str, Any] = {
        "source": subject.spec,
        "fingerprint": subject.fingerprint,
        "part": subject.part,
        "images": len(subject.indices),
        "classes": len(subject.class_names),
        **protocol,
        "rows": rows,
        "ensemble": None,
        "mcnemar": pairs(answers),
        "notes": [*subject.notes, *notes, *([why] if why else [])],
        "files": [],
    }
    if mean is not None:
        row = {"name": mean.name} | figures(mean, subject.class_names) | protocol
        document["ensemble"] = row | _summed(rows)
    everyone = [*answers, *([mean] if mean else [])]
    if out is not None:
        output.write(out, document, everyone, subject)
    show(document)
    if out is not None:
        output.draw(out, document, everyone, subject)
    return document


def score(
    networks: Sequence[Network],
    crops: Sequence[float],
    subject: Subject,
    config: Config,
    *,
    quiet: bool,
    say: Say,
) -> tuple[list[Answers], list[dict[str, Any]], list[str]]:
    """Run every network on the images: answers, costs, and lines that belong beside the result.

    `crops` are the networks' crop fractions.

    Everything that can be refused is refused before the first image.
    """
    from experiments.inference.protocols import Predictor

    evaluate, images = config.evaluate, len(subject.indices)
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
        Predictor(network, config, fraction, matched.columns)
        for network, fraction, matched in zip(networks, crops, matches, strict=True)
    ]
    notes = [matched.note for matched in matches if matched.note]
    notes += [predictor.dense.how for predictor in predictors if predictor.dense]
    answers, costs = [], []
    for network, matched, predictor in zip(networks, matches, predictors, strict=True):
        cost = _cost(network, predictor.passes, config)
        say(announcement(network.name, predictor, cost, images))
        with (
            files_unchanged(subject.source),
            progress(f"scoring {network.name}", images, quiet) as advance,
        ):
            scores = predictor.scores(subject.source, subject.indices, advance)
        answers.append(Answers.of(network.name, scores, subject.labels, matched.names))
        costs.append(cost)
    return answers, costs, notes


def announcement(name: str, predictor: Predictor, cost: dict[str, Any], images: int) -> str:
    """What is about to be done and what it costs, in one line."""
    count = predictor.protocol.crops
    text = f"{name}: {predictor.name}, {count} view{'s' if count > 1 else ''}"
    if predictor.samples > 1:
        text += f" x {predictor.samples} dropout samples"
    text += f" an image, {predictor.passes:.4g} x the cost of one"
    if predictor.dense:
        text += " (of a square image)"
    if cost["macs_per_image"] is not None:
        text += f": {si(cost['macs_per_image'])}MACs"
    seconds = images * cost["latency_ms_per_image"] / 1000
    return f"{text}; {images:,} images, {seconds:.0f} s at batch 1"


def _cost(network: Network, passes: float, config: Config) -> dict[str, Any]:
    """Of the bare network, and of an image under the protocol.

    latency_ms_p50 is measured here, one pass at batch 1; an image's is that times the passes.
    """
    import models
    from experiments.training.outputs import inference_function

    try:
        profile = models.profile(network.model)
        params, macs = profile.params, profile.macs
    except ValueError:  # a stranger's .keras file may hold layers without a MAC rule
        params, macs = int(network.model.count_params()), None
    measured = measure.inference(
        inference_function(network.model, jit=False),
        network.model.input_shape[1:],
        1,
        latency_calls=config.bench.latency_calls,
        throughput_batches=1,
    )
    latency = measured["latency_ms_p50"]
    return {
        "passes": passes,
        "params": params,
        "macs_per_image": None if macs is None else round(macs * passes),
        "latency_ms_p50": latency,
        "latency_ms_per_image": latency * passes,
        LATENCY_DISTURBED: bool(measured[LATENCY_DISTURBED]),
    }


def _kept_cost(network: Network) -> dict[str, Any]:
    """As the run measured it when it ended, under the centre crop."""
    metrics = network.run.metrics if network.run else {}
    latency = metrics.get("latency_ms_p50")
    macs, params = metrics.get("macs"), metrics.get("params")
    return {
        "passes": 1.0,
        "params": None if params is None else int(params),
        "macs_per_image": None if macs is None else int(macs),
        "latency_ms_p50": latency,
        "latency_ms_per_image": latency,
        LATENCY_DISTURBED: bool(metrics[LATENCY_DISTURBED])
        if LATENCY_DISTURBED in metrics
        else None,
    }


def _summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Cost of asking every member."""
    sums: dict[str, Any] = {"members": [row["name"] for row in rows]}
    for key in ("params", "macs_per_image", "latency_ms_per_image"):
        values = [row[key] for row in rows]
        sums[key] = None if None in values else sum(values)
    return sums | {LATENCY_DISTURBED: any(row[LATENCY_DISTURBED] for row in rows)}


def _check_reuse(config: Config) -> None:
    evaluate = config.evaluate
    if evaluate.reuse and (evaluate.protocol != "centre" or evaluate.dropout_samples > 1):
        raise BadInput(
            "evaluate.reuse: the predictions that runs keep are of the centre crop; leave "
            "evaluate.protocol and evaluate.dropout_samples out"
        )
