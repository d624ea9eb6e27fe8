"""The table of lines to type: each is understood, and fails here only for want of the set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.errors import SourceError
from pipelines.sources import open as opening
from pipelines.sources.open import SCHEMES, open_source

PAGE = Path(opening.__file__).with_name("README.md")


def lines() -> list[str]:
    table = PAGE.read_text(encoding="utf-8").split("## What each source reads")[0]
    words = [word for row in table.splitlines() for word in re.findall(r"`([^`]+)`", row)]
    named = [re.sub(r".*data\.source=(\S+).*", r"\1", word) for word in words]
    return [word for word in named if word.partition(":")[0] in SCHEMES]


def test_every_scheme_for_sets_of_others_is_in_the_table() -> None:
    shown = {line.partition(":")[0] for line in lines()}
    assert set(SCHEMES) - shown == {"digits", "directions", "synthetic", "prepared"}


@pytest.mark.parametrize("line", lines())
def test_each_line_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(SourceError) as refusal:
        open_source(line.replace("{split}", "x"))
    assert "setting" not in str(refusal.value), refusal.value
