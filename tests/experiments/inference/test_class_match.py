"""Which class is which: by name in any order, by number only where names cannot tell."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from experiments.errors import BadInput
from experiments.inference.class_match import keras_index, known_names, match, read_names
from experiments.inference.loading import Network


def test_equal_names_in_another_order_are_put_in_the_sets_order():
    found = match("net", ["b", "c", "a"], 3, ["a", "b", "c"], "set", "equal")
    assert found.columns.tolist() == [2, 0, 1]
    assert found.names == ["a", "b", "c"]
    assert match("net", ["a", "b"], 2, ["a", "b"], "set", "equal").columns is None


def test_a_set_of_some_of_the_classes_needs_a_word_of_how():
    names = ["a", "b", "c", "d"]
    with pytest.raises(BadInput, match=r"has 2 of the 4 classes.*evaluate\.classes=restrict.*map"):
        match("net", names, 4, ["d", "b"], "set", "equal")
    restricted = match("net", names, 4, ["d", "b"], "set", "restrict")
    assert restricted.columns.tolist() == [3, 1]
    assert restricted.names == ["d", "b"]
    mapped = match("net", names, 4, ["d", "b"], "set", "map")
    assert mapped.columns.tolist() == [3, 1, 0, 2]
    assert mapped.names == ["d", "b", "a", "c"]
    assert "always wrong" in mapped.note


def test_without_names_classes_match_by_number_and_say_so():
    found = match("net", None, 2, ["a", "b"], "folder:x", "equal")
    assert found.columns is None
    assert found.note == (
        "net: its class names are not known; classes are matched by number to folder:x"
    )
    assert "by number" in match("net", ["1", "2"], 2, ["a", "b"], "set", "equal").note


def test_classes_that_cannot_be_told_apart_are_refused():
    with pytest.raises(BadInput, match=r"net has 3 classes, set has 2"):
        match("net", None, 3, ["a", "b"], "set", "restrict")
    with pytest.raises(BadInput, match=r"does not know 1 of the 2 classes of set, such as z"):
        match("net", ["a", "b"], 2, ["a", "z"], "set", "map")


class Model:
    output_shape = (None, 1000)


PUBLISHED = Network("vgg16 (Keras)", Model(), architecture="vgg16", origin="Keras")
WNIDS = [f"n{number:08d}" for number in range(1000)]


def test_published_weights_know_the_1000_wnids_from_the_set_or_from_kerass_file(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert known_names(PUBLISHED, None, WNIDS[::-1]) == WNIDS
    (tmp_path / "models").mkdir()
    listed = {str(i): [wnid, f"word {i}"] for i, wnid in enumerate(WNIDS)}
    (tmp_path / "models" / "imagenet_class_index.json").write_text(json.dumps(listed))
    assert known_names(PUBLISHED, None, ["n00000003"]) == WNIDS
    assert keras_index("net")[999] == (WNIDS[999], "word 999")


def test_the_list_that_cannot_be_fetched_is_one_line_that_says_what_to_do(tmp_path, monkeypatch):
    import keras

    def offline(*words, **keywords):
        raise Exception("URL fetch failure\non https://x: no route")  # as Keras raises it

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(BadInput, match=r"could not be fetched.*evaluate\.class_names=FILE") as said:
        known_names(PUBLISHED, None, ["n00000003"])
    assert "\n" not in str(said.value)


def test_names_can_be_given_in_a_file_of_as_many_lines(tmp_path):
    class Two:
        output_shape = (None, 2)

    network = Network("net", Two())
    (tmp_path / "names.txt").write_text("dog\ncat\n\n")
    assert known_names(network, str(tmp_path / "names.txt"), []) == ["dog", "cat"]
    (tmp_path / "names.txt").write_text("dog\ndog\n")
    with pytest.raises(BadInput, match=r"has 1 different names; net has 2 classes"):
        known_names(network, str(tmp_path / "names.txt"), [])


def test_the_first_class_of_a_names_file_is_kept(tmp_path):
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffcat\r\ndog\r\n".encode())
    assert read_names(str(file), SimpleNamespace(name="net", classes=2)) == ["cat", "dog"]
