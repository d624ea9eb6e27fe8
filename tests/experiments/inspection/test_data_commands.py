"""`ilsvrc data check / stats / preview / prepare`, as a user calls them."""

from __future__ import annotations

import csv
import json
import time

import numpy as np
import pytest
import tensorflow as tf
from command import inside, write_config
from PIL import Image

from experiments.inspection import preview as preview_command
from pipelines import statistics
from pipelines.sources import check as check_work
from pipelines.sources import duplicates
from pipelines.sources.open import open_source


def photographs(root):
    """train and val, two classes; every kind of trouble once."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for name in ("cat", "dog"):
            folder = root / part / name
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 255, (40 + k, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{k}.png")
    return root


@pytest.fixture
def clean(tmp_path):
    return photographs(tmp_path / "set")


@pytest.fixture
def troubled(clean):
    train, val = clean / "train", clean / "val"
    (train / "cat" / "broken.jpg").write_bytes(b"hello")
    png = (train / "cat" / "0.png").read_bytes()
    (train / "cat" / "cut.png").write_bytes(png[: len(png) // 2])
    (train / "cat" / "wrong.jpg").write_bytes((train / "cat" / "1.png").read_bytes())
    Image.new("RGB", (12, 90), (3, 200, 9)).save(train / "dog" / "small.png")
    (val / "dog" / "leak.png").write_bytes((train / "dog" / "2.png").read_bytes())
    Image.open(train / "dog" / "3.png").save(train / "cat" / "again.png", compress_level=1)
    assert (train / "cat" / "again.png").read_bytes() != (train / "dog" / "3.png").read_bytes()
    return clean


def run(monkeypatch, capsys, *words, code=0):
    assert inside(monkeypatch, "data", *words) == code
    return capsys.readouterr().out


def test_check_finds_each_kind_of_trouble(troubled, monkeypatch, capsys, tmp_path):
    out = run(
        monkeypatch, capsys, "check", f"folder:{troubled}", "--csv", "found.csv", "--json", code=1
    )
    document = json.loads(out)
    assert document["images"] == 24 + 4
    assert document["classes"] == 2
    assert document["corrupt"] == 2
    assert document["duplicates"] == 3
    assert document["across_splits"] == 1
    assert len(document["fingerprint"]) == 64
    found = {(x["image"], x["problem"]): x for x in document["findings"]}
    assert set(found) == {
        ("train/cat/broken.jpg", "undecodable"),
        ("train/cat/cut.png", "truncated"),
        ("train/cat/wrong.jpg", "mislabelled format"),
        ("train/cat/wrong.jpg", "same bytes"),
        ("train/dog/small.png", "tiny"),
        ("val/dog/leak.png", "same bytes"),
        ("train/dog/3.png", "same pixels"),
    }
    leak = found["val/dog/leak.png", "same bytes"]
    assert leak["split"] == "validation"
    assert leak["detail"] == "as train/dog/2.png, across splits (train, validation)"
    assert found["train/dog/3.png", "same pixels"]["detail"] == (
        "as train/cat/again.png, in two classes (cat)"
    )
    assert found["train/cat/wrong.jpg", "mislabelled format"]["detail"] == "is a PNG file"
    assert found["train/dog/small.png", "tiny"]["detail"] == "90 x 12 pixels"
    with open(tmp_path / "found.csv", newline="") as file:
        assert list(csv.DictReader(file)) == document["findings"]


def test_check_prints_a_table_and_a_summary(troubled, monkeypatch, capsys):
    out = run(monkeypatch, capsys, "check", f"folder:{troubled}", code=1)
    assert "train/cat/cut.png" in out
    assert "28 images in 2 classes, 2 corrupt, 3 duplicates (1 across official splits)" in out


def test_check_of_clean_images_finds_nothing(clean, monkeypatch, capsys):
    document = json.loads(run(monkeypatch, capsys, "check", f"folder:{clean}", "--json"))
    assert document["findings"] == []
    assert (document["images"], document["corrupt"], document["duplicates"]) == (24, 0, 0)
    assert document["fingerprint"] == open_source(f"folder:{clean}").fingerprint


def test_tiny_is_what_the_user_says(clean, monkeypatch, capsys):
    out = run(monkeypatch, capsys, "check", f"folder:{clean}", "--tiny", "42", "--json")
    assert {x["problem"] for x in json.loads(out)["findings"]} == {"tiny"}
    assert len(json.loads(out)["findings"]) == 2 * (2 + 2)  # 40 and 41 high


def test_prepare_then_check_finds_a_flipped_bit(clean, monkeypatch, capsys, tmp_path):
    words = "prepare", f"folder:{clean}", "--out", "ready", "--size", "24"
    words += "--images-per-shard", "10", "--json"
    document = json.loads(run(monkeypatch, capsys, *words))
    assert document["spec"] == "prepared:ready"
    assert (document["images"], document["shards"], document["size"]) == (24, 3, 24)
    assert document["fingerprint"] == open_source("prepared:ready").fingerprint
    checked = json.loads(run(monkeypatch, capsys, "check", "prepared:ready", "--json", "--tiny=9"))
    assert (checked["images"], checked["findings"]) == (24, [])
    shard = sorted((tmp_path / "ready").glob("shard-*"))[1]
    content = bytearray(shard.read_bytes())
    content[len(content) // 100] ^= 1
    shard.write_bytes(content)
    assert inside(monkeypatch, "data", "check", "prepared:ready") == 2
    err = capsys.readouterr().err
    assert f"{shard.name} is damaged" in err
    assert len(err.strip().splitlines()) == 1


def test_prepare_refuses_bad_settings_in_one_line(monkeypatch, capsys):
    for words in (
        ["prepare", "folder:nowhere", "--out", "x"],
        ["prepare", "digits", "--out", "x", "--format", "webp"],
        ["prepare", "digits", "--out", "x", "--quality", "101"],
    ):
        assert inside(monkeypatch, "data", *words) == 2
        err = capsys.readouterr().err
        assert err.startswith("ilsvrc: ")
        assert "Traceback" not in err


def test_stats_are_of_the_training_part(clean, monkeypatch, capsys):
    for path in (clean / "val").rglob("*.png"):
        Image.new("RGB", (64, 64), (255, 0, 255)).save(path)  # would show in every number
    document = json.loads(run(monkeypatch, capsys, "stats", f"folder:{clean}", "--json"))
    source = open_source(f"folder:{clean}")
    expected = statistics.fit(source, source.official_splits["train"]).to_dict()
    assert {key: document[key] for key in expected} == expected
    assert document["of"] == "the official training part"
    assert document["images"] == 16
    text = run(monkeypatch, capsys, "stats", f"folder:{clean}", "--limit", "5")
    assert "5 images, evenly over the official training part" in text
    assert "(standard, a sample of 5 of 16 images)" in text
    assert "eigenvectors" in text
    assert "all images" in run(monkeypatch, capsys, "stats", "digits", "--limit", "10")


def test_preview_of_a_source_is_a_grid(clean, monkeypatch, capsys, tmp_path):
    words = "preview", f"folder:{clean}", "data.image_size=32", "model.name=lenet5"
    words += "augment.preset=inception", "--out", "look.png", "--images", "3", "--draws", "2"
    document = json.loads(run(monkeypatch, capsys, *words, "--json"))
    assert (document["images"], document["draws"]) == (3, 2)
    assert "random_resized_crop" in document["recipe"]
    picture = Image.open(tmp_path / "look.png")
    assert picture.format == "PNG"
    assert np.ptp(np.asarray(picture.convert("L"))) > 100  # something is drawn


def test_preview_takes_a_config(monkeypatch, capsys, tmp_path):
    path = write_config(tmp_path, augment={"steps": [{"op": "pad_and_crop", "padding": 2}]})
    document = json.loads(run(monkeypatch, capsys, "preview", path, "--json"))
    assert "pad_and_crop" in document["recipe"]
    assert (tmp_path / "preview.png").stat().st_size > 1000


def test_each_row_of_the_grid_is_its_own_image():
    def planned(recipe):
        words = ["data.image_size=32", recipe]
        return preview_command._plan("digits", words)

    plan = planned("augment={steps: []}")
    rows = preview_command._spread(plan.source.labels, plan.split.train, 6)
    assert len(set(rows.tolist())) == 6
    plain, captions = preview_command.augmented(plan, rows, 3)
    assert (plain[:, 0] == plain[:, 2]).all()
    assert captions == [[""] * 3] * 6
    from pipelines.resize import resize_centre

    for row, index in enumerate(rows):
        expected = resize_centre((32, 32))(tf.constant(plan.source.array[index])).numpy()
        np.testing.assert_allclose(plain[row, 1], expected, atol=1e-3)
    mixed, said = preview_command.augmented(
        planned("augment={steps: [{op: mixup, alpha: 1.0}]}"), rows, 3
    )
    assert any("%" in text for row in said for text in row)
    assert mixed.shape == plain.shape


def test_preview_draws_from_the_seed_of_augmentation():
    def previewed(*words):
        steps = "augment={steps: [{op: pad_and_crop}]}"
        plan = preview_command._plan("digits", [steps, *words])
        return preview_command.augmented(plan, plan.split.train[:4], 2)[0]

    apart = previewed("seeds.augmentation=2")
    assert (apart == previewed("seed=2")).all()
    assert (apart != previewed("seeds.weights=2")).any()


def test_preview_refuses_what_it_cannot_write(monkeypatch, capsys):
    for words in (["preview", "digits", "--out", "x.txt"], ["preview", "nothing"]):
        assert inside(monkeypatch, "data", *words) == 2
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("classes", [("dog",), ("cat", "dog")])
def test_check_lists_classes_of_which_no_file_can_be_read(
    clean, monkeypatch, capsys, tmp_path, classes
):
    for name in classes:
        for path in (clean / "train" / name).iterdir():
            path.with_suffix(".avif").write_bytes(b"\0\0\0\x20ftypavif" + path.name.encode())
            path.unlink()
    out = run(monkeypatch, capsys, "check", f"folder:{clean}", "--json", code=1)
    document = json.loads(out)
    listed = [x["image"] for x in document["findings"] if x["problem"] == "undecodable"]
    assert listed == [f"train/{name}/{k}.avif" for name in classes for k in range(8)]
    assert document["images"] == 24 - 8 * len(classes)
    assert document["classes"] == 2


@pytest.mark.parametrize("kind", ["folder", "prepared"])
def test_a_second_check_decodes_what_has_changed_only(clean, monkeypatch, capsys, kind):
    spec = f"folder:{clean}"
    if kind == "prepared":
        run(monkeypatch, capsys, "prepare", spec, "--out", "ready", "--size", "0")
        spec = "prepared:ready"
    (clean / "train" / "cat" / "0.jpg").write_bytes((clean / "train/cat/1.png").read_bytes())
    time.sleep(0.2)  # what was written just now is not believed the next time
    looked, real = [], check_work._look
    monkeypatch.setattr(check_work, "_look", lambda *a: (looked.append(a[2]), real(*a))[1])

    def checked(*words):
        looked.clear()
        return run(monkeypatch, capsys, "check", spec, "--json", *words), len(looked)

    first, count = checked("--tiny", "41")
    assert count == (25 if kind == "folder" else 24)
    assert '"tiny"' in first
    assert ('"mislabelled format"' in first) == (kind == "folder")
    assert checked("--tiny", "41") == (first, 0)
    assert checked("--tiny", "41", "--deep") == (first, count)
    if kind == "folder":
        (clean / "train" / "cat" / "0.png").touch()
        assert checked("--tiny", "41") == (first, 1)


def test_a_deep_check_finds_contents_that_changed_behind_their_times(clean, monkeypatch, capsys):
    time.sleep(0.2)
    first = json.loads(run(monkeypatch, capsys, "check", f"folder:{clean}", "--json"))
    assert first["corrupt"] == 0
    real, other = duplicates.read_range, (clean / "train" / "cat" / "5.png").read_bytes()
    monkeypatch.setattr(
        duplicates, "read_range",
        lambda path, *a: other if path.endswith("train/dog/5.png") else real(path, *a),
    )  # fmt: skip
    assert json.loads(run(monkeypatch, capsys, "check", f"folder:{clean}", "--json")) == first
    deep = run(monkeypatch, capsys, "check", f"folder:{clean}", "--json", "--deep", code=1)
    [finding] = json.loads(deep)["findings"]
    assert (finding["image"], finding["problem"]) == ("train/dog/5.png", "altered")


def test_a_set_to_be_scored_has_a_test_part_alone(monkeypatch, capsys, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "set.npz", x_test=pixels, y_test=np.arange(12) % 3)
    assert inside(monkeypatch, "data", "check", f"npz:{tmp_path / 'set.npz'}") == 0
    printed = capsys.readouterr().out
    assert "test: 12 images of 3 classes, official; a class has 4 to 4" in printed
    assert "train" not in printed
    assert inside(monkeypatch, "data", "stats", f"npz:{tmp_path / 'set.npz'}", "--json") == 0
    stats = json.loads(capsys.readouterr().out)
    assert stats["of"] == "all images (no official training part)"
    assert stats["mean"] == pytest.approx(pixels.mean(axis=(0, 1, 2)))
