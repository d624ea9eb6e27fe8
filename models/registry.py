"""The list of networks: names, cards, and how a name becomes a Keras model.

A network is a function `NAME(images, classes, *, choices=PAPER, option=default, ...)` from a
symbolic batch of images to logits, in the module that its card names. To add one, write the
function and its card.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import operator
import os
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import cards, choices
from models.cards import ModelCard
from models.errors import InputTooSmall, UnknownModel, UnknownOption, nearest

if TYPE_CHECKING:
    import keras

LOGITS = "logits"


def list_models() -> list[str]:
    """Names of all registered networks, in the order of cards.json (by family, oldest first)."""
    return list(cards.entries())


def card(name: str) -> ModelCard:
    """The facts about a network, without loading Keras; raises UnknownModel."""
    entry = cards.entries().get(name)
    if entry is None:
        near = nearest(name, cards.entries()) if isinstance(name, str) else []
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise UnknownModel(f"unknown model {name!r}{hint} (ilsvrc models lists all)")
    return ModelCard.from_entry(entry)


def build(
    name: str,
    *,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    **options: Any,
) -> keras.Model:
    """A functional model of a registered network.

    Args:
        name: a name from `list_models()`; also the model's name.
        input_shape: (height, width, channels); the card's if None.
        classes: number of logits, 2 or more; the card's if None.
        weights: drawn if None; "imagenet", those of `keras.applications`; or the path of a file of
            torchvision or timm, see `models.weights.load_checkpoint`.
        **options: `models.choices.Choices`, taken by every network, and the network's own, see its
            function.

    Returns:
        A model from float images (batch, height, width, channels) to float32 logits
        (batch, classes), under every dtype policy.

    Raises:
        UnknownModel, UnknownOption, InvalidOption, InputTooSmall, CheckpointError: all ValueErrors.
    """
    entry = card(name)
    shape, count = _checked(entry, input_shape, classes)
    model = assemble(name, entry.module, shape, count, options)
    if weights is not None:
        from models.weights.loading import load  # it loads Keras

        load(weights, model)
    return model


def outline(
    name: str,
    *,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    **options: Any,
) -> keras.Model:
    """As `build`, in milliseconds and no memory: shapes only, weights never drawn.

    For `profile` and for counting; calling the model or reading its weights is undefined. Leaves
    the seed sequence of `keras.utils.set_random_seed` where it was.
    """
    entry = card(name)
    shape, count = _checked(entry, input_shape, classes)
    return assemble(name, entry.module, shape, count, options, draw_weights=False)


def assemble(
    name: str,
    module: str,
    input_shape: tuple[int, int, int],
    classes: int,
    options: Mapping[str, Any],
    *,
    draw_weights: bool = True,
) -> keras.Model:
    """The network `name` of `module` as a model, without asking its card about sizes."""
    network: Callable[..., Any] = getattr(importlib.import_module(module), name)
    _check_names(name, _keywords_of(network), options)
    chosen, specific = choices.split(options)

    import keras

    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "networks need image_data_format 'channels_last'. Received: "
            f"{keras.config.image_data_format()!r}; call keras.config.set_image_data_format"
        )

    def assembled() -> keras.Model:
        images = keras.Input(input_shape, dtype="float32", name="images")
        return keras.Model(images, network(images, classes, choices=chosen, **specific), name=name)

    return assembled() if draw_weights else _without_weights(assembled)


def deployable(network: keras.Model) -> keras.Model:
    """The network from images to logits: without heads that only training needs.

    Shares layers and weights with `network`; itself if it has one output.
    """
    import keras

    if not isinstance(network.output, dict):
        return network
    return keras.Model(network.input, network.output[LOGITS], name=network.name)


def _without_weights(make: Callable[[], keras.Model]) -> keras.Model:
    """The model that `make` builds, its weights never drawn.

    Keras remembers the weights of a StatelessScope and draws them when the next one ends, in any
    layer that infers a shape. It remembers by thread: a thread of its own forgets them.
    """
    import keras

    policy = keras.config.dtype_policy()  # by thread, too

    def in_scope() -> keras.Model:
        keras.config.set_dtype_policy(policy)
        with keras.StatelessScope(initialize_variables=False):
            return make()

    seeds = random.getstate()  # unseeded initializers draw their seeds from here when made
    try:
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(in_scope).result()
    finally:
        random.setstate(seeds)


def _checked(
    entry: ModelCard, input_shape: Sequence[int] | None, classes: int | None
) -> tuple[tuple[int, int, int], int]:
    """Shape and number of classes, defaults filled in, both checked."""
    shape = _image_shape(entry.input_shape if input_shape is None else input_shape)
    height, width, channels = shape
    if height < entry.smallest_input[0] or width < entry.smallest_input[1]:
        smallest = f"{entry.smallest_input[0]}x{entry.smallest_input[1]}"
        raise InputTooSmall(
            f"{entry.name} takes images of {smallest} or larger. Received: {height}x{width}"
        )
    if channels < 1:
        raise ValueError(f"images need 1 channel or more. Received: input_shape={shape}")
    count = _integer(entry.classes if classes is None else classes)
    if count is None or count < 2:
        raise ValueError(f"classes must be an integer of 2 or more. Received: classes={classes!r}")
    return shape, count


def _image_shape(value: Sequence[int]) -> tuple[int, int, int]:
    sides = [_integer(v) for v in value] if isinstance(value, Sequence) else []
    known = [side for side in sides if side is not None]
    if len(sides) == len(known) == 3:
        return known[0], known[1], known[2]
    raise ValueError(
        f"input_shape must be three integers, height, width, channels. Received: {value!r}"
    )


def _integer(value: Any) -> int | None:
    """`value` as an int if it is one (a NumPy integer counts, True does not), else None."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse, without loading Keras, options that a network has not, and values that no network
    takes; values of its own options are seen when it is assembled.

    Raises:
        UnknownModel, UnknownOption, InvalidOption: all ValueErrors.
    """
    module = card(name).module
    if (keywords := _keywords_in(module).get(name)) is not None:
        _check_names(name, keywords, options)
    choices.split(options)


@functools.cache
def _keywords_in(module: str) -> dict[str, list[str]]:
    """Keyword arguments of a module's functions, read from its text: importing it loads Keras."""
    try:
        spec = importlib.util.find_spec(module)
    except ValueError:  # made in memory, without a text
        spec = None
    if spec is None or spec.origin is None:
        return {}
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return {each.name: [argument.arg for argument in each.args.kwonlyargs] for each in functions}


def _keywords_of(network: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(network).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


def _check_names(name: str, keywords: Sequence[str], options: Mapping[str, Any]) -> None:
    valid = [*(option for option in keywords if option != "choices"), *choices.NAMES]
    for option in options:
        if option not in valid:
            near = nearest(option, valid)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UnknownOption(
                f"{name} has no option {option!r}{hint} (its options are {', '.join(valid)})"
            )
