"""Search spaces: every candidate once, conditions, refusals, and KerasTuner's form of them."""

from __future__ import annotations

import itertools

import pytest

from tuning.oracles.hyperparameters import from_values, to_keras_tuner, to_values
from tuning.space import Boolean, Choice, Float, Int, Space, SpaceError, same

NESTED = Space(
    (
        Choice("optimizer", ("sgd", "adam")),
        Float("momentum", 0.5, 0.9, 0.2, when={"optimizer": "sgd"}),
        Boolean("nesterov", when={"optimizer": ["sgd"], "momentum": [0.7, 0.9]}),
        Int("size", 16, 64, 2, log=True),
    )
)


def test_the_grid_is_complete_and_the_last_key_runs_fastest() -> None:
    space = Space((Choice("a", (2, 1)), Boolean("b"), Int("c", 1, 5, 2)))

    cells = space.grid()

    assert [tuple(cell.values()) for cell in cells] == list(
        itertools.product((2, 1), (False, True), (1, 3, 5))
    )
    assert space.size() == len(cells) == 12
    assert all(list(cell) == ["a", "b", "c"] for cell in cells)


def test_conditional_keys_are_absent_and_leave_no_duplicates() -> None:
    cells = NESTED.grid()

    # sgd: momentum 0.5, or (0.7, 0.9) x nesterov: 1 + 4; adam: 1; each with 3 sizes
    assert NESTED.size() == len(cells) == (1 + 4 + 1) * 3
    assert len({str(cell) for cell in cells}) == len(cells)
    assert {"optimizer": "adam", "size": 32} in cells
    assert {"optimizer": "sgd", "momentum": 0.5, "size": 16} in cells
    assert {"optimizer": "sgd", "momentum": 0.7, "nesterov": True, "size": 64} in cells
    for cell in cells:
        NESTED.check(cell)


def test_a_condition_may_name_a_key_that_comes_later() -> None:
    space = Space((Int("depth", 1, 3, when={"deep": True}), Boolean("deep"), Choice("z", (1, 2))))

    cells = space.grid()

    assert space.size() == len(cells) == 8
    assert cells[0] == {"deep": False, "z": 1}
    assert next(list(cell) for cell in cells if cell["deep"]) == ["depth", "deep", "z"]
    positions = [(cell.get("depth", 1), cell["deep"], cell["z"]) for cell in cells]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (Float("x", 0, 1, 0.1), [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Float("x", 1e-4, 0.1, 10, log=True), [0.0001, 0.001, 0.01, 0.1]),
        (Float("x", 0, 1, 0.4), [0, 0.4, 0.8]),
        (Int("x", 2, 9, 3), [2, 5, 8]),
        (Int("x", 1, 1000, 10, log=True), [1, 10, 100, 1000]),
        (Int("x", 3, 5), [3, 4, 5]),
    ],
)
def test_steps_reach_the_upper_end_where_they_can(parameter, values) -> None:
    assert list(parameter.options) == values
    assert all(parameter.holds(value) for value in values)
    assert not parameter.holds(values[-1] + 1)


