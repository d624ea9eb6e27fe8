"""Run one Job: data, statistics, training, evaluation, cost. Called inside a worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from experiments import measure
from experiments.config import Config
from experiments.errors import FailedWork
from experiments.jobs import Job, Outcome, seed_for
from experiments.plan import class_weights, open_source
from experiments.quiet import load_tensorflow
from experiments.scores import accuracies, softmax

_source: tuple[Any, Any] = (None, None)
_trainer: tuple[Any, Any] = (None, None)


def prepare_process(threads: int, deterministic: bool) -> None:
    """Settle what TensorFlow fixes at its first use: threads and determinism."""
    load_tensorflow()
    import tensorflow as tf

    if threads and tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            raise FailedWork(
                "train.threads cannot change once TensorFlow has started in this process; "
                "use launch.executor=processes"
            ) from None
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def run(job: Job, emit: Any) -> Outcome:
    """Train and evaluate one job.

    Args:
        job: what to fit.
        emit: called with {"kind": "progress" | "epoch" | "note", ...} as it goes.

    Raises:
        Exception: whatever went wrong; the executor turns it into a failed Outcome.
    """
    config = job.config
    prepare_process(config.train.threads, config.train.deterministic)
    import pipelines.build

    memory = measure.PeakMemory().start()
    source = _open(config)
    size, crop_fraction = view(config)
    statistics = pipelines.statistics.fit(source, job.train, size=size, crop_fraction=crop_fraction)
    trainer = _compiled(job, source)
    initial = Path(job.directory) / "initial.keras"
    copied = trainer.reset(
        seed_for(config.seed, "weights"),
        mean=statistics.mean,
        scale=_scale(config, statistics),
        weights_from=initial if config.train.initialize_from else None,
    )
    if copied:
        emit({"kind": "note", "text": f"{copied} layers copied from the initial network"})

    def evaluation(indices: np.ndarray) -> Any:
        return pipelines.build.evaluation_dataset(
            source,
            indices,
            size=size,
            batch_size=config.data.eval_batch_size,
            crop_fraction=crop_fraction,
        )

    def validate() -> dict[str, float]:
        logits, labels = trainer.logits(held_out)
        loss = trainer.mean_loss(logits, labels)
        return {"val_loss": loss, **accuracies(logits, labels, "val")}

    held_out = evaluation(job.validation) if job.validation is not None else None
    history = trainer.fit(
        lambda: _training(job, source, statistics),
        config,
        steps_per_epoch=-(-len(job.train) // config.data.batch_size),
        validate=validate if held_out is not None else None,
        emit=emit,
    )

    scores = {}
    if history.epochs:
        reached = history.best_epoch if config.train.early_stopping else len(history.epochs)
        scores["train_loss"] = history.epochs[(reached or 1) - 1]["train_loss"]
    kept = []
    for part, indices in (("train", job.train), ("val", job.validation), ("test", job.test)):
        if indices is None:
            continue
        dataset = held_out if part == "val" else evaluation(indices)
        logits, labels = trainer.logits(dataset)
        if not np.isfinite(logits).all():
            raise FailedWork(f"the network gives scores that are not finite on the {part} images")
        scores |= accuracies(logits, labels, part)
        if part == "val":
            scores["val_loss"] = trainer.mean_loss(logits, labels)
        if part != "train":
            kept.append((part, indices, labels, softmax(logits)))

    cost = _network_cost(trainer)
    cost |= measure.training_speed(len(job.train), history.seconds)
    cost["peak_memory_bytes"] = memory.bytes()
    cost |= measure.inference(
        trainer.infer,
        trainer.model.input_shape[1:],
        config.data.eval_batch_size,
        latency_calls=config.bench.latency_calls,
        throughput_batches=config.bench.throughput_batches,
    )
    artifacts: dict[str, Any] = {"statistics.json": statistics.to_dict()}
    if source.corrupt:
        artifacts["corrupt_images.json"] = source.corrupt
    directory = Path(job.directory)
    directory.mkdir(parents=True, exist_ok=True)
    return Outcome(
        path=job.path,
        status="finished",
        scores=scores,
        history=history.epochs,
        cost=cost,
        predictions=_write_predictions(directory / "predictions.parquet", kept),
        model=_write_model(directory / "model.keras", trainer, history, config),
        tags={
            "device": measure.device(config.train.threads),
            "augment": pipelines.recipes.render(_steps(config)),
            "epochs_trained": str(len(history.epochs)),
            "stopped_early": str(history.stopped_early).lower(),
            "corrupt_images": str(len(source.corrupt)),
        },
        artifacts=artifacts,
    )


def _scale(config: Config, statistics: Any) -> np.ndarray:
    """What each channel is divided by after the mean is subtracted."""
    if config.data.normalise == "mean":
        return np.ones_like(statistics.mean)
    return np.maximum(statistics.std, 1.0)  # a channel that never changes is left as it is


def view(config: Config) -> tuple[tuple[int, int], float]:
    """Size [height, width] and crop fraction of a resolved config."""
    size, crop_fraction = config.data.image_size, config.data.crop_fraction
    if not isinstance(size, tuple) or crop_fraction is None:
        raise FailedWork("the config of a job must be resolved first (experiments.plan.prepare)")
    return size, crop_fraction


def _open(config: Config) -> Any:
    """The source, kept for the next job: one decode serves all of a sweep's runs."""
    global _source
    key = config.data.model_dump_json(
        include={"source", "on_corrupt", "max_corrupt_fraction", "channels"}
    )
    if _source[0] != key:
        _source = (key, open_source(config.data))
    return _source[1]


