"""From a spec, such as `folder:DIR`, to its source."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.errors import SourceError, nearest
from pipelines.files.readings import fitting
from pipelines.sources.base import Opening, Source


class Scheme(NamedTuple):
    """How a spec is written, and who opens it: `function(rest, opening)` of a module of this
    package, imported when the first source of the kind is opened."""

    form: str
    module: str
    function: str


SCHEMES = {
    "digits": Scheme("digits", "digits", "open_digits"),
    "directions": Scheme("directions:examples=1000,seed=1", "directions", "open_directions"),
    "synthetic": Scheme(
        "synthetic:classes=10,size=64,examples=1000,seed=1", "synthetic", "open_synthetic"
    ),
    "folder": Scheme("folder:DIR", "folder", "open_folder"),
    "ilsvrc": Scheme("ilsvrc:DIR", "ilsvrc.source", "open_ilsvrc"),
    "csv": Scheme("csv:FILE", "tables.table", "open_table"),
    "npz": Scheme("npz:FILE", "arrays.npz", "open_npz"),
    "keras": Scheme("keras:NAME", "arrays.keras_sets", "open_keras"),
    "mnist": Scheme("mnist[:DIR]", "arrays.keras_sets", "open_mnist"),
    "cifar": Scheme("cifar[:PATH]", "arrays.keras_sets", "open_cifar"),
    "svhn": Scheme("svhn:DIR", "arrays.svhn", "open_svhn"),
    "prepared": Scheme("prepared:DIR", "prepared", "open_prepared"),
    "tfds": Scheme("tfds:NAME[:VERSION]", "records.tfds.source", "open_tfds"),
    "hf": Scheme("hf:DIR", "records.hub.source", "open_hub"),
    "wds": Scheme("wds:GLOB", "records.webdataset", "open_webdataset"),
    "tfrecord": Scheme("tfrecord:DIR", "records.tfrecord.source", "open_tfrecord"),
}


def open_source(spec: str, **settings: Any) -> Source:
    """Open a source by its spec, one of the forms in SCHEMES.

    Settings are the fields of `Opening`, any left out.
    Raises SourceError on anything that cannot be used.
    """
    opening = Opening(**settings)
    name, _, rest = spec.partition(":")
    scheme = SCHEMES.get(name)
    if scheme is None:
        raise SourceError(_unknown(spec, name, rest))
    opener = getattr(import_module(f"pipelines.sources.{scheme.module}"), scheme.function)
    try:
        source: Source = opener(rest, opening)
    except SourceError as error:
        raise SourceError(f"{error}{_instead(name, rest, str(error))}") from None
    return source


def _instead(name: str, rest: str, problem: str) -> str:
    """The source that would fit, where it is another one and the problem does not name it."""
    path = os.path.expanduser(rest.partition(",")[0])
    clause = fitting(Path(path)) if path and os.path.exists(path) else ""
    spec = clause.removeprefix("write '").partition("'")[0]
    other = not spec.startswith(f"{name}:") or spec.startswith(f"{name}:{path}{os.sep}")
    return f"; or {clause}" if spec and other and spec not in problem else ""


def _unknown(spec: str, name: str, rest: str) -> str:
    paths = [os.path.expanduser(path) for path in (spec, rest)]
    clause = next((fitting(Path(path)) for path in paths if path and os.path.exists(path)), "")
    if not clause and os.path.isdir(paths[0]):
        clause = f"for images in class folders write 'folder:{spec}'"
    if clause:
        return f"unknown source {spec!r}: {clause}"
    known = ", ".join(repr(scheme.form) for scheme in SCHEMES.values())
    return f"unknown source {spec!r}{nearest(name, SCHEMES)}; expected one of {known}"
