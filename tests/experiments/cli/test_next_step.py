"""Every command that leaves something to do ends with it, as it can be typed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from blank_store import blank_store
from command import inside, write_config
from typer.main import get_command

from experiments.cli.commands import app
from experiments.cli.next_step import of_search, say_next
from experiments.config import settings

SEARCH = {"strategy": "grid", "space": {"seed": [1, 2]}}


def commands_of(err: str) -> list[list[str]]:
    """The words behind `ilsvrc` of each command that the last line names."""
    last = err.splitlines()[-1]
    assert last.startswith("next: "), err
    texts = last.removeprefix("next: ").partition("; ")[0].split(", or ")
    words = [shlex.split(text) for text in texts]
    assert all(first == "ilsvrc" for first, *_ in words)
    return [rest for _, *rest in words]


def parses(words: list[str]) -> None:
    """Raises what the command line raises at these words."""
    command, name = get_command(app), "ilsvrc"
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    command.make_context(name, list(words))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("next steps")
    write_config(
        folder, launch={"executor": "inline"}, model={"name": "mlp"},
        data={"source": "digits", "train_fraction": 0.1}, validation={"folds": 2},
        search=SEARCH, sweep={"seed": [1, 2]},
    )  # fmt: skip
    return folder, blank_store(folder)


@pytest.fixture
def ends_with(folder, monkeypatch, capsys):
    """The commands that the last line of a command names, each of which must parse."""
    monkeypatch.chdir(folder[0])

    def run(*words: object) -> list[list[str]]:
        assert inside(monkeypatch, *words) == 0, capsys.readouterr().err
        commands = commands_of(capsys.readouterr().err)
        for command in commands:
            parses(command)
        return commands

    return run


def test_a_run_is_scored_exported_and_registered_with_its_store(folder, ends_with):
    store = f"tracking.uri={folder[1]}"
    assert " " in store
    score, look = ends_with("train", "tiny.yaml", store, "validation.folds=null")
    assert score[0] == "evaluate"
    assert score[2:] == [store]
    assert look == ["ui", "--open", store]
    [written] = ends_with(*score)
    assert written == [*score, "--out", "evaluation"]
    [register] = ends_with("export", *score[1:])
    assert register == ["register", score[1], "mlp", store]


def test_a_sweep_is_compared_then_reported_then_seen(folder, ends_with):
    store = f"tracking.uri={folder[1]}"
    [compare] = ends_with("sweep", "tiny.yaml", store)
    assert compare == ["compare", "tiny", "--out", "tiny-comparison", store]
    [report] = ends_with(*compare, "--test", "none")
    assert report == ["report", "tiny", "--test", "none", store]
    assert ends_with(*report) == [["ui", "--open", "--experiment", "tiny", store]]
    assert ends_with("du", store) == [["rm", "tiny", store]]


def test_a_search_is_taken_to_its_refit_and_that_is_scored(folder, ends_with):
    store = f"tracking.uri={folder[1]}"
    again, trials = ends_with("search", "tiny.yaml", store)
    assert again == ["search", "tiny.yaml", store, "search.refit=true"]
    assert trials == ["compare", "tiny", "--level", "trial", store]
    score, _ = ends_with(*again)
    assert score[0] == "evaluate"
    ends_with(*trials)


def test_images_are_looked_at_and_a_config_is_trained(ends_with):
    preview, first = ends_with("data", "check", "digits")
    assert preview == ["data", "preview", "digits"]
    assert first == ["init", "--source", "digits"]
    assert ends_with(*preview) == [first]
    assert ends_with("data", "preview", "quickstart") == [["sweep", "quickstart"]]
    prepared, _ = ends_with("data", "prepare", "digits", "--out", "shards", "--size", "8")
    assert prepared == ["data", "preview", "prepared:shards"]
    assert Path("shards").is_dir()


def test_a_folder_without_runs_is_told_of_the_quickstart(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert inside(monkeypatch, "status") == 0
    assert commands_of(capsys.readouterr().err) == [["sweep", "quickstart"]]


def test_nothing_beside_json_and_no_password(capsys):
    say_next(["compare", "a"], as_json=True)
    say_next(as_json=False)
    assert capsys.readouterr().err == ""
    uri = "postgresql://user:secret@host/db"
    say_next(["sweep", "a b.yaml", f"tracking.uri={uri}"], as_json=False, uri=uri, note="so")
    line = "next: ilsvrc sweep 'a b.yaml' tracking.uri=postgresql://host/db; so\n"
    assert capsys.readouterr().err == line


def test_no_answer_in_json_has_the_line(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder[0])
    assert inside(monkeypatch, "data", "check", "digits", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert "next:" not in err


def test_what_a_network_cannot_do_is_not_proposed():
    images = {"name": "autoencoder_undercomplete"}
    reconstruction = settings.parse({"name": "a", "model": images})
    done = {"refit": {"status": "finished", "run_id": "0123456789"}}
    assert of_search("search", reconstruction, done, [])[0] == ["compare", "a"]
    plain = settings.parse({"name": "a"})
    assert of_search("search", plain, done, [])[0] == ["evaluate", "01234567"]
    thrown = settings.parse({"name": "a", "tracking": {"save_model": "none"}})
    assert of_search("search", thrown, done, [])[0] == ["compare", "a"]
    plateau = settings.parse(
        {"name": "a", "train": {"schedule": {"name": "plateau", "patience": 1}}}
    )
    trials = ["compare", "a", "--level", "trial"]
    assert of_search("search", plateau, {"refit": None}, ["search", "a.yaml"]) == [trials]
    assert of_search("nested", plain, {}, []) == [["compare", "a", "--level", "outer_fold"]]
