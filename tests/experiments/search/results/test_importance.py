"""What mattered in a search: for every strategy, on the terminal, in files, store and report."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from blank_store import blank_store
from mlflow import MlflowClient

from experiments.config import settings
from experiments.config.strategies import STRATEGIES
from experiments.reporting import report as report_command
from experiments.search.results import importance, report, text
from experiments.search.results.plots import pictures
from experiments.search.run import run
from tuning.statistics import importance as statistics
from tuning.statistics.importance import FEW, LEAST
from tuning.trial import Trial

RATE, MOMENTUM = "train.optimizer.learning_rate", "train.optimizer.momentum"
SPACE: dict[str, Any] = {
    RATE: {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    MOMENTUM: [0.0, 0.5, 0.9],
}


def trials(count: int, seed: int = 0, epochs: int | None = None) -> list[Trial]:
    """Finished ones on two folds; the rate is all that matters."""
    draw = np.random.default_rng(seed)
    made = []
    for number in range(count):
        along = float(draw.random())
        chosen = {RATE: 10 ** (3 * along - 4), MOMENTUM: (0.0, 0.5, 0.9)[draw.integers(3)]}
        made.append(Trial(number, chosen, epochs, 2, "finished", {0: along, 1: along + 0.1}))
    return made


def of(strategy: str, *searches: list[Trial], nested: bool = False) -> dict[str, Any]:
    """The keys of the JSON of such a search."""
    section: dict[str, Any] = {"strategy": strategy, "space": SPACE}
    if STRATEGIES[strategy].listed:
        section = {"strategy": strategy, "settings": [{RATE: 0.1}]}
    elif STRATEGIES[strategy].complete:
        section["space"] = SPACE | {RATE: SPACE[RATE] | {"step": 1.5}}
    elif STRATEGIES[strategy].ends is None:
        section["trials"] = 30
    if strategy == "cmaes":  # moves numbers alone
        section["space"] = SPACE | {MOMENTUM: {"type": "float", "low": 0.0, "high": 0.9}}
    config = settings.parse({"name": "s", "data": {"source": "digits"}, "search": section})
    outer = [SimpleNamespace(trials=one, minimise=False) for one in searches]
    study = SimpleNamespace(section=config.search, nested=nested)
    return importance.document(SimpleNamespace(study=study, work=SimpleNamespace(outer=outer)))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_that_has_a_space_says_what_mattered(strategy: str) -> None:
    brackets = STRATEGIES[strategy].brackets
    said = of(strategy, trials(30, epochs=1 if brackets else None))
    assert set(said) == {"importance", "importance_p", "importance_notes"}
    notes = " ".join(said["importance_notes"])
    if STRATEGIES[strategy].listed:
        assert said["importance"] is None
        assert "none: the candidates are listed" in notes
        return
    assert list(said["importance"]) == [RATE, MOMENTUM]
    assert sum(said["importance"].values()) == pytest.approx(1)
    assert said["importance"][RATE] > 0.8
    assert said["importance_p"][RATE] < 0.05
    assert said["importance_p"][MOMENTUM] > 0.05
    assert "the best third of 30 trials" in notes
    assert f"under {FEW} trials the order is often chance" in notes
    guided = STRATEGIES[strategy].learns and not brackets
    assert (f"{strategy} draws mostly where scores were good" in notes) == guided
    assert ("a candidate counts once" in notes) == brackets


def test_what_failed_is_not_in_it_and_the_notes_say_so() -> None:
    made = trials(FEW)
    for one in made[:3]:
        one.status = "failed"
    notes = of("random", made)["importance_notes"]
    assert notes[-1] == "without the 3 that failed, whatever made them fail"
    assert "of 37 trials" in notes[0]


def test_too_few_trials_give_none_and_the_reason_and_no_line() -> None:
    said = of("random", trials(LEAST - 1))
    assert said["importance"] is said["importance_p"] is None
    assert said["importance_notes"] == [f"none: {LEAST - 1} trials to compare; it takes {LEAST}"]
    assert list(importance.in_words(said)) == []
    assert importance.metrics(said) == {}


def test_what_fails_costs_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> None:
        raise ImportError("No module named 'optuna'")

    monkeypatch.setattr(importance, "of_trials", broken)
    notes = of("random", trials(20))["importance_notes"]
    assert notes == ["none: could not be computed: ImportError: No module named 'optuna'"]


def test_a_nested_search_has_the_mean_over_its_outer_folds() -> None:
    folds = [trials(FEW, seed) for seed in (0, 1, 2)]
    each = [of("random", one) for one in folds]
    said = of("random", *folds, trials(3), nested=True)
    for key in (RATE, MOMENTUM):
        assert said["importance"][key] == pytest.approx(
            np.mean([one["importance"][key] for one in each])
        )
        middle = np.median([one["importance_p"][key] for one in each])
        assert said["importance_p"][key] == min(1.0, 2 * middle)
    assert said["importance_notes"][0].startswith("mean over 3 of 4 outer folds")
    assert "under" not in " ".join(said["importance_notes"])


def test_a_key_that_a_fold_has_not_has_none_of_its_share() -> None:
    has = SimpleNamespace(shares={"a": 0.6, "b": 0.4}, p={"a": 0.01, "b": 0.02})
    lacks = SimpleNamespace(shares={"a": 1.0}, p={"a": 0.01})
    shares, p = importance.over_folds([has, lacks])
    assert shares == {"a": 0.8, "b": 0.2}
    assert p == {"a": 0.02, "b": 1.0}


def test_the_line_names_what_is_more_than_chance_and_metrics_have_names_that_mlflow_takes() -> None:
    keys = [f"augment.train.{at}.x" for at in range(7)]
    shares = dict(zip(keys, (0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02), strict=True))
    result = {
        "importance": shares, "importance_p": dict.fromkeys(keys, 0.2) | {keys[0]: 0.05},
        "importance_notes": ["of few"],
    }  # fmt: skip
    line, note = importance.in_words(result)
    assert line.startswith("importance: augment.train.0.x 50 %, augment.train.1.x 20 %, ")
    assert line.endswith("1 more; more than by chance (p up to 0.05): augment.train.0.x")
    assert note == "importance: of few"
    assert importance.metrics({"importance": {"a.b[0]": 1.0}}) == {"importance.a.b_0_": 1.0}
    assert report.tags(result) == {"importance": f"{line}\n{note}"}


def test_it_is_drawn_beside_the_effects(tmp_path: Path) -> None:
    made = trials(30)
    rows = [
        {"number": one.number, "status": one.status, "hyperparameters": one.settings,
         "score": one.score, "scores": one.scores}
        for one in made
    ]  # fmt: skip
    result = {"name": "s", "trials": rows, **of("random", made)}
    files = pictures.write(result, tmp_path, None)
    assert [file.name for file in files][1:3] == ["effects.png", "importance.png"]
    from matplotlib.image import imread

    red, _, blue = np.moveaxis(imread(files[2])[..., :3], -1, 0)
    assert 0.01 < ((red < 0.1) & (blue > 0.6)).mean() < 0.3  # one bar is filled
    page = files[-1].read_text()
    first = round(100 * result["importance"][RATE])
    assert f">{first} %, p 0.01</text>" in page
    assert page.count("<rect") == 2
    assert page.count('fill="#fff" stroke') == 1  # the momentum, which may be chance
    assert "the best third of 30 trials" in page


def test_a_search_keeps_it_in_files_and_store_and_the_report_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished search of before it was there gets it by the command, without a fit."""
    monkeypatch.setattr(statistics, "LEAST", 4)  # trials take seconds
    blank_store(tmp_path)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    config = settings.parse(
        {
            "name": "s",
            "tracking": {"save_model": "none", "uri": uri},
            "data": {"source": "digits", "image_size": 8, "train_fraction": 0.1},
            "model": {"name": "mlp"},
            "train": {"epochs": 1, "optimizer": {"name": "sgd", "momentum": 0.0}},
            "launch": {"executor": "inline"},
            "bench": {"latency_calls": 1, "throughput_batches": 1},
            "search": {"strategy": "random", "trials": 4, "space": SPACE},
        }
    )
    with monkeypatch.context() as before:
        before.setattr(importance, "document", lambda drive: {"importance": None})
        first = run("search", config, "s.yaml")
    drawn = Path(first["state"]) / "plots" / "importance.png"
    assert not drawn.exists()
    again = run("search", config, "s.yaml")
    assert again["trials"] == first["trials"]
    assert sorted(again["importance"]) == sorted([RATE, MOMENTUM])
    assert (
        json.loads((drawn.parents[1] / "result.json").read_text())["importance"]
        == (again["importance"])
    )
    assert drawn.exists()
    assert f"importance: {next(iter(again['importance']))} " in text.of_result(again)
    parent = MlflowClient(uri).get_run(again["run_id"]).data
    assert parent.metrics[f"importance.{RATE}"] == again["importance"][RATE]
    files = MlflowClient(uri).list_artifacts(again["run_id"], "plots")
    assert "plots/importance.png" in {file.path for file in files}
    page = report_command.run(uri, ["s"], tmp_path / "page.html", level="trial").read_text()
    assert "What mattered" in page
    assert "the best third of 4 trials" in page
