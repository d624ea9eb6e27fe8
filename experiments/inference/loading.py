"""What a user names as a network, loaded: a tracked run, a .keras file, or published weights."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import models
from experiments.config.schema import Config
from experiments.errors import BadInput, shown
from experiments.inference.names_file import read_entries
from experiments.jobs.dataset import PHOTOGRAPH_CROP
from experiments.runtime.startup import load_tensorflow
from experiments.tracking.store import connect, experiment_names, store_uri
from experiments.tracking.tracked_run import (
    FINAL,
    FOLDS,
    NETWORK,
    RUN_ID,
    SUPERSEDED,
    TrackedRun,
    find_run,
)
from models.errors import nearest

if TYPE_CHECKING:
    from mlflow.entities import Run


def crop_fraction(network: Network, given: Config, source: Any) -> float:
    """The centre crop's: as asked for, else the run's own, else as training would choose it.

    Published weights are for 224 of 256 pixels, whatever the images.
    """
    whole = source.image_shape[0] is not None and network.origin is None
    fallback = 1.0 if whole else PHOTOGRAPH_CROP
    return given.data.crop_fraction or network.crop_fraction or fallback


SHOWN = 10  # runs of an experiment that are named
CLASS_NAMES, CLASS_TITLES = "class_names.json", "class_titles.json"


@dataclass(frozen=True)
class Network:
    """A network that can be scored.

    name                 as shown, different for every network of a command
    model                pixels [b, h, w, c] on 0..255 to scores [b, classes]; None where a run is
                         scored by the predictions it kept
    gives_probabilities  it ends in a softmax
    class_names          in its order, where known
    titles               readable names of classes, such as wnid -> "tench", where known
    crop_fraction        of the centre crop that it was made for, where known
    run                  where it is one
    architecture, origin of published weights: the registry's name, and whose they are
    """

    name: str
    model: Any = None
    gives_probabilities: bool = False
    class_names: list[str] | None = None
    crop_fraction: float | None = None
    run: TrackedRun | None = None
    architecture: str | None = None
    origin: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return int(self.model.output_shape[-1])


def load(words: Sequence[str], config: Config, *, with_models: bool = True) -> list[Network]:
    """The networks that the words of a command name, in order, names made different.

    Args:
        words: run ids, .keras files, names of the registry (with `model.weights`), NAME:WEIGHTS.
        config: what the command changes; its tracking.uri, model and data.image_size count here.
        with_models: off, runs are left without their models.

    Raises:
        BadInput: what a word names is not there, or is no classifier.
        FailedWork: weights could not be fetched.
    """
    check_kinds(words, config)
    if repeated := next((word for word in words if list(words).count(word) > 1), None):
        raise BadInput(f"{repeated} is named twice")
    runs = {word: _run(word, config) for word in words if _kind(word) == "run"}
    if not with_models and len(runs) < len(set(words)):
        other = next(word for word in words if word not in runs)
        raise BadInput(f"evaluate.reuse: only runs keep predictions. Received: {other}")
    load_tensorflow()
    networks = []
    for word in words:
        with _stdout_to_stderr():  # Keras announces its downloads there
            networks.append(_network(word, runs.get(word), config, with_models))
    names = [network.name for network in networks]
    twice = {name for name in names if names.count(name) > 1}
    return [_renamed(network, word, twice) for network, word in zip(networks, words, strict=True)]


def check_kinds(words: Sequence[str], config: Config) -> None:
    """Refuse what no word can mean, architectures without weights, and names that cannot be read.

    Before any network is loaded or image opened.

    Raises:
        BadInput: as said.
    """
    for word in words:
        if word in _experiments(word, config):
            raise BadInput(f"{word} is an experiment; name one of its runs: {_runs(word, config)}")
        if _kind(word) == "published":
            name, _, weights = word.partition(":")
            if not (weights or config.model.weights):
                raise BadInput(
                    f"{name} is an architecture without weights: set model.weights=imagenet or a "
                    f"file, or write {name}:WEIGHTS; of your own training give a run id or a "
                    ".keras file"
                )
    if config.evaluate.class_names is not None:
        read_entries(config.evaluate.class_names)


def _network(word: str, run: TrackedRun | None, config: Config, with_models: bool) -> Network:
    if run is not None:
        return _of_run(run, with_models)
    if _kind(word) == "file":
        model, softmax = read_model(Path(word))
        return Network(word, model, softmax)
    from experiments.inference import published_weights

    name, _, weights = word.partition(":")
    model, origin = published_weights.build(name, weights or config.model.weights or "", config)
    return Network(f"{name} ({origin})", model, architecture=name, origin=origin)


def read_model(path: Path, said: str = "") -> tuple[Any, bool]:
    """The classifier in a .keras file, and whether it ends in a softmax.

    Raises:
        BadInput: no such file, not a Keras model, one that brings code along, or not one from
            images to classes.
    """
    from experiments.training.keras_file import load_network
    from models.registry import deployable

    said = said or str(path)
    if not path.is_file():
        raise BadInput(f"{said}: no such file")
    network = load_network(path, said)
    try:
        model = deployable(network)
    except KeyError:
        raise BadInput(
            f"{said}: expected a classifier with one output, or one called logits. "
            f"Received: {', '.join(network.output)}"
        ) from None
    before, after = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    shapes = isinstance(before, tuple) and isinstance(after, tuple)
    if not shapes or len(before or ()) != 4 or None in (before or ())[1:] or len(after or ()) != 2:
        raise BadInput(
            f"{said}: expected a classifier of images of one size, (h, w, c) to (classes). "
            f"Received: {before} to {after}"
        )
    return model, ends_in_softmax(model)


def ends_in_softmax(model: Any) -> bool:
    """Does a network give probabilities and not logits?"""
    import keras

    last = model.layers[-1]
    while hasattr(last, "layers"):
        last = last.layers[-1]
    activation = getattr(last, "activation", None)
    return isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax


def _run(word: str, config: Config) -> TrackedRun:
    uri = store_uri(config.tracking.uri)
    run = find_run(connect(uri), word)
    if run is None:
        raise BadInput(
            f"{word}: no such run in {shown(uri)}; set tracking.uri, or give a .keras file "
            "or a name of `ilsvrc models`"
        )
    return run


def _of_run(run: TrackedRun, with_model: bool) -> Network:
    names, titles = (
        json.loads(run.text(file)) if file in run.files else None
        for file in (CLASS_NAMES, CLASS_TITLES)
    )
    model, softmax = None, False
    if models.card(run.config.model.name).task == "reconstruction":
        raise BadInput(f"run {run.id} ({run.name}) reconstructs images; it has no classes to score")
    if with_model:
        with run.fetched(NETWORK) as path:
            model, softmax = read_model(path, f"run {run.id}")
    crop = run.config.data.crop_fraction
    return Network(run.name, model, softmax, names, crop, run, titles=titles or {})


def _kind(word: str) -> str:
    if word.endswith(".keras"):
        return "file"
    if word.partition(":")[0] in models.list_models():
        return "published"
    if RUN_ID.fullmatch(word):
        return "run"
    near = nearest(word.partition(":")[0], models.list_models(), 3)
    hint = f" (did you mean {', '.join(near)}?)" if near else ""
    raise BadInput(
        f"{word}: neither a run id (32 hex digits), nor a .keras file, nor an architecture{hint}"
    )


def _experiments(word: str, config: Config) -> list[str]:
    """Names of the store's experiments, where the word can be nothing else."""
    known = word.endswith(".keras") or RUN_ID.fullmatch(word)
    if known or word.partition(":")[0] in models.list_models():
        return []
    return experiment_names(store_uri(config.tracking.uri))


