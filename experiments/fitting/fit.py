"""Run one Job: data, statistics, training, evaluation, cost. Called inside a worker, which keeps
what its next jobs can use (`worker_state`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import models
from experiments.errors import BadInput, FailedWork, kind_and_first_line
from experiments.fitting.observations import Observations
from experiments.fitting.scoring import PER_CLASS, TAGS, per_class, score_fit
from experiments.fitting.stages import Chain, train_stages
from experiments.fitting.worker_state import WORKER
from experiments.jobs import pretrained
from experiments.jobs.baseline import baselines
from experiments.jobs.composition import (
    CLASS_SIZES,
    DATA,
    class_sizes,
    composition,
    document,
    origins,
)
from experiments.jobs.dataset import files_unchanged, steps_of
from experiments.jobs.job import WENT_ON_AFTER, Event, Job, Outcome, draw_seed
from experiments.jobs.length import all_updates
from experiments.jobs.predictions import HITS, packed_hits, write_predictions
from experiments.optimization.schedules import base_rate
from experiments.presentation.console import drawn
from experiments.runtime import devices, hosts, measure, share
from experiments.runtime.disturbance import MACHINE, ONCE
from experiments.runtime.machine import PeakMemory, device
from experiments.runtime.startup import prepare_process
from experiments.training.batches import Batches
from pipelines.augment import recipes

if TYPE_CHECKING:
    from experiments.jobs.job import Emit
    from experiments.training.history import History
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
    chosen = devices.chosen(config.train.devices)  # before anything is computed
    with hosts.together(chosen):
        if chosen.spread:
            chosen.check_batch(config.data.batch_size)
            text = devices.sharing_note(chosen, config.data.batch_size)
            emit({"kind": "note", "text": text})
        return _run(job, emit, chosen)


def _run(job: Job, emit: Emit, chosen: devices.Devices) -> Outcome:
    memory = PeakMemory(alone=WORKER.alone(job))
    if job.measured:
        memory.start()
    batches = WORKER.batches(job)
    with files_unchanged(batches.source):
        return _fitted(job, batches, emit, chosen, memory)


def _fitted(
    job: Job, batches: Batches, emit: Emit, chosen: devices.Devices, memory: PeakMemory
) -> Outcome:
    import keras

    from experiments.training import resume

    config, source = job.config, batches.source
    artifacts: dict[str, Any] = {
        "statistics.json": batches.statistics.to_dict(),
        "class_names.json": list(source.class_names),
    }
    if source.titles:
        artifacts["class_titles.json"] = dict(source.titles)
    if source.corrupt:
        artifacts["corrupt_images.json"] = source.corrupt
    keeper = resume.keeper(job, source.fingerprint, emit, chosen)
    chain = Chain(job, batches, WORKER, emit, keeper)
    initial: Any = None
    if config.train.initialize_from:
        initial = Path(job.directory) / "initial.keras"
    if config.train.stages:
        initial, artifacts["stages.json"] = train_stages(chain)
        if job.measured:
            memory.start()  # what the stages took is not this network's
    trainer, observations = _prepared(chain, initial, artifacts.get("stages.json", []))
    history = chain.fit(trainer, chain.last, batches, observations.after_epoch)
    last = score_fit(job, trainer, batches, history)
    tags = {
        "device": device(share.threads(config.train.threads)),
        "augment": recipes.render(steps_of(config)),
        "epochs_trained": str(len(history.epochs)),
        "stopped_early": str(history.stopped_early).lower(),
        "corrupt_images": str(len(source.corrupt)),
        "base_learning_rate": f"{base_rate(config):g}",
        "backend": keras.backend.backend(),
    }
    if job.row and keeper and keeper.went_on_after:
        tags[WENT_ON_AFTER] = str(keeper.went_on_after)
    if job.measured:
        parts = composition(source, job.train, job.validation, job.test)
        artifacts[DATA] = document(source, parts)
        tags["data_parts"] = origins(parts)
        tags[CLASS_SIZES] = class_sizes(parts)
        last.scores.update(baselines(config, parts, len(source.class_names)))
    if job.measured and last.held_out and not trainer.reconstructs:
        columns = last.held_out[-1][2].columns  # of the test part, else of the validation part
        artifacts[PER_CLASS] = per_class(
            columns["label"], columns["predicted"], source.class_names, source.titles
        )
        tags |= TAGS
    if not (job.measured or trainer.reconstructs):
        artifacts[HITS] = {part: packed_hits(of.columns) for part, _, of in last.held_out}
    made = all_updates(config, batches.steps)
    last_part = min(1.0, made / batches.steps - len(history.seconds) + 1)
    cost = measure.training_speed(len(job.train), history.seconds, last_part)
    cost["step_seconds"] = trainer.clock.seconds
    if job.measured:
        cost |= {"replicas": chosen.replicas, "global_batch_size": config.data.batch_size}
        cost |= _network_cost(job, trainer, memory)
    elif job.timed:
        cost |= _inference(job, trainer)
    directory = Path(job.directory)
    directory.mkdir(parents=True, exist_ok=True)
    files = observations.write(directory)
    if trainer.reconstructs and job.measured:
        path = directory / "reconstructions.png"
        files += map(str, drawn(path, _picture, job, trainer, batches))
    return Outcome(
        path=job.path,
        status="finished",
        scores=last.scores,
        history=history.epochs,
        cost=cost,
        predictions=write_predictions(directory / "predictions.parquet", observations.beside(last)),
        model=_write_model(directory / "model.keras", trainer, history, job),
        tags=tags,
        artifacts=artifacts,
        files=files,
    )


def _prepared(
    chain: Chain, initial: Any, records: list[dict[str, Any]]
) -> tuple[Trainer, Observations]:
    """The job's own network as its fit begins, or goes on from a snapshot, and what observes it.

    Args:
        chain: whose stages have ended.
        initial: a .keras file or weights of layers to start from, or None.
        records: of the stages.
    """
    job, keeper = chain.job, chain.keeper
    trainer = chain.trainer(chain.last, job.config)
    trainer.clock.seconds = 0.0
    if job.config.evaluate.dropout_samples > 1 and not trainer.samples:
        raise BadInput(
            f"evaluate.dropout_samples: {job.config.model.name} drops nothing, so every pass would "
            "be the same; set model.options.dropout, such as 0.5"
        )
    resumes = chain.resumes(chain.last)
    weights_from, published = (None, None) if resumes else (initial, job.config.model.weights)
    mean, scale = chain.batches.normalisation()
    patterns = job.config.train.initialize_layers
    seed, states = (draw_seed(job.config, "weights", of=draw) for draw in ("weights", "dropout"))
    copied = trainer.reset(seed, mean, scale, weights_from, published, patterns, states=states)
    if copied and not job.config.train.stages:
        text = f"{copied} layers copied from the initial network"
        chain.emit({"kind": "note", "text": text})
    if advice := pretrained.advice(job.config):
        chain.emit({"kind": "note", "text": advice})
    observations = Observations(job, trainer, chain.batches)
    if keeper and resumes:
        observations.restore(*keeper.beside())
    else:
        observations.before_training()
    if keeper:
        keeper.enter(chain.last, observations.state, records=records, copied=copied)
    return trainer, observations


def _network_cost(job: Job, trainer: Trainer, memory: PeakMemory) -> dict[str, float]:
    profile = models.profile(trainer.network)
    cost: dict[str, float] = {
        "params": profile.params,
        "macs": profile.macs,
        "activation_bytes": profile.activation_bytes,
    }
    if (peak := memory.bytes()) is not None:
        cost["peak_memory_bytes"] = peak
    return cost | _inference(job, trainer)


def _inference(job: Job, trainer: Trainer) -> dict[str, float]:
    bench = job.config.bench
    return measure.inference(
        trainer.infer,
        trainer.model.input_shape[1:],
        job.config.data.eval_batch_size,
        latency_calls=bench.latency_calls,
        throughput_batches=bench.throughput_batches,
        watch=ONCE if trainer.devices.processes > 1 else MACHINE,
    )


def _picture(job: Job, trainer: Trainer, batches: Batches, path: Path) -> None:
    from experiments.fitting.pictures import IMAGES, draw_reconstructions

    parts = {"test": job.test, "validation": job.validation, "training": job.train}
    part, indices = next((name, rows) for name, rows in parts.items() if rows is not None)
    # spread over the part: neighbours in a source are often of one class
    chosen = indices[np.linspace(0, len(indices) - 1, min(IMAGES, len(indices))).astype(int)]
    [(images, _)] = batches.evaluation(chosen, batch_size=len(chosen))
    draw_reconstructions(np.asarray(images) / 255.0, np.asarray(trainer.infer(images)), part, path)


def _write_model(path: Path, trainer: Trainer, history: History, job: Job) -> str | None:
    wanted = job.config.tracking.save_model
    if wanted == "none" or not job.measured:
        return None
    whole = path.with_name("writing.keras")
    if wanted == "best" and history.best_weights is not None:
        last = trainer.model.get_weights()
        trainer.model.set_weights(history.best_weights)
        trainer.save(whole)
        trainer.model.set_weights(last)
    else:
        trainer.save(whole)
    os.replace(whole, path)
    return str(path)
