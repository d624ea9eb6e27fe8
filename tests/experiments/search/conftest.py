"""What searches of this room find in the folder of the test."""

from __future__ import annotations

import pytest
from blank_store import blank_store

from experiments.search.results.plots import pictures


@pytest.fixture
def own_store(own_folder, monkeypatch):
    """A store without runs, and no pictures, which take seconds."""
    monkeypatch.setattr(pictures, "write", lambda *_: [])
    blank_store(own_folder)
