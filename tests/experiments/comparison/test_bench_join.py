"""`compare --bench`: columns of measurements, joined by architecture."""

from __future__ import annotations

import json

import pytest
from fake_store import FakeStore

from experiments.bench import table
from experiments.comparison import bench_join, compare
from experiments.comparison.pareto_front import drawable
from experiments.comparison.table import columns_of
from experiments.config import settings
from experiments.errors import BadInput
from experiments.reporting.facts import gather
from experiments.reporting.output import _write_json
from experiments.reporting.page import report_page
from experiments.tracking import experiment


def measured(
    name, mode, batch, precision, rate, asked=None, macs=1e6, side="tensorflow", of_rounds=2
):
    """A row as `bench_models.run` gives it."""
    return {
        "name": name, "mode": mode, "batch": batch, "asked": asked or batch, "precision": precision,
        "images_per_second": rate, "low": rate, "high": rate,
        **{f"latency_ms_p{p}": 2.0 if mode == "infer" else None for p in (50, 95, 99)},
        "peak_memory_bytes": 300.0 * 2**20, "device_memory_bytes": None,
        "host_memory_bytes": 300.0 * 2**20, "build_seconds": 1.0, "first_step_seconds": 1.0,
        "flops_per_second": 1e9, "fraction_of_peak": 0.5, "params": 5e5, "macs": macs,
        "input_shape": [32, 32, 3], "rounds": 2, "of_rounds": of_rounds,
        "policy": precision, "device": "H100",
        "framework": "tensorflow 2", "threads": 0, "deterministic": True, "jit": False,
        "side": side,
    }  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = FakeStore(tmp_path_factory.mktemp("store"))
    for model, top1 in (("lenet5", 0.8), ("nin", 0.9), ("vgg16", 0.95)):
        metrics = {"test_top1": top1, "val_top1": top1, "macs": 1e6, "params": 5e5}
        store.run("h", model, 1, metrics, model__options="{}")
    wide = {"test_top1": 0.85, "val_top1": 0.8, "macs": 4e6, "params": 2e6}
    store.run("h", "lenet5", 1, wide, model__options__width=2.0)
    rows = [
        measured("lenet5", "infer", 8, "float32", 800.0),
        measured("lenet5", "infer", 32, "float32", 900.0),
        measured("lenet5", "infer", 64, "float32", 950.0, asked="auto"),
        measured("lenet5", "infer", 32, "bfloat16", 1800.0),
        measured("lenet5", "infer", 256, "float32", 5000.0, side="jax"),
        measured("nin", "infer", 8, "float32", 80.0, macs=2e6),
        measured("nin", "infer", 32, "float32", 90.0, macs=2e6),
        measured("nin", "infer", 128, "float32", 99.0, asked="auto", macs=2e6),
        measured("alexnet", "infer", 64, "float32", 70.0),
    ]
    log(store, rows)
    log(store, [measured("lenet5", "train", 32, "float32", 300.0, of_rounds=5)])
    return store


def log(store, rows, name="bench", status="finished", missing=None, **options):
    config = settings.parse(
        {"name": name, "tracking": {"uri": store.uri}, "model": {"options": options}}
    )
    machine = {"framework": "tensorflow 2"}
    document = {"status": status, "missing": missing or {}, "rows": rows, "machine": machine}
    return table.log(document, [], config, experiment.Experiment(name, config.tracking))


def test_a_partial_bench_is_marked_and_its_rows_are_kept(store):
    rows = [measured("nin", "infer", 8, "float32", 1.0, of_rounds=2 + n) for n in range(2)]
    missing = {"nin float32 batch 8": "2 of 3 rounds: stopped"}
    top = store.client.get_run(log(store, rows, "stopped", "killed", missing))
    assert (top.info.status, top.data.tags["level"]) == ("KILLED", "bench")
    files = {item.path for item in store.client.list_artifacts(top.info.run_id)}
    assert files == {"config.yaml", "missing.json"}
    children = store.client.search_runs([top.info.experiment_id], "params.batch = '8'")
    assert {run.info.status for run in children} == {"FINISHED"}
    partial = [run.data.tags.get("partial") for run in children]
    assert sorted(partial, key=str) == ["2 of 3 rounds", None]


def rates(found, key="bench_infer_images_per_second"):
    return {row["name"]: row[key] for row in found.rows}


