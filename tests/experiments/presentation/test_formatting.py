"""Texts that must fit, names of files, and round numbers for axes."""

from __future__ import annotations

import pytest

from experiments.presentation.formatting import (
    percent,
    round_values,
    run_title,
    shortened,
    si,
    significant,
    slug,
)


def test_a_text_is_shortened_to_what_fits_with_its_ending():
    assert shortened("Staffordshire", 13) == "Staffordshire"
    assert shortened("Staffordshire", 12) == "Staffords..."
    assert shortened("Staffordshire", 12, "…") == "Staffordshi…"


def test_the_name_of_a_run_cuts_long_settings_and_leaves_out_network_and_seed():
    axes = {"model.name": "mlp", "seed": 2, "data.source": "folder:" + 40 * "x"}
    assert run_title("mlp", 2, axes) == f"mlp source=folder:{30 * 'x'}... seed 2"


def test_seeds_that_a_sweep_varies_stand_behind_the_seed():
    axes = {"seeds.weights": 2, "train.epochs": 5, "seeds.order": 3}
    assert run_title("mlp", 1, axes) == "mlp epochs=5 seed 1 weights 2 order 3"


@pytest.mark.parametrize(
    ("text", "name"), [("mlp seed 1", "mlp_seed_1"), ("a/../b", "a_.._b"), ("Gänse", "G_nse")]
)
def test_names_of_files_hold_letters_digits_and_what_is_kept(text, name):
    assert slug(text) == name


def test_names_of_files_can_be_filled_with_another_letter():
    assert slug("tensorflow 2.21.0, a_b", "-", keep=".") == "tensorflow-2.21.0-a-b"


def test_about_so_many_round_values_lie_in_a_range():
    assert round_values(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert round_values(0, 1.2, about=6) == [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
    assert round_values(61.2, 74.9, about=6) == [62.0, 64.0, 66.0, 68.0, 70.0, 72.0, 74.0]
    assert round_values(3, 3) == [3]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (40_551_552, "40.6 M"),
        (269_722, "270 k"),
        (999_600, "1.00 M"),
        (15.47e9, "15.5 G"),
        (7, "7"),
    ],
)
def test_counts_read_well(value, text):
    assert si(value) == text


def test_numbers_read_well():
    assert [significant(v) for v in (0.01234, 4.056, 1234.5, 0)] == ["0.0123", "4.06", "1230", "0"]
    assert percent({"top1_mean": 0.9741, "top1_std": 0.0031}, "top1_mean") == "97.4 ± 0.3"
    assert percent({"top1_mean": 0.9741, "top1_std": None}, "top1_mean") == "97.4"
