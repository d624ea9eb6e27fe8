"""Arrays of drawn images whose class and number can be told from the pixels alone."""

from __future__ import annotations

import numpy as np


def drawn(labels, height=32, width=32, channels=3):
    """uint8 [n, height, width, channels]: no row, column or channel of an image is another's."""
    labels = np.asarray(labels)
    number = np.arange(len(labels))
    y, x, c = np.mgrid[:height, :width, :channels]
    pattern = 3 * y + 5 * x + 71 * c
    return ((20 * labels + number % 20)[:, None, None, None] + pattern).astype(np.uint8)


def class_in(images):
    """int64 [n]: the class that each image was drawn for, 0 to 11."""
    return images[:, 0, 0, 0].astype(np.int64) // 20
