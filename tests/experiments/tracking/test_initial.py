"""A fit does not begin from a network that was trained on its validation or test images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from blank_store import blank_store

from experiments.config import settings
from experiments.errors import BadInput
from experiments.jobs.plan import prepare
from experiments.runs.train import train
from experiments.search.run import run as search

BASE = {
    "data": {"source": "digits", "image_size": 8, "train_fraction": 0.5},
    "model": {"name": "mlp", "options": {"hidden": [6]}},
    "train": {"epochs": 1},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
    "launch": {"executor": "inline"},
}
OTHER_SPLIT = "validation.seed=7"


def config(folder, name, *words):
    document = BASE | {"name": name, "tracking": {"uri": blank_store(folder)}}
    return settings.parse(settings.override(document, words))


@pytest.fixture(scope="module")
def donor(tmp_path_factory):
    """A run, and the folder of its store; its journal is where the module began."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        donors = {
            name: train(config(folder, name, *words), quiet=True)
            for name, words in {"donor": [], "other": [OTHER_SPLIT]}.items()
        }
    return folder, {name: row["run_id"] for name, row in donors.items()}


def trained(donor, name, *words):
    folder, runs = donor
    return train(config(folder, name, f"train.initialize_from={runs['donor']}", *words), quiet=True)


def test_a_network_of_the_same_split_goes_on(donor):
    row = trained(donor, "same")
    assert row["status"] == "finished"
    [kept] = (Path(".ilsvrc") / "same").glob("*/*.keras")  # the donor's is its run's
    [artifact] = (donor[0] / "mlruns" / "same").glob(f"{row['run_id']}/artifacts/model.keras")
    assert artifact.samefile(kept)


def test_one_of_another_split_is_refused_with_the_number_of_its_training_images(donor):
    folder, _ = donor
    seen = prepare(config(folder, "donor")).split.train
    split = prepare(config(folder, "x", OTHER_SPLIT)).split
    counts = {part: np.isin(getattr(split, part), seen).sum() for part in ("test", "validation")}
    assert min(counts.values()) > 50  # about half of 359 and of 359
    said = (
        f"trained on {counts['test']} of the {len(split.test)} test images and "
        f"{counts['validation']} of the {len(split.validation)} validation images"
    )
    with pytest.raises(BadInput, match=re.escape(said)):
        trained(donor, "refused", OTHER_SPLIT)
    row = trained(donor, "allowed", OTHER_SPLIT, "train.allow_overlap=true")
    assert row["status"] == "finished"


def test_what_the_donor_itself_began_from_counts_too(donor):
    folder, runs = donor
    words = [f"train.initialize_from={runs['donor']}", OTHER_SPLIT, "train.allow_overlap=true"]
    child = train(config(folder, "child", *words), quiet=True)["run_id"]
    with pytest.raises(BadInput, match=f"run {child} was trained on"):
        train(config(folder, "grandchild", OTHER_SPLIT, f"train.initialize_from={child}"))


def test_the_journal_beside_a_file_tells_the_same(donor):
    folder, _ = donor
    [file] = (folder / ".ilsvrc" / "donor").glob("*/model.keras")
    word = f"train.initialize_from={file}"
    assert train(config(folder, "file", word), quiet=True)["status"] == "finished"
    with pytest.raises(BadInput, match=r"model\.keras was trained on \d+ of the \d+ test images"):
        train(config(folder, "file", word, OTHER_SPLIT), quiet=True)
    alone = folder / "alone.keras"
    alone.write_bytes(file.read_bytes())  # says nothing of its images
    word = f"train.initialize_from={alone}"
    assert train(config(folder, "alone", word, OTHER_SPLIT), quiet=True)["status"] == "finished"


@pytest.mark.parametrize("folds", ["{outer: 2, inner: 2}", "{outer: 3}"])
def test_no_fold_of_nested_cross_validation_begins_from_its_own_test_images(donor, folds):
    folder, runs = donor
    space = "{train.optimizer.learning_rate: {type: choice, values: [0.1, 0.2]}}"
    words = [
        f"train.initialize_from={runs['donor']}",
        f"validation={folds}",
        f"search={{strategy: grid, space: {space}}}",
    ]
    with pytest.raises(BadInput, match=r"was trained on \d+ of the \d+"):
        search("nested", config(folder, "n", *words), "n.yaml")
