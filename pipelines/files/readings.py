"""Which source would fit what lies at a path, for errors that name it: by names of files alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn

from pipelines.errors import SourceError, printable
from pipelines.files.layout import SYSTEM_FOLDERS, is_image
from pipelines.files.naming import part_name, split_of

FOLDERS, FILES = 300, 50_000  # looked at; a first impression needs no more
HEAD_BYTES = 1 << 16  # of a table, to see whether it names the images
TABLES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl")
WNID_FOLDER = re.compile(r"n\d{8}")
NUMBERED = re.compile(r"(?P<name>.*[^\d])(?P<sign>[._-])\d+\.\w+")  # cat.0.jpg, pug_12.jpg


class Form(NamedTuple):
    """A source that is known by a file, and how it is written.

    file   pattern of the end of its path
    spec   {folder}: that of the file, or of the whole set; {file}: itself
    """

    scheme: str
    file: str
    spec: str
    what: str


CERTAIN = (
    Form("prepared", r"shard-\d{5}-of-\d{5}\.array_record", "prepared:{folder}",
         "what 'ilsvrc data prepare' wrote"),
    Form("ilsvrc", r"ILSVRC2012_img_(train|val)\.tar|val_annotations\.txt", "ilsvrc:{folder}",
         "ImageNet as it is given out"),
    Form("hf", r"\w+-\d{5}-of-\d{5}(-\w+)?\.parquet|(train|test|validation)/\d+\.parquet"
         r"|dataset_dict\.json|[^/]*\.arrow", "hf:{folder}", "a hub data set"),
    Form("cifar", r"data_batch_1(\.bin)?|cifar-100?-(python|binary)\.(tar(\.gz)?|tgz)"
         r"|cifar-100-python/train|fine_label_names\.txt", "cifar:{folder}",
         "CIFAR as it is given out"),
    Form("cifar", r"gaussian_noise\.npy", "cifar:{folder},corruption=gaussian_noise",
         "CIFAR-10-C"),
    Form("mnist", r"[^/]*(train|t10k|test)[-_.](images|labels)[-_.]idx[13][-_.]ubyte(\.gz)?",
         "mnist:{folder}", "idx files as MNIST has them"),
    Form("svhn", r"(train|test|extra)_32x32\.mat", "svhn:{folder}", "SVHN's files"),
    Form("csv", r"imagelabels\.mat|train_list\.mat|cars_annos\.mat|devkit/cars_meta\.mat"
         r"|image_class_labels\.txt|annotations/trainval\.txt|meta/train\.(txt|json)",
         "csv:{folder}", "the lists of a published set"),
)  # fmt: skip
LIKELY = (
    Form("tfrecord", r"[^/]*\.tfrec(ord)?s?(-\d+-of-\d+)?|(train|validation)-\d{5}-of-\d{5}",
         "tfrecord:{folder}", "TFRecord files"),
    Form("npz", r"[^/]*\.npz", "npz:{file}", "arrays"),
    Form("wds", r"[^/]*\.tar", "wds:{folder}/*.tar", "tar shards"),
)  # fmt: skip
WHOLE_SETS = ("hf", "ilsvrc", "csv", "tfrecord")  # read from the folder above those inside a set
INSIDE = ("data", "devkit", "annotations", "meta")  # in sets, beside folders of splits
ARCHIVE = re.compile(r".*\.(zip|7z|rar|tgz|tar\.(gz|bz2|xz))", re.IGNORECASE)


Reader = tuple[str, "Callable[[View], str]"]  # a scheme, and its clause for what is in view


@dataclass
class View:
    """Some of what lies below `root`: names of files by folder, both relative to it."""

    root: Path
    files: dict[str, list[str]]

    def paths(self) -> Iterator[tuple[str, str]]:
        """(folder, name) of every file, those of upper folders first."""
        for folder, names in self.files.items():
            for name in names:
                yield folder, name

    def path(self, folder: str, name: str = "") -> str:
        return os.path.normpath(os.path.join(self.root, folder, name))


def refuse(scheme: str, root: Path, problem: str, otherwise: str = "") -> NoReturn:
    """Raises SourceError with the source that would fit, or else what to do."""
    advice = fitting(root, but=scheme) or otherwise
    raise SourceError(f"{scheme}: {problem}" + (f": {advice}" if advice else "")) from None


def fitting(path: Path, but: str | None = None) -> str:
    """What to write for the images at `path`, as one clause; "" where nothing is known to fit.

    but   a scheme that was tried already
    """
    if path.is_file():
        view = View(path.parent, {"": [path.name]})
        readers: Iterable[Reader] = [
            *_named(CERTAIN),
            *_named(LIKELY),
            ("csv", _one_table),
            ARCHIVES,
        ]
    else:
        view = look(path)
        readers = (
            ("tfds", _tfds),
            ("ilsvrc", _imagenet),
            *_named(CERTAIN),
            ("folder", _class_folders),
            ("csv", partial(_table, sure=True)),
            *_named(LIKELY),
            ("csv", partial(_table, sure=False)),
            ("", _named_after_classes),
            ARCHIVES,
        )
    clauses = (read(view) for scheme, read in readers if scheme != but)
    return next(filter(None, clauses), "")


def contents(path: Path) -> str:
    """What lies right in a directory: "found folders a, b; 3 .jpg, 1 .csv"."""
    view = look(path)
    folders = sorted({name.split(os.sep)[0] for name in view.files if name})
    kinds = Counter(os.path.splitext(name)[1].lower() or name for name in view.files.get("", ()))
    more = f" and {len(folders) - 4} more" if len(folders) > 4 else ""
    said = ["folders " + ", ".join(map(printable, folders[:4])) + more] if folders else []
    if kinds:
        said.append(", ".join(f"{n} {printable(kind)}" for kind, n in kinds.most_common(4)))
    return "found " + ("; ".join(said) or "nothing")


def look(root: Path) -> View:
    """Names below `root`, level by level, up to FOLDERS and FILES of them."""
    files: dict[str, list[str]] = {}
    waiting, seen = [""], 0
    for folder in waiting:
        names = []
        try:
            with os.scandir(os.path.join(root, folder)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.startswith(".") or entry.name in SYSTEM_FOLDERS:
                        continue
                    if entry.is_dir(follow_symlinks=not folder):
                        waiting.append(os.path.join(folder, entry.name))
                    else:
                        names.append(entry.name)
        except OSError:
            continue  # it is only for a hint
        files[folder] = names
        seen += len(names)
        if seen > FILES or len(files) > FOLDERS:
            break
    return View(root, files)


def _named(forms: Iterable[Form]) -> list[Reader]:
    return [(form.scheme, partial(_by_name, form)) for form in forms]


def _by_name(form: Form, view: View) -> str:
    pattern = re.compile(f".*/(?:{form.file})")
    for folder, name in view.paths():
        if pattern.fullmatch(f"/{folder}/{name}"):
            whole = _above_parts(folder) if form.scheme in WHOLE_SETS else folder
            spec = form.spec.format(folder=view.path(whole), file=view.path(folder, name))
            if form.scheme == "wds" and split_of(os.path.basename(folder)):
                spec = f"wds:{view.path(os.path.dirname(folder))}/*/*.tar"
            return f"write '{spec}' for {form.what} ({printable(name)})"
    return ""


def _above_parts(folder: str) -> str:
    """The folder of the whole set, where this one is that of a split or of its lists."""
    while split_of(os.path.basename(folder)) or os.path.basename(folder) in INSIDE:
        folder = os.path.dirname(folder)
    return folder


def _tfds(view: View) -> str:
    """DATA_DIR/NAME/[CONFIG/]VERSION/ with its dataset_info.json and features.json."""
    for folder, names in view.files.items():
        if {"dataset_info.json", "features.json"} <= {*names}:
            where = Path(view.path(folder)).resolve()
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                info = json.loads((where / "dataset_info.json").read_text(encoding="utf-8"))
                name = "/".join(filter(None, (info["name"], info.get("configName"))))
                data = where.parents[name.count("/") + 1]
                return (
                    f"write 'tfds:{name}:{where.name}' with TFDS_DATA_DIR={data} for a set of "
                    "TensorFlow Datasets"
                )
    return ""


def _imagenet(view: View) -> str:
    """Kaggle's ILSVRC/Data/CLS-LOC, or train/<wnid>/ beside a flat val/."""
    for folder in view.files:
        if folder.endswith(os.path.join("Data", "CLS-LOC")):
            root = view.path(os.path.join(folder, "..", ".."))
            above = os.path.dirname(root) if os.path.basename(root) == "ILSVRC" else root
            return f"write 'ilsvrc:{above}' for ImageNet as it is given out"
        head, base = os.path.split(folder)
        if WNID_FOLDER.fullmatch(base) and split_of(os.path.basename(head)) == "train":
            above = os.path.dirname(head)
            for part, names in view.files.items():
                flat = any(map(is_image, names))
                held = split_of(os.path.basename(part)) == "validation"
                if flat and held and os.path.dirname(part) == above:
                    return f"write 'ilsvrc:{view.path(above)}' for ImageNet as it is given out"
    return ""


