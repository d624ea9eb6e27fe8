"""Files and words from outside are data: nothing in them is run, and no password is kept or told.

Each file here would leave a mark when its code is run; that it does so with the safeguard off is
shown too.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import io
import itertools
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import inside, write_config

from experiments.config import settings
from experiments.errors import BadInput
from experiments.reporting.ui import serve
from experiments.training import snapshots
from experiments.training.snapshots import Snapshots

ROOMS = ("models", "pipelines", "tuning", "experiments")
PROJECT = Path(__file__).resolve().parent.parent
SECRET = "plantedSECRET1"


def marked(folder: Path) -> bool:
    """Has hostile code run? Takes the mark away."""
    mark = folder / "mark"
    found = mark.exists()
    if found:
        mark.rmdir()
    return found


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path):
        self.mark = str(folder / "mark")

    def __reduce__(self) -> Any:
        return os.mkdir, (self.mark,)


def refused(monkeypatch, capsys, *words: object) -> str:
    """The one line that the command prints; it must exit with 2."""
    capsys.readouterr()
    code = inside(monkeypatch, *words)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert out == ""
    assert len(err.splitlines()) == 1, err
    return err


@pytest.fixture(scope="module")
def lambda_network(tmp_path_factory):
    """A .keras file with Python bytecode in it, and the folder that it would mark."""
    import keras

    folder = tmp_path_factory.mktemp("network")
    mark = str(folder / "mark")
    code = f"lambda x: (__import__('os').makedirs({mark!r}, exist_ok=True), x)[1]"
    network = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.Lambda(eval(code)),  # as text, for only its bytecode is stored
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    network.save(folder / "hostile.keras")
    marked(folder)
    return folder / "hostile.keras", folder


def test_the_code_of_that_network_runs_where_nobody_stops_it(lambda_network):
    import keras

    file, folder = lambda_network
    keras.saving.load_model(file, safe_mode=False)
    assert marked(folder)


@pytest.mark.parametrize(
    "words",
    [
        ["export", "{}", "--format", "onnx"],
        ["predict", "{}", "x.png"],
        ["evaluate", "{}", "data.source=digits"],
    ],
    ids=lambda words: words[0],
)
def test_a_network_that_brings_code_is_refused(
    lambda_network, tmp_path, monkeypatch, capsys, words
):
    file, folder = lambda_network
    (tmp_path / "hostile.keras").write_bytes(file.read_bytes())
    line = refused(monkeypatch, capsys, *(word.format("hostile.keras") for word in words))
    assert "hostile.keras: holds Python code (a Lambda layer)" in line
    assert not marked(folder)


def test_it_starts_no_training_and_serves_no_pictures(lambda_network, tmp_path):
    from experiments.inference.served_model import ServedNetwork, write
    from experiments.training.weights import saved_donors

    file, folder = lambda_network
    with pytest.raises(BadInput, match=r"train\.initialize_from: .*holds Python code"):
        saved_donors(file)
    write(tmp_path, file, ["a"], crop_fraction=1.0, gives_probabilities=False, max_pixels=9)
    with pytest.raises(BadInput, match="holds Python code"):
        ServedNetwork(tmp_path)
    assert not marked(folder)


@pytest.mark.parametrize(
    ("class_name", "module", "config"),
    [
        ("function", "builtins", "exec"),
        ("system", "os", {"command": "mkdir mark"}),
        ("Popen", "subprocess", {"args": ["mkdir", "mark"]}),
    ],
)
def test_a_network_that_names_other_code_is_refused(
    lambda_network, tmp_path, class_name, module, config
):
    from experiments.training.keras_file import load_network

    with zipfile.ZipFile(lambda_network[0]) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(parts["config.json"])
    layers = document["config"]["layers"]
    del layers[1]  # the Lambda layer
    layers[-1]["config"]["activation"] = {
        "class_name": class_name, "module": module, "config": config, "registered_name": None,
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        for name, content in (parts | {"config.json": json.dumps(document)}).items():
            archive.writestr(name, content)
    with pytest.raises(BadInput, match=r"^x: no Keras model that can be loaded") as caught:
        load_network(tmp_path / "other.keras", "x")
    assert "\n" not in str(caught.value)
    assert not marked(tmp_path)


BOMB = "a: &a [x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
    for before, name in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: !!python/object/apply:os.mkdir [mark]", "!!python/object/apply:os.mkdir"),
        ("name: !!python/object/new:os.mkdir [mark]", "!!python/object/new:os.mkdir"),
        ("name: !!python/name:os.system ''", "!!python/name:os.system"),
        ("name: !!python/module:antigravity ''", "!!python/module:antigravity"),
        (BOMB, "more than 100000"),
        ("a: &a [*a]", "nested more than 50 deep"),
        ("name: " + "[" * 600, "nested more than 50 deep"),
        ("seed: 2001-99-99", "valid integer. Received: '2001-99-99'"),
        ("seed: 0x" + "f" * 9000, "cannot be read"),
        ("seed: " + "9" * 9000, "cannot be read"),
    ],
    ids=lambda text: text[:24].replace("\n", " "),
)  # fmt: skip
def test_hostile_yaml_is_refused_by_the_name_of_the_file(tmp_path, monkeypatch, capsys, text, said):
    (tmp_path / "hostile.yaml").write_text(text)
    line = refused(monkeypatch, capsys, "train", "hostile.yaml", "--dry-run")
    assert "hostile.yaml" in line
    assert said in line
    assert not marked(tmp_path)


def test_a_word_of_the_command_line_makes_no_object(tmp_path, monkeypatch, capsys):
    word = "train.freeze=!!python/object/apply:os.mkdir [mark]"
    line = refused(monkeypatch, capsys, "train", write_config(tmp_path), word)
    assert "train.freeze: only plain values are read" in line
    assert not marked(tmp_path)


def test_file_names_give_the_terminal_no_commands(monkeypatch, capsys):
    line = refused(monkeypatch, capsys, "train", "\x1b[2J\nilsvrc: all is well.yaml")
    assert "\\x1b[2J\\nilsvrc: all is well.yaml: no such config file" in line


def test_pickles_in_arrays_are_never_opened(tmp_path):
    from pipelines.files.index_cache import load_columns

    hostile = np.array([Payload(tmp_path)], object)
    np.savez(tmp_path / "cache.npz", sizes=hostile)
    with np.load(tmp_path / "cache.npz", allow_pickle=True) as stored:
        assert stored["sizes"].shape == (1,)
    assert marked(tmp_path), "the file is harmless"
    assert load_columns(tmp_path / "cache.npz", ["sizes"]) is None

    folder = tmp_path / snapshots.FOLDER
    folder.mkdir()
    buffer = io.BytesIO()
    np.savez(buffer, weights=hostile, document=np.zeros(2, np.uint8))
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()[: snapshots.DIGITS]
    (folder / f"000001-{checksum}.npz").write_bytes(buffer.getvalue())
    said: list[str] = []
    assert Snapshots(tmp_path, {}, 1).newest(said.append) is None
    assert "damaged" in said[0]
    assert not marked(tmp_path)


def test_a_pickle_in_a_pth_is_never_run(tmp_path):
    torch = pytest.importorskip("torch", reason="reads .pth with PyTorch where it is installed")
    from models.weights.checkpoint_files import CheckpointError, read

    torch.save({"features.0.weight": Payload(tmp_path)}, tmp_path / "hostile.pth")
    torch.load(tmp_path / "hostile.pth", weights_only=False)
    assert marked(tmp_path), "the file is harmless"
    with pytest.raises(CheckpointError, match=r"hostile\.pth is not a file that torch\.load reads"):
        read(tmp_path / "hostile.pth")
    assert not marked(tmp_path)


@pytest.mark.parametrize("target", ["../outside", "/tmp/outside"])
def test_an_archive_of_labels_writes_nothing_and_follows_no_link(tmp_path, target):
    """Image archives, which are read in place too: see test_ilsvrc."""
    from pipelines.errors import SourceError
    from pipelines.sources.ilsvrc.kit import DEVKIT, GROUND_TRUTH, META
    from pipelines.sources.ilsvrc.labels import validation_wnids

    root = tmp_path / "ilsvrc"
    root.mkdir()
    (tmp_path / "outside").write_text("1\n")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo(f"data/{GROUND_TRUTH}")
        link.type, link.linkname = tarfile.SYMTYPE, target
        tar.addfile(link)
        for name in (f"../../{META}", f"/{META}"):
            entry = tarfile.TarInfo(name)
            entry.size = 5
            tar.addfile(entry, io.BytesIO(b"other"))
    (root / f"{DEVKIT}.tar.gz").write_bytes(gzip.compress(buffer.getvalue()))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SourceError, match=f"holds no {GROUND_TRUTH}"):
        validation_wnids([root], ["ILSVRC2012_val_00000001.JPEG"])
    assert sorted(tmp_path.rglob("*")) == before


def test_the_server_listens_on_this_machine_only(monkeypatch):
    started: list[list[str]] = []

    def popen(command: list[str], **_: Any) -> None:
        started.append(command)
        raise OSError("not for real")

    monkeypatch.setattr(serve.subprocess, "Popen", popen)
    with pytest.raises(OSError, match="not for real"):
        serve.start("sqlite:///x.db")
    (command,) = started
    assert command[command.index("--host") + 1] == "127.0.0.1"


URI = f"http://me:{SECRET}@127.0.0.1:1/x"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "tiny.yaml", f"tracking={URI}"],
        ["train", "tiny.yaml", f"tracking.uri.host={URI}"],
        ["train", "tiny.yaml", f"tracking.url={URI}"],
        ["train", "tiny.yaml", f"data={URI}"],
        ["train", "tiny.yaml", f"tracking.uri:{URI}"],
        ["train", f"{URI}.yaml"],
        ["train", "uri.yaml", "tracking.uri.host=1"],
        ["train", "text.yaml"],
        ["compare", "tiny", "--uri", URI],
        ["upload", "tiny", f"tracking.uri={URI}"],
        ["upload", "tiny", f"uri={URI}"],
        ["reproduce", "0" * 32, f"uri={URI}"],
        ["reproduce", "0" * 32, f"tracking.uri={URI}"],
        ["export", "0" * 32, f"tracking.uri={URI}"],
        ["evaluate", "0" * 32, f"tracking.uri={URI}"],
    ],
    ids=" ".join,
)
def test_a_mistake_with_an_address_is_told_without_its_password(
    tmp_path, monkeypatch, capsys, words
):
    write_config(tmp_path)
    (tmp_path / "uri.yaml").write_text(f"tracking: {{uri: '{URI}'}}")
    (tmp_path / "text.yaml").write_text(URI)
    assert SECRET not in refused(monkeypatch, capsys, *words)


def test_a_run_keeps_no_secret_of_its_store(tmp_path, monkeypatch, capfd):
    """Servers with a password, and what they are sent: see test_server."""
    config = write_config(tmp_path, bench={"latency_calls": 2, "throughput_batches": 1})
    uri = f"sqlite:///file:mlflow.db?uri=true&token={SECRET}"
    assert inside(monkeypatch, "train", config, f"tracking.uri={uri}") == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"mlflow.db", "journal.jsonl", "config.yaml", "model.keras"} <= names
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert [path for path in tmp_path.rglob("*") if SECRET in str(path)] == []
    told = "".join(capfd.readouterr())
    assert "lenet5" in told
    assert SECRET not in told


IMPORTS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "xml", "telnetlib"}
CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load",
         "yaml.full_load", "pickle.loads", "pd.read_pickle", "tempfile.mktemp"}  # fmt: skip
NEEDED = {
    "np.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "load_model": ("safe_mode", True),
}


def objections(source: str) -> list[str]:
    """What a module does that no module of the suite may."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            found += [name for name in names if name.partition(".")[0] in IMPORTS]
        if isinstance(node, ast.Constant) and node.value in ("0.0.0.0", "::"):
            found.append(str(node.value))
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if name in CALLS or name.endswith((".extractall", ".extract", ".unpack_archive")):
            found.append(name)
        if given.get("shell", "False") != "False":
            found.append(f"{name} with a shell")
        for call, (key, value) in NEEDED.items():
            if (name == call or name.endswith(f".{call}")) and given.get(key) != str(value):
                found.append(f"{name} without {key}={value}")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_has_a_way_to_run_what_it_reads(room):
    files = sorted((PROJECT / room).rglob("*.py"))
    assert files
    found = {str(file): objections(file.read_text()) for file in files}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from xml.etree import ElementTree",
        "eval(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "keras.saving.load_model(path)",
        "keras.saving.load_model(path, safe_mode=False)",
        "tar.extractall()",
        "subprocess.run(text, shell=True)",
        "serve(host='0.0.0.0')",
    ],
)
def test_that_look_through_the_modules_finds(source):
    assert objections(source)


