"""Predictions read back from files and runs, and refused where images do not match."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.errors import BadInput
from experiments.jobs.predictions import (
    Evaluation,
    epoch_column,
    paired,
    read,
    write_predictions,
)

INDEX = {"val": np.array([7, 3, 5]), "test": np.array([10, 2, 4, 8])}


def write(path, seed=1, index=INDEX, labels=None, classes=6, extra=None):
    """A predictions file as a run leaves it."""
    drawn, kept = np.random.default_rng(seed), []
    for part, images in index.items():
        probabilities = drawn.dirichlet(np.ones(classes), len(images)).astype(np.float32)
        columns = {
            "label": images % classes if labels is None else labels[part],
            "predicted": probabilities.argmax(1),
            "probabilities": probabilities,
        }
        columns |= dict.fromkeys(extra or (), probabilities[:, ::-1])
        kept.append((part, images, Evaluation({}, 0.0, columns)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_predictions(path, kept)
    return path


def test_a_file_is_read_back_in_the_order_of_its_images(tmp_path):
    path = write(tmp_path / "p.parquet")
    table = pq.read_table(path).to_pylist()

    found = read(path)

    assert set(found.parts) == {"val", "test"}
    test = found.parts["test"]
    assert test.index.tolist() == [2, 4, 8, 10]
    assert test.labels.tolist() == [2, 4, 2, 4]
    rows = {row["index"]: row["probabilities"] for row in table if row["part"] == "test"}
    for position, image in enumerate(test.index):
        np.testing.assert_array_equal(test.probabilities[position], np.float32(rows[image]))
    assert test.probabilities.dtype == np.float32
    assert found.fingerprint is None
    assert found.name == str(path)


def test_an_earlier_epoch_has_a_column_of_its_own(tmp_path):
    path = write(tmp_path / "p.parquet", extra=[epoch_column(4)])
    last, earlier = read(path), read(path, column=epoch_column(4))
    np.testing.assert_array_equal(
        earlier.parts["val"].probabilities, last.parts["val"].probabilities[:, ::-1]
    )
    with pytest.raises(BadInput, match=r"no column probabilities_epoch_3.*Columns: part, index"):
        read(path, column=epoch_column(3))


def test_networks_are_paired_image_by_image(tmp_path):
    other = {part: images[::-1] for part, images in INDEX.items()}  # the same, in another order
    one, two = read(write(tmp_path / "1")), read(write(tmp_path / "2", seed=2, index=other))

    index, labels, probabilities = paired([one, two], "val")

    assert index.tolist() == [3, 5, 7]
    assert labels.tolist() == [3, 5, 1]
    assert len(probabilities) == 2
    np.testing.assert_array_equal(probabilities[1], two.parts["val"].probabilities)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"index": {"test": np.array([10, 2, 4, 9])}}, r"two: .*not those of one \(3 of 4 and 4"),
        ({"index": {"val": np.array([1])}}, "two: has no test predictions. Parts: val"),
        ({"labels": {"test": np.zeros(4, int)}, "index": {"test": INDEX["test"]}}, "its labels"),
        ({"classes": 12, "labels": {p: i % 6 for p, i in INDEX.items()}}, "12 classes, 6 in one"),
    ],
    ids=["images", "part", "labels", "classes"],
)
def test_networks_that_saw_other_images_are_refused_in_a_line(tmp_path, changed, says):
    one = read(write(tmp_path / "1"), name="one")
    two = read(write(tmp_path / "2", **changed), name="two")
    with pytest.raises(BadInput, match=says) as refused:
        paired([one, two], "test")
    assert "\n" not in str(refused.value)


def test_another_source_is_refused_and_an_unknown_one_is_not(tmp_path):
    path = write(tmp_path / "p")
    one, two = read(path, name="one", fingerprint="aa"), read(path, name="two", fingerprint="bb")
    with pytest.raises(BadInput, match=r"two: predictions of other data \(source bb\) than one"):
        paired([one, two], "test")
    assert len(paired([one, read(path)], "test")[2]) == 2


def test_what_is_no_predictions_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"gone\.parquet: no such file"):
        read(tmp_path / "gone.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("index,label")
    with pytest.raises(BadInput, match="cannot be read as predictions"):
        read(text)
    with pytest.raises(BadInput, match="cannot be read as predictions"):
        read(tmp_path)
    errors = tmp_path / "mse.parquet"
    pq.write_table(pa.table({"part": ["val"], "index": [1], "label": [0], "mse": [0.5]}), errors)
    with pytest.raises(BadInput, match="no column probabilities; a reconstruction"):
        read(errors)
    with pytest.raises(BadInput, match="names an image twice"):
        read(write(tmp_path / "twice", index={"val": np.array([1, 1])}))
