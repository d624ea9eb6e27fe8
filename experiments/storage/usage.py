"""`ilsvrc du`: what takes space, experiment by experiment, and the caches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.errors import shown
from experiments.jobs.job import ROOT
from experiments.storage import stored
from experiments.storage.disk import Once, files, in_words
from experiments.tracking import database
from experiments.tracking.store import local_path, store_uri
from experiments.training.snapshots import FOLDER as SNAPSHOTS

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from rich.table import Table

CACHE = ROOT / ".cache"
KINDS = ("models", "journals", "artifacts")


def usage(uri: str | None) -> dict[str, Any]:
    """Bytes of every experiment of this folder and of a store, as JSON.

    Returns:
        {"store" (without a password), "experiments": [{"name", "runs" (in the store, None where it
        has none of the name), "models" (networks and snapshots), "journals" (what else is in
        .ilsvrc/NAME), "artifacts" (the other files of runs, where they are on this machine),
        "total"}], "caches": [{"kind", "files", "bytes"}], "database" (bytes of the store's file, 0
        of a server), "total"}. A file with several names counts once.

    Raises:
        BadInput: nobody answers at the address.
    """
    address = store_uri(uri)
    client, once = stored.opened(address), Once()
    experiments: dict[str, Experiment | None] = dict.fromkeys(_here())
    for experiment in client.search_experiments() if client else ():
        experiments[experiment.name] = experiment
    rows: list[dict[str, Any]] = []
    for name in sorted(experiments):
        stored_as = experiments[name]
        location = local_path(stored_as.artifact_location) if stored_as else None
        row = {"name": name, "runs": None, **_bytes(ROOT / name, location, once)}
        if client and stored_as:
            row["runs"] = sum(map(stored.is_there, stored.runs_of(client, stored_as)))
        if row["runs"] or row["total"]:
            rows.append(row)
    rows.sort(key=lambda row: -row["total"])
    caches = _caches(once)
    path = database.path_of(address)
    beside = path.parent.glob(f"{path.name}*") if path else ()
    in_database = once.sizes(file for file in beside if file.is_file())
    sums = [row["total"] for row in rows] + [cache["bytes"] for cache in caches]
    return {
        "store": shown(address),
        "experiments": rows,
        "caches": caches,
        "database": in_database,
        "total": sum(sums) + in_database,
    }


def tables(document: dict[str, Any]) -> list[Table | str]:
    """The same for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("experiment", no_wrap=True)
    for head in ("runs", *KINDS, "total"):
        table.add_column(head, justify="right", no_wrap=True)
    rows = document["experiments"]
    for row in rows:
        sizes = [in_words(row[key]) for key in (*KINDS, "total")]
        table.add_row(row["name"], str(row["runs"] or ""), *sizes)
    if len(rows) > 1:
        sums = [in_words(sum(row[key] for row in rows)) for key in (*KINDS, "total")]
        table.add_row("all", str(sum(row["runs"] or 0 for row in rows)), *sums, style="bold")
    lines = [
        f"cache {cache['kind']}: {in_words(cache['bytes'])} in {cache['files']} files"
        for cache in document["caches"]
    ]
    lines.append(f"{document['store']}: {in_words(document['database'])}")
    lines.append(f"total: {in_words(document['total'])}")
    if document["caches"]:
        lines.append(f"{CACHE} may be deleted: what is needed again is made again")
    return [table, "\n".join(lines)]


def _here() -> list[str]:
    folders = ROOT.iterdir() if ROOT.is_dir() else ()
    return [path.name for path in folders if path.is_dir() and path.name[0] != "."]


def _bytes(root: Path, location: Path | None, once: Once) -> dict[str, int]:
    sizes = dict.fromkeys(KINDS, 0)
    for folder, kind in ((root, "journals"), (location, "artifacts")):
        for file in files(folder) if folder else ():
            network = file.suffix == ".keras" or file.parent.name == SNAPSHOTS
            sizes["models" if network else kind] += once.size(file)
    return sizes | {"total": sum(sizes.values())}


def _caches(once: Once) -> list[dict[str, Any]]:
    """Bytes by kind: folders by their names, files by what theirs begins with."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(CACHE.iterdir()) if CACHE.is_dir() else ():
        kind = path.name if path.is_dir() else path.name.partition("-")[0]
        kinds.setdefault(kind, []).extend(files(path))
    return [
        {"kind": kind, "files": len(paths), "bytes": sum(map(once.size, paths))}
        for kind, paths in kinds.items()
    ]
