"""`ilsvrc describe`: the tables of the lectures, and what papers print beside the counts."""

from __future__ import annotations

import json

import pytest
from command import finished, inside
from terminal_text import shown

import models
from experiments.inspection.describe import describe, parts
from models import cards

# VGG-16 as the lecture counts it: floats and weights without biases.
VGG16 = {
    "images": (150_528, 0),
    "conv1_1": (3_211_264, 1_728),
    "conv1_2": (3_211_264, 36_864),
    "pool1": (802_816, 0),
    "conv2_1": (1_605_632, 73_728),
    "conv2_2": (1_605_632, 147_456),
    "pool2": (401_408, 0),
    "conv3_1": (802_816, 294_912),
    "conv3_2": (802_816, 589_824),
    "conv3_3": (802_816, 589_824),
    "pool3": (200_704, 0),
    "conv4_1": (401_408, 1_179_648),
    "conv4_2": (401_408, 2_359_296),
    "conv4_3": (401_408, 2_359_296),
    "pool4": (100_352, 0),
    "conv5_1": (100_352, 2_359_296),
    "conv5_2": (100_352, 2_359_296),
    "conv5_3": (100_352, 2_359_296),
    "pool5": (25_088, 0),
    "fc6": (4_096, 102_760_448),
    "fc7": (4_096, 16_777_216),
    "fc8": (1_000, 4_096_000),
}

# GoogLeNet, block by block: exact weights and MACs, and what Table 1 prints wrong.
GOOGLENET = {
    "conv1": (9_408, 118_013_952, "params ops"),
    "conv2": (114_688, 359_661_568, ""),
    "inception_3a": (163_328, 128_049_152, ""),
    "inception_3b": (388_096, 304_267_264, ""),
    "inception_4a": (375_552, 73_608_192, "params"),
    "inception_4b": (448_512, 87_908_352, ""),
    "inception_4c": (509_440, 99_850_240, "params"),
    "inception_4d": (604_672, 118_515_712, "params"),
    "inception_4e": (867_328, 169_996_288, "params"),
    "inception_5a": (1_042_432, 51_079_168, "params ops"),
    "inception_5b": (1_442_816, 70_697_984, "params"),
    "fc": (1_024_000, 1_024_000, ""),
}


def _text(document, width=120):
    return shown(*parts(document), width=width, markup=False)


def test_vgg16_is_the_table_of_the_lecture():
    document = describe("vgg16")
    counted = {
        layer["name"]: (layer["memory_floats"], layer["kernel_params"])
        for layer in document["layers"]
        if layer["memory_floats"]
    }
    assert counted == VGG16
    assert document["memory_floats"] == 15_237_608
    assert document["kernel_params"] == 138_344_128
    assert (document["params"], document["macs"]) == (138_357_544, 15_470_264_320)
    text = _text(document)
    for line in (
        "conv1_1  224x224x64  3,211,264       1,728       1,792     86,704,128     3    1",
        "total               15,237,608 138,344,128 138,357,544 15,470,264,320",
        "memory: 15,237,608 floats = 61.0 MB in float32",
    ):
        assert line in text


def test_googlenet_stands_beside_the_paper_and_its_misprints():
    document = describe("googlenet")
    rows = {row["layers"]: row for row in document["printed_costs"]}
    assert {name: (row["kernel_params"], row["macs"]) for name, row in rows.items()} == {
        name: counts[:2] for name, counts in GOOGLENET.items()
    }
    for name, (_, _, wrong) in GOOGLENET.items():
        assert rows[name]["params_agree"] == ("params" not in wrong), name
        assert rows[name]["macs_agree"] == ("ops" not in wrong), name
    assert sum(row["kernel_params"] for row in rows.values()) == document["kernel_params"]
    assert sum(row["macs"] for row in rows.values()) == document["macs"]
    text = _text(document)
    assert "convolution 7x7       2.7     9.2 wrong        34   118.0 wrong" in text
    assert "K = 1024" in text


