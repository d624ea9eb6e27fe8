"""Writers of sets of arrays in the forms that their pages give out, with drawn images."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile

import numpy as np
from drawn_arrays import drawn

from pipelines.sources.arrays.cifar_c import TEN

DIGITS = {
    "train": np.random.default_rng(0).permutation(np.arange(50) % 10),
    "t10k": 9 - np.arange(20) % 10,
}


def idx(array):
    """uint8 as an idx file."""
    array = np.asarray(array, np.uint8)
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write(path, contents):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(contents) if path.suffix == ".gz" else contents)


def idx_folder(root, name="{part}-{kind}-idx{rank}-ubyte.gz", parts=DIGITS, turned=False):
    for part, labels in parts.items():
        images = drawn(labels, 9, 7, 1)[..., 0]
        images = images.transpose(0, 2, 1) if turned else images
        write(root / name.format(part=part, kind="images", rank=3), idx(images))
        write(root / name.format(part=part, kind="labels", rank=1), idx(labels))
    return root


FINE = [f"fine{i:02d}" for i in range(100)]
COARSE = [f"coarse{i:02d}" for i in range(20)]
EACH = 6


def python_2(value):
    """A pickle of protocol 2 as Python 2 wrote it: text and the bytes of arrays are str."""

    def short(text):
        data = text.encode() if isinstance(text, str) else text
        if len(data) < 256:
            return b"U" + bytes([len(data)]) + data
        return b"T" + struct.pack("<i", len(data)) + data

    def of(item):
        if isinstance(item, str | bytes):
            return short(item)
        if isinstance(item, int):
            return b"J" + struct.pack("<i", item)
        if isinstance(item, list):
            return b"](" + b"".join(map(of, item)) + b"e"
        if isinstance(item, dict):
            return b"}(" + b"".join(of(key) + of(x) for key, x in item.items()) + b"u"
        assert item.dtype == np.uint8
        minus_one = b"J\xff\xff\xff\xff"
        kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + 2 * minus_one + b"K\x00tb"
        shape = b"(" + b"".join(map(of, item.shape)) + b"t"
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01" + shape + kind + b"\x89" + short(item.tobytes()) + b"tb"
        )

    return b"\x80\x02" + of(value) + b"."


def planes(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def labels_of(part, hundred):
    rng = np.random.default_rng(0 if part == "train" else 1)
    count = EACH * (5 if part == "train" and not hundred else 1)
    return rng.permutation(np.arange(3 * count) % 10)[:count]


def cifar_files(form, write=python_2):
    """name -> bytes of a set in this form, and part -> (images, class names of them)."""
    hundred, binary = form.startswith("cifar-100"), form.endswith(("bin", "binary"))
    stored, truth = {}, {}
    for part in ("train", "test"):
        labels = labels_of(part, hundred)
        images = drawn(labels)
        truth[part] = images, labels
        batches = [part] if hundred else [f"data_batch_{i}" for i in range(1, 6)]
        batches = ["test_batch"] if part == "test" and not hundred else batches
        for name, at in zip(batches, range(0, len(labels), EACH), strict=True):
            pixels, known = planes(images[at : at + EACH]), labels[at : at + EACH]
            if binary:
                columns = [known % 4, known + 50] if hundred else [known]
                records = np.concatenate([np.stack(columns, 1), pixels], axis=1)
                stored[f"{name}.bin"] = records.astype(np.uint8).tobytes()
            elif hundred:
                kinds = {
                    "fine_labels": (known + 50).tolist(),
                    "coarse_labels": (known % 4).tolist(),
                }
                stored[name] = write({"data": pixels, **kinds, "filenames": ["a.png"] * len(known)})
            else:
                stored[name] = write(
                    {"data": pixels, "labels": known.tolist(), "batch_label": name}
                )
    if binary and hundred:
        stored["fine_label_names.txt"] = "\n".join([*FINE, ""]).encode()
        stored["coarse_label_names.txt"] = "\n".join([*COARSE, ""]).encode()
    elif binary:
        stored["batches.meta.txt"] = "\n".join([*TEN, "", ""]).encode()
    elif hundred:
        stored["meta"] = write({"fine_label_names": FINE, "coarse_label_names": COARSE})
    else:
        stored["batches.meta"] = write({"label_names": list(TEN), "num_vis": 3072})
    return stored, truth


def unpacked(folder, stored):
    """The folder, with these files in it."""
    folder.mkdir(parents=True)
    for name, contents in stored.items():
        (folder / name).write_bytes(contents)
    return folder


def packed(path, folder, stored):
    """A .tar.gz of these files below a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, contents in stored.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(contents)
            archive.addfile(member, io.BytesIO(contents))
    return path
