"""What the console of `ilsvrc` shows: the help of every command, and the keys of its answers.

`python console.py FOLDER` writes help.json and json_keys.json there, from an empty folder.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer.main
import yaml
from PIL import Image
from typer.testing import CliRunner

PLAIN = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"}
RATE = "train.optimizer.learning_rate"
TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "digits", "image_size": 8, "train_fraction": 0.25},
    "model": {"name": "mlp", "options": {"hidden": [6]}},
    "train": {"epochs": 1, "optimizer": {"learning_rate": 0.05}},
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 3, "throughput_batches": 1},
}
LENET = ("model={name: lenet5}", "data.image_size=16")
SPACE = f"search.space={{{RATE}: {{type: float, low: 0.001, high: 0.1, log: true}}}}"
SEARCH = ("search.strategy=random", "search.trials=2", SPACE)
PIPELINE = (
    "bench.count=4", "bench.rounds=1", "bench.passes=1", "bench.cores=[1]", "bench.size=32",
    "bench.batch_size=4", "bench.only=[PIL as torchvision]",
)  # fmt: skip


def helps() -> dict[str, str]:
    """What --help prints, by the words of the command."""
    from experiments.cli import app

    shown = {}
    for words in _commands(typer.main.get_command(app), ()):
        done = CliRunner().invoke(app, [*words, "--help"], prog_name="ilsvrc", env=PLAIN)
        assert done.exit_code == 0, done.output
        shown[" ".join(("ilsvrc", *words))] = done.output
    return shown


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(inner, (*words, name))


def keys(value: Any) -> Any:
    """The keys of a JSON document and the kinds of its values; a list as all its items in one."""
    if isinstance(value, dict):
        return {key: keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        merged: list[Any] = []
        for item in value:
            merged = [_both(*merged, keys(item))] if merged else [keys(item)]
        return merged
    kinds = {bool: "boolean", int: "number", float: "number", str: "text", type(None): "null"}
    return kinds[type(value)]


def _both(first: Any, second: Any) -> Any:
    """The keys of either; where one has nothing inside, those of the other."""
    if isinstance(first, dict) and isinstance(second, dict):
        shared = {key: _both(first[key], second[key]) for key in first.keys() & second.keys()}
        return dict(sorted((first | second | shared).items()))
    if isinstance(first, list) and isinstance(second, list):
        return [_both(first[0], second[0])] if first and second else first or second
    if isinstance(first, str) and isinstance(second, str):
        return " or ".join(sorted({*first.split(" or "), *second.split(" or ")}))
    return second if isinstance(first, str) else first


def photographs(folder: Path) -> None:
    """train and val, three and two pictures of each of two classes."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("val", 2)):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 255, (40 + k, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{k}.png")


def answers(folder: Path, run: Callable[..., Any]) -> dict[str, Any]:
    """What the commands answer with --json on tiny data, by their words; benches of minutes apart.

    `folder` is empty and the current one; `run(*words)` returns the answer of `ilsvrc WORDS --json`
    as parsed, and fails unless the command ends with exit code 0.
    """
    config, photos, picture = folder / "tiny.yaml", folder / "photos", folder / "picture.png"
    config.write_text(yaml.safe_dump(TINY))
    photographs(photos)
    Image.fromarray(np.tile(np.arange(0, 256, 16, np.uint8), (16, 1))).save(picture)
    store = f"tracking.uri=sqlite:///{folder}/mlflow.db"
    other = f"tracking.uri=sqlite:///{folder}/other.db"
    source = f"folder:{photos}"
    said: dict[str, Any] = {}

    def tell(name: str, *words: object) -> Any:
        said[name] = run(*name.partition(" (")[0].split(), *words)
        return said[name]

    tell("models")
    tell("configs")
    tell("init")
    tell("init (looked at)", "--source", "digits", "--minutes", "1e6")
    tell("describe", "mlp", "classes=10", "input_shape=[8, 8, 1]", "hidden=[6]")
    tell("data check", source)
    tell("data check (findings)", source, "--tiny", "42")
    tell("data stats", source)
    tell("data preview", config, "--images", "1", "--draws", "1")
    tell("data prepare", source, "--out", "ready", "--size", "16")

    swept = f"sweep={{{RATE}: [0.05, 0.02]}}"
    tell("train --dry-run", config, store)
    tell("sweep --dry-run", config, store, "name=swept", swept)
    ids = [row["run_id"] for row in tell("sweep", config, store, "name=swept", swept)["runs"]]
    shutil.copy(folder / "mlflow.db", folder / "other.db")  # a new one would cost seconds
    lenet = tell("train", config, store, *LENET)["run_id"]
    found = (config, store, "name=found", *SEARCH, "validation.folds=2", "search.refit=true")
    tell("search --dry-run", *found)
    tell("search", *found)
    apart = (config, store, "name=apart", *SEARCH, "validation={outer: 2, inner: 2}")
    tell("nested --dry-run", *apart)
    tell("nested", *apart)
    team = (config, store, "name=team", "evaluate.ensemble={kind: seeds, size: 2}")
    tell("ensemble --dry-run", *team)
    tell("ensemble", *team)

    tell("status")
    tell("upload", "tiny", other)
    tell("upload (a search)", "found", other)
    tell("compare", "swept", store, "--out", "compared")
    tell("plan", "swept", store, "--detect", "5", "--seed-sd", "1", "--images", "900")
    tell("evaluate", *ids, store, "--out", "evaluated")
    tell("predict", lenet, picture, store)
    tell("predict (explained)", lenet, picture, store, "--explain", "cam")
    tell("export", ids[0], store)
    tell("reproduce", ids[0], store)
    tell("register", ids[0], "tiny", store)
    tell("du", store)
    tell("rm (listed)", "swept", store)

    tell("bench pipeline", *PIPELINE)
    return said


def in_this_process(*words: object) -> Any:
    """The answer of `ilsvrc WORDS --json`."""
    from experiments import cli

    sys.argv, printed = ["ilsvrc", *map(str, words), "--json"], io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(printed):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    assert not code, words
    return json.loads(printed.getvalue())


def main(folder: Path) -> None:
    """Write both files; the current folder takes what the commands leave."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.environ["GIT_DIR"] = os.devnull  # what is not committed would be warned of
    documents = {"help": helps(), "json_keys": keys(answers(Path.cwd(), in_this_process))}
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
