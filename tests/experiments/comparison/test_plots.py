"""The figure and the page: what is drawn, and that it can be read."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import matplotlib.image
import pytest
from fake_store import row

from experiments.comparison import grouping, pareto_front
from experiments.comparison.plots import pareto, pareto_html
from experiments.comparison.plots.pareto_key import LARGEST_POINTS, size_key
from experiments.presentation.label_placement import Box, Bubble, leader, place, staircase
from experiments.reporting import output

NETWORKS = [  # name, MACs, parameters, top-1, standard deviation
    ("lenet5", 4.2e5, 61_706, 0.942, 0.006),
    ("plain20", 40.6e6, 269_722, 0.958, 0.008),
    ("resnet20", 40.6e6, 272_474, 0.974, 0.003),
    ("alexnet", 720e6, 60.9e6, 0.961, 0.005),
    ("nin", 222e6, 967e3, 0.969, 0.004),
    ("vgg11", 7.6e9, 132e6, 0.978, 0.002),
    ("vgg16", 15.5e9, 138e6, 0.979, 0.0025),
    ("googlenet", 1.58e9, 6.99e6, 0.977, 0.003),
    ("resnet18", 1.82e9, 11.7e6, 0.981, 0.002),
    ("resnet50", 4.09e9, 25.5e6, 0.983, 0.001),
    ("inception_v3", 5.7e9, 23.8e6, 0.9825, 0.002),
    ("resnet50_v1_5", 4.11e9, 25.5e6, 0.9832, 0.0015),
    ("inception_resnet_v2", 13.1e9, 55.8e6, 0.984, 0.001),
    ("zfnet", 1.15e9, 62.3e6, 0.963, None),
]
TWINS = [("plain20", 40.6e6, 269_722, 0.974, 0.003), ("resnet20", 40.6e6, 269_722, 0.974, 0.003)]


def comparison(networks, **more):
    rows = [row(*network) for network in networks]
    pareto_front.mark(rows)
    facts = {"sources": ["digits"], "devices": ["AMD EPYC, 2 threads"], "precisions": ["float32"]}
    return grouping.Comparison(["history"], "test_top1", rows, ["model.name"], **facts, **more)


@pytest.mark.parametrize(
    "networks", [NETWORKS[:1], NETWORKS[:4], NETWORKS[:8], NETWORKS, TWINS], ids=len
)
def test_labels_are_clear_of_each_other_of_bubbles_and_of_the_frame(networks):
    figure, boxes, bubbles = pareto.draw(comparison(networks))
    frame = figure.axes[0].bbox
    assert len(boxes) == len(networks)
    for one, other in combinations(boxes, 2):
        assert not one.meets(other)
    for box in boxes:
        assert box.inside(Box(frame.x0, frame.y0, frame.x1, frame.y1))
        assert min(box.distance(bubble) for bubble in bubbles) >= 0


def test_placement_survives_a_crowd():
    bubbles = [Bubble(200 + 3 * i, 200 + 5 * (i % 3), 6 + i % 4) for i in range(20)]
    sizes = [(60.0 + 4 * (i % 5), 12.0) for i in range(20)]
    frame = Box(0, 0, 500, 400)

    boxes = place(bubbles, sizes, frame)

    assert not any(a.meets(b) for a, b in combinations(boxes, 2))
    assert all(box.inside(frame) for box in boxes)
    assert all(box.distance(bubble) >= 0 for box in boxes for bubble in bubbles)
    assert boxes == place(bubbles, sizes, frame)
    far = [i for i in range(20) if boxes[i].distance(bubbles[i]) > 9]
    assert far  # twenty labels do not fit around one spot
    assert all(leader(bubbles[i], boxes[i]) is not None for i in far)


def test_a_label_keeps_off_a_line_beside_its_bubble():
    bubble, frame = Bubble(100, 100, 5), Box(0, 0, 300, 200)
    (right,) = place([bubble], [(50, 12)], frame)
    (moved,) = place([bubble], [(50, 12)], frame, [(100, 100, 300, 100)])
    assert right.left > 100
    assert not (moved.bottom < 100 < moved.top and moved.right > 105)


def test_the_front_is_a_staircase():
    assert staircase([(1, 9), (4, 5)], right=10) == [(1, 9, 4, 9), (4, 9, 4, 5), (4, 5, 10, 5)]
    assert staircase([], right=10) == []


def test_bubble_area_is_in_proportion_to_parameters():
    figure, _, _ = pareto.draw(comparison(NETWORKS[3:6]))  # alexnet, nin, vgg11
    areas = sorted(
        (float(marks.get_sizes()[0]) for marks in figure.axes[0].collections if _is_filled(marks)),
        reverse=True,
    )
    assert areas[0] == pytest.approx(LARGEST_POINTS**2)
    assert areas[1] / areas[0] == pytest.approx(60.9 / 132)
    assert areas[2] / areas[0] == pytest.approx(0.967 / 132)


def test_macs_are_logarithmic_from_a_five_fold_spread():
    near = [("a", 1e6, 1e4, 0.9, None), ("b", 4e6, 1e4, 0.95, None)]
    assert pareto.draw(comparison(near))[0].axes[0].get_xscale() == "linear"
    assert pareto.draw(comparison(NETWORKS))[0].axes[0].get_xscale() == "log"


def test_png_is_large_enough_for_print(tmp_path):
    path = tmp_path / "pareto.png"
    pareto.pareto(comparison(NETWORKS), path)
    height, width, _ = matplotlib.image.imread(path).shape
    assert (width, height) == (1600, 1100)


def test_caption_and_axis_say_what_was_measured():
    found = comparison(NETWORKS[:4], left_out={"FAILED": 2})
    figure, _, _ = pareto.draw(found)
    texts = " ".join(text.get_text() for text in figure.texts)
    for part in ("digits", "n = 3 seeds", "AMD EPYC", "float32", "MACs =", "2 failed", "history"):
        assert part in texts
    assert figure.axes[0].get_ylabel() == "Top-1 error on test (%)"


def test_rows_without_a_cost_are_not_drawn_but_mentioned():
    found = comparison([*NETWORKS[:2], ("strange", None, 5, 0.9, None)])
    figure, boxes, _ = pareto.draw(found)
    assert len(boxes) == 2
    assert any("Not drawn" in text.get_text() for text in figure.texts)
    assert "strange" in pareto_html.page(found)


def test_page_has_a_circle_a_row_and_asks_nobody():
    rows = [*NETWORKS, ('a "b" <c> & d', 1e6, 1e4, 0.9, None)]
    text = pareto_html.page(comparison(rows))

    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", text, re.S).group())
    circles = svg.findall(".//{http://www.w3.org/2000/svg}circle")
    assert [c.get("class") for c in circles] == ["point"] * len(rows)
    assert {c.get("data-name") for c in circles} == {r[0] for r in rows}
    assert re.findall(r"https?://[^\"\s]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"\b(src|href)=", text)
    lenet = next(c for c in circles if c.get("data-name") == "lenet5")
    assert "94.2 ± 0.6" in lenet[0].text
    for circle in circles:
        x, y = float(circle.get("cx")), float(circle.get("cy"))
        assert 70 <= x <= 930
        assert 20 <= y <= 540


def test_top5_error_is_drawn_against_cost_with_a_front_of_its_own():
    top5 = {"lenet5": 0.999, "nin": 0.998, "vgg11": None}
    rows = [
        row(name, macs, params, top1, std, test_top5=top5[name], test_top5_std=0.001)
        for name, macs, params, top1, std in NETWORKS
        if name in top5
    ]
    found = grouping.Comparison(["history"], "test_top1", rows, ["model.name"])
    axes = pareto_front.drawable(rows, "test_top5")
    assert [axis.stem for axis in axes][:3] == [
        "pareto_top5",
        "pareto_params_top5",
        "pareto_latency_top5",
    ]
    macs = axes[0]
    assert [r["name"] for r in pareto_front.optimal(rows, macs)] == ["lenet5"]
    assert [r["name"] for r in pareto_front.optimal(rows)] == ["lenet5", "nin", "vgg11"]

    figure, _, bubbles = pareto.draw(found, macs)
    assert len(bubbles) == 2
    assert figure.axes[0].get_ylabel() == "Top-5 error on test (%)"
    assert any("want of MACs or top-5: 1" in text.get_text() for text in figure.texts)
    page = pareto_html.page(found, macs)
    assert "top-5 99.9 ± 0.1 %" in page
    assert page.count('class="point"') == 2
    assert "Top-5 error against MACs: pareto_top5.html" in pareto_html.page(found)
    assert pareto_front.drawable([row(*NETWORKS[0], test_top5=None)], "test_top5") == []


def test_page_places_points_in_order():
    text = pareto_html.page(comparison(NETWORKS[:3]))
    found = re.findall(r'data-name="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', text)
    at = {name: (float(x), float(y)) for name, x, y in found}
    assert at["lenet5"][0] < at["resnet20"][0] == at["plain20"][0]
    assert at["resnet20"][1] > at["plain20"][1] > at["lenet5"][1]  # less error is lower down


def test_size_key_has_round_numbers_within_range():
    for largest in (61_706, 1e6, 138e6, 2.5e7):
        sizes = size_key(largest)
        assert len(sizes) == 3
        assert sizes[0] <= largest < 2.5 * sizes[0]
        assert all(math.isclose(float(f"{size:.0e}"), size) for size in sizes)


def _is_filled(marks) -> bool:
    # a bubble is a filled disc, a rim, and a dot of 7 square points in the centre
    return (
        hasattr(marks, "get_sizes")
        and len(marks.get_sizes())
        and (len(marks.get_facecolor()) and marks.get_sizes()[0] != 7)
    )


def test_pictures_that_cannot_be_drawn_leave_the_tables(tmp_path, monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("no glyph")

    monkeypatch.setattr(pareto, "pareto", fails)
    files = output.write(comparison(NETWORKS[:2]), tmp_path)
    assert [file.name for file in files] == ["table.csv", "table.md", "table.json"]
    assert all(file.stat().st_size for file in files)
    assert capsys.readouterr().err == "the pictures could not be drawn: RuntimeError: no glyph\n"
