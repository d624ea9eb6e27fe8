"""Every setting: typed sections, a file each, written in YAML, overridable as key.path=value."""

from experiments.config.augment import STEPS, Augment
from experiments.config.bench import OF_MODELS, Bench
from experiments.config.data import Data
from experiments.config.evaluate import AFTER_TRAINING, Ensemble, Evaluate
from experiments.config.launch import Launch
from experiments.config.schema import PROTOCOL, Config, Model, Sweep, Tracking, Until, Validation
from experiments.config.search import Search
from experiments.config.train import (
    SOFT_LOSSES,
    Averaging,
    Checkpoint,
    Clip,
    EarlyStopping,
    Loss,
    Optimizer,
    Schedule,
    Stage,
    StageModel,
    Train,
)

__all__ = [
    "AFTER_TRAINING",
    "OF_MODELS",
    "PROTOCOL",
    "SOFT_LOSSES",
    "STEPS",
    "Augment",
    "Averaging",
    "Bench",
    "Checkpoint",
    "Clip",
    "Config",
    "Data",
    "EarlyStopping",
    "Ensemble",
    "Evaluate",
    "Launch",
    "Loss",
    "Model",
    "Optimizer",
    "Schedule",
    "Search",
    "Stage",
    "StageModel",
    "Sweep",
    "Tracking",
    "Train",
    "Until",
    "Validation",
]
