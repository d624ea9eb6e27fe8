"""Files that change after they were checked are found out and named, in every kind of source."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import SourceError
from pipelines.sources.base import Source
from pipelines.sources.open import open_source
from pipelines.sources.prepare import prepare

CLASSES = ("n00000001", "n00000002")


def picture(seed: int, side: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def class_folders(root: Path, grows: int = 1) -> Path:
    """Three images in each of two classes; with `grows` 0 of one size."""
    for c, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(3):
            (root / name / f"{c}{i}.png").write_bytes(picture(10 * c + i, 8 + grows * i))
    return root


def folder(root: Path) -> tuple[Source, Path]:
    return open_source(f"folder:{class_folders(root)}"), root / CLASSES[1] / "11.png"


def in_memory(root: Path) -> tuple[Source, Path]:
    return open_source(f"folder:{class_folders(root, grows=0)}"), root / CLASSES[1] / "11.png"


def tars(root: Path) -> tuple[Source, Path]:
    images = class_folders(root / "images")
    whole = root / "ILSVRC2012_img_train.tar"
    with tarfile.open(whole, "w", format=tarfile.USTAR_FORMAT) as outer:
        for name in CLASSES:
            inner = root / f"{name}.tar"
            with tarfile.open(inner, "w", format=tarfile.USTAR_FORMAT) as archive:
                for path in sorted((images / name).iterdir()):
                    path = path.rename(path.with_suffix(".jpeg"))
                    archive.add(path, path.name)
            outer.add(inner, inner.name)
    shutil.copytree(images, root / "val")
    return open_source(f"ilsvrc:{root}"), whole


def shards(root: Path, **options: int) -> tuple[Source, Path]:
    out = root / "out"
    prepare(open_source(f"folder:{class_folders(root / 'images')}"), out, images_per_shard=4)
    return open_source(f"prepared:{out}", **options), out / "shard-00001-of-00002.array_record"


def shards_on_disk(root: Path) -> tuple[Source, Path]:
    return shards(root, memory_limit_bytes=0)


KINDS = (folder, in_memory, tars, shards, shards_on_disk)


def rewrite(path: Path) -> None:
    os.utime(path, ns=(0, 1))


def forge(path: Path) -> None:
    """One other byte, with the size and the time of before."""
    times = path.stat()
    contents = bytearray(path.read_bytes())
    inside = {".array_record": -300, ".tar": 1024 + 60}  # behind two headers of a tar
    contents[inside.get(path.suffix, 60)] ^= 255
    path.write_bytes(contents)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


CHANGES = {
    "was removed": Path.unlink,
    "was written again (1970-01-01": rewrite,
    "changed its contents": forge,
    "": shorten,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("why", CHANGES)
def test_a_change_is_named(tmp_path: Path, kind: Callable[[Path], tuple], why: str) -> None:
    source, path = kind(tmp_path / "set")
    source.check_unchanged()
    CHANGES[why](path)
    with pytest.raises(SourceError, match=rf"{path.name} .*{re.escape(why)}.*since it was checked"):
        source.check_unchanged()


@pytest.mark.parametrize("kind", KINDS)
def test_other_rights_and_another_name_are_no_change(
    tmp_path: Path, kind: Callable[[Path], tuple], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, path = kind(tmp_path / "set")
    path.chmod(0o600)
    os.link(path, tmp_path / "backup")
    source.check_unchanged()
    # its contents are not asked for again
    monkeypatch.setattr("pipelines.sources.file_source.read_range", None)
    monkeypatch.setattr("pipelines.files.shards.file_digest", None)
    source.check_unchanged()


def test_two_files_exchanged_by_renaming_are_found(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set", grows=0)
    first, second = root / CLASSES[0] / "00.png", root / CLASSES[1] / "10.png"
    for path in (first, second):
        os.utime(path, ns=(0, 0))  # as unpacked from one archive
    source = open_source(f"folder:{root}")
    first.rename(root / "between")
    second.rename(first)
    (root / "between").rename(second)
    with pytest.raises(SourceError, match=r"n00000001/00\.png changed"):
        source.check_unchanged()


def test_images_that_change_before_they_are_held_in_memory_are_refused(tmp_path: Path) -> None:
    source, path = in_memory(tmp_path / "set")
    path.write_bytes(picture(99, 8))
    with pytest.raises(SourceError, match=r"11\.png"):
        assert source.array is not None


def test_many_files_are_looked_at_by_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.files.unchanged.AT_A_TIME", 2)
    source, path = folder(tmp_path / "set")
    source.check_unchanged()
    path.unlink()
    with pytest.raises(SourceError, match=r"n00000002/11\.png was removed"):
        source.check_unchanged()


def test_an_opening_names_what_an_earlier_one_had_otherwise(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "set")
    time.sleep(0.2)  # what was written just now is not believed the next time
    assert open_source(f"folder:{root}").changed == ()
    (root / CLASSES[1] / "11.png").write_bytes(picture(99, 8))
    (root / CLASSES[0] / "02.png").unlink()
    (root / CLASSES[0] / "01.png").touch()
    time.sleep(0.2)
    names = (f"{CLASSES[1]}/11.png", f"{CLASSES[0]}/02.png")
    assert open_source(f"folder:{root}").changed == names
    assert open_source(f"folder:{root}").changed == ()
