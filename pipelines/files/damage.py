"""Which file it was that could not be decoded, once a decoder has said so without its name."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipelines.errors import printable
from pipelines.files.index_cache import Index
from pipelines.files.verify import Files, examine_files, read_range
from pipelines.lazy import tf
from pipelines.progress import Progress
from pipelines.threads import workers

# What TensorFlow's decoders say, and its check of a shape that was read from a header.
DECODING = re.compile(
    r"jpeg::Uncompress failed|Invalid \w+ data|Decode\w*(Jpeg|Png|Gif|Bmp|WebP|Image)\b"
    r"|Shape of tensor \w+ \S+ is not compatible"
)
SIZE = re.compile(r"data,? \(?size (\d+)")
CHUNK = 256  # files a thread tries before it says how far it is
CORNER = [0, 0, 1, 1]


def damaged(error: Exception, files: Files, index: Index, root: str, max_pixels: int) -> Index:
    """The rows of files that do not decode, as they were found: none where that is no reason for
    the error.

    index, root, max_pixels   what `verify` knew of these files, and of whom; both it and the next
                              opening know afterwards what was found

    Files that were decoded before are not looked at. Of a JPEG the first row of pixels is tried
    first, which few damages of a file with both its ends survive; only then all of each file.
    """
    nothing = index.rows(np.zeros(0, np.int64))
    text = str(error)
    if not DECODING.search(text):
        return nothing
    suspects = np.flatnonzero(~index.decoded)
    if size := SIZE.search(text):
        suspects = suspects[index.sizes[suspects] == int(size[1])]
    for some in (_that_do_not_begin(files, suspects, root), suspects):
        if len(some):
            examine_files(files, index, some, root=root, max_pixels=max_pixels)
            bad = some[[bool(index.reasons[i]) for i in some.tolist()]]
            if len(bad):
                return index.rows(bad)
    return nothing


def _that_do_not_begin(files: Files, suspects: np.ndarray, root: str) -> np.ndarray:
    """The JPEG files without a first row of pixels."""

    def fails(i: int) -> bool:
        contents = b""
        try:
            contents = read_range(files.paths[i], int(files.offsets[i]), int(files.sizes[i]))
            if contents.startswith(b"\xff\xd8"):
                with tf.device("CPU:0"):
                    tf.image.decode_and_crop_jpeg(contents, CORNER)
        except (OSError, tf.errors.OpError):
            return True
        return False

    progress = Progress(f"{printable(root)}: looking for the damaged file: {{}}", len(suspects))
    chunks = [suspects[i : i + CHUNK] for i in range(0, len(suspects), CHUNK)]
    failing: list[int] = []
    with ThreadPoolExecutor(workers()) as pool:
        for done, found in enumerate(
            pool.map(lambda chunk: [i for i in chunk.tolist() if fails(i)], chunks), 1
        ):
            failing += found
            progress(done * CHUNK)
    return np.array(failing, np.int64)
