"""Run one Job: data, statistics, training, evaluation, cost. Called inside a worker.

A worker keeps what its next jobs can use: the opened source, the statistics of each training part,
the images on the device, and the compiled networks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.config.schema import Config
from experiments.errors import BadInput, FailedWork, kind_and_first_line
from experiments.fitting import scoring
from experiments.fitting.scoring import Checkpoints, evaluate
from experiments.jobs import pretrained
from experiments.jobs.dataset import open_source, source_key, steps_of, view
from experiments.jobs.job import Event, Job, Outcome, seed_for
from experiments.jobs.predictions import write_predictions
from experiments.optimization.schedules import base_rate
from experiments.runtime import devices, hosts, measure, share
from experiments.runtime.machine import PeakMemory, device
from experiments.runtime.startup import prepare_process
from experiments.training.batches import Batches, Kept, digest

if TYPE_CHECKING:
    from experiments.training.loop import History
    from experiments.training.resume import Keeper
    from experiments.training.trainer import Trainer


def attempt(job: Job, emit: Callable[[Event], None]) -> Outcome:
    """Run a job; whatever goes wrong inside becomes a failed outcome that says why."""
    try:
        return run(job, emit)
    except (BadInput, FailedWork) as error:
        return Outcome(job.path, "failed", error=str(error), bad_input=isinstance(error, BadInput))
    except Exception as error:
        import traceback

        outcome = Outcome(job.path, "failed", error=kind_and_first_line(error))
        outcome.artifacts["traceback.json"] = traceback.format_exc().splitlines()
        return outcome


_source: tuple[Any, Any, Kept] = (None, None, Kept())

_trainers: tuple[str | None, dict[int, Trainer]] = (None, {})


def run(job: Job, emit: Any) -> Outcome:
    """Train and evaluate one job.

    Args:
        job: what to fit.
        emit: called with {"kind": "progress" | "epoch" | "note", ...} as it goes.

    Raises:
        Exception: whatever went wrong; the executor turns it into a failed Outcome.
    """
    config = job.config
    prepare_process(share.threads(config.train.threads), config.train.deterministic)
    if config.train.devices == "hosts":
        emit({"kind": "note", "text": "meets the other hosts"})
    place = devices.found(config.train.devices)  # before anything is computed
    with hosts.together(place):
        return _run(job, emit, place)


def _run(job: Job, emit: Any, place: devices.Devices) -> Outcome:
    config = job.config
    if place.spread:
        place.check_batch(config.data.batch_size)
        emit({"kind": "note", "text": devices.told(place, config.data.batch_size)})
    import pipelines
    from experiments.fitting import stages
    from experiments.fitting.layer_statistics import LayerStatistics
    from experiments.training import resume

    memory = PeakMemory()
    if job.measured:
        memory.start()
    source, kept = _open(config)
    size, crop_fraction = view(config)
    statistics = kept.get(
        "statistics",
        (digest(job.train), size, crop_fraction),
        lambda: pipelines.statistics.fit(source, job.train, size=size, crop_fraction=crop_fraction),
    )
    batches = Batches(source, job.train, statistics, kept)
    artifacts: dict[str, Any] = {
        "statistics.json": statistics.to_dict(),
        "class_names.json": list(source.class_names),
    }
    if source.corrupt:
        artifacts["corrupt_images.json"] = source.corrupt

    def validation(trainer: Trainer) -> Callable[[], dict[str, float]] | None:
        if job.validation is None:
            return None
        held_out = batches.held_out(config, job.validation)

        def validate() -> dict[str, float]:
            result = evaluate(trainer, held_out, "val")
            return {"val_loss": result.loss, **result.scores}

        return validate

    keeper = resume.keeper(job, source.fingerprint, emit, place)
    last = len(config.train.stages)
    resumes = keeper is not None and keeper.resumes(last)
    initial: Any = None
    if config.train.initialize_from:
        initial = Path(job.directory) / "initial.keras"
    if config.train.stages:
        initial, artifacts["stages.json"] = stages.train_stages(
            config,
            batches,
            lambda at, own: _compiled(job, source, own, at),
            validation,
            emit,
            keeper,
        )
        if job.measured:
            memory.start()  # what the stages took is not this network's
    trainer = _compiled(job, source, config, last)
    trainer.clock.seconds = 0.0
    _check_samples(config, trainer)
    mean, scale = batches.normalisation(config)
    given = (None, None) if resumes else (initial, config.model.weights)
    copied = trainer.reset(seed_for(config.seed, "weights"), mean, scale, *given)
    if copied and not config.train.stages:
        emit({"kind": "note", "text": f"{copied} layers copied from the initial network"})
    if advice := pretrained.advice(config):
        emit({"kind": "note", "text": advice})

    probe = LayerStatistics(trainer, batches, config) if config.train.layer_statistics else None
    if probe and not resumes:
        probe.measure(0)
    held_out = (("val", job.validation), ("test", job.test)) if job.prediction_epochs else ()
    asked = {part: batches.held_out(config, own) for part, own in held_out if own is not None}
    checkpoints = Checkpoints(trainer, asked, job.prediction_epochs)
    if keeper:
        if resumes:
            _take_back(keeper, checkpoints, probe)
        keeper.enter(
            last,
            lambda: _beside(checkpoints, probe),
            records=artifacts.get("stages.json", []),
            copied=copied,
        )

    def after_epoch(epoch: int) -> None:
        checkpoints.keep(epoch)
        if probe:
            probe.measure(epoch)

    data_seed = seed_for(config.seed, "data")
    history = trainer.fit(
        lambda first=0: batches.training(config, data_seed, first),
        config,
        steps_per_epoch=batches.steps(config),
        validate=validation(trainer),
        emit=stages.shifted(emit, config, batches, last),
        after_epoch=after_epoch if probe or job.prediction_epochs else None,
        rows=batches.training_rows(config, data_seed),
        keeper=keeper,
    )
    scores, said = _scores(job, trainer, batches, history)
    tables = {}
    if job.measured and said and not trainer.reconstructs:
        columns = said[-1][2].columns  # of the test part, else of the validation part
        label, predicted = columns["label"], columns["predicted"]
        artifacts[scoring.NAME] = scoring.table(label, predicted, source.class_names)
        tables = scoring.TAGS

    cost = measure.training_speed(len(job.train), history.seconds)
    cost["step_seconds"] = trainer.clock.seconds
    if job.measured:
        cost |= {"replicas": place.replicas, "global_batch_size": config.data.batch_size}
        cost |= _network_cost(trainer)
        cost["peak_memory_bytes"] = memory.bytes()
        cost |= measure.inference(
            trainer.infer,
            trainer.model.input_shape[1:],
            config.data.eval_batch_size,
            latency_calls=config.bench.latency_calls,
            throughput_batches=config.bench.throughput_batches,
        )
    directory = Path(job.directory)
    directory.mkdir(parents=True, exist_ok=True)
    files = probe.write(directory) if probe else []
    if trainer.reconstructs and job.measured:
        files.append(_picture(directory / "reconstructions.png", job, trainer, batches))
    return Outcome(
        path=job.path,
        status="finished",
        scores=scores,
        history=history.epochs,
        cost=cost,
        predictions=write_predictions(directory / "predictions.parquet", checkpoints.beside(said)),
        model=_write_model(directory / "model.keras", trainer, history, config)
        if job.measured
        else None,
        tags={
            "device": device(share.threads(config.train.threads)),
            "augment": pipelines.recipes.render(steps_of(config)),
            "epochs_trained": str(len(history.epochs)),
            "stopped_early": str(history.stopped_early).lower(),
            "corrupt_images": str(len(source.corrupt)),
            "base_learning_rate": f"{base_rate(config):g}",
            **tables,
        },
        artifacts=artifacts,
        files=files,
    )


def _beside(checkpoints: Checkpoints, probe: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What was measured along the way, for a snapshot: predictions, and rows of layers."""
    said = {
        f"{part}/{column}": values
        for part, columns in checkpoints.columns.items()
        for column, values in columns.items()
    }
    return said, {"layers": probe.rows if probe else []}


