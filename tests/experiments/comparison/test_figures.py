"""The figures besides accuracy against MACs: what is drawn, from which rows, and said of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise

import matplotlib.image
import pytest
from fake_store import row

from experiments.comparison import grouping, pareto_front
from experiments.comparison.plots import (
    ablation_bars,
    depth,
    learning_curves,
    pareto,
    pareto_html,
    pictures,
    timeline,
)
from experiments.comparison.row_names import labels, subject
from experiments.presentation import figure_style, html_page
from experiments.presentation.columns import axes
from experiments.presentation.label_placement import Box, spread

SVG = "{http://www.w3.org/2000/svg}"
RATE = "train.optimizer.learning_rate"


def comparison(rows, varying=("model.name",), **more):
    pareto_front.mark(rows)
    facts = {"sources": ["digits"], "devices": ["AMD EPYC, 2 threads"], "precisions": ["float32"]}
    return grouping.Comparison(["history"], "test_top1", rows, list(varying), **facts, **more)


def texts_of(figure):
    written = [text.get_text() for text in figure.texts]
    return " ".join(written + [t.get_text() for axes in figure.axes for t in axes.texts])


# --- accuracy against the other costs -------------------------------------------------------

COSTS = [  # name, latency ms, images per second, memory MiB, top-1
    ("slow", 8.0, 100.0, 900, 0.97),
    ("quick", 2.0, 900.0, 500, 0.95),
    ("bad", 3.0, 800.0, 400, 0.90),
    ("worst", 9.0, 50.0, 950, 0.80),
]


def by_cost():
    return comparison(
        [
            row(
                name, 1e6, 1e4, top1, 0.01, latency_ms_p50=ms, infer_images_per_second=rate,
                peak_memory_bytes=memory * 2**20,
            )
            for name, ms, rate, memory, top1 in COSTS
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("slug", "front"),
    [
        ("latency", ["quick", "slow"]),
        ("memory", ["bad", "quick", "slow"]),
        ("images_per_second", ["quick", "slow"]),  # here more is better: fastest first
        ("macs", ["slow"]),  # all alike
    ],
)
def test_each_cost_has_its_own_front(slug, front):
    axis = next(axis for axis in axes() if axis.slug == slug)
    found = by_cost()
    assert [r["name"] for r in pareto_front.optimal(found.rows, axis)] == front

    page = pareto_html.page(found, axis)
    assert sorted(re.findall(r'data-name="(\w+)"', page)) == sorted(name for name, *_ in COSTS)
    marked = {n for n, t in re.findall(r"<title>(\w+)(.*)\n", page) if "Pareto-optimal" in t}
    assert marked == set(front)


def test_the_axis_is_in_its_unit_and_turns_round_for_rates():
    latency = next(axis for axis in axes() if axis.slug == "latency")
    rate = next(axis for axis in axes() if axis.slug == "images_per_second")
    memory = next(axis for axis in axes() if axis.slug == "memory")
    figure, boxes, _ = pareto.draw(by_cost(), latency)
    assert figure.axes[0].get_xlabel() == "Latency of one image, median (ms)"
    low, high = figure.axes[0].get_xlim()
    assert low < 2
    assert high > 9
    assert len(boxes) == 4
    steps = next(line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post")
    assert list(steps.get_ydata()) == pytest.approx([5, 3, 3])
    assert steps.get_xdata()[-1] == high  # to the right: what costs more need be no worse

    figure, _, _ = pareto.draw(by_cost(), rate)
    steps = next(line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post")
    assert list(steps.get_xdata())[:2] == [900, 100]
    assert steps.get_xdata()[-1] == figure.axes[0].get_xlim()[0]

    assert memory.shown(by_cost().rows[0]) == "900 MiB"
    assert "memory 900 MiB" in pareto_html.page(by_cost())


@pytest.mark.parametrize("largest", [6e6, 3e7, 3e8, 1e10])
def test_a_logarithmic_axis_has_ticks_whatever_its_length(largest):
    rows = [row("a", 1e6, 1e4, 0.5, None), row("b", largest, 1e4, 0.6, None)]
    figure, _, _ = pareto.draw(comparison(rows))
    figure.canvas.draw()
    low, high = figure.axes[0].get_xlim()
    shown = [x for x in figure.axes[0].get_xticks() if low <= x <= high]
    ticks = re.findall(
        r'text-anchor="middle">([\d.]+ [kMG])</text>', pareto_html.svg(comparison(rows))
    )
    assert 3 <= len(shown) <= 8
    assert len(ticks) == len(shown)


def test_forty_one_rows_are_drawn_and_those_on_the_front_named():
    rows = [row(f"net{i}", 1e6 * (i + 1), 1e4, 0.5 + 0.001 * (i % 7), None) for i in range(41)]
    found = comparison(rows)
    on_front = pareto_front.optimal(rows)
    figure, boxes, bubbles = pareto.draw(found)
    assert len(bubbles) == 41
    assert len(boxes) == len(on_front) == 7
    assert "only those on the front are named" in texts_of(figure)
    page = pareto_html.page(found)
    assert page.count('class="point"') == 41
    assert page.count('class="label') == 7


def test_svg_holds_the_same_picture(tmp_path):
    written = pareto.pareto(by_cost(), tmp_path / "pareto.png")
    assert [path.name for path in written] == ["pareto.png", "pareto.svg"]
    text = written[1].read_text()
    ElementTree.fromstring(text)
    assert "<dc:date>" not in text
    again = pareto.pareto(by_cost(), tmp_path / "again.png")
    assert again[1].read_text() == text  # no date, no random ids
    # a label lies in the SVG where it lies in the PNG, whatever the dots an inch
    figure, _, _ = pareto.draw(by_cost())
    texts = [t for t in figure.axes[0].texts if t.get_text() == "quick"]
    before = texts[0].get_window_extent()
    figure.set_dpi(72)
    after = texts[0].get_window_extent()
    assert after.x0 * 200 / 72 == pytest.approx(before.x0, abs=3)
    assert after.y0 * 200 / 72 == pytest.approx(before.y0, abs=3)


# --- names ----------------------------------------------------------------------------------


def test_labels_leave_out_what_all_rows_share():
    def named(*names):
        return [{"name": name, "model": "mlp"} for name in names]

    assert labels(named("mlp rate=0.1", "mlp rate=0.2")) == ["0.1", "0.2"]
    assert subject(named("mlp rate=0.1", "mlp rate=0.2")) == "mlp by rate"
    two = named("mlp rate=0.1 decay=0", "mlp rate=0.2 decay=0")
    assert labels(two) == ["rate=0.1 decay=0", "rate=0.2 decay=0"]
    assert subject(two) == "mlp"
    mixed = [{"name": "nin", "model": "nin"}, {"name": "mlp", "model": "mlp"}]
    assert labels(mixed) == ["nin", "mlp"]
    assert subject(mixed) == ""
    assert labels(named("mlp")) == ["mlp"]


def test_long_names_are_wrapped_and_cut_but_never_lost():
    assert figure_style.wrapped("mlp rate=0.1", 26) == "mlp rate=0.1"
    assert figure_style.wrapped("plain20_cifar initializer=fan_in", 20) == (
        "plain20_cifar\ninitializer=fan_in"
    )
    stages = "vgg16 stages=vgg_a(width=0.25,initializer=glorot):8"
    assert figure_style.wrapped(stages, 20, 2) == "vgg16\nstages=vgg_a(widt..."
    assert figure_style.cut("abcdefgh", 6) == "abc..."


def test_a_column_of_labels_is_spread_and_keeps_its_order():
    wanted = [5.0, 5.1, 50.0, 4.9, 99.0, 98.0]
    centres = spread(wanted, 10, 0, 100)
    assert sorted(range(6), key=lambda i: centres[i]) == sorted(range(6), key=lambda i: wanted[i])
    ordered = sorted(centres)
    assert all(b - a >= 10 - 1e-9 for a, b in pairwise(ordered))
    assert ordered[0] >= 0
    assert ordered[-1] <= 100
    assert centres[2] == 50.0  # alone where it wants to be


# --- the timeline ---------------------------------------------------------------------------


def test_timeline_shows_published_winners_the_human_and_our_runs_apart():
    found = comparison([
        row("resnet20_cifar", 4e7, 2e5, 0.9, 0.01, test_top5=0.99, test_top5_std=0.002,
            classes=1000),
        row("lenet5", 4e5, 6e4, 0.7, None, test_top5=0.95, test_top5_std=None, classes=1000),
    ])  # fmt: skip
    drawn = timeline.draw(found)
    published, ours = drawn.figure.axes

    heights = {round(b.get_x() + b.get_width() / 2): b.get_height() for b in published.patches}
    assert heights == {2010: 28.2, 2011: 25.8, 2012: 16.4, 2013: 11.7, 2014: 6.67, 2015: 3.57}
    assert [line.get_ydata()[0] for line in published.lines] == [5.1]
    assert [t.get_text() for t in ours.get_xticklabels()] == ["lenet5", "resnet20_cifar"]  # 1998
    points = [line.get_ydata()[0] for line in ours.lines if line.get_marker() == "D"]
    assert points == pytest.approx([5.0, 1.0])
    assert published.get_ylim() == ours.get_ylim()
    said = texts_of(drawn.figure)
    assert "other data, which do not compare" in said
    assert "digits" in said
    assert len(drawn.hovers) == 6 + 2
    assert "Russakovsky" in drawn.hovers["timeline-2011"]
    assert "top-5 99.0 ± 0.2 % on digits, n = 3" in drawn.hovers["timeline-ours-1"]


def test_no_timeline_without_top5_or_for_settings_of_one_network():
    few_classes = row("lenet5", 4e5, 6e4, 0.7, None, test_top5=None, classes=1000)
    assert timeline.draw(comparison([few_classes])) is None
    settings = [
        row(f"mlp rate={r}", 4e5, 6e4, 0.7, None, model="mlp", classes=1000) for r in (1, 2)
    ]
    assert timeline.draw(comparison(settings)) is None


@pytest.mark.parametrize("classes", [10, 999, None])
def test_top5_of_fewer_classes_is_not_set_beside_that_of_a_thousand(classes):
    rows = [row(name, 4e5, 6e4, 0.7, None, classes=classes) for name in ("lenet5", "nin")]
    assert timeline.draw(comparison(rows)) is None
    rows[0]["classes"] = timeline.CLASSES
    assert [
        t.get_text() for t in timeline.draw(comparison(rows)).figure.axes[1].get_xticklabels()
    ] == ["lenet5"]


# --- learning curves ------------------------------------------------------------------------


def test_curves_are_means_over_seeds_as_far_as_all_trained():
    one, two = {1: 0.4, 2: 0.6, 3: 0.9}, {1: 0.6, 2: 0.8}
    epochs, means, deviations = learning_curves.mean_and_spread([one, two])
    assert epochs == [1, 2]
    assert means == pytest.approx([0.5, 0.7])
    assert deviations == pytest.approx([0.02**0.5, 0.02**0.5])

    found = comparison([row("nin", 1e6, 1e4, 0.9, 0.01), row("mlp", 1e6, 1e4, 0.8, None)])
    curves = {"nin": {"val_top1": [one, two], "train_loss": [{1: 2.0, 2: 1.0}]}}
    drawn = learning_curves.draw(found, curves)
    loss, error = drawn.figure.axes
    line = next(x for x in error.lines if x.get_gid() == "curves-val_top1-0")
    assert list(line.get_ydata()) == pytest.approx([50, 30])  # error in per cent
    assert error.get_ylabel() == "Top-1 error on validation (%)"
    assert loss.get_ylabel() == "Training loss"
    assert len(error.collections) == 1  # a band for the row with two seeds
    assert "n = 2" in drawn.hovers["curves-val_top1-0"]
    assert learning_curves.draw(found, {}) is None


def test_thirty_curves_are_told_apart_by_naming_fourteen():
    rows = [row(f"net{i}", 1e6, 1e4, 0.9 - 0.01 * i, None) for i in range(30)]
    curves = {r["name"]: {"val_top1": [{1: 0.1, 2: r["top1_mean"]}]} for r in rows}
    drawn = learning_curves.draw(comparison(rows), curves)
    (axes,) = drawn.figure.axes
    named = [t for t in drawn.figure.texts if t.get_text().startswith("net")]
    assert [t.get_text() for t in named][::-1] == [f"net{i}" for i in range(14)]
    looks = {(x.get_color(), x.get_linestyle()) for x in axes.lines if x.get_gid()}
    assert len(looks) == 14 + 1, "and one for the others"
    boxes = [t.get_window_extent() for t in named]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert len([x for x in axes.lines if x.get_gid()]) == 30
    assert "first 14 of 30 rows" in texts_of(drawn.figure)


# --- depth ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("plain20_cifar", ("plainN_cifar", 20)),
        ("resnet110_cifar", ("resnetN_cifar", 110)),
        ("resnet152_v2", ("resnetN_v2", 152)),
        ("vgg_a", ("vggN", 11)),
        ("vgg19", ("vggN", 19)),
        ("lenet5", None),
        (None, None),
    ],
)
def test_families_and_depths(model, place):
    assert depth.family_and_depth(model) == place


def test_depth_figure_shows_plain_networks_degrade_and_residual_ones_not():
    errors = {"plain20_cifar": 0.09, "plain56_cifar": 0.13,
              "resnet20_cifar": 0.08, "resnet56_cifar": 0.07, "nin": 0.1}  # fmt: skip
    rows = [row(name, 1e6, 1e4, 1 - e, 0.01, train_top1=1 - e / 2) for name, e in errors.items()]
    drawn = depth.draw(comparison(rows))
    (axes,) = drawn.figure.axes
    solid = [x for x in axes.lines if x.get_linestyle() == "-" and len(x.get_xdata()) == 2]
    dashed = [x for x in axes.lines if x.get_linestyle() == "--"]
    assert [list(x.get_xdata()) for x in solid[:2]] == [[20, 56], [20, 56]]
    shown = [list(line.get_ydata()) for line in solid if line.get_xdata()[0] == 20]
    assert shown[0] == pytest.approx([9, 13])
    assert shown[1] == pytest.approx([8, 7])
    assert [list(x.get_ydata()) for x in dashed] == [pytest.approx([4.5, 6.5]),
                                                     pytest.approx([4.0, 3.5])]  # fmt: skip
    said = texts_of(drawn.figure)
    assert "plainN_cifar" in said
    assert "resnetN_cifar" in said
    assert drawn.hovers["depth-0-1"].startswith("plain56_cifar: 56 layers")
    assert depth.draw(comparison(rows[:1] + rows[4:])) is None


# --- ablation bars --------------------------------------------------------------------------


def ablation(values, key, tops, std=0.01):
    rows = [
        row(f"mlp {key}={v}", 1e6, 1e4, top1, std, model="mlp",
            values=[{"score": top1 - 0.01}, {"score": top1 + 0.01}], **{key: v})
        for v, top1 in zip(values, tops, strict=True)
    ]  # fmt: skip
    return comparison(rows, varying=[key])


def test_bars_stand_in_the_order_of_numbers_else_of_error():
    drawn = ablation_bars.draw(ablation([0.1, 0.001, 0.01], RATE, [0.9, 0.7, 0.95]))
    (axes,) = drawn.figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0.001", "0.01", "0.1"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([30, 5, 10])
    assert axes.get_xlim()[0] == 0  # bars are lengths
    assert [t.get_text() for t in axes.texts] == ["30.0 ± 1.0", "5.0 ± 1.0", "10.0 ± 1.0"]

    key = "model.options.activation"
    drawn = ablation_bars.draw(ablation(["tanh", None, "relu"], key, [0.8, 0.7, 0.9]))
    shown = [t.get_text() for t in drawn.figure.axes[0].get_yticklabels()]
    assert shown == ["relu", "tanh", "as published"]


def test_bars_are_for_one_axis_only():
    found = ablation([0.1, 0.01], RATE, [0.9, 0.8])
    assert ablation_bars.axis_of(found) == RATE
    for varying, axis in [
        ([], None),
        ([RATE, "train.epochs"], None),
        ([RATE, "data.train_images"], RATE),  # follows from another setting
        (["model.options.kernel_regularizer.l1", "model.options.kernel_regularizer.l2"],
         "model.options.kernel_regularizer"),
    ]:  # fmt: skip
        assert ablation_bars.axis_of(comparison(found.rows, varying=varying)) == axis
    crossed = [{**r, "train.epochs": i} for i, r in enumerate(found.rows)]
    assert ablation_bars.draw(comparison(crossed, varying=[RATE, "train.epochs"])) is None


def test_bars_show_several_settings_changed_one_at_a_time():
    dropout, l1 = "model.options.dropout", "model.options.kernel_regularizer.l1"
    rows = [
        row(name, 1e6, 1e4, top1, 0.01, model="mlp", **{dropout: rate, l1: strength})
        for name, top1, rate, strength in (
            ("mlp dropout=0.5", 0.9, 0.5, None),
            ("mlp", 0.8, None, None),
            ("mlp l1=0.1", 0.7, None, 0.1),
        )
    ]
    drawn = ablation_bars.draw(comparison(rows, varying=[dropout, l1]))
    shown = [t.get_text() for t in drawn.figure.axes[0].get_yticklabels()]
    assert shown == ["dropout=0.5", "as published", "l1=0.1"]
    both = [*rows, row("mlp dropout=0.5 l1=0.1", 1e6, 1e4, 0.9, None, model="mlp",
                       **{dropout: 0.5, l1: 0.1})]  # fmt: skip
    assert ablation_bars.draw(comparison(both, varying=[dropout, l1])) is None


# --- files and pages ------------------------------------------------------------------------


def test_what_applies_is_written_and_every_mark_has_its_text(tmp_path):
    unknown = dict.fromkeys(("infer_images_per_second", "peak_memory_bytes"))
    rows = [row(n, 1e6, None, t, 0.01, **unknown, **{"model.name": n, "values": []}, classes=1000)
            for n, t in [("plain20_cifar", 0.9), ("plain56_cifar", 0.8)]]  # fmt: skip
    found = comparison(rows)
    curves = {"plain20_cifar": {"val_top1": [{1: 0.5, 2: 0.9}]}}

    written = {path.name for path in pictures.write(found, tmp_path, curves)}

    assert "pareto_params.png" not in written
    paretos = ("pareto", "pareto_latency", "pareto_top5", "pareto_latency_top5")
    for stem in (*paretos, "timeline", "curves", "depth", "ablation"):
        assert {f"{stem}.png", f"{stem}.svg", f"{stem}.html"} <= written
    for name in ("timeline", "curves", "depth", "ablation"):
        height, width, _ = matplotlib.image.imread(tmp_path / f"{name}.png").shape
        assert min(height, width) > 400
        page = (tmp_path / f"{name}.html").read_text()
        svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", page, re.S).group())
        marks = [g for g in svg.iter(f"{SVG}g") if g.get("class") == "hover"]
        drawn = next(one for one in pictures.figures(found, curves) if one.slug == name)
        assert {g.get("id"): g[0].text for g in marks} == dict(drawn.hovers)
        assert not re.search(r'(src|href)="(?!#)', page)


def test_a_name_with_markup_stays_text_in_a_figure():
    figure = figure_style.new_figure(3, 2)
    (mark,) = figure.add_axes((0, 0, 1, 1)).plot([0, 1], [0, 1])
    mark.set_gid("x-1")
    drawn = html_page.Drawn("x", "X", "<b>&", figure, {"x-1": '<script>"&'})
    page = html_page.page(drawn)
    assert "<title>&lt;script&gt;&quot;&amp;</title>" in page
    assert "<b>&" not in page


@pytest.mark.parametrize("count", [4, 12, 30])
def test_labels_do_not_overlap_on_any_axis(count):
    rows = [
        row(
            f"network_{i}", 1e6 * 1.4**i, 1e4 * 1.3**i, 0.7 + 0.2 * (i * 7 % count) / count, 0.01,
            latency_ms_p50=0.3 * 1.2**i, infer_images_per_second=3e4 / 1.2**i,
        )
        for i in range(count)
    ]  # fmt: skip
    for axis in (axes()[0], axes()[4]):
        figure, boxes, bubbles = pareto.draw(comparison(rows), axis)
        frame = figure.axes[0].bbox
        assert len(boxes) == count
        assert not any(a.meets(b) for a, b in combinations(boxes, 2))
        for box in boxes:
            assert box.inside(Box(frame.x0, frame.y0, frame.x1, frame.y1))
            assert min(box.distance(bubble) for bubble in bubbles) >= 0
