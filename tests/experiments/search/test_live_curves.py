"""What a store shows of a search while it runs, and after it failed for a while."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient
from small_search import ONE, config, go, uri

from experiments.errors import Stopped
from experiments.search.tracking import SearchRuns

pytestmark = pytest.mark.usefixtures("own_store")


@pytest.mark.parametrize("folds", [1, 2])
def test_a_long_trial_has_curves_while_it_runs_and_no_point_twice(folds, monkeypatch):
    """The second trial is stopped in its second epoch, and made anew by the next start."""
    monkeypatch.setattr("experiments.search.tracking.LIVE_SECONDS", 0.0)
    client, seen, stops = MlflowClient(uri()), [], [True]
    real = SearchRuns.point

    def point(runs, path, fold, epoch, values, of):
        real(runs, path, fold, epoch, values, of)
        found = client.get_run(runs._live[path].run_id)
        seen.append((path, found.info.status, found.data.tags["trial_status"]))
        name = "val_top1" if fold is None else f"fold_{fold}_val_top1"
        assert [m.step for m in client.get_metric_history(found.info.run_id, name)] == [
            *range(1, epoch + 1)
        ]
        assert found.data.metrics[name] == values["val_top1"]
        if (path, epoch) == ("trial/1", 2) and stops:
            stops.clear()
            raise Stopped

    monkeypatch.setattr(SearchRuns, "point", point)
    words = (*ONE, f"validation.folds={folds if folds > 1 else 'null'}", "train.epochs=3")
    with pytest.raises(Stopped):
        go(config("l", *words))
    result = go(config("l", *words))
    assert set(seen) == {(f"trial/{n}", "RUNNING", "running") for n in range(2)}
    [experiment] = [e for e in client.search_experiments() if e.name == "l"]
    found = client.search_runs([experiment.experiment_id])
    made = {run.data.tags["path"]: run for run in found}
    assert sorted(made) == ["search", "trial/0", "trial/1"]
    assert len(found) == 3
    names = ["val_top1"] if folds == 1 else ["fold_0_val_top1", "fold_1_val_top1"]
    for number, trial in enumerate(result["trials"]):
        run = made[f"trial/{number}"]
        assert (run.info.status, run.data.tags["trial_status"]) == ("FINISHED", "finished")
        assert run.data.params["train.epochs"] == "3"
        assert run.data.metrics["val_top1"] == trial["score"]
        for name in names:
            steps = [m.step for m in client.get_metric_history(run.info.run_id, name)]
            assert set(steps) == {1, 2, 3}
            assert len(steps) == len(set(steps)) + (folds == 1)  # its last point and its score


def test_a_refit_has_curves_while_it_runs_and_no_point_twice(monkeypatch):
    """It is stopped in its second epoch, and made anew by the next start."""
    monkeypatch.setattr("experiments.search.tracking.LIVE_SECONDS", 0.0)
    client, seen, stops = MlflowClient(uri()), [], [True]
    real = SearchRuns.refit_point

    def point(runs, job, level, epoch, values):
        real(runs, job, level, epoch, values)
        found = client.get_run(runs._live["refit"].run_id)
        seen.append((found.info.run_id, found.info.status, found.data.tags["level"], epoch))
        assert found.data.metrics["train_loss"] == values["train_loss"]
        if epoch == 2 and stops:
            stops.clear()
            raise Stopped

    monkeypatch.setattr(SearchRuns, "refit_point", point)
    one = "search.space={train.optimizer.learning_rate: [0.05]}"
    words = (one, "validation.folds=null", "train.epochs=3", "search.refit=true")
    with pytest.raises(Stopped):
        go(config("r", *words))
    refit = go(config("r", *words))["refit"]
    first, *_, last = [run_id for run_id, *_ in seen]
    assert [row[1:] for row in seen if row[0] == first] == [("RUNNING", "refit", n) for n in (1, 2)]
    assert client.get_run(first).info.lifecycle_stage == "deleted"
    assert refit["run_id"] == last != first
    assert client.get_run(last).info.status == "FINISHED"
    steps = [m.step for m in client.get_metric_history(last, "train_loss")]
    assert sorted(steps) == [1, 2, 3, 3]  # its last point and its score


def test_a_store_that_fails_costs_a_line_and_gets_the_rest_later(monkeypatch, capsys):
    real = SearchRuns._write

    def refuse(self, trial):
        raise OSError("disk full")

    monkeypatch.setattr(SearchRuns, "_write", refuse)
    result = go(config("f", *ONE))
    assert result["status"] == "finished"
    assert "tracking failed (disk full)" in capsys.readouterr().err
    monkeypatch.setattr(SearchRuns, "_write", real)
    assert go(config("f", *ONE))["run_id"] == result["run_id"]
    client = MlflowClient(uri())
    [experiment] = [e for e in client.search_experiments() if e.name == "f"]
    paths = [r.data.tags["path"] for r in client.search_runs([experiment.experiment_id])]
    assert sorted(paths) == ["search", "trial/0", "trial/1"]
