"""What torchvision and timm call the layers of our networks.

Ours on the left, the module's path in their state dict on the right; weights of a layer follow as
`.weight`, `.bias`, `.running_mean`, `.running_var`. As of torchvision 0.28 and timm 1.0.31.
"""

from __future__ import annotations

from collections.abc import Callable

Names = dict[str, str]

# Places of convolutions and dense layers among the modules of torchvision's Sequentials.
ALEXNET: Names = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}
VGG_DENSE: Names = {"fc6": "classifier.0", "fc7": "classifier.3", "fc8": "classifier.6"}
VGG_CONVOLUTIONS = {  # a stage
    "vgg_a": (1, 1, 2, 2, 2),
    "vgg_b": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
RESNET_UNITS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50_v1_5": (3, 4, 6, 3),
    "resnet101_v1_5": (3, 4, 23, 3),
    "resnet152_v1_5": (3, 8, 36, 3),
}

# timm's inception_v4: its list of features, and the convolutions of each by their paths there.
INCEPTION_V4_FEATURES = (
    *("conv2d_1a_3x3", "conv2d_2a_3x3", "conv2d_2b_3x3", "mixed_3a", "mixed_4a", "mixed_5a"),
    *(f"mixed_5{letter}" for letter in "bcde"),
    *(f"mixed_6{letter}" for letter in "abcdefgh"),
    *(f"mixed_7{letter}" for letter in "abcd"),
)
INCEPTION_V4_PATHS = {
    "mixed_3a": "conv",
    "mixed_4a": "branch0.0 branch0.1 branch1.0 branch1.1 branch1.2 branch1.3",
    "mixed_5a": "conv",
    "mixed_5": "branch0 branch1.0 branch1.1 branch2.0 branch2.1 branch2.2 branch3.1",
    "mixed_6a": "branch0 branch1.0 branch1.1 branch1.2",
    "mixed_6": "branch0 branch1.0 branch1.1 branch1.2 branch2.0 branch2.1 branch2.2 branch2.3 "
    "branch2.4 branch3.1",
    "mixed_7a": "branch0.0 branch0.1 branch1.0 branch1.1 branch1.2 branch1.3",
    "mixed_7": "branch0 branch1_0 branch1_1a branch1_1b branch2_0 branch2_1 branch2_2 branch2_3a "
    "branch2_3b branch3.1",
}
"""By name, or by stage for the modules that repeat in it."""

FLATTENED = {"flatten": "fc6"}
"""The dense layer after our `flatten`: its inputs come in the order c, h, w there, h, w, c here."""


def vgg(name: str) -> Names:
    """Each convolution is followed by its ReLU, each stage by its pooling."""
    names, index = dict(VGG_DENSE), 0
    for stage, count in enumerate(VGG_CONVOLUTIONS[name], start=1):
        for number in range(1, count + 1):
            names[f"conv{stage}_{number}"] = f"features.{index}"
            index += 2
        index += 1
    return names


def resnet(name: str) -> Names:
    """Their layer1 is our conv2; a block's projection is our `_0_conv`."""
    convolutions = 2 if name in ("resnet18", "resnet34") else 3
    names = {"conv1_conv": "conv1", "conv1_bn": "bn1", "fc": "fc"}
    for layer, units in enumerate(RESNET_UNITS[name], start=1):
        for unit in range(units):
            ours, theirs = f"conv{layer + 1}_block{unit + 1}", f"layer{layer}.{unit}"
            for number in range(1, convolutions + 1):
                names[f"{ours}_{number}_conv"] = f"{theirs}.conv{number}"
                names[f"{ours}_{number}_bn"] = f"{theirs}.bn{number}"
            names[f"{ours}_0_conv"] = f"{theirs}.downsample.0"
            names[f"{ours}_0_bn"] = f"{theirs}.downsample.1"
    return names


def inception_v4(name: str) -> Names:
    """Our names are theirs with _ for every dot."""
    names = {"fc": "last_linear"}
    for index, feature in enumerate(INCEPTION_V4_FEATURES):
        paths = INCEPTION_V4_PATHS.get(feature) or INCEPTION_V4_PATHS.get(feature[:-1], "")
        for path in paths.split() or [""]:
            ours = "_".join([feature, *path.split(".")]) if path else feature
            theirs = f"features.{index}.{path}" if path else f"features.{index}"
            names[f"{ours}_conv"] = f"{theirs}.conv"
            names[f"{ours}_bn"] = f"{theirs}.bn"
    return names


NETWORKS: dict[str, Callable[[str], Names]] = {
    "alexnet_owt": lambda name: ALEXNET,
    **dict.fromkeys(VGG_CONVOLUTIONS, vgg),
    **dict.fromkeys(RESNET_UNITS, resnet),
    "inception_v4": inception_v4,
}
