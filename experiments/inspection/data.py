"""`ilsvrc data`: look at images before anything is trained on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from experiments.config.data import Data
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.jobs.composition import composition, in_detail, remarks, some_of
from experiments.jobs.composition import document as composed
from experiments.jobs.dataset import files_unchanged, open_source, split_of
from experiments.presentation import csv_text
from experiments.presentation.console import progress
from experiments.runtime.startup import load_tensorflow

SHOWN = 40  # rows of a table on the screen; --csv has all
COLUMNS = ("image", "split", "class", "problem", "detail")


def check(
    spec: str, *, tiny: int | None = None, deep: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Bad and duplicate images of a source; with `deep` those are decoded too that an earlier check
    saw and that have not changed since.

    Keys: spec, images (usable), classes, corrupt and duplicates (how many), across_splits (of the
    duplicates), fingerprint, class_names, parts, unused and notes (`jobs.composition.document`; the
    parts are those of a run with the default settings), remarks (lines), findings (dictionaries of
    COLUMNS, and title where the class has a readable name).

    Raises:
        BadInput: it cannot be opened, or a shard is damaged.
    """
    load_tensorflow()
    from pipelines.sources import check as work

    with _input_errors():
        source = work.open_to_check(spec)
        with progress("checking", len(source), quiet) as advance:
            least = work.TINY if tiny is None else tiny
            report = work.check(source, tiny=least, deep=deep, advance=advance)
    parts = _parts(source)
    findings = [dict(zip(COLUMNS, finding, strict=True)) for finding in report.findings]
    for finding in findings:
        if finding["class"] in source.titles:
            finding["title"] = source.titles[finding["class"]]
    return {
        "spec": source.spec,
        "images": report.images,
        "classes": report.classes,
        "corrupt": report.count(*work.CORRUPT),
        "duplicates": report.count("same bytes", "same pixels"),
        "across_splits": sum("across splits" in finding["detail"] for finding in findings),
        "fingerprint": report.fingerprint,
        **composed(source, parts),
        "remarks": remarks(source, parts),
        "findings": findings,
    }


def _parts(source: Any) -> dict[str, dict[str, Any]]:
    """As a run with the default settings has them; all as train where these allow no split."""
    if not len(source):
        return {}
    official = source.official_splits or {}
    if official and "train" not in official:  # a set to be scored, such as CIFAR-10-C
        return composition(source, None, official.get("validation"), official.get("test"))
    try:
        split = split_of(Config(), source)
    except BadInput:
        return composition(source, np.arange(len(source)), None, None)
    return composition(source, split.train, split.validation, split.test)


def write_csv(path: Path, findings: Sequence[dict[str, Any]]) -> None:
    """One row a finding, columns as COLUMNS, and title where classes have readable names."""
    titled = any("title" in finding for finding in findings)
    try:
        csv_text.write(path, [*COLUMNS, *["title"] * titled], findings)
    except OSError as error:
        raise BadInput(f"--csv: {path} cannot be written ({error.strerror})") from None


def check_table(document: dict[str, Any]) -> list[Any]:
    """What `check` prints: a table of the findings, then one line."""
    from rich.table import Table

    parts: list[Any] = []
    findings = document["findings"]
    if findings:
        table = Table(*COLUMNS, box=None, header_style="bold")
        for finding in findings[:SHOWN]:
            named = finding | {"class": f"{finding['class']} {finding.get('title', '')}".rstrip()}
            table.add_row(*(named[column] for column in COLUMNS))
        parts.append(table)
    if len(findings) > SHOWN:
        parts.append(f"... and {len(findings) - SHOWN} more: --csv FILE has them all")
    across = document["across_splits"]
    parts.append(
        f"{document['spec']}: {document['images']} images in {document['classes']} classes, "
        f"{document['corrupt']} corrupt, {document['duplicates']} duplicates"
        + (f" ({across} across official splits)" if across else "")
    )
    if names := document.get("class_names"):
        parts.append(f"classes: {some_of(names)}")
    parts += in_detail(document["parts"])
    parts += document["remarks"]
    parts.append(f"fingerprint {document['fingerprint']}")
    return parts


def stats(spec: str, *, limit: int | None = None) -> dict[str, Any]:
    """Mean, std and colour axes of the training part (all images without official splits).

    Keys: spec, of (which images), images, mean, std, eigenvalues, eigenvectors, and of a sample
    sampled_from and standard_error, as in `pipelines.statistics.Statistics`.
    """
    load_tensorflow()
    from pipelines import statistics

    source = open_source(Data(source=spec))
    splits = source.official_splits
    train = (splits or {}).get("train")
    indices = range(len(source)) if train is None else train
    with _input_errors(), files_unchanged(source):
        fitted = statistics.fit(source, indices, limit=limit)
    whole = "no official splits" if splits is None else "no official training part"
    part = f"all images ({whole})" if train is None else "the official training part"
    of = part if fitted.images == len(indices) else f"{fitted.images} images, evenly over {part}"
    return {"spec": source.spec, "of": of, **fitted.to_dict()}


def stats_lines(document: dict[str, Any]) -> list[str]:
    """What `stats` prints."""

    def row(values: Sequence[float], digits: int) -> str:
        return "  ".join(f"{value:.{digits}f}" for value in values)

    lines = [
        f"{document['spec']}: of {document['of']}, {document['images']} images",
        f"mean          {row(document['mean'], 3)}  (0..255)",
        f"std           {row(document['std'], 3)}  (0..255)",
        f"eigenvalues   {row(document['eigenvalues'], 6)}  (pixels on 0..1)",
    ]
    if "standard_error" in document:
        sample = f"a sample of {document['images']:,} of {document['sampled_from']:,} images"
        lines.insert(2, f"mean's error  {row(document['standard_error'], 3)}  (standard, {sample})")
    for i, axis in enumerate(document["eigenvectors"]):
        lines.append(f"{'eigenvectors' if i == 0 else '':13} {row(axis, 4)}")
    return lines


def prepare(
    spec: str,
    out: Path,
    *,
    size: int | None,
    encoding: str,
    quality: int,
    images_per_shard: int,
    channels: int | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Resize once into `prepared:OUT`; a stopped run goes on. See `pipelines.prepare.prepare`."""
    load_tensorflow()
    from pipelines.sources import prepare as work

    source = open_source(Data.model_validate({"source": spec, "channels": channels}))
    with (
        _input_errors(),
        files_unchanged(source),
        progress("preparing", len(source), quiet) as advance,
    ):
        manifest = work.prepare(
            source,
            out,
            size=size,
            encoding=encoding,
            quality=quality,
            images_per_shard=images_per_shard,
            advance=advance,
        )
    return {
        "spec": f"prepared:{out}",
        "images": manifest["images"],
        "classes": len(manifest["class_names"]),
        "encoding": manifest["encoding"],
        "size": manifest["size"],
        "quality": manifest["quality"],
        "shards": len(manifest["shards"]),
        "bytes": sum(shard["bytes"] for shard in manifest["shards"]),
        "fingerprint": manifest["fingerprint"],
    }


@contextmanager
def _input_errors() -> Iterator[None]:
    """What the pipelines refuse is bad input, one line."""
    try:
        yield
    except ValueError as error:
        raise BadInput(str(error)) from None
