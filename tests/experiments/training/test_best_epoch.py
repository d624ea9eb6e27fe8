"""Which epoch is kept as the best one, by what early stopping watches."""

import pytest

from experiments.config import settings
from experiments.training.history import BestEpoch, History

EPOCHS = [
    {"val_loss": 0.9, "val_top1": 0.5, "val_balanced_top1": 0.3, "val_macro_f1": 0.2},
    {"val_loss": 0.8, "val_top1": 0.9, "val_balanced_top1": 0.4, "val_macro_f1": 0.3},
    {"val_loss": 0.7, "val_top1": 0.8, "val_balanced_top1": 0.7, "val_macro_f1": 0.4},
    {"val_loss": 0.6, "val_top1": 0.7, "val_balanced_top1": 0.6, "val_macro_f1": 0.8},
    {"val_loss": 0.5, "val_top1": 0.6, "val_balanced_top1": 0.5, "val_macro_f1": 0.7},
]


class Untrained:
    stop_training = False

    def get_weights(self):
        return []


@pytest.mark.parametrize(
    ("monitor", "best"),
    [("val_top1", 2), ("val_balanced_top1", 3), ("val_macro_f1", 4), ("val_loss", 5)],
)
def test_the_best_epoch_is_that_of_the_score_that_is_watched(monitor, best):
    config = settings.parse({"train": {"early_stopping": {"monitor": monitor, "patience": 9}}})
    history = History()
    keeper = BestEpoch(config, history)
    for epoch, values in enumerate(EPOCHS, start=1):
        keeper.update(epoch, values, Untrained())
    assert history.best_epoch == best
