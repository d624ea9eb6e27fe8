"""The data section: what is trained on, and in which batches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from experiments.config.section import (
    AtLeastTwo,
    Count,
    Fraction,
    HeldOut,
    Pixels,
    Section,
    Threads,
    without_defaults,
)

Size = Pixels | tuple[Pixels, Pixels]


class Data(Section):
    """What is trained on, and in which batches."""

    source: str = Field(
        "digits",
        description="folder:DIR, csv:FILE, ilsvrc:DIR, {hf,tfrecord,svhn,prepared}:DIR, wds:GLOB, "
        "npz:FILE, mnist, cifar, keras:NAME, tfds:NAME, digits, directions, synthetic:...; see "
        "pipelines/sources/README.md",
    )
    classes: AtLeastTwo | None = Field(
        None, description="so many of the source's classes, evenly spaced in their order; null: all"
    )
    image_size: Size | None = Field(
        None, description="pixels, side or [height, width]; null: the source's, else the network's"
    )
    channels: Literal[1, 3] | None = None
    batch_size: Count = 64
    eval_batch_size: Count = 256
    train_fraction: Fraction = Field(1.0, description="stratified part of the training data")
    crop_fraction: Fraction | None = Field(
        None, description="centre crop over short side in evaluation; null: 0.875 for photographs"
    )
    normalise: Literal["mean_std", "mean", "unit", "published"] | None = Field(
        None,
        description="mean_std, mean (as the papers, on 0..255): of the training part; unit: pixels "
        "/ 255; published: as model.weights expect; null: mean_std, unit for a reconstruction",
    )
    verify: Literal["header", "decode"] | None = Field(
        None,
        description="how image files are checked the first time: header: by their first and last "
        "bytes, and damage between them fails the work that reads it; decode: all of them; null: "
        "header, decode for on_corrupt: skip, which must know what to leave out before the split",
    )
    on_corrupt: Literal["error", "skip"] = "error"
    max_corrupt_fraction: HeldOut = 0.01
    max_pixels: Annotated[int, Field(gt=0, lt=2**31)] = Field(
        178_956_970, description="height x width above which an image file counts as corrupt"
    )
    transfer: Literal["float32", "uint8"] = Field(
        "float32",
        description="training images as they go to the device; uint8: whole grey levels, "
        "and a pca_jitter at the end of augment is added on the device",
    )
    antialias: bool = Field(
        True, description="of training windows that shrink to less than half; false: faster"
    )
    threads: Threads = Field(
        0, description="of the input pipeline alone; 0: TensorFlow's, shared with the network"
    )
    group_duplicates: bool = Field(
        True, description="identical images (same bytes) stay on one side of every split"
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_set(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`classes` came later: without it, a config and its hashes are what they were before."""
        return without_defaults(self, serialise(self), ("classes",))
