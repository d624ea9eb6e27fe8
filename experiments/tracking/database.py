"""A store in a file: made whole or not at all, looked at before MLflow opens it, moved with its
folder.

MLflow makes its tables one by one, in place; where that is cut short, it refuses what is there for
ever. It tries a file that it cannot read for minutes, and says so in hundreds of lines.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import urllib.parse
import warnings
from collections.abc import Iterator
from pathlib import Path

from experiments.errors import BadInput
from experiments.tracking.lock import alone

PREFIX = "sqlite:///"
PATIENCE = 5.0  # seconds that another process may hold the file
KILLED_SECONDS = 600.0  # after which a file that is being made was left by a start that was killed
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
MOVED_COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Where MLflow keeps absolute addresses of files."""


def path_of(uri: str) -> Path | None:
    """The file of a store; None of one that is no file."""
    name = uri.removeprefix(PREFIX).partition("?")[0]
    return Path(name) if uri.startswith(PREFIX) and name != ":memory:" else None


def absolute(uri: str) -> str:
    """The same store from any folder: MLflow keeps what it opened, also where a notebook has
    changed folders since."""
    path = path_of(uri)
    if path is None or str(path).startswith("file:"):  # SQLite's own addresses stay as they are
        return uri
    _, mark, options = uri.partition("?")
    return f"{PREFIX}{path.resolve()}{mark}{options}"


def prepare(path: Path) -> None:
    """Leave a store at this path that MLflow can open, made if there is none.

    One that an earlier start left half-made is moved aside, with a warning that names it. What
    lies beside one whose folder was moved is found again.

    Raises:
        BadInput: there can be none, or what is there is none, is locked, or is of a newer MLflow.
    """
    folder = path.parent
    if path.is_dir() or "\0" in path.name:
        raise BadInput(
            f"tracking.uri: {path} is no name of a file; give one, as in {PREFIX}mlflow.db"
        )
    if not folder.is_dir():
        raise BadInput(f"tracking.uri: {folder}: no such folder for the database {path.name}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadInput(f"tracking.uri: {path}: cannot be written")
    with alone(folder):
        if not path.exists() or _is_empty(path):
            _make(path)
        else:
            _follow(path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The file with the right to write, for as long as it takes; what is not committed is undone.

    Raises:
        BadInput: another process holds it, or it is no whole database.
    """
    address = f"file:{urllib.parse.quote(str(path))}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, PATIENCE, uri=True)) as connection:
            connection.isolation_level = None
            connection.execute("BEGIN IMMEDIATE")
            yield connection
    except sqlite3.OperationalError as error:
        why = f"tracking.uri: {path} cannot be used ({error})"
        if "locked" in str(error):
            why = f"tracking.uri: {path} is locked by another process; wait for it, or stop it"
        raise BadInput(why) from None
    except sqlite3.DatabaseError as error:
        raise BadInput(
            f"tracking.uri: {path} is no whole SQLite database ({error}); put a copy back, or move "
            "it away: ilsvrc upload NAME writes a new one from the journals"
        ) from None


def _is_empty(path: Path) -> bool:
    """Has it no table? One that was never made to the end is moved aside first."""
    with _opened(path) as database:
        tables = {name for (name,) in database.execute(TABLES)}
        if not tables:
            return True
        if "experiments" not in tables and "alembic_version" not in tables:
            raise BadInput(
                f"tracking.uri: {path} belongs to another program (tables "
                f"{', '.join(sorted(tables)[:3])}); name a file that MLflow has to itself"
            )
        # The last step of making one is to enter an experiment.
        if "experiments" in tables and database.execute("SELECT 1 FROM experiments").fetchone():
            return False
    number = 1
    while (aside := path.with_name(f"{path.name}.half-made-{number}")).exists():
        number += 1
    path.rename(aside)
    warnings.warn(
        f"{path}: an earlier start was stopped while it made this store, and nothing is in it; "
        f"moved to {aside.name}, which may be deleted",
        stacklevel=2,
    )
    return True


def _make(path: Path) -> None:
    """Make it under another name, and give it its own when it is whole."""
    import sqlalchemy
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    def unsynced(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")  # hundreds of steps; synced once, at the end

    ending = ".making"
    for left in path.parent.glob(f"{path.name}.*{ending}*"):
        if time.time() - left.stat().st_mtime > KILLED_SECONDS:  # on NFS nobody waits in `alone`
            left.unlink(missing_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}{ending}").absolute()
    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", unsynced)
    try:
        store = SqlAlchemyStore(f"{PREFIX}{new}", (new.parent / "mlruns").as_uri())
        store.engine.dispose()
        with new.open("rb") as file:
            os.fsync(file.fileno())
        _name(new, path)
    except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or getattr(error, "strerror", None) or error)
        raise BadInput(f"tracking.uri: {path} cannot be made ({reason})") from None
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", unsynced)
        new.unlink(missing_ok=True)


def _name(new: Path, path: Path) -> None:
    """Give a file its name, unless another process has just done so with another."""
    if path.exists():  # without a table in it
        new.replace(path)
        return
    try:
        path.hardlink_to(new)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        new.replace(path)


def _follow(path: Path) -> None:
    """Refuse a store of a newer MLflow; where its folder was moved, name its files anew."""
    with _opened(path) as database:
        _check_schema(path, database)
        here = path.resolve().parent.as_uri()
        for folder in {f for f in _folders(database) if f != here and _has_moved(f, path)}:
            for table, columns in MOVED_COLUMNS.items():
                for column in columns:
                    # names from above, no input
                    query = (
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # nosec B608
                        f"WHERE substr({column}, 1, ?) = ?"
                    )
                    before = f"{folder}/"
                    database.execute(query, (f"{here}/", len(before) + 1, len(before), before))
            database.execute("COMMIT")
            database.execute("BEGIN IMMEDIATE")


def _folders(database: sqlite3.Connection) -> Iterator[str]:
    """URIs of the folders in which the experiments of this suite were begun."""
    for name, location in database.execute("SELECT name, artifact_location FROM experiments"):
        ending = f"/mlruns/{urllib.parse.quote(name)}"
        if (location or "").startswith("file:///") and location.endswith(ending):
            yield location.removesuffix(ending)


def _has_moved(folder: str, path: Path) -> bool:
    """Was the store in this folder once, and is it in another now, with its files?"""
    before = Path(urllib.parse.unquote(urllib.parse.urlsplit(folder).path))
    with contextlib.suppress(OSError):
        if path.samefile(before / path.name):
            return False  # another name of the same folder
    return (path.parent / "mlruns").is_dir() or not (before / "mlruns").is_dir()


def _check_schema(path: Path, database: sqlite3.Connection) -> None:
    import mlflow

    try:
        row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return  # MLflow says what it makes of it
    known = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if row and not any(known.glob(f"{row[0]}_*.py")):
        raise BadInput(
            f"tracking.uri: {path} was written by a newer MLflow than the {mlflow.__version__} here"
            f" (schema {row[0]}); install that one, or name another file"
        )
