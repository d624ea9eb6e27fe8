"""KerasTuner's oracles without files, locks or limits: all of its private names are used here.

Nothing public keeps an oracle off the disk, lets it be forgotten, or makes it propose nothing
twice. So methods that it calls on itself are replaced, and what its module remembers is dropped. A
version that lacks one of the names is refused rather than left to write where nobody looks.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from typing import Any, ClassVar

from tuning.oracles.hyperparameters import to_keras_tuner
from tuning.space import Space

VERSIONS = ("1.4.7", "1.4.8")  # of keras-tuner, which have every one of the names below

OF_MODULE = ("LOCKS", "THREADS")  # keras_tuner.src.engine.oracle: by oracle, for ever

OF_ORACLE = ("_save_trial", "_check_consecutive_failures", "_duplicate", "_max_collisions")

OF_BAYESIAN = ("_random_populate_space",)

TRIES = 10_000  # draws in a row that were all tried before, until a space counts as exhausted


def build(name: str, space: Space, seed: int, options: dict[str, Any]) -> Any:
    """The oracle class of that name, silent and without a limit of its own.

    Raises:
        RuntimeError: this version of KerasTuner lacks a private name that is used here.
    """
    import keras_tuner

    theirs = getattr(keras_tuner.oracles, name)
    oracle = type(name, (_Unsaved, theirs), {})(
        objective=keras_tuner.Objective("score", "max"),
        hyperparameters=to_keras_tuner(space),
        seed=int.from_bytes(hashlib.sha256(f"oracle {seed}".encode()).digest()[:4]) % (2**31) or 1,
        max_consecutive_failed_trials=math.inf,
        **({"max_trials": None} if name != "HyperbandOracle" else {}),
        **options,
    )
    _check_names(oracle, theirs)
    oracle.verbose = 0
    oracle._max_collisions = TRIES
    return oracle


def call(oracle: Any, method: str, *arguments: Any) -> Any:
    """The method's result; KerasTuner keeps neither the oracle nor its thread, and warns of
    nothing."""
    from keras_tuner.src.engine import oracle as module

    try:
        with warnings.catch_warnings():
            # threading.currentThread, and a Gaussian process on few points, which it says
            warnings.simplefilter("ignore")
            return getattr(oracle, method)(*arguments)
    finally:  # the module would keep the oracle for ever
        module.LOCKS.pop(oracle, None)
        module.THREADS.pop(oracle, None)


class _Unsaved:
    """KerasTuner's oracle, less what it writes, and never proposing twice."""

    def save(self) -> None:
        """There is no oracle.json."""

    def _save_trial(self, trial: Any) -> None:
        """There is no folder a trial."""

    def _check_consecutive_failures(self) -> None:
        """There is no limit; KerasTuner goes through all trials whenever one ends."""

    start: ClassVar[list[dict[str, Any]]] = []
    """Values of the first trials."""
    draws_next = False
    """Is the next one drawn at random, whatever is known?"""

    def populate_space(self, trial_id: str) -> Any:
        if self.start:
            return {"status": "RUNNING", "values": self.start.pop(0)}
        draws, self.draws_next = self.draws_next, False
        if draws and hasattr(self, "_random_populate_space"):  # Bayesian only
            return self._random_populate_space()
        response = super().populate_space(trial_id)  # type: ignore[misc]  # of the class beside it
        values = response.get("values")
        if values and "tuner/epochs" not in values and self._duplicate(values):  # type: ignore[attr-defined]  # same
            return self._random_populate_space()  # type: ignore[attr-defined]  # Bayesian only
        return response


def _check_names(oracle: Any, theirs: type) -> None:
    """Refuse a KerasTuner without the private names of this file."""
    import keras_tuner
    from keras_tuner.src.engine import oracle as module

    names = OF_ORACLE + (OF_BAYESIAN if theirs.__name__.startswith("Bayesian") else ())
    missing = [name for name in names if not hasattr(theirs, name) and name not in vars(oracle)]
    missing += [name for name in OF_MODULE if not hasattr(module, name)]
    if missing:
        raise RuntimeError(
            f"keras-tuner {keras_tuner.__version__} has no {', '.join(missing)}, which "
            f"{__name__} takes; install one of {', '.join(VERSIONS)}"
        )
