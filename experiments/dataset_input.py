"""What a run was trained on, as MLflow's pages list it: name, digest, source and split."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from experiments.jobs import Job

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

DIGEST, NAME = 36, 500  # characters that MLflow takes


def record(job: Job, fingerprint: str) -> DatasetInput:
    """The input of a run, made by hand.

    MLflow's own `from_tensorflow` reads every image to digest it, and never ends on a dataset that
    repeats; the source's fingerprint is the digest here.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    data = job.config.data
    kind, location = _source(data.source)
    images = {
        name: 0 if indices is None else len(indices)
        for name, indices in (("train", job.train), ("val", job.validation), ("test", job.test))
    }
    split = {"train_fraction": data.train_fraction}
    split |= job.config.validation.model_dump(
        mode="json", include={"validation_fraction", "test_fraction", "seed"}
    )
    profile = {"num_rows": sum(images.values()), "images": images, "split": split}
    dataset = Dataset(
        name=_name(data.source)[:NAME],
        digest=fingerprint[:DIGEST],
        source_type=kind,
        source=json.dumps(location),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, "training")])


def _source(spec: str) -> tuple[str, dict[str, object]]:
    """Type and content of one of MLflow's own sources, which `mlflow.data.get_source` reads."""
    _, _, place = spec.partition(":")
    if place and ("/" in place or "\\" in place):
        return "local", {"uri": place}
    return "code", {"tags": {"ilsvrc.source": spec}}


def _name(spec: str) -> str:
    """digits; folder:DIR without the folders above it; characters that a search can quote."""
    kind, _, place = spec.partition(":")
    own = PurePath(place).name if "/" in place else place
    return re.sub(r"[\"'`]", "", f"{kind}:{own}" if own else kind)
