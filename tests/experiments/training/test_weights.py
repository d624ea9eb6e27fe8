"""Checkpoints of torchvision and timm: names, order of axes, and what is refused."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import models
from models.weights import torch_names
from models.weights.checkpoint_files import CheckpointError, read
from models.weights.loading import load_checkpoint

SHAPE = (127, 159, 3)  # conv1 and the poolings leave 3 x 4 maps: height and width differ
OPTIONS: dict[str, Any] = {"input_shape": SHAPE, "classes": 5, "width": 0.125}
ALEXNET = {  # torchvision's alexnet at width 1/8
    "features.0": (8, 3, 11, 11),
    "features.3": (24, 8, 5, 5),
    "features.6": (48, 24, 3, 3),
    "features.8": (32, 48, 3, 3),
    "features.10": (32, 32, 3, 3),
    "classifier.1": (512, 32 * 3 * 4),
    "classifier.4": (512, 512),
    "classifier.6": (5, 512),
}


def _alexnet(**options: Any) -> keras.Model:
    return models.build("alexnet_owt", **{**OPTIONS, **options})


def _state() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    state = {}
    for name, shape in ALEXNET.items():
        scale = np.prod(shape[1:]) ** -0.5
        state[f"{name}.weight"] = random.normal(size=shape, scale=scale).astype("float32")
        state[f"{name}.bias"] = random.normal(size=shape[0], scale=0.3).astype("float32")
    return state


def _file(folder: Path, state: dict[str, np.ndarray]) -> Path:
    save_file(state, folder / "net.safetensors")
    return folder / "net.safetensors"


def _images(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(2, *shape)).astype("float32")


def _array(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


# ------------------------------------------------------------------------------ without PyTorch


def test_alexnet_computes_what_its_tensors_say(tmp_path: Path) -> None:
    """Convolution, and dense layers over c, h, w, as PyTorch defines them, in NumPy."""
    state, images = _state(), _images()
    model = _alexnet(weights=_file(tmp_path, state))
    ends = [model.get_layer(name).output for name in ("conv1", "pool5", "fc8")]
    conv1, pool5, logits = map(_array, keras.Model(model.input, ends)(images))

    x = np.pad(images.transpose(0, 3, 1, 2), [(0, 0), (0, 0), (2, 2), (2, 2)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (11, 11), axis=(2, 3))[:, :, ::4, ::4]
    kernels, bias = state["features.0.weight"], state["features.0.bias"]
    expected = np.einsum("bchwij,ocij->bhwo", windows, kernels) + bias
    np.testing.assert_allclose(conv1, np.maximum(expected, 0), rtol=1e-4, atol=1e-4)

    y = pool5.transpose(0, 3, 1, 2).reshape(2, -1)
    for name in ("classifier.1", "classifier.4"):
        y = np.maximum(y @ state[f"{name}.weight"].T + state[f"{name}.bias"], 0)
    y = y @ state["classifier.6.weight"].T + state["classifier.6.bias"]
    assert pool5.shape == (2, 3, 4, 32)
    np.testing.assert_allclose(logits, y, rtol=1e-4, atol=1e-4)


def test_half_precision_files_are_read(tmp_path: Path) -> None:
    state = {key: tensor.astype("float16") for key, tensor in _state().items()}

    model = _alexnet(weights=str(_file(tmp_path, state)))

    kernel = _array(model.get_layer("conv3").kernel)
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, state["features.6.weight"].transpose(2, 3, 1, 0))


def _shapes_in_torch_order(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Each key that the network expects, by the public mapping, with its shape."""
    names = torch_names.NETWORKS[model.name](model.name)
    kinds = {
        "kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
    }  # fmt: skip
    shapes = {}
    for layer in model.layers:
        for weight in layer.weights:
            shape = tuple(weight.shape)
            order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(shape)]
            shapes[f"{names[layer.name]}.{kinds[weight.name]}"] = tuple(shape[i] for i in order)
    return shapes


