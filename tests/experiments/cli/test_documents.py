"""Every command of every document and of every --help: checked to its last word, and run, small.

A document's commands run one after the other in a folder of their own, as a reader would type them.
What would take minutes is cut by settings behind the reader's own (`CUTS`). What cannot be run is
in `NOT_RUN`, with the reason. Both are checked as they stand, too.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from itertools import groupby
from pathlib import Path

import console
import documents
import numpy as np
import pytest
import yaml
from blank_store import blank_store
from command import inside
from documents import ROOT, Line
from PIL import Image

import experiments
from experiments.cli.examples import EXAMPLES
from experiments.config import settings
from experiments.fitting import fit
from experiments.fitting.worker_state import WorkerState

NOT_RUN = {
    r"ilsvrc ui\b": "a server that goes on for ever, or a browser",
    r"ilsvrc paper (?!--list)": "minutes; run small in tests/experiments/papers",
    r"ilsvrc bench (suite|search|pipeline|train)": "minutes; run small in tests/experiments/bench",
    r"ilsvrc bench infer (?!.*--log)": "the same; the one with --log is run here",
    r":imagenet\b|weights=imagenet": "a download of weights, or ImageNet's images",
    r"launch\.executor=ray": "a cluster; real Ray runs in tests/experiments/launch/test_ray.py",
    r"--format onnx": "half a minute; run in tests/experiments/inference",
}
"""What of `ilsvrc` is checked to its last word, and not run."""

OUTSIDE = {
    "make": "a target of the Makefile",
    "pip": "an extra of pyproject.toml",
    "python": "a file of the repository",
    "mlflow": "its own parser",
    ".": "the shell's own", "cd": "the shell's own", "export": "the shell's own",
    "ray": "a cluster", "srun": "a cluster",
}  # fmt: skip
"""Other programs, and what is looked at there, or why nothing is."""

CLASSES = ("daisy", "rose", "tulip")
RATE = "train.optimizer.learning_rate"
SMALL = (
    "data.source=folder:flowers", "data.image_size=16", "data.batch_size=16",
    "data.train_fraction=1.0", "model.name=mlp", "model.options={}", "augment={preset: none}",
    "train.epochs=1", "train.schedule={name: constant}", "launch={executor: inline}",
    "bench={latency_calls: 1, throughput_batches: 1}",
)  # fmt: skip
SPACE = f"search.space={{{RATE}: [0.01, 0.1]}}"
CUTS = {
    "train": SMALL,
    "sweep": (*SMALL, f"sweep={{{RATE}: [0.1, 0.03]}}"),
    "ensemble": (*SMALL, "train.epochs=4", "evaluate.ensemble.size=2"),
    "search": (*SMALL, SPACE, "validation={folds: 2, test_fraction: 0.2}"),
    "nested": (*SMALL, f"search.space={{{RATE}: [0.01]}}", "validation={outer: 2, inner: 2}"),
    "bench infer": (
        "bench.names=[mlp]", "bench.batch_sizes=[4]", "bench.rounds=1", "bench.latency_calls=1",
        "bench.throughput_batches=1", "bench.precisions=[float32]", "bench.seconds=0.01",
        "data.image_size=16",
    ),
}  # fmt: skip
"""Settings behind those of a command, so that it takes a second."""

SHIPPED = re.compile(r"search-random|search-bayesian|search-pareto")
WIDTHS = "search.space={model.options.hidden: [[8], [16]]}"
"""Of a search for cost, too: candidates that cost the same are refused."""
LINES = documents.commands()


def photographs(folder: Path, count: int, side: int = 24, ending: str = "png") -> None:
    """Images of one colour and noise, one colour a class."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 120, (side, side, 3))
            pixels[..., k] += 100
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(folder / name / f"{number}.{ending}")


