"""A race over fits that two outer folds share: each is told of the images that it scores."""

from __future__ import annotations

import pytest
from small_search import uri

from experiments.config import settings
from experiments.search.run import run
from tuning.search import Search


def test_each_outer_fold_hears_of_its_own_images_and_may_drop_what_another_keeps(
    own_store, monkeypatch
):
    told, tell = {}, Search.tell

    def spy(self, fit, status, score=None, error=None, epochs=None, hits=None, *figures):
        told.setdefault(id(self), []).append((score, hits))
        tell(self, fit, status, score, error, epochs, hits, *figures)

    monkeypatch.setattr(Search, "tell", spy)
    made = settings.parse(
        {
            "name": "s",
            "data": {"source": "digits", "image_size": 16},
            "model": {"name": "mlp"},
            "train": {"epochs": 2},
            "validation": {"outer": 5, "inner": "shared"},
            "search": {
                "strategy": "grid",
                "race": {},
                "choose": "cheapest",
                "space": {"train.optimizer.learning_rate": [0.1, 1e-6, 0.05, 2e-6]},
            },
            "launch": {"executor": "inline"},
            "bench": {"latency_calls": 2, "throughput_batches": 1},
            "tracking": {"save_model": "none", "uri": uri()},
        }
    )
    result = run("nested", made, "s.yaml")
    assert result["status"] == "finished"
    assert result["race"]["gave_up"] >= 5
    assert result["fits"]["done"] == 4 * 10 + 5 - result["fits"]["saved"]
    assert len(told) == 5
    for of_outer in told.values():
        for score, hits in of_outer:
            assert hits.mean() == pytest.approx(score)
