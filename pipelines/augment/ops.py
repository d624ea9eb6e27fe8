"""Every augmentation by its name, and from the steps of a recipe to the functions that run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.augment import colour, crops, erasing, geometry, mixing
from pipelines.augment.colour import Colours
from pipelines.augment.declaration import Augmentation, Step
from pipelines.lazy import tf

if TYPE_CHECKING:
    Key = Callable[[int], tf.Tensor]

OPS: dict[str, Augmentation] = {
    op.name: op
    for module in (crops, geometry, colour, erasing, mixing)
    for op in vars(module).values()
    if isinstance(op, Augmentation)
}
"""In the order in which the files declare them."""


def op_of(step: Step) -> Augmentation:
    """The augmentation that the step names."""
    return OPS[step["op"]]


def make(step: Step, size: tuple[int, int] | None = None, colours: Colours | None = None) -> Any:
    """What the function of a checked step gives, for images of `size` and these colours."""
    op, settings = op_of(step), {key: value for key, value in step.items() if key != "op"}
    known = {"size": size} | (colours._asdict() if colours is not None else {})
    needed = [*op.known, *(["mean"] if settings.get("fill") == "mean" else [])]
    if any(name not in known for name in needed):
        raise ValueError(
            f"{step['op']} needs the colours of the training images; give them as colours, "
            "such as pipelines.statistics.fit(source, indices).colours"
        )
    if settings.get("fill") == "mean":
        settings["fill"] = known["mean"]
    return op(**{name: known[name] for name in op.known}, **settings)


def mixer(
    steps: Sequence[Step], classes: int
) -> Callable[[tf.Tensor, tf.Tensor, Key], tuple[tf.Tensor, tf.Tensor]] | None:
    """mix(images, labels int [b], key) -> (images, labels float32 [b, classes]), all batch steps.

    steps   checked (`recipes.check_steps`); those of single images are passed over
    key     gives the key of the step at a position in the recipe
    None without batch steps: labels then stay whole numbers.
    """
    chain = [(at, make(step)) for at, step in enumerate(steps) if op_of(step).on == "batch"]
    if not chain:
        return None

    def mix(images: tf.Tensor, labels: tf.Tensor, key: Key) -> tuple[tf.Tensor, tf.Tensor]:
        soft = tf.one_hot(labels, classes, dtype=tf.float32)
        for position, op in chain:
            images, soft = op(images, soft, key(position))
        return images, soft

    return mix
