"""Readable names of wnids, from each file that has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ilsvrc_set import WNIDS, write_folders, write_kit
from scipy.io import savemat

from pipelines.sources.ilsvrc.titles import titles_of
from pipelines.sources.open import open_source

WORDS = dict(zip(WNIDS, ["tench, Tinca tinca", "goldfish", "dog, domestic dog"], strict=True))
TITLES = dict(zip(WNIDS, ["tench", "goldfish", "dog"], strict=True))


@pytest.fixture(autouse=True)
def without_keras_own_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.mark.parametrize("name", ["LOC_synset_mapping.txt", "synset_words.txt", "words.txt"])
def test_lines_of_wnid_and_words(tmp_path: Path, name: str) -> None:
    gap = "\t" if name == "words.txt" else " "
    lines = [f"{wnid}{gap}{words}" for wnid, words in WORDS.items()]
    (tmp_path / name).write_text("\r\n".join(reversed(lines)) + "\r\n")
    assert titles_of(WNIDS, [tmp_path / "nowhere", tmp_path]) == TITLES


def test_words_of_the_development_kit(tmp_path: Path) -> None:
    table = np.zeros((3, 1), [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")])
    for row, (wnid, words) in enumerate(WORDS.items()):
        table[row, 0] = (float(3 - row), wnid, words)
    (tmp_path / "data").mkdir()
    savemat(tmp_path / "data" / "meta.mat", {"synsets": table})
    assert titles_of(WNIDS, [tmp_path]) == TITLES


def test_the_list_that_keras_has_fetched(tmp_path: Path) -> None:
    assert titles_of(WNIDS, [tmp_path]) == {}
    file = tmp_path / "keras" / "models" / "imagenet_class_index.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"0": [WNIDS[0], "tench"], "1": [WNIDS[1], "great_white_shark"]}))
    assert titles_of(WNIDS, [tmp_path]) == {WNIDS[0]: "tench", WNIDS[1]: "great white shark"}
    file.write_text("[]")
    assert titles_of(WNIDS, [tmp_path]) == {}


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        (["crane", "crane", "dog, canine"], ["crane (n01440764)", "crane (n02084071)", "dog"]),
        (["crane, bird", "crane, machine", "dog"], ["crane, bird", "crane, machine", "dog"]),
        (["maillot", "maillot, tank suit", "dog"], ["maillot", "maillot, tank suit", "dog"]),
        (["Cardigan, Welsh corgi", "cardigan", "x"], ["Cardigan, Welsh corgi", "cardigan", "x"]),
        (["a, b, c", "a, b, d", "a"], ["a, b, c", "a, b, d", "a"]),
    ],
)
def test_no_two_titles_are_alike(tmp_path: Path, words: list[str], titles: list[str]) -> None:
    lines = [f"{wnid} {text}" for wnid, text in zip(WNIDS, words, strict=True)]
    (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    assert list(titles_of(WNIDS, [tmp_path]).values()) == titles


def test_a_damaged_kit_that_only_titles_need_is_noted(tmp_path: Path) -> None:
    root = write_folders(write_kit(tmp_path), sort_val=True)
    assert open_source(f"ilsvrc:{root}").titles.keys() == {*WNIDS}
    (root / "meta.mat").write_bytes(b"not MATLAB")
    source = open_source(f"ilsvrc:{root}")
    assert source.titles == {}
    (note,) = source.notes
    assert note.startswith("classes have no readable names: ilsvrc: meta.mat cannot be read")
