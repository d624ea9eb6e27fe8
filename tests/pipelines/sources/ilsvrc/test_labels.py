"""The classes of validation images, from each file that has them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from ilsvrc_set import GROUND_TRUTH, check, write_kit, write_names, write_tars

from pipelines.errors import SourceError
from pipelines.sources.open import open_source


@pytest.mark.parametrize("kit", ["", "data", "ILSVRC2012_devkit_t12/data", "tar.gz"])
def test_labels_from_the_development_kit(tmp_path: Path, kit: str) -> None:
    root = write_tars(tmp_path / "set")
    if kit == "tar.gz":
        files = write_kit(tmp_path / "kit")
        with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
            for name in (GROUND_TRUTH, "meta.mat"):
                tar.add(files / name, f"ILSVRC2012_devkit_t12/data/{name}")
    else:
        write_kit(root / kit)
    check(open_source(f"ilsvrc:{root}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n3\n1\n5\n", "line 4: expected an id of meta.mat .1 to 4., received '5'"),
        ("2\n3\n0\n2\n", "line 3: expected an id of meta.mat .1 to 4., received '0'"),
        ("2\n3\n-1\n2\n", "line 3: .* received '-1'"),
        ("2\ncat\n1\n2\n", "line 2: .* received 'cat'"),
        ("2\n3\n1\n", "has no class for 'ILSVRC2012_val_00000004.JPEG'"),
        ("2\n3\n1\n2\n2\n", "has 5 images but 4 are there, 'ILSVRC2012_val_00000005.JPEG'"),
    ],
)
def test_labels_out_of_range(tmp_path: Path, text: str, message: str) -> None:
    root = write_kit(write_tars(tmp_path))
    (root / GROUND_TRUTH).write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        open_source(f"ilsvrc:{root}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ILSVRC2012_val_00000004.JPEG", "line 4: expected 'NAME WNID'"),
        ("ILSVRC2012_val_00000004.JPEG 17", "line 4: expected 'NAME WNID'"),
        ("ILSVRC2012_val_00000003.JPEG n01440764", "line 4: .* is named twice"),
        ("ILSVRC2012_val_00000009.JPEG n01440764", "no class for 'ILSVRC2012_val_00000004.JPEG'"),
        ("", "no class for 'ILSVRC2012_val_00000004.JPEG'"),
    ],
)
def test_bad_lines_of_names(tmp_path: Path, line: str, message: str) -> None:
    root = write_names(write_tars(tmp_path))
    lines = (root / "val_wnids.txt").read_text().splitlines()[:3]
    (root / "val_wnids.txt").write_text("\n".join([*lines, line]))
    with pytest.raises(SourceError, match=message):
        open_source(f"ilsvrc:{root}")


def test_damaged_kits(tmp_path: Path) -> None:
    root = write_kit(write_tars(tmp_path))
    (root / "meta.mat").write_bytes(b"not MATLAB" * 100)
    with pytest.raises(SourceError, match=r"meta.mat cannot be read .*synsets") as caught:
        open_source(f"ilsvrc:{root}")
    assert "\n" not in str(caught.value)
    (root / "meta.mat").unlink()
    (root / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"\x1f\x8b not gzip")
    with pytest.raises(SourceError, match=r"devkit_t12.tar.gz is damaged or truncated"):
        open_source(f"ilsvrc:{root}")
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as tar:
        tar.add(root / GROUND_TRUTH, GROUND_TRUTH)
    with pytest.raises(SourceError, match=r"devkit_t12.tar.gz holds no meta.mat"):
        open_source(f"ilsvrc:{root}")