def _class_folders(view: View) -> str:
    """Two folders or more side by side that have images and no name of a part."""
    beside: Counter[str] = Counter()
    for folder, names in view.files.items():
        head, base = os.path.split(folder)
        if base and not part_name(base) and any(map(is_image, names)):
            beside[head] += 1
    if max(beside.values(), default=0) < 2:
        return ""
    return f"write 'folder:{view.path('')}' for images in class folders"


def _table(view: View, *, sure: bool) -> str:
    """A table near the images; `sure`: it names some of them."""
    images = {name for _, name in view.paths() if is_image(name)}
    if not images:
        return ""
    images |= {os.path.splitext(name)[0] for name in images}
    tables = [(folder, name) for folder, name in view.paths() if name.lower().endswith(TABLES)]
    # The training part's first: test.csv and sample_submission.csv have no labels to train on.
    tables.sort(key=lambda table: not ((p := part_name(table[1])) and p.part == "train"))
    for folder, name in tables:
        path = view.path(folder, name)
        if _names_images(path, images) if sure else not name.lower().endswith(".txt"):
            return f"write 'csv:{path}' for a table of image names"
    return ""


def _names_images(path: str, images: set[str]) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    words = re.split(r"[,;|\s\"']+", head.decode("utf-8", "replace"))
    return any(os.path.basename(word) in images for word in words)


def _one_table(view: View) -> str:
    ((folder, name),) = view.paths()
    if not name.lower().endswith(TABLES):
        return ""
    return f"write 'csv:{view.path(folder, name)}' for a table of image names"


def _named_after_classes(view: View) -> str:
    """Loose images called cat.0.jpg and dog.0.jpg: the shell line that sorts them."""
    for folder, names in view.files.items():
        matches = [
            match for name in names if is_image(name) and (match := NUMBERED.fullmatch(name))
        ]
        classes = {match["name"] for match in matches}
        if (
            matches
            and len(matches) == sum(map(is_image, names))
            and 1 < len(classes) <= len(matches) // 2
        ):
            sign = matches[0]["sign"]
            cut = "${f%.*.*}" if sign == "." else f"${{f%{sign}*}}"
            return (
                f"sort them into folders named after their classes: cd {view.path(folder)} && for "
                f'f in *.*; do mkdir -p "{cut}" && mv "$f" "{cut}/"; done'
            )
    return ""


def _archive(view: View) -> str:
    for folder, name in view.paths():
        if ARCHIVE.fullmatch(name):
            return f"unpack {view.path(folder, name)} first"
    return ""


ARCHIVES: Reader = ("", _archive)
