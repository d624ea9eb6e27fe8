"""`ilsvrc evaluate --sets`: every set by its content, drops and differences from counted hits."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import colour_network
import numpy as np
import pytest
from command import inside
from matplotlib.image import imread

from tuning.statistics.significance import accuracy_interval, difference_interval

WORDS = (
    "bench.latency_calls=1", "bench.throughput_batches=1", "data.crop_fraction=1.0",
    "evaluate.class_names=names.txt",
)  # fmt: skip
NAMES = [f"n{number:08d}" for number in range(9)]


@pytest.fixture
def home(tmp_path):
    """Two networks of nine classes, of which the second takes 8 for 7; a main set, where both are
    right, V2 with numbered folders, A with two classes of the nine, and labels of the main set."""
    first = colour_network.network(9)
    first.save(tmp_path / "first.keras")
    kernel, bias = first.layers[-1].get_weights()
    bias[8] -= 1e6
    bias[7] += 1  # nearer than 5
    first.layers[-1].set_weights([kernel, bias])
    first.save(tmp_path / "second.keras")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    main = {name: [number] * 3 for number, name in enumerate(NAMES)}
    colour_network.folders(tmp_path / "main", main)
    numbered = {str(number): [number, (number + 1) % 9] for number in range(9)}
    colour_network.folders(tmp_path / "v2", numbered)
    colour_network.folders(tmp_path / "a", {NAMES[8]: [8, 8, 8, 7], NAMES[0]: [0]})
    lists = [[number] for number in range(9) for _ in range(3)]  # files go by class name
    lists[0], lists[1], lists[26] = [], [4], [8, 7]
    (tmp_path / "real.json").write_text(json.dumps(lists))
    return tmp_path


def run(monkeypatch, capsys, *words, code=0, text=False):
    given = ["evaluate", *words, "data.source=folder:main", *WORDS]
    capsys.readouterr()
    assert inside(monkeypatch, *given, *([] if text else ["--json"])) == code
    captured = capsys.readouterr()
    if code:
        return captured.err.strip().splitlines()[-1]
    return captured.out if text else json.loads(captured.out)


SETS = ("--sets", "V2=v2", "A=folder:a", "REAL=real.json")


def test_one_network_on_every_set_and_the_drop_from_the_main_one(home, monkeypatch, capsys):
    document = run(monkeypatch, capsys, "first.keras", *SETS, "--out", "made")
    assert document["rows"][0]["top1"] == 1.0
    sets = document["sets"]
    assert list(sets) == ["V2", "A", "REAL"]
    rows = {name: each["rows"][0] for name, each in sets.items()}
    assert (rows["V2"]["top1"], rows["V2"]["images"]) == (0.5, 18)
    assert (rows["A"]["top1"], rows["A"]["images"]) == (1.0, 5)  # a 7 is nearer to 8 than to 0
    assert (rows["REAL"]["top1"], rows["REAL"]["images"]) == (25 / 26, 26)
    assert (rows["REAL"]["left_out"], rows["REAL"]["labels"]) == (1, "real.json")
    assert "n is class n of the network" in sets["V2"]["notes"][0]
    assert "over the set's 2 classes alone, of 9" in sets["A"]["notes"][0]
    main, v2 = accuracy_interval(27, 27), accuracy_interval(9, 18)
    low, high = rows["V2"]["drop_interval"]
    assert rows["V2"]["drop"] == 0.5
    assert low == pytest.approx(0.5 - ((1 - main.low) ** 2 + (v2.high - 0.5) ** 2) ** 0.5)
    assert high == pytest.approx(0.5 + (0.5 - v2.low))
    assert rows["REAL"]["drop_interval"] is None
    assert imread("made/sets.png")[..., :3].std() > 0.02
    with open("made/sets.csv", newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert [row["set"] for row in cells] == ["main set", "V2", "A", "REAL"]
    assert [float(row["top1"]) for row in cells] == [1.0, 0.5, 1.0, 25 / 26]
    assert {Path(file).name for file in document["files"]} >= {"sets.csv", "sets.png"}


def test_two_networks_are_compared_on_the_images_of_each_set(home, monkeypatch, capsys):
    document = run(monkeypatch, capsys, "first.keras", "second.keras", *SETS)
    [pair] = document["sets"]["V2"]["mcnemar"]
    first = np.array([True, False] * 9)
    second = np.array([True, False] * 7 + [True, True] + [False, False])
    interval = difference_interval(first, second)
    assert (pair["top1_difference"], pair["only_first"], pair["only_second"]) == (0.0, 1, 1)
    assert pair["interval"] == [interval.low, interval.high]
    assert document["sets"]["A"]["rows"][1]["top1"] == 1 / 5
    # under the lists 7 is right for the last image, which is an 8
    assert document["sets"]["REAL"]["rows"][1]["top1"] == (25 - 2) / 26
    shown = run(monkeypatch, capsys, "first.keras", "second.keras", *SETS, text=True)
    assert "V2: first.keras - second.keras: top-1 +0.00 points" in shown
    assert "A: 5 images of 2 classes: folder:a, all (whole set)" in shown
    assert "REAL: 26 images of 9 classes, 1 left out" in shown


def test_the_sets_may_stand_anywhere_and_modes_are_the_users(home, monkeypatch, capsys):
    document = run(
        monkeypatch, capsys, "--sets", "A=a", "first.keras", "--sets", "V2=v2",
        "evaluate.classes=map", "second.keras",
    )  # fmt: skip
    assert set(document["sets"]) == {"A", "V2"}
    assert document["sets"]["A"]["rows"][0]["top1"] == 4 / 5  # the 7 is said to be a 7
    assert "always wrong" in document["sets"]["A"]["notes"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sets", "V2=v2", "V2=a"], "--sets: every set needs a name of its own"),
        (
            ["--sets", "v2"],
            "--sets: expected NAME=DIR, NAME=SOURCE or NAME=FILE.json. Received: v2",
        ),
        (["--sets", "X=nowhere"], "--sets X: "),
        (["--sets", "X=none"], "--sets X: evaluate.classes: first.keras has 9 classes such as"),
        (
            ["--sets", "R=short.json"],
            "--sets R: evaluate.labels: short.json has labels of 1 images",
        ),
        (["--sets", "R=real.json", "evaluate.labels=real.json"], "leave one of the two out"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_anything_is(
    home, words, said, monkeypatch, capsys
):
    from experiments.inference.protocols import Predictor

    colour_network.folders(home / "none", {f"other{number}": [number] for number in range(9)})
    (home / "short.json").write_text("[[1]]")
    monkeypatch.setattr(Predictor, "scores", lambda *words: pytest.fail("nothing may be scored"))
    assert said in run(monkeypatch, capsys, "first.keras", *words, code=2)


def test_kept_predictions_have_no_other_sets(monkeypatch, capsys, tmp_path):
    words = ["evaluate", "0" * 32, "evaluate.reuse=true"]
    for more, key in (
        (["--sets", "A=a"], "--sets"),
        (["evaluate.labels=x.json"], "evaluate.labels"),
        (["evaluate.corruptions=true"], "evaluate.corruptions"),
    ):
        assert inside(monkeypatch, *words, *more) == 2
        said = capsys.readouterr().err
        assert f"evaluate.reuse: {key} needs the images" in said
