"""What a comparison leaves: files, the terminal's table, JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest
from fake_store import COSTS, row, top1
from terminal_text import shown
from typer.testing import CliRunner

from experiments.cli import commands
from experiments.comparison import compare, grouping, pareto_front, table
from experiments.comparison.plots import learning_curves
from experiments.errors import BadInput
from experiments.reporting.output import log, run, to_json, write


def test_curves_come_from_the_store_and_end_with_the_last_epoch_itself(store):
    run = store.run(store.name, "nin", 1, {"test_top1": 0.9, "macs": 1e6})
    for epoch, value in enumerate((0.5, 0.7, 0.6), start=1):
        store.client.log_metric(run, "val_top1", value, step=epoch, timestamp=epoch)
    store.client.log_metric(run, "val_top1", 0.7, step=3, timestamp=9)  # the restored best epoch
    found = compare.compare(store.client, [store.name])
    assert learning_curves.fetch(store.client, found) == {
        "nin": {"val_top1": [{1: 0.5, 2: 0.7, 3: 0.6}]}
    }


def test_command_line_passes_its_options_on(store, capsys):
    for rate in (0.1, 0.2, 0.3):
        store.run(store.name, "mlp", 1, top1(rate), train__optimizer__learning_rate=rate)
    words = [store.name, "--uri", store.uri, "--json", "--test", "none"]
    words += ["--where", "learning_rate!=0.2", "--sort", "-top1_mean"]
    done = CliRunner().invoke(commands.app, ["compare", *words])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert [r["top1_mean"] for r in printed["rows"]] == [0.1, 0.3]
    assert printed["where"] == ["learning_rate!=0.2"]
    assert printed["significance"] is None


def test_runs_are_printed_and_taken_by_the_first_digits_of_their_ids(store):
    for seed in (1, 2, 3):
        store.run(store.name, "mlp", seed, top1(seed / 10))
    [row] = compare.compare(store.client, [store.name]).rows
    printed = shown(table.render(compare.compare(store.client, [store.name]), 140), width=140)
    short = [run_id[:8] for run_id in row["run_ids"]]
    assert f"Runs: mlp {' '.join(short)}" in printed
    found = compare.compare(store.client, [short[0], row["run_ids"][2]])
    assert found.rows[0]["run_ids"] == [row["run_ids"][0], row["run_ids"][2]]
    assert found.experiments == [store.name]
    again = compare.compare(store.client, [store.name], where=found.where)
    assert again.rows == found.rows
    with pytest.raises(BadInput, match="name experiments or runs, not both"):
        compare.compare(store.client, [store.name, short[0]])
    with pytest.raises(BadInput, match="0123456789: no such run"):
        compare.compare(store.client, ["0123456789"])


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
    pareto_front.mark(rows)
    assert [r["pareto"] for r in rows] == optimal


def test_files_hold_the_numbers_and_are_logged_on_the_sweep(store, tmp_path):
    store.sweep(store.name)
    newest = store.sweep(store.name)
    for seed, value in ((1, 0.9), (2, 1 / 3)):
        store.run(store.name, "lenet5", seed, top1(value, **COSTS))
    store.run(store.name, "nin", 1, top1(0.97, macs=2e6))
    found = compare.compare(store.client, [store.name])

    files = write(found, tmp_path / "new" / "folder")
    logged = log(store.client, found, files)

    written = pd.read_csv(files[0]).set_index("name")
    assert written.loc["lenet5", "top1_mean"] == (0.9 + 1 / 3) / 2  # every digit
    assert written.loc["lenet5", "n"] == 2
    assert math.isnan(written.loc["nin", "top1_std"])
    assert written.loc["nin", "macs"] == 2_000_000
    assert list(written["pareto"]) == [True, True]
    assert not {"values"} & set(written.columns)
    assert files[1].stat().st_size > 20_000
    assert files[2].read_text().count('class="point"') == 2
    document = json.loads((files[0].parent / "table.json").read_text())
    assert document == to_json(found)
    assert [v["score"] for v in document["rows"][1]["values"]] == [0.9, 1 / 3]
    assert logged == [newest]
    names = {Path(file.path).name for file in store.client.list_artifacts(newest, "comparison")}
    assert names == {file.name for file in files}
    axes = ("", "_params", "_latency", "_memory", "_images_per_second")
    pictures = {f"pareto{axis}.{end}" for axis in axes for end in ("png", "svg", "html")}
    assert {"table.csv", "table.md", "table.json"} | pictures <= names


def test_markdown_table_has_every_column_and_is_not_broken_by_a_name(store, tmp_path):
    for seed, value in ((1, 0.9), (2, 0.92)):
        store.run(store.name, "a|b<c>_d", seed, top1(value))
    store.run(store.name, "nin", 1, top1(0.89, macs=2e6))
    found = compare.compare(store.client, [store.name], test="auto")
    table.write_markdown(found, tmp_path / "table.md")

    lines = (tmp_path / "table.md").read_text().splitlines()
    head, _rule, first, second = lines[2:6]
    cells = [part.strip() for part in re.split(r"(?<!\\)\|", first)[1:-1]]
    assert len(cells) == len(re.split(r"(?<!\\)\|", head)[1:-1])
    assert cells[0] == "●"
    assert cells[1] == r"a\|b\<c>\_d"
    assert "91.0 ± 1.4" in cells
    assert second.startswith("| ○ | nin |")  # dearer and worse
    assert any("Not tested against" in line for line in lines)


def test_out_that_is_a_file_is_refused(store, tmp_path):
    store.run(store.name, "lenet5", 1, top1(0.9))
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(BadInput, match="taken"):
        write(compare.compare(store.client, [store.name]), taken)


def test_command_prints_one_json_object(store, capsys):
    store.run(store.name, "lenet5", 1, top1(0.9))
    run(store.uri, [store.name], None, as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"][0]["name"] == "lenet5"
    assert printed["score"] == "test_top1"


@pytest.mark.parametrize("width", [80, 100, 160, 200])
def test_table_fits_the_terminal_and_keeps_what_matters(width):
    rows = [
        row("resnet20", 40.6e6, 270e3, 0.974, 0.003, pareto=True),
        row("lenet5", 4.2e5, 61_706, 0.942, None, pareto=True),
        row("plain20", 40.6e6, 269_722, 0.958, 0.008),
    ]
    found = grouping.Comparison(["history"], "test_top1", rows, ["model.name"])
    lines = shown(table.render(found, width), width=width).splitlines()
    line = next(line for line in lines if "resnet20" in line)
    assert max(map(len, lines)) <= width
    assert line.lstrip().startswith("●")
    for part in ("97.4 ± 0.3", "40.6 M", "270 k"):
        assert part in line
    assert ("512" in line) == (width >= 160)  # memory only where there is room
    dropped = " ".join(" ".join(lines).split()).partition("Left out for want of width: ")[2]
    assert ("memory MiB" in dropped) == (width < 160)
    assert not any(name in dropped for name in ("MACs", "params", "test top-1 %"))
    plain = next(line for line in lines if "plain20" in line)
    assert "●" not in plain
    one_seed = next(line for line in lines if "lenet5" in line)
    assert one_seed.index("94.2") == line.index("97.4")
