"""Load of the machine beside a run's own metrics."""

from __future__ import annotations

import functools

import pytest
from blank_store import blank_store
from command import TINY

from experiments.config import settings
from experiments.runs import execute
from experiments.runs.train import train

WANTED = {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"}


def test_a_reading_is_given_once_a_period():
    load = execute.SystemMetrics(period=0.0)
    first, second = load.due(), load.due()
    assert first.keys() == second.keys() >= WANTED
    assert load.taken == 2
    assert 0 <= first["system/system_memory_usage_percentage"] <= 100
    assert first["system/system_memory_usage_megabytes"] > 1
    assert execute.SystemMetrics(period=1e6).due() == {}


@pytest.mark.parametrize("on", [True, False])
def test_a_run_holds_them_only_when_asked(on, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    always = functools.partial(execute.SystemMetrics, period=0.0)
    monkeypatch.setattr(execute, "SystemMetrics", always)
    uri = blank_store(tmp_path)
    given = {"launch": {"executor": "inline"}, "tracking": {"uri": uri, "system_metrics": on}}
    done = train(settings.parse(TINY | given), quiet=True)
    metrics = MlflowClient(uri).get_run(done["run_id"]).data.metrics
    assert (metrics.keys() >= WANTED) is on
    assert any(key.startswith("system/") for key in metrics) is on
    assert not any(key.startswith("system/") for key in done)