def _compiled(job: Job, source: Any) -> Any:
    """The Trainer of this graph, kept for the next job."""
    global _trainer
    if _trainer[0] != job.graph_key:
        from experiments.trainer import Trainer

        _trainer = (None, None)  # let go of the old network before the new one is built
        height, width = view(job.config)[0]
        shape = (height, width, source.image_shape[2])
        _trainer = (job.graph_key, Trainer(job.config, shape, len(source.class_names)))
    return _trainer[1]


def _training(job: Job, source: Any, statistics: Any) -> Any:
    import pipelines.build

    config = job.config
    size, crop_fraction = view(config)
    dataset = pipelines.build.training_dataset(
        source,
        job.train,
        size=size,
        steps=_steps(config),
        statistics=statistics,
        batch_size=config.data.batch_size,
        seed=seed_for(config.seed, "data"),
        epochs=config.train.epochs,
        crop_fraction=crop_fraction,
    )
    weights = class_weights(config, source, job.train)
    if weights is None:
        return dataset
    import tensorflow as tf

    table = tf.constant(weights)
    return dataset.map(lambda images, labels: (images, labels, tf.gather(table, labels)))


def _steps(config: Config) -> tuple[dict[str, Any], ...]:
    return tuple(step.model_dump() for step in config.augment.steps or ())


def _network_cost(trainer: Any) -> dict[str, float]:
    import models

    profile = models.profile(trainer.network)
    return {
        "params": profile.params,
        "macs": profile.macs,
        "activation_bytes": profile.activation_bytes,
    }


def _write_predictions(path: Path, parts: list[tuple[str, Any, Any, np.ndarray]]) -> str | None:
    """Columns: part, index (into the source), label, predicted, probabilities."""
    if not parts:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for part, indices, labels, probabilities in parts:
        flat = pa.array(probabilities.ravel())
        tables.append(
            pa.table(
                {
                    "part": pa.array([part] * len(labels)),
                    "index": pa.array(np.asarray(indices, np.int64)),
                    "label": pa.array(np.asarray(labels, np.int32)),
                    "predicted": pa.array(probabilities.argmax(axis=1).astype(np.int32)),
                    "probabilities": pa.FixedSizeListArray.from_arrays(
                        flat, probabilities.shape[1]
                    ),
                }
            )
        )
    whole = path.with_suffix(".writing")
    pq.write_table(pa.concat_tables(tables), whole)
    os.replace(whole, path)
    return str(path)


def _write_model(path: Path, trainer: Any, history: Any, config: Config) -> str | None:
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
