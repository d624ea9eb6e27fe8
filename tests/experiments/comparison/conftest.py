"""Stores of the room: one for a file, in which a test has an experiment of its own."""

from __future__ import annotations

import pytest
from fake_store import FakeStore


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """Making the tables takes seconds: one database for the module, one experiment a test."""
    return FakeStore(tmp_path_factory.mktemp("store"))


@pytest.fixture
def store(empty_store, request):
    empty_store.name = request.node.name.replace("[", "-").strip("]")
    empty_store.experiment(empty_store.name)
    return empty_store
