"""What people read of a search: scores in percent, and what its optimism means."""

from __future__ import annotations

import pytest

from experiments.presentation.formatting import score
from experiments.search import text

REST = {
    "name": "exp", "fits": {"done": 6, "failed": 0}, "budget": {"stopped_by": None},
    "racing": None, "seconds": 3.0, "tracking_seconds": 0.1, "state": ".ilsvrc/exp/search-x",
}  # fmt: skip


def nested(optimism: float, **more: float) -> str:
    row = {"fold": 0, "inner_score": 0.9, "test_top1": 0.92, "hyperparameters": {"seed": 1}}
    return text.of_result(
        REST
        | {"outer": [row, row], "mean_test_top1": 0.92, "std_test_top1": 0.0, "optimism": optimism}
        | {"best_inner_score": 0.92 + optimism, "winners_differ": False}
        | more
    )


@pytest.mark.parametrize(
    ("optimism", "said"),
    [
        (0.02, "94.00%, better than their tests, as the best of many look (optimism +2.00 points)"),
        (-0.02, "90.00%, worse than their tests, since a winner is trained on more images before "
                "its test (optimism -2.00 points)"),
    ],
)  # fmt: skip
def test_optimism_is_explained_where_it_stands(optimism: float, said: str) -> None:
    told = nested(optimism)
    assert said in told
    assert "test_top1 92.00% ± 0.00% over 2 outer folds" in told
    assert "90.00%     92.00%  seed=1" in told


def test_what_had_to_be_beaten_stands_beside_the_result() -> None:
    known = {"majority_top1": 0.93, "chance_top1": 0.25}
    line = "to beat: the commonest class, always answered, scores 93.00% top-1, chance 25.00%"
    no_better = f"{line}; no better than the commonest class, always answered (93.00%)"
    assert no_better in nested(0.02, **known).splitlines()
    assert line in nested(0.02, **known | {"majority_top1": 0.91}).replace("91", "93").splitlines()
    assert "to beat" not in nested(0.02)
    trial = {"number": 3, "status": "finished", "score": 0.9, "std": 0.01, "hyperparameters": {}}
    document = REST | known | {
        "score_name": "val_top1", "minimise": False, "trials": [trial],
        "best": trial | {"val_top1": 0.9},
        "refit": {"status": "finished", "run_id": "0", "test_top1": 0.5, "majority_top1": 0.94},
    }  # fmt: skip
    told = text.of_result(document)
    assert no_better in told.splitlines()
    assert "test_top1 50.00%; no better than the commonest class, always answered (94.00%)" in told


def test_accuracies_are_in_percent_as_in_a_sweep_and_losses_as_they_are() -> None:
    trial = {"number": 3, "status": "finished", "score": 0.28923, "std": 0.01}
    document = REST | {
        "score_name": "val_top1", "minimise": False, "trials": [trial | {"hyperparameters": {}}],
        "best": None,
        "refit": {"status": "finished", "run_id": "0123456789", "test_top1": 0.5},
    }  # fmt: skip
    told = text.of_result(document)
    assert "28.92%    1.00%" in told
    assert "test_top1 50.00%" in told
    assert score("val_mse", 0.28923) == "0.2892"
