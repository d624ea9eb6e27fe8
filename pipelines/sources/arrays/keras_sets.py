"""`keras:NAME`: the sets of keras.datasets, read in place where Keras keeps them.

What is not there yet is downloaded from where Keras has it, under the name that Keras gives it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import SourceError, first_line, nearest
from pipelines.sources.arrays.cifar import cifar_source, open_cifar_files
from pipelines.sources.arrays.idx import DIGITS, idx_source, open_idx
from pipelines.sources.arrays.npz import npz_source
from pipelines.sources.base import Opening, Source
from pipelines.sources.spec import place_and_settings

FORM = "keras:NAME[,label=fine|coarse]"
SECONDS = 15.0
GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"
FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


class Download(NamedTuple):
    """A file of a set: where Keras keeps it, where it is from, its sha256 (of Keras, of TFDS)."""

    path: str
    address: str
    sha256: str


DOWNLOADS = {
    "mnist": [
        Download(
            "mnist.npz",
            f"{GOOGLE}mnist.npz",
            "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        )
    ],
    "fashion_mnist": [
        Download(f"fashion-mnist/{name}-ubyte.gz", f"{GOOGLE}{name}-ubyte.gz", sha256)
        for name, sha256 in (
            (
                "train-images-idx3",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            (
                "train-labels-idx1",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            (
                "t10k-images-idx3",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            (
                "t10k-labels-idx1",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        )
    ],
    "cifar10": [
        Download(
            "cifar-10-batches-py-target_archive",
            f"{TORONTO}cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        )
    ],
    "cifar100": [
        Download(
            "cifar-100-python-target_archive",
            f"{TORONTO}cifar-100-python.tar.gz",
            "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        )
    ],
}
# Where the set may lie unpacked, by this Keras and by older ones.
UNPACKED = {
    "cifar10": ("cifar-10-batches-py-target/cifar-10-batches-py", "cifar-10-batches-py"),
    "cifar100": ("cifar-100-python-target/cifar-100-python", "cifar-100-python"),
}


def open_keras(rest: str, opening: Opening) -> Source:
    """mnist, fashion_mnist, cifar10 or cifar100 of ~/.keras/datasets (KERAS_HOME is obeyed).

    `cifar100,label=coarse` has the 20 superclasses.
    Raises SourceError for other names, and where a set is not there and cannot be downloaded.
    """
    name, settings = place_and_settings("keras", rest, {"label": ("fine", "coarse")}, FORM)
    if name not in DOWNLOADS:
        raise SourceError(
            f"keras: no set {rest!r} of images is known{nearest(name, DOWNLOADS)}; expected "
            f"{', '.join(DOWNLOADS)}"
        )
    if settings and name != "cifar100":
        raise SourceError(f"keras: {name} has one kind of label: leave label out")
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser() / "datasets"
    spec = f"keras:{rest}"
    for unpacked in UNPACKED.get(name, ()):
        if (home / unpacked).is_dir():
            return cifar_source(spec, home / unpacked, settings.get("label"), opening)
    for file in DOWNLOADS[name]:
        _fetch(name, file, home)
    first = home / DOWNLOADS[name][0].path
    if name == "mnist":
        return npz_source(spec, first, opening, class_names=DIGITS)
    if name == "fashion_mnist":
        return idx_source(spec, first.parent, opening, "", FASHION)
    return cifar_source(spec, first, settings.get("label"), opening)


def open_mnist(rest: str, opening: Opening) -> Source:
    """`DIR` of idx files; nothing: Keras's own MNIST."""
    return open_idx(rest, opening) if rest else open_keras("mnist", opening)


def open_cifar(rest: str, opening: Opening) -> Source:
    """`PATH` of CIFAR as downloaded; nothing: Keras's own CIFAR-10."""
    return open_cifar_files(rest, opening) if rest else open_keras("cifar10", opening)


def _fetch(name: str, file: Download, home: Path) -> None:
    """Download a file unless it is there: whole and with its sha256, or not at all."""
    path = home / file.path
    if path.is_file():
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # the addresses are those above, https all of them
        with (
            urllib.request.urlopen(file.address, timeout=SECONDS) as answer,  # nosec B310
            open(partial, "wb") as out,
        ):
            print(f"keras: downloading {file.address} to {path} (once)", file=sys.stderr)
            shutil.copyfileobj(answer, out)
        with open(partial, "rb") as stored:
            sha256 = hashlib.file_digest(stored, "sha256").hexdigest()
        if sha256 != file.sha256:
            raise SourceError(
                f"keras: {file.address} gave other contents than are known (sha256 {sha256}): try "
                f"again, or put the file there yourself: {path}"
            )
        os.replace(partial, path)
    except OSError as error:  # of the network (urllib's are), of the disk
        raise SourceError(
            f"keras: {name}: {path} is missing and could not be downloaded from {file.address} "
            f"({first_line(error)[:200]}): put it there, or go online once"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
