"""Latency and rate of equal networks: one figure, from what nothing disturbed, or a mark."""

from __future__ import annotations

import csv

import pytest
from fake_store import COSTS, FakeStore, row
from terminal_text import shown

from experiments.comparison import compare, grouping, pareto_front, table
from experiments.comparison.pareto_front import optimal
from experiments.comparison.plots import pareto, pareto_html
from experiments.presentation.columns import TIMED_NOTE, axes

RATE = "train__optimizer__learning_rate"
MARK = "while the machine did other things"


def timed(p50, disturbed=None, rate=1000.0, slow=None, top1=0.9, p95=None, **more):
    metrics = {
        "test_top1": top1, "val_top1": top1, "macs": 1e6, "params": 5e5,
        "latency_ms_p50": p50, "latency_ms_p95": p95 or 2 * p50, "infer_images_per_second": rate,
    }  # fmt: skip
    flags = {"latency_disturbed": disturbed, "infer_disturbed": slow}
    return metrics | {key: float(flag) for key, flag in flags.items() if flag is not None} | more


def rows_of(store):
    return compare.compare(store.client, [store.name]).rows


def test_the_same_network_at_two_rates_has_the_undisturbed_figure_twice(store):
    store.run(store.name, "lenet5", 1, timed(7.6, disturbed=True, top1=0.95), **{RATE: 0.1})
    store.run(store.name, "lenet5", 2, timed(1.4, disturbed=False, p95=1.9), **{RATE: 0.1})
    store.run(store.name, "lenet5", 1, timed(1.5, disturbed=False, top1=0.93), **{RATE: 0.01})
    rows = rows_of(store)
    assert [r["latency_ms_p50"] for r in rows] == [1.4, 1.4]
    assert [r["latency_ms_p95"] for r in rows] == [1.9, 1.9]  # of that same run
    assert [r["latency_disturbed"] for r in rows] == [False, False]
    latency = next(axis for axis in axes() if axis.slug == "latency")
    assert optimal(rows, latency) == [rows[0]]  # by its top-1, not by what else ran beside it


def test_an_undisturbed_figure_goes_before_a_shorter_disturbed_one(store):
    store.run(store.name, "lenet5", 1, timed(1.2, disturbed=True, rate=900.0, slow=False))
    store.run(store.name, "lenet5", 2, timed(1.4, disturbed=False, rate=2000.0, slow=True))
    store.run(store.name, "lenet5", 3, timed(1.6, disturbed=False, rate=950.0, slow=False))
    [only] = rows_of(store)
    assert (only["latency_ms_p50"], only["latency_disturbed"]) == (1.4, False)
    assert (only["infer_images_per_second"], only["infer_disturbed"]) == (950.0, False)


def test_what_was_always_disturbed_is_marked_with_its_best_figure(store):
    store.run(store.name, "lenet5", 1, timed(7.6, disturbed=True, rate=500.0, slow=True))
    store.run(store.name, "lenet5", 2, timed(3.1, disturbed=True, rate=700.0, slow=True))
    store.run(store.name, "nin", 1, timed(2.0, disturbed=False, slow=False, top1=0.5))
    found = compare.compare(store.client, [store.name])
    busy, quiet = found.rows
    assert (busy["latency_ms_p50"], busy["latency_disturbed"]) == (3.1, True)
    assert (busy["infer_images_per_second"], busy["infer_disturbed"]) == (700.0, True)
    assert (quiet["latency_disturbed"], quiet["infer_disturbed"]) == (False, False)


@pytest.mark.parametrize(
    ("settings", "tags", "metrics"),
    [
        ({"model__options__width": 2}, {}, {}),
        ({"data__image_size": "[64, 64]"}, {}, {}),
        ({"train__precision": "mixed_float16"}, {}, {}),
        ({"train__jit": True}, {}, {}),
        ({}, {"device": "1 x H100"}, {}),
        ({}, {"backend": "jax"}, {}),
        ({}, {"machine": "Darwin arm64, 8 cores"}, {}),
        ({}, {}, {"macs": 2e6}),  # as of more classes
    ],
)
def test_what_differs_in_more_than_its_training_has_its_own_figure(
    settings, tags, metrics, empty_store, request
):
    store, name = empty_store, f"differs-{abs(hash(request.node.name))}"
    store.run(name, "lenet5", 1, timed(1.4, disturbed=False, top1=0.95))
    other = timed(3.0, disturbed=False, **metrics)
    store.run(name, "lenet5", 1, other, tags=tags, train__epochs=3, **settings)
    rows = compare.compare(store.client, [name]).rows
    assert [r["latency_ms_p50"] for r in rows] == [1.4, 3.0]


def test_the_rate_is_of_one_batch_size_and_latency_of_any(store):
    fast = timed(1.4, disturbed=False, rate=2000.0, slow=False, top1=0.95)
    store.run(store.name, "lenet5", 1, fast, data__eval_batch_size=256)
    store.run(
        store.name, "lenet5", 1, timed(1.6, disturbed=False, slow=False), data__eval_batch_size=8
    )
    rows = rows_of(store)
    assert [r["infer_images_per_second"] for r in rows] == [2000.0, 1000.0]
    assert [r["latency_ms_p50"] for r in rows] == [1.4, 1.4]


