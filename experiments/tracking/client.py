"""MLflow's client, whose runs have names that a store would refuse, and lose nothing but what it
does.

Imported by `store.connect` only: it loads MLflow.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from experiments.errors import first_line
from experiments.tracking.names import LONGEST, decoded, encoded, writable

REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST")
"""What a store answers that takes other items of the same run, and will never take this one."""

SHOWN = 3  # names in a warning


class StoreClient(MlflowClient):
    """Names go encoded and come back as they were.

    An item that the store refuses costs a warning of one line, not the run that it belongs to.
    """

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Run:
        sent = {encoded(key): writable(str(value)) for key, value in (tags or {}).items()}
        title = None if run_name is None else writable(run_name)[:LONGEST]
        return _as_written(super().create_run(experiment_id, start_time, sent, title))

    def get_run(self, run_id: str) -> Run:
        return _as_written(super().get_run(run_id))

    def search_runs(self, *words: Any, **options: Any) -> Any:
        page = super().search_runs(*words, **options)
        for run in page:
            _as_written(run)
        return page

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        return list(super().get_metric_history(run_id, encoded(key)))

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
        synchronous: bool | None = None,
    ) -> None:
        log = super().log_batch
        sent_metrics = [Metric(encoded(m.key), m.value, m.timestamp, m.step) for m in metrics]
        sent_params = [Param(encoded(p.key), writable(p.value)) for p in params]
        sent_tags = [RunTag(encoded(t.key), writable(t.value)) for t in tags]
        try:
            log(run_id, sent_metrics, sent_params, sent_tags)
            return
        except MlflowException as error:
            if error.error_code not in REFUSALS:
                raise
            whole = error
        refused, taken = [], 0
        for kind, items in (
            ("metrics", sent_metrics),
            ("params", sent_params),
            ("tags", sent_tags),
        ):
            for item in items:
                try:
                    log(run_id, **{kind: [item]})
                    taken += 1
                except MlflowException as error:
                    if error.error_code not in REFUSALS:
                        raise
                    refused.append(decoded(item.key))
        if not taken and whole.error_code == "BAD_REQUEST":
            raise whole  # it is the database that is at fault
        if refused:
            _warn(refused, whole)

    def set_tag(self, run_id: str, key: str, value: Any, synchronous: bool | None = None) -> None:
        call = super().set_tag
        _unless_refused(key, lambda: call(run_id, encoded(key), writable(str(value))))

    def log_inputs(
        self, run_id: str, datasets: Sequence[DatasetInput] | None = None, models: Any = None
    ) -> None:
        call, names = super().log_inputs, [given.dataset.name for given in datasets or ()]
        _unless_refused(", ".join(names), lambda: call(run_id, datasets, models))

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        call = super().log_text
        _unless_refused(artifact_file, lambda: call(run_id, writable(text), artifact_file))

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        call = super().log_artifact
        _unless_refused(local_path, lambda: call(run_id, local_path, artifact_path))


def _unless_refused(name: str, call: Callable[[], object]) -> None:
    try:
        call()
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        _warn([name], error)


def _warn(names: Sequence[str], error: MlflowException) -> None:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    warnings.warn(
        f"tracking: the store refuses {', '.join(names[:SHOWN])}{more} ({first_line(error)}); the "
        "run goes on without",
        stacklevel=2,
    )


def _as_written(run: Run) -> Run:
    """The same run; its names are decoded in place."""
    for values in (run.data.params, run.data.metrics, run.data.tags):
        for key in list(values):
            if (name := decoded(key)) != key:
                values[name] = values.pop(key)
    return run
