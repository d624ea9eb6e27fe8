"""Names, cards, options and sizes: what a request for a network may say."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from typing import Any

import pytest
from outlines import counted, marked

import models
from models import cards
from models.errors import nearest
from models.published import PROTOCOL
from models.recount import counts, deviations, fits, main, smallest_side

CARD_FIELDS = {
    "name", "family", "module", "task", "title", "paper", "authors", "year", "venue",
    "input_shape", "classes", "smallest_input", "params", "params_total", "macs",
    "activation_bytes", "published", "recipe", "preprocessing", "auxiliary_loss_weights",
    "deviations",
}  # fmt: skip
RECIPE_KEYS = {
    "data", "augment", "train", "evaluate", "source", "assumed", "verified", "unverified_because",
    "prose",
}  # fmt: skip


def test_lists_the_networks_in_the_order_of_the_file() -> None:
    names = models.list_models()

    assert names == [entry["name"] for entry in cards.entries().values()]
    assert {"mlp", "lenet5", "alexnet", "nin_cifar", "plain20_cifar", "resnet20_cifar"} <= set(
        names
    )


def test_cards_need_neither_keras_nor_tensorflow() -> None:
    program = (
        "import sys, models\n"
        "print(models.card('alexnet').year, len(models.list_models()) > 5)\n"
        "print([m for m in ('keras', 'tensorflow', 'numpy') if m in sys.modules])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split("\n")[:2] == ["2012 True", "[]"]


def test_every_public_name_resolves() -> None:
    for name in models.__all__:
        assert getattr(models, name) is not None
        assert name in dir(models)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = models.nothing


@pytest.mark.parametrize("name", models.list_models())
def test_card_is_complete(name: str) -> None:
    card = models.card(name)

    assert {field.name for field in dataclasses.fields(card)} == CARD_FIELDS
    assert card.name == name
    assert card.task in ("classification", "reconstruction")
    assert len(card.input_shape) == 3
    assert len(card.smallest_input) == 2
    assert card.paper is None or "arXiv" not in card.paper
    assert (card.paper is None) == (not card.venue) == (card.year is None)
    if recipe := card.recipe:
        assert set(recipe) - {"validation"} == RECIPE_KEYS
        assert recipe["verified"] == (recipe["unverified_because"] is None)
        assert all(recipe["source"][key] for key in ("paper", "section"))
        assert all(
            isinstance(line, str) for line in [*recipe["prose"], *recipe["assumed"].values()]
        )
    for pixels in (card.preprocessing or {}).values():
        assert set(pixels) == {"channels", "value_range", "centre", "scale"}


@pytest.mark.parametrize("name", models.list_models())
def test_published_figures_say_what_they_are(name: str) -> None:
    card = models.card(name)

    told = set()
    for figure in card.published:
        assert set(figure) == {"dataset", "metric", "value", "protocol", "source", "verified"}
        assert 0 < figure["value"] < 100
        assert figure["metric"] in {
            "top-1 error %", "top-5 error %", "top-1 accuracy %", "top-5 accuracy %"
        }  # fmt: skip
        assert figure["dataset"] in {
            "ILSVRC-2010 test", "ILSVRC-2012 val", "ILSVRC-2012 test", "ILSVRC-2014 test",
            "ILSVRC-2015 test", "CIFAR-10 test", "CIFAR-100 test", "MNIST test",
        }  # fmt: skip
        assert PROTOCOL.fullmatch(figure["protocol"]), figure["protocol"]
        assert isinstance(figure["verified"], bool)
        told.add(tuple(figure[key] for key in ("dataset", "metric", "protocol", "source")))
    assert len(told) == len(card.published)


def test_strides_of_v1_and_v1_5_are_not_credited_to_each_other() -> None:
    """Equal parameters, other MACs and other weights: torchvision's are v1.5's."""
    for depth in (50, 101, 152):
        first, later = models.card(f"resnet{depth}"), models.card(f"resnet{depth}_v1_5")
        assert first.params == later.params
        assert later.macs - first.macs == 231_211_008
        assert not any("torchvision" in figure["source"] for figure in first.published)
        assert all(figure["source"].startswith("torchvision") for figure in later.published)


@pytest.mark.parametrize("name", models.list_models())
def test_deviations_of_the_card_are_those_of_the_module(name: str) -> None:
    card = models.card(name)

    docstring = importlib.import_module(card.module).__doc__ or ""

    assert card.deviations == deviations(name, docstring)


@pytest.mark.parametrize("module", sorted({entry["module"] for entry in cards.entries().values()}))
def test_every_deviation_of_a_module_is_on_a_card(module: str) -> None:
    on_cards = {
        line
        for entry in cards.entries().values()
        if entry["module"] == module
        for line in entry["deviations"]
    }

    docstring = importlib.import_module(module).__doc__ or ""
    bullets = docstring.count("\n- ")

    assert len(on_cards) == bullets


def test_deviations_are_read_by_name_and_pattern() -> None:
    docstring = """A family.

    - Not a deviation.

    Deviations:
    - Of all.

    Deviations (small, net*_wide):
    - Of some, in two
      lines.
    - More of some.

    Not theirs:
    - Again not a deviation.
    """

    assert deviations("other", docstring) == ["Of all."]
    expected = ["Of all.", "Of some, in two lines.", "More of some."]
    assert deviations("small", docstring) == expected
    assert deviations("net3_wide", docstring) == expected
    assert deviations("net3_wider", docstring) == ["Of all."]


@pytest.mark.parametrize("name", models.list_models())
def test_counts_of_the_card_are_those_of_the_network(name: str) -> None:
    cost, entry = dataclasses.asdict(counted(name).cost), cards.entries()[name]

    keys = ("params", "params_total", "macs", "activation_bytes")
    assert {key: cost[key] for key in keys} == {key: entry[key] for key in keys}


def test_counts_are_taken_at_the_size_of_the_card() -> None:
    entry = cards.entries()["lenet5"]

    expected = {key: entry[key] for key in ("params", "params_total", "macs", "activation_bytes")}
    assert counts(entry) == expected


@pytest.mark.parametrize(
    ("name", "heads"),
    [("googlenet", ["auxiliary_1", "auxiliary_2"]), ("inception_v3", ["auxiliary_1"])],
)
def test_auxiliary_losses_are_weighed_by_output(name: str, heads: list[str]) -> None:
    weights = models.card(name).auxiliary_loss_weights

    network = models.outline(name, auxiliary=True)

    assert list(weights) == heads
    assert set(network.output) == {"logits", *heads}


def test_only_networks_with_auxiliary_outputs_weigh_them() -> None:
    weighed = [name for name in models.list_models() if models.card(name).auxiliary_loss_weights]

    assert weighed == ["googlenet", "inception_v3"]


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("vgg16", "vgg16"),
        ("vgg19", "vgg19"),
        ("resnet50", "resnet"),
        ("resnet152", "resnet"),
        ("resnet101_v2", "resnet_v2"),
        ("inception_v3", "inception_v3"),
        ("inception_resnet_v2", "inception_resnet_v2"),
    ],
)
def test_pixels_of_the_card_are_what_keras_feeds_its_weights(name: str, library: str) -> None:
    import keras
    import numpy as np

    pixels = models.card(name).preprocessing["Keras"]
    images = np.random.default_rng(1).uniform(0, 255, (2, 3, 3, 3)).astype("float32")

    ours = images[..., ::-1] if pixels["channels"] == "BGR" else images
    ours = (ours - pixels["centre"]) / (pixels["scale"] or 1)

    theirs = getattr(keras.applications, library).preprocess_input(images.copy())
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_cards_are_frozen_and_apart() -> None:
    card = models.card("alexnet")

    with pytest.raises(dataclasses.FrozenInstanceError):
        card.params = 0
    card.published.clear()
    assert models.card("alexnet").published


def test_rewriting_the_cards_restores_counts_and_keeps_facts(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [cards.entries()[name] for name in ("mlp", "lenet5", "resnet20_cifar")]
    spoilt = few[1] | {"params": 1, "smallest_input": [3, 3], "deviations": ["None."]}
    copy = tmp_path / "cards.json"
    copy.write_text(json.dumps([few[0] | {"macs": 1}, spoilt, few[2]]), encoding="utf-8")
    monkeypatch.setattr(cards, "CARDS", copy)
    cards.entries.cache_clear()
    try:
        main(["lenet5", "resnet20_cifar"])
    finally:
        cards.entries.cache_clear()

    assert json.loads(copy.read_text(encoding="utf-8")) == [few[0] | {"macs": 1}, *few[1:]]
    said = capsys.readouterr()
    assert said.out == "3 cards; changed: lenet5\n"
    assert [line.split()[:2] for line in said.err.splitlines()] == [
        ["2/3", "lenet5"], ["3/3", "resnet20_cifar"]
    ]  # fmt: skip


def test_the_file_is_as_rewriting_leaves_it() -> None:
    document = list(cards.entries().values())

    expected = json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    assert cards.CARDS.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("smallest", [1, 2, 7, 16, 30, 31, 32])
@pytest.mark.parametrize("guess", [0, 1, 2, 16, 17, 31, 32, 99])
def test_smallest_side_whatever_the_guess(smallest: int, guess: int) -> None:
    tried = []

    def takes(side: int) -> bool:
        tried.append(side)
        return side >= smallest

    assert smallest_side(takes, guess, works=32) == smallest
    assert all(0 < side < 32 for side in tried)
    assert guess != smallest or len(tried) <= 5


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [("resnet20", "resnet20_cifar"), ("alexnt", "alexnet"), ("LeNet", "lenet5")],
)
def test_unknown_model_names_the_nearest(typed: str, suggested: str) -> None:
    with pytest.raises(models.UnknownModel) as error:
        models.card(typed)

    text = str(error.value)
    assert text.startswith(f"unknown model {typed!r}; did you mean ")
    assert suggested in text
    assert text.endswith("(ilsvrc models lists all)")


def test_unknown_model_far_from_all() -> None:
    with pytest.raises(models.UnknownModel) as error:
        models.build("zzzz")

    assert str(error.value) == "unknown model 'zzzz' (ilsvrc models lists all)"


def test_nearest_puts_names_that_contain_the_word_first() -> None:
    assert nearest("cifar", ["mlp", "nin_cifar", "cigar"]) == ["nin_cifar", "cigar"]


@pytest.mark.parametrize("name", marked(models.list_models()))
def test_smallest_input_builds_and_one_pixel_less_is_refused(name: str) -> None:
    entry = cards.entries()[name]
    height, width = entry["smallest_input"]

    outline = models.outline(name, input_shape=(height, width, entry["input_shape"][2]))

    assert all(0 not in layer.output_shape for layer in models.profile(outline).layers)
    assert height == 1 or not fits(entry, height - 1)
    for less in ((height - 1, width), (height, width - 1)):
        with pytest.raises(models.InputTooSmall) as error:
            models.build(name, input_shape=(*less, 1))
        assert str(error.value) == (
            f"{name} takes images of {height}x{width} or larger. Received: {less[0]}x{less[1]}"
        )


def test_smallest_input_of_lenet5() -> None:
    with pytest.raises(models.InputTooSmall) as error:
        models.build("lenet5", input_shape=(8, 8, 1))

    assert str(error.value) == "lenet5 takes images of 16x16 or larger. Received: 8x8"


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, 3, 1), (32.0, 32, 3), "32x32", (32, True, 3)])
def test_malformed_input_shape(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"three integers, height, width, channels\. Received"):
        models.build("mlp", input_shape=shape)


def test_images_without_channels() -> None:
    with pytest.raises(ValueError, match="1 channel or more"):
        models.build("mlp", input_shape=(8, 8, 0))


@pytest.mark.parametrize("classes", [1, 0, -3, 2.0, True, "10"])
def test_malformed_classes(classes: Any) -> None:
    with pytest.raises(ValueError, match=r"2 or more\. Received: classes="):
        models.build("mlp", classes=classes)


def test_unknown_option_names_the_valid_ones() -> None:
    with pytest.raises(models.UnknownOption) as error:
        models.build("mlp", activaton="tanh")

    assert str(error.value) == (
        "mlp has no option 'activaton'; did you mean activation? "
        "(its options are hidden, activation, normalization, initializer, dropout, monte_carlo, "
        "kernel_regularizer, max_norm, width, pooling)"
    )


def test_option_of_another_network() -> None:
    with pytest.raises(models.UnknownOption, match=r"has no option 'shortcut' \(its options are"):
        models.build("plain20_cifar", shortcut="A")


@pytest.mark.parametrize(
    ("name", "option", "value", "expected"),
    [
        ("lenet5", "activation", "softmax", "activation must be one of relu, leaky_relu"),
        ("lenet5", "normalization", "bacth", "normalization must be one of none, batch, layer"),
        ("lenet5", "width", 0, "width must be a number above 0. Received: 0"),
        ("lenet5", "max_norm", "3", "max_norm must be a number above 0"),
        ("lenet5", "monte_carlo", 1, "monte_carlo must be true or false"),
        ("lenet5", "kernel_regularizer", {"l3": 1.0}, "one of l1, l2, elastic, or strengths"),
        ("lenet5", "kernel_regularizer", {"l1": -1.0}, "kernel_regularizer.l1 must be a number"),
        ("mlp", "normalization", "instance", "fc1 has only one"),
        ("alexnet", "dropout", 1.0, "dropout must be a number from 0 to below 1"),
        ("alexnet", "dropout", "0.5", "dropout must be a number"),
        ("nin_cifar", "dropout", -0.1, "dropout must be a number"),
        ("nin_cifar", "final_relu", "yes", "final_relu must be true or false"),
        ("resnet20_cifar", "shortcut", "D", "shortcut must be one of A, B, C. Received: 'D'"),
        ("mlp", "hidden", 100, "hidden must be a list of positive integers"),
        ("mlp", "hidden", [100, 0], "hidden must be a list of positive integers"),
        ("mlp", "hidden", [True], "hidden must be a list of positive integers"),
        ("mlp", "hidden", "100", "hidden must be a list of positive integers"),
    ],
)
def test_wrong_option_values(name: str, option: str, value: Any, expected: str) -> None:
    with pytest.raises(models.InvalidOption, match=expected):
        models.build(name, **{option: value})


def test_outline_leaves_the_seed_sequence_alone() -> None:
    import keras

    keras.utils.set_random_seed(5)
    expected = models.build("mlp").get_weights()
    keras.utils.set_random_seed(5)
    models.outline("resnet20_cifar")
    received = models.build("mlp").get_weights()

    assert all((a == b).all() for a, b in zip(expected, received, strict=True))


def test_outline_never_draws_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even later, when Keras fills in weights made without a value."""
    import keras

    drawn = []
    outline = models.outline("lenet5")
    glorot = keras.initializers.GlorotUniform
    monkeypatch.setattr(glorot, "__call__", lambda *args, **kwargs: drawn.append(args))
    with keras.StatelessScope():
        pass

    assert outline.count_params() == 61_706
    assert drawn == []


def test_channels_first_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")

    with pytest.raises(ValueError, match="image_data_format 'channels_last'"):
        models.build("mlp")
