"""What a config leaves open is settled once: sizes, channels, presets, class weights, splits."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from experiments.config import settings
from experiments.errors import BadInput
from experiments.jobs.dataset import class_weights
from experiments.jobs.plan import prepare


def plan(*words):
    return prepare(settings.parse(settings.override({}, words)))


def folder(tmp_path, sizes, classes=("a", "b")):
    rng = np.random.default_rng(0)
    for name in classes:
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(8):
            height, width = sizes[i % len(sizes)]
            pixels = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    return f"data.source=folder:{tmp_path / 'set'}"


def test_digits_are_enlarged_to_what_the_networks_take():
    planned = plan()
    assert planned.input_shape == (32, 32, 1)
    assert planned.config.data.image_size == (32, 32)
    assert planned.config.data.crop_fraction == 1.0


def test_images_of_one_size_keep_it_for_every_network(tmp_path):
    source = folder(tmp_path, [(40, 48)])
    for name in ("lenet5", "resnet20_cifar"):
        assert plan(source, f"model.name={name}").input_shape == (40, 48, 3)


def test_photographs_take_the_networks_own_size_and_the_centre_crop(tmp_path):
    source = folder(tmp_path, [(60, 48), (50, 70)])
    planned = plan(source, "model.name=resnet20_cifar")
    assert planned.input_shape == (32, 32, 3)
    assert planned.config.data.crop_fraction == 0.875


def test_presets_are_spelt_out_in_the_resolved_config(tmp_path):
    config = plan(folder(tmp_path, [(40, 40)]), "augment.preset=alexnet").config
    assert config.augment.preset is None
    assert [step.op for step in config.augment.steps] == [
        "scale_and_crop", "horizontal_flip", "pca_jitter",
    ]  # fmt: skip


def test_hold_out_parts_are_stratified_and_only_their_seed_moves_them():
    one, same, other = plan(), plan("seed=9"), plan("validation.seed=9")
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one.split, part), getattr(same.split, part))
    assert set(one.split.test) != set(other.split.test)
    counts = np.bincount(one.source.labels[one.split.test])
    assert counts.max() - counts.min() <= 2


def test_a_train_fraction_leaves_validation_and_test_alone():
    whole, half = plan(), plan("data.train_fraction=0.5")
    np.testing.assert_array_equal(whole.split.test, half.split.test)
    np.testing.assert_array_equal(whole.split.validation, half.split.validation)
    assert set(half.split.train) < set(whole.split.train)
    assert len(half.split.train) == pytest.approx(len(whole.split.train) / 2, abs=10)


def test_balanced_class_weights_give_each_class_the_same_say():
    planned = plan("train.class_weights=balanced")
    train = planned.split.train[np.r_[0:50, 200:700]]
    weights = class_weights(planned.config, planned.source, train)
    counts = np.bincount(planned.source.labels[train], minlength=10)
    assert weights * counts == pytest.approx(np.full(10, len(train) / 10), rel=1e-5)


def test_given_class_weights_are_scaled_to_mean_one_over_images():
    planned = plan("train.class_weights={'3': 5.0}")
    train = planned.split.train
    weights = class_weights(planned.config, planned.source, train)
    assert weights[3] / weights[0] == pytest.approx(5)
    assert weights[planned.source.labels[train]].mean() == pytest.approx(1, rel=1e-5)


def test_no_class_weights_is_none():
    planned = plan()
    assert class_weights(planned.config, planned.source, planned.split.train) is None


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("data.image_size=15", "lenet5 takes images of 16x16 or larger. Received: 15x15"),
        ("model.name=lenet", "lenet5"),
        ("data.source=synthetic:classes=3,sise=8", "size"),
    ],
)
def test_bad_plans_name_key_and_fix(word, said):
    with pytest.raises(BadInput) as caught:
        plan(word)
    assert said in str(caught.value)


WAITING = [
    ("train.early_stopping={}", "train.early_stopping needs validation images"),
    ("train.schedule.name=plateau", "train.schedule.name plateau needs validation images"),
]


@pytest.mark.parametrize(("word", "says"), WAITING)
def test_whether_there_are_validation_images_is_asked_of_the_split(tmp_path, word, says):
    """A folder brings its own, and then the fractions say nothing."""
    folder(tmp_path, [(40, 40)], ("train/a", "train/b", "val/a", "val/b"))
    words = [f"data.source=folder:{tmp_path / 'set'}", "validation.validation_fraction=0", word]
    planned = plan(*words)
    assert len(planned.split.validation) == 16
    wide = plan(*words, "validation.validation_fraction=0.9", "validation.test_fraction=0.25")
    assert np.array_equal(wide.split.validation, planned.split.validation)
    with pytest.raises(BadInput, match=rf"^{says}, and the source brings none; set validation"):
        plan(word, "validation.validation_fraction=0")


def test_parts_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(BadInput, match=r"^validation: .* their sum must be below 1"):
        plan("validation.validation_fraction=0.6", "validation.test_fraction=0.5")
