"""Grouping, dedupe, Pareto marking and the files, against a real MLflow store."""

from __future__ import annotations

import io
import json
import math

import pandas as pd
import pytest
from fake_store import FakeStore, row

from experiments import compare, grouping
from experiments.errors import BadInput
from experiments.numbers import percent, si, significant


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """Making the tables takes seconds: one database for the module, one experiment a test."""
    return FakeStore(tmp_path_factory.mktemp("store"))


@pytest.fixture
def store(empty_store, request):
    empty_store.name = request.node.name.replace("[", "-").strip("]")
    empty_store.experiment(empty_store.name)
    return empty_store


def top1(value, macs=1e6, **more):
    return {"test_top1": value, "val_top1": value - 0.01, "macs": macs, "params": 5e5, **more}


def test_means_and_spread_are_those_of_the_seeds(store):
    for seed, value in ((1, 0.90), (2, 0.94), (3, 0.95)):
        store.run(store.name, "lenet5", seed, top1(value, test_top5=1.0))
    store.run(store.name, "nin", 1, top1(0.97, macs=2e6))

    found = compare.compare(store.client, [store.name])

    assert [r["name"] for r in found.rows] == ["nin", "lenet5"]
    lenet = found.rows[1]
    assert (lenet["n"], lenet["seeds"]) == (3, [1, 2, 3])
    assert lenet["top1_mean"] == pytest.approx(0.93)
    # sample variance: (0.03^2 + 0.01^2 + 0.02^2) / 2
    assert lenet["top1_std"] == pytest.approx(math.sqrt(0.0014 / 2))
    assert lenet["top1_error"] == pytest.approx(0.07)
    assert lenet["val_top1"] == pytest.approx(0.92)
    assert lenet["test_top5"] == 1.0
    assert len(lenet["run_ids"]) == 3
    assert found.rows[0]["top1_std"] is None
    assert found.rows[0]["test_top5"] is None
    assert found.score == "test_top1"
    assert found.varying == ["model.name"]
    assert (found.sources, found.devices) == (["digits"], ["AMD EPYC, 2 threads"])


def test_a_repeat_of_config_and_seed_counts_once_and_the_newest(store):
    store.run(store.name, "lenet5", 1, top1(0.10))
    store.run(store.name, "lenet5", 2, top1(0.80))
    store.run(store.name, "lenet5", 1, top1(0.90))

    found = compare.compare(store.client, [store.name])

    assert len(found.rows) == 1
    assert found.rows[0]["n"] == 2
    assert found.rows[0]["top1_mean"] == pytest.approx(0.85)
    assert found.repeats == 1


def test_rows_of_one_model_are_named_by_what_differs(store):
    for rate in (0.1, 0.01):
        for seed in (1, 2):
            store.run(store.name, "lenet5", seed, top1(rate), train__optimizer__learning_rate=rate)
    store.run(store.name, "nin", 1, top1(0.5), train__optimizer__learning_rate=0.1)

    found = compare.compare(store.client, [store.name])

    assert [(r["name"], r["n"]) for r in found.rows] == [
        ("nin", 1),
        ("lenet5 learning_rate=0.1", 2),
        ("lenet5 learning_rate=0.01", 2),
    ]
    assert found.varying == ["model.name", "train.optimizer.learning_rate"]
    assert found.rows[2]["train.optimizer.learning_rate"] == 0.01


