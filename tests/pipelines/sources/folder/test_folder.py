from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


def photo(seed: int, size: tuple[int, int] = (20, 24)) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3)).astype(np.float32)
    smooth = np.clip(tf.image.resize(small, size, "bicubic").numpy(), 0, 255)
    return smooth.astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encode = tf.io.encode_png if path.suffix.lower() == ".png" else tf.io.encode_jpeg
    path.write_bytes(encode(pixels).numpy())


def make(root: Path, classes: tuple[str, ...] = ("cat", "ant"), each: int = 3) -> Path:
    for c, name in enumerate(classes):
        for i in range(each):
            write(root / name / f"{i}.jpg", photo(10 * c + i))
    return root


def test_names_labels_and_pixels(tmp_path: Path) -> None:
    make(tmp_path)
    write(tmp_path / "cat" / "z.PNG", photo(90))
    write(tmp_path / "ant" / "z.JPEG", photo(91))
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "cat" / ".hidden.jpg").write_bytes(b"x")
    (tmp_path / "cat" / "notes.txt").write_text("x")
    source = open_source(f"folder:{tmp_path}/")
    assert source.spec == f"folder:{tmp_path}"
    assert source.class_names == ["ant", "cat"]
    assert source.labels.tolist() == [0] * 4 + [1] * 4
    assert source.official_splits is None
    assert source.corrupt == []
    assert source.image_shape == (20, 24, 3)
    assert source.default_size == (20, 24)
    assert source.array is not None
    assert np.array_equal(source.array[7], photo(90))  # PNG is exact
    contents = (tmp_path / "ant" / "1.jpg").read_bytes()
    accurate = tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")
    assert np.array_equal(source.array[1], accurate)


def test_one_channel(tmp_path: Path) -> None:
    source = open_source(f"folder:{make(tmp_path)}", channels=1)
    assert source.image_shape == (20, 24, 1)
    assert source.fingerprint != open_source(f"folder:{tmp_path}").fingerprint


