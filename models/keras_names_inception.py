"""Which of our layers is which of keras.applications.InceptionV3."""

from __future__ import annotations

from models.branches import Conv, stems
from models.inception import V3_MODULES, V3_STEM


def inception_v3_stems() -> list[str]:
    """Our layer names, without "_conv" and "_bn", in the order in which Keras makes its layers.

    Keras numbers its 94 convolutions and normalisations in that order: conv2d, conv2d_1, ... and
    batch_normalization, batch_normalization_1, ...; the first has no number in a fresh session. Its
    last layer, "predictions", is our "fc".
    """
    found = [name for name, step in V3_STEM.items() if isinstance(step, Conv)]
    for name, branches in V3_MODULES.items():
        found += stems(branches, name=name)
    return found
