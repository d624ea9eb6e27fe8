"""The shipped configs and the schema of a config, as `ilsvrc configs` and `schema` give them."""

from __future__ import annotations

import json

import pytest
from command import inside

from experiments.config.meant import shipped
from experiments.config.schema import Config
from experiments.inspection import configs


def test_every_shipped_config_is_listed_with_its_command():
    rows = {row["name"]: row for row in configs.rows()}
    assert list(rows) == list(shipped())
    assert rows["quickstart"]["command"] == "ilsvrc sweep quickstart"
    assert rows["nested"]["command"] == "ilsvrc nested nested"
    assert rows["ensemble"]["command"] == "ilsvrc ensemble ensemble"
    assert rows["search-grid"]["command"] == "ilsvrc search search-grid"
    assert rows["ablations/depth"]["about"].startswith("Degradation (He et al. 2016, section 4.2")
    assert all(row["about"] and "schema" not in row["about"] for row in rows.values())


@pytest.mark.parametrize("name", shipped())
def test_editors_find_the_schema_from_the_first_line(name):
    file = shipped()[name]
    first = file.read_text(encoding="utf-8").splitlines()[0]
    begin, _, path = first.partition("$schema=")
    assert begin == "# yaml-language-server: "
    assert (file.parent / path).resolve() == shipped()["quickstart"].parent / "schema.json"


def test_the_shipped_schema_is_that_of_today(monkeypatch, capsys, tmp_path):
    kept = shipped()["quickstart"].parent / "schema.json"
    assert kept.read_text(encoding="utf-8") == configs.schema_text()
    assert inside(monkeypatch, "schema") == 0
    assert json.loads(capsys.readouterr().out) == Config.model_json_schema()
    out = tmp_path / "schema.json"
    assert inside(monkeypatch, "schema", "--out", out) == 0
    assert json.loads(out.read_text())["properties"].keys() == Config.model_fields.keys()
    assert inside(monkeypatch, "schema", "--out", tmp_path / "no" / "schema.json") == 2
