"""The search section: what it refuses, and what becomes of it."""

from __future__ import annotations

import importlib.metadata
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

import experiments.configs
import models
from experiments.config import settings
from experiments.config.identity import config_hash, group_hash
from experiments.config.schema import Config
from experiments.config.settings import to_yaml
from experiments.errors import BadInput
from experiments.jobs.plan import prepare
from experiments.search import space
from experiments.tracking import experiment
from tuning.oracles.hyperband import Hyperband
from tuning.oracles.keras_oracles import Random
from tuning.oracles.optuna_oracles import Cmaes, Nsga2, Qmc, Tpe
from tuning.oracles.oracle import Grid, Manual, Proposal
from tuning.space import Choice, Float, Space

FOLDER = Path(experiments.configs.__file__).parent
SEARCHES = sorted([*FOLDER.glob("search-*.yaml"), FOLDER / "nested.yaml"])
RATE, MOMENTUM = "train.optimizer.learning_rate", "train.optimizer.momentum"


def config_of(text: str, *words: str) -> Config:
    return settings.parse(settings.override(yaml.safe_load(f"search: {text}"), words))


def refusal(text: str, *words: str, folds: int | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        space.check(config_of(text, *words), "c.yaml", folds)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{strategy: gird}", ["search.strategy", "'gird'"]),
        ("{strategy: manual, space: {seed: [1]}}", ["space: strategy manual has none"]),
        ("{strategy: manual}", ["settings: strategy manual needs"]),
        ("{strategy: manual, settings: [{seed: 1}, {seed: 1}]}", ["settings: 1: the same as 0"]),
        ("{strategy: grid, settings: [{seed: 1}]}", ["settings: for strategy manual"]),
        ("{strategy: grid}", ["space: strategy grid needs one"]),
        ("{strategy: random, space: {seed: [1]}}", ["trials: strategy random goes on for ever"]),
        (
            "{strategy: grid, space: {data.batch_size: {type: int, low: 1, high: 9, log: true}}}",
            ["data.batch_size: a grid needs a list", "give step"],
        ),
        (
            "{strategy: bayesian, trials: 3, space: {seed: [1, 2]}}",
            ["trials: 3 and the first 3 are drawn at random"],
        ),
        (
            "{strategy: tpe, trials: 10, space: {seed: [1, 2]}}",
            ["trials: 10 and the first 10 are drawn", "search.tpe.startup_trials lower"],
        ),
        (
            "{strategy: nsga2, trials: 4, nsga2: {population: 4}, space: {seed: [1, 2]}}",
            ["trials: 4 and the first 4 are drawn", "search.nsga2.population lower"],
        ),
        ("{strategy: nsga2, trials: 9, nsga2: {population: 1}, space: {seed: [1]}}", ["than or"]),
        ("{strategy: qmc, trials: 9, qmc: {sequence: hilbert}, space: {seed: [1]}}", ["'halton'"]),
        (
            f"{{strategy: cmaes, trials: 9, space: {{seed: [1, 2], {RATE}: [0.1, 0.2]}}}}",
            ["cmaes moves numbers (type: int or float), two at least, and the space has 0"],
        ),
        ("{strategy: tpe, space: {seed: [1]}}", ["trials: strategy tpe goes on for ever"]),
        (
            "{strategy: grid, space: {train.epochs: {type: itn, low: 1, high: 2}}}",
            ["search.space.train.epochs: expected a list of values, or type one of choice, int"],
        ),
        ("{strategy: grid, space: {train.epochs: 3}}", ["train.epochs: expected a list of values"]),
        (
            "{strategy: grid, space: {train.epochs: {type: int, lo: 1, high: 2}}}",
            ["search.space.train.epochs.lo: unknown key; did you mean", "train.epochs.low?"],
        ),
        ("{strategy: grid, space: {seed: []}}", ["search.space: seed: no values"]),
        ("{strategy: grid, spcae: {seed: [1]}}", ["did you mean search.space?"]),
        ("{strategy: grid, space: {model.nam: [mlp]}}", ["model.nam: unknown key", "model.name?"]),
        ("{strategy: grid, space: {model.name: [mlp, lenet55]}}", ["lenet55", "did you mean"]),
        (f"{{strategy: grid, space: {{{RATE}: [0.1, -1]}}}}", [RATE, "greater than 0", "-1"]),
        (
            f"{{strategy: random, trials: 3, space: {{{RATE}: {{type: float, low: 0, high: 1}}}}}}",
            [RATE, "greater than 0", "0"],
        ),
        ("{strategy: manual, settings: [{train.epochs: 1}, {train.epochs: x}]}", ["epochs", "'x'"]),
        ("{strategy: grid, space: {tracking.uri: [a]}}", ["tracking.uri: cannot vary"]),
        ("{strategy: grid, space: {launch.workers: [1]}}", ["launch.workers: cannot vary"]),
        ("{strategy: grid, space: {name: [a]}}", ["name: cannot vary"]),
        ("{strategy: grid, space: {search.seed: [1]}}", ["search.seed: cannot vary"]),
        ("{strategy: grid, space: {evaluate.protocol: [centre]}}", ["evaluate.protocol: cannot"]),
        ("{strategy: grid, space: {validation.seed: [1]}}", ["validation.seed: cannot"]),
        ("{strategy: grid, space: {data.source: [digits]}}", ["data.source: cannot vary"]),
        (
            "{strategy: grid, space: {train: [{epochs: 1}], train.epochs: [2]}}",
            ["train.epochs: train holds it already"],
        ),
        (
            "{strategy: grid, space: {train.loss.name: [hinge, cross_entropy], "
            "train.loss.label_smoothing: [0, 0.1]}}",
            ["hinge", "train.loss.name=hinge", "when: {key: value}"],
        ),
        (
            "{strategy: grid, space: {model.name: [mlp, autoencoder_undercomplete]}}",
            ["autoencoder_undercomplete is a reconstruction and lenet5", "one task"],
        ),
        ("{strategy: hyperband, space: {seed: [1, 2]}}", ["17 candidates are drawn"]),
        (
            "{strategy: hyperband, space: {train.epochs: {type: float, low: 1, high: 2}}}",
            ["train.epochs: hyperband decides the epochs"],
        ),
        ("{strategy: grid, space: {seed: [1]}, racing: {}}", ["racing.after_folds: 2 of 1 folds"]),
    ],
)  # fmt: skip
def test_a_search_that_cannot_work_is_refused_in_one_line(text: str, said: list[str]) -> None:
    message = refusal(text)
    for words in said:
        assert words in message


