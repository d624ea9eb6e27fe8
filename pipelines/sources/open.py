"""From a spec, such as `folder:DIR`, to its source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipelines.errors import SourceError, nearest
from pipelines.sources.base import MAX_PIXELS, MEMORY_LIMIT_BYTES, Source

SCHEMES = {
    "digits": "digits",
    "directions": "directions:examples=1000,seed=1",
    "synthetic": "synthetic:classes=10,size=64,examples=1000,seed=1",
    "folder": "folder:DIR",
    "ilsvrc": "ilsvrc:DIR",
    "prepared": "prepared:DIR",
    "tfds": "tfds:NAME[:VERSION]",
}


def open_source(
    spec: str,
    *,
    on_corrupt: Literal["error", "skip"] = "error",
    max_corrupt_fraction: float = 0.01,
    channels: int | None = None,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    max_pixels: int = MAX_PIXELS,
    empty_classes: bool = False,
) -> Source:
    """Open a source by its spec, one of the forms in SCHEMES; settings may be left out.

    on_corrupt            what to do with files that do not decode: refuse, or leave them out
    max_corrupt_fraction  refuse to leave out more than this share of the files
    channels              1 or 3; None = what the source has (folders: 3)
    memory_limit_bytes    folders of equal-sized images up to this are held in memory
    max_pixels            height x width above which an image file counts as corrupt, undecoded;
                          TFDS sets with such an image are refused
    empty_classes         keep a class of which no file decodes, for those who only look
    Raises SourceError on anything that cannot be used.
    """
    if on_corrupt not in ("error", "skip"):
        raise SourceError(f"data.on_corrupt: expected 'error' or 'skip', received {on_corrupt!r}")
    if channels not in (None, 1, 3):
        raise SourceError(f"data.channels: expected 1 or 3, received {channels!r}")
    if max_pixels < 1:
        raise SourceError(f"data.max_pixels: expected a number from 1, received {max_pixels!r}")
    scheme, _, rest = spec.partition(":")
    if scheme == "digits":
        if rest:
            raise SourceError(f"source 'digits' takes no settings, received {spec!r}: use 'digits'")
        from pipelines.sources.digits import open_digits

        return open_digits(channels=channels)
    if scheme == "directions":
        from pipelines.sources.directions import open_directions

        return open_directions(rest, channels=channels)
    if scheme == "synthetic":
        from pipelines.sources.synthetic import open_synthetic

        return open_synthetic(rest, channels=channels, memory_limit_bytes=memory_limit_bytes)
    if scheme in ("folder", "ilsvrc"):
        from pipelines.sources.folder import open_folder
        from pipelines.sources.ilsvrc import open_ilsvrc

        open_files = open_folder if scheme == "folder" else open_ilsvrc
        return open_files(
            rest,
            on_corrupt=on_corrupt,
            max_corrupt_fraction=max_corrupt_fraction,
            channels=channels or 3,
            memory_limit_bytes=memory_limit_bytes,
            max_pixels=max_pixels,
            empty_classes=empty_classes,
        )
    if scheme == "prepared":
        from pipelines.sources.prepared import open_prepared

        return open_prepared(rest, channels=channels, memory_limit_bytes=memory_limit_bytes)
    if scheme == "tfds":
        from pipelines.sources.tfds import open_tfds

        return open_tfds(
            rest,
            channels=channels,
            memory_limit_bytes=memory_limit_bytes,
            max_pixels=max_pixels,
        )
    if Path(spec).expanduser().is_dir():
        hint = f" (for the images in this directory write 'folder:{spec}')"
    else:
        hint = nearest(scheme, SCHEMES)
    known = ", ".join(repr(form) for form in SCHEMES.values())
    raise SourceError(f"unknown source {spec!r}{hint}; expected one of {known}")
