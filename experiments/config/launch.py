"""The launch section: where fits run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from experiments.config.section import MILLION, CountOrZero, Limit, Section


class Launch(Section):
    """Where fits run. None of it changes a result, for the same number of threads."""

    executor: Literal["processes", "inline", "ray"] = "processes"
    workers: Annotated[int, Field(gt=0, le=2**12)] = 1
    runs_per_worker: Limit | None = Field(
        None, description="runs after which a worker's process is replaced; null: never"
    )
    retries: CountOrZero | None = Field(
        None, description="of a run whose worker died; null: 2 with ray, where nodes go, else 0"
    )
    cpus: Annotated[float, Field(gt=0, le=2**12)] | None = Field(
        None,
        description="cores of each worker, and its threads where train.threads is 0; null: this "
        "machine's divided by the workers, on an existing Ray cluster 1",
    )
    gpus: Annotated[float, Field(ge=0, le=2**12)] | None = Field(
        None,
        description="of each worker, below 1 to share one; null: this machine's dealt out in "
        "turn, on an existing Ray cluster 0",
    )
    resources: dict[str, PositiveFloat] = Field(
        default_factory=dict, description="ray: what else each worker needs, such as {TPU: 4}"
    )
    address: str | None = Field(
        None,
        description="ray: auto, ray://HOST:10001 or HOST:6379; null starts a Ray of this machine",
    )
    grace_seconds: Annotated[float, Field(gt=0, le=MILLION)] = Field(
        20.0, description="that workers have, once asked to stop, to write their snapshots"
    )

    stop_after_failures: Limit | None = Field(
        None,
        description="failed runs in a row after which a sweep or ensemble starts no more; null: "
        "never",
    )

    @model_validator(mode="after")
    def _one_executor(self) -> Launch:
        for key in ("address", "resources"):
            if getattr(self, key) and self.executor != "ray":
                raise ValueError(
                    f"{key} is Ray's, and the executor {self.executor}; set executor: ray, or "
                    f"leave {key} out"
                )
        return self
