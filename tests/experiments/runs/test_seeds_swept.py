"""Sweeps over seeds of single draws: one row, each cell trained once, repeated bit for bit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from blank_store import blank_store
from command import TINY, inside

from experiments.config import settings
from experiments.config.identity import group_hash
from experiments.fitting import fit
from experiments.jobs.plan import prepare
from experiments.runs import sweep
from experiments.tracking.store import connect


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A sweep of two seeds of weights by two of order that has ended, and its folder."""
    folder = tmp_path_factory.mktemp("crossed")
    own = {
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.1},
        "train": {"epochs": 2, "optimizer": {"learning_rate": 0.05}},
        "tracking": {"uri": blank_store(folder)},
        "launch": {"executor": "inline"},
        "sweep": {"seeds.weights": [1, 2], "seeds.order": [1, 2]},
        "bench": {"latency_calls": 2, "throughput_batches": 1},
    }
    config = settings.parse(TINY | own)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return {"folder": folder, "config": config, "result": sweep.sweep(config, "tiny.yaml")}


def test_cells_are_tracked_by_their_seeds_and_share_a_group(crossed: dict[str, Any]) -> None:
    config, rows = crossed["config"], crossed["result"]["runs"]
    client = connect(config.tracking.uri)
    runs = [client.get_run(row["run_id"]) for row in rows]

    seeds = [(run.data.params["seeds.weights"], run.data.params["seeds.order"]) for run in runs]
    assert seeds == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2")]
    assert {run.data.params["seed"] for run in runs} == {"1"}
    assert not any("seeds.dropout" in run.data.params for run in runs)
    assert len({run.data.tags["config_hash"] for run in runs}) == 4
    plain = prepare(config).config
    assert {run.data.tags["group_hash"] for run in runs} == {group_hash(plain)}
    assert runs[2].info.run_name.endswith("seed 1 weights 2 order 1")
    assert len({row["val_loss"] for row in rows}) == 4


def test_what_is_done_is_not_trained_again_and_what_it_gave_is_given(
    crossed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(crossed["folder"])
    monkeypatch.setattr(fit, "run", lambda job, emit: pytest.fail("trained again"))
    again = sweep.sweep(crossed["config"], "tiny.yaml")
    losses = [[row["val_loss"] for row in of["runs"]] for of in (crossed["result"], again)]
    assert losses[0] == losses[1]


def test_a_cell_is_reproduced_with_its_own_seeds(
    crossed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(crossed["folder"])
    words = [
        crossed["result"]["runs"][2]["run_id"],
        f"tracking.uri={crossed['config'].tracking.uri}",
    ]
    assert inside(monkeypatch, "reproduce", *words, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["differences"] == document["epochs_differ"] == {}
    assert document["predictions_identical"] is True


def test_compare_has_them_in_one_row(
    crossed: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(crossed["folder"])
    config = crossed["config"]
    words = [config.name, "--uri", str(config.tracking.uri), "--json"]
    assert inside(monkeypatch, "compare", *words) == 0
    document = json.loads(capsys.readouterr().out)
    [row] = document["rows"]
    assert (row["n"], row["seeds"], document["varying"]) == (4, [1], [])
    assert [value["seeds"] for value in row["values"]] == [
        {"order": order, "weights": weights} for order in (1, 2) for weights in (1, 2)
    ]
