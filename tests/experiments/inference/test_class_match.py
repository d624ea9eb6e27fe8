"""Which class is which: by name in any order, by number only where the number is the name."""

from __future__ import annotations

import hashlib
import json

import pytest

from experiments.errors import BadInput
from experiments.inference import class_names
from experiments.inference.class_match import match
from experiments.inference.class_names import keras_index, known_names, overruled, titles
from experiments.inference.loading import Network
from experiments.inference.names_file import read_entries, read_names


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


@pytest.mark.parametrize("names", [None, ["x", "y"], ["1", "2"]])
@pytest.mark.parametrize("mode", ["equal", "restrict", "map"])
def test_equal_counts_are_no_reason_to_take_the_nth_for_the_nth(names, mode):
    with pytest.raises(BadInput, match=r"net has 2 classes .*evaluate\.class_names=FILE"):
        match("net", names, 2, ["a", "b"], "folder:x", mode)


TWELVE = [str(n) for n in range(12)]


@pytest.mark.parametrize("names", [None, [f"n{n:08d}" for n in range(12)]])
@pytest.mark.parametrize(
    "order", [TWELVE, sorted(TWELVE), [f"{n:03d}" for n in range(12)]], ids=["0 1", "0 1 10", "000"]
)
def test_class_n_of_a_numbered_set_is_class_n_of_the_network(names, order):
    found = match("net", names, 12, order, "set", "equal")
    columns = range(12) if found.columns is None else found.columns
    assert list(columns) == [int(name) for name in order]
    assert found.names == order
    assert "n is class n of the network" in found.note


def test_some_numbers_are_these_classes_and_no_others():
    names = [f"n{n:08d}" for n in range(20)]
    found = match("net", names, 20, ["3", "7", "12"], "set", "restrict")
    assert found.columns.tolist() == [3, 7, 12]
    mapped = match("net", None, 20, ["12", "7"], "set", "map")
    assert mapped.columns.tolist()[:2] == [12, 7]
    assert sorted(mapped.columns) == list(range(20))
    with pytest.raises(BadInput, match=r"has 3 of the 20 classes"):
        match("net", names, 20, ["3", "7", "12"], "set", "equal")
    with pytest.raises(BadInput, match=r"does not know 1 .* such as 20; its classes are 0 to 19"):
        match("net", names, 20, ["3", "20"], "set", "restrict")


def test_a_network_whose_classes_are_called_by_numbers_is_matched_by_these_names():
    listed = sorted(TWELVE)  # as text: 0 1 10 11 2 ...
    found = match("net", listed, 12, TWELVE, "set", "equal")
    assert [listed[column] for column in found.columns] == TWELVE
    assert found.note is None
    padded = match("net", listed, 12, [f"{n:02d}" for n in range(12)], "set", "equal")
    assert padded.columns.tolist() == found.columns.tolist()


def test_classes_that_cannot_be_told_apart_are_refused():
    with pytest.raises(BadInput, match=r"net has 3 classes .*set has 2"):
        match("net", None, 3, ["a", "b"], "set", "restrict")
    with pytest.raises(BadInput, match=r"does not know 1 of the 2 classes of set, such as z"):
        match("net", ["a", "b"], 2, ["a", "z"], "set", "map")
    with pytest.raises(BadInput, match=r"does not know 1 .* such as dog"):
        match("net", ["1", "3"], 2, ["1", "dog"], "set", "map")
    with pytest.raises(BadInput, match=r"net has 9 classes .*evaluate\.class_names=FILE"):
        match("net", None, 9, ["1", "dog"], "set", "map")


class Model:
    output_shape = (None, 1000)


PUBLISHED = Network("vgg16 (Keras)", Model(), architecture="vgg16", origin="Keras")
WNIDS = [f"n{number:08d}" for number in range(1000)]


