"""Where it all meets: settings, fits, searches, tracking, comparison and the command line.

For notebooks and scripts: `run`, `sweep`, `search` and `results` (PYTHON.md). Importing this is
free; TensorFlow, MLflow and pandas load where a call needs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import search
from experiments.runtime.interactive import interactive

if TYPE_CHECKING:
    import pandas as pd

    from experiments.config.given import Given

__all__ = ["results", "run", "search", "sweep"]


def run(
    config: Given, changes: Mapping[str, Any] | None = None, *, verbose: bool = False
) -> dict[str, Any]:
    """Train one network, tracked, and test it once, as `ilsvrc train`; on folds, on each of them.

    Args:
        config: nested sections as in YAML, a Config, or a YAML file or a shipped config's name.
        changes: settings by dotted key, such as {"train.epochs": 5}.
        verbose: a line an epoch, not only one at the start and one at the end.

    Returns:
        {"run_id", "status", "epochs"}, every score and cost, and "error" where it failed. With
        `validation.folds` or `test_folds` the scores are means over folds, and there are "folds", a
        row each, and "interval", "interval_of" and "interval_method".

    Raises:
        BadInput: a key or value is wrong, or does not suit the data or the network.
        KeyboardInterrupt: it was stopped; the same call continues.
    """
    with interactive():
        from experiments.config.given import config_of, name_of
        from experiments.errors import BadInput
        from experiments.runs.train import train

        checked = config_of(config, changes)
        if checked.sweep.axes:
            raise BadInput(
                f"{name_of(config)}: sweep: one run has no axes; experiments.sweep(config) trains "
                'every combination, and changes={"sweep": {}} leaves them out'
            )
        return train(checked, quiet=not verbose)


def sweep(config: Given, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Train every combination of the sweep axes that is not done yet, as `ilsvrc sweep`.

    Returns:
        {"run_id", "status", "runs": a row a run, as `run` returns it, with its axes}.

    Arguments and errors as `run`.
    """
    with interactive():
        from experiments.config.given import config_of, name_of
        from experiments.runs.sweep import sweep

        return sweep(config_of(config, changes), name_of(config))


def results(name: str, *, level: str = "run", uri: str | None = None) -> pd.DataFrame:
    """The runs of an experiment, a row each: model, seed, the settings that vary, scores, costs.

    Args:
        name: the `name` of its config.
        level: the kind of runs: run (of `run` and `sweep`), fold, trial, outer_fold, ...
        uri: the store; else MLFLOW_TRACKING_URI, else mlflow.db in this folder.

    Raises:
        BadInput: no such experiment, none of its runs is of this level, or the store is away.
    """
    with interactive():
        from experiments.comparison.frame import frame
        from experiments.tracking.store import connect, store_uri

        return frame(connect(store_uri(uri)), name, level)
