"""What searches of this room find in the folder of the test."""

from __future__ import annotations

import pytest
from small_search import quieten


@pytest.fixture
def own_store(own_folder, monkeypatch):
    """By the test's own patches, so that what it patches after them is undone before them."""
    quieten(own_folder, monkeypatch)
