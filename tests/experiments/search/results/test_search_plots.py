"""Pictures of a search: scales, what is drawn where, and a page that needs no network."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from experiments.presentation.formatting import round_values
from experiments.search.results.plots import pictures, winners
from experiments.search.results.plots.pictures import page_of
from experiments.search.results.plots.svg import shade
from experiments.search.results.plots.view import (
    NOWHERE,
    axis,
    binned,
    crossings,
    crowded,
    short,
    view,
)
from tuning.space import Choice, Float, Int, Space

RATE, MODEL, WARM = "train.optimizer.learning_rate", "model.name", "train.schedule.warmup_epochs"
SPACE = Space(
    (
        Choice(MODEL, ("mlp", "lenet5", "zfnet")),
        Float(RATE, 0.001, 0.1, log=True),
        Int(WARM, 0, 2, when={MODEL: "lenet5"}),
    )
)


def trial(
    number: int, score: float | None, settings: dict[str, Any], **more: Any
) -> dict[str, Any]:
    scores = [None] * 3 if score is None else [score - 0.01, score, score + 0.01]
    status = "failed" if score is None else "finished"
    return {
        "number": number, "status": status, "hyperparameters": settings, "score": score,
        "scores": scores, **more,
    }  # fmt: skip


TRIALS = [
    trial(0, 0.80, {MODEL: "mlp", RATE: 0.001}),
    trial(1, 0.95, {MODEL: "lenet5", RATE: 0.01, WARM: 2}),
    trial(2, None, {MODEL: "mlp", RATE: 0.1}, error="Traceback\nOSError: <no> memory"),
    trial(3, 0.90, {MODEL: "mlp", RATE: 0.05}),
]
NESTED: dict[str, Any] = {
    "name": "nested",
    "score_name": "val_top1",
    "outer": [
        {"fold": 0, "hyperparameters": {MODEL: "lenet5", RATE: 0.01}, "inner_score": 0.97,
         "test_top1": 0.95, "trial": 1},
        {"fold": 1, "hyperparameters": {MODEL: "lenet5", RATE: 0.1}, "inner_score": 0.95,
         "test_top1": 0.93, "trial": 3},
    ],
    "mean_test_top1": 0.94,
    "best_inner_score": 0.96,
    "optimism": 0.02,
    "trials": [one | {"outer": outer} for outer in (0, 1) for one in TRIALS],
}  # fmt: skip


def test_a_scale_is_that_of_the_space() -> None:
    shown = view(TRIALS, "t", space=SPACE)
    model, rate, warm = shown.axes
    assert [a.label for a in shown.axes] == [MODEL, "learning_rate", "warmup_epochs"]
    assert model.names == ("mlp", "lenet5", "zfnet")  # zfnet was never drawn
    assert rate.position({RATE: 0.01}) == pytest.approx(0.5)
    assert [text for _, text in rate.ticks()] == ["0.001", "0.003", "0.01", "0.03", "0.1"]
    assert warm.names == ("0", "1", "2")
    assert warm.absent
    assert not rate.absent
    assert warm.position({MODEL: "mlp"}) is None


def test_without_a_space_a_scale_is_that_of_the_values() -> None:
    values = [{"a": v} for v in (0.001, 0.002, 0.01, 0.05, 0.1, 0.3)]
    wide = axis("a", "a", values, None)
    assert wide.log
    assert (wide.low, wide.high) == (0.001, 0.3)
    few = axis("b", "b", [{"b": [1, 2]}, {"b": []}, {}], None)
    assert few.names == ("[1, 2]", "[]")
    assert few.absent


def test_the_better_score_is_on_top_and_the_best_is_chosen() -> None:
    shown = view(TRIALS, "t", space=SPACE)
    assert [one["number"] for one in shown.trials] == [2, 0, 3, 1]
    assert [one["number"] for one in shown.chosen] == [1]
    at = shown.score_axis().at
    assert 1 >= at(95.0) > at(90.0) > at(80.0) >= 0
    losses = view(TRIALS, "t", space=SPACE, score_name="val_loss", minimise=True)
    assert [one["number"] for one in losses.chosen] == [0]
    at = losses.score_axis().at
    assert 1 >= at(0.80) > at(0.90) > at(0.95) >= 0


def test_lines_pass_below_an_axis_that_they_have_no_value_on() -> None:
    shown = view(TRIALS, "t", space=SPACE)
    heights = crossings(shown, [*shown.axes, shown.score_axis()])
    assert all(len(line) == 4 for line in heights.values())
    room = abs(NOWHERE) - 0.051
    for number in (0, 2, 3):
        assert heights[number][2] < -room
    assert heights[1][2] == pytest.approx(5 / 6)
    assert heights[2][3] < -room  # failed: no score
    mlp = sorted([(heights[n][0], n) for n in (0, 2, 3)])
    assert [n for _, n in mlp] == [2, 0, 3]  # spread around one value, better ones higher
    assert all(abs(height - 1 / 6) < 1 / 6 for height, _ in mlp)


def test_labels_are_as_short_as_can_be_told_apart() -> None:
    keys = ["model.name", "train.loss.name", "train.epochs", "a.step", "b.step"]
    assert short(keys) == ["model.name", "loss.name", "epochs", "a.step", "b.step"]


def test_ticks_are_round_and_within() -> None:
    assert round_values(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert round_values(98.2, 91.3) == [92, 94, 96, 98]
    assert round_values(1e-6, 1, log=True) == [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1]
    assert round_values(0.02, 0.3, log=True) == [0.02, 0.05, 0.1, 0.2]


def test_neighbours_are_averaged() -> None:
    assert binned([]) == []
    assert binned([(0.2, 1.0), (0.1, 3.0)]) == [(0.1, 0.2, 2.0)]
    groups = binned([(i / 10, float(i // 3)) for i in range(9)])
    assert [mean for _, _, mean in groups] == [0, 1, 2]


def test_texts_that_would_touch_are_found() -> None:
    names = ("scaled_tanh", "leaky_relu", "relu", "gelu", "swish")
    wide = axis("a", "a", [{"a": name} for name in names], Choice("a", names))
    assert crowded(wide, 38)
    assert not crowded(wide, 80)


def test_files_of_a_search(tmp_path) -> None:
    result = {"name": "s", "trials": TRIALS, "score_name": "val_top1", "minimise": False}
    files = pictures.write(result, tmp_path / "plots", SPACE, "digits, three folds")
    assert [file.name for file in files] == [
        "parallel.png", "effects.png", "folds.png", "search.html",
    ]  # fmt: skip
    from matplotlib.image import imread

    for file in files[:3]:
        pixels = imread(file)[..., :3]
        red, green, blue = np.moveaxis(pixels, -1, 0)
        orange = (red > 0.8) & (green > 0.3) & (green < 0.65) & (blue < 0.35)
        assert orange.sum() > 50, file  # the best trial stands out
        assert 0.6 < (pixels.min(axis=-1) > 0.98).mean() < 0.995  # drawn on, and not over and over


def test_hyperband_shows_how_long_trials_were_trained(tmp_path) -> None:
    rows = [one | {"epochs": [n]} for one, n in zip(TRIALS, (1, 3, None, 9), strict=True)]
    page = pictures.write({"name": "s", "trials": rows, "strategy": "hyperband"}, tmp_path)
    assert "epochs 9" in page[-1].read_text()
    assert "epochs 5" not in page[-1].read_text()
    early = {"name": "s", "trials": rows, "strategy": "grid"}  # stopped early, no setting
    assert "epochs 9" not in pictures.write(early, tmp_path)[-1].read_text()


def test_the_longest_training_is_drawn_as_the_best_whatever_shorter_ones_scored(tmp_path) -> None:
    rows = [one | {"budget": n} for one, n in zip(TRIALS, (9, 3, 9, 1), strict=True)]
    shown = view(rows, "s")
    assert [one["number"] for one in shown.trials] == [2, 3, 1, 0]
    assert [one["number"] for one in shown.chosen] == [0]
    page = pictures.write({"name": "s", "trials": rows, "strategy": "hyperband"}, tmp_path)[-1]
    assert "trial 0 (chosen)" in page.read_text()


def test_files_of_a_nested_search(tmp_path) -> None:
    searched = [one | {"outer": "final"} for one in TRIALS]
    result = NESTED | {"final": {"card": "expected top-1 on new images 94.0 %"}}
    result["trials"] = [*NESTED["trials"], *searched]
    files = pictures.write(result, tmp_path, SPACE)
    assert [file.name for file in files] == [
        "parallel.png", "effects.png", "winners.png", "search.html",
    ]  # fmt: skip
    page = files[-1].read_text()
    assert "Winners of the outer folds" in page
    assert page.count('class="trial chosen"') == 2
    assert "outer 1, trial 3 (chosen)" in page
    assert "final search, trial 1" in page
    assert "Final network, on all images: expected top-1 on new images 94.0 %." in page


def test_a_search_of_which_nothing_came_has_no_pictures_or_poor_ones(tmp_path) -> None:
    assert pictures.write({"name": "s", "trials": []}, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
    failed = {"name": "s", "trials": [TRIALS[2]]}
    assert len(pictures.write(failed, tmp_path / "failed")) == 3
    single = {"name": "s", "trials": [trial(0, 0.5, {"seed": 1}) | {"scores": [0.5]}]}
    assert len(pictures.write(single, tmp_path / "single")) == 3


def test_the_table_says_what_was_chosen_where_and_what_it_is_worth() -> None:
    table = winners.table(NESTED)
    assert table.header == ["outer fold", "learning_rate", "inner top-1 (%)", "test top-1 (%)"]
    assert table.rows == [["0", "0.01", "97.00", "95.00"], ["1", "0.1", "95.00", "93.00"]]
    assert table.mean == ["mean ± s.d.", "", "96.00 ± 1.41", "94.00 ± 1.41"]
    notes = "\n".join(table.notes)
    assert "In all outer folds: model.name lenet5." in notes
    assert "chose different settings" in notes
    assert "96.00 %" in notes
    assert "optimism +2.00 points" in notes
    interval = {"low": 0.9, "high": 0.98, "confidence": 0.95, "method": "corrected resampled t"}
    [*_, told, _] = winners.table(NESTED | {"interval": interval}).notes
    assert told.startswith("95 % interval for new images 90.00 to 98.00 % (corrected resampled t)")


def test_the_table_of_a_fold_that_failed() -> None:
    gone = {
        "fold": 2,
        "hyperparameters": None,
        "inner_score": None,
        "test_top1": None,
        "trial": None,
    }
    table = winners.table(NESTED | {"outer": [*NESTED["outer"], gone], "optimism": None})
    assert table.rows[2] == ["2", "–", "failed", "failed"]
    assert table.mean[-1] == "94.00 ± 1.41"
    assert "optimism" not in "".join(table.notes)


class Page(HTMLParser):
    """Tags that are open, and what the page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.loads += [value for key, value in attributes if key in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_knows_each_trial_wherever_it_is_drawn() -> None:
    rows = [*TRIALS, trial(4, 0.85, {MODEL: "zfnet", RATE: 0.02, "x.note": "</script><b>"})]
    page = page_of(view(rows, "a <b> title", notes=["digits & co"]))
    reader = Page()
    reader.feed(page)
    assert reader.open == []
    assert reader.loads == []
    assert "</script><b>" not in page
    assert "a &lt;b&gt; title" in page
    assert "digits &amp; co" in page
    lines = re.findall(r'<path class="trial[^>]*data-details="([^"]*)"', page)
    assert len(lines) == len(rows)
    assert any("failed" in line and "OSError: &lt;no&gt; memory" in line for line in lines)
    for number in range(len(rows)):
        marks = page.count(f'data-trial="{number}"')
        assert marks >= 1 + 2 + 1  # a line, a dot on each of two parameters, a row


def test_shades_run_from_worst_to_best() -> None:
    assert shade(0) == "#d2e21b"
    assert shade(1) == shade(7) == "#440154"
    assert shade(0.5) == "#23888e"