def tiny(name: str, axes: dict[str, list[object]]) -> str:
    """A config of this name that trains in a second, as YAML."""
    raw = settings.override({"name": name, "sweep": axes}, SMALL)
    return yaml.safe_dump(raw)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents speak of: flowers, pictures, experiments, a network in a file."""
    folder = tmp_path_factory.mktemp("documents")
    photographs(folder / "flowers", 20)
    for name in ("summer", "winter"):
        photographs(folder / name, 2)
    photographs(folder / "photos", 8, ending="jpg")
    shutil.copytree(folder / "photos" / "rose", folder / "pictures")
    shutil.copy(folder / "pictures" / "0.jpg", folder / "photo.jpg")
    (folder / "names.txt").write_text("\n".join(CLASSES))
    rows = [f"{name}/{number},{name}" for name in CLASSES for number in range(8)]
    (folder / "labels.csv").write_text("\n".join(["image,label", *rows]) + "\n")
    axes = {RATE: [0.1, 0.03]}
    for name in ("flowers", "sweep"):
        (folder / f"{name}.yaml").write_text(tiny(name, axes))
    blank_store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(fit, "WORKER", WorkerState())
        (folder / "base.yaml").write_text(tiny("quickstart", {"model.name": ["mlp", "lenet5"]}))
        assert inside(patch, "sweep", "base.yaml") == 0
        for name in ("flowers", "rates"):  # the documents' own commands, which then have done it
            assert inside(patch, "sweep", "flowers.yaml", f"name={name}", *CUTS["sweep"]) == 0
        for name in ("a", "b"):
            assert inside(patch, "nested", "nested", f"name={name}", *CUTS["nested"]) == 0
    network = next((folder / ".ilsvrc" / "quickstart").rglob("model.keras"))
    shutil.copy(network, folder / "net.keras")
    return folder


@pytest.fixture
def scratch(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, the current one."""
    folder = tmp_path / "scratch"
    shutil.copytree(prepared, folder)
    (folder / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_DIR", "/dev/null")  # what is not committed would be warned of
    monkeypatch.setattr(fit, "WORKER", WorkerState())
    return folder


def reason(line: Line) -> str | None:
    """Why a command is not run."""
    if line.document.startswith("experiments/configs/"):
        return "the same as in the READMEs; the configs are planned in tests/experiments/runs"
    text = " ".join(line.words)
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, text)), None)


def to_run() -> list[tuple[str, list[Line]]]:
    """Documents and their commands; one that an earlier document has is run there alone."""
    first: dict[tuple[str, ...], Line] = {}
    for line in LINES:
        if line.words[0] == "ilsvrc" and not reason(line):
            first.setdefault(tuple(line.words), line)
    return [(name, list(lines)) for name, lines in groupby(first.values(), lambda x: x.document)]


DOCUMENTS = to_run()


def ready(words: list[str], ids: list[str]) -> list[str]:
    """The words of a command with run ids, and with what makes it small."""
    numbers = iter(ids)
    words = [next(numbers) if word == "RUN_ID" else word for word in words]
    name, _, _ = documents.command_of(words)
    cuts = list(CUTS.get(name, ()))
    if name == "search" and SHIPPED.search(words[1]):
        cuts.append("search.trials=2")
    if name in ("search", "nested") and "pareto" in words[1]:
        cuts += [WIDTHS, "search.trials=3", "search.nsga2.population=2"]
    if name == "init":  # which writes nothing over
        for left in ("flowers.yaml", "schema.json"):
            Path(left).unlink(missing_ok=True)
    return [*words, *cuts]


@pytest.mark.parametrize(("document", "lines"), DOCUMENTS, ids=[name for name, _ in DOCUMENTS])
def test_the_commands_of_a_document_run(document, lines, scratch, monkeypatch, capsys):
    runs = experiments.results("quickstart").sort_values("model")  # lenet5: it has feature maps
    ids = runs["run_id"].tolist()
    for line in lines:
        code = inside(monkeypatch, *ready(line.words[1:], ids))
        assert code == 0, f"{line.text}\n{capsys.readouterr().err[-2000:]}"