def test_a_continuous_parameter_has_no_grid_and_no_size() -> None:
    space = Space((Choice("a", (1, 2)), Float("rate", 1e-3, 1, log=True)))
    assert space.size() is None
    with pytest.raises(SpaceError, match=r"^rate: .* no step; give step \(a factor, such as"):
        space.grid()
    with pytest.raises(SpaceError, match=r"^width: .*no step"):
        Space((Int("width", 4, 64, log=True),)).grid()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Space(()), "no parameters"),
        (lambda: Choice("k", ()), "k: no values"),
        (lambda: Choice("k", (1, 1.0)), "k: names 1.0 twice"),
        (lambda: Int("k", 5, 5), "k: low must be below high"),
        (lambda: Int("k", 1, 2.5), "k: high of an int is a whole number. Received: 2.5"),
        (lambda: Float("k", True, 2), "k: low is a number"),
        (lambda: Float("k", 0, float("inf")), "k: high is a number"),
        (lambda: Float("k", 0, 1, log=True), "k: log needs low above 0"),
        (lambda: Float("k", 1, 9, 1, log=True), "k: with log the step multiplies"),
        (lambda: Float("k", 1, 9, 0), "k: step must be above 0"),
        (lambda: Space((Boolean("k"), Boolean("k"))), "k: is there twice"),
        (lambda: Space((Boolean("k", when={"z": 1}),)), "k: when names z, which is not in"),
        (lambda: Space((Boolean("k", when={"k": True}),)), "k: conditions go round in a circle"),
        (
            lambda: Space((Boolean("a", when={"b": True}), Boolean("b", when={"a": True}))),
            "a: conditions go round in a circle: a, b",
        ),
        (
            lambda: Space((Choice("a", ("x", "y")), Boolean("b", when={"a": "z"}))),
            'b: when a is "z" never happens; a is one of "x", "y"',
        ),
        (
            lambda: Space((Boolean("a"), Boolean("b", when={"a": 1}))),
            "b: when a is 1 never happens",
        ),
        (
            lambda: Space((Float("a", 0, 1), Boolean("b", when={"a": 0.5}))),
            "b: when names a, which is continuous",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line_that_names_the_key(make, said) -> None:
    with pytest.raises(SpaceError) as caught:
        make()
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "adam", "size": 16, "z": 1}, "z: not in the space"),
        ({"optimizer": "adam"}, "size: has no value; expected a whole number from 16 to 64"),
        ({"optimizer": "adam", "size": 17}, "size: expected a whole number .* Received: 17"),
        ({"optimizer": "adam", "momentum": 0.5, "size": 16}, "momentum: is there without its"),
        ({"optimizer": "sgd", "size": 16}, "momentum: has no value"),
    ],
)
def test_settings_outside_the_space_are_refused(settings, said) -> None:
    with pytest.raises(SpaceError, match=f"^{said}"):
        NESTED.check(settings)


def test_values_are_equal_as_yaml_has_them() -> None:
    assert same(1, 1.0)
    assert same([1, {"a": 2}], (1, {"a": 2}))
    assert not same(1, True)
    assert not same(0, False)
    assert not same("1", 1)
    assert not same(None, "null")


def test_keras_tuner_holds_every_candidate_and_gives_it_back() -> None:
    space = Space(
        (
            Choice("mixed", (None, 1, "one", [1, 2], {"a": 1}, True)),
            Choice("truth", (True, False)),  # KerasTuner's own Choice makes these 1 and 0
            Choice("lists", ([], ["conv*"]), when={"truth": True}),
            Float("steps", 0, 1, 0.5, when={"lists": [["conv*"]]}),
            Choice("names", ("a", "b")),
        )
    )

    hyperparameters = to_keras_tuner(space)

    for cell in space.grid():
        values = to_values(space, cell)
        back = from_values(space, values | {"tuner/epochs": 3})
        assert back == cell
        assert [type(value) for value in back.values()] == [type(v) for v in cell.values()]
        hyperparameters.values = values
        assert {key for key in space.by_key if hyperparameters.is_active(key)} == set(cell)
    assert hyperparameters.space[4].values == ["a", "b"]


def test_keras_tuner_draws_only_candidates() -> None:
    space = Space(
        (
            Int("units", 3, 17, log=True),
            Int("odd", 1, 9, 2),
            Float("rate", 1e-3, 0.5, log=True),
            Float("tenths", 0, 1, 0.1),
            Float("drop", 0.1, 0.3),
        )
    )
    seen: dict[str, set[float]] = {key: set() for key in space.by_key}
    for share in (0.0, 0.2, 0.45, 0.55, 0.7, 0.85, 1.0):  # 1.0 is where an optimiser ends up
        values = {hp.name: hp.prob_to_value(share) for hp in to_keras_tuner(space).space}
        settings = from_values(space, values)
        space.check(settings)
        for key, value in settings.items():
            seen[key].add(value)
    assert (min(seen["units"]), max(seen["units"])) == (3, 17)
    assert {0.0, 1.0} <= seen["tenths"]
    assert (min(seen["rate"]), max(seen["rate"])) == (0.001, 0.5)
