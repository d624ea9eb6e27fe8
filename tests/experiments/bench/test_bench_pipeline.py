from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from experiments.bench import pipeline, pipeline_rows, pipeline_worker
from experiments.cli.commands import app
from experiments.config import settings
from experiments.errors import BadInput, FailedWork

TINY = ["bench.count=6", "bench.rounds=1", "bench.passes=1", "bench.cores=[1]", "bench.size=32"]
COLUMNS = ["name", "recipe", "cores", "dtype", "store", "images_per_second", "low", "high", "ratio"]


def bench(*words: str) -> Any:
    return settings.parse(settings.override({}, [*TINY, *words])).bench


def test_a_tiny_run_on_drawn_images() -> None:
    """Of a row that starts fast; `test_ours_reads_every_store` runs our own in this process."""
    words = [*TINY, "bench.only=[PIL as torchvision]", "bench.batch_size=4"]
    done = CliRunner().invoke(app, ["bench", "pipeline", *words, "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    rows = document["rows"]
    assert [(row["name"], row["recipe"], row["dtype"]) for row in rows] == [
        ("PIL as torchvision", "resnet", "float32"),
        ("PIL as torchvision", "inception", "float32"),
    ]
    for row in rows:
        assert list(row)[:9] == COLUMNS
        assert row["cores"] == 1
        assert row["store"] == "jpeg"
        assert 0 < row["low"] <= row["images_per_second"] <= row["high"]
    assert [row["ratio"] for row in rows] == [1.0, 1.0]  # the first row stands for the usual
    assert "limits A and B" in document["left_out"]
    assert any("real photographs" in note for note in document["notes"])
    assert "starting on 1: PIL as torchvision\nround 1/1, cores: 1" in done.stderr


def test_ours_reads_every_store(tmp_path: Path) -> None:
    """In this process, as a row's own process does; the stores are made of the photographs."""
    chosen = bench("bench.batch_size=4")
    files = pipeline_rows.drawn(tmp_path / "jpegs", 6)
    rows = [row for row in pipeline_rows.ROWS if row.worker == "ours"]
    assert [(row.store, row.dtype) for row in rows] == [
        (store, dtype) for store in ("jpeg", "prepared", "raw") for dtype in ("float32", "uint8")
    ]
    jpegs = f"folder:{tmp_path / 'jpegs'}"
    specs = {"jpeg": jpegs} | pipeline_rows.stores(rows, jpegs, tmp_path, lambda line: None)
    recipes = {"jpeg": "resnet", "prepared": "resnet", "raw": "inception"}
    for row in (rows[1], rows[2], rows[4]):
        recipe = recipes[row.store]
        job = pipeline._job(chosen, row, specs[row.store], files, 0) | {"recipe": recipe}
        for images, labels in islice(pipeline_worker.ROWS[row.worker](job), 1):
            pixels = images[0] if row.dtype == "uint8" else images
            assert pixels.dtype.name == row.dtype
            assert pixels.shape[1:] == (32, 32, 3)
            assert np.asarray(pixels).std() > 10.0
            assert set(labels.numpy()) <= {0, 1}


def test_a_peer_that_does_not_start_is_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "a" / name).write_bytes(b"not a JPEG")
    peers = [row for row in pipeline_rows.ROWS if row.name == "PIL as torchvision"]
    monkeypatch.setattr(pipeline_rows, "choose", lambda bench: (2 * peers, {}))
    with pytest.raises(FailedWork, match=r"could be measured: .*PIL .*cannot identify image"):
        pipeline.run(bench(f"bench.images={tmp_path}"), report=lambda line: None)


@pytest.mark.parametrize("recipe", pipeline.RECIPES)
@pytest.mark.parametrize("row", ["tf.data usual", "tf.data, Keras layers", "PIL as torchvision"])
def test_peers_make_the_batches_that_ours_makes(row: str, recipe: str, tmp_path: Path) -> None:
    """In this process; of a plain image every row gives its colour less the mean, plus jitter."""
    files = []
    for i in range(3):
        to = tmp_path / "a" / f"{i}.jpg"
        to.parent.mkdir(exist_ok=True)
        Image.new("RGB", (70 + i, 60), (200, 100, 50)).save(to, quality=100, subsampling=0)
        files.append(str(to))
    job = {"recipe": recipe, "files": files, "size": 32, "batch_size": 2, "cores": [0]}
    keras.utils.set_random_seed(1)  # an earlier test may have asked TensorFlow for determinism
    batches = [np.asarray(batch) for batch in islice(pipeline_worker.ROWS[row](job), 4)]
    assert [batch.shape for batch in batches] == [(2, 32, 32, 3)] * 4  # on and on
    jitter = np.concatenate(batches) - (np.array([200, 100, 50]) - pipeline_worker.MEAN)
    assert jitter.std(axis=(1, 2)).max() < 1.0
    assert 0.1 < np.abs(jitter).max() < 60.0


def test_photographs_are_copied_and_counted(tmp_path: Path) -> None:
    pipeline_rows.drawn(tmp_path / "mine", 5)
    chosen = bench(f"bench.images={tmp_path / 'mine'}", "bench.count=3")
    files, spec, store = pipeline_rows.chosen(chosen, tmp_path / "work")
    assert (len(files), store) == (3, "jpeg")
    assert spec == f"folder:{tmp_path / 'work' / 'jpegs'}"
    kept = {Path(file).read_bytes() for file in files}
    assert len(kept) == 3
    assert kept < {path.read_bytes() for path in (tmp_path / "mine").rglob("*.jpg")}


def test_medians_ranges_and_ratios_within_rounds() -> None:
    rates = {
        ("tf.data usual", "resnet", 2): [100.0, 50.0, 80.0],  # the second round was disturbed
        ("ours float32", "resnet", 2): [200.0, 100.0, 176.0],
        ("limit B", "resnet", 2): [250.0, 125.0, 200.0],
        ("ours float32", "resnet", 1): [90.0, 91.0, 92.0],
    }
    alone, first, second, limit = pipeline.summary(rates, pipeline_rows.ROWS, "jpeg")
    assert (alone["cores"], alone["ratio"], alone["of_limit_b"]) == (1, 1.0, None)
    assert (first["name"], first["ratio"], first["of_limit_b"]) == ("tf.data usual", 1.0, 0.4)
    assert (second["images_per_second"], second["low"], second["high"]) == (176.0, 100.0, 200.0)
    assert (second["ratio"], second["of_limit_b"]) == (2.0, 0.8)
    assert (limit["store"], limit["of_limit_b"]) == ("memory", 1.0)
    shown = pipeline.text(
        {
            "rows": [second],
            "left_out": {"DALI": "nvidia.dali is not installed"},
            "missing": {},
            "notes": [],
        }
    )
    assert "0.80" in shown
    assert "left out: DALI: nvidia.dali is not installed" in shown


def test_the_limits_output_is_read_by_recipe(tmp_path: Path) -> None:
    """The two lines of interest differ from others by a few letters."""
    program = tmp_path / "limit"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'n=2'\n"
        "echo 'window decode, resnet 256-480     1350.8 img/s  (min 1.0 max 2.0) 3 MP/s'\n"
        "echo ' + resize/flip/PCA fused f32, resnet  1204.9 img/s  (min 1.0 max 2.0) 3 MP/s'\n"
        "echo ' + dct ratio, resnet              1219.4 img/s  (min 1.0 max 2.0) 3 MP/s'\n"
        "echo 'window decode, RRC                1240.1 img/s  (min 1.0 max 2.0) 3 MP/s'\n"
        "echo ' + resize/flip/PCA fused f32, RRC 1134.2 img/s  (min 1.0 max 2.0) 3 MP/s'\n"
    )
    program.chmod(0o755)
    found = pipeline_rows.rates(program, ["a.jpg"], [0, 1], tmp_path)
    assert found == {
        ("resnet", "limit A"): 2701.6,
        ("resnet", "limit B"): 2409.8,
        ("inception", "limit A"): 2480.2,
        ("inception", "limit B"): 2268.4,
    }
    program.write_text("#!/bin/sh\necho nothing\n")
    with pytest.raises(FailedWork, match="printed no line 'window decode, resnet 256-480'"):
        pipeline_rows.rates(program, ["a.jpg"], [0], tmp_path)


