"""Every table as data: its settings are the config's, its networks exist, and its figures are those
of the cards, where a card has them."""

from __future__ import annotations

import functools
import json
import re
from fractions import Fraction

import pytest

import models
from experiments.config import settings
from experiments.errors import BadInput
from experiments.jobs.plan import check_settings
from experiments.papers import planning
from experiments.papers.catalogue import PAPERS, paper_of, tables_of, with_rows
from experiments.papers.planning import Request
from experiments.papers.run import requested

TABLES = [
    pytest.param(paper, table, id=f"{paper.name}-{table.name}")
    for paper in PAPERS.values()
    for table in paper.tables
]


@functools.cache
def _assembled(name: str, options: str) -> None:
    """Values of the network's own options, too."""
    models.outline(name, **json.loads(options))


@pytest.mark.parametrize("scale", ["1", "1/64"])
@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_every_cell_is_a_config_that_suits_its_network(paper, table, scale):
    request = Request(paper, [table], Fraction(scale), 1, ["data.source=digits"])
    for cell in table.cells:
        for member in cell.members:
            raw = planning.draft(request, table, cell, member, 1)
            config = settings.parse(raw)
            planning.check_sides(request, table, cell, config)
            check_settings(config)
            options = {k: v for k, v in config.model.options.items() if k != "width"}
            _assembled(config.model.name, json.dumps(options, sort_keys=True))
            assert config.name == f"paper-{paper.name}"


@pytest.mark.parametrize(("paper", "table"), TABLES)
def test_rows_and_columns_name_one_cell(paper, table):
    names = [(cell.row, cell.column) for cell in table.cells]
    assert len(set(names)) == len(names)
    if table.target:
        assert table.target in {cell.row for cell in table.cells}


def test_figures_that_a_card_verified_are_the_tables():
    """Of the same network, the paper's own figure under the same number of networks."""
    seen = 0
    for paper in PAPERS.values():
        for table in paper.tables:
            for cell in table.cells:
                if cell.published is None or not cell.verified or "error" not in cell.measure:
                    continue
                name = dict(table.base.get("model", {}), **{
                    "name": cell.changes.get("model.name", table.base.get("model", {}).get("name"))
                })["name"]  # fmt: skip
                rank = cell.measure.removesuffix(" error")
                known = {
                    value if "error" in figure["metric"] else round(100 - value, 2)
                    for figure in models.card(name).published
                    if figure["verified"] and figure["metric"].startswith(rank)
                    for value in [float(figure["value"])]
                }
                assert cell.published in known, (paper.name, table.name, cell)
                seen += 1
    assert seen > 70


def test_figures_that_were_not_read_again_are_few():
    """None of them is one that a table of the paper was at hand for."""
    unread = {
        (paper.name, cell.published)
        for paper in PAPERS.values()
        for table in paper.tables
        for cell in table.cells
        if cell.published is not None and not cell.verified
    }
    assert unread == {("nin", 14.51), ("nin", 11.59), ("nin", 10.88)}


def test_networks_of_vgg_are_tested_at_the_side_that_table_3_says():
    """Q = S where S is fixed, else the middle of 256 to 512."""
    [table] = tables_of(paper_of("vgg"), ["table-3"])
    figures = {}
    for cell in table.cells:
        trained = cell.column.partition(",")[0]
        assert cell.sides == ((256,) if trained == "S=256" else (384,))
        figures[cell.row, cell.column] = cell.published
    assert len(figures) == 2 * (3 + 3 * 3)
    assert [figures[row, "S=384, top-1"] for row in "CDE"] == [28.1, 26.8, 26.9]
    assert [figures[row, "S=384, top-5"] for row in "CDE"] == [9.3, 8.7, 8.7]
    request = Request(paper_of("vgg"), [table], Fraction(1), 1, ["data.source=digits"])
    sides = {
        cell.column: planning.draft(request, table, cell, {}, 1)["augment"]["steps"][0]
        for cell in table.cells
        if cell.row == "D"
    }
    assert sides["S=384, top-1"]["short_side"] == [384, 384]
    assert sides["S=[256, 512], top-5"]["short_side"] == [256, 512]


def test_names_that_are_not_there():
    for call, message in (
        (lambda: paper_of("resnt"), "no paper resnt; did you mean resnet"),
        (lambda: paper_of("zzzz"), "no paper zzzz; papers: alexnet, zfnet"),
        (lambda: tables_of(paper_of("resnet"), ["table-66"]), "did you mean table-6?"),
        (lambda: with_rows(tables_of(paper_of("vgg"), []), ["A-LRM"]), "did you mean A-LRN?"),
        (lambda: requested("vgg", [], [], "2", 1, []), "--scale: expected 1, or a part"),
        (lambda: requested("vgg", [], [], "1/0", 1, []), "--scale: expected 1, or a part"),
        (lambda: requested("vgg", [], [], "1", 0, []), "--seeds: expected a number from 1"),
    ):
        with pytest.raises(BadInput, match=re.escape(message)):
            call()
