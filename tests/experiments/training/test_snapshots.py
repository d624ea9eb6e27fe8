"""Snapshots on disk: whole or not at all, the newest that is whole, and a full disk."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from experiments.errors import FailedWork
from experiments.training import snapshots
from experiments.training.snapshots import Snapshot, Snapshots

ABOUT = {"config": "abc", "keras": "3.15.1", "parts": ["x", None]}


def made(number):
    arrays = {"model/0": np.full((3, 4), number, np.float32), "model/1": np.array(7, np.int64)}
    return Snapshot(arrays, {"loop": {"step": number, "best": float("-inf"), "rate": 0.1 + 0.2}})


def store(tmp_path, keep=2, **other):
    return Snapshots(tmp_path, ABOUT | other, keep)


def newest(tmp_path, **other):
    said = []
    found = store(tmp_path, **other).newest(said.append)
    return found, said


def files(tmp_path):
    return sorted((tmp_path / snapshots.FOLDER).iterdir())


def test_the_newest_are_kept_and_come_back_as_they_were(tmp_path):
    own = store(tmp_path)
    paths = [own.write(made(number)) for number in range(4)]
    assert files(tmp_path) == paths[-2:]
    found, said = newest(tmp_path)
    assert said == []
    assert found.state == made(3).state
    for name, array in made(3).arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    assert newest(tmp_path / "none") == (None, [])
    snapshots.clear(tmp_path)
    assert newest(tmp_path) == (None, [])


def test_a_later_start_counts_on(tmp_path):
    first = store(tmp_path).write(made(1))
    later = store(tmp_path)
    assert later.newest(print)
    second = later.write(made(2))
    assert files(tmp_path) == [first, second]
    later.write(made(3))
    assert newest(tmp_path)[0].state["loop"]["step"] == 3
    assert first not in files(tmp_path)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def exceed(path):
    """What no archive of its own would notice."""
    path.write_bytes(path.read_bytes() + bytes(20))


@pytest.mark.parametrize("damage", [flip, cut, empty, exceed])
def test_a_damaged_one_is_found_out_and_the_one_before_is_used(tmp_path, damage):
    own = store(tmp_path)
    paths = [own.write(made(number)) for number in (1, 2)]
    damage(paths[1])
    found, said = newest(tmp_path)
    assert found.state["loop"]["step"] == 1
    [line] = said
    assert paths[1].name in line
    assert "damaged" in line
    damage(paths[0])
    found, said = newest(tmp_path)
    assert found is None
    assert len(said) == 2


def test_what_a_killed_writer_left_is_never_read_and_goes(tmp_path):
    store(tmp_path).write(made(1))
    torn = tmp_path / snapshots.FOLDER / "123.writing"
    torn.write_bytes(b"half")
    assert newest(tmp_path)[0].state["loop"]["step"] == 1
    assert not torn.exists()


def test_one_of_other_settings_or_versions_is_not_used_and_that_is_said(tmp_path):
    path = store(tmp_path).write(made(1))
    found, [line] = newest(tmp_path, keras="3.16.0")
    assert found is None
    assert line.endswith("taken with keras 3.15.1 (now 3.16.0)")
    assert path.exists()  # whoever goes back to the older version goes on from it
    other = store(tmp_path, keras="3.16.0")
    other.newest(print)
    newer = other.write(made(5))
    assert files(tmp_path) == [newer]


def test_a_full_disk_is_one_line_and_leaves_the_last_snapshot_whole(tmp_path, monkeypatch):
    own = store(tmp_path)
    path = own.write(made(1))
    write = snapshots._Checked.write
    room = [600]

    def as_long_as_there_is_room(file, data):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data)

    monkeypatch.setattr(snapshots._Checked, "write", as_long_as_there_is_room)
    with pytest.raises(FailedWork, match="No space left on device") as caught:
        own.write(made(2))
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    assert "train.checkpoint.every_seconds=0" in text
    assert files(tmp_path) == [path]
    assert newest(tmp_path)[0].state["loop"]["step"] == 1


def test_a_name_is_there_only_after_its_content_is_on_the_disk(tmp_path, monkeypatch):
    """The order that a power cut must find: content synced, renamed, folder synced."""
    done = []
    folder = tmp_path / snapshots.FOLDER
    sync, replace = os.fsync, os.replace

    def note_and_sync(number):
        known = {path.stat().st_ino: path for path in (folder, *folder.iterdir())}
        done.append(known[os.fstat(number).st_ino])
        sync(number)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    store(tmp_path).write(made(1))
    content, renamed, last = done
    assert content.suffix == ".writing"
    assert renamed == "rename"
    assert last == folder
