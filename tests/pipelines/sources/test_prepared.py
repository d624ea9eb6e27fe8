"""Prepared folders: the same images smaller, in shards that are whole, checked, or refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.errors import SourceError
from pipelines.files.shards import ShardReader
from pipelines.sources.array_source import ArraySource
from pipelines.sources.open import open_source
from pipelines.sources.prepare import prepare, shrink
from pipelines.sources.prepared import PreparedSource, manifest_fingerprint


def photographs(root, count=11):
    """Smooth images of different sizes in two classes, as PNG, with an official split."""
    for part, start in (("train", 0), ("val", 100)):
        for k in range(count if part == "train" else 4):
            folder = root / part / ("cat", "dog")[k % 2]
            folder.mkdir(parents=True, exist_ok=True)
            height, width = 40 + 3 * k, 60 + (start + 7 * k) % 31
            y, x = np.mgrid[:height, :width]
            rgb = np.stack([y * 3 + start, x * 2 + k * 9, (x + y) * 2], -1) % 256
            Image.fromarray(rgb.astype(np.uint8)).save(folder / f"{k:02d}.png")
    return f"folder:{root}"


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("photographs"))


def image(source, i, window=None):
    return source.images(tf.constant(i, tf.int64), window).numpy()


def test_raw_at_full_size_is_the_same_set(spec, tmp_path):
    source = open_source(spec)
    manifest = prepare(source, tmp_path / "out", size=None, encoding="raw", images_per_shard=4)
    ready = open_source(f"prepared:{tmp_path / 'out'}")
    assert [shard["images"] for shard in manifest["shards"]] == [4, 4, 4, 3]
    np.testing.assert_array_equal(ready.labels, source.labels)
    assert ready.class_names == source.class_names == ["cat", "dog"]
    for part in ("train", "validation"):
        np.testing.assert_array_equal(ready.official_splits[part], source.official_splits[part])
    for i in range(len(source)):
        np.testing.assert_array_equal(image(ready, i), image(source, i))
    assert manifest["source_fingerprint"] == source.fingerprint


@pytest.mark.parametrize("memory", [2**31, 0])
@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_the_short_side_is_shrunk_and_windows_are_parts_of_the_image(
    spec, tmp_path, encoding, memory
):
    source = open_source(spec)
    prepare(source, tmp_path / "out", size=32, encoding=encoding, quality=100, images_per_shard=6)
    ready = open_source(f"prepared:{tmp_path / 'out'}", memory_limit_bytes=memory)
    assert isinstance(ready, PreparedSource)
    for i in (0, 5, 6, len(source) - 1):  # both sides of a shard's end
        full, small = image(source, i), image(ready, i)
        height, width = full.shape[:2]
        assert min(small.shape[:2]) == 32
        assert small.shape[1] == width * 32 // min(height, width)
        wanted = tf.image.resize(full, small.shape[:2], antialias=True).numpy()
        assert np.abs(small - wanted).mean() < (0.3 if encoding == "raw" else 4.0)
        part = image(ready, i, lambda shape: tf.constant([3, 5, 20, 11]))
        np.testing.assert_array_equal(part, small[3:23, 5:16])


def test_small_images_are_not_enlarged(tmp_path):
    assert shrink(48)(tf.zeros([40, 60, 3], tf.uint8)).shape == (40, 60, 3)
    assert shrink(40)(tf.zeros([80, 121, 3], tf.uint8)).shape == (40, 60, 3)


def test_equal_raw_images_are_one_array_and_grey_stays_grey(tmp_path):
    source = open_source("digits")
    prepare(source, tmp_path / "out", encoding="raw", images_per_shard=1000)
    held = open_source(f"prepared:{tmp_path / 'out'}")
    assert isinstance(held, ArraySource)
    np.testing.assert_array_equal(held.array, source.array)
    far = open_source(f"prepared:{tmp_path / 'out'}", memory_limit_bytes=1000)
    assert far.array is None
    assert far.image_shape == held.image_shape == (8, 8, 1)
    np.testing.assert_array_equal(image(far, 1234), source.array[1234])
    assert far.fingerprint == held.fingerprint
    with pytest.raises(SourceError, match=r"data\.channels asks for 3"):
        open_source(f"prepared:{tmp_path / 'out'}", channels=3)


def test_a_source_survives_a_change_of_process(spec, tmp_path):
    prepare(open_source(spec), tmp_path / "out", size=32)
    ready = open_source(f"prepared:{tmp_path / 'out'}", memory_limit_bytes=0)
    before = image(ready, 2)
    np.testing.assert_array_equal(image(pickle.loads(pickle.dumps(ready)), 2), before)


def test_a_killed_run_goes_on_at_the_next_shard(spec, tmp_path, monkeypatch):
    source = open_source(spec)
    whole = prepare(source, tmp_path / "whole", size=32, images_per_shard=4)
    out = tmp_path / "out"

    class Killed(BaseException):
        pass

    def dies(done):
        if done == 8:
            raise Killed

    with pytest.raises(Killed):
        prepare(source, out, size=32, images_per_shard=4, advance=dies)
    with pytest.raises(SourceError, match=r"unfinished.*ilsvrc data prepare"):
        open_source(f"prepared:{out}")
    shards = sorted(out.glob("shard-*"))
    assert len(shards) == 2
    stamps = [path.stat().st_mtime_ns for path in shards]
    seen = []
    assert prepare(source, out, size=32, images_per_shard=4, advance=seen.append) == whole
    assert seen[0] == 8
    assert [path.stat().st_mtime_ns for path in shards] == stamps
    assert prepare(source, out, size=32, images_per_shard=4) == whole  # nothing left to do
    assert sorted(os.listdir(out)) == sorted(
        ["manifest.json", *(entry["name"] for entry in whole["shards"])]
    )


def test_sigkill_leaves_nothing_that_reads_as_whole(tmp_path):
    spec, images = "synthetic:classes=4,size=24,examples=1500,seed=1", 1500
    script = (
        "from pipelines import open_source\nfrom pipelines.sources.prepare import prepare\n"
        f"prepare(open_source({spec!r}), {str(tmp_path / 'out')!r}, size=16, images_per_shard=30)\n"
    )
    work = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    out = tmp_path / "out"
    deadline = time.monotonic() + 120
    while len(list(out.glob("shard-*"))) < 3 and work.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    work.send_signal(signal.SIGKILL)
    assert work.wait() == -signal.SIGKILL  # it was at work
    assert not (out / "manifest.json").exists()
    with pytest.raises(SourceError, match="unfinished"):
        open_source(f"prepared:{out}")
    resumed = prepare(open_source(spec), out, size=16, images_per_shard=30)
    ready = open_source(f"prepared:{out}", memory_limit_bytes=0)
    ready.verify()
    assert len(ready) == resumed["images"] == images
    assert not [name for name in os.listdir(out) if name.startswith(".")]


def test_a_kill_between_writing_a_small_file_and_naming_it_leaves_nothing(
    spec, tmp_path, monkeypatch
):
    source, out = open_source(spec), tmp_path / "out"

    def killed(*_):
        raise KeyboardInterrupt  # as far as the files go, a kill

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, out, size=32, images_per_shard=4)
    assert os.listdir(out)
    prepare(source, out, size=32, images_per_shard=4)
    assert not [name for name in os.listdir(out) if name.startswith(".")]


def test_every_file_is_synced_before_it_is_named(spec, tmp_path, monkeypatch):
    synced, named, out = set(), {}, tmp_path / "out"
    sync, replace = os.fsync, os.replace

    def name(partial, path):
        if Path(path).parent == out:
            named[Path(path).name] = os.stat(partial).st_ino in synced
        replace(partial, path)

    monkeypatch.setattr(os, "fsync", lambda n: (synced.add(os.fstat(n).st_ino), sync(n)))
    monkeypatch.setattr(os, "replace", name)
    prepare(open_source(spec), out, size=32, images_per_shard=8)
    shards = {f"shard-0000{i}-of-00002.array_record" for i in range(2)}
    assert shards | {"manifest.json"} <= set(named)
    assert all(named.values()), named


def test_a_damaged_shard_is_told_of_errors_without_a_text(out, monkeypatch):
    def broken(self, shard):
        raise RuntimeError

    monkeypatch.setattr(ShardReader, "_reader", broken)
    with pytest.raises(SourceError, match=r"is damaged \(RuntimeError\): copy it again"):
        open_source(f"prepared:{out}", memory_limit_bytes=0).blob(0)


def test_a_damaged_finished_shard_is_made_again_on_resuming(spec, tmp_path):
    source, out = open_source(spec), tmp_path / "out"

    def stop(done):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, size=32, images_per_shard=4, advance=stop)
    flip(sorted(out.glob("shard-*"))[1], 100)
    prepare(source, out, size=32, images_per_shard=4)
    open_source(f"prepared:{out}", memory_limit_bytes=0).verify()


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


@pytest.fixture
def out(spec, tmp_path):
    prepare(open_source(spec), tmp_path / "out", size=32, images_per_shard=4)
    return tmp_path / "out"


def test_a_flipped_bit_is_refused_with_the_shards_name(out):
    shard = sorted(out.glob("shard-*"))[2]
    flip(shard, shard.stat().st_size // 200)
    with pytest.raises(SourceError, match=f"{shard.name} is damaged"):
        open_source(f"prepared:{out}")
    large = open_source(f"prepared:{out}", memory_limit_bytes=0)  # too large to read at once
    with pytest.raises(SourceError, match=f"{shard.name} is damaged"):
        large.verify()


def test_a_flipped_bit_of_an_image_is_never_decoded(out):
    whole = open_source(f"prepared:{out}", memory_limit_bytes=0)
    record = whole.blob(9)
    shard = sorted(out.glob("shard-*"))[2]
    flip(shard, shard.read_bytes().index(record) + len(record) // 2)
    large = open_source(f"prepared:{out}", memory_limit_bytes=0)
    with pytest.raises(tf.errors.OpError, match=shard.name):
        list(large.dataset([9]))
    assert image(large, 0).shape[0] == 32  # the others can still be read


@pytest.mark.parametrize("size", [0, 1000])
def test_a_shortened_or_missing_shard_is_refused(out, size):
    shard = sorted(out.glob("shard-*"))[1]
    os.truncate(shard, size)
    with pytest.raises(SourceError, match=rf"{shard.name}: expected \d+ bytes, received {size}"):
        open_source(f"prepared:{out}", memory_limit_bytes=0)
    shard.unlink()
    with pytest.raises(SourceError, match=f"{shard.name} cannot be read"):
        open_source(f"prepared:{out}", memory_limit_bytes=0)


def edited(out, change, sign=False):
    manifest = json.loads((out / "manifest.json").read_text())
    change(manifest)
    if sign:
        manifest["fingerprint"] = manifest_fingerprint(manifest)
    (out / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["labels"].__setitem__(3, 2), "label of image 3: expected from 0 to 1"),
        (lambda m: m["labels"].__setitem__(0, -1), "received -1"),
        (lambda m: m["labels"].__setitem__(0, 1 - m["labels"][0]), "was changed"),
        (lambda m: m["class_names"].reverse(), "was changed"),
        (lambda m: m["splits"]["train"].__setitem__(0, [0, 3]), "was changed"),
        (lambda m: m["labels"].append(0), "16 labels for 15 images"),
        (lambda m: m.__setitem__("version", 7), "expected format version 1, received 7"),
        (lambda m: m.pop("shards"), "is damaged"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(out, change, said):
    edited(out, change)
    with pytest.raises(SourceError, match=said):
        open_source(f"prepared:{out}")


def test_a_label_out_of_range_is_refused_even_with_a_fitting_fingerprint(out):
    edited(out, lambda m: m["labels"].__setitem__(3, 2), sign=True)
    with pytest.raises(SourceError, match="label of image 3"):
        open_source(f"prepared:{out}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 24}, "prepared with size 32, now asked for 24"),
        ({"quality": 80}, "prepared with quality 95, now asked for 80"),
        ({"encoding": "raw"}, "now asked for raw"),
        ({"images_per_shard": 5}, "now asked for 5"),
        ({"encoding": "webp"}, "expected jpeg or raw, received 'webp'"),
        ({"quality": 0}, "quality: expected from 1 to 100"),
    ],
)
def test_other_settings_do_not_go_into_the_same_folder(spec, out, settings, said):
    with pytest.raises(SourceError, match=said):
        prepare(open_source(spec), out, **{"size": 32, "images_per_shard": 4, **settings})


def test_another_set_or_a_used_folder_is_refused(spec, out, tmp_path):
    with pytest.raises(SourceError, match="source_fingerprint"):
        prepare(open_source("digits"), out, size=32, images_per_shard=4)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("mine")
    with pytest.raises(SourceError, match="holds other files"):
        prepare(open_source(spec), tmp_path / "used")
    assert os.listdir(tmp_path / "used") == ["letter.txt"]


@pytest.mark.parametrize(
    ("spec_", "said"), [("prepared:", "received none"), ("prepared:nowhere", "is no directory")]
)
def test_what_is_no_prepared_folder_is_told(spec_, said):
    with pytest.raises(SourceError, match=said):
        open_source(spec_)


def test_records_are_jpeg_files_of_the_quality_asked_for(out):
    source = open_source(f"prepared:{out}", memory_limit_bytes=0)
    picture = Image.open(io.BytesIO(source.blob(0)))
    assert picture.format == "JPEG"
    assert picture.quantization[0][0] == 2  # luma DC step of the JPEG standard's table at 95
