"""A store in a file is made whole or not at all, and what is no store is refused in one line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import first_start
import pytest
from blank_store import blank_store
from command import inside
from mlflow import MlflowClient
from scripted import Scripted, execute, job

from experiments.errors import BadInput
from experiments.tracking import run_log
from experiments.tracking.store import connect
from experiments.tracking.tracked_run import find_run

MAKE = "from experiments.tracking.store import connect; connect('sqlite:///mlflow.db')"


def half_made(path: Path) -> None:
    """As a kill leaves a store that MLflow makes in place: tables, and no experiment."""
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE experiments (experiment_id INTEGER, name VARCHAR)")
    database.execute("CREATE TABLE runs (run_uuid VARCHAR)")
    database.commit()
    database.close()


def test_a_store_that_was_left_half_made_is_moved_aside_with_a_word(tmp_path):
    half_made(tmp_path / "mlflow.db")
    killed = tmp_path / "mlflow.db.1.making"
    killed.write_text("of a start that was killed")
    os.utime(killed, (0, 0))
    with pytest.warns(
        UserWarning, match=r"mlflow\.db: an earlier start .* mlflow\.db\.half-made-1"
    ):
        client = connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert [e.name for e in client.search_experiments()] == ["Default"]
    assert {p.name for p in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.half-made-1"}


def test_two_that_start_at_once_both_get_the_one_store(tmp_path):
    both = [subprocess.Popen([sys.executable, "-c", MAKE], cwd=tmp_path) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert [e.name for e in client.search_experiments()] == ["Default"]


def damaged(path: Path, how: str) -> None:
    blank_store(path.parent, path.name)
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "overwritten":
        path.write_bytes(b"x" * len(content))
    else:
        database = sqlite3.connect(path)
        if how == "newer":
            database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        else:
            database.executescript("DROP TABLE experiments; DROP TABLE alembic_version;")
        database.commit()
        database.close()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", r"is no whole SQLite database \(database disk image is malformed\)"),
        ("overwritten", r"is no whole SQLite database \(file is not a database\)"),
        ("newer", r"was written by a newer MLflow than the 3\.\S+ here \(schema ffffffffffff\)"),
        ("foreign", r"belongs to another program \(tables "),
    ],
)
def test_what_is_no_store_is_refused_within_seconds_and_left_as_it_is(tmp_path, how, words):
    path = tmp_path / "x.db"
    damaged(path, how)
    before, began = path.read_bytes(), time.monotonic()
    with pytest.raises(BadInput, match=rf"^tracking\.uri: \S+x\.db {words}") as refused:
        connect(f"sqlite:///{path}")
    assert time.monotonic() - began < 10
    assert "\n" not in str(refused.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.db"]


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_file_that_another_process_holds_is_named(tmp_path, monkeypatch, lock):
    monkeypatch.setattr("experiments.tracking.database.PATIENCE", 0.2)
    uri = blank_store(tmp_path)
    other = sqlite3.connect(tmp_path / "mlflow.db")
    other.execute(f"BEGIN {lock}")
    with pytest.raises(BadInput, match=r"mlflow\.db is locked by another process; wait"):
        connect(uri)
    other.rollback()
    other.close()
    connect(uri)


def test_a_file_that_fails_in_mid_run_is_a_line_and_no_statement(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(run_log, "EVERY_SECONDS", 0.0)
    uri = blank_store(tmp_path)
    other = sqlite3.connect(tmp_path / "mlflow.db", check_same_thread=False)

    def between(_, epoch):
        if epoch == 2:
            other.executescript("ALTER TABLE metrics RENAME TO gone")
        if epoch == 4:
            time.sleep(2.0)  # it is noticed in the background
            other.executescript("ALTER TABLE gone RENAME TO metrics")

    _, [run], said = execute(Scripted(5, between), [job(1)], uri)
    assert said.count("tracking failed (") == 1
    assert "no such table: " in said
    assert "what mlflow.db misses is sent when it can be written again" in said
    assert "mlflow.db can be written again; sending what it missed" in said
    assert MlflowClient(uri).get_run(run.id).info.status == "FINISHED"
    assert "server" not in said
    out, err = capfd.readouterr()
    assert "SQL" not in said + out + err


@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_store_that_fails_under_a_command_is_one_line(tmp_path, monkeypatch, capfd, command):
    uri = blank_store(tmp_path)
    execute(Scripted(1), [job(1)], uri)
    capfd.readouterr()
    database = sqlite3.connect(tmp_path / "mlflow.db")
    database.execute("DROP TABLE latest_metrics")
    database.close()
    assert inside(monkeypatch, command, "scripted", "--uri", uri) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err == (
        "ilsvrc: tracking: the store does not work: (sqlite3.OperationalError) no such table: "
        "latest_metrics\n"
    )


@pytest.mark.parametrize("uri", ["sqlite:///", "sqlite:///folder"])
def test_a_folder_is_no_store(tmp_path, uri):
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadInput, match=r"is no name of a file; give one, as in sqlite:///mlflow"):
        connect(uri)


@pytest.fixture
def moved(tmp_path, monkeypatch):
    """A folder with a run of a first experiment, under the name that it has now, and the run."""
    before, after = tmp_path / "p 1", tmp_path / "p2"
    blank_store(before)
    monkeypatch.chdir(before)
    _, [run], _ = execute(Scripted(1), [job(1)], f"sqlite:///{before}/mlflow.db")
    before.rename(after)
    monkeypatch.chdir(after)
    return before, after, run.id


def test_files_of_runs_follow_the_folder_of_their_store(moved):
    before, after, run_id = moved
    uri = f"sqlite:///{after}/mlflow.db"
    run = find_run(connect(uri), run_id)
    assert run.config.name == "scripted"
    _, [later], _ = execute(Scripted(1), [job(2)], uri)
    assert find_run(connect(uri), later.id).config.seed == 2
    assert not before.exists()
    assert len(list((after / "mlruns" / "scripted").glob("*/artifacts/config.yaml"))) == 2


def test_a_copy_of_a_folder_writes_into_itself(moved):
    _, after, run_id = moved
    connect(f"sqlite:///{after}/mlflow.db")
    copy = after.with_name("copy")
    shutil.copytree(after, copy)
    for folder in (copy, after):
        run = connect(f"sqlite:///{folder}/mlflow.db").get_run(run_id)
        assert run.info.artifact_uri.startswith(f"{folder.as_uri()}/mlruns/scripted/")


def test_a_database_that_was_moved_alone_leaves_its_files_where_they_are(moved, tmp_path):
    _, after, run_id = moved
    connect(f"sqlite:///{after}/mlflow.db")
    (tmp_path / "alone").mkdir()
    (after / "mlflow.db").rename(tmp_path / "alone" / "mlflow.db")
    run = find_run(connect(f"sqlite:///{tmp_path}/alone/mlflow.db"), run_id)
    assert run.config.name == "scripted"


@pytest.mark.parametrize("number", range(4))
def test_a_first_start_that_is_killed_while_the_store_is_made_is_continued(tmp_path, number):
    drawn = list(first_start.moments(4, 14, [first_start.MAKING_SECONDS] * 2))
    left, wrong = first_start.continued(tmp_path, *drawn[number], making=True)
    assert not wrong, f"{drawn[number]}: {left}: {wrong}"


@pytest.mark.full
@pytest.mark.parametrize("making", [False, True])
def test_twenty_first_starts_are_continued(capfd, making):
    assert first_start.main(20, 14, making) == 0, capfd.readouterr().out


def test_a_process_that_changes_folders_changes_stores(tmp_path, monkeypatch):
    for name in ("one", "other"):
        blank_store(tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
        connect("sqlite:///mlflow.db").create_experiment(name)
    assert {e.name for e in connect("sqlite:///mlflow.db").search_experiments()} == {
        "Default",
        "other",
    }