def _take_back(keeper: Keeper, checkpoints: Checkpoints, probe: Any) -> None:
    """What `_beside` gave, of the snapshot that the fit goes on from."""
    said, rest = keeper.found_beside()
    for name, values in said.items():
        part, column = name.split("/")
        checkpoints.columns[part][column] = values
    if probe:
        probe.rows = list(rest["layers"])


def _scores(
    job: Job, trainer: Trainer, batches: Batches, history: History
) -> tuple[dict[str, float], list[Any]]:
    """Every score of the run, and what was said of each validation and test image."""
    config = job.config
    scores: dict[str, float] = {}
    if history.epochs:
        reached = history.best_epoch if config.train.early_stopping else len(history.epochs)
        scores["train_loss"] = history.epochs[(reached or 1) - 1]["train_loss"]
    trainer.seed_samples(seed_for(config.seed, "dropout_samples"))
    said = []
    for part, indices in (("train", job.train), ("val", job.validation), ("test", job.test)):
        if indices is None or (part == "train" and not job.measured):
            continue
        samples = 1 if part == "train" else config.evaluate.dropout_samples
        result = evaluate(trainer, batches.held_out(config, indices), part, samples)
        scores |= result.scores
        if part == "val":
            scores["val_loss"] = result.loss
        if part != "train":
            said.append((part, indices, result))
    return scores, said