def test_a_changed_network_is_not_set_beside_the_paper():
    assert describe("googlenet", ["inception=naive"])["printed_costs"] == []
    assert describe("alexnet")["printed_costs"] == []


def test_json_is_the_profile(monkeypatch, capsys):
    assert inside(monkeypatch, "describe", "resnet20_cifar", "shortcut=B", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    cost = models.profile(models.outline("resnet20_cifar", shortcut="B"))
    assert document["name"] == "resnet20_cifar"
    for key in ("params", "params_total", "macs", "activation_bytes"):
        assert document[key] == getattr(cost, key)
    assert document["params"] == 269_722 + 2_752
    for layer, row in zip(document["layers"], cost.layers, strict=True):
        for key in (
            "name", "kind", "params", "macs", "activation_bytes", "receptive_field", "jump"
        ):  # fmt: skip
            assert layer[key] == getattr(row, key)
        assert layer["output_shape"] == list(row.output_shape)


def test_size_classes_and_nested_options_are_read_as_yaml():
    document = describe(
        "lenet5", ["classes=7", "input_shape=[40, 48, 3]", "kernel_regularizer.l2=1e-4"]
    )
    assert document["layers"][0]["output_shape"] == (40, 48, 3)
    assert document["layers"][-1]["output_shape"] == (7,)
    assert document["options"]["kernel_regularizer"] == {"l2": 1e-4}
    assert "here with classes=7, input_shape=[40, 48, 3]" in _text(document)


def test_facts_stand_above_the_layers():
    text = _text(describe("googlenet"), width=200)
    top, _, below = text.partition("\nLayers\n")
    assert "2014: Going Deeper with Convolutions, CVPR 2015" in top
    assert "options: auxiliary=False, inception=reduced, activation" in top
    assert "31x31" in top
    for deviation in models.card("googlenet").deviations:
        assert f"- {deviation}" in top
    # every figure with its protocol, ensembles too, and accuracies as errors
    assert " 6.67 ILSVRC-2012 val  7 networks, 144 crops" in top
    assert "  31.3  11.1 ILSVRC-2012 val  1 network, 1 crop" in top
    assert "multiply-accumulates" in below


def test_fixed_weights_and_figures_not_re_read_are_told_apart(monkeypatch):
    assert "(not re-read)" not in _text(describe("lenet5_1998"))
    [first, *_] = cards.entries()["lenet5_1998"]["published"]
    monkeypatch.setitem(first, "verified", False)
    text = _text(describe("lenet5_1998"))
    assert text.count("(not re-read)") == 1
    assert "params: 60,000 trained, 60,840 with moving statistics and other fixed weights" in text


def test_a_network_of_images_promises_no_classes():
    text = _text(describe("autoencoder_undercomplete"))
    assert "images out" in text
    assert "classes" not in text


@pytest.mark.parametrize("name", ["vgg16", "googlenet", "inception_resnet_v2"])
def test_no_number_is_cut_on_80_columns(name):
    document = describe(name)
    text = _text(document, width=80)
    assert "…" not in text
    assert f"{document['macs']:,}" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vgg61"], "unknown model 'vgg61'; did you mean vgg19, vgg16"),
        (["vgg16", "widht=2"], "vgg16 has no option 'widht'; did you mean width?"),
        (["vgg16", "width"], "expected key.path=value. Received: width"),
        (["vgg16", "width=-1"], "width must be a number above 0. Received: -1"),
        (["vgg16", "classes=many"], "classes must be an integer of 2 or more"),
        (["vgg16", "input_shape=224"], "input_shape must be three integers"),
        (["vgg16", "input_shape=[8, 8, 3]"], "vgg16 takes images of 32x32 or larger"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(monkeypatch, capsys, words, message):
    assert inside(monkeypatch, "describe", *words) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"ilsvrc: {message}")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_user_sees_the_tables_and_none_of_tensorflows_chatter(tmp_path):
    out, err = finished(tmp_path, "describe", "lenet5")

    assert "416,520" in out
    assert err == ""
