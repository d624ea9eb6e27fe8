"""What searches of this room find in the folder of the test."""

from __future__ import annotations

import pytest
from small_search import quiet_folder


@pytest.fixture
def own_store(own_folder):
    """A store without runs, and no pictures."""
    with quiet_folder(own_folder):
        yield
