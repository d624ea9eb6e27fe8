"""`ilsvrc init`: what it sees in images, what it proposes for them, what it writes."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import inside, refused
from PIL import Image

import models
from experiments.config import settings, yaml_text
from experiments.config.meant import shipped
from experiments.inspection import budget, first_config, init, speed
from experiments.inspection.proposal import Choice
from experiments.inspection.survey import Survey, survey

MACHINE = speed.Speed(macs_per_second=50e9, bytes_per_second=2e9)


def drawn_set(folder: Path, images: dict[str, int], size: tuple[int, int], *, grey=False) -> str:
    """Noise of so many images below each path, their short sides growing by one; its spec."""
    rng = np.random.default_rng(0)
    for path, count in images.items():
        (folder / path).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 255, (size[0] + k, size[1], 1 if grey else 3), dtype=np.uint8)
            Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))).save(
                folder / path / f"{k}.png"
            )
    return f"folder:{folder}"


@pytest.fixture
def unequal(tmp_path):
    """Few photographs, five times as many of one class as of the other."""
    return drawn_set(tmp_path / "pets", {"cat": 30, "dog\x1b": 6}, (180, 260))


@pytest.fixture
def scans(tmp_path):
    """Grey images in colour files, of one size."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for k in range(10):
            pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8)
            image = Image.fromarray(pixels).convert("RGB")
            image.save(tmp_path / "scans" / name / f"{k}.png")
    return f"folder:{tmp_path / 'scans'}"


@pytest.fixture
def parted(tmp_path):
    """Official train and val, no test."""
    return drawn_set(
        tmp_path / "set",
        {f"{part}/{name}": n for part, n in (("train", 8), ("val", 4)) for name in ("x", "y", "z")},
        (60, 70),
    )


@pytest.fixture
def measured(monkeypatch):
    monkeypatch.setattr(speed, "measure", lambda: MACHINE)