def test_the_largest_common_batch_in_float32_is_taken(store):
    found = compare.compare(store.client, ["h"], bench="bench")
    assert found.bench["batch"] == 32
    assert found.bench["precision"] == "float32"
    assert rates(found) == {"lenet5": 900.0, "nin": 90.0, "vgg16": None, "lenet5 width=2.0": None}
    row = next(row for row in found.rows if row["name"] == "lenet5")
    assert row["bench_latency_ms_p50"] == 2.0
    assert row["bench_infer_memory_bytes"] == 300.0 * 2**20
    assert row["bench_train_images_per_second"] == 300.0
    first, other, partial, missing = found.bench["notes"]
    assert "bench, batch 32 (latency: batch 1), float32, 32x32x3, H100, tensorflow 2;" in first
    assert other.endswith("nin 2.00 M MACs there, 1.00 M here")
    assert partial == "Partial: lenet5, train: 2 of 5 rounds"
    assert missing == "Not in the bench: vgg16, lenet5 width=2.0"


def test_batch_and_precision_are_chosen_and_rows_sorted(store):
    def of(text):
        return rates(compare.compare(store.client, ["h"], bench=f"bench,{text}"))

    assert of("batch=8")["nin"] == 80.0
    assert of("batch=auto")["nin"] == 99.0
    assert of("precision=bfloat16,batch=32")["lenet5"] == 1800.0
    assert of("side=jax") == {"lenet5": 5000.0} | dict.fromkeys(
        ("nin", "vgg16", "lenet5 width=2.0")
    )
    found = compare.compare(
        store.client, ["h"], bench="bench", sort="bench_infer_images_per_second"
    )
    assert [row["name"] for row in found.rows][:2] == ["lenet5", "nin"]


def test_options_are_part_of_the_architecture(store):
    log(store, [measured("lenet5", "infer", 32, "float32", 450.0, macs=4e6)], width=2.0)
    found = compare.compare(store.client, ["h"], bench="bench")
    assert rates(found)["lenet5 width=2.0"] == 450.0
    assert rates(found)["lenet5"] == 900.0


def test_table_figures_and_report_have_it(store, tmp_path):
    found = compare.compare(store.client, ["h"], bench="bench,batch=32")
    headers = [column.heading for column in columns_of(found)]
    assert headers[-5:] == [
        "bench\np50 ms", "bench infer\nimages/s", "bench infer\nMiB", "bench train\nimages/s",
        "bench train\nMiB",
    ]  # fmt: skip
    slugs = [axis.slug for axis in drawable(found.rows)]
    assert slugs[-3:] == ["bench_latency", "bench_images_per_second", "bench_memory"]
    _write_json(found, tmp_path / "table.json")
    assert json.loads((tmp_path / "table.json").read_text())["bench"]["batch"] == 32
    page = report_page(found, gather(store.client, found), {})
    assert "--bench bench,batch=32,precision=float32,side=tensorflow" in page
    assert "bench: bench, batch 32" in page


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("bench,batch=0", "expected EXPERIMENT,batch=32,precision=float32"),
        ("bench,32", "expected EXPERIMENT"),
        (",batch=32", "name of an experiment"),
        ("bench,batch=32,batch=8", "batch is given twice: remove one"),
        ("bench,batch=5", r"batch=5 was not measured; 8, 32, 64, 128 were"),
        ("bench,precision=float8", r"precision=float8 was not measured; bfloat16, float32 were"),
        ("bench,side=torch", r"side=torch was not measured; jax, tensorflow were"),
        ("h", "no rows of ilsvrc bench there; write them: ilsvrc bench infer name=h --log"),
        ("bunch", "No experiment named bunch"),
    ],
)
def test_what_is_not_there_is_named(store, text, why):
    with pytest.raises(BadInput, match=why):
        compare.compare(store.client, ["h"], bench=text)


def test_a_bench_of_other_networks_is_refused(store):
    with pytest.raises(BadInput, match=r"none of its networks \(alexnet, lenet5, nin\) is a row"):
        compare.compare(store.client, ["h"], where=["model.name=vgg16"], bench="bench")


def test_spaces_between_the_words_are_allowed():
    assert bench_join.parsed("a b, batch=auto") == bench_join.Wanted("a b", "auto", None)