@pytest.mark.parametrize(
    ("name", "tensors", "parameters", "some"),
    [
        # tensors and numbers of parameters of torchvision's and timm's own networks
        ("vgg_a", 22, 132_863_336, {"features.18.weight": (512, 512, 3, 3)}),
        ("vgg_b", 26, 133_047_848, {"features.22.weight": (512, 512, 3, 3)}),
        ("vgg16", 32, 138_357_544, {"features.28.weight": (512, 512, 3, 3)}),
        (
            "vgg19",
            38,
            143_667_240,
            {"features.34.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088)},
        ),
        ("resnet18", 102, 11_689_512, {"layer2.0.downsample.0.weight": (128, 64, 1, 1)}),
        ("resnet34", 182, 21_797_672, {"layer3.5.conv2.weight": (256, 256, 3, 3)}),
        (
            "resnet50_v1_5",
            267,
            25_557_032,
            {
                "layer1.0.downsample.1.running_var": (256,),
                "layer4.2.conv3.weight": (2048, 512, 1, 1),
            },
        ),
        ("resnet101_v1_5", 522, 44_549_160, {"layer3.22.bn3.bias": (1024,)}),
        ("resnet152_v1_5", 777, 60_192_808, {"layer3.35.bn3.bias": (1024,)}),
        (
            "inception_v4",
            747,
            42_679_816,
            {
                "features.0.conv.weight": (32, 3, 3, 3),
                "features.3.conv.bn.weight": (96,),
                "features.4.branch1.1.conv.weight": (64, 64, 1, 7),
                "features.9.branch3.1.conv.weight": (96, 384, 1, 1),
                "features.10.branch0.conv.weight": (384, 384, 3, 3),
                "features.17.branch2.3.conv.weight": (224, 224, 7, 1),
                "features.18.branch1.3.bn.running_mean": (320,),
                "features.21.branch2_3a.conv.weight": (256, 512, 1, 3),
                "features.21.branch3.1.conv.weight": (256, 1536, 1, 1),
                "last_linear.weight": (1000, 1536),
            },
        ),
    ],
)
def test_tensors_expected(
    name: str, tensors: int, parameters: int, some: dict[str, tuple[int, ...]]
) -> None:
    shapes = _shapes_in_torch_order(models.outline(name))

    trained = [shape for key, shape in shapes.items() if ".running_" not in key]
    assert len(shapes) == tensors
    assert sum(int(np.prod(shape)) for shape in trained) == parameters
    assert {key: shapes.get(key) for key in some} == some


def test_resnet_takes_each_tensor_where_it_belongs(tmp_path: Path) -> None:
    """Every tensor is filled with a number of its own, and read back from the layer."""
    options: dict[str, Any] = {"input_shape": (33, 40, 3), "classes": 3, "width": 0.125}
    model = models.build("resnet18", **options)
    shapes = _shapes_in_torch_order(model)
    number = {key: i for i, key in enumerate(shapes, start=1)}
    state = {key: np.full(shape, number[key], "float32") for key, shape in shapes.items()}
    state["bn1.num_batches_tracked"] = np.array(7, dtype="int64")

    load_checkpoint(_file(tmp_path, state), model)

    for layer, weight, key in (
        ("conv1_conv", "kernel", "conv1.weight"),
        ("conv1_bn", "moving_variance", "bn1.running_var"),
        ("conv2_block2_2_bn", "gamma", "layer1.1.bn2.weight"),
        ("conv3_block1_0_conv", "kernel", "layer2.0.downsample.0.weight"),
        ("conv3_block1_0_bn", "moving_mean", "layer2.0.downsample.1.running_mean"),
        ("conv5_block2_1_conv", "kernel", "layer4.1.conv1.weight"),
        ("conv5_block2_1_bn", "beta", "layer4.1.bn1.bias"),
        ("fc", "bias", "fc.bias"),
    ):
        values = _array(getattr(model.get_layer(layer), weight))
        assert set(values.ravel()) == {number[key]}, key


# -------------------------------------------------------------------------------------- refused


def _without(state: dict[str, np.ndarray], key: str) -> dict[str, np.ndarray]:
    return {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: _without(s, "features.8.weight"),
            r"lacks features\.8\.weight of shape \(32, 48, 3, 3\), for layer conv4; give a",
        ),
        (
            lambda s: {**s, "features.8.weight": np.zeros((32, 48, 5, 5), "float32")},
            r"features\.8\.weight must have shape \(32, 48, 3, 3\) for layer conv4; build "
            r"alexnet_owt with .*Received: \(32, 48, 5, 5\)",
        ),
        (
            lambda s: {**s, "classifier.1.weight": np.zeros((512, 1152), "float32")},
            r"classifier\.1\.weight must have shape \(512, 384\) for layer fc6",
        ),
        (
            lambda s: {**s, "features.12.weight": np.zeros(3, "float32"), "zzz": np.zeros(1)},
            r"holds 2 tensors that alexnet_owt as built has no weights for, beginning with "
            r"features\.12\.weight",
        ),
        (
            lambda s: {
                **s,
                "classifier.6.weight": np.zeros((9, 512), "float32"),
                "classifier.6.bias": np.zeros(9, "float32"),
            },
            "is for 9 classes; build alexnet_owt with classes=9. Received: a network of 5 classes",
        ),
    ],
)
def test_refuses_tensors_of_another_network(tmp_path: Path, change: Any, message: str) -> None:
    path, model = _file(tmp_path, change(_state())), _alexnet()
    before = model.get_weights()

    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path, model)

    assert "\n" not in str(caught.value)
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(_array(weight), old)


