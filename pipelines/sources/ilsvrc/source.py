"""ILSVRC 2012 and its subsets as they are given out, packed or unpacked.

    ILSVRC2012_img_train.tar   or   train/<wnid>/*.JPEG
    ILSVRC2012_img_val.tar     or   val/*.JPEG   or   val/<wnid>/*.JPEG   (or validation/)
    files of the validation labels: see `labels.validation_wnids`

in DIR itself or inside it, as in Kaggle's download (ILSVRC/Data/CLS-LOC), and Tiny ImageNet, whose
images are in train/<wnid>/images and val/images. A tar is read in place and preferred to a folder:
it is whole. Pixels are as stored: the published results ignore EXIF orientation.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np

from pipelines.errors import SourceError
from pipelines.files.layout import join
from pipelines.files.verify import verify
from pipelines.sources.base import Opening, Source
from pipelines.sources.file_source import file_source
from pipelines.sources.ilsvrc.layout import TARS, Layout, locate, unused_files
from pipelines.sources.ilsvrc.parts import Part, train_part, validation_part
from pipelines.sources.ilsvrc.titles import known_wnids, titles_of


def open_ilsvrc(directory: str, opening: Opening) -> Source:
    """Official splits: train, and the validation set as "validation"; test labels are not public.

    Classes are the wnids of both parts in alphabetical order, the order of published weights; one
    that only the validation part has is kept, with a warning. Without training images, to score
    published weights, they are all those that the files beside the images name. Images are in the
    order of class and name (train) and of name (validation), whatever the layout. Each is looked
    at once, as `folder.open_folder` does. Raises SourceError that says which files to put where.
    """
    if not directory:
        raise SourceError("ilsvrc: expected a directory, received none: write 'ilsvrc:DIR'")
    root = Path(directory).expanduser()
    if not root.is_dir():
        raise SourceError(f"ilsvrc: {root} is not a directory: check the path")
    layout = locate(root)
    parts = _parts(layout)
    class_names = _class_names(layout, parts)
    number = {name: i for i, name in enumerate(class_names)}
    labels = np.array([number[wnid] for _, wnids in parts.values() for wnid in wnids], np.int64)
    files = join([files for files, _ in parts.values()])
    titles, notes = _titles(layout, class_names)
    if "train" not in parts:
        notes.append("there are no training images: a set to score networks on")
    source = file_source(
        f"ilsvrc:{os.path.normpath(directory)}",
        files,
        verify(
            files,
            root=os.path.realpath(root),
            max_pixels=opening.max_pixels,
            decode_all=opening.decodes,
        ),
        labels,
        class_names,
        np.repeat(np.arange(len(parts)), [len(wnids) for _, wnids in parts.values()]),
        list(parts),
        upright=False,
        opening=opening,
        unused=unused_files(layout),
        titles=titles,
        notes=notes,
    )
    source.headline = "validation"
    return source


def _parts(layout: Layout) -> dict[str, Part]:
    parts = {"train": train_part(layout)} if "train" in layout.parts else {}
    if "validation" not in layout.parts:
        raise SourceError(
            f"ilsvrc: {layout.levels[-1]} has no validation images: put {TARS['validation']} "
            "there, or its images into val/; folder:DIR reads class folders alone"
        )
    return parts | {"validation": validation_part(layout)}


def _titles(layout: Layout, class_names: list[str]) -> tuple[dict[str, str], list[str]]:
    """Readable names, and why there are none; they decide nothing, so that no fault ends here."""
    try:
        return titles_of(class_names, layout.beside), []
    except SourceError as error:
        return {}, [f"classes have no readable names: {error}"]


def _class_names(layout: Layout, parts: dict[str, Part]) -> list[str]:
    held = set(parts["validation"][1])
    if "train" not in parts:
        known = known_wnids(layout.beside)
        return known if held <= set(known) else sorted(held)
    train = set(parts["train"][1])
    if unseen := sorted(held - train):
        warnings.warn(
            f"ilsvrc: {len(unseen)} of {len(train | held)} classes are in the validation part "
            f"only, such as {unseen[0]}: no network can learn them",
            stacklevel=4,
        )
    return sorted(train | held)