def test_peers_that_are_not_installed_are_left_out_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline_rows, "_installed", lambda module: module == "PIL")
    rows, left_out = pipeline_rows.choose(bench())
    assert [row.name for row in rows if row.needs] == ["PIL as torchvision"]
    assert left_out == {
        "OpenCV": "cv2 is not installed",
        "simplejpeg + OpenCV": "simplejpeg is not installed",
        "DALI": "nvidia.dali is not installed",
    }


def test_limits_that_do_not_compile_are_left_out_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "limit.c"
    source.write_text("not C")
    left_out: dict[str, str] = {}
    assert pipeline_rows.compiled(source, tmp_path, left_out) is None
    expected = "they do not compile" if shutil.which("gcc") or shutil.which("cc") else "no C"
    assert expected in left_out["limits A and B"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert pipeline_rows.compiled(source, tmp_path, left_out) is None
    assert left_out["limits A and B"] == "no C compiler"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bench.only=[ours]", "expected some of tf.data usual, ours float32.*Received: ours"),
        ("bench.cores=[4096]", "bench.cores: this process has"),
        ("bench.images=nowhere", "expected a folder of JPEG files. Received: nowhere"),
        ("bench.limit=nowhere.c", "expected the source file of the limits"),
    ],
)
def test_bad_requests_are_one_line(word: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        pipeline.run(bench("bench.only=[ours uint8]", word), report=lambda line: None)


def test_a_row_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / "a" / name).write_bytes(b"not a JPEG")
    chosen = bench("bench.only=[PIL as torchvision]", f"bench.images={tmp_path}")
    with pytest.raises(
        FailedWork, match=r"PIL as torchvision: its process failed: .*cannot identify image"
    ):
        pipeline.run(chosen, report=lambda line: None)