def test_failed_killed_and_running_are_counted_and_shown(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(store.name, "nin", 1, {}, status="FAILED")
    store.run(store.name, "nin", 2, {}, status="FAILED")
    store.run(store.name, "nin", 3, {}, status="KILLED")
    store.run(store.name, "nin", 4, {}, status="RUNNING")
    store.run(store.name, "vgg16", 1, top1(0.99), level="trial")

    found = compare.compare(store.client, [store.name])

    assert [r["name"] for r in found.rows] == ["lenet5"]
    assert found.left_out == {"FAILED": 2, "KILLED": 1, "RUNNING": 1}
    assert "2 failed, 1 killed, 1 running" in text_of(found, 100)


def test_validation_stands_in_when_no_run_was_tested_and_says_so(store):
    store.run(store.name, "lenet5", 1, {"val_top1": 0.8, "macs": 1e6})

    found = compare.compare(store.client, [store.name])

    assert (found.score, found.rows[0]["top1_mean"]) == ("val_top1", 0.8)
    assert any("validation" in warning for warning in found.warnings)
    assert "validation" in text_of(found, 100)


def test_different_data_are_not_comparable(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(store.name, "lenet5", 1, top1(0.8), tags={"source_fingerprint": "other"})

    found = compare.compare(store.client, [store.name])

    assert len(found.rows) == 2
    assert len({r["name"] for r in found.rows}) == 2
    assert any(warning.startswith("Not comparable") for warning in found.warnings)


def test_a_run_without_a_score_is_named(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(store.name, "lenet5", 2, {"val_top1": 0.5, "macs": 1e6})

    found = compare.compare(store.client, [store.name])

    assert found.rows[0]["top1_mean"] == 0.9
    assert found.warnings == ["lenet5: 1 of 2 runs have no test_top1"]


def test_mixed_devices_and_precisions_are_noted(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    other = {"device": "Apple M2, 8 threads", "precision": "mixed_bfloat16"}
    store.run(store.name, "nin", 1, top1(0.8), tags=other)

    found = compare.compare(store.client, [store.name])

    assert found.devices == ["AMD EPYC, 2 threads", "Apple M2, 8 threads"]
    assert found.precisions == ["float32", "mixed_bfloat16"]
    assert len(found.warnings) == 2


def test_two_experiments_side_by_side(store):
    store.run(store.name, "lenet5", 1, top1(0.9))
    store.run(f"{store.name}-b", "lenet5", 1, top1(0.8))

    found = compare.compare(store.client, [store.name, f"{store.name}-b"])

    assert [r["experiment"] for r in found.rows] == [store.name, f"{store.name}-b"]
    assert len({r["name"] for r in found.rows}) == 2


def test_unknown_experiment_names_the_nearest(store):
    with pytest.raises(BadInput, match=store.name):
        compare.compare(store.client, [store.name[:-1]])


def test_nothing_finished_says_how_many_and_what_to_do(store):
    with pytest.raises(BadInput, match="ilsvrc sweep"):
        compare.compare(store.client, [store.name])
    store.run(store.name, "nin", 1, {}, status="FAILED")
    store.run(store.name, "nin", 2, {}, status="RUNNING")
    with pytest.raises(BadInput, match=r"1 failed, 1 running.*resumes"):
        compare.compare(store.client, [store.name])


@pytest.mark.parametrize(
    ("points", "optimal"),
    [
        ([(1, 0.9), (2, 0.8), (3, 0.95)], [True, False, True]),
        ([(1, 0.9), (1, 0.9)], [True, True]),  # equal in both: neither is better
        ([(1, 0.9), (1, 0.8)], [True, False]),  # equal MACs
        ([(1, 0.9), (2, 0.9)], [True, False]),  # equal accuracy
        ([(None, 0.99), (2, 0.9)], [False, True]),  # no cost: not on the plane
        ([(1, None), (2, 0.9)], [False, True]),
    ],
)
def test_pareto_marking(points, optimal):
    rows = [
        {"macs": macs, "top1_mean": accuracy, "pareto": None, "at": i}
        for i, (macs, accuracy) in enumerate(points)
    ]
    grouping._mark_pareto(rows)
    assert [r["pareto"] for r in rows] == optimal


def test_files_hold_the_numbers_and_are_logged_on_the_sweep(store, tmp_path):
    store.sweep(store.name)
    newest = store.sweep(store.name)
    for seed, value in ((1, 0.9), (2, 1 / 3)):
        store.run(store.name, "lenet5", seed, top1(value))
    store.run(store.name, "nin", 1, top1(0.97, macs=2e6))
    found = compare.compare(store.client, [store.name])

    files = compare.write(found, tmp_path / "new" / "folder")
    logged = compare.log(store.client, found, files)

    table = pd.read_csv(files[0]).set_index("name")
    assert table.loc["lenet5", "top1_mean"] == (0.9 + 1 / 3) / 2  # every digit
    assert table.loc["lenet5", "n"] == 2
    assert math.isnan(table.loc["nin", "top1_std"])
    assert table.loc["nin", "macs"] == 2_000_000
    assert list(table["pareto"]) == [True, True]
    assert files[1].stat().st_size > 20_000
    assert files[2].read_text().count('class="point"') == 2
    assert logged == [newest]
    names = [file.path for file in store.client.list_artifacts(newest, "comparison")]
    assert sorted(names) == [
        "comparison/pareto.html",
        "comparison/pareto.png",
        "comparison/table.csv",
    ]


def test_out_that_is_a_file_is_refused(store, tmp_path):
    store.run(store.name, "lenet5", 1, top1(0.9))
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(BadInput, match="taken"):
        compare.write(compare.compare(store.client, [store.name]), taken)


def test_command_prints_one_json_object(store, capsys):
    store.run(store.name, "lenet5", 1, top1(0.9))
    compare.run(store.uri, [store.name], None, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"][0]["name"] == "lenet5"
    assert printed["score"] == "test_top1"


@pytest.mark.parametrize("width", [80, 100, 200])
def test_table_fits_the_terminal_and_keeps_what_matters(width):
    rows = [
        row("resnet20", 40.6e6, 270e3, 0.974, 0.003, pareto=True),
        row("lenet5", 4.2e5, 61_706, 0.942, None, pareto=True),
        row("plain20", 40.6e6, 269_722, 0.958, 0.008),
    ]
    found = grouping.Comparison(["history"], "test_top1", rows, ["model.name"])
    lines = text_of(found, width).splitlines()
    line = next(line for line in lines if "resnet20" in line)
    assert max(map(len, lines)) <= width
    assert line.lstrip().startswith("●")
    for part in ("97.4 ± 0.3", "40.6 M", "270 k"):
        assert part in line
    assert ("512" in line) == (width == 200)  # memory only where there is room
    plain = next(line for line in lines if "plain20" in line)
    assert "●" not in plain
    one_seed = next(line for line in lines if "lenet5" in line)
    assert one_seed.index("94.2") == line.index("97.4")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (40_551_552, "40.6 M"),
        (269_722, "270 k"),
        (999_600, "1.00 M"),
        (15.47e9, "15.5 G"),
        (7, "7"),
    ],
)
def test_counts_read_well(value, text):
    assert si(value) == text


def test_numbers_read_well():
    assert [significant(v) for v in (0.01234, 4.056, 1234.5, 0)] == ["0.0123", "4.06", "1230", "0"]
    assert percent({"top1_mean": 0.9741, "top1_std": 0.0031}, "top1_mean") == "97.4 ± 0.3"
    assert percent({"top1_mean": 0.9741, "top1_std": None}, "top1_mean") == "97.4"


def text_of(comparison: grouping.Comparison, width: int) -> str:
    from rich.console import Console

    console = Console(width=width, record=True, file=io.StringIO())
    console.print(compare.render(comparison, width))
    return console.export_text()
