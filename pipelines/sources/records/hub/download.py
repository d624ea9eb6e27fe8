"""A set of the hub by its name: loaded once by the package `datasets`, where it is installed."""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path

from pipelines.errors import SourceError, first_line
from pipelines.files.index_cache import FOLDER
from pipelines.progress import say


def downloaded(name: str, config: str | None) -> Path:
    """The folder of `save_to_disk` of a set, such as "cifar10" or "user/name"; loaded now if new.

    Raises SourceError for what is a path and no name, where `datasets` is not installed, and where
    it cannot load the set.
    """
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise SourceError(f"hf: {name} is no directory: check the path")
    folder = FOLDER / "hf" / "--".join([*name.split("/"), *([config] if config else [])])
    if folder.is_dir():
        return folder.absolute()
    try:
        datasets = import_module("datasets")
    except ImportError:
        raise SourceError(
            f"hf: there is no directory {name!r}, and to download a set of that name the package "
            "`datasets` is needed: `pip install datasets`, or put the set's Parquet files into a "
            "directory and write 'hf:DIR'"
        ) from None
    say(f"hf: loading {name} from the hub (once), into {folder}")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        datasets.load_dataset(name, config).save_to_disk(str(partial))
        os.replace(partial, folder)
    except Exception as error:  # whatever downloading, the hub and a set's own code raise
        raise SourceError(
            f"hf: {name} could not be loaded: {type(error).__name__}: {first_line(error)[:300]}"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder.absolute()