def test_published_weights_know_the_1000_wnids_from_the_set_or_from_kerass_file(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    digest = hashlib.sha256("\n".join(WNIDS).encode()).hexdigest()
    monkeypatch.setattr(class_names, "ILSVRC", digest)
    assert known_names(PUBLISHED, None, WNIDS[::-1]) == WNIDS
    (tmp_path / "models").mkdir()
    listed = {str(i): [wnid, f"word_{i}"] for i, wnid in enumerate(WNIDS)}
    (tmp_path / "models" / "imagenet_class_index.json").write_text(json.dumps(listed))
    assert known_names(PUBLISHED, None, ["n00000003"]) == WNIDS
    assert keras_index("net")[999] == (WNIDS[999], "word_999")
    # 1,000 wnids of which one is another: they are not the network's
    assert known_names(PUBLISHED, None, [*WNIDS[1:], "n99999999"]) == WNIDS
    assert titles(["n00000003", "cat"], None) == {"n00000003": "word 3"}
    (tmp_path / "models" / "imagenet_class_index.json").write_text('{"0": ["n00000003", "x"]}')
    assert titles(["n00000003", "cat"], None) == {}
    with pytest.raises(BadInput, match=r"imagenet_class_index\.json lists 1 classes"):
        known_names(PUBLISHED, None, ["n00000003"])


def test_the_digest_is_of_the_thousand_wnids_in_their_order():
    from importlib.util import find_spec
    from pathlib import Path

    home = Path(find_spec("tensorflow_datasets").origin).parent
    listed = (home / "datasets" / "imagenet2012" / "labels.txt").read_text().split()
    assert known_names(PUBLISHED, None, listed[::-1]) == listed == sorted(listed)


def test_numbers_need_no_list_of_wnids(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # nothing there, nothing is fetched
    assert known_names(PUBLISHED, None, [str(n) for n in range(1000)]) is None
    assert titles(["n00000003"], None) == {}


def test_the_list_that_cannot_be_fetched_is_one_line_that_says_what_to_do(tmp_path, monkeypatch):
    import keras

    def offline(*words, **keywords):
        raise Exception("URL fetch failure\non https://x: no route")  # as Keras raises it

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(BadInput, match=r"could not be fetched.*evaluate\.class_names=FILE") as said:
        known_names(PUBLISHED, None, ["n00000003"])
    assert "\n" not in str(said.value)


class Two:
    output_shape = (None, 2)


def test_names_can_be_given_in_a_file_of_as_many_lines(tmp_path):
    network = Network("net", Two())
    (tmp_path / "names.txt").write_text("dog\ncat\n\n")
    assert known_names(network, str(tmp_path / "names.txt"), []) == ["dog", "cat"]
    (tmp_path / "names.txt").write_text("dog\ndog\n")
    with pytest.raises(BadInput, match=r"has 1 different names; net has 2 classes"):
        known_names(network, str(tmp_path / "names.txt"), [])


def test_the_file_wins_over_what_a_network_came_with(tmp_path):
    network = Network("net", Two(), class_names=["cat", "dog"])
    (tmp_path / "names.txt").write_text("dog\ncat\n")
    assert known_names(network, str(tmp_path / "names.txt"), []) == ["dog", "cat"]
    assert known_names(network, None, []) == ["cat", "dog"]
    assert overruled(network, str(tmp_path / "names.txt")) == (
        "net: evaluate.class_names wins over the names it was saved with in 2 of 2 classes, the "
        "first 0: dog, not cat"
    )
    (tmp_path / "same.txt").write_text("cat\ndog\n")
    assert overruled(network, str(tmp_path / "same.txt")) is None


def test_the_first_class_of_a_names_file_is_kept(tmp_path):
    file = tmp_path / "names.txt"
    file.write_bytes("\ufeffcat\r\ndog\r\n".encode())
    assert read_names(str(file), "net", 2) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "text", "entries"),
    [
        ("words.txt", "red fox\ncat\n", [("red fox", ""), ("cat", "")]),
        (
            "LOC_synset_mapping.txt",
            "n02119789 kit fox, Vulpes macrotis\nn01440764 tench, Tinca tinca\n",
            [("n02119789", "kit fox, Vulpes macrotis"), ("n01440764", "tench, Tinca tinca")],
        ),
        ("synsets.txt", "n02119789\nn01440764\n", [("n02119789", ""), ("n01440764", "")]),
        (
            "imagenet_class_index.json",
            '{"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]}',
            [("n01440764", "tench"), ("n01443537", "goldfish")],
        ),
        ("labels.json", '{"0": "tench", "1": "goldfish"}', [("tench", ""), ("goldfish", "")]),
        ("list.json", '["tench", "goldfish"]', [("tench", ""), ("goldfish", "")]),
        ("class_indices.json", '{"b": 0, "a": 1}', [("b", ""), ("a", "")]),
        ("numbers.json", '{"0": 0, "10": 1, "2": 2}', [("0", ""), ("10", ""), ("2", "")]),
    ],
)
def test_files_that_people_have(tmp_path, name, text, entries):
    (tmp_path / name).write_text(text)
    assert read_entries(str(tmp_path / name)) == entries


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('{"1": "tench", "2": "goldfish"}', "numbered 0 to 1"),
        ('{"b": 0, "a": 2}', "numbered 0 to 1"),
        ("[1, 2]", "a JSON list of names"),
        ("3", "a JSON list of names"),
    ],
)
def test_other_json_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(BadInput, match=rf"evaluate\.class_names: .*x\.json.*{said}"):
        read_entries(str(tmp_path / "x.json"))


def test_a_title_is_the_first_of_several_words_unless_another_class_has_it(tmp_path):
    file = tmp_path / "LOC_synset_mapping.txt"
    file.write_text(
        "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane, machine\nn00000001\n"
    )
    named = ["n02012849", "n01440764", "n00000001", "n03126707"]
    of_source = {"n00000001": "other, another", "n01440764": "fish"}
    assert titles(named, str(file), of_source) == {
        "n02012849": "crane",
        "n01440764": "tench",
        "n00000001": "other",
        "n03126707": "crane, machine",
    }