def _check_samples(config: Config, trainer: Trainer) -> None:
    if config.evaluate.dropout_samples > 1 and not trainer.samples:
        raise BadInput(
            f"evaluate.dropout_samples: {config.model.name} drops nothing, so every pass would be "
            "the same; set model.options.dropout, such as 0.5"
        )


def _open(config: Config) -> tuple[Any, Kept]:
    """The source and what is made of it: one decode serves all of a sweep's runs."""
    global _source
    key = source_key(config.data)
    if _source[0] != key:
        _source = (None, None, Kept())  # let go of the old one before another is read
        _source = (key, open_source(config.data), Kept())
    return _source[1:]


def _compiled(job: Job, source: Any, config: Config, position: int) -> Trainer:
    """The Trainer of one of the job's networks (its stages, then its own), kept for the next job
    of this graph."""
    global _trainers
    from experiments.training.trainer import Trainer

    if _trainers[0] != job.graph_key:
        _trainers = (job.graph_key, {})  # let go of the old networks before a new one is built
    if position not in _trainers[1]:
        height, width = view(config)[0]
        shape = (height, width, source.image_shape[2])
        _trainers[1][position] = Trainer(config, shape, len(source.class_names))
    return _trainers[1][position]


def _network_cost(trainer: Trainer) -> dict[str, float]:
    import models

    profile = models.profile(trainer.network)
    return {
        "params": profile.params,
        "macs": profile.macs,
        "activation_bytes": profile.activation_bytes,
    }


def _picture(path: Path, job: Job, trainer: Trainer, batches: Batches) -> str:
    from experiments.fitting import pictures as plot
    from experiments.fitting.pictures import draw_reconstructions

    part, indices = next(
        (name, found)
        for name, found in (
            ("test", job.test), ("validation", job.validation), ("training", job.train)
        )
        if found is not None
    )  # fmt: skip
    # spread over the part: neighbours in a source are often of one class
    chosen = indices[np.linspace(0, len(indices) - 1, min(plot.IMAGES, len(indices))).astype(int)]
    [(images, _)] = batches.evaluation(job.config, chosen, batch_size=len(chosen))
    draw_reconstructions(np.asarray(images) / 255.0, np.asarray(trainer.infer(images)), part, path)
    return str(path)


def _write_model(path: Path, trainer: Trainer, history: History, config: Config) -> str | None:
    if config.tracking.save_model == "none":
        return None
    whole = path.with_name("writing.keras")
    if config.tracking.save_model == "best" and history.best_weights is not None:
        last = trainer.model.get_weights()
        trainer.model.set_weights(history.best_weights)
        trainer.save(whole)
        trainer.model.set_weights(last)
    else:
        trainer.save(whole)
    os.replace(whole, path)
    return str(path)