def test_different_sizes_are_read_on_access(tmp_path: Path) -> None:
    from pipelines.files.decode import cut_of

    make(tmp_path)
    write(tmp_path / "cat" / "big.png", photo(50, (40, 30)))
    write(tmp_path / "cat" / "big.jpg", photo(51, (64, 48)))
    source = open_source(f"folder:{tmp_path}")
    assert source.array is None
    assert source.image_shape == (None, None, 3)
    assert source.default_size is None
    sizes = [example["image"].shape[:2] for example in source.dataset(range(len(source)))]
    assert sorted({tuple(size) for size in sizes}) == [(20, 24), (40, 30), (64, 48)]

    def window(shape: tf.Tensor) -> tf.Tensor:
        return tf.stack([3, 5, shape[0] - 10, shape[1] // 2])

    for i in range(len(source)):
        whole = source.images(tf.constant(i)).numpy()
        height, width, _ = whole.shape
        part = source.images(tf.constant(i), window).numpy()
        assert np.array_equal(part, whole[3 : height - 7, 5 : 5 + width // 2])
        # The same, cut by the shape that the index knows.
        shape = tf.constant(source.shapes[i], tf.int32)
        cut = cut_of(window(shape), shape, 3)
        assert np.array_equal(source.part(tf.constant(i), cut), part)


def fixed(*window: int) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda shape: tf.constant(window, shape.dtype)


def test_every_window_of_a_jpeg_equals_the_whole_decode() -> None:
    from pipelines.files.decode import decode, decode_window

    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    contents = tf.io.encode_jpeg(noise, chroma_downsampling=True)
    whole = decode(contents, 3).numpy()
    rng = np.random.default_rng(1)
    for _ in range(60):
        h, w = rng.integers(1, 71), rng.integers(1, 91)
        y, x = rng.integers(0, 71 - h), rng.integers(0, 91 - w)
        part = decode_window(contents, 3, fixed(int(y), int(x), int(h), int(w))).numpy()
        assert np.array_equal(part, whole[y : y + h, x : x + w])


def test_memory_limit_changes_the_storage_and_nothing_else(tmp_path: Path) -> None:
    held = open_source(f"folder:{make(tmp_path)}")
    read = open_source(f"folder:{tmp_path}", memory_limit_bytes=1000)
    assert held.array is not None
    assert read.array is None
    assert held.fingerprint == read.fingerprint
    assert held.image_shape == read.image_shape
    for a, b in zip(held.dataset([4, 0]), read.dataset([4, 0]), strict=True):
        assert np.array_equal(a["image"], b["image"])


def test_fingerprint_is_of_the_contents(tmp_path: Path) -> None:
    base = open_source(f"folder:{make(tmp_path / 'a')}").fingerprint
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert open_source(f"folder:{tmp_path / 'b'}").fingerprint == base
    write(tmp_path / "b" / "cat" / "0.jpg", photo(77))
    changed = open_source(f"folder:{tmp_path / 'b'}").fingerprint
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    (tmp_path / "c" / "cat").rename(tmp_path / "c" / "cow")
    renamed = open_source(f"folder:{tmp_path / 'c'}").fingerprint
    (tmp_path / "a" / "cat" / "0.jpg").unlink()
    removed = open_source(f"folder:{tmp_path / 'a'}").fingerprint
    assert len({base, changed, renamed, removed}) == 4


def spoil(root: Path) -> None:
    """Three bad files of three kinds among 600: more than one batch of the check."""
    for c, name in enumerate(("ant", "cat")):
        contents = tf.io.encode_jpeg(photo(c)).numpy()
        (root / name).mkdir(parents=True)
        for i in range(300):
            (root / name / f"{i:03}.jpg").write_bytes(contents)
    whole = (root / "ant" / "010.jpg").read_bytes()
    (root / "ant" / "010.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (root / "ant" / "200.jpg").write_bytes(b"")
    (root / "cat" / "299.jpg").write_text("not an image")


def test_corrupt_files_are_an_error(tmp_path: Path) -> None:
    spoil(tmp_path)
    with pytest.raises(SourceError) as caught:
        open_source(f"folder:{tmp_path}")
    text = str(caught.value)
    assert "ant/010.jpg is a truncated or damaged JPEG file (and 2 more)" in text
    assert "data.on_corrupt: skip" in text
    assert "\n" not in text


@pytest.mark.parametrize("limit", [2**30, 10])
def test_corrupt_files_are_left_out_and_counted(tmp_path: Path, limit: int) -> None:
    spoil(tmp_path)
    source = open_source(f"folder:{tmp_path}", on_corrupt="skip", memory_limit_bytes=limit)
    assert source.corrupt == [
        ("ant/010.jpg", "is a truncated or damaged JPEG file"),
        ("ant/200.jpg", "is empty"),
        ("cat/299.jpg", "is not a JPEG, PNG, BMP, GIF, WebP or TIFF image"),
    ]
    assert np.bincount(source.labels).tolist() == [298, 299]
    assert len(source) == 597
    good = {
        label: tf.io.decode_jpeg(
            (tmp_path / name / "000.jpg").read_bytes(), dct_method="INTEGER_ACCURATE"
        )
        for label, name in enumerate(source.class_names)
    }
    for example in source.dataset([0, 297, 298, 596]):
        assert np.array_equal(example["image"], good[int(example["label"])])


def test_too_many_corrupt_files(tmp_path: Path) -> None:
    spoil(tmp_path)
    with pytest.raises(SourceError, match=r"3 of 600 files.*0\.0050.*allows 0\.004"):
        open_source(f"folder:{tmp_path}", on_corrupt="skip", max_corrupt_fraction=0.004)


def test_a_class_without_one_good_file(tmp_path: Path) -> None:
    make(tmp_path, each=1)
    (tmp_path / "cat" / "0.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match=r"class 'cat'.*none of its files"):
        open_source(f"folder:{tmp_path}", on_corrupt="skip", max_corrupt_fraction=0.9)


def examined(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from now on."""
    import pipelines.files.verify

    names: list[str] = []
    ends = pipelines.files.verify.look

    def look(path: str, *rest: int) -> pipelines.files.verify.Examined:
        names.append(Path(path).name)
        return ends(path, *rest)

    monkeypatch.setattr(pipelines.files.verify, "look", look)
    # Files of a moment ago are trusted here: the tests change other files than they keep.
    monkeypatch.setattr(pipelines.files.verify, "SETTLED_NS", 0)
    return names


def test_what_was_checked_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = examined(monkeypatch)
    root = make(tmp_path / "set")
    first = open_source(f"folder:{root}")
    assert sorted(names) == ["0.jpg", "0.jpg", "1.jpg", "1.jpg", "2.jpg", "2.jpg"]
    names.clear()
    again = open_source(f"folder:{root}")
    grey = open_source(f"folder:{root}", channels=1)
    assert names == []
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.array, first.array)  # type: ignore[arg-type]  # held in memory
    assert grey.image_shape == (20, 24, 1)
    write(root / "cat" / "new.jpg", photo(60, (8, 9)))
    (root / "ant" / "0.jpg").unlink()
    (root / "ant" / "1.jpg").write_bytes((root / "ant" / "1.jpg").read_bytes()[:100])
    with pytest.raises(SourceError, match=r"ant/1\.jpg is a truncated"):
        open_source(f"folder:{root}")
    assert sorted(names) == ["1.jpg", "new.jpg"]
    names.clear()
    write(root / "ant" / "1.jpg", photo(1))
    changed = open_source(f"folder:{root}")
    assert names == ["1.jpg"]
    assert changed.image_shape == (None, None, 3)
    assert [int(label) for label in changed.labels] == [0, 0, 1, 1, 1, 1]
    monkeypatch.setattr("pipelines.files.verify.load_index", lambda path: None)
    assert open_source(f"folder:{root}").fingerprint == changed.fingerprint
    assert len(names) == 7


def test_equal_size_and_time_do_not_hide_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    names = examined(monkeypatch)
    root = make(tmp_path / "set")
    first = open_source(f"folder:{root}")
    names.clear()
    path = root / "cat" / "1.jpg"
    before, contents = path.stat(), bytearray(path.read_bytes())
    contents[-30] ^= 1
    path.write_bytes(contents)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert open_source(f"folder:{root}").fingerprint != first.fingerprint
    assert names == ["1.jpg"]


def test_a_file_written_just_now_is_checked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = examined(monkeypatch)
    root = make(tmp_path / "set")
    monkeypatch.setattr("pipelines.files.verify.SETTLED_NS", 10**15)
    for _ in range(2):
        names.clear()
        open_source(f"folder:{root}")
        assert len(names) == 6


def test_a_cache_of_another_format_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.files import index_cache

    before = index_cache.cache_file("folder", "a")
    assert before != index_cache.cache_file("folder", "b")
    assert before != index_cache.cache_file("tars", "a")
    monkeypatch.setattr(index_cache, "FORMAT", index_cache.FORMAT + 1)
    assert before != index_cache.cache_file("folder", "a")


def test_a_damaged_or_forbidden_cache_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = examined(monkeypatch)
    root = make(tmp_path / "set")
    wanted = open_source(f"folder:{root}").fingerprint
    (cache,) = (tmp_path / ".ilsvrc" / ".cache").iterdir()  # nothing beside the images
    whole = cache.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"cat/1.jpg")] ^= 1
    for contents in (bytes(flipped), whole[: len(whole) // 2], b""):
        cache.write_bytes(contents)
        names.clear()
        assert open_source(f"folder:{root}").fingerprint == wanted
        assert len(names) == 6
    shutil.rmtree(tmp_path / ".ilsvrc")
    (tmp_path / ".ilsvrc").write_text("a file where the folder should be")
    assert open_source(f"folder:{root}").fingerprint == wanted


def test_a_stopped_check_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.files.verify

    names = examined(monkeypatch)
    root = make(tmp_path / "set", each=50)
    monkeypatch.setattr(pipelines.files.verify, "CHUNK", 5)
    monkeypatch.setattr(pipelines.files.verify, "workers", lambda: 1)
    look = pipelines.files.verify.look

    def stop(path: str, *rest: int) -> pipelines.files.verify.Examined:
        if path.endswith("cat/30.jpg"):
            raise KeyboardInterrupt
        return look(path, *rest)

    monkeypatch.setattr(pipelines.files.verify, "look", stop)
    with pytest.raises(KeyboardInterrupt):
        open_source(f"folder:{root}")
    monkeypatch.setattr(pipelines.files.verify, "look", look)
    names.clear()
    whole = open_source(f"folder:{root}")
    assert len(whole) == 100
    assert whole.changed == ()
    assert 0 < len(names) <= 100 - 70  # ants come first: 50 + 24 were handed over
    assert len(list((tmp_path / ".ilsvrc" / ".cache").iterdir())) == 1  # no parts are left


def test_files_are_looked_up_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    names = examined(monkeypatch)
    root = make(tmp_path / "set", each=20)
    open_source(f"folder:{root}")
    names.clear()
    looked: list[str] = []
    real = os.stat

    def counted(path: str, *args: object, **options: object) -> os.stat_result:
        looked.append(str(path))
        return real(path, *args, **options)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(os, "stat", counted)
    opened = open_source(f"folder:{root}")
    monkeypatch.undo()
    assert len(opened) == 40
    assert names == []
    # The listing brings the files' times with it: nothing but folders is looked up by name.
    assert not [path for path in looked if path.endswith(".jpg")]


def test_digests_tell_equal_files(tmp_path: Path) -> None:
    root = make(tmp_path)
    shutil.copy(root / "cat" / "0.jpg", root / "ant" / "copy.jpg")
    digests = open_source(f"folder:{root}").digests
    assert digests is not None
    assert digests.shape == (7, 16)
    assert len({row.tobytes() for row in digests}) == 6
    assert np.array_equal(digests[3], digests[4])  # ant/copy.jpg and cat/0.jpg


def test_a_file_that_changes_after_the_check_is_an_error(tmp_path: Path) -> None:
    root = make(tmp_path)
    source = open_source(f"folder:{root}")
    write(root / "cat" / "1.jpg", photo(60, (8, 9)))
    with pytest.raises(SourceError, match=r"cat/1\.jpg changed from .* since it was checked"):
        source.dataset([0])
