"""What is taken of KerasTuner's private names is there, in this version and in those listed."""

from __future__ import annotations

import re

import keras_tuner
import pytest
from keras_tuner.src.engine import oracle as module

from tuning.oracles import unsaved_oracle
from tuning.oracles.keras_oracles import Bayesian
from tuning.space import Float, Space

SPACE = Space((Float("rate", 0, 1),))


def test_the_installed_version_is_one_that_was_looked_at() -> None:
    assert keras_tuner.__version__ in unsaved_oracle.VERSIONS, (
        f"keras-tuner {keras_tuner.__version__} is new: see that the private names of "
        "tuning/oracles/unsaved_oracle.py still do there what they did, then add it to VERSIONS"
    )
    Bayesian(SPACE, 1, 3)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *((module, name) for name in unsaved_oracle.OF_MODULE),
        *((keras_tuner.Oracle, name) for name in unsaved_oracle.OF_ORACLE[:-1]),
        *((keras_tuner.oracles.BayesianOptimizationOracle, n) for n in unsaved_oracle.OF_BAYESIAN),
    ],
)
def test_a_version_that_lacks_a_name_is_refused_by_it(owner, name, monkeypatch) -> None:
    monkeypatch.delattr(owner, name)
    said = f"keras-tuner {re.escape(keras_tuner.__version__)} has no {name}, .* install one of"
    with pytest.raises(RuntimeError, match=said):
        Bayesian(SPACE, 1, 3)


def test_an_attribute_that_is_never_set_is_refused_too(monkeypatch) -> None:
    [*_, attribute] = unsaved_oracle.OF_ORACLE
    monkeypatch.setattr(unsaved_oracle, "OF_ORACLE", (f"{attribute}_renamed",))
    with pytest.raises(RuntimeError, match=f"has no {attribute}_renamed"):
        Bayesian(SPACE, 1, 3)
