"""An MLflow store without runs: MLflow takes seconds to make one, and none to open a copy."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from experiments.tracking.store import connect


@functools.cache
def _contents() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        connect(f"sqlite:///{folder}/blank.db")
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
