"""Networks that grow: stages carry their layers on, in memory, into the run's own network."""

from __future__ import annotations

import numpy as np
import pytest
from command import write_config

from experiments.comparison import grouping
from experiments.config import settings
from experiments.config.identity import graph_key
from experiments.errors import BadInput
from experiments.fitting import fit
from experiments.jobs.plan import prepare
from experiments.presentation import formatting
from experiments.runs.cells import plan_cells
from experiments.tracking import experiment

BASE = {
    "data": {"source": "digits", "image_size": 8, "train_fraction": 0.2, "batch_size": 50},
    "model": {"name": "mlp", "options": {"hidden": [24, 16]}},
    "train": {"epochs": 1, "optimizer": {"learning_rate": 0.05}},
    "bench": {"latency_calls": 1, "throughput_batches": 1},
}
FIRST = "{model: {name: mlp, options: {hidden: [24]}}, epochs: 2}"


def plan(*words):
    return prepare(settings.parse(settings.override(BASE, words)))


def run(*words):
    """Outcome and events of a run in this process."""
    events = []
    return fit.run(plan(*words).job(("run",)), events.append), events


def weights_of(position):
    """Weights by layer name of the network at a position of the last run's chain."""
    layers = fit.WORKER.trainers[position].leaves
    return {x.name: x.get_weights() for x in layers if x.weights and x.name != "normalise"}


def test_layers_of_equal_name_and_shape_go_on_and_the_rest_starts_as_in_a_plain_run():
    run("train.epochs=0")
    plain = weights_of(0)
    outcome, _ = run("train.epochs=0", f"train.stages=[{FIRST}]")
    stage, final = weights_of(0), weights_of(1)
    np.testing.assert_array_equal(final["fc1"][0], stage["fc1"][0])
    assert (final["fc1"][0] != plain["fc1"][0]).any()
    for name in ("fc2", "output"):  # output has another shape in the stage
        np.testing.assert_array_equal(final[name][0], plain[name][0])
    [record] = outcome.artifacts["stages.json"]
    assert record["model"]["options"] == {"hidden": [24]}
    assert [set(epoch) >= {"train_loss", "val_top1"} for epoch in record["epochs"]] == [True] * 2
    assert outcome.history == []


def test_frozen_layers_of_a_stage_are_carried_through_it_unmoved():
    second = "{model: {name: mlp, options: {hidden: [24, 16]}}, epochs: 1, freeze: [fc1]}"
    run("train.epochs=0", f"train.stages=[{FIRST}, {second}]")
    first, second_stage, final = (weights_of(i) for i in range(3))
    np.testing.assert_array_equal(second_stage["fc1"][0], first["fc1"][0])
    np.testing.assert_array_equal(final["fc2"][0], second_stage["fc2"][0])
    run("train.epochs=0")
    assert (final["fc2"][0] != weights_of(0)["fc2"][0]).any()


def test_the_same_settings_give_the_same_result_and_the_networks_are_kept():
    words = [f"train.stages=[{FIRST}]", "model.options.dropout=0.2"]
    one, _ = run(*words)
    kept = dict(fit.WORKER.trainers)
    run(*words, "seed=2")
    again, _ = run(*words)
    assert fit.WORKER.trainers == kept
    assert again.scores == one.scores
    assert again.history == one.history
    assert again.artifacts["stages.json"] == one.artifacts["stages.json"]


def test_progress_is_one_scale_and_only_the_runs_own_epochs_are_epochs(monkeypatch):
    monkeypatch.setattr("experiments.training.loop.time.perf_counter", iter(range(10**6)).__next__)
    outcome, events = run(f"train.stages=[{FIRST}]")
    steps = [e["step"] for e in events if e["kind"] == "progress"]
    totals = {e["steps"] for e in events if e["kind"] == "progress"}
    per_epoch = len(steps) // 3
    assert steps == list(range(1, 3 * per_epoch + 1))
    assert totals == {3 * per_epoch}
    assert [e["epoch"] for e in events if e["kind"] == "epoch"] == [1]
    [note] = [e["text"] for e in events if e["kind"] == "note"]
    assert note.startswith("stage 1 of 1, mlp: 0 layers carried in, 2 epochs, train_loss")
    assert len(outcome.history) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.stages=[{model: {name: vgg_aa}, epochs: 1}]"], r"stages\.0\.model\.name.*vgg_a"),
        (["train.stages=[{model: {name: mlp}}]"], r"train\.stages\.0\.epochs"),
        (["train.stages=[{model: {name: mlp}, epochs: 0}]"], r"train\.stages\.0\.epochs"),
        (
            ["train.stages=[{model: {name: mlp}, epochs: 1, frezee: [a]}]"],
            r"train\.stages\.0\.frezee: unknown key; did you mean train\.stages\.0\.freeze\?",
        ),
        (
            ["train.stages=[{model: {nam: mlp}, epochs: 1}]"],
            r"train\.stages\.0\.model\.nam: unknown key; did you mean .*model\.name\?",
        ),
        (
            [f"train.stages=[{FIRST}]", "train.initialize_from=a.keras"],
            r"train\.stages and train\.initialize_from exclude each other",
        ),
        (
            ["train.stages=[{model: {name: autoencoder_undercomplete}, epochs: 1}]"],
            r"train\.stages\.0.*is a reconstruction, mlp a classification",
        ),
        (
            ["train.stages=[{model: {name: mlp, options: {hiden: [3]}}, epochs: 1}]"],
            r"train\.stages\.0\.model: mlp has no option 'hiden'; did you mean hidden",
        ),
    ],
)
def test_mistakes_are_told_before_anything_starts(words, said):
    with pytest.raises(BadInput, match=said):
        plan(*words)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (FIRST.replace("}}", "}}, freeze: [zz]"), r"stages\.0: train\.freeze: 'zz'"),
        ("{model: {name: lenet5}, epochs: 1}", r"train\.stages: no layer of the network trained"),
    ],
)
def test_mistakes_that_only_the_built_network_shows_name_the_stage(stage, said):
    with pytest.raises(BadInput, match=said):
        run(f"train.stages=[{stage}]", "data.image_size=16")


def test_the_traced_programs_include_those_of_the_stages():
    def key(*words):
        return graph_key(plan(*words).config, (8, 8, 1), 10)

    one = key(f"train.stages=[{FIRST}]")
    assert one != key()
    assert one == key(f"train.stages=[{FIRST.replace('epochs: 2', 'epochs: 5')}]")
    assert one != key(f"train.stages=[{FIRST.replace('24', '23')}]")


def test_stages_can_be_an_axis_and_read_well_in_a_comparison(tmp_path):
    stages = [[], [{"model": {"name": "mlp", "options": {"hidden": [24]}}, "epochs": 2}]]
    path = write_config(tmp_path, **BASE, sweep={"train.stages": stages})
    cells = list(plan_cells(settings.load(path), str(path)))
    assert [len(cell.plan.config.train.stages) for cell in cells] == [0, 1]
    # as a tracking store gives params back: as text
    texts = [grouping.value_of(str_of(cell.plan.config)) for cell in cells]
    assert [formatting.in_words(text) for text in texts] == ["[]", "mlp(hidden=[24]):2"]


def str_of(config):
    from experiments.tracking.run_log import text

    return text(experiment.params_of(config)["train.stages"])
