"""`ilsvrc bench train|infer`: what is counted, halved, doubled, written and logged."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import inside

from experiments.bench import device, matmul_peak, model_rows, model_worker, models, process, table
from experiments.bench.model_worker import Meter, fitting, most_images_per_second, out_of_memory
from experiments.bench.subjects import Training
from experiments.config import settings
from experiments.errors import BadInput, FailedWork

COLUMNS = [
    "name", "mode", "batch", "precision", "images_per_second", "low", "high", "latency_ms_p50",
    "latency_ms_p95", "latency_ms_p99",
]  # fmt: skip
FAST = ["bench.seconds=0", "bench.throughput_batches=2", "bench.latency_calls=3", "bench.rounds=2"]


def config(*words: str) -> Any:
    return settings.parse(settings.override({"name": "bench"}, [*FAST, *words]))


def own_job(chosen: Any, mode: Any, name: str, shape: Any, number: int = 0) -> dict[str, Any]:
    """The job of one of the sides of a config, the first unless told."""
    side = model_rows.chosen(chosen)[number]
    return models.job(chosen, mode, models.Key(name, "float32", side), shape)


def in_process(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Jobs are done in this process, without their line `peak`; returns the list of them."""
    jobs: list[dict[str, Any]] = []

    def listen(job: dict[str, Any]) -> list[dict[str, Any]]:
        jobs.append(job)
        if job["mode"] == "peak":
            return [{"kind": "peak", "flops_per_second": 1e12, "side": 512.0}]
        lines: list[dict[str, Any]] = []
        model_worker.measure(json.loads(json.dumps(job)), lines.append)
        return lines

    monkeypatch.setattr(model_rows, "listen", listen)
    return jobs


