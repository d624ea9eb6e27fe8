"""Finding a set of TensorFlow Datasets on this machine, or having TFDS prepare it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from pipelines.errors import SourceError, first_line, nearest
from pipelines.progress import say

HOST = ("storage.googleapis.com", 443)  # where TFDS itself looks first

# What a set needs in its manual folder, where TFDS only describes it.
MANUAL = {"imagenet2012": ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")}


def prepared_builder(rest: str) -> Any:
    """The builder of `NAME[:VERSION]`, its files on disk; prepared now where they are not.

    Raises SourceError for an unknown set, and for one that is not prepared and cannot be.
    """
    import tensorflow_datasets as tfds

    builder = _builder(tfds, rest)
    return builder if builder.is_prepared() else _prepare(tfds, rest, builder)


def _builder(tfds: Any, rest: str, **options: Any) -> Any:
    if "TFDS_DATA_DIR" in os.environ:  # TFDS itself looks at it only when it is imported
        options["data_dir"] = os.environ["TFDS_DATA_DIR"]
    try:
        return tfds.builder(rest, **options)
    except tfds.core.DatasetNotFoundError:
        name, _, version = rest.partition(":")
        what = f"no set {name!r} of version {version}" if version else f"no set {name!r}"
        raise SourceError(
            f"tfds: {what} is known{nearest(name, tfds.list_builders())}, and none is prepared "
            f"under that name in {_data_dir(tfds)}: check the name, or set TFDS_DATA_DIR"
        ) from None
    except Exception as error:  # TFDS raises many kinds, AssertionError among them
        raise SourceError(f"tfds: {rest} cannot be opened: {first_line(error)[:300]}") from None


def _data_dir(tfds: Any) -> str:
    return os.environ.get("TFDS_DATA_DIR") or str(tfds.core.constants.DATA_DIR)


def _prepare(tfds: Any, rest: str, builder: Any) -> Any:
    """Have TFDS prepare the set, with random access. Raises SourceError when it cannot."""
    root = Path(_data_dir(tfds)).expanduser()
    manual = root / "downloads" / "manual"
    instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    wanted = MANUAL.get(builder.name, ())
    if instructions:
        missing = [file for file in wanted if not (manual / file).exists()]
        empty = not manual.is_dir() or not any(manual.iterdir())
        if missing or empty:
            what = " and ".join(missing) or "its files (see the set's page at tensorflow.org)"
            instead = "; or read them in place as ilsvrc:DIR" if wanted else ""
            raise SourceError(
                f"tfds: {builder.name} must be downloaded by hand: put {what} into {manual}"
                f"{instead}"
            )
    elif not online():
        raise SourceError(
            f"tfds: {rest} is not prepared in {root} and this machine is offline: copy a prepared "
            "set there, name its folder by TFDS_DATA_DIR, or go online once"
        )
    say(f"tfds: preparing {builder.info.full_name} in {root} (once)")
    builder = _builder(tfds, rest, file_format="array_record")
    try:
        builder.download_and_prepare()
    except Exception as error:  # whatever downloading and a set's own code raise
        raise SourceError(
            f"tfds: {rest} could not be prepared: {type(error).__name__}: {first_line(error)[:300]}"
        ) from None
    return builder


def online(seconds: float = 5.0) -> bool:
    """Whether TFDS can be expected to download: it would retry for minutes when it cannot."""
    if any(os.environ.get(key) for key in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True  # a proxy resolves names itself
    try:
        socket.create_connection(HOST, timeout=seconds).close()
    except OSError:
        return False
    return True
