"""Hyperparameter search: candidates, folds, the drive over workers, its report.

The room can be called, for notebooks: `experiments.search(config)`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.config.given import Given


class Room(ModuleType):
    """A function cannot have this name: importing a file of the room would put the room there."""

    def __call__(
        self,
        config: Given,
        changes: Mapping[str, Any] | None = None,
        *,
        nested: bool = False,
        fresh: bool = False,
    ) -> dict[str, Any]:
        """Search, as `ilsvrc search`, and return that command's JSON; call it again to continue.

        Args:
            config, changes: as `experiments.run`.
            nested: as `ilsvrc nested`.
            fresh: start apart from an earlier search of this name.

        Raises:
            BadInput: the search cannot be, or another one has its name.
            KeyboardInterrupt: it was stopped; the same call continues.
        """
        from experiments.runtime.interactive import interactive

        with interactive():
            from experiments.config.given import config_of, name_of
            from experiments.search import run

            return run.run(
                "nested" if nested else "search",
                config_of(config, changes),
                name_of(config),
                fresh=fresh,
            )


sys.modules[__name__].__class__ = Room