def test_runs_from_before_it_was_measured_are_not_called_either(store):
    store.run(store.name, "lenet5", 1, timed(1.4), **{RATE: 0.1})
    store.run(store.name, "lenet5", 1, timed(1.6), **{RATE: 0.2})
    rows = rows_of(store)
    assert [(r["latency_ms_p50"], r["latency_disturbed"]) for r in rows] == [(1.4, None)] * 2
    store.run(store.name, "lenet5", 1, timed(0.7, disturbed=True), **{RATE: 0.3})
    assert {r["latency_ms_p50"] for r in rows_of(store)} == {1.4}


def marked_comparison():
    rows = [
        row("busy", 1e6, 1e4, 0.97, 0.01, latency_ms_p50=7.6, latency_disturbed=True),
        row("quiet", 2e6, 1e4, 0.95, 0.01, latency_ms_p50=1.4, latency_disturbed=False),
        row("old", 2e6, 1e4, 0.90, 0.01, latency_ms_p50=1.3),
    ]
    pareto_front.mark(rows)
    return grouping.Comparison(["history"], "test_top1", rows, ["model.name"])


def test_the_table_marks_a_disturbed_figure_and_says_what_the_mark_means(tmp_path):
    text = shown(table.render(marked_comparison(), width=300), width=300)
    assert "7.60 †" in text
    assert text.count("†") == 3  # p50, p95, and the note
    assert f"† Measured {MARK}" in text
    table.write_markdown(marked_comparison(), tmp_path / "table.md")
    assert f"† Measured {MARK}" in (tmp_path / "table.md").read_text()


def test_csv_keeps_numbers_and_says_it_in_a_column(store, tmp_path):
    store.run(store.name, "lenet5", 1, timed(7.6, disturbed=True, slow=False))
    table.write_csv(compare.compare(store.client, [store.name]), tmp_path / "table.csv")
    [kept] = csv.DictReader((tmp_path / "table.csv").open())
    assert (kept["latency_ms_p50"], kept["latency_disturbed"]) == ("7.6", "True")
    assert kept["infer_disturbed"] == "False"


def test_pictures_mark_it_on_the_axis_that_it_is_of():
    made = marked_comparison()
    for axis in axes():
        if axis.kind == "bench":
            continue
        is_latency = axis.slug == "latency"
        figure, _, _ = pareto.draw(made, axis)
        names = [text.get_text() for text in figure.axes[0].texts]
        below = " ".join(text.get_text() for text in figure.texts)
        assert ("busy †" in names) is is_latency
        assert "quiet" in names
        assert (MARK in " ".join(below.split())) is is_latency
        page = pareto_html.page(made, axis)
        assert (">busy †<" in page) is is_latency
        assert MARK in page  # the pointer shows the latency on every page
        assert "latency 7.60 ms †" in page  # under the pointer everywhere


def test_times_of_machines_that_nobody_watched_are_called_so_in_table_and_pictures():
    made = marked_comparison()
    made.rows[0]["latency_disturbed"] = None
    latency = next(axis for axis in axes() if axis.slug == "latency")

    def everywhere():
        figure, _, _ = pareto.draw(made, latency)
        below = " ".join(text.get_text() for text in figure.texts)
        legend = table.legend(made, [latency.heading])
        return [" ".join(text.split()) for text in (below, "\n".join(legend))]

    assert all(TIMED_NOTE in text for text in everywhere())
    assert TIMED_NOTE in pareto_html.page(made, latency)
    for one in made.rows:
        one["latency_disturbed"] = False
    assert not any(TIMED_NOTE in text for text in everywhere())
    assert TIMED_NOTE in table.legend(made, ["train\nimages/s"])  # whose machine nobody watches
    figure, _, _ = pareto.draw(made, next(axis for axis in axes() if axis.slug == "memory"))
    assert not any(TIMED_NOTE in text.get_text() for text in figure.texts)


def test_nothing_is_marked_where_nothing_was_disturbed():
    made = marked_comparison()
    made.rows[0]["latency_disturbed"] = False
    assert "†" not in "".join(table.legend(made, [c.heading for c in table.columns_of(made)]))
    assert "†" not in pareto_html.page(made, next(a for a in axes() if a.slug == "latency"))


def test_what_no_column_shows_is_not_explained(tmp_path):
    store = FakeStore(tmp_path)
    store.run("trials", "mlp", 1, {"val_top1": 0.5, "train_seconds": 1.0}, level="trial")
    without = compare.compare(store.client, ["trials"], level="trial")
    said = "\n".join(table.legend(without, [c.heading for c in table.columns_of(without)]))
    assert "MACs" not in said
    store.run("runs", "mlp", 1, {"test_top1": 0.5, "macs": 1e6} | COSTS)
    with_macs = compare.compare(store.client, ["runs"])
    shown = [c.heading for c in table.columns_of(with_macs)]
    assert any(line.startswith("MACs = ") for line in table.legend(with_macs, shown))
