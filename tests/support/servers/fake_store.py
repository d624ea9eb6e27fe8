"""A small MLflow store with runs as a sweep leaves them, for tests."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blank_store import blank_store

COSTS = {
    "activation_bytes": 4096.0,
    "latency_ms_p50": 1.5,
    "latency_ms_p95": 2.0,
    "train_images_per_second": 900.0,
    "infer_images_per_second": 3000.0,
    "peak_memory_bytes": 512.0 * 2**20,
    "train_seconds": 12.0,
}


class FakeStore:
    """Writes experiments, sweeps and runs into sqlite under a folder."""

    def __init__(self, folder: Path):
        from mlflow import MlflowClient

        self.folder = folder
        self.uri = blank_store(folder)
        self.client = MlflowClient(tracking_uri=self.uri)
        self._clock = 1_700_000_000_000
        self._parents: dict[str, str] = {}

    def experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        place = (self.folder / "artifacts" / name).as_uri()
        return str(self.client.create_experiment(name, artifact_location=place))

    def sweep(self, name: str) -> str:
        """A parent run, whose children are the runs added next."""
        run = self.client.create_run(
            self.experiment(name), self._tick(), {"level": "sweep"}, run_name="sweep"
        )
        self._parents[name] = run.info.run_id
        return str(run.info.run_id)

    def run(
        self,
        experiment: str,
        model: str,
        seed: int,
        metrics: Mapping[str, float],
        *,
        status: str = "FINISHED",
        level: str = "run",
        tags: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> str:
        """One run. Equal model and settings make one group, whatever the seeds; a dot in a key is
        written `__`."""
        from mlflow.entities import Metric, Param

        params = {"model.name": model, "data.source": "digits", "train.precision": "float32"}
        params |= {k.replace("__", "."): _text(v) for k, v in settings.items()}
        whole = json.dumps(params, sort_keys=True)
        settings = {key: value for key, value in params.items() if not key.startswith("seeds.")}
        group = json.dumps(settings, sort_keys=True)
        parent = self._parents.get(experiment)
        run = self.client.create_run(
            self.experiment(experiment),
            self._tick(),
            {
                "level": level,
                "config_hash": f"{hash_of(whole)}-{seed}",
                "group_hash": hash_of(group),
                "source": "digits",
                "source_fingerprint": "fingerprint1",
                "device": "AMD EPYC, 2 threads",
                "precision": "float32",
                **({"mlflow.parentRunId": parent} if parent else {}),
                **(tags or {}),
            },
            run_name=f"{model} seed {seed}",
        )
        params |= {"seed": str(seed), "name": experiment}
        now = int(1000 * time.time())
        self.client.log_batch(
            run.info.run_id,
            [Metric(key, value, now, 0) for key, value in metrics.items()],
            [Param(key, value) for key, value in params.items()],
        )
        if status != "RUNNING":
            self.client.set_terminated(run.info.run_id, status)
        return str(run.info.run_id)

    def _tick(self) -> int:
        self._clock += 1000
        return self._clock


def hash_of(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]


def top1(value: float, macs: float = 1e6, **more: float) -> dict[str, float]:
    """Metrics of a run of this accuracy."""
    return {"test_top1": value, "val_top1": value - 0.01, "macs": macs, "params": 5e5, **more}


def row(name: str, macs: float, params: float, top1: float, std: float | None, **more: Any) -> dict:
    """A row of a comparison, for what draws it."""
    return {
        "name": name,
        "experiment": "history",
        "model": name,
        "n": 1 if std is None else 3,
        "seeds": [1] if std is None else [1, 2, 3],
        "top1_mean": top1,
        "top1_std": std,
        "top1_error": 1 - top1,
        "test_top1": top1,
        "test_top1_std": std,
        "test_top5": min(1.0, top1 + 0.02),
        "test_top5_std": std,
        "val_top1": top1,
        "val_top1_std": std,
        "val_top5": None,
        "val_top5_std": None,
        "train_top1": 1.0,
        "train_top1_std": 0.0,
        "params": params,
        "macs": macs,
        **COSTS,
        "pareto": False,
        "device": "AMD EPYC, 2 threads",
        "precision": "float32",
        "source": "digits",
        "run_ids": ["a"],
        **more,
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
