"""An MLflow store without runs: MLflow takes seconds to make one, and none to open a copy."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@functools.cache
def _contents() -> bytes:
    from mlflow import MlflowClient

    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        MlflowClient(f"sqlite:///{folder}/blank.db").search_experiments()
        return Path(folder, "blank.db").read_bytes()


def blank_store(folder: Path, name: str = "mlflow.db") -> str:
    """The URI of a store in a folder; made there unless there is one.

    Absolute: MLflow keeps the store that it opened for an address as long as the process.
    """
    database = folder / name
    if not database.exists():
        folder.mkdir(parents=True, exist_ok=True)
        database.write_bytes(_contents())
    return f"sqlite:///{database}"
