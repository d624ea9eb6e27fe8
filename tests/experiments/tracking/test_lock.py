"""The lock of a folder: one holder, none after its death."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest

from experiments.errors import BadInput
from experiments.tracking.lock import held, holder

HOLD = "import sys, time; from pathlib import Path; from experiments.tracking.lock import held\n" \
    "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"  # fmt: skip


def test_the_holder_is_named_and_the_next_may_have_it_afterwards(tmp_path):
    folder = tmp_path / "new"
    with held(folder):
        assert holder(folder)["pid"] == os.getpid()
        with pytest.raises(BadInput, match=rf"new: in use by process {os.getpid()} on .*; wait"):
            held(folder).__enter__()
    assert holder(folder) is None
    with held(folder):
        pass


def test_a_holder_that_was_killed_locks_nobody_out(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    assert holder(tmp_path)["pid"] == child.pid
    with pytest.raises(BadInput, match=f"process {child.pid}"), held(tmp_path):
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert json.loads((tmp_path / "lock").read_text())["pid"] == child.pid  # it is still named
    assert holder(tmp_path) is None
    with held(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()


def test_a_number_that_belongs_to_another_process_now_is_stale(tmp_path):
    with held(tmp_path):
        name = json.loads((tmp_path / "lock").read_text())
    (tmp_path / "lock").write_text(json.dumps(name | {"started": name["started"] - 1000}))
    assert holder(tmp_path) is None
    with held(tmp_path):
        pass


ELSEWHERE = json.dumps({"pid": 1, "host": "elsewhere", "started": 1.0})


def mounted(monkeypatch, folder, kind, options="rw"):
    mount = SimpleNamespace(mountpoint=str(folder), fstype=kind, opts=options)
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: [mount])


@pytest.mark.parametrize(
    ("kind", "options"),
    [("fuse.sshfs", "rw"), ("nfs4", "rw,local_lock=all"), ("lustre", "localflock"), ("9p", "rw")],
)
def test_a_holder_on_another_machine_is_believed_where_locks_do_not_reach(
    tmp_path, monkeypatch, kind, options
):
    mounted(monkeypatch, tmp_path, kind, options)
    (tmp_path / "lock").write_text(ELSEWHERE)
    words = "process 1 on elsewhere; this file system does not show .* if it runs no longer, delete"
    with pytest.raises(BadInput, match=words):
        held(tmp_path).__enter__()
    assert holder(tmp_path)["host"] == "elsewhere"


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "nfs4", "ceph", None])
def test_a_free_lock_of_another_host_name_is_stale_where_locks_reach(tmp_path, monkeypatch, kind):
    """As a pod that was started again finds it."""
    if kind:
        mounted(monkeypatch, tmp_path, kind)
    (tmp_path / "lock").write_text(ELSEWHERE)
    assert holder(tmp_path) is None
    with held(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["5", "null", "[]", "{}", '{"pid": "x"}', "\udcff", "{"])
def test_a_lock_file_that_names_nobody_is_nobodys(tmp_path, content):
    (tmp_path / "lock").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert holder(tmp_path) is None
    with held(tmp_path):
        assert holder(tmp_path)["pid"] == os.getpid()


def test_a_disk_without_room_is_one_line(tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(json, "dumps", Mock(side_effect=full))
    with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\); run from"):
        held(tmp_path).__enter__()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file.*cannot be written"):
        held(tmp_path / "file" / "x").__enter__()
