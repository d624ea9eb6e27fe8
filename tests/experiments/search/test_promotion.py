"""Promoted candidates on real networks: the bits of a fit from its beginning, at fewer epochs."""

from __future__ import annotations

import csv
import json
import queue
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from small_search import quiet_folder, uri

from experiments.config import settings
from experiments.errors import Stopped
from experiments.fitting import fit
from experiments.jobs.job import Outcome
from experiments.jobs.plan import prepare
from experiments.launch.ray_slot import Slot
from experiments.search import run
from experiments.search.candidates import starts_anew
from experiments.search.results import text
from experiments.search.results.report import top
from experiments.tracking.journal import Journal
from experiments.tracking.search_journal import State
from tuning.oracles.hyperband import brackets, epochs_in_all

pytestmark = pytest.mark.usefixtures("own_store")

RATE = "train.optimizer.learning_rate"
PLAN = brackets(4, 2)  # 4, 2 and 1 candidates, 3 and 1, then 3
FITS = sum(count for rungs in PLAN for count, _ in rungs)
STEP = {"name": "step", "epochs": 4, "warmup_epochs": 0.5, "milestones": [0.3, 0.6]}


def config(*words: str):
    document = {
        "name": "h",
        "tracking": {"save_model": "none", "uri": uri()},
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.1},
        "augment": {"steps": [{"op": "translate", "fraction": 0.1}]},
        "model": {"name": "mlp", "options": {"hidden": [16], "dropout": 0.5}},
        "train": {"epochs": 4, "optimizer": {"name": "adam", "ema": {"momentum": 0.9}}},
        "launch": {"executor": "inline"},
        "search": {
            "strategy": "hyperband",
            "hyperband": {"max_epochs": 4, "factor": 2},
            "space": {RATE: {"type": "float", "low": 0.001, "high": 0.1, "log": True}},
        },
    }
    return settings.parse(settings.override(document, list(words)))


def go(*words: str, fresh: bool = False):
    return run.run("search", config(*words), "h.yaml", fresh=fresh)


def trained(result):
    """What must be the same bits: of every trial its settings, and each epoch's losses."""
    ended = {
        tuple(event["path"]): event["outcome"]
        for event in Journal(Path(result["state"])).events()
        if event["event"] == "ended"
    }
    return [
        (trial["hyperparameters"], trial["budget"], trial["score"], outcome["history"],
         outcome["scores"])
        for trial in result["trials"]
        for outcome in [ended["trial", trial["number"], "fold", 0]]
    ]  # fmt: skip


