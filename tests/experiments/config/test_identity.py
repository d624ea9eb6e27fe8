"""Hashes of configs are those of every version: another one trains anew what users have."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from experiments.config import settings
from experiments.config.identity import config_hash, graph_key, group_hash
from experiments.config.schema import Config
from experiments.config.section import Section
from experiments.jobs.plan import prepare
from experiments.tracking.experiment import params_of
from experiments.tracking.search_journal import what_matters


def parsed(*words: str) -> Config:
    return settings.parse(settings.override({}, words))


@pytest.mark.parametrize(
    ("config", "run", "group"),
    [
        ("quickstart", "d4b8c3010dea", "669eb463c73b"),
        ("history", "1bc9e3451d02", "dd379f26d7b2"),
        ("nested", "d74e9f30a035", "c95a35190797"),
        ("search-bayesian", "3ff4e8fae976", "472485481e36"),
        ("ensemble", "d0db9c067741", "bf51c085c188"),
        ("ablations/normalizations", "35c9a2166b19", "b7331a19acbc"),
        ("ablations/warm_start", "763701bfa17e", "d1f57610cd50"),
    ],
)
def test_shipped_configs_keep_their_hashes(config: str, run: str, group: str) -> None:
    made = settings.load(str(files("experiments.configs").joinpath(f"{config}.yaml")))
    assert (config_hash(made), group_hash(made)) == (run, group)


@pytest.mark.parametrize(
    ("words", "run", "group"),
    [
        ([], "4053de3adc08", "0bf65981afce"),
        (
            [
                "train.optimizer={name: adamw, learning_rate: 0.001, weight_decay: 0.05, "
                "clip: {global_norm: 1}, ema: {}}",
                "train.schedule={name: cosine, warmup_epochs: 2}",
            ],
            "f14d5e37c472",
            "76c15f98d690",
        ),
        (
            [
                "train.early_stopping={patience: 3}",
                "train.schedule.name=plateau",
                "train.loss={label_smoothing: 0.1}",
            ],
            "d8cb633b97b4",
            "f56feb52036e",
        ),
        (
            [
                "train.accumulate=4",
                "train.precision=mixed_bfloat16",
                "augment.preset=alexnet",
                "model={name: alexnet, options: {dropout: 0.3}}",
            ],
            "2dccf233de92",
            "9191f5bebe8c",
        ),
    ],
    ids=["defaults", "adamw", "early stopping", "preset"],
)
def test_settings_keep_their_hashes(words: list[str], run: str, group: str) -> None:
    made = parsed(*words)
    assert (config_hash(made), group_hash(made)) == (run, group)


OF_STEPS = {
    "pad_and_crop": "6f84eb720b96",
    "random_resized_crop": "69d8ad6ff01c",
    "scale_and_crop": "1d0c2b793b6c",
    "horizontal_flip": "2b6806e377aa",
    "vertical_flip": "241f775552ff",
    "right_angles": "59291794b90b",
    "translate": "545f049cc647",
    "rotate": "d5fb0f7699b7",
    "stretch": "10d64107d505",
    "shear": "0fa9f22f2373",
    "lens_distortion": "6c16b520029d",
    "brightness": "cbe1d4d2fcd5",
    "contrast": "0635ca7cbc90",
    "saturation": "1a1a61bb8e4e",
    "hue": "959b5c5d60ed",
    "pca_jitter": "992e9adf85c2",
    "random_erasing": "7854ffca1a7f",
    "mixup": "9ee945e1ae0a",
    "cutmix": "eb743559c734",
}  # each alone, with the values that it has where none are written


@pytest.mark.parametrize("op", OF_STEPS)
def test_a_step_of_the_recipe_keeps_its_hash(op: str) -> None:
    assert config_hash(parsed(f"augment.steps=[{{op: {op}}}]")) == OF_STEPS[op]


@pytest.mark.parametrize(
    ("preset", "run"),
    [
        ("none", "86382dcfa046"),
        ("cifar", "c27ddb02b4b0"),
        ("alexnet", "e9a6a98fbaf7"),
        ("vgg", "f1c903e552f5"),
        ("inception", "9d16df5ab692"),
        ("resnet", "39c566322c61"),
    ],
)
def test_a_preset_comes_to_the_steps_that_it_always_came_to(preset: str, run: str) -> None:
    words = "data.source=synthetic:classes=2,size=32,examples=40", f"augment.preset={preset}"
    assert config_hash(prepare(parsed(*words)).config) == run


def test_a_config_with_its_data_keeps_its_hashes() -> None:
    made = prepare(parsed("data.source=digits")).config
    assert (config_hash(made), group_hash(made)) == ("5875d926ac20", "6a5edd0335d8")
    assert graph_key(made, (8, 8, 1), 10) == "e49712384e54"


NO_RESULT = """
    bench.backends bench.batch_sizes bench.log bench.names bench.peers bench.precisions
    bench.seconds
    data.verify
    evaluate.class_names evaluate.classes evaluate.corruptions evaluate.ensemble.every
    evaluate.ensemble.kind evaluate.ensemble.size evaluate.labels evaluate.part evaluate.protocol
    evaluate.reuse evaluate.sides
    launch.address launch.cpus launch.executor launch.gpus launch.grace_seconds launch.resources
    launch.retries launch.runs_per_worker launch.stop_after_failures launch.workers
    search sweep.until
    tracking.save_model tracking.system_metrics tracking.uri
    train.allow_overlap train.checkpoint.every_seconds train.checkpoint.keep
    train.steps_per_execution
    validation.folds validation.inner validation.outer validation.repeats validation.test_folds
