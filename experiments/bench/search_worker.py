"""One side of `ilsvrc bench search` in a process of its own.

    python -m experiments.bench.search_worker '{"side": "ours", "trials": 16, "epochs": 2, ...}'

Before each trial it prints a line and waits for one, so that two sides can take turns; what a trial
took counts up to the next such line, with all that its search does in between. Both sides train the
same candidates on the same folds with the same pipeline, seeds and initial weights.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

SEED = 1
NAME = "bench-search"


class Turns:
    """Waits for its turn before a trial, and tells what the last one took."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._apart = 0.0
        self.done: dict[str, Any] = {}

    def next(self, apart: float = 0.0) -> None:
        """`apart`: seconds so far of what is not counted, such as tracking."""
        now = time.perf_counter()
        if self._began is not None:
            seconds = now - self._began - (apart - self._apart)
            rss = psutil.Process().memory_info().rss
            say({"seconds": seconds, "rss": rss, **self.done})
        say({"ready": True})
        if not sys.stdin.readline():
            sys.exit(0)
        self.done = {"scores": [], "step_seconds": 0.0}
        self._apart, self._began = apart, time.perf_counter()


def say(document: dict[str, Any]) -> None:
    print(json.dumps(document), file=sys.__stdout__, flush=True)


def config_of(job: dict[str, Any], candidates: list[dict[str, Any]]) -> Any:
    """The search as our config: these candidates, listed."""
    from experiments.config import settings

    return settings.parse(
        {
            "name": NAME,
            "data": {
                "source": "digits",
                "image_size": job["image_size"],
                "train_fraction": job["train_fraction"],
            },
            "model": {"name": "lenet5"},
            "train": {"epochs": job["epochs"]},
            "validation": {"test_fraction": 0.2, "folds": job["folds"]},
            "search": {"strategy": "manual", "settings": candidates},
            "launch": {"executor": "inline"},
        }
    )


def declare(chosen: Any) -> dict[str, Any]:
    """The space, as KerasTuner's users write it, and what of it was chosen."""
    return {
        "train.optimizer.learning_rate": chosen.Float("rate", 0.005, 0.2, sampling="log"),
        "train.optimizer.momentum": chosen.Float("momentum", 0.5, 0.95),
        "data.batch_size": chosen.Choice("batch_size", [32, 64, 128]),
    }


def candidates_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    """What KerasTuner's random search draws."""
    import keras_tuner

    space = keras_tuner.HyperParameters()
    declare(space)
    objective = keras_tuner.Objective("val_top1", "max")
    oracle = keras_tuner.oracles.RandomSearchOracle(objective, job["trials"], SEED, space)
    oracle._set_project_dir(tempfile.mkdtemp(dir=Path.cwd()), "proposals")
    trials = [oracle.create_trial(f"tuner{i}") for i in range(job["trials"])]
    return [declare(trial.hyperparameters) for trial in trials]


def ours(job: dict[str, Any], turns: Turns) -> None:
    """`ilsvrc search`, as its command runs it."""
    from experiments.launch.executors import Inline
    from experiments.launch.progress import Display
    from experiments.search.candidates import Candidates
    from experiments.search.drive import Drive
    from experiments.search.study import new_work, open_study
    from experiments.search.tracking import SearchRuns
    from experiments.tracking.provenance import surroundings
    from experiments.tracking.search_journal import State, find, what_matters

    config = config_of(job, candidates_of(job))
    study = open_study("search", config)
    matters = what_matters(config, "search", study.source.fingerprint)
    directory = find(NAME, "search", matters, fresh=False)
    state = State(directory)
    state.begin(matters, surroundings()[1])
    tracked = SearchRuns(study, state.id, print)

    class TakingTurns(Inline):
        trial: Any = None

        def run(self, jobs: Any, on_event: Any) -> Any:
            def heard(job: Any, event: dict[str, Any]) -> None:
                if event["kind"] == "begin" and job.path[1] != self.trial:
                    self.trial = job.path[1]
                    turns.next(tracked.seconds)
                on_event(job, event)

            for done, outcome in super().run(jobs, heard):
                turns.done["scores"].append(outcome.scores["val_top1"])
                turns.done["step_seconds"] += outcome.cost["step_seconds"]
                yield done, outcome

    candidates = Candidates(study, directory)
    with Display(0) as display:
        Drive(new_work(study), candidates, state, tracked, display).run(TakingTurns())
    turns.next(tracked.seconds)