def written(monkeypatch, capsys, *words):
    """What `ilsvrc init` answers, and its config as it is read."""
    assert inside(monkeypatch, "init", *words, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    return document, settings.load(document["config"])


def dry_run(monkeypatch, capsys, config):
    assert inside(monkeypatch, "sweep", config, "--dry-run", "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_few_photographs_of_unequal_classes(unequal, measured, monkeypatch, capsys):
    document, config = written(monkeypatch, capsys, "out", "--source", unequal)
    assert document["config"] == "out/pets.yaml"
    assert document["images"]["short_side"] == {"smallest": 180, "median": 191.5, "largest": 209}
    assert config.data.source == unequal
    assert config.data.image_size in budget.SIDES
    assert config.data.image_size <= 191
    assert config.data.channels is None
    assert config.augment.preset == "resnet"
    assert config.validation.folds is None  # which would take so many times the minutes
    assert config.sweep.axes["model.name"] == document["networks"]
    assert "resnet18" in document["networks"]
    assert config.sweep.axes["seed"] == [1, 2, 3]
    assert document["minutes"] <= 60
    text = Path("out/pets.yaml").read_text()
    assert "  # class_weights: balanced" in text
    assert "cat has 18 training images, dog\\x1b 4." in text
    assert "  # weights: imagenet" in text
    assert "  # folds: 4" in text  # of the dog's training images: 6 less 1 and 1
    assert dry_run(monkeypatch, capsys, "out/pets.yaml")["fits"] == 3 * len(document["networks"])


def test_grey_images_in_colour_files(scans, measured, monkeypatch, capsys):
    document, config = written(monkeypatch, capsys, "--source", scans, "--minutes", "5")
    assert document["config"] == "scans.yaml"
    assert (config.data.image_size, config.data.channels) == (40, 1)
    assert [step.op for step in config.augment.steps] == ["pad_and_crop"]
    assert document["networks"][0] == "lenet5"
    assert "class_weights" not in Path("scans.yaml").read_text()
    assert dry_run(monkeypatch, capsys, "scans.yaml")["data"]["images"] == 20


def test_official_parts_are_kept(parted, measured, monkeypatch, capsys):
    _, config = written(monkeypatch, capsys, "--source", parted)
    assert "validation_fraction" not in Path("set.yaml").read_text()
    assert config.validation.test_fraction == 0.2
    data = dry_run(monkeypatch, capsys, "set.yaml")["data"]
    assert {name: part["origin"] for name, part in data["parts"].items()} == {
        "train": "official",
        "validation": "official",
        "test": "held out",
    }


def test_large_grey_images_get_a_recipe_without_colour(tmp_path, measured, monkeypatch, capsys):
    source = drawn_set(tmp_path / "x-rays", {"a": 8, "b": 8}, (130, 140), grey=True)
    _, config = written(monkeypatch, capsys, "--source", source)
    assert (config.data.channels, config.augment.preset) == (1, "inception")
    dry_run(monkeypatch, capsys, "x-rays.yaml")


def test_a_template_where_no_images_are_named(monkeypatch, capsys):
    document, config = written(monkeypatch, capsys, "new/folder")
    assert document["config"] == "new/folder/images.yaml"
    assert config.data.source == "folder:DIR"
    assert (document["images"], document["speed"], document["minutes"]) == (None, None, None)
    text = Path("new/folder/images.yaml").read_text()
    assert "csv:FILE" in text
    assert "ilsvrc:DIR" in text
    line = refused(monkeypatch, capsys, "sweep", document["config"], "--dry-run")
    assert "DIR does not exist" in line
    settings.load(document["config"], ["data.source=digits"])
    assert inside(monkeypatch, "init", "another") == 0
    assert "next:\n  ilsvrc sweep another/images.yaml" in capsys.readouterr().out


def test_the_schema_and_the_shipped_configs_are_beside_it(monkeypatch, capsys):
    document, _ = written(monkeypatch, capsys)
    for folder in (Path(), Path("examples")):
        assert json.loads((folder / "schema.json").read_text())["title"] == "Config"
    copies = {name: Path("examples", f"{name}.yaml") for name in shipped()}
    for name, copy in copies.items():
        assert copy.read_bytes() == shipped()[name].read_bytes()
    assert len(document["files"]) == len(copies) + 3
    for file in [Path("images.yaml"), *copies.values()]:
        first = file.read_text().splitlines()[0]
        assert (file.parent / first.partition("$schema=")[2]).is_file()


def test_nothing_is_written_over(measured, monkeypatch, capsys):
    written(monkeypatch, capsys)
    before = Path("images.yaml").read_bytes()
    line = refused(monkeypatch, capsys, "init")
    assert line.startswith("ilsvrc: images.yaml: is there already; ")
    assert "--force" in line
    document, _ = written(monkeypatch, capsys, "--source", "digits")
    assert document["files"] == ["digits.yaml"]  # what is there as it is to be needs no writing
    Path("examples/nested.yaml").write_text("mine")
    os.remove("images.yaml")
    assert "examples/nested.yaml: is there already" in refused(monkeypatch, capsys, "init")
    assert not Path("images.yaml").exists()
    assert Path("examples/nested.yaml").read_text() == "mine"
    document, _ = written(monkeypatch, capsys, "--force")
    assert document["files"] == ["images.yaml", "examples/nested.yaml"]
    assert Path("images.yaml").read_bytes() == before


def test_bad_images_and_folders_are_one_line(tmp_path, monkeypatch, capsys):
    drawn_set(tmp_path / "alone", {"cat": 3}, (40, 40))
    rows = [f"alone/cat/{k}.png,cat" for k in range(3)]
    Path("alone.csv").write_text("\n".join(["path,label", *rows]))
    for source, words in (
        ("folder:nowhere", "nowhere"),
        ("foldr:x", "unknown source"),
        ("csv:alone.csv", "one class"),
    ):
        line = refused(monkeypatch, capsys, "init", "made", "--source", source)
        assert line.startswith("ilsvrc: data.source: ")
        assert words in line
        assert not Path("made").exists()
    Path("file").write_text("")
    assert "cannot be written" in refused(monkeypatch, capsys, "init", "file/below")


PHOTOGRAPHS = Survey(
    spec="folder:photographs",
    classes=20,
    parts={"train": (6000, ""), "validation": (2000, ""), "test": (2000, "")},
    smallest=("a", 300),
    largest=("b", 300),
    short_side=(200, 300.0, 500),
    fixed_size=None,
    channels=3,
    read_seconds=0.0,
)


def of_its_card(name, work, channels, classes):
    """Counts as they grow with pixels and channels, without building the network."""
    card = models.card(name)
    pixels = math.prod(work.size) / math.prod(card.input_shape[:2])
    macs = card.macs * pixels * work.width**2
    return macs, card.activation_bytes * pixels * work.width, card.params * work.width**2


def test_time_decides_what_is_given_up(monkeypatch):
    monkeypatch.setattr(budget, "counts", of_its_card)
    budgets = (20000, 5000, 2500, 600, 100, 20)
    works = [budget.best(PHOTOGRAPHS, MACHINE, minutes) for minutes in budgets]
    for work, minutes in zip(works, budgets, strict=True):
        assert budget.seconds_of(work, PHOTOGRAPHS, MACHINE) <= 60 * minutes
        assert len(work.networks) >= budget.FEWEST
    assert (works[0].size, works[0].networks) == ((224, 224), budget.LARGE)
    assert (works[1].size, works[1].networks) == ((160, 160), budget.LARGE)  # fewer pixels first
    assert works[2].networks == ("alexnet", "googlenet", "resnet18", "resnet50")  # then networks
    assert [work.width for work in works[:3]] == [1, 1, 1]
    assert works[-1].width == 0.25
    assert [work.share for work in works[:-1]] == [1] * 5
    # where nothing fits: ten images a class, and more than the time
    least = budget.best(PHOTOGRAPHS, speed.Speed(1e6, 1e6), 1)
    assert least.share == pytest.approx(10 * 20 / 6000, rel=0.05)


def test_seconds_are_those_of_multiplying_activating_reading_and_starting():
    work = budget.Work((32, 32), 1.0, ("resnet20_cifar",), batch=100, epochs=7)
    images = replace(
        PHOTOGRAPHS, classes=10, parts={"train": (1000, ""), "test": (300, "")}, read_seconds=0.01
    )
    macs, activation_bytes, params = budget.counts("resnet20_cifar", work, 3, 10)
    assert (macs, activation_bytes, params) == (40_551_040, 2_666_792, 269_722)
    image = 3 * macs / 50e9 + activation_bytes / 2e9 + 0.01
    epoch = (1000 + 300 / 3) * image + 10 * (speed.UPDATE_SECONDS + 4 * params / 2e9)
    assert budget.seconds_of(work, images, MACHINE) == pytest.approx(
        speed.START_SECONDS + 3 * (7 * epoch + speed.RUN_SECONDS)
    )


def test_this_machine_is_measured(monkeypatch):
    monkeypatch.setattr(speed, "PROBE_SECONDS", 0.05)
    measured = speed.measure()
    assert 1e8 < measured.macs_per_second < 1e15
    assert 1e7 < measured.bytes_per_second < 1e14


@pytest.mark.parametrize(
    "spec", ["digits", "synthetic:classes=12,size=64,examples=240", "directions:examples=400"]
)
def test_sets_that_come_along(spec, measured, monkeypatch, capsys):
    assert survey(spec).read_seconds == 0
    document, _ = written(monkeypatch, capsys, "--source", spec)
    dry_run(monkeypatch, capsys, document["config"])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("folder:flowers", "flowers"),
        ("folder:/data/my flowers (2)/", "my-flowers-2"),
        ("wds:shards/train-*.tar", "train"),
        ("cifar", "cifar"),
        ("synthetic:classes=3,size=9", "synthetic"),
        ("folder:..", "folder"),
        ("folder:花", "images"),
        (None, "images"),
    ],
)
def test_the_name_is_that_of_the_images(source, name):
    assert init._name(source) == name


@pytest.mark.parametrize(
    "value",
    [
        "folder:flowers", "folder:a b", "it's: #1", "12", "1e3", "null", "a,b", "a:", "-", "é\n",
        0.05, 5e-4, True, None, [40, 36], {"name": "sgd", "steps": [{"op": "x"}]}, {},
    ],
)  # fmt: skip
def test_values_are_read_as_they_were(value):
    assert yaml_text.read(f"key: {first_config.flow(value)}", "")["key"] == value


def test_a_section_of_suggestions_alone_is_a_comment():
    text = first_config.text("x", [], {"model.weights": Choice("imagenet", "Why.", is_set=False)})
    assert text.endswith("name: x\n\n# model:\n  # Why.\n  # weights: imagenet\n")
    assert settings.sections(text, "") == {"name": "x"}
