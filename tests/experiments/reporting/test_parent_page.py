"""A sweep's own run shows its results as a table, with our charts and our report as files."""

from __future__ import annotations

import pytest
from fake_store import COSTS, FakeStore

from experiments.reporting import parent_page

METRICS = COSTS | {"test_top1": 0.9, "val_top1": 0.8, "macs": 1e6, "params": 1e4}


@pytest.fixture
def store(tmp_path):
    store = FakeStore(tmp_path)
    store.parent = store.sweep("thesis")
    for model in ("mlp", "lenet5"):
        for seed in (1, 2):
            store.run("thesis", model, seed, METRICS)
    return store


def test_the_newest_sweep_has_a_table_a_report_and_charts(store):
    experiment = store.client.get_experiment_by_name("thesis").experiment_id
    assert parent_page.newest(store.client, experiment) == store.parent, "an older sweep gets them"
    files = {file.path for file in store.client.list_artifacts(store.parent)}
    assert {"report.html", "pareto.html"} <= files
    note = store.client.get_run(store.parent).data.tags["mlflow.note.content"]
    assert f"(/#/experiments/{experiment}/runs/{store.parent}/artifacts/report.html)" in note
    rows = [line for line in note.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2, "head, rule, a row a network"
    assert "90.0" in rows[-1]
    url = parent_page.address("http://here:1/", experiment, store.parent)
    assert (
        url == f"http://here:1/#/experiments/{experiment}/runs/{store.parent}/artifacts/report.html"
    )


def test_a_report_that_cannot_be_drawn_costs_a_line(store, capsys, monkeypatch):
    def fails(*_):
        raise ValueError("no ink")

    monkeypatch.setattr(parent_page, "report_page", fails)
    assert not parent_page.attach(store.client, "thesis", store.parent)
    assert "no ink" in capsys.readouterr().err


def test_a_note_is_cut_between_rows():
    text = "\n".join(f"| row {number} |" for number in range(1000))
    note = parent_page._cut(text)
    assert len(note) < 5000
    *rows, _, ending = note.splitlines()
    assert rows[-1].endswith("|")
    assert ending == "More in report.html."
