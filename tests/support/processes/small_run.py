"""A run of seconds on the backend that KERAS_BACKEND names, and outputs of networks: a script.

    python small_run.py BACKEND FOLDER [NETWORK ...]

FOLDER holds NETWORK.npz, of which NETWORK.npy becomes. Where it holds the first weights of a run,
initial.keras, the run leaves model.keras, predictions.parquet and history.json there.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import models
from experiments.config import settings
from experiments.fitting import fit
from experiments.jobs.plan import prepare

NETWORK = {"normalization": "batch"}
SHAPE, CLASSES = (16, 16, 1), 10
CONFIG: dict[str, Any] = {
    "name": "small",
    "data": {"source": "digits", "image_size": 16, "train_fraction": 0.2, "batch_size": 32},
    "model": {"name": "lenet5", "options": NETWORK},
    "augment": {"steps": [{"op": "pad_and_crop", "padding": 1}]},
    "train": {
        "epochs": 3,
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.05,
            "momentum": 0.9,
            "weight_decay": 1e-3,
            "clip": {"global_norm": 1.0},
            "ema": {"momentum": 0.8},
        },
        "schedule": {"name": "cosine", "warmup_epochs": 0.5},  # another rate at every update
        "initialize_from": "initial.keras",
        "checkpoint": {"every_seconds": 0},
    },
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}


def train(folder: Path) -> None:
    job = prepare(settings.parse(CONFIG)).job(("run",))
    outcome = fit.run(replace(job, directory=str(folder)), lambda event: None)
    (folder / "history.json").write_text(json.dumps(outcome.history))


def outputs(name: str, folder: Path) -> None:
    """What a network gives for the images, with the weights of its file."""
    given = np.load(folder / f"{name}.npz")
    options = json.loads(str(given["options"]))
    model = models.build(name, input_shape=given["images"].shape[1:], classes=3, **options)
    model.set_weights([given[f"weight{i}"] for i in range(len(model.weights))])
    # as one program, or JAX would compile it operation by operation
    model.compile(jit_compile=keras.backend.backend() == "jax")
    np.save(folder / f"{name}.npy", model.predict_on_batch(given["images"]))


if __name__ == "__main__":
    backend, work, *names = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    assert keras.backend.backend() == backend
    for network in names:
        outputs(network, work)
        print(network)
    if (work / "initial.keras").exists():
        train(work)
