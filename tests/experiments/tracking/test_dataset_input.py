"""What a run says it was trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.config import settings
from experiments.jobs.job import Job
from experiments.tracking import provenance


def record(source, fingerprint="0123456789abcdef" * 4, validation=None):
    data, parts = {"source": source, "train_fraction": 0.5}, {"test_fraction": 0.2}  # settled
    config = settings.parse({"data": data, "validation": parts})
    job = Job(("run",), config, np.arange(7), validation, np.arange(2), "key", "folder")
    return provenance.record(job, fingerprint)


@pytest.mark.parametrize(
    ("source", "name", "kind", "place"),
    [
        ("digits", "digits", "code", {"tags": {"ilsvrc.source": "digits"}}),
        ("folder:/data/my pets", "folder:my pets", "local", {"uri": "/data/my pets"}),
        ("csv:/data/a.csv,folder=../x/y", "csv:a.csv", "local", {"uri": "/data/a.csv"}),
        ("tfds:cifar10", "tfds:cifar10", "code", {"tags": {"ilsvrc.source": "tfds:cifar10"}}),
        ("prepared:../x/it's", "prepared:its", "local", {"uri": "../x/it's"}),
    ],
)
def test_it_names_the_source_as_mlflow_reads_it(source, name, kind, place):
    import mlflow.data

    made = record(source).dataset
    assert (made.name, made.source_type, json.loads(made.source)) == (name, kind, place)
    assert mlflow.data.get_source(record(source)).to_dict() == place


def test_it_holds_fingerprint_counts_and_split():
    made = record("digits", validation=np.arange(3))
    assert made.dataset.digest.startswith(("0123456789abcdef" * 4)[:27] + "-")
    assert len(made.dataset.digest) == 36
    other = record("digits", validation=np.arange(4)).dataset
    assert other.digest != made.dataset.digest, "MLflow would keep one profile for both"
    profile = json.loads(made.dataset.profile)
    assert profile["images"] == {"train": 7, "val": 3, "test": 2}
    assert profile["num_rows"] == 12
    assert profile["split"] == {
        "train_fraction": 0.5, "validation_fraction": 0.2, "test_fraction": 0.2, "seed": 1
    }  # fmt: skip
    assert json.loads(record("digits").dataset.profile)["images"]["val"] == 0
    assert [(tag.key, tag.value) for tag in made.tags] == [("mlflow.data.context", "training")]