def test_inference_of_a_real_network(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    jobs = in_process(monkeypatch)
    words = [*FAST, "bench.names=[mlp, lenet5]", "bench.batch_sizes=[4, 1]", "data.image_size=16"]
    words += ["data.channels=1", "bench.precisions=[float32, bfloat16]"]
    assert inside(monkeypatch, "bench", "infer", *words, "--log", "--json", "--out", "here") == 0
    document = json.loads(capsys.readouterr().out)

    rows = document["rows"]
    assert [(r["name"], r["precision"], r["batch"]) for r in rows] == [
        (name, precision, batch)
        for precision in ("float32", "bfloat16")
        for name in ("mlp", "lenet5")
        for batch in (1, 4)
    ]
    for row in rows:
        assert list(row)[: len(COLUMNS)] == COLUMNS
        assert 0 < row["low"] <= row["images_per_second"] <= row["high"]
        assert 0 < row["latency_ms_p50"] <= row["latency_ms_p95"] <= row["latency_ms_p99"]
        assert row["latency_calls"] == 6  # three a round
        assert row["flops_per_second"] == 2 * row["macs"] * row["images_per_second"]
        assert row["fraction_of_peak"] == pytest.approx(row["flops_per_second"] / 1e12)
        assert row["host_memory_bytes"] > 1e8
        assert row["framework"].startswith("tensorflow 2.")
        assert row["input_shape"] == [16, 16, 1]
        assert (row["mode"], row["rounds"]) == ("infer", 2)
    assert [row["policy"] for row in rows[::4]] == ["float32", "mixed_bfloat16"]
    # A round takes everything once, so that a disturbance falls on all alike.
    order = [(job["mode"], job.get("name"), job["precision"]) for job in jobs]
    assert order[:6] == order[6:]
    assert [mode for mode, *_ in order[:6]] == ["peak", "infer", "infer"] * 2

    for precision, file in zip(("float32", "bfloat16"), document["files"], strict=True):
        assert Path(file).name.startswith("infer-")
        assert f"threads-{precision}-tensorflow-2." in file
        with Path(file).open() as opened:
            written = list(csv.DictReader(opened))
        assert [float(r["images_per_second"]) for r in written] == [
            r["images_per_second"] for r in rows if r["precision"] == precision
        ]
    logged(document)
    shown = table.text(document)
    assert "matrix-product peak, bfloat16: 1.00 TFLOP/s" in shown
    assert document["machine"]["device"] in shown


def logged(document: dict[str, Any]) -> None:
    """The store holds each row as a run, by the names that training runs use."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
    top = client.get_run(document["run_id"])
    assert {f.path for f in client.list_artifacts(document["run_id"])} >= {
        Path(file).name for file in document["files"]
    }
    children = client.search_runs(
        [top.info.experiment_id], f"tags.`mlflow.parentRunId` = '{document['run_id']}'"
    )
    assert len(children) == len(document["rows"])
    for child in children:
        params, metrics = child.data.params, child.data.metrics
        [row] = [
            row
            for row in document["rows"]
            if row["name"] == params["model.name"]
            and (str(row["batch"]), row["precision"]) == (params["batch"], params["precision"])
        ]
        assert child.data.tags["level"] == "bench"
        assert child.info.status == "FINISHED"
        assert json.loads(params["input_shape"]) == [16, 16, 1]
        assert metrics["infer_images_per_second"] == row["images_per_second"]
        assert metrics["latency_ms_p99"] == row["latency_ms_p99"]
        assert metrics["peak_memory_bytes"] == row["peak_memory_bytes"]
        assert metrics["macs"] == row["macs"]


def test_training_of_a_real_network(monkeypatch: pytest.MonkeyPatch) -> None:
    in_process(monkeypatch)
    chosen = config(
        "bench.rounds=1", "bench.names=[lenet5]", "data.image_size=16", "bench.batch_sizes=[1, 2]",
        "bench.precisions=[float16]",
    )  # fmt: skip
    one, two = models.run(chosen, "train", lambda line: None)["rows"]
    assert (one["batch"], two["batch"]) == (1, 2)
    assert two["flops_per_second"] == 6 * two["macs"] * two["images_per_second"]
    assert one["latency_ms_p50"] == two["latency_ms_p50"]  # both: of an update of one image
    assert one["latency_calls"] == 2
    assert one["images_per_second"] == pytest.approx(1000 / one["latency_ms_p50"])
    metrics = table._metrics(one)
    assert metrics["train_images_per_second"] == one["images_per_second"]
    assert "update_ms_p50" in metrics
    assert "latency_ms_p50" not in metrics  # which is inference's


@pytest.mark.parametrize("name", ["mlp", "autoencoder_undercomplete"])
def test_a_step_of_training_updates_the_weights(name: str) -> None:
    chosen = config(f"model.name={name}")
    job = own_job(chosen, "train", name, models._shape(name, chosen))
    subject = Training(job)
    images, labels = model_worker._batch(4, subject)
    before = [np.array(w) for w in subject.model.trainable_weights]
    assert np.isfinite(subject.step(images, labels)).all()
    after = [np.array(w) for w in subject.model.trainable_weights]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(("backend", "mode"), [("tensorflow", "infer"), ("jax", "train")])
def test_a_process_of_its_own_says_what_it_found(
    backend: str, mode: models.Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(backend)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    chosen = config("data.image_size=16", "bench.batch_sizes=[2]", "bench.precisions=[float32]")
    job = own_job(chosen, mode, "mlp", (16, 16, 1))
    job |= {"batches": [{"asked": 2, "batch": 2}]}
    built, trying, size, *rest = model_rows.listen(job)
    assert built["kind"] == "built"
    assert built["framework"].startswith(f"{backend} ")
    assert (trying["kind"], trying["batch"]) == ("trying", 2)
    assert size["first_step_seconds"] > min(size["seconds"])  # it traces
    assert len(size["seconds"]) == 2
    assert size["device_peak"] is None or size["device_peak"] > 0
    if mode == "infer":
        assert [line["kind"] for line in rest] == ["trying", "latency"]
        assert len(rest[1]["seconds"]) == 3
    else:
        assert rest == []


def test_sides_stand_beside_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jobs = in_process(monkeypatch)
    monkeypatch.setattr(model_rows, "find_spec", lambda name: name != "torch")
    chosen = config(
        "bench.backends=[tensorflow, torch]", "bench.peers=[keras, pytorch]", "data.image_size=16",
        "bench.names=[lenet5]", "bench.batch_sizes=[2]", "bench.precisions=[float32]",
        "data.channels=1",
    )  # fmt: skip
    heard: list[str] = []
    document = models.run(chosen, "train", heard.append)
    assert heard[:3] == [
        "round 1/2: float32: matrix product, tensorflow",
        "round 1/2: float32: train lenet5, tensorflow",
        "round 1/2: float32: train lenet5, keras",
    ]
    # what is not installed is named, not run
    assert document["left_out"] == dict.fromkeys(
        ("torch", "pytorch"), "torch is not installed; pip install -e '.[torch]'"
    )
    assert {job.get("backend") for job in jobs} == {"tensorflow"}
    ours, keras = document["rows"]
    assert (ours["side"], keras["side"]) == ("tensorflow", "keras")
    assert ours["params"] == keras["params"]
    assert ours["framework"].startswith("tensorflow 2.")
    assert keras["framework"].startswith("keras 3.")
    files = table.write_csv(document["rows"], tmp_path)
    assert len(set(files)) == 2
    shown = table.text(document).splitlines()
    assert shown[0].startswith("by          name")
    assert shown[1].startswith("tensorflow  lenet5")
    assert shown[2].startswith("keras       lenet5")


def test_pytorch_trains_the_same_network_beside_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="measures PyTorch where it is installed")
    chosen = config("bench.peers=[pytorch, pytorch_bfloat16]", "data.image_size=64")
    for number, precision in ((1, "float32"), (2, "bfloat16")):
        side = model_rows.chosen(chosen)[number]
        assert side.measures("bfloat16")
        assert side.measures("float32") == (side.name == "pytorch")
        key = models.Key("resnet18", precision, side)
        job = models.job(chosen, "train", key, (64, 64, 3))
        built, _, size = model_rows.listen(job | {"batches": [{"asked": 2, "batch": 2}]})
        assert built["params"] == 11_689_512
        assert built["framework"].startswith("pytorch ")
        assert len(size["seconds"]) == 2
    job |= {"name": "lenet5", "batches": []}
    with pytest.raises(FailedWork, match=r"plain PyTorch has resnet18, .* here"):
        list(model_rows.listen(job))


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(FailedWork, match="KeyError: 'threads'"):
        list(model_rows.listen({"mode": "infer"}))


class Full(Exception):
    def __str__(self) -> str:
        return "RESOURCE_EXHAUSTED: Out of memory while trying to allocate"


def test_the_batch_is_halved_until_it_fits() -> None:
    tried = []

    def timed(batch: int) -> dict[str, Any]:
        tried.append(batch)
        if batch > 5:
            raise Full
        return {"seconds": [1.0]}

    assert fitting(timed, 32) == (4, {"seconds": [1.0]})
    assert tried == [32, 16, 8, 4]

    def never(batch: int) -> dict[str, Any]:
        raise Full

    with pytest.raises(Full):
        fitting(never, 8)  # one image is too many
    assert out_of_memory(MemoryError("batch 64"))
    assert not out_of_memory(ValueError("shape"))


def test_auto_doubles_until_the_gain_ends_or_the_memory() -> None:
    def saturates(batch: int) -> dict[str, Any]:
        slow = 10.0 if batch == 8 else 1.0  # one disturbance is not the end
        return {"seconds": [slow * 0.01 * max(batch, 64), 99.0]}

    assert most_images_per_second(saturates) == 64

    def grows(batch: int) -> dict[str, Any]:
        if batch > 500:
            raise Full
        return {"seconds": [1.0]}

    assert most_images_per_second(grows) == 256
    with pytest.raises(ZeroDivisionError):
        most_images_per_second(lambda batch: {"seconds": [1 // 0]})


class Stub:
    """A network that costs nothing."""

    class network:
        input_shape, output_shape = (None, 2, 2, 1), (None, 3)

    @staticmethod
    def step(images: Any, labels: Any) -> Any:
        return images


def test_a_host_without_room_is_spared_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[dict[str, Any]] = []
    peaks = iter([100.0, 100.0 + 8e9])
    monkeypatch.setattr(device, "host_peak", lambda: next(peaks))
    monkeypatch.setattr(model_worker, "host_available", lambda: 10e9)
    meter = Meter(Stub(), heard.append)  # type: ignore[arg-type]
    found = meter.timed(8, 4, 0.0)
    assert len(found["seconds"]) == 4
    with pytest.raises(MemoryError, match="batch 32 would take about 22"):
        meter.timed(32, 4, 0.0)  # 8 took 8 GB, so 24 more take 24 GB
    assert [line["batch"] for line in heard] == [8]


def test_a_killed_process_goes_on_with_half_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def listen(job: dict[str, Any]) -> Any:
        asked.append([item["batch"] for item in job["batches"]])
        yield {"kind": "built"}
        for item in job["batches"]:
            yield {"kind": "trying", "batch": item["batch"]}
            if item["batch"] > 8:
                raise process.KilledBySystem("killed")
            yield {"kind": "size", "seconds": [1.0], "first_step_seconds": 1.0, **item}

    monkeypatch.setattr(model_rows, "listen", listen)
    own = model_rows.Measured([32, 1])
    own.add({})
    own.add({})
    # The second round starts at what the first one settled on.
    assert asked == [[1, 32], [16], [8], [1, 8]]
    assert [x["batch"] for x in own.sizes[32]] == [8, 8]
    assert len(own.built) == len(own.first_steps) == 2


def test_a_network_that_fails_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    done = in_process(monkeypatch)
    fine = model_rows.listen

    def listen(job: dict[str, Any]) -> Any:
        if job.get("name") == "lenet5":
            raise FailedWork("its process was killed")
        return fine(job)

    monkeypatch.setattr(model_rows, "listen", listen)
    chosen = config("bench.names=[lenet5, mlp]", "data.image_size=16", "bench.batch_sizes=[1]",
                    "bench.precisions=[float32]")  # fmt: skip
    document = models.run(chosen, "infer", lambda line: None)
    assert [row["name"] for row in document["rows"]] == ["mlp"]
    assert document["left_out"] == {"lenet5 float32": "its process was killed"}
    assert len(done) == 4  # peak and mlp in each round
    with pytest.raises(FailedWork, match="lenet5 float32: its process was killed"):
        models.run(config("model.name=lenet5", "bench.precisions=[float32]"), "infer")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bench.names=[lenet]", "bench.names: unknown model 'lenet'"),
        ("data.image_size=2", "data.image_size: lenet5 takes images of .* Received: 2x2"),
    ],
)
def test_bad_requests_are_one_line(word: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        models.run(config(word), "infer")


@pytest.mark.parametrize("word", ["bench.precisions=[int8]", "bench.batch_sizes=[most]"])
def test_bad_settings_name_their_key(word: str) -> None:
    with pytest.raises(BadInput, match=word.partition("=")[0]):
        config(word)


def test_the_peak_is_of_the_fastest_product() -> None:
    found = matmul_peak.measure("float32", 0.01, smallest=64, largest=128)
    assert found["side"] in (64, 128)
    assert found["flops_per_second"] > 1e6


def test_benchmark_settings_change_no_run() -> None:
    from experiments.config.identity import config_hash

    assert config_hash(config("bench.names=[mlp]", "bench.log=true")) == config_hash(config())
