"""`evaluate.labels`: lists of right answers, by content: a network says a picture's colour."""

from __future__ import annotations

import json

import colour_network
import numpy as np
import pytest
from command import inside

from experiments.evaluation.answers import Answers, together
from experiments.evaluation.label_lists import relabelled

WORDS = ("bench.latency_calls=1", "bench.throughput_batches=1", "data.crop_fraction=1.0")
WNIDS = [f"n{number:08d}" for number in (5, 1, 9, 3)]  # folders; sorted: 1 3 5 9


@pytest.fixture
def evaluated(tmp_path, monkeypatch, capsys):
    """Four classes whose sorted names are the network's classes 0 to 3. Names of files are not in
    the order of classes: `4.png` is first among the classes and last among the files."""
    colour_network.network(4).save(tmp_path / "net.keras")
    (tmp_path / "names.txt").write_text("\n".join(sorted(WNIDS)))
    for name, number, shown in (
        (WNIDS[1], 4, 0), (WNIDS[3], 3, 1), (WNIDS[3], 2, 2), (WNIDS[0], 1, 0), (WNIDS[2], 0, 3),
    ):  # fmt: skip
        colour_network.save(tmp_path / "set" / name / f"{number}.png", shown)

    def run(labels, *words, code=0):
        (tmp_path / "real.json").write_text(json.dumps(labels))
        given = ["evaluate", "net.keras", "data.source=folder:set", *WORDS, *words, "--json"]
        given += ["evaluate.class_names=names.txt", "evaluate.labels=real.json"]
        assert inside(monkeypatch, *given) == code
        captured = capsys.readouterr()
        return captured.err.strip().splitlines()[-1] if code else json.loads(captured.out)

    return run


# The network answers 3 0 2 1 0 to 0.png 1.png 2.png 3.png 4.png.
def test_a_list_is_in_the_order_of_file_names_and_an_empty_one_leaves_its_image_out(evaluated):
    document = evaluated([[3], [2, 0], [], [1], [1, 2]])
    [row] = document["rows"]
    assert row["top1"] == 3 / 4
    assert (row["images"], row["left_out"], row["labels"]) == (4, 1, "real.json")
    assert row["top5"] is None
    [pair] = row["worst_pairs"]  # 4.png, of which the likelier of 1 and 2 counts as the label
    assert (pair["class"], pair["taken_for"]) == ("n00000003", "n00000001")
    [note] = [line for line in document["notes"] if "real.json" in line]
    assert "in the order of the file names" in note
    assert "1 images of an empty list" in note


def test_an_object_goes_by_file_name_with_numbers_or_names(evaluated):
    lists = {"4.png": [0], "3.png": ["n00000003"], "2.png": [1], "1.png": [], "0.png": [0, 3]}
    [row] = evaluated(lists)["rows"]
    assert (row["top1"], row["images"], row["left_out"]) == (3 / 4, 4, 1)
    lists[f"{WNIDS[3]}/2.png"] = [2]  # a path is more than a bare name
    assert evaluated(lists)["rows"][0]["top1"] == 1.0


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[0]] * 4, "real.json has labels of 4 images, folder:set, all, has 5"),
        ([[0], [1], [2], [3], [4]], "4.png: 4 is no class of the set"),
        ([[0], [1], [2], [3], ["cat"]], "4.png: 'cat' is no class of the set"),
        ([[0], [1], [2], [3], 0], "4.png: expected a list of classes. Received: 0"),
        ([[], [], [], [], []], "an empty list for every image"),
        ({"1.png": [0]}, "no labels of 4 of the 5 images of folder:set, such as 4.png"),
        (3, "expected a JSON list, or an object by file name"),
    ],
)
def test_labels_of_other_images_or_classes_are_refused(evaluated, labels, said):
    line = evaluated(labels, code=2)
    assert "evaluate.labels: " in line
    assert said in line


def test_sets_without_file_names_are_refused_by_name(evaluated):
    words = ["data.source=synthetic:classes=4,size=12,examples=20"]
    assert "no file names here to order them by" in evaluated([[0]] * 20, *words, code=2)


def test_an_archive_is_no_file_of_an_image(tmp_path, evaluated):
    pixels = np.stack([np.full((12, 12, 3), colour_network.colour(n), np.uint8) for n in range(4)])
    np.savez(tmp_path / "set.npz", x_test=pixels, y_test=np.arange(4), class_names=sorted(WNIDS))
    line = evaluated([[0]] * 4, f"data.source=npz:{tmp_path}/set.npz", code=2)
    assert "no file names here to order them by" in line


def test_numbered_classes_are_what_their_numbers_say(tmp_path):
    from experiments.evaluation.image_set import Subject

    class Source:
        read_from = None

        class files:
            names = ("b.png", "a.png")

        def __len__(self):
            return 2

    (tmp_path / "two.json").write_text("[[7], [3, 12]]")
    names, indices = ["3", "7", "12"], np.arange(2)
    subject = Subject("folder:x", "f", "all", indices, np.zeros(2, int), names, Source())
    made = relabelled(subject, str(tmp_path / "two.json"))
    assert [labels.tolist() for labels in made.accepted] == [[0, 2], [1]]


def test_the_ensemble_is_scored_by_the_same_lists():
    accepted = [np.array([0, 2]), np.array([1])]
    labels = np.array([0, 1])
    chances = np.array([[[0.1, 0.6, 0.3], [0.2, 0.5, 0.3]], [[0.1, 0.1, 0.8], [0.2, 0.5, 0.3]]])
    members = [
        Answers.of_probabilities(str(at), each, labels, list("abc"), accepted)
        for at, each in enumerate(chances)
    ]
    assert [member.right.tolist() for member in members] == [[False, True], [True, True]]
    mean, _ = together(members)
    assert mean.right.tolist() == [True, True]
    assert mean.labels.tolist() == [2, 1]
