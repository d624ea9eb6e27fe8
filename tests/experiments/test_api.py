"""The suite from Python: the calls of `experiments`, and every example of PYTHON.md."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from blank_store import blank_store
from command import TINY

import experiments
from experiments import errors
from experiments.config import settings
from experiments.config.given import config_of
from experiments.errors import BadInput
from experiments.launch.progress import Display

PAGE = Path(experiments.__file__).with_name("PYTHON.md")
ROOT = PAGE.parents[1]
MLP = TINY | {"model": {"name": "mlp"}, "launch": {"executor": "inline"}}
COMMAND = (
    "import sys; from experiments.cli import main; sys.argv[1:] = ['models', '--json']; main()"
)
SCRIPT = """
print("the script runs", flush=True)
from experiments.launch import processes

processes.serve = print  # which a worker can import, as it can the real one
child = processes.Child("the worker runs")
child.start()
child.process.join()
print("it ended with", child.process.exitcode)
"""
AXES = {"seed": [1, 2], "train.optimizer.learning_rate": np.array([0.01, 0.1])}


@pytest.fixture(autouse=True)
def store(own_folder: Path) -> None:
    blank_store(own_folder)


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What a user's own process in a folder says, of a script or of `-c` and code."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        capture_output=True,
        timeout=120,
    )


def test_every_example_of_the_page_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(blocks) == 3
    assert np.allclose(np.sum(names["probabilities"], axis=1), 1, atol=1e-5)
    assert len(names["history"].history["val_loss"]) == 2
    assert len(names["data"]) == -(-len(names["train"]) // 64)
    assert names["result"]["status"] == names["best"]["status"] == "finished"
    assert sorted(names["table"]["train.optimizer.learning_rate"]) == [0.01, 0.05, 0.1]
    assert names["table"]["run_id"].iloc[0] == names["result"]["run_id"]


def test_importing_the_suite_is_light(tmp_path: Path) -> None:
    heavy = ["tensorflow", "keras", "mlflow", "pandas", "numpy", "pydantic"]
    code = "import sys, experiments, experiments.search as s; assert callable(experiments.search)\n"
    code += f"assert s is experiments.search; print([m for m in {heavy} if m in sys.modules])"
    assert python(tmp_path, "-c", code).stdout == "[]\n"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The JSON of a sweep over two seeds and two rates, the table of it, and its folder."""
    folder, before = tmp_path_factory.mktemp("swept"), Path.cwd()
    blank_store(folder)
    os.chdir(folder)
    try:
        result = experiments.sweep(MLP, {"sweep": AXES})
        yield result, experiments.results("tiny"), folder
    finally:
        os.chdir(before)


def test_results_are_a_row_a_run_with_what_varies(swept: Any) -> None:
    result, table, _ = swept
    assert list(table.columns[:5]) == [
        "model", "seed", "train.optimizer.learning_rate", "test_top1", "test_top5",
    ]  # fmt: skip
    assert list(table.columns[-2:]) == ["status", "run_id"]
    runs = {run["run_id"]: run for run in result["runs"]}
    assert sorted(table["run_id"]) == sorted(runs)
    for _, row in table.iterrows():
        run = runs[row["run_id"]]
        assert (row["model"], row["status"]) == ("mlp", "finished")
        for key in ("seed", "train.optimizer.learning_rate", "test_top1", "macs"):
            assert row[key] == run[key]


def test_the_same_sweep_trains_nothing_again_and_repeats_no_row(
    swept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, table, folder = swept
    monkeypatch.chdir(folder)
    again = experiments.sweep(settings.parse(MLP), {"sweep": AXES})
    assert [run["run_id"] for run in again["runs"]] == [run["run_id"] for run in result["runs"]]
    assert experiments.results("tiny").equals(table)


def test_a_config_may_be_a_dict_checked_or_a_file_with_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MLP))
    changes = {"train.epochs": np.int64(3), "seed": 7, "sweep": AXES}
    one, *others = (config_of(c, changes) for c in (MLP, settings.parse(MLP), path, str(path)))
    assert (one.train.epochs, one.seed, one.sweep.axes["seed"]) == (3, 7, [1, 2])
    assert all(other == one for other in others)
    assert config_of("quickstart").name == "quickstart"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: experiments.run(MLP, {"train.epoch": 1}), "train.epoch: unknown key"),
        (lambda: experiments.run(MLP, {"sweep": AXES}), "experiments.sweep(config) trains"),
        (lambda: experiments.run("quikstart"), "quickstart"),
        (lambda: experiments.run(3), "expected a dict of sections, a Config, or a YAML file"),
        (lambda: experiments.sweep(MLP), "config: sweep: no axes"),
        (lambda: experiments.search(MLP), "config: search"),
        (lambda: experiments.results("nobody"), "No experiment named nobody"),
        (lambda: experiments.results("nobody", level="' OR"), "level: expected a word"),
    ],
)
def test_mistakes_are_one_line(call: Any, words: str) -> None:
    with pytest.raises(BadInput, match=re.escape(words)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, which it leaves out of what a shell starts behind itself."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_call_leaves_the_process_as_it_was_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interruptible: None
) -> None:
    config = MLP | {"train": MLP["train"] | {"epochs": 4}}
    told = Display.event

    def interrupt(self: Display, job: Any, event: dict[str, Any]) -> None:
        told(self, job, event)
        if event["kind"] == "epoch" and event["epoch"] == 2:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patched:
        patched.setattr(Display, "event", interrupt)
        with pytest.raises(KeyboardInterrupt, match="make the same call to continue"):
            experiments.run(config)
    assert signal.getsignal(signal.SIGINT) == before
    assert not errors.asked_to_stop()
    capsys.readouterr()
    stopped = experiments.run(config, verbose=True)
    epochs = re.findall(r"^epoch (\d)/4", capsys.readouterr().err, re.M)
    assert epochs == ["3", "4"]
    whole = experiments.run(config | {"name": "whole"})
    assert stopped["epochs"] == whole["epochs"] == 4
    assert stopped["val_loss"] == whole["val_loss"]
    assert "epoch 1/4" not in capsys.readouterr().err  # quiet
    assert [*experiments.results("tiny")["status"]] == ["finished"]


def test_a_script_needs_no_guard_for_its_workers(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    said = python(tmp_path, "train.py")
    assert said.returncode == 0, said.stderr
    said_in_order = [line.rpartition("> ")[2] for line in said.stdout.splitlines()]
    assert said_in_order == ["the script runs", "the worker runs", "it ended with 0"]


@pytest.mark.parametrize("name", ["models", "pipelines", "tuning"])
def test_a_file_that_hides_a_package_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text("LAYERS = 3\n")
    for call in (f"run({MLP!r})", "search('search-grid')", "results('tiny')"):
        said = python(tmp_path, "-c", f"import experiments; experiments.{call}")
        last = said.stderr.splitlines()[-1]
        assert last.startswith(f"experiments.errors.BadInput: {name}: {file} hides the suite's")
        assert "rename it" in last
        assert "restart the kernel" in last
    said = python(tmp_path, "-c", COMMAND)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(f"ilsvrc: {name}: {file} hides")
    assert said.stderr.count("\n") == 1


def test_the_suite_s_own_packages_pass_and_so_does_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    said = python(tmp_path, "-c", COMMAND)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)
