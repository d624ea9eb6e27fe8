"""Image files in class folders; official train / val / test folders are kept."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.errors import SourceError
from pipelines.files.class_folders import list_directory
from pipelines.files.verify import verify
from pipelines.sources.base import Opening, Source, Unused
from pipelines.sources.file_source import file_source


def open_folder(directory: str, opening: Opening) -> Source:
    """Every file is looked at once: at the first opening, and again when it has changed.

    Its first and last bytes are read, or all of it is decoded (`Opening.verify`). A file counts as
    unchanged with the same size and times of change (contents and metadata). What was found is kept
    in `.ilsvrc/.cache` of the working folder. Photographs are turned upright as their EXIF
    orientation says. Images of one size that fit into the memory limit are held in memory.
    Raises SourceError.
    """
    if not directory:
        raise SourceError("folder: expected a directory, received none: write 'folder:DIR'")
    root = Path(directory).expanduser()
    listing = list_directory(root)
    index = verify(
        listing.files,
        root=os.path.realpath(root),
        max_pixels=opening.max_pixels,
        decode_all=opening.decodes,
    )
    return file_source(
        f"folder:{os.path.normpath(directory)}",
        listing.files,
        index,
        listing.labels,
        listing.class_names,
        listing.part,
        listing.parts,
        upright=True,
        opening=opening,
        unused=[Unused(*row) for row in listing.unused],
        notes=listing.notes,
    )
