"""Recipes as data: every op through the whole pipeline, order, one line of text, the config."""

from __future__ import annotations

import inspect
import json
import pickle
from typing import Any

import numpy as np
import pytest

from experiments.config import settings
from experiments.config.augment import STEPS, Augment
from pipelines import build, statistics
from pipelines.augment import recipes
from pipelines.augment.ops import OPS
from pipelines.augment.recipes import Recipe
from pipelines.sources.array_source import ArraySource

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3)).astype(np.uint8)
SOURCE = ArraySource(PIXELS, np.arange(40) % 4, list("abcd"))
SETTINGS: dict[str, dict[str, Any]] = {"scale_and_crop": {"short_side": [20, 30]}}


def images(steps: Any, **changes: Any) -> np.ndarray:
    given = {"batch_size": 8, "epochs": 1} | changes
    recipe = Recipe((16, 16), steps, statistics.fit(SOURCE, range(30)).colours, seed=3)
    data = build.training_dataset(SOURCE, np.arange(40), recipe, **given)
    return np.concatenate([x.numpy() for x, _ in data])


@pytest.mark.parametrize("name", OPS)
def test_every_op_runs_in_the_pipeline_and_does_something(name: str) -> None:
    step = {"op": name} | SETTINGS.get(name, {})
    changed = images((step,))
    assert changed.shape == (40, 16, 16, 3)
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert np.array_equal(changed, images((step,)))
    kept = images(())
    assert np.mean(
        [not np.allclose(a, b, atol=0.5) for a, b in zip(changed, kept, strict=True)]
    ) > (0.3)
    if name != "pca_jitter":
        assert changed.min() >= -1e-3
        assert changed.max() <= 255.001


@pytest.mark.parametrize("name", sorted(name for name, op in OPS.items() if op.on != "batch"))
def test_the_batch_size_changes_no_image(name: str) -> None:
    step = {"op": name} | SETTINGS.get(name, {})
    np.testing.assert_allclose(images((step,)), images((step,), batch_size=5), atol=1e-3)


def test_every_op_has_a_config_that_pickle_finds() -> None:
    assert list(STEPS) == list(OPS)
    for name, section in STEPS.items():
        step = section.model_validate({"op": name})
        assert pickle.loads(pickle.dumps(step)) == step


@pytest.mark.parametrize("name", OPS)
def test_config_and_recipe_have_the_same_settings_and_defaults(name: str) -> None:
    known = inspect.signature(OPS[name].function).parameters
    defaults = {key: p.default for key, p in known.items() if p.default is not p.empty}
    config = STEPS[name].model_validate({"op": name}).model_dump()
    assert config.pop("op") == name
    assert defaults == config
    (checked,) = recipes.check_steps([{"op": name}])
    assert checked == {"op": name} | {k: v for k, v in config.items() if v is not None}


def test_steps_run_in_the_order_written() -> None:
    """A contrast of none makes all grey: what is erased before it is not seen, after it is."""
    flat = {"op": "contrast", "factor": [0.0, 0.0]}
    erase = {"op": "random_erasing", "probability": 1.0, "area": [0.3, 0.3], "fill": "mean"}
    grey_last, grey_first = images((erase, flat)), images((flat, erase))
    assert np.ptp(grey_last, axis=(1, 2, 3)).max() < 1e-3
    assert np.ptp(grey_first, axis=(1, 2, 3)).min() > 0


def test_the_number_of_threads_changes_nothing() -> None:
    others = [{"op": name} for name, op in OPS.items() if not op.crop]
    steps = ({"op": "scale_and_crop", "short_side": [20, 30]}, *others)
    one = images(steps, threads=1)
    for threads in (0, 2, 3):
        np.testing.assert_array_equal(one, images(steps, threads=threads))


def test_ops_of_one_kind_draw_apart() -> None:
    step = {"op": "brightness", "factor": [0.1, 1.0]}
    once, twice = images((step,)), images((step, step))
    plain = images(())
    first = (once / np.maximum(plain, 1)).max(axis=(1, 2, 3))
    second = (twice / np.maximum(once, 1)).max(axis=(1, 2, 3))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.6


@pytest.mark.parametrize("preset", recipes.PRESETS)
def test_presets_are_configs_and_render_to_one_line(preset: str) -> None:
    assert Augment.model_validate({"preset": preset}).preset == preset
    typed = Augment.model_validate_json(json.dumps({"steps": recipes.PRESETS[preset]}))
    line = recipes.render(typed.as_data())
    assert line == recipes.render(recipes.PRESETS[preset])
    assert "\n" not in line


