"""What a network said of held-out images at the ends of some of its epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.evaluation import Evaluation, evaluate
from experiments.predictions import PROBABILITIES, checkpoint_column

if TYPE_CHECKING:
    from experiments.trainer import Trainer

Said = tuple[str, np.ndarray, Evaluation]


class Checkpoints:
    """Asks the network at the epochs asked for, and keeps the answers in columns of their own.

    Args:
        trainer: holds the network.
        parts: dataset of each held-out part, by its name in the predictions.
        epochs: counted from 1.
    """

    def __init__(self, trainer: Trainer, parts: dict[str, Any], epochs: Sequence[int]):
        self.trainer, self.parts, self.epochs = trainer, parts, frozenset(epochs)
        self.columns: dict[str, dict[str, np.ndarray]] = {part: {} for part in parts}

    def keep(self, epoch: int) -> None:
        """Ask now, if this epoch is one of them."""
        if epoch not in self.epochs:
            return
        for part, dataset in self.parts.items():
            found = evaluate(self.trainer, dataset, part)
            self.columns[part][checkpoint_column(epoch)] = found.columns[PROBABILITIES]

    def beside(self, said: Sequence[Said]) -> list[Said]:
        """The last answers by part, with the earlier ones beside them."""
        return [
            (part, indices, replace(last, columns=last.columns | self.columns.get(part, {})))
            for part, indices, last in said
        ]