def test_refuses_a_network_with_other_layers(tmp_path: Path) -> None:
    path = _file(tmp_path, _state())

    with pytest.raises(CheckpointError, match=r"nothing for conv1_act\.alpha; build it without"):
        _alexnet(weights=path, activation="prelu")
    with pytest.raises(CheckpointError, match="no checkpoints are known for lenet5; they are for"):
        models.build("lenet5", weights=path)


def test_refuses_projections_where_shortcuts_pad(tmp_path: Path) -> None:
    options: dict[str, Any] = {"input_shape": (33, 40, 3), "width": 0.125}
    shapes = _shapes_in_torch_order(models.outline("resnet18", **options))
    path = _file(tmp_path, {key: np.zeros(shape, "float32") for key, shape in shapes.items()})
    model = models.build("resnet18", shortcut="A", **options)

    with pytest.raises(CheckpointError, match=r"beginning with layer2\.0\.downsample"):
        load_checkpoint(path, model)


@pytest.mark.parametrize("name", ["net.h5", "net", "imagenett", "net.ckpt"])
def test_refuses_other_kinds_of_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")

    with pytest.raises(CheckpointError, match=r"is a file \.safetensors, \.pth, \.pt\. Received:"):
        _alexnet(weights=tmp_path / name)


def test_refuses_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no checkpoint at .*none\.safetensors; give the path"
    ):
        _alexnet(weights=tmp_path / "none.safetensors")
    whole = _file(tmp_path, _state()).read_bytes()
    for damaged in (b"", whole[:1000], whole[:-8], struct.pack("<Q", 2**60) + whole[8:]):
        (tmp_path / "cut.safetensors").write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"cut\.safetensors cannot be read as saf"):
            _alexnet(weights=tmp_path / "cut.safetensors")


def test_says_how_to_read_pth_without_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    (tmp_path / "net.pth").write_bytes(b"")

    with pytest.raises(CheckpointError, match=r"needs PyTorch: pip install torch, or save the"):
        read(tmp_path / "net.pth")


def test_weights_are_drawn_unless_named() -> None:
    keras.utils.set_random_seed(1)
    first = _alexnet().get_weights()
    keras.utils.set_random_seed(1)
    second = _alexnet(weights=None).get_weights()

    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_imagenet_is_what_keras_publishes(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr("models.weights.loading.load_imagenet", given.append)

    model = models.build("vgg16", input_shape=(32, 32, 3), hidden=[8], weights="imagenet")

    assert given == [model]


def test_weights_module_is_reached_from_the_package() -> None:
    from models.weights import keras_applications

    found = models.weights

    assert found.copy_from_keras_applications is keras_applications.copy_from_keras_applications
    assert found.load_checkpoint is load_checkpoint


# --------------------------------------------------------------------------------- with PyTorch


def _reference(name: str) -> tuple[Any, tuple[int, int, int], dict[str, Any]]:
    """A module with statistics that a wrong axis or epsilon would show, image shape, options."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    import torch_networks

    from experiments.bench import torch_subject

    torch.manual_seed(3)
    if name == "alexnet_owt":
        net = torch_networks.alexnet(0.125, maps=12, classes=5)
        return net.eval(), SHAPE, {"width": 0.125}
    units, bottleneck = {
        "resnet18": ((2, 2, 2, 2), False),
        "resnet50_v1_5": ((3, 4, 6, 3), True),
    }[name]
    net = torch_subject.ResNet(units, bottleneck, 0.125, classes=5)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return net.eval(), (65, 97, 3), {"width": 0.125}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
@pytest.mark.parametrize("name", ["alexnet_owt", "resnet18", "resnet50_v1_5"])
def test_outputs_equal_those_of_pytorch(name: str, suffix: str, tmp_path: Path) -> None:
    net, shape, options = _reference(name)
    import torch

    images = _images(shape)
    with torch.no_grad():
        expected = net(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()
    path = tmp_path / f"net{suffix}"
    if suffix == ".safetensors":
        save_file({key: tensor.numpy() for key, tensor in net.state_dict().items()}, path)
    else:
        torch.save(net.state_dict() if suffix == ".pth" else {"state_dict": net.state_dict()}, path)

    model = models.build(name, input_shape=shape, classes=5, weights=path, **options)

    logits = _array(model(images))
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


def test_refuses_code_in_a_pth(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="reads .pth with PyTorch where it is installed")
    torch.save({"features.0.weight": Path("x")}, tmp_path / "net.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:100])
    torch.save([torch.zeros(2)], tmp_path / "list.pt")

    for name in ("net.pth", "cut.pth"):
        with pytest.raises(
            CheckpointError, match=r"is not a file that torch\.load reads"
        ) as caught:
            _alexnet(weights=tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"tensors by name\. Received: list"):
        _alexnet(weights=tmp_path / "list.pt")