def test_a_store_that_holds_a_hostile_config_is_refused(monkeypatch, tmp_path):
    text = "name: !!python/object/apply:os.mkdir [mark]"
    with pytest.raises(BadInput, match=r"run 7: config\.yaml: only plain values"):
        settings.sections(text, "run 7: config.yaml")
    assert not marked(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "metadata.json", "model.weights.h5", "assets/x"])
def test_a_small_network_file_does_not_fill_the_memory(tmp_path, monkeypatch, name):
    """A megabyte of zeros that were a gigabyte is refused before Keras unpacks it."""
    import keras

    from experiments.training.keras_file import load_network

    given = keras.layers.Input((2,))
    network = keras.Model(given, keras.layers.Dense(1)(given))
    network.save(tmp_path / "honest.keras")
    load_network(tmp_path / "honest.keras", "honest")
    bomb = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(tmp_path / "honest.keras") as honest,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for entry in honest.namelist():
            if entry != name:
                archive.writestr(entry, honest.read(entry))
        archive.writestr(name, b" " * (100 * 1024**2))
    assert bomb.stat().st_size < 1024**2
    monkeypatch.setattr(keras.saving, "load_model", None)
    with pytest.raises(BadInput, match=rf"{name} in it would be 104,857,600 bytes"):
        load_network(bomb, "bomb")
