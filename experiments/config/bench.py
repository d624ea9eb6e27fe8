"""The bench section: how cost is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from experiments.config.section import Count, Pixels, Seconds, Section

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


class Bench(Section):
    """How cost is measured: at the end of a run, and by `ilsvrc bench`."""

    latency_calls: Count = 50
    throughput_batches: Count = 5
    images: str | None = Field(
        None,
        description="pipeline: a folder of JPEG files, for all rows, or another source, for ours; "
        "null: drawn ones, which say little about photographs",
    )
    count: Count = Field(640, description="pipeline: images at most")
    rounds: Count = Field(5, description="of every row, interleaved")
    passes: Count = Field(1, description="pipeline: over the images, in each round")
    cores: tuple[Count, ...] = Field((1, 2), description="pipeline: numbers of cores")
    size: Pixels = 224
    batch_size: Count = 64
    only: tuple[str, ...] = Field((), description="names of rows; empty: all that can run")
    limit: str | None = Field(
        None, description="pipeline: C source of the decoder's limits, compiled where possible"
    )
    # What follows is read by `ilsvrc bench train` and `infer` alone: see OF_MODELS.
    names: tuple[str, ...] = Field(
        (), description="train, infer: architectures; empty: model.name. All take model.options"
    )
    batch_sizes: Annotated[tuple[Count | Literal["auto"], ...], Field(min_length=1)] = Field(
        (1, 8, 32, "auto"),
        description="train, infer: auto doubles from 1 until the memory ends, or the gain",
    )
    precisions: Annotated[
        tuple[Literal["float32", "bfloat16", "float16"], ...], Field(min_length=1)
    ] = Field(("float32", "bfloat16"), description="train, infer")
    seconds: Seconds = Field(0.5, description="train, infer: of each row in each round, at least")
    backends: tuple[Literal["tensorflow", "jax", "torch"], ...] = Field(
        (),
        description="train, infer: Keras's, side by side; empty: the one KERAS_BACKEND names",
    )
    peers: tuple[Literal["keras", "pytorch", "pytorch_bfloat16"], ...] = Field(
        (),
        description="train, infer: plain alternatives beside them: Keras's own loop; PyTorch "
        "channels last, bfloat16 by autocast; PyTorch with weights in bfloat16 too",
    )
    log: bool = Field(False, description="train, infer: the rows also as runs, level bench")


OF_MODELS = frozenset({"names", "batch_sizes", "precisions", "seconds", "backends", "peers", "log"})
"""Keys of Bench that no training run depends on."""