def test_every_reason_not_to_run_a_command_is_of_one():
    texts = [" ".join(line.words) for line in LINES]
    for pattern in NOT_RUN:
        assert any(re.search(pattern, text) for text in texts), pattern


def test_every_command_is_understood_to_its_last_word(scratch):
    wrong = []
    for line in LINES:
        if line.words[0] == "ilsvrc":
            try:
                documents.checked(line.words[1:])
            except Exception as error:
                wrong.append(f"{line.document}: {line.text}: {error}")
    assert not wrong, "\n".join(wrong)


def test_every_other_program_is_one_that_is_known():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in LINES if line.words[0] != "ilsvrc"]
    lines += [line for line in documents.mentions() if "ilsvrc " not in line.text]
    assert {line.words[0] for line in lines} == set(OUTSIDE)
    for line in lines:
        program, *words = line.words
        assert program in OUTSIDE, f"{line.document}: {line.text}"
        if program == "make":
            assert {word for word in words if "=" not in word} <= set(targets), line.text
        elif program == "python":
            assert words[0].startswith("-") or (ROOT / words[0]).is_file(), line.text
        elif program == "pip":
            extras = re.findall(r"\.\[(\w+)\]", line.text)
            assert set(extras) <= set(project["optional-dependencies"]), line.text
        elif program == "mlflow":
            from mlflow.models.cli import commands as served

            assert words[0] == "models"
            served.commands[words[1]].make_context("mlflow models", words[2:])


def test_commands_in_running_text_have_their_options_and_keys():
    wrong = []
    for line in documents.mentions():
        if "ilsvrc " not in line.text:
            continue
        try:
            documents.checked_mention(line.text)
        except AssertionError as error:
            wrong.append(f"{line.document}: {error}")
    assert not wrong, "\n".join(wrong)


def test_every_config_of_a_document_is_one():
    configs = documents.configs()
    assert configs
    for document, raw in configs:
        settings.parse(settings.sections(raw, document), where=document)


def test_every_link_leads_to_a_file_and_pages_stay_short():
    for page in documents.pages():
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", documents.FENCED.sub("", text)):
            assert (page.parent / link).exists(), f"{page}: {link}"
        longest = 200 if page == ROOT / "README.md" else 150
        assert len(text.splitlines()) <= longest, page


def test_every_command_has_examples_that_fit_80_columns():
    helps = console.helps()
    assert {f"ilsvrc {name}".strip() for name in EXAMPLES} == set(helps)
    for name, text in helps.items():
        examples = text.partition("  Examples:\n")[2]
        assert 1 <= len(re.findall(rf"^    {name}\b", examples, re.M)) <= 4 or name == "ilsvrc", (
            name
        )
        assert max(map(len, examples.splitlines())) <= 80, name


@pytest.mark.parametrize(
    "text",
    [
        "ilsvrc swoop quickstart",
        "ilsvrc compare quickstart --all-of-them",
        "ilsvrc compare rates --best-of train.optimizer.rate",
        "ilsvrc train quickstart train.optimizer.learning_rat=0.1",
        "ilsvrc sweep quickstart 'sweep={train.learning_rate: [0.1]}'",
        "ilsvrc search search-grid 'search.space={train.optimizer.rate: [0.1]}'",
        "ilsvrc bench infer 'bench.names=[resnet5]'",
        "ilsvrc evaluate resnet5:imagenet data.source=digits",
        "ilsvrc evaluate RUN_ID evaluate.protocols=ten_crop",
        "ilsvrc train nowhere.yaml",
    ],
)
def test_a_command_that_there_is_not_fails(text):
    with pytest.raises(Exception, match=r"no such|not|unknown key|resnet5|rate"):
        documents.checked(Line("a document", text).words[1:])
