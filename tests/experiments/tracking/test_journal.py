"""The journal: synced lines that survive a torn end."""

from __future__ import annotations

import os

import numpy as np
import pytest

from experiments.errors import BadInput
from experiments.jobs.job import Outcome
from experiments.tracking.journal import Journal


def finished(**scores):
    return Outcome(("cell", 0), "finished", scores=scores, history=[{"train_loss": 1.0}])


def test_an_outcome_comes_back_as_it_went_in(tmp_path):
    journal = Journal(tmp_path / "a").open()
    outcome = finished(val_top1=np.float32(0.5))
    journal.ended(outcome, "print", "run", "store")
    assert Journal(tmp_path / "a").outcome("print") == outcome


def test_other_data_is_another_result(tmp_path):
    journal = Journal(tmp_path).open()
    journal.ended(finished(), "print", "run", "store")
    assert journal.outcome("other print") is None


def test_failed_and_killed_are_not_done_and_the_last_word_counts(tmp_path):
    journal = Journal(tmp_path).open()
    assert journal.outcome("print") is None
    journal.ended(Outcome((), "failed", error="NaN"), "print", "run", "store")
    assert journal.outcome("print") is None
    journal.ended(finished(), "print", "run", "store")
    assert journal.outcome("print") is not None
    journal.ended(Outcome((), "killed"), "print", "run", "store")
    assert journal.outcome("print") is None


def test_only_the_newest_outcome_counts_as_sent_and_to_its_own_store(tmp_path):
    journal = Journal(tmp_path).open()
    assert journal.tracked("here") == ""
    journal.ended(finished(), "print", "", "here")
    assert journal.tracked("here") == ""
    journal.append("sent", id="1", run_id="first", store="here")
    assert journal.tracked("here") == "first"
    assert journal.tracked("there") == ""
    journal.append("started", run_id="")
    assert journal.tracked("here") == "first", "the new start may yet be interrupted"
    journal.ended(finished(), "print", "", "here")
    assert journal.tracked("here") == "", "the new outcome would never be sent"
    journal.append("sent", id="2", run_id="second", store="here")
    journal.append("sent", id="2", run_id="other", store="there")
    assert journal.tracked("here") == "second"


def test_a_torn_line_is_passed_over_and_does_not_swallow_the_next(tmp_path):
    journal = Journal(tmp_path).open()
    journal.ended(finished(val_top1=0.25), "print", "run", "store")
    with journal.file.open("ab") as file:
        file.write(b'{"event": "ended", "outco')
    journal = Journal(tmp_path).open()
    assert journal.outcome("print").scores == {"val_top1": 0.25}
    journal.append("started", run_id="b")
    assert journal.last("started")["run_id"] == "b"
    assert [event["event"] for event in journal.events()] == ["ended", "started"]


def test_each_event_is_synced(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd)))
    journal = Journal(tmp_path).open()
    journal.append("started")
    journal.append("planned")
    assert len(synced) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"file.*cannot be written"):
        Journal(tmp_path / "file" / "x").open()
