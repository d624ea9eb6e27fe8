"""No cell of a CSV file is a formula to a spreadsheet, and every number is still one."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import experiments
from experiments.evaluation import confusion
from experiments.inspection import data
from experiments.presentation.csv_text import csv_text


def cells(text):
    return list(csv.reader(text.splitlines(keepends=True)))


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(A1)", "+x", "-x", "\tx", "'=x"])
def test_a_name_is_not_a_formula(name):
    assert cells(csv_text([name], [[name]])) == [[f"'{name}"], [f"'{name}"]]


@pytest.mark.parametrize(
    "value", [-0.5, "-0.5", "+1e-3", "-0.01 0.02", "cat", "it's", "", "a=b", '한, "국"', -3]
)
def test_numbers_and_other_texts_are_as_they_were(value):
    assert cells(csv_text(["x"], [{"x": value, "y": 1}, ["z"]])) == [["x"], [str(value)], ["z"]]


def test_what_is_not_known_is_empty():
    assert csv_text(["a", "b"], [{"a": None}]) == "a,b\n,\n"


def test_tables_of_classes_and_files(tmp_path):
    confusion.write_matrix(tmp_path / "c.csv", np.eye(2, dtype=int), ["=1+1", "dog"])
    written = cells((tmp_path / "c.csv").read_text())
    assert written == [["true class", "'=1+1", "dog"], ["'=1+1", "1", "0"], ["dog", "0", "1"]]
    data.write_csv(tmp_path / "d.csv", [dict.fromkeys(data.COLUMNS, "@x.jpg")])
    assert cells((tmp_path / "d.csv").read_text())[1] == ["'@x.jpg"] * len(data.COLUMNS)


def test_csv_is_written_in_one_place():
    for file in Path(experiments.__file__).parent.rglob("*.py"):
        if file.name != "csv_text.py":
            assert not re.search(r"csv\.(writer|DictWriter)|to_csv", file.read_text("utf-8")), file
