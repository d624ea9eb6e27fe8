"""The handwritten digits that come with scikit-learn: 1,797 images of 8 x 8 x 1."""

from __future__ import annotations

import numpy as np

from pipelines.errors import SourceError
from pipelines.sources.array_source import ArraySource
from pipelines.sources.base import Opening


def open_digits(rest: str, opening: Opening) -> ArraySource:
    """Values 0..16 are stretched to 0..255; three channels repeat the one. UCI digits, Alpaydin.

    Raises SourceError for any settings in the spec: there are none.
    """
    if rest:
        raise SourceError(
            f"source 'digits' takes no settings, received {f'digits:{rest}'!r}: use 'digits'"
        )
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.rint(data.images * (255.0 / 16.0)).astype(np.uint8)[..., None]
    depth = opening.channels or 1
    return ArraySource(
        np.repeat(grey, depth, axis=-1),
        data.target,
        data.target_names,
        spec="digits",
        # 8 x 8 is smaller than any ILSVRC network can take: its pooling would leave nothing.
        default_size=32,
    )
