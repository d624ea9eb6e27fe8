"""What an image costs under a protocol: announced before anything runs, and beside the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.config.schema import Config
from experiments.inference.loading import Network
from experiments.presentation.columns import LATENCY_DISTURBED
from experiments.presentation.formatting import si
from experiments.runtime import measure

if TYPE_CHECKING:
    from experiments.inference.protocols import Predictor


def announcement(name: str, predictor: Predictor, cost: dict[str, Any], images: int) -> str:
    """What is about to be done and what it costs, in one line."""
    count = predictor.protocol.crops
    text = f"{name}: {predictor.name}, {count} view{'s' if count > 1 else ''}"
    if predictor.samples > 1:
        text += f" x {predictor.samples} dropout samples"
    text += f" an image, {predictor.passes:.4g} x the cost of one"
    if predictor.dense:
        text += " (of a square image)"
    if cost["macs_per_image"] is not None:
        text += f": {si(cost['macs_per_image'])}MACs"
    seconds = images * cost["latency_ms_per_image"] / 1000
    return f"{text}; {images:,} images, {seconds:.0f} s at batch 1"


def measured(network: Network, passes: float, config: Config) -> dict[str, Any]:
    """Of the bare network, and of an image under the protocol.

    latency_ms_p50 is measured here, one pass at batch 1; an image's is that times the passes.
    """
    import models
    from experiments.training.outputs import inference_function

    try:
        profile = models.profile(network.model)
        params, macs = profile.params, profile.macs
    except ValueError:  # a stranger's .keras file may hold layers without a MAC rule
        params, macs = int(network.model.count_params()), None
    measured = measure.inference(
        inference_function(network.model, jit=False),
        network.model.input_shape[1:],
        1,
        latency_calls=config.bench.latency_calls,
        throughput_batches=1,
    )
    latency = measured["latency_ms_p50"]
    return {
        "passes": passes,
        "params": params,
        "macs_per_image": None if macs is None else round(macs * passes),
        "latency_ms_p50": latency,
        "latency_ms_per_image": latency * passes,
        LATENCY_DISTURBED: bool(measured[LATENCY_DISTURBED]),
    }


def kept(network: Network) -> dict[str, Any]:
    """As the run measured it when it ended, under the centre crop."""
    metrics = network.run.metrics if network.run else {}
    latency = metrics.get("latency_ms_p50")
    macs, params = metrics.get("macs"), metrics.get("params")
    return {
        "passes": 1.0,
        "params": None if params is None else int(params),
        "macs_per_image": None if macs is None else int(macs),
        "latency_ms_p50": latency,
        "latency_ms_per_image": latency,
        LATENCY_DISTURBED: bool(metrics[LATENCY_DISTURBED])
        if LATENCY_DISTURBED in metrics
        else None,
    }


def summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Cost of asking every member."""
    sums: dict[str, Any] = {"members": [row["name"] for row in rows]}
    for key in ("params", "macs_per_image", "latency_ms_per_image"):
        values = [row[key] for row in rows]
        sums[key] = None if None in values else sum(values)
    return sums | {LATENCY_DISTURBED: any(row[LATENCY_DISTURBED] for row in rows)}
