"""One declaration gives the config, the recipe, the op table and the pixels; all of them stay."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import pipelines
from experiments.config import settings
from experiments.config.identity import config_hash
from pipelines import build
from pipelines.augment import crops, draws, keys
from pipelines.augment.colour import Colours
from pipelines.augment.ops import OPS
from pipelines.augment.recipes import PRESETS, Recipe
from pipelines.sources.array_source import ArraySource

NEGATIVE = '''

@augmentation(keeps_range=True)
def negative(
    level: Annotated[float, Setting("of white", gt=0, le=255)] = 255.0,
    probability: Probability = 1.0,
) -> Op:
    """level - x."""
    return sometimes(lambda image, u: level - image, draws=1, probability=probability)
'''

SCRIPT = """
import json, sys
from experiments.config import settings
from experiments.config.schema import Config
from experiments.errors import BadInput
from pipelines.augment.ops import OPS
from pipelines.augment.recipes import Recipe, render

def parsed(step):
    try:
        return settings.parse({"augment": {"steps": [{"op": "negative"} | step]}}).augment.as_data()
    except BadInput as error:
        return str(error)

answer = {
    "places": list(OPS)[-3:],
    "text": render([{"op": "negative"}]),
    "steps": parsed({}),
    "too much": parsed({"level": 256.0}),
    "unknown": parsed({"levle": 3.0}),
    "schema": Config.model_json_schema()["$defs"]["Negative"]["properties"]["level"],
    "light": "tensorflow" not in sys.modules,
}
import numpy as np
from pipelines import build
from pipelines.sources.array_source import ArraySource
pixels = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
source = ArraySource(pixels, np.arange(4), list("abcd"))
recipe = Recipe((2, 2), parsed({}))
(images, labels), = build.training_dataset(source, range(4), recipe, batch_size=4, epochs=1)
answer["pixels"] = dict(zip(labels.numpy().tolist(), images.numpy()[:, 0, 0, 0].tolist()))
print(json.dumps(answer))
"""


def test_a_new_augmentation_is_one_declaration_in_one_file(tmp_path: Path) -> None:
    root = Path(pipelines.__file__).parents[1]
    for package in ("experiments", "models", "pipelines", "tuning"):
        shutil.copytree(
            root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    with (tmp_path / "pipelines" / "augment" / "colour.py").open("a") as file:
        file.write(NEGATIVE)
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(ran.stdout)
    where = "config: augment.steps.0"
    assert answer["light"]
    assert answer["text"] == "negative(level=255, probability=1)"
    assert answer["steps"] == [{"op": "negative", "level": 255.0, "probability": 1.0}]
    assert answer["too much"].startswith(
        f"{where}.level: input should be less than or equal to 255"
    )
    assert answer["unknown"].startswith(f"{where}.levle: unknown key; did you mean")
    assert answer["schema"] == {
        "default": 255.0, "description": "of white", "exclusiveMinimum": 0, "maximum": 255,
        "title": "Level", "type": "number",
    }  # fmt: skip
    assert answer["pixels"] == {str(i): 255.0 - i for i in range(4)}


def test_a_declaration_says_what_it_needs_of_the_pipeline() -> None:
    of_the_pipeline = {"size", *Colours._fields}
    assert {name for op in OPS.values() for name in op.known} <= of_the_pipeline
    assert OPS["pad_and_crop"].known == ("size", "mean")
    for op in OPS.values():
        assert op.function.__doc__, op.name
        assert set(op.first) <= set(op.settings)


def test_crops_are_those_that_windows_and_sizes_say() -> None:
    assert [name for name, op in OPS.items() if op.crop] == [
        "pad_and_crop",
        "random_resized_crop",
        "scale_and_crop",
    ]
    assert [name for name, op in OPS.items() if op.on == "batch"] == ["mixup", "cutmix"]


STEPS: list[dict[str, Any]] = [
    {"op": "pad_and_crop", "padding": 2},
    {"op": "horizontal_flip"},
    {"op": "vertical_flip"},
    {"op": "right_angles"},
]


def test_what_is_drawn_stays_from_version_to_version() -> None:
    """Pixels that are only moved, so that no rounding is in them."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 6, 6, 3)).astype(np.uint8)
    source = ArraySource(pixels, np.arange(12), [str(i) for i in range(12)])
    colours = Colours(np.array([1.0, 2.0, 3.0]), np.zeros(3), np.eye(3))
    recipe = Recipe((6, 6), STEPS, colours, seed=5)
    digest = hashlib.sha256()
    for images, labels in build.training_dataset(source, range(12), recipe, batch_size=5, epochs=2):
        digest.update(images.numpy().astype(np.uint8).tobytes() + labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == "8462651a31d7166c"


@pytest.mark.parametrize(
    ("window", "drawn"),
    [
        (crops.random_resized_crop(), [[5, 22, 87, 86], [13, 52, 78, 61], [31, 79, 68, 69]]),
        (
            crops.scale_and_crop((32, 32), (256, 480), reference=224),
            [[23, 61, 49, 49], [13, 12, 71, 71], [12, 58, 71, 71]],
        ),
    ],
)
def test_windows_stay_from_version_to_version(window: crops.Window, drawn: Any) -> None:
    keys = tf.constant([[1, 0], [1, 256], [2, 1 << 40]], tf.int64)
    shapes = tf.constant([[100, 150]] * 3)
    assert window(shapes, keys).numpy().tolist() == drawn


def test_hashes_of_configs_with_steps_stay_from_version_to_version() -> None:
    every = [{"op": "random_resized_crop"}, *({"op": n} for n, op in OPS.items() if not op.crop)]
    assert config_hash(settings.parse({"augment": {"steps": every}})) == "395835fdce18"
    preset = {"augment": {"steps": [dict(step) for step in PRESETS["resnet"]]}}
    assert config_hash(settings.parse(preset)) == "b9cec5222527"


def test_keys_of_draws_stay_and_no_two_are_alike() -> None:
    def key(epoch: Any, index: Any, position: int) -> list[Any]:
        numbers = (tf.constant(number, tf.int64) for number in (epoch, index))
        return keys.image_key(5, *numbers, position).numpy().tolist()

    assert key(0, 0, 0) == [5, 0]
    assert key(1, 2, 3) == [5, 1099511628291]
    assert key(7, 1281166, 5) == [5, 7696909372933]
    epochs = [0, 1, 2, 255, 256, 2**keys.EPOCH_BITS - 2]
    indices = [0, 1, 255, 256, 65536, 2**24, 2**keys.INDEX_BITS - 1]
    every = [
        tuple(one)
        for epoch in epochs
        for position in (0, 1, 7, 2**keys.OP_BITS - 1)
        for one in key(epoch, indices, position)
    ]
    assert len(set(every)) == len(every) == 6 * 7 * 4
    orders = [
        keys.epoch_order(tf.range(8, dtype=tf.int64), 5, tf.constant(e, tf.int64)) for e in (0, 1)
    ]
    assert [order.numpy().tolist() for order in orders] == [
        [3, 7, 0, 1, 2, 4, 6, 5],
        [6, 0, 2, 1, 5, 7, 3, 4],
    ]
    assert draws.uniform([2], tf.constant([5, 256], tf.int64)).numpy().tolist() == [
        0.7537318468093872,
        0.9507132768630981,
    ]
