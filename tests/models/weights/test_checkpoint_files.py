"""What is said of a checkpoint file that cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from models.weights import checkpoint_files
from models.weights.checkpoint_files import CheckpointError


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("bad magic\nand more"), "bad magic"), (EOFError(), "EOFError")],
    ids=["of two lines", "without text"],
)
def test_a_damaged_file_is_one_line_that_says_why(
    error: Exception, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=load))
    (tmp_path / "x.pth").write_bytes(b"")

    with pytest.raises(CheckpointError) as caught:
        checkpoint_files.read(tmp_path / "x.pth")

    assert str(caught.value).endswith(f"torch.load reads with weights_only=True: {reason}")
