"""Class folders that are numbers, by content: each picture's colour says which class it is."""

from __future__ import annotations

import json

import colour_network
import pytest
from command import inside

WORDS = ("bench.latency_calls=1", "bench.throughput_batches=1", "data.crop_fraction=1.0")


@pytest.fixture
def evaluated(tmp_path, monkeypatch, capsys):
    colour_network.network(12).save(tmp_path / "net.keras")

    def run(*words, code=0):
        given = ["evaluate", "net.keras", "data.source=folder:set", *WORDS, *words, "--json"]
        assert inside(monkeypatch, *given) == code
        captured = capsys.readouterr()
        return captured.err if code else json.loads(captured.out)

    return run


@pytest.mark.parametrize("form", ["{}", "{:03d}"])
def test_folder_n_is_class_n(tmp_path, evaluated, form):
    colour_network.folders(tmp_path / "set", {form.format(n): [n, n] for n in range(12)})
    document = evaluated()
    assert document["rows"][0]["top1"] == 1.0
    assert "n is class n of the network" in document["notes"][0]


def test_three_numbers_are_these_three_of_the_twelve(tmp_path, evaluated):
    colour_network.folders(tmp_path / "set", {"3": [3], "7": [7, 7], "11": [11, 3]})
    assert "has 3 of the 12 classes" in evaluated(code=2)
    restricted = evaluated("evaluate.classes=restrict", "--out", "made")["rows"][0]
    assert restricted["top1"] == 4 / 5
    [pair] = evaluated("evaluate.classes=map")["rows"][0]["worst_pairs"]
    assert (pair["class"], pair["taken_for"], pair["images"]) == ("11", "3", 1)


def test_a_number_beyond_the_network_is_refused(tmp_path, evaluated):
    colour_network.folders(tmp_path / "set", {"3": [3], "12": [4]})
    said = evaluated("evaluate.classes=restrict", code=2).strip().splitlines()[-1]
    assert "does not know 1 of the 2 classes of folder:set, such as 12" in said
    assert "its classes are 0 to 11" in said


def test_as_many_other_names_are_refused_and_a_file_puts_them_right(tmp_path, evaluated):
    names = [f"class {letter}" for letter in "lkjihgfedcba"]  # of 0 to 11: not in their order
    colour_network.folders(tmp_path / "set", {name: [n] for n, name in enumerate(names)})
    said = evaluated(code=2).strip().splitlines()[-1]
    assert "whose names are not known" in said
    assert "evaluate.class_names=FILE" in said
    (tmp_path / "names.txt").write_text("\n".join(names))
    assert evaluated("evaluate.class_names=names.txt")["rows"][0]["top1"] == 1.0
    (tmp_path / "names.json").write_text(json.dumps({name: n for n, name in enumerate(names)}))
    assert evaluated("evaluate.class_names=names.json")["rows"][0]["top1"] == 1.0


def test_readable_names_are_shown_and_keys_keep_the_class(tmp_path, evaluated, monkeypatch, capsys):
    wnids = [f"n{n:08d}" for n in range(12)]
    shown = {name: [n, n] for n, name in enumerate(wnids)} | {wnids[3]: [3, 7, 7]}
    colour_network.folders(tmp_path / "set", shown)
    lines = [f"{wnid} word {n}, other" for n, wnid in enumerate(wnids)]
    (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    given = ["evaluate.class_names=LOC_synset_mapping.txt", "--out", "made"]
    [pair] = evaluated(*given)["rows"][0]["worst_pairs"]
    assert (pair["class"], pair["taken_for"]) == (wnids[3], wnids[7])
    assert (pair["title"], pair["taken_for_title"]) == ("word 3", "word 7")
    first = (tmp_path / "made" / "per_class.csv").read_text().splitlines()[1]
    assert first.startswith("n00000000,word 0,2,2,1.0")
    words = ["evaluate", "net.keras", "data.source=folder:set", *WORDS, *given[:1]]
    assert inside(monkeypatch, *words) == 0
    out = capsys.readouterr().out
    # of class 3 one of 3 right; class 7 answered 4 times for 2 images
    macro = "precision 95.83 %, recall 94.44 %, F1 93.06 %"
    assert f"net.keras: macro-averaged {macro} (the mean over classes)" in out
    assert "net.keras: most often takes word 3 for word 7 (2, 67%)" in out
    assert "25 images of 12 classes: folder:set, all (whole set); centre" in out


def test_what_was_left_out_of_the_set_is_said(tmp_path, evaluated):
    colour_network.folders(tmp_path / "set", {str(n): [n] for n in range(12)})
    (tmp_path / "set" / "3" / "broken.png").write_bytes(b"no picture")
    document = evaluated("data.on_corrupt=skip", "data.max_corrupt_fraction=0.5")
    assert document["images"] == 12
    assert any("1 corrupt image left out, such as 3/broken.png" in x for x in document["notes"])
