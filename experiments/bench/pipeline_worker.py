"""One row of `ilsvrc bench pipeline` in a process of its own, pinned to its cores.

    python -m experiments.bench.pipeline_worker '{"row": ..., "recipes": ..., "files": ..., ...}'

It makes one endless stream of batches for each recipe, takes a pass from each, and says "ready".
For each line on its input, the name of a recipe, it takes so many passes more and prints the
seconds of each as JSON. A stream goes on from pass to pass: what a library spends on starting an
iterator is no part of the figures. Batches made ahead while the process waited are taken before the
clock starts, and it answers only when it has made them again: nothing of it runs while another row
is timed.
All rows make the same batches: size x size x 3, of a window at a random scale and place ("resnet")
or of random area and aspect ("inception"), mirrored half the time, bilinear without antialiasing
(but see PIL), with a colour offset along the principal axes; the mean is part of that offset.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

SHORT_SIDE = (256, 480)  # for 224 pixels
AREA, ASPECT = (0.08, 1.0), (3 / 4, 4 / 3)
SIGMA = 0.1
MEAN = np.array([123.68, 116.779, 103.939], np.float32)
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045], np.float32)
AXES = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]], np.float32
)
Batches = Iterator[Any]
ENDLESS = 10_000  # passes
PREFETCHED = 4  # batches, as `pipelines.threads` has it
MADE_AHEAD = 8  # batches, at most, in any of the rows


def ours(job: dict[str, Any]) -> Batches:
    """pipelines.build, as training runs it."""
    from pipelines import build
    from pipelines.augment import recipes
    from pipelines.augment.colour import Colours
    from pipelines.sources.open import open_source

    source = open_source(job["spec"], memory_limit_bytes=job["memory_limit_bytes"])
    steps = list(recipes.PRESETS[job["recipe"]])
    if steps[-1]["op"] != "pca_jitter":
        steps.append({"op": "pca_jitter", "sigma": SIGMA})
    rows = np.linspace(0, len(source) - 1, min(len(source), job["count"])).astype(np.int64)
    recipe = recipes.Recipe(
        (job["size"], job["size"]),
        steps,
        Colours(MEAN, EIGENVALUES, AXES),
        seed=1,
        transfer=job["dtype"],
        antialias=False,
    )
    data = build.training_dataset(
        source,
        rows,
        recipe,
        batch_size=job["batch_size"],
        epochs=ENDLESS,
        threads=job["threads"],
    )
    return iter(data)


def usual(job: dict[str, Any], keras_layers: bool = False) -> Batches:
    """tf.data as usually written: decode all, tf.image.resize, crop; jitter on the batch."""
    import tensorflow as tf

    size = job["size"]
    low, high = _short_side(size)
    # Keras's own layers where one takes images of any size inside tf.data; its random crops do not.
    if keras_layers:
        from experiments.runtime.startup import load_keras

        load_keras()
        import keras

        resize: Any = keras.layers.Resizing(size, size)
        flip = keras.layers.RandomFlip("horizontal")
        mirror: Any = partial(flip, training=True)
    else:
        resize = partial(tf.image.resize, size=[size, size])
        mirror = tf.image.random_flip_left_right

    def resnet(image: tf.Tensor) -> tf.Tensor:
        shape = tf.cast(tf.shape(image)[:2], tf.float32)
        side = tf.cast(tf.random.uniform([], low, high + 1, tf.int32), tf.float32)
        image = tf.image.resize(
            image, tf.cast(tf.round(shape * side / tf.reduce_min(shape)), tf.int32)
        )
        return tf.image.random_crop(image, [size, size, 3])

    def inception(image: tf.Tensor) -> tf.Tensor:
        begin, part, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(image),
            tf.zeros([1, 0, 4]),
            seed=1,
            area_range=AREA,
            aspect_ratio_range=ASPECT,
            use_image_if_no_bounding_boxes=True,
        )
        image = tf.ensure_shape(tf.slice(image, begin, part), [None, None, 3])
        return resize(image)

    crop = resnet if job["recipe"] == "resnet" else inception

    def load(path: tf.Tensor) -> tf.Tensor:
        return mirror(crop(tf.io.decode_jpeg(tf.io.read_file(path), channels=3)))

    def jitter(batch: tf.Tensor) -> tf.Tensor:
        alpha = tf.random.normal([tf.shape(batch)[0], 3], stddev=SIGMA)
        offset = 255.0 * tf.matmul(alpha * EIGENVALUES, AXES, transpose_b=True) - MEAN
        return batch + offset[:, None, None, :]

    data = tf.data.Dataset.from_tensor_slices(job["files"]).shuffle(len(job["files"])).repeat()
    data = data.map(load, num_parallel_calls=len(job["cores"])).batch(job["batch_size"])
    # As many batches ahead as ours: the tuner's own number may grow past what is taken untimed.
    data = data.map(jitter, num_parallel_calls=len(job["cores"])).prefetch(PREFETCHED)
    return iter(data)


def pil(job: dict[str, Any]) -> Batches:
    """As torchvision does it on PIL images; PIL's bilinear always antialiases."""
    from PIL import Image

    size, rng = job["size"], np.random.default_rng(1)

    def load(path: str) -> np.ndarray:
        image = Image.open(io.BytesIO(Path(path).read_bytes())).convert("RGB")
        if job["recipe"] == "resnet":
            w, h = image.size
            side = int(rng.integers(_short_side(size)[0], _short_side(size)[1] + 1))
            scale = side / min(w, h)
            image = image.resize((max(size, round(w * scale)), max(size, round(h * scale))), 2)
            x, y = (int(rng.integers(0, n - size + 1)) for n in image.size)
            image = image.crop((x, y, x + size, y + size))
        else:
            y, x, h, w = _inception(rng, image.size[1], image.size[0])
            image = image.crop((x, y, x + w, y + h)).resize((size, size), 2)
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image, np.float32) + _offset(rng)

    return _batches(job, load)


