"""BMP, GIF, WebP and TIFF to pixels, by Pillow.

TensorFlow's decoders of these would not do: the one of BMP ignores palettes, the one of GIF decodes
every frame, the one of WebP writes past its memory where there are several, and there is none of
TIFF.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import warnings

import numpy as np
from PIL import Image

from pipelines.files.image_header import ORIENTATION, read_header

# Headers are held against data.max_pixels, and below against what Pillow makes of the file.
Image.MAX_IMAGE_PIXELS = None

# Of a damaged TIFF one line is said, by whoever knows the file's name: not by Python's warnings and
# log, nor by libtiff on standard error (where its functions can be reached).
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.CRITICAL)
with contextlib.suppress(AttributeError, OSError):
    libtiff = ctypes.CDLL(Image.core.__file__)
    libtiff.TIFFSetErrorHandler(None)
    libtiff.TIFFSetWarningHandler(None)

PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


def pixels_of(contents: bytes) -> np.ndarray:
    """uint8 [h, w, 3] of a file's first frame or page; transparency is dropped, the stored colours
    stay, and of 16 bits the upper 8.

    Raises ValueError, one line, for what is damaged or of no kind that is read here.
    """
    kind, height, width, _ = read_header(contents)
    try:
        with Image.open(io.BytesIO(contents), formats=[kind]) as image:
            if image.size != (width, height):
                raise ValueError("the header does not fit")
            if kind == "TIFF":  # which Pillow turns upright by this tag, or else by a text in XML
                image.getexif()[ORIENTATION] = image.tag_v2.get(ORIENTATION, 1)
            image.load()
            if not image.mode.startswith("I;16"):
                return np.asarray(image.convert("RGB"))
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            if image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow heeds it up to 8 bits only
                grey = 255 - grey
            return np.repeat(grey[..., None], 3, axis=2)
    except MemoryError:
        raise
    except Exception as error:  # whatever Pillow's parsers make of damaged bytes
        why = str(error).partition("\n")[0][:100] or type(error).__name__
        raise ValueError(f"Invalid {kind} data, size {len(contents)}: {why}") from None