"""
"""Typed in: whatever else is changed is another run."""

FULL = (
    "train.optimizer.clip.norm=1",
    "train.optimizer.ema={}",
    "train.early_stopping={}",
    "train.stages=[{model: {name: mlp}, epochs: 1}]",
    "augment.steps=[{op: pad_and_crop}]",
    "evaluate.ensemble={kind: seeds, size: 2}",
)
"""Sections that are not there unless they are asked for."""


def leaves(section: Section, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all settings, those of sections in lists as well."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from leaves(value, (*path, name))
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            for number, item in enumerate(value):
                yield from leaves(item, (*path, name, number))
        else:
            yield (*path, name)


def with_another(node: Any, path: tuple[str | int, ...]) -> Any:
    """A copy that differs in one setting, whatever that setting may hold."""
    if not path:
        return f"not {node}"
    name, *below = path
    if isinstance(name, int):
        return tuple(with_another(x, tuple(below)) if i == name else x for i, x in enumerate(node))
    changed = with_another(getattr(node, name), tuple(below))
    return node.model_copy(update={name: changed})


def test_whatever_is_changed_is_another_run_but_for_a_typed_in_list() -> None:
    config = parsed(*FULL)
    before, group = config_hash(config), group_hash(config)
    same, same_group = [], []
    with warnings.catch_warnings(action="ignore"):  # of values that no setting can have
        for path in leaves(config):
            key, changed = ".".join(map(str, path)), with_another(config, path)
            if config_hash(changed) == before:
                same.append(key)
            if group_hash(changed) == group:
                same_group.append(key)
    assert sorted(same) == sorted(NO_RESULT.split())
    apart = [f"seeds.{draw}" for draw in ("weights", "order", "augmentation", "dropout")]
    assert sorted(same_group) == sorted([*same, "seed", *apart])


def test_seeds_that_are_null_leave_no_trace_and_others_only_themselves() -> None:
    plain, null, one = (
        parsed("data.source=digits", *words)
        for words in ([], ["seeds={weights: null, order: null}"], ["seeds.order=3"])
    )
    assert config_hash(null) == config_hash(plain)
    assert params_of(null) == params_of(plain)
    assert not any(key.startswith("seeds") for key in params_of(plain))
    assert params_of(one) == params_of(plain) | {"seeds.order": 3}
    assert config_hash(one) != config_hash(plain)
    assert len({graph_key(made, (8, 8, 1), 10) for made in (plain, one)}) == 1

    searched = [
        parsed("search={strategy: grid, space: {train.epochs: [1, 2]}}", *words)
        for words in ([], ["seeds.order=3"])
    ]
    before, now = (what_matters(made, "search", "f") for made in searched)
    assert not any(key.startswith("seeds") for key in before)
    assert now == before | {"seeds.order": 3}