def _runs(name: str, config: Config) -> str:
    """The newest runs of an experiment that have a network, with what they came to."""
    client = connect(store_uri(config.tracking.uri))
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs(
        [experiment.experiment_id], "attributes.status = 'FINISHED'", max_results=1000
    )
    scored = [
        run
        for run in runs
        if "params" in run.data.metrics
        and run.data.tags.get("level")
        and FOLDS not in run.data.tags
        and "reproduces" not in run.data.tags  # the same network once more
    ]
    scored.sort(key=_promise, reverse=True)
    words = [f"{run.info.run_id[:8]} ({run.info.run_name})" for run in scored[:SHOWN]]
    more = f" and {len(scored) - SHOWN} more" if len(scored) > SHOWN else ""
    return ", ".join(words) + more or "none has finished"


def _promise(run: Run) -> tuple[bool, float]:
    """What a list of runs is ordered by: the final networks of searches, then by validation."""
    final = run.data.tags.get("level") == FINAL and SUPERSEDED not in run.data.tags
    return final, run.data.metrics.get("val_top1", 0.0)


def _renamed(network: Network, word: str, twice: set[str]) -> Network:
    if network.name not in twice:
        return network
    name = f"{network.name} ({word[:8]})" if network.run is not None else word
    return replace(network, name=name)


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """--json has stdout."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