def test_a_value_is_checked_under_its_condition() -> None:
    text = """{strategy: grid, space: {train.loss.name: [hinge, cross_entropy],
        train.loss.label_smoothing: {type: choice, values: [0, 0.1],
                                     when: {train.loss.name: cross_entropy}}}}"""
    space.check(config_of(text, "train.loss.name=hinge"), "c.yaml")


def test_a_config_without_a_search_is_told_how_to_write_one() -> None:
    with pytest.raises(BadInput, match=r"c\.yaml: search: no such section; add for example"):
        space.check(Config(), "c.yaml")


def test_lists_are_short_for_choices_and_words_change_the_space() -> None:
    config = config_of(
        "{strategy: random, trials: 4, space: {model.name: [mlp]}}",
        "search.space.model.name=[mlp, lenet5]",
        f"search.space.{RATE}={{type: float, low: 1e-3, high: 0.1, log: true}}",
    )
    assert config.search is not None
    assert space.space_of(config.search) == Space(
        (Choice("model.name", ("mlp", "lenet5")), Float(RATE, 0.001, 0.1, log=True))
    )


def test_each_strategy_has_its_oracle() -> None:
    grid: dict[str, Any] = {"strategy": "grid", "space": {"seed": [1, 2]}}

    def oracle(**changes: Any) -> Any:
        return space.oracle_of(settings.parse({"search": grid | changes}))

    assert isinstance(oracle(), Grid)
    manual = oracle(strategy="manual", space={}, settings=[{"seed": 4}])
    assert isinstance(manual, Manual)
    assert manual.ask().settings == {"seed": 4}
    assert isinstance(oracle(strategy="random", trials=2), Random)
    wide = {RATE: {"type": "float", "low": 0.1, "high": 1}}
    hyperband = oracle(strategy="hyperband", space=wide, hyperband={"max_epochs": 3})
    assert isinstance(hyperband, Hyperband)
    assert hyperband.announced() == 3 + 1 + 2
    bayesian = oracle(strategy="bayesian", space=wide, trials=9, bayesian={"initial_points": 4})
    assert bayesian.initial == 4
    wide |= {"data.batch_size": {"type": "int", "low": 16, "high": 64}}
    sampled = {
        Tpe: {"startup_trials": 4}, Nsga2: {"population": 4}, Qmc: {"sequence": "halton"},
        Cmaes: {"population": 4},
    }  # fmt: skip
    for kind, section in sampled.items():
        name = kind.__name__.lower()
        made = oracle(strategy=name, space=wide, trials=9, **{name: section})
        assert type(made) is kind
        assert made.announced() == 9
        other = {"startup_trials": 8, "population": 5, "sequence": "sobol"}
        changed = {name: {key: other[key] for key in section}}
        assert drawn(made) != drawn(oracle(strategy=name, space=wide, trials=9, **changed))


