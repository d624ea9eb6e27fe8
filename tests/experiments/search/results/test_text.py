"""What people read of a search: scores in percent, and what its optimism means."""

from __future__ import annotations

import pytest

from experiments.presentation.formatting import score
from experiments.search.results import leads, text
from experiments.search.results.intervals import of_best_in_words, of_outer_in_words

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


INTERVAL = {"low": 0.885, "high": 0.955, "confidence": 0.95, "method": "corrected resampled t"}


def test_an_interval_is_named_and_said_what_it_is_of() -> None:
    trial = {"number": 0, "status": "finished"}
    document = {
        "outer": [], "mean_test_top1": 0.92, "interval": INTERVAL, "trials": [trial, trial],
    }  # fmt: skip
    one = "95 % interval for new images 88.50 to 95.50 % (corrected resampled t); of this one "
    assert of_outer_in_words(document) == [
        f"{one}setting; a ± is the standard deviation over folds, no interval"
    ]
    several = document | {"trials": [trial, trial | {"number": 1}]}
    assert "of the whole procedure, search included; a ±" in of_outer_in_words(several)[0]
    pairs = INTERVAL | {"estimate": 0.93, "method": "nested cross-validation"}
    _, second = of_outer_in_words(document | {"nested_interval": pairs})
    assert "(nested cross-validation), around 93.00 %: of networks trained on all" in second
    assert "less often than it says" in second
    assert of_outer_in_words(document | {"interval": None}) == []
    squares = INTERVAL | {"low": 0.01234, "high": 0.02}
    mse = {"outer": [], "mean_test_mse": 0.016, "interval": squares}
    assert "new images 0.0123 to 0.0200 (" in of_outer_in_words(mse)[0]


def test_the_interval_of_a_winner_is_called_optimistic() -> None:
    best = {"number": 1, "status": "finished", "interval": INTERVAL}
    document = {"score_name": "val_top1", "best": best, "trials": [best]}
    assert of_best_in_words(document) == [
        "trial 1: 95 % interval for new images 88.50 to 95.50 % (corrected resampled t); "
        "a ± is the standard deviation over folds, no interval"
    ]
    [told] = of_best_in_words(document | {"trials": [best, best, {"status": "failed"}]})
    assert "; optimistic: chosen for being the best of 2 on these very images;" in told
    assert of_best_in_words(document | {"best": best | {"interval": None}}) == []
    assert of_best_in_words(document | {"best": None}) == []


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


LEAD = {"difference": 0.004, "p": 0.2, "level": 0.025, "over": 5, "of": "images and training"}


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        (
            {"alike": [5, 7], "within_noise": True},
            "trial 3 is 0.40 points ahead of trial 5 (p 0.2), which is within noise: 2 others "
            "cannot be told from it",
        ),
        (
            {"alike": [], "within_noise": False},
            "trial 3 is 0.40 points ahead of trial 5 (p 0.2) and of all others by more than noise",
        ),
        (
            {"alike": [], "within_noise": None},
            "trial 3 is 0.40 points ahead of trial 5 (p 0.2) on these images; how far training "
            "scatters, one fold does not tell",
        ),
    ],
)
def test_a_lead_is_said_with_what_is_known_of_it(lead, said):
    choice = {"rule": "best", "trial": 3, "highest": 3, "lead": LEAD | lead}
    assert list(leads.of_search(choice, "val_top1")) == [said]
    assert list(leads.of_search(choice | {"lead": None}, "val_top1")) == []


def test_what_is_chosen_in_place_of_the_highest_is_said_with_both_costs():
    choice = {"rule": "cheapest", "trial": 5, "highest": 3, "lead": None}
    choice |= {"cost": {"macs": 12_000, "params": 9}, "cost_of_highest": {"macs": 4_500_000}}
    said = ["chosen is trial 5, the simplest that cannot be told from trial 3 (12.0 k MACs against "
            "4.50 M)"]  # fmt: skip
    assert list(leads.of_search(choice, "val_top1")) == said
    rows = [
        {"choice": choice},
        {"choice": choice | {"trial": 3, "lead": LEAD | {"within_noise": 1}}},
    ]
    assert list(leads.of_outer([*rows, {"fold": 2}])) == [
        "in 1 of 2 outer folds the lead of the highest score is within noise",
        "in 1 of 2 the winner is not it, but the simplest that cannot be told from it",
    ]
