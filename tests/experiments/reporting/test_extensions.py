"""A metric or a figure that is added in one place is shown in all of them."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest

from experiments.comparison import table
from experiments.comparison.grouping import grouped
from experiments.comparison.plots import depth, pareto_html, pictures
from experiments.comparison.selection import ordered
from experiments.presentation.columns import COLUMNS, CostAxis, exact, progress_line, rounded
from experiments.presentation.figure_style import new_figure
from experiments.presentation.html_page import Drawn
from experiments.reporting.facts import Facts
from experiments.reporting.page import report_page
from experiments.reporting.ui import states
from experiments.reporting.ui.states import Held

TAGS = ("git_commit", "git_dirty", "machine", "device", "python", "precision", "augment")

FACTS = Facts(3, 0, 1, {}, {tag: [] for tag in TAGS}, {}, [], 1.0, 0)


@pytest.fixture
def toy():
    column = CostAxis(
        key="toy_joules", kind="measured", heading="toy\nmJ", unit=1e-3, dropped=1,
        rounded=("toy_mj", 1e-3),
        less_is_better=False, progress="toy {:.1f} J",
        axis=9, slug="toy", title="Toy", label="Toy energy (mJ)", suffix="mJ",
    )  # fmt: skip
    COLUMNS.append(column)
    yield column
    COLUMNS.remove(column)


def run(model, seed, toy_joules):
    metrics = {"test_top1": 0.9 + (model == "nin") / 20, "macs": 1e6, "toy_joules": toy_joules}
    return "toys", SimpleNamespace(
        info=SimpleNamespace(run_id=f"{model}{seed}", run_name=model, start_time=seed),
        data=SimpleNamespace(params={"model.name": model, "seed": str(seed)}, metrics=metrics,
                             tags={"group_hash": model, "config_hash": f"{model}{seed}"}),
    )  # fmt: skip


def test_a_column_is_added_in_one_place(toy, tmp_path):
    found = grouped([run("nin", 1, 0.25), run("nin", 2, 0.5), run("mlp", 1, 0.75)], ["toys"])

    cells = {column.heading: list(map(column.cell, found.rows)) for column in
             table.columns_of(found)}  # fmt: skip
    assert cells["model"] == ["nin", "mlp"]
    assert cells["toy\nmJ"] == ["375", "750"]
    table.write_csv(found, tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        assert [row["toy_joules"] for row in csv.DictReader(file)] == ["0.375", "0.75"]
    table.write_markdown(found, tmp_path / "table.md")
    assert "| toy mJ |" in (tmp_path / "table.md").read_text()
    assert [row["name"] for row in ordered(found, "toy_joules").rows] == ["mlp", "nin"]

    page = report_page(found, FACTS, {})
    assert 'data-sort="375">375</td>' in page
    assert '<button type="button" data-axis="toy"' in page
    assert "toy 375 mJ" in pareto_html.page(found, toy)
    assert rounded({"toy_joules": 0.123456}) == {"toy_mj": 123.5}
    assert exact({"toy_joules": 0.123456, "toy_mj": 123.5}) == {"toy_joules": 0.123456}
    state = states.charts(Held({"test_top1", "macs", "toy_joules", "toy_mj"}))
    assert "metrics.`toy_mj`" in state["selectedColumns"]
    assert "toy_mj" in [card["xaxis"]["key"] for card in state["compareRunCharts"][:-1]]
    assert progress_line({"toy_joules": 0.25, "val_top1": 0.5}) == "val top-1 50.00%, toy 0.2 J"


def test_a_figure_brings_its_heading_and_the_name_of_its_files(tmp_path, monkeypatch):
    found = grouped([run("nin", 1, 0.25)], ["toys"])
    monkeypatch.setattr(depth, "draw", lambda comparison: Drawn(
        "toy", "Toys in a row", f"Toys of {comparison.rows[0]['name']}", new_figure(2, 2)
    ))  # fmt: skip
    written = {path.name for path in pictures.write(found, tmp_path, {})}
    assert {"toy.png", "toy.svg", "toy.html"} <= written
    assert "<h1>Toys of nin</h1>" in (tmp_path / "toy.html").read_text()
    assert "<h2>Toys in a row</h2>" in report_page(found, FACTS, {})


def test_keys_and_places_are_taken_once():
    assert len({column.key for column in COLUMNS}) == len(COLUMNS)
    costs = [column for column in COLUMNS if isinstance(column, CostAxis)]
    assert len({cost.axis for cost in costs}) == len({cost.slug for cost in costs}) == len(costs)
    assert all((column.bench is not None) == (column.kind == "bench") for column in COLUMNS)
