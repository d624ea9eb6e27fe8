"""Names from outside are letters in every picture, whatever they hold."""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

import experiments
from experiments.evaluation import calibration, confusion
from experiments.fitting import pictures
from experiments.inference import grad_cam
from experiments.presentation import figure_style, fonts, html_page
from experiments.search.results.plots import winners

NAMES = ["a$b$c_{", "under_$5_to_$10", "cash$^$", "\x1b[31mred", r"\frac"]


def draw_confusion(name, path):
    confusion.draw(np.array([[3, 1], [0, 2]]), [name, "dog"], f"net on {name}", path)


def draw_calibration(name, path):
    sure = calibration.measure(np.array([[0.4, 0.6], [0.8, 0.2]]), np.array([True, False]))
    calibration.draw(sure, name, path)


def draw_heat(name, path):
    photograph = np.ones((8, 8, 3), np.uint8)
    grad_cam.draw(photograph, (0, 0, 8, 8), np.eye(4), name, f"{name}  98.0%", path)


def draw_layers(name, path):
    row = {"epoch": 0, "depth": 1, "kind": "Conv2D", "activation_std": 1e-5}
    rows = [row, row | {"depth": 2, "activation_std": 0.1}]
    pictures.draw_layers(
        [r | {"kernel_gradient_rms": r["activation_std"]} for r in rows], name, path
    )


def draw_winners(name, path):
    outer = [{"fold": 1, "hyperparameters": {"model.name": name}, "inner_score": 0.9}]
    winners.draw({"name": name, "outer": outer, "mean_test_top1": 0.9, "optimism": None}, path)


@pytest.fixture
def drawn(monkeypatch):
    """Texts of the figures that were saved, as they stood in them."""
    texts = []
    save = Figure.savefig

    def keep(figure, *args, **how):
        save(figure, *args, **how)
        texts.extend(figure.findobj(Text))

    monkeypatch.setattr(Figure, "savefig", keep)
    return texts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "draw", [draw_confusion, draw_calibration, draw_heat, draw_layers, draw_winners]
)
def test_a_name_is_drawn_as_it_is_written(draw, name, drawn, tmp_path):
    draw(name, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000
    shown = name.replace("\x1b", r"\x1b")
    assert any(shown in text.get_text() for text in drawn)
    assert not any(text.get_parse_math() for text in drawn)
    assert not any("\x1b" in text.get_text() for text in drawn)
    assert not any("$" in text.get_text().replace(shown, "") for text in drawn)  # on ticks neither


def test_an_svg_has_a_mark_a_letter():
    figure = figure_style.new_figure(2, 1)
    figure.text(0, 0, "a$b$c_{\x1b")
    text = figure_style.svg_text(figure, "salt")
    ElementTree.fromstring(text)  # control characters would make it none
    assert len(re.findall("<use ", text)) == len(r"a$b$c_{\x1b")
    page = html_page.page(html_page.Drawn("slug", "heading", "<b>&\x1b", figure))
    assert "<b>" not in page
    assert r"&lt;b&gt;&amp;\x1b" in page


def test_every_figure_is_made_and_saved_in_one_place():
    """A figure made elsewhere would read mathematics, and lack letters."""
    for file in Path(experiments.__file__).parent.rglob("*.py"):
        if file.name != "figure_style.py":
            assert not re.search(r"\bFigure\(|\.savefig\(|pyplot", file.read_text("utf-8")), file


@pytest.fixture
def gothic(tmp_path, monkeypatch):
    """An installed font that has two letters."""
    pen = TTGlyphPen(None)
    for point in ((0, 0), (0, 500), (500, 500)):
        (pen.lineTo if point != (0, 0) else pen.moveTo)(point)
    pen.closePath()
    names = [".notdef", "one", "two"]
    font = FontBuilder(1000)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord("한"): "one", ord("국"): "two"})
    font.setupGlyf(dict.fromkeys(names, pen.glyph()))
    font.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Two Letters Sans", "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(tmp_path / "gothic.ttf")
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", list(manager.ttflist))
    manager.addfont(tmp_path / "gothic.ttf")
    caches = (fonts._families, fonts._installed, fonts._say_boxes)
    for one in caches:
        one.cache_clear()
    yield "Two Letters Sans"
    for one in caches:
        one.cache_clear()


def test_letters_come_from_a_font_that_has_them(gothic):
    figure = figure_style.new_figure(2, 1)
    text = figure.text(0, 0, "한국 Tiếng Việt")
    composed = figure.text(0, 0.5, "\u1112\u1161\u11ab")  # as macOS keeps 한 in a file's name
    plain = figure.text(0, 0.7, "cat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure_style.svg_text(figure, "salt")
    assert text.get_fontfamily() == [*plain.get_fontfamily(), gothic]
    assert composed.get_text() == "한"


def test_letters_that_no_font_has_are_said_once(gothic, tmp_path):
    figure = figure_style.new_figure(2, 1)
    figure.text(0, 0, "한국 猫")
    figure.text(0, 0.5, "犬")
    with pytest.warns(UserWarning, match="fonts-noto-cjk") as said:
        figure_style.save(figure, tmp_path / "names")
    assert len(said) == 1
