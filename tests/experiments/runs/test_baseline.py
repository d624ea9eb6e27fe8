"""What a network that has learnt nothing scores stands beside what one scored."""

from __future__ import annotations

import json

import pytest
from blank_store import blank_store
from command import inside, write_config
from mlflow import MlflowClient

from experiments.config import settings
from experiments.jobs.baseline import baselines, in_words, remark

CONFIG = settings.parse({"model": {"name": "mlp"}})
PART = {"images": 50, "largest": 40}


def test_of_the_test_part_else_of_the_validation_part():
    both = {"validation": {"images": 10, "largest": 5}, "test": PART}
    assert baselines(CONFIG, both, 4) == {"majority_top1": 0.8, "chance_top1": 0.25}
    assert baselines(CONFIG, {"validation": PART}, 4)["majority_top1"] == 0.8
    assert baselines(CONFIG, {"train": PART}, 4) == {}
    autoencoder = settings.parse({"model": {"name": "autoencoder_undercomplete"}})
    assert baselines(autoencoder, both, 4) == {}


def test_a_score_that_is_no_better_is_said():
    known = {"majority_top1": 0.8, "chance_top1": 0.25}
    assert in_words(known) == (
        "to beat: the commonest class, always answered, scores 80.00% top-1, chance 25.00%"
    )
    no_better = "; no better than the commonest class, always answered (80.00%)"
    assert remark(known | {"test_top1": 0.79, "val_top1": 0.9}) == no_better
    assert remark(known | {"val_top1": 0.8}) == no_better
    assert remark(known | {"test_top1": 0.81}) == remark({"test_top1": 0.1}) == ""


def test_a_run_says_and_logs_what_it_had_to_beat(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    uri = blank_store(tmp_path)
    config = write_config(
        tmp_path, launch={"executor": "inline"}, tracking={"uri": uri}, model={"name": "mlp"},
        train={"epochs": 1, "optimizer": {"learning_rate": 1e-9}},
    )  # fmt: skip
    assert inside(monkeypatch, "train", config) == 0
    out, err = capsys.readouterr()
    assert "to beat: the commonest class, always answered, scores 10.31% top-1" in err
    assert "no better than the commonest class" in err
    run_id = out.split()[1]
    assert len(run_id) == 8
    assert f"next: ilsvrc evaluate {run_id}" in err
    assert inside(monkeypatch, "train", config, "seed=2", "--json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["majority_top1"] == pytest.approx(37 / 359)
    assert told["chance_top1"] == 0.1
    assert "next:" not in err
    logged = MlflowClient(uri).get_run(told["run_id"]).data.metrics
    assert logged["majority_top1"] == pytest.approx(37 / 359)
