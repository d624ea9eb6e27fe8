"""Whose network a row of `ilsvrc bench train|infer` is: ours, or a plain alternative's."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import NamedTuple

from experiments.config import Config


class Side(NamedTuple):
    """Rows of one framework; each is measured in processes of its own."""

    name: str
    """As bench.backends and bench.peers have it."""
    backend: str
    """Of Keras, in its processes."""

    def missing(self) -> str | None:
        """Why it cannot be measured here."""
        if find_spec(self.backend):
            return None
        return f"{self.backend} is not installed; pip install -e '.[{self.backend}]'"

    def measures(self, precision: str) -> bool:
        return self.name != "pytorch_bfloat16" or precision == "bfloat16"


def chosen(config: Config) -> tuple[Side, ...]:
    """Ours on each backend asked for, then the peers; ours on KERAS_BACKEND's where none is."""
    own = os.environ.get("KERAS_BACKEND", "tensorflow")
    backends = tuple(dict.fromkeys(config.bench.backends)) or (own,)
    peers = tuple(dict.fromkeys(config.bench.peers))
    return (
        *(Side(name, name) for name in backends),
        *(Side(name, own if name == "keras" else "torch") for name in peers),
    )
