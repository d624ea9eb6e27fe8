"""TensorFlow, imported at its first use, where a file must stay quick to import."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["tf"]

if TYPE_CHECKING:
    import tensorflow as tf
else:

    class TensorFlow:
        """The module `tensorflow`, as far as its attributes go."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module("tensorflow"), name)

    tf = TensorFlow()