def snapshots():
    return sorted(path.parent.parent.parent.name for path in Path().rglob("snapshots/*.npz"))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A search where candidates go on, and its JSON."""
    folder = tmp_path_factory.mktemp("done")
    with quiet_folder(folder) as patch:
        kept = []
        real = fit.attempt

        def counted(job, emit):
            outcome = real(job, emit)
            kept.append(len(snapshots()))
            return outcome

        patch.setattr(fit, "attempt", counted)
        result = go()
        return result | {
            "trained": trained(result), "kept": kept, "left": snapshots(), "folder": folder,
        }  # fmt: skip


def test_a_promoted_candidate_has_the_bits_of_a_fit_from_its_beginning(done):
    anew = go("train.checkpoint.every_seconds=0")
    assert trained(anew) == done["trained"]
    assert [len(one[3]) for one in done["trained"]] == [one[1] for one in done["trained"]]
    whole, going_on = (epochs_in_all(PLAN, goes_on=goes_on) for goes_on in (False, True))
    assert done["brackets"] == {
        "promoted": 4, "went_on": 4, "epochs_trained": going_on, "epochs_saved": whole - going_on,
    }  # fmt: skip
    assert anew["brackets"] == {
        "promoted": 4, "went_on": 0, "epochs_trained": whole, "epochs_saved": 0,
    }  # fmt: skip
    assert anew["budget"]["spent_images"] / whole == done["budget"]["spent_images"] / going_on


def test_so_has_one_whose_schedule_is_drawn_over_a_fixed_length(done):
    schedule = f"train.schedule={json.dumps(STEP)}"
    first = go(schedule)
    assert first["brackets"]["went_on"] == 4
    assert trained(go(schedule, "train.checkpoint.every_seconds=0", fresh=True)) == trained(first)
    assert trained(first) != done["trained"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train.schedule.name=cosine", "train.schedule.name: cosine"),
        ("train.schedule.name=step", "train.schedule.epochs fixes it"),
        ("train.schedule.name=one_cycle", "train.schedule.epochs fixes it"),
        ("train.schedule.name=polynomial", "train.schedule.epochs fixes it"),
        ("train.early_stopping={patience: 3}", "early_stopping"),
        ("train.checkpoint.every_seconds=0", "takes no snapshots"),
        ("train.schedule={name: cosine, epochs: 9}", None),
        ("train.schedule.warmup_epochs=2", None),
        ("train.schedule={name: polynomial, epochs: 9}", None),
        ("train.schedule={name: piecewise, boundaries: {2: 0.1}}", None),
        ("train.schedule={name: exponential, rate: 0.9, every_epochs: 2}", None),
    ],
)
def test_what_would_not_have_its_bits_starts_anew_and_why_is_said(words, said):
    asked = config(words)
    why = starts_anew(asked)
    assert (why is None) == (said is None)
    line = run.dry_run("search", asked, "h.yaml")["text"].splitlines()[1]
    if said:
        assert said in why
        assert line == f"34 epochs in all: promoted candidates start anew, since {why}"
    else:
        assert "28 epochs in all: promoted candidates go on" in line
        assert line.endswith("saves 6 of 34")


def test_a_candidate_that_starts_anew_by_itself_says_why(capsys):
    varied = "search.space={train.schedule.name: [cosine], seed: {type: int, low: 1, high: 99}}"
    result = go(varied)
    assert result["brackets"]["went_on"] == 0
    said = capsys.readouterr().err
    assert said.count("starts anew, since train.schedule.name: cosine") == 1
    assert "; 4 epochs, anew)" in said


def test_snapshots_are_kept_of_those_only_that_may_go_on(done):
    """Of four two go on, of three one: at no time are there more than these and the newest."""
    assert max(done["kept"]) <= 2 + 1
    assert done["left"] == []


@pytest.mark.parametrize("journaled", [False, True])
@pytest.mark.parametrize("kept", ["snapshots", "none"])
def test_a_search_that_was_cut_in_a_promotion_goes_on_to_the_same(
    done, monkeypatch, journaled, kept
):
    """Cut as the promoted fit begins, or once it has left its own snapshot and nothing else; on the
    same machine, or on one that has none of them."""
    real, begun = fit.attempt, []

    def cut(job, emit):
        begun.append(job.path)
        if len(begun) == 5 and not journaled:
            real(job, emit)
        if len(begun) == 5:
            raise Stopped
        return real(job, emit)

    monkeypatch.setattr(fit, "attempt", cut)
    with pytest.raises(Stopped):
        go()
    assert len(snapshots()) == 2
    monkeypatch.setattr(fit, "attempt", real)
    if kept == "none":
        for path in Path().rglob("snapshots/*.npz"):
            path.unlink()
    again = go()
    assert trained(again) == done["trained"]
    saved = done["brackets"]["epochs_saved"] - (2 if kept == "none" else 0)
    assert again["brackets"]["epochs_saved"] == saved
    assert snapshots() == []


def test_a_snapshot_that_cannot_be_written_costs_epochs_and_no_trial(done, monkeypatch):
    from experiments.training.snapshots import Snapshots

    monkeypatch.setattr(Snapshots, "write", _full)
    result = go()
    assert trained(result) == done["trained"]
    assert result["brackets"]["went_on"] == 0


def _full(self, snapshot):
    from experiments.errors import FailedWork

    raise FailedWork("no room")


def test_the_best_is_of_the_longest_and_every_trial_shows_its_epochs(done, monkeypatch):
    monkeypatch.chdir(done["folder"])
    longest = [trial for trial in done["trials"] if trial["budget"] == 4]
    assert len(longest) == 1 + 1 + 3
    assert done["best"] == max(longest, key=lambda trial: trial["score"])
    assert [trial["budget"] for trial in top(done, FITS)] == [4] * 5 + [2] * 5 + [1] * 4
    told = text.of_result(done)
    assert "the best is one of those that were trained longest, for 4 epochs" in told
    assert "4 of 4 went on from a snapshot, 28 epochs trained and 6 saved" in told
    with (Path(done["state"]) / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epochs"]) for row in rows] == [trial["budget"] for trial in done["trials"]]
    client = MlflowClient(config().tracking.uri)
    [experiment] = [one for one in client.search_experiments() if one.name == "h"]
    runs = client.search_runs([experiment.experiment_id], "tags.level = 'trial'")
    assert {run.data.tags["path"]: int(run.data.params["train.epochs"]) for run in runs} == {
        f"trial/{trial['number']}": trial["budget"] for trial in done["trials"]
    }


def test_a_search_that_began_with_the_former_brackets_goes_on_with_them(monkeypatch):
    """Its journal, of before there were others, says nothing of them."""
    words = ("search.hyperband={max_epochs: 2, factor: 2}",)
    with monkeypatch.context() as patch:
        patch.setattr(State, "former", True)
        whole = go(*words, fresh=True)
        book = Path(whole["state"]) / "journal.jsonl"
        lines = [json.loads(line) for line in book.read_text().splitlines()]
    ended = [at for at, event in enumerate(lines) if event["event"] == "ended"]
    began = {key: value for key, value in lines[0].items() if key != "oracles"}
    cut = [began, *lines[1 : ended[2]]]
    book.write_text("".join(json.dumps(event) + "\n" for event in cut))
    again = go(*words)
    assert trained(again) == trained(whole)
    assert again["brackets"]["went_on"] == 0
    assert trained(go(*words, fresh=True))[0] != trained(whole)[0]


@pytest.mark.parametrize("shared", [True, False])
def test_a_worker_of_another_machine_looks_for_no_snapshot_and_leaves_none(
    monkeypatch, tmp_path, shared
):
    """Nobody would clear it, and the next fit of the row may be elsewhere."""
    given = []

    def remember(job, emit):
        given.append(job)
        return Outcome(job.path, "failed", error="enough")

    monkeypatch.setattr(fit, "attempt", remember)
    slot = object.__new__(Slot)
    slot.shared, slot._root, slot._said = shared, tmp_path, queue.SimpleQueue()
    job = prepare(config()).job(("trial", 5, "fold", 0))
    slot._attempt(replace(job, row="trial-2/fold-0", row_goes_on=True), {})
    assert (given[0].row, given[0].row_goes_on) == (
        ("trial-2/fold-0", True) if shared else ("", False)
    )
