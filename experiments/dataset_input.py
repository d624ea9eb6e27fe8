"""What a run was trained on, as MLflow's pages list it: name, digest, source and split."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from experiments.jobs import Job

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

DIGEST, NAME = 36, 500  # characters that MLflow takes
SPLIT = 8  # of them, that tell splits of one source apart


def record(job: Job, fingerprint: str) -> DatasetInput:
    """The input of a run, made by hand.

    MLflow's own `from_tensorflow` reads every image to digest it, and never ends on a dataset that
    repeats; the source's fingerprint begins the digest here, and the split ends it: of one name and
    digest MLflow keeps the first profile for all runs of an experiment.
    """
    data = job.config.data
    images = {
        name: 0 if indices is None else len(indices)
        for name, indices in (("train", job.train), ("val", job.validation), ("test", job.test))
    }
    split = {"train_fraction": data.train_fraction}
    split |= job.config.validation.model_dump(
        mode="json", include={"validation_fraction", "test_fraction", "seed"}
    )
    profile = {"num_rows": sum(images.values()), "images": images, "split": split}
    own = hashlib.sha256(json.dumps(profile, sort_keys=True).encode()).hexdigest()[:SPLIT]
    return _input(data.source, f"{fingerprint[: DIGEST - SPLIT - 1]}-{own}", profile)


def whole(spec: str, fingerprint: str, images: int) -> DatasetInput:
    """The input of a command's own run: a source before it is split, which its runs tell of."""
    return _input(spec, fingerprint[:DIGEST], {"num_rows": images})


def _input(spec: str, digest: str, profile: Mapping[str, Any]) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    kind, location = _source(spec)
    dataset = Dataset(
        name=_name(spec)[:NAME],
        digest=digest,
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
