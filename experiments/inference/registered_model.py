"""`ilsvrc register`: a run's network in MLflow's model registry, for Keras and for serving.

Two registered models: NAME is the network with its signature, pixels to logits, for
`mlflow.keras.load_model`; NAME-served takes pictures and gives labels, for `mlflow models serve`.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.config import settings
from experiments.errors import BadInput, FailedWork, first_line, shown
from experiments.inference import served_model
from experiments.inference.class_names import class_names, titles
from experiments.inference.loading import Network, load
from experiments.jobs.dataset import PHOTOGRAPH_CROP
from experiments.presentation.console import say
from experiments.tracking.database import absolute
from experiments.tracking.tracked_run import NETWORK, RUN_ID

SERVED = "-served"
ROOMS = ("models", "pipelines", "experiments")
"""Packages that travel with what is served."""
PACKAGES = ("mlflow", "tensorflow", "keras", "numpy", "pandas", "pillow")
"""What these need to serve; the versions at work here are pinned."""
EXPECTED = ("expected_top1", "expected_top1_low", "expected_top1_high")
"""Of a final network, which was never tested: what its card says."""
PORT = 5001
COLUMN = f'"dataframe_split": {{"columns": ["{served_model.IMAGE}"], "data": [["'
REQUEST = (
    f"(printf '%s' '{{\"params\": {{\"top\": 3}}, {COLUMN}'; "
    "base64 < photo.jpg | tr -d '\\n'; printf '\"]]}}') | curl -s -H "
    f"'Content-Type: application/json' --data-binary @- http://127.0.0.1:{PORT}/invocations"
)
"""For a shell; a photograph would be too long for an argument."""
NAMES = re.compile(r"[^/:.%\"']+")


def register(run_id: str, name: str, uri: str, names_file: str | None = None) -> dict[str, Any]:
    """Log the network of a run twice, and register both.

    Args:
        run_id: a run that kept its model.
        name: of the registered model; a further registration is its next version.
        uri: tracking store, of the run and of the registry.
        names_file: of the labels that are served, as `evaluate.class_names`; None: the run's own.

    Returns:
        {"run_id", "store", "keras": {"name", "version", "uri"}, "served": the same}, and of a final
        network "card", which is the description of both versions

    Raises:
        BadInput: no such run, one without a model or of a reconstruction, a bad name, or a file of
            labels that does not fit.
        FailedWork: the store has no registry, or did not take it.
    """
    from mlflow.exceptions import MlflowException

    if not NAMES.fullmatch(name):
        raise BadInput(f"NAME: expected none of / : . % and quotes in it. Received: {name!r}")
    if not RUN_ID.fullmatch(run_id):
        raise BadInput(f"RUN_ID: expected 32 hex digits, or the first eight. Received: {run_id}")
    [network] = load([run_id], settings.parse({"tracking": {"uri": uri}}))
    assert network.run is not None
    config = network.run.config
    if names_file is not None:
        evaluate = config.evaluate.model_copy(update={"class_names": names_file})
        config = config.model_copy(update={"evaluate": evaluate})
    labels = class_names(network, config, say)
    readable = titles(labels, names_file, network.titles)
    try:
        with _store(uri):
            return {
                "run_id": network.run.id,
                "store": shown(uri),
                "keras": _log_keras(network, name),
                "served": _log_served(network, name + SERVED, labels, readable),
                **({"card": network.run.card} if network.run.card else {}),
            }
    except (MlflowException, OSError) as error:
        raise FailedWork(f"{shown(uri)} did not take the model: {first_line(error)}") from None


def text(done: dict[str, Any]) -> str:
    """The result for people: what was made, and how to use it."""
    keras, served = done["keras"], done["served"]
    return "\n".join(
        [
            f"with MLFLOW_TRACKING_URI={done['store']}:",
            f"{keras['name']} version {keras['version']}: pixels to logits, in Python:",
            f"  import mlflow, models.layers; mlflow.keras.load_model({keras['uri']!r})",
            f"{served['name']} version {served['version']}: pictures to labels, as a server:",
            f"  mlflow models serve -m {served['uri']} --env-manager local --port {PORT}",
            "and a request to it (params are optional; top is how many labels):",
            f"  {REQUEST}",
            *([f"described as: {done['card']}"] if "card" in done else []),
        ]
    )


def requirements() -> list[str]:
    """The versions at work here, so that nothing has to be inferred by loading the model."""
    return [f"{package}=={metadata.version(package)}" for package in PACKAGES]


def _log_keras(network: Network, name: str) -> dict[str, Any]:
    import mlflow.keras
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    before, after = network.model.input_shape, network.model.output_shape
    pixels = TensorSpec(np.dtype("float32"), (-1, *before[1:]), "pixels")
    logits = TensorSpec(np.dtype("float32"), (-1, *after[1:]), "logits")
    # no input example: mlflow.keras 3.17 writes it into a folder that is not there yet
    return _log(
        network,
        name,
        mlflow.keras,
        model=network.model,
        signature=ModelSignature(Schema([pixels]), Schema([logits])),
    )


def _log_served(
    network: Network, name: str, labels: Sequence[str], readable: Mapping[str, str]
) -> dict[str, Any]:
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    assert network.run is not None
    columns = [
        ColSpec(DataType.string, "label"),
        ColSpec(DataType.double, "probability"),
        ColSpec(Array(DataType.string), "labels"),
        ColSpec(Array(DataType.double), "probabilities"),
        *([ColSpec(DataType.string, "title")] if readable else []),
    ]
    signature = ModelSignature(
        Schema([ColSpec(DataType.binary, served_model.IMAGE)]),
        Schema(columns),
        ParamSchema([ParamSpec("top", DataType.integer, served_model.TOP)]),
    )
    with (
        tempfile.TemporaryDirectory(prefix="ilsvrc-register-") as folder,
        network.run.fetched(NETWORK) as path,
    ):
        served_model.write(
            Path(folder) / "served",
            path,
            labels,
            crop_fraction=network.crop_fraction or PHOTOGRAPH_CROP,
            gives_probabilities=network.gives_probabilities,
            max_pixels=network.run.config.data.max_pixels,
            titles=readable,
        )
        return _log(
            network,
            name,
            mlflow.pyfunc,
            loader_module=served_model.__name__,
            data_path=str(Path(folder) / "served"),
            code_paths=[str(_folder(room)) for room in ROOMS],
            signature=signature,
        )


def _log(network: Network, name: str, flavor: Any, **given: Any) -> dict[str, Any]:
    import mlflow
    from mlflow.models import Model

    run = network.run
    assert run is not None
    tags = {"architecture": run.config.model.name, "run_name": run.name}
    for score in ("val_top1", "test_top1", *EXPECTED):
        if score in run.metrics:
            tags[score] = f"{run.metrics[score]:.4f}"
    client = mlflow.MlflowClient()
    # made beforehand: MLflow itself would put it into the experiment "Default"
    logged = client.create_logged_model(
        run.info.experiment_id, name, source_run_id=run.id, tags=tags
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example was not provided.*")
        done = Model.log(
            artifact_path=None,
            name=name,
            flavor=flavor,
            run_id=run.id,
            model_id=logged.model_id,
            registered_model_name=name,
            pip_requirements=requirements(),
            tags=tags,
            **given,
        )
    version = int(done.registered_model_version)
    if run.card:
        client.update_model_version(name, str(version), description=run.card)
    return {"name": name, "version": version, "uri": f"models:/{name}/{version}"}


def _folder(room: str) -> Path:
    return Path(str(importlib.import_module(room).__file__)).parent


@contextlib.contextmanager
def _store(uri: str) -> Iterator[None]:
    """MLflow's functions for models know one store only, the process's own: this one, meanwhile."""
    import logging

    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(absolute(uri))
    level = logging.getLogger("mlflow").level
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger("mlflow").setLevel(level)
        mlflow.set_tracking_uri(None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