def opencv(job: dict[str, Any], simplejpeg: bool = False) -> Batches:
    """Decode all, cut the window out of the stored pixels, resize it."""
    cv2 = import_module("cv2")
    cv2.setNumThreads(1)
    size, rng = job["size"], np.random.default_rng(1)
    turbo = import_module("simplejpeg").decode_jpeg if simplejpeg else None

    def load(path: str) -> np.ndarray:
        data = Path(path).read_bytes()
        if turbo is not None:
            image = turbo(data, "RGB")
        else:
            stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            image = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
        tall, wide = image.shape[:2]
        if job["recipe"] == "resnet":
            side = int(rng.integers(_short_side(size)[0], _short_side(size)[1] + 1))
            h = w = min(tall, wide, round(size * min(tall, wide) / side))
            y, x = int(rng.integers(0, tall - h + 1)), int(rng.integers(0, wide - w + 1))
        else:
            y, x, h, w = _inception(rng, tall, wide)
        part = cv2.resize(image[y : y + h, x : x + w], (size, size), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.5:
            part = cv2.flip(part, 1)
        return part.astype(np.float32) + _offset(rng)

    return _batches(job, load)


def dali(job: dict[str, Any]) -> Batches:
    """NVIDIA DALI's CPU operators, window decoded where the recipe lets it."""
    fn, math, types = (import_module(f"nvidia.dali.{name}") for name in ("fn", "math", "types"))
    pipeline_def = import_module("nvidia.dali").pipeline_def
    size, rng = job["size"], np.random.default_rng(1)
    low, high = _short_side(size)

    @pipeline_def(
        batch_size=job["batch_size"], num_threads=len(job["cores"]), device_id=None, seed=1
    )
    def pipe() -> Any:
        encoded, _ = fn.readers.file(files=job["files"], name="files", random_shuffle=True)
        mirror = fn.random.coin_flip()
        if job["recipe"] == "resnet":
            shape = fn.peek_image_shape(encoded)
            tall, wide = shape[0], shape[1]
            side = math.floor(fn.random.uniform(range=[low, high + 1]))
            window = math.floor(size * math.min(tall, wide) / side + 0.5)
            x, y = (fn.random.uniform(range=[0.0, 1.0]) for _ in range(2))
            image = fn.decoders.image_crop(
                encoded, crop_h=window, crop_w=window, crop_pos_x=x, crop_pos_y=y
            )
        else:
            image = fn.decoders.image_random_crop(
                encoded, random_area=list(AREA), random_aspect_ratio=list(ASPECT), num_attempts=10
            )
        image = fn.resize(
            image, size=[size, size], interp_type=types.INTERP_LINEAR, antialias=False
        )
        offset = fn.external_source(lambda _: _offset(rng), batch=False, dtype=types.FLOAT)
        return fn.crop_mirror_normalize(image, mirror=mirror, output_layout="HWC") + offset

    made = pipe()
    made.build()
    return (made.run() for _ in count())


ROWS: dict[str, Callable[[dict[str, Any]], Batches]] = {
    "ours": ours,
    "tf.data usual": usual,
    "tf.data, Keras layers": lambda job: usual(job, keras_layers=True),
    "PIL as torchvision": pil,
    "OpenCV": opencv,
    "simplejpeg + OpenCV": lambda job: opencv(job, simplejpeg=True),
    "DALI": dali,
}


def _short_side(size: int) -> tuple[int, int]:
    low, high = (round(side * size / 224) for side in SHORT_SIDE)
    return low, high


def _inception(rng: np.random.Generator, tall: int, wide: int) -> tuple[int, int, int, int]:
    for _ in range(10):
        area = rng.uniform(*AREA) * tall * wide
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= wide and 0 < h <= tall:
            return int(rng.integers(0, tall - h + 1)), int(rng.integers(0, wide - w + 1)), h, w
    side = min(tall, wide)
    return (tall - side) // 2, (wide - side) // 2, side, side


def _offset(rng: np.random.Generator) -> np.ndarray:
    alpha = rng.normal(0.0, SIGMA, 3).astype(np.float32)
    return np.float32(255.0) * (AXES @ (alpha * EIGENVALUES)) - MEAN


def _batches(job: dict[str, Any], load: Callable[[str], np.ndarray]) -> Batches:
    files = cycle(job["files"])
    return (np.stack([load(path) for path in islice(files, job["batch_size"])]) for _ in count())


def main() -> None:
    """Run the job of the command line until the input ends."""
    job = json.loads(sys.argv[1])
    job["files"] = Path(job["files"]).read_text(encoding="utf-8").splitlines()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    if job["row"] in ("ours", "tf.data usual", "tf.data, Keras layers"):
        import tensorflow as tf

        tf.config.set_visible_devices([], "GPU")  # the figures are of the host alone
        tf.config.threading.set_inter_op_parallelism_threads(len(job["cores"]))
        tf.config.threading.set_intra_op_parallelism_threads(len(job["cores"]))
    images = job["count"] if job["row"] == "ours" else len(job["files"])
    streams = {name: ROWS[job["row"]](job | {"recipe": name}) for name in job["recipes"]}
    for batches in streams.values():
        _seconds_an_image(batches, images)
    _settle()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        batches = streams[line.strip()]
        _seconds_an_image(batches, MADE_AHEAD * job["batch_size"])
        seconds = [images * _seconds_an_image(batches, images) for _ in range(job["passes"])]
        _settle()
        print(json.dumps({"images": images, "seconds": seconds}), flush=True)


def _settle() -> None:
    """Wait until no thread of this process works any more, 10 s at most."""
    used, until = time.process_time(), time.monotonic() + 10.0
    while time.monotonic() < until:
        time.sleep(0.05)
        before, used = used, time.process_time()
        if used - before < 0.005:
            return


def _seconds_an_image(batches: Batches, images: int) -> float:
    """Of the next whole batches, until they hold so many images."""
    start, taken = time.perf_counter(), 0
    while taken < images:
        taken += _length(next(batches))
    return (time.perf_counter() - start) / taken


def _length(batch: Any) -> int:
    """Images in a batch, whatever the library."""
    while isinstance(batch, tuple):
        batch = batch[0]
    return len(batch)


if __name__ == "__main__":
    main()
