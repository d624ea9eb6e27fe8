"""Seeds, hashes and graph keys: what may vary without being another experiment."""

from __future__ import annotations

import pytest

from experiments.config import settings
from experiments.config.identity import config_hash, graph_key, group_hash
from experiments.config.schema import Config
from experiments.jobs.job import seed_for


def changed(*words):
    return settings.parse(settings.override({}, words))


def test_seed_for_is_fixed_across_versions():
    # Typed in: another value would change every published run.
    assert seed_for(1, "weights") == 2143059560
    assert seed_for(0, "weights") != seed_for(1, "weights")


def test_seeds_differ_by_name_and_stay_in_range():
    seeds = {seed_for(root, "fold", i) for root in range(20) for i in range(50)}
    assert len(seeds) == 1000
    assert all(0 < seed < 2**31 for seed in seeds)


def test_config_hash_leaves_out_tracking_and_launch():
    base = config_hash(Config())
    assert config_hash(changed("tracking.uri=sqlite:///x.db", "launch.workers=3")) == base
    assert config_hash(changed("sweep={seed: [1, 2]}")) == base
    assert config_hash(changed("train.steps_per_execution=8")) == base
    assert config_hash(changed("seed=2")) != base
    assert config_hash(changed("train.optimizer.learning_rate=0.02")) != base


def test_group_hash_leaves_out_the_seed_only():
    assert group_hash(changed("seed=2")) == group_hash(Config())
    assert group_hash(changed("validation.seed=2")) != group_hash(Config())


@pytest.mark.parametrize(
    ("word", "same"),
    [
        ("train.optimizer.learning_rate=0.5", True),
        ("train.schedule.name=cosine", True),
        ("train.epochs=99", True),
        ("data.batch_size=7", True),
        ("seed=5", True),
        ("train.optimizer.momentum=0.5", True),
        ("train.optimizer.momentum=0", False),
        ("train.optimizer.nesterov=true", False),
        ("train.optimizer.weight_decay=0.1", False),
        ("train.loss.label_smoothing=0.1", False),
        ("train.precision=mixed_bfloat16", False),
        ("train.freeze=[conv*]", False),
        ("train.class_weights=balanced", False),
        ("train.optimizer={learning_rate_scaling: linear, learning_rate_for_batch: 256}", True),
        ("train.steps_per_execution=8", True),
        ("train.optimizer.clip.norm=1", False),
        ("train.optimizer.ema.momentum=0.9", False),
        ("train.optimizer={factors: {'*bias': {rate: 2}}}", False),
        ("train.schedule={name: piecewise, boundaries: {30: 0.01}}", True),
        ("train.accumulate=2", False),
        ("train.jit=true", False),
        ("model.name=mlp", False),
    ],
)
def test_graph_key_changes_with_the_traced_program_only(word, same):
    shape = (32, 32, 1)
    assert (graph_key(changed(word), shape, 10) == graph_key(Config(), shape, 10)) is same


def test_graph_key_knows_shape_and_classes():
    keys = {graph_key(Config(), s, c) for s in ((32, 32, 1), (32, 32, 3)) for c in (10, 11)}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("sgd", "weight_decay=0.1", "weight_decay=0.2", True),
        ("adamw", "weight_decay=0", "weight_decay=0.2", True),
        ("adam", "weight_decay=0", "weight_decay=0.2", False),
        ("adam", "beta_1=0.8", "beta_1=0.9", False),
        ("rmsprop", "momentum=0.5", "momentum=0.6", False),
        ("rmsprop", "initial_square=0", "initial_square=1", False),
        ("adam", "clip.norm=1", "clip.norm=2", True),
        ("adam", "clip.norm=1", "clip.value=1", False),
        ("sgd", "ema.momentum=0.9", "ema.momentum=0.5", True),
        ("sgd", "ema.warmup=true", "ema.warmup=false", False),
        ("sgd", "ema.kind=ema", "ema.kind=mean", False),
        ("sgd", "ema={kind: mean, warmup: false}", "ema={kind: mean, momentum: 0.5}", True),
    ],
)
def test_graph_key_knows_which_optimizer_values_are_variables(name, one, other, same):
    def key(setting):
        words = [f"train.optimizer.name={name}", f"train.optimizer.{setting}"]
        return graph_key(settings.parse(settings.override({}, words)), (32, 32, 1), 10)

    assert (key(one) == key(other)) is same
