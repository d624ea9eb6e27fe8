"""A picture of what an autoencoder makes of images: originals over reconstructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

IMAGES = 8
INCHES, DPI = 1.1, 160  # side of one image, and dots to the inch


def draw(originals: np.ndarray, made: np.ndarray, part: str, path: Path) -> None:
    """Save a PNG of two rows.

    Args:
        originals, made: float [images, h, w, 1 or 3] on 0..1; beyond it is clipped.
        part: what the originals are of, such as test.
        path: of the PNG.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(INCHES * len(originals) + 1.2, 2 * INCHES + 0.5), dpi=DPI)
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(originals), squeeze=False)
    errors = np.mean((originals - made) ** 2, axis=(1, 2, 3))
    for row, images in zip(grid, (originals, made), strict=True):
        for axes, image in zip(row, images, strict=True):
            pixels = np.clip(image, 0, 1)
            axes.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, "gray", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
    for axes, error in zip(grid[1], errors, strict=True):
        axes.set_xlabel(f"{error:.2g}", fontsize=8)
    grid[0][0].set_ylabel(f"{part} image", fontsize=8)
    grid[1][0].set_ylabel("reconstruction\nand its MSE", fontsize=8)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, format="png")