def stock(job: dict[str, Any], turns: Turns) -> None:
    """KerasTuner's RandomSearch with the folds in `run_trial`, each a network built anew."""
    import keras
    import keras_tuner

    import models
    import pipelines.statistics
    from experiments.jobs.job import seed_for
    from experiments.optimization import losses
    from experiments.runtime.startup import prepare_process
    from experiments.search.candidates import Candidates
    from experiments.search.study import open_study
    from experiments.training import weights
    from experiments.training.batches import Batches
    from models.layers.normalizations import Normalise
    from tuning.nested import Task
    from tuning.trial import Fit

    config = config_of(job, [{"train.optimizer.momentum": 0.5}])
    study = open_study("search", config)
    source = study.source
    prepare_process(0, True)
    made = Candidates(study, Path("stock"))
    shown: dict[int, Any] = {}  # statistics and validation images of each fold, prepared once

    size = (job["image_size"],) * 2
    shape = (*size, 1)

    def build(chosen: Any) -> Any:
        pixels = keras.Input(shape, name="pixels")
        network = models.build("lenet5", input_shape=shape, classes=10)
        model = keras.Model(pixels, network(Normalise(name="normalise")(pixels)))
        values = declare(chosen)
        model.compile(
            keras.optimizers.SGD(
                values["train.optimizer.learning_rate"],
                momentum=values["train.optimizer.momentum"],
            ),
            loss=losses.build(config.train.loss, 10),
            metrics=["accuracy"],
        )
        return model

    class Folds(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
            turns.next()
            chosen = trial.hyperparameters
            for fold in range(job["folds"]):
                planned = made.job(Task(0, Fit(int(trial.trial_id), fold, declare(chosen))))
                if fold not in shown:
                    fitted = pipelines.statistics.fit(source, planned.train, size=size)
                    assert planned.validation is not None
                    batches = Batches(planned.config, source, planned.train, fitted)
                    shown[fold] = batches, batches.evaluation(planned.validation)
                batches, held_out = shown[fold]
                batches = replace(batches, config=planned.config)  # of the trial's batch size
                model = self.hypermodel.build(chosen)
                for leaf in weights.leaves(model):
                    weights.draw(leaf, seed_for(planned.config.seed, "weights"))
                mean, scale = batches.normalisation()
                model.get_layer("normalise").set_weights([mean, scale])
                history = model.fit(
                    batches.dataset(seed_for(planned.config.seed, "data")),
                    epochs=job["epochs"],
                    steps_per_epoch=batches.steps,
                    validation_data=held_out,
                    verbose=0,
                )
                turns.done["scores"].append(history.history["val_accuracy"][-1])
            return float(sum(turns.done["scores"]) / job["folds"])

    tuner = Folds(
        build,
        objective=keras_tuner.Objective("val_top1", "max"),
        max_trials=job["trials"],
        seed=SEED,
        directory=tempfile.mkdtemp(dir=Path.cwd()),
    )
    tuner.search(verbose=0)
    turns.next()


SIDES: dict[str, Callable[[dict[str, Any], Turns], None]] = {"ours": ours, "stock": stock}


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stdout = sys.stderr  # stdout is for the figures
    job = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        os.chdir(folder)
        os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
        gc.collect()
        SIDES[job["side"]](job, Turns())
        os.chdir("/")


if __name__ == "__main__":
    main()