def drawn(oracle: Any) -> list[dict[str, Any]]:
    proposed = []
    while proposal := oracle.ask():
        proposed.append(proposal.settings)
        oracle.tell(proposal.number, proposal.settings[RATE])
    return proposed


@pytest.mark.parametrize(("version", "received"), [(None, "none"), ("4.9.0", "4.9.0")])
@pytest.mark.parametrize("strategy", ["tpe", "nsga2", "qmc", "cmaes"])
def test_optuna_that_is_missing_or_too_old_is_said_before_anything(
    strategy: str, version: str | None, received: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", installed)
    ranges = ", ".join(f"{key}: {{type: float, low: 0.1, high: 0.5}}" for key in (RATE, MOMENTUM))
    said = refusal(f"{{strategy: {strategy}, trials: 20, space: {{{ranges}}}}}")
    assert said == (
        "config: search: tpe, nsga2, qmc and cmaes need optuna 5 or later. "
        f"Received: {received}; pip install 'optuna>=5'"
    )
    config_of("{strategy: grid, space: {seed: [1]}}")


def test_a_candidate_is_the_config_with_its_settings_and_no_search() -> None:
    config = config_of("{strategy: grid, space: {train.freeze: [[], [conv*]]}}", "sweep.seed=[1]")
    chosen = space.candidate(config, {"train.freeze": ["conv*"], "seed": 5}, epochs=2)
    assert chosen.search is None
    assert chosen.sweep.axes == {}
    assert (chosen.train.freeze, chosen.seed, chosen.train.epochs) == (("conv*",), 5, 2)
    assert config.train.freeze == ()


def test_the_objective_follows_the_task() -> None:
    text = "{strategy: grid, space: {seed: [1]}}"
    reconstruction = "model.name=autoencoder_undercomplete"
    assert space.objective_of(config_of(text)) == "val_top1"
    assert space.objective_of(config_of(text, reconstruction)) == "val_mse"
    assert space.objective_of(config_of(text, "search.objective=val_loss")) == "val_loss"
    for objective in ("val_balanced_top1", "val_macro_f1"):
        by_class = config_of(text, f"search.objective={objective}")
        assert space.objective_of(by_class) == space.tested_score(by_class) == objective
        assert space.SIGN[objective] == 1
        with pytest.raises(BadInput, match=f"has no {objective}; set val_mse or val_loss"):
            space.objective_of(config_of(text, reconstruction, f"search.objective={objective}"))
    for words, score in (((), "val_top1"), ((reconstruction,), "val_mse")):
        losses = config_of(text, *words, "search.objective=val_loss")
        assert space.tested_score(losses) == score
    with pytest.raises(BadInput, match="lenet5 is a classification and has no val_mse"):
        space.objective_of(config_of(text, "search.objective=val_mse"))
    with pytest.raises(BadInput, match="set val_mse or val_loss"):
        space.objective_of(config_of(text, reconstruction, "search.objective=val_top1"))


def test_a_plain_run_does_not_depend_on_the_search() -> None:
    plain = Config()
    searched = config_of(
        "{strategy: grid, space: {seed: [1]}}",
        *("validation.folds=4", "validation.repeats=2", "validation.outer=3", "validation.inner=2"),
    )
    assert config_hash(searched) == config_hash(plain)
    assert group_hash(searched) == group_hash(plain)
    assert experiment.params_of(searched) == experiment.params_of(plain)
    assert config_hash(config_of("null", "validation.seed=2")) != config_hash(plain)
    assert "search" not in yaml.safe_load(to_yaml(plain))


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_every_shipped_search_can_start(path: Path) -> None:
    config = settings.load(path)
    assert config.name == path.stem
    folds = (config.validation.folds or 1) * config.validation.repeats
    space.check(config, str(path), folds)
    assert settings.parse(yaml.safe_load(to_yaml(config))) == config
    oracle = space.oracle_of(config)
    announced = oracle.announced()
    stated = {
        "search-grid": "2 x 3 candidates",
        "search-hyperband": "22 trials",
        "nested": "8 cand",
        "search-pareto": "Sixteen candidates",
    }
    assert stated.get(path.stem, "Twelve candidates") in path.read_text()
    counts = {"search-grid": 6, "search-hyperband": 22, "nested": 8, "search-pareto": 16}
    assert announced == counts.get(path.stem, 12)
    for _ in range(5):
        proposal = oracle.ask()
        assert isinstance(proposal, Proposal)
        plan = prepare(space.candidate(config, proposal.settings, proposal.epochs))
        network = plan.config.model
        models.outline(
            network.name, input_shape=plan.input_shape, classes=plan.classes, **network.options
        )


@pytest.mark.parametrize(
    ("words", "ignored"),
    [
        (["strategy=grid"], ["search.trials is ignored: strategy grid: a grid is complete"]),
        (["strategy=random"], []),
        (
            ["strategy=random", "hyperband.factor=2"],
            ["search.hyperband is ignored: it is of strategy hyperband, and this is random"],
        ),
        (
            ["strategy=random", "settings=[{seed: 1}]"],
            ["search.settings is ignored: strategy random takes its candidates from search.space"],
        ),
        (
            ["strategy=manual", "settings=[{seed: 1}]"],
            ["search.space is ignored: strategy manual takes", "search.trials is ignored"],
        ),
        (
            ["strategy=hyperband", "racing={}"],
            [
                "search.trials is ignored", "search.racing is ignored: it is over folds",
                "validation.folds and repeats are ignored: strategy hyperband",
            ],
        ),
    ],
)  # fmt: skip
def test_a_strategy_is_switched_by_one_key_and_what_it_ignores_is_said(words, ignored):
    raw = {"search": {"trials": 5, "space": {RATE: [0.1, 0.2]}}, "validation": {"folds": 3}}
    given = settings.override(raw, [f"search.{word}" for word in words])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        config = settings.parse(given)
        texts = [str(one.message) for one in said]
        said.clear()
        assert settings.parse(config.model_dump(mode="json")) == config  # and is left out for good
    assert not said
    assert len(texts) == len(ignored)
    assert all(text.startswith(begin) for text, begin in zip(texts, ignored, strict=True))


def test_hyperband_is_refused_where_folds_choose() -> None:
    text = f"{{strategy: hyperband, space: {{{RATE}: {{type: float, low: 0.1, high: 1}}}}}}"
    assert "Received: 3 folds" in refusal(text, folds=3)
    space.check(config_of(text), "c.yaml")
