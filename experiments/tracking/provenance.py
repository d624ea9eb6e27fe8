"""Where a result comes from: commit, machine, versions, and what it was trained on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from experiments.jobs.job import Job

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput


def surroundings() -> tuple[dict[str, str], dict[str, str]]:
    """Tags that say where a result comes from (git commit, machine), and package versions."""
    import subprocess
    from importlib import metadata

    def git(*words: str) -> str | None:
        here = Path(__file__).parent
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            # fixed words; git is whichever the user's own PATH has
            done = subprocess.run(  # nosec B603, B607
                ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10
            )
            return done.stdout.strip() if done.returncode == 0 else None
        return None

    commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
    tags = {
        "git_commit": commit or "unknown",
        "git_dirty": "unknown" if changes is None else str(bool(changes)).lower(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    wanted = ("tensorflow", "keras", "numpy", "mlflow", "keras-tuner", "optuna", "ilsvrc-suite")
    versions = {}
    for package in wanted:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return tags, versions


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
    if job.config.validation.fold is not None:
        which = {"folds", "test_folds", "repeats", "fold"}
        split |= job.config.validation.model_dump(mode="json", include=which)
    profile = {"num_rows": sum(images.values()), "images": images, "split": split}
    split_digest = hashlib.sha256(json.dumps(profile, sort_keys=True).encode()).hexdigest()[:SPLIT]
    return _input(data.source, f"{fingerprint[: DIGEST - SPLIT - 1]}-{split_digest}", profile)


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
    _, location = _location(spec)
    if location and ("/" in location or "\\" in location):
        return "local", {"uri": location}
    return "code", {"tags": {"ilsvrc.source": spec}}


def _name(spec: str) -> str:
    """digits; folder:DIR without the folders above it; characters that a search can quote."""
    kind, location = _location(spec)
    shown = PurePath(location).name if "/" in location else location
    return re.sub(r"[\"'`]", "", f"{kind}:{shown}" if shown else kind)


def _location(spec: str) -> tuple[str, str]:
    """The kind of a source and where it is; of a table without its settings."""
    kind, _, location = spec.partition(":")
    return kind, location.partition(",")[0] if kind == "csv" else location