def test_the_presets_of_the_papers() -> None:
    tail = "horizontal_flip(probability=0.5) | pca_jitter(sigma=0.1)"
    for preset, sides in (("alexnet", "256, 256"), ("vgg", "256, 512"), ("resnet", "256, 480")):
        wanted = f"scale_and_crop(short_side=[{sides}], reference=224) | {tail}"
        assert recipes.render(recipes.PRESETS[preset]) == wanted
    assert list(recipes.PRESETS) == ["none", "cifar", "alexnet", "vgg", "inception", "resnet"]


def test_render_of_new_steps() -> None:
    steps = [
        {"op": "rotate", "degrees": 30.0, "fill": "mean", "probability": 0.25},
        {"op": "hue"},
        {"op": "random_erasing"},
        {"op": "cutmix", "probability": 0.5},
    ]
    assert recipes.render(steps) == (
        "rotate(degrees=30, fill=mean, probability=0.25) | hue(shift=0.2, probability=1) | "
        "random_erasing(area=[0.02, 0.4], ratio=[0.3, 3.33333], fill=random, probability=0.5) | "
        "cutmix(alpha=1, probability=0.5)"
    )


BAD: list[tuple[list[dict[str, Any]], str]] = [
    ([{"op": "rotate", "degrees": 181}], r"step 0, rotate: degrees: expected .* 0\.\.180"),
    ([{"op": "rotate", "fill": "wrap"}], "one of mean, edge, reflect, received 'wrap'"),
    ([{"op": "rotate", "probability": 2.0}], r"probability: expected a number within 0\.\.1"),
    ([{"op": "translate", "fraction": -0.1}], r"fraction: expected a number within 0\.\.1"),
    ([{"op": "stretch", "factor": [1.2, 0.8]}], "factor: expected .low, high. above 0"),
    ([{"op": "shear", "degrees": 90}], "below 90"),
    ([{"op": "lens_distortion", "strength": 0.4}], "below 1/3"),
    ([{"op": "contrast", "factor": [-1.0, 1.0]}], "from 0"),
    ([{"op": "hue", "shift": 0.7}], r"within 0\.\.0\.5"),
    ([{"op": "random_erasing", "fill": "black"}], "one of random, mean"),
    ([{"op": "random_erasing", "area": [0.1, 1.5]}], r"within 0\.\.1"),
    ([{"op": "mixup", "alpha": 0.0}], "alpha: expected a number above 0"),
    ([{"op": "shears"}], "did you mean 'shear'"),
    ([{"op": "rotate", "degree": 3}], "did you mean 'degrees'"),
    ([{"op": "rotate"}, {"op": "random_resized_crop"}], "expected as the first step"),
    ([{"op": "mixup"}, {"op": "horizontal_flip"}], "expected before mixup"),
]


@pytest.mark.parametrize(("steps", "message"), BAD)
def test_bad_steps_are_refused_by_the_recipe(steps: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipes.check_steps(steps)


@pytest.mark.parametrize("steps", [steps for steps, _ in BAD])
def test_bad_steps_are_refused_by_the_config(steps: Any) -> None:
    with pytest.raises(ValueError, match="augment"):
        settings.parse({"augment": {"steps": steps}})


def test_colour_ops_refuse_grey_images_before_anything_is_read() -> None:
    grey = ArraySource(PIXELS[..., :1], np.arange(40) % 4, list("abcd"))
    fitted = statistics.fit(grey, range(30))
    for name in recipes.COLOUR_OPS:
        with pytest.raises(ValueError, match=f"{name}.*remove {name}"):
            build.training_dataset(
                grey, np.arange(40), Recipe((16, 16), ({"op": name},), fitted.colours, seed=3),
                batch_size=8, epochs=1,
            )  # fmt: skip


@pytest.mark.parametrize("steps", [recipes.PRESETS["cifar"], recipes.PRESETS["alexnet"]])
def test_a_step_that_needs_colours_says_so_where_there_are_none(steps: Any) -> None:
    recipe = Recipe((16, 16), steps, None, seed=3)
    with pytest.raises(ValueError, match="needs the colours of the training images"):
        next(iter(build.training_dataset(SOURCE, np.arange(40), recipe, batch_size=8, epochs=1)))
