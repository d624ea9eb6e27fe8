"""A search that a former version began is met again by the fingerprint that its images had then."""

from __future__ import annotations

import pytest

from experiments.config import settings
from experiments.errors import BadInput
from experiments.tracking.search_journal import State, find, matters_of, what_matters
from pipelines.sources.array_source import ArraySource

CONFIG = settings.parse(
    {
        "name": "former",
        "search": {
            "strategy": "random",
            "trials": 2,
            "space": {"train.optimizer.learning_rate": {"type": "float", "low": 0.1, "high": 1}},
        },
    }
)


def images(former):
    shape = (2, 2, 3)
    source = ArraySource(dict, [0, 1], ["a", "b"], image_shape=shape, fingerprint="new")
    source.former_fingerprint = former
    return source


def test_a_search_goes_on_under_the_name_its_images_had(tmp_path):
    directory = find("former", "search", what_matters(CONFIG, "search", "old"), fresh=False)
    State(directory).begin(what_matters(CONFIG, "search", "old"), {})
    source = images("old")
    matters = matters_of(CONFIG, "search", source)
    assert find("former", "search", matters, fresh=False) == directory
    assert (source.fingerprint, source.former_fingerprint) == ("old", "new")
    with pytest.raises(BadInput, match=r'data\.fingerprint: "old" -> "new"'):
        find("former", "search", matters_of(CONFIG, "search", images("other")), fresh=False)


def test_a_new_search_takes_the_name_of_today(tmp_path):
    source = images("old")
    assert matters_of(CONFIG, "search", source) == what_matters(CONFIG, "search", "new")
    assert source.fingerprint == "new"
