"""The lock of a folder: one holder, none after its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

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


def test_a_holder_on_another_machine_is_believed(tmp_path):
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "started": 1.0}))
    with pytest.raises(BadInput, match="process 1 on elsewhere; if it runs no longer, delete"):
        held(tmp_path).__enter__()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file.*cannot be written"):
        held(tmp_path / "file" / "x").__enter__()
