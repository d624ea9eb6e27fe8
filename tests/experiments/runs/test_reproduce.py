"""`ilsvrc reproduce`: a real run again, bit for bit; what differs, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from blank_store import blank_store
from command import TINY, inside
from fake_store import FakeStore
from mlflow import MlflowClient

from experiments.config import settings
from experiments.errors import BadInput
from experiments.fitting import fit
from experiments.jobs.job import Outcome
from experiments.runs import reproduce, sweep
from experiments.tracking import journal
from experiments.tracking.tracked_run import TrackedRun, find_run


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A sweep of two runs: their folder, store and ids."""
    folder = tmp_path_factory.mktemp("first")
    own = {
        "data": {"source": "digits", "image_size": 16, "train_fraction": 0.1},
        "train": {"epochs": 2, "optimizer": {"learning_rate": 0.05}},
        "tracking": {"uri": blank_store(folder)},
        "launch": {"executor": "inline"},
        "sweep": {"seed": [1, 2]},
        "bench": {"latency_calls": 2, "throughput_batches": 1},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        result = sweep.sweep(settings.parse(TINY | own), "tiny.yaml")
    runs = [run["run_id"] for run in result["runs"]]
    return {"folder": folder, "uri": own["tracking"]["uri"], "sweep": result["run_id"],
            "runs": runs}  # fmt: skip


def test_a_run_comes_out_the_same(
    done: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(done["folder"])  # where the journals are, which must not answer
    before = {path: path.read_bytes() for path in Path(".ilsvrc").rglob("*") if path.is_file()}
    fits, real = [], fit.run
    monkeypatch.setattr(fit, "run", lambda job, emit: (fits.append(job), real(job, emit))[1])
    original = done["runs"][1]

    words = [original, f"tracking.uri={done['uri']}", "--json"]
    assert inside(monkeypatch, "reproduce", *words) == 0
    document = json.loads(capsys.readouterr().out)

    assert [job.config.seed for job in fits] == [2]
    assert document["status"] == "finished"
    assert document["differences"] == document["epochs_differ"] == {}
    assert {"train_loss", "val_loss", "val_top1", "test_top1", "params"} <= set(
        document["identical"]
    )
    assert document["predictions_identical"] is True
    assert "latency_ms_p50" in document["costs"]
    assert not set(document["costs"]) & set(document["identical"])
    assert {path: path.read_bytes() for path in before} == before

    client = MlflowClient(done["uri"])
    first, second = client.get_run(original), client.get_run(document["run_id"])
    assert document["run_id"] not in done["runs"]
    assert document["reproduces"] == second.data.tags["reproduces"] == original
    assert first.info.experiment_id == second.info.experiment_id
    assert first.data.tags["config_hash"] == second.data.tags["config_hash"]
    assert first.data.metrics["val_loss"] == second.data.metrics["val_loss"]
    assert "identical, bit for bit: " in reproduce.text(document)
    assert "reproduces" not in first.data.tags


def outcome_of(done: dict[str, Any], number: int) -> tuple[TrackedRun, Outcome]:
    """One of the two runs, and its outcome."""
    run = find_run(MlflowClient(done["uri"]), done["runs"][number])
    assert run
    directory = done["folder"] / ".ilsvrc" / "tiny" / run.tags["config_hash"]
    kept = journal.Journal(directory).outcome(run.fingerprint)
    assert kept is not None
    return run, kept


def test_differences_are_told_by_how_much(done: dict[str, Any]) -> None:
    run, outcome = outcome_of(done, 0)
    assert reproduce.compare(run, outcome)["differences"] == {}

    less = run.metrics["test_top1"] - 0.25
    other = replace(outcome, scores=outcome.scores | {"test_top1": less, "new": 1.0})
    found = reproduce.compare(run, other)
    assert set(found["differences"]) == {"test_top1", "new"}
    assert found["differences"]["test_top1"] == {
        "original": run.metrics["test_top1"],
        "reproduced": less,
        "difference": pytest.approx(-0.25),
    }
    assert found["differences"]["new"]["difference"] is None
    assert found["epochs_differ"] == {}


def test_scores_that_an_old_run_has_not_are_no_difference(done: dict[str, Any]) -> None:
    run, outcome = outcome_of(done, 0)
    means = ("_balanced_top1", "_macro_f1")
    kept = {name: value for name, value in run.metrics.items() if not name.endswith(means)}
    assert len(kept) <= len(run.metrics) - 4
    found = reproduce.compare(replace(run, metrics=kept), outcome)
    assert found["differences"] == found["epochs_differ"] == {}
    assert not [name for name in found["identical"] if name.endswith(means)]


def test_epochs_count_even_if_the_last_is_the_same(done: dict[str, Any]) -> None:
    run, outcome = outcome_of(done, 0)
    first, last = outcome.history
    other = replace(outcome, history=[first | {"val_loss": 9.0}, last])
    found = reproduce.compare(run, other)
    assert found["epochs_differ"] == {"val_loss": 1}
    assert found["differences"]["val_loss"]["difference"] == 0
    assert "val_loss" not in found["identical"]
    shorter = replace(outcome, history=[first])
    assert reproduce.compare(run, shorter)["epochs_differ"]["learning_rate"] == 2


def test_other_seeds_give_other_results(
    done: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or nothing above would mean anything."""
    monkeypatch.chdir(done["folder"])
    run, _ = outcome_of(done, 0)
    _, outcome = outcome_of(done, 1)
    found = reproduce.compare(run, outcome)
    assert {"train_loss", "val_loss"} <= set(found["differences"])
    assert found["epochs_differ"]["val_loss"] == 1
    assert reproduce._same_predictions(run, outcome) is False


@pytest.fixture
def store(done: dict[str, Any]) -> FakeStore:
    return FakeStore(done["folder"])  # the same database: a new one costs seconds


class Stored:
    """A run as the suite writes one, whose facts a test may falsify."""

    def __init__(self, store: FakeStore, **changes: Any):
        self.store = store
        tags = {"source_fingerprint": "of other images"} | changes.pop("tags", {})
        self.id = store.run("tiny", "mlp", 1, {"val_top1": 0.5}, tags=tags, **changes)
        config = TINY | {"model": {"name": "mlp"}, "launch": {"executor": "inline"}}
        store.client.log_text(self.id, yaml.safe_dump(config), "config.yaml")
        versions = json.dumps({"keras": "2.0", "theano": "1.0"})
        store.client.log_text(self.id, versions, "versions.json")

    def again(self, *words: str, **options: Any) -> dict[str, Any]:
        return reproduce.reproduce(self.id, [f"tracking.uri={self.store.uri}", *words], **options)


def test_other_data_are_refused_or_warned_of(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = Stored(store, tags={"git_commit": "abc", "machine": "a VAX"})
    with pytest.raises(BadInput, match=r"fingerprint: of other images then, .* --anyway runs"):
        stored.again()

    def run(job: Any, emit: Any) -> Outcome:
        return Outcome(
            job.path, "finished", scores={"val_top1": 0.75}, tags={"device": "a new one"}
        )

    monkeypatch.setattr(fit, "run", run)
    document = stored.again("data.source=digits", anyway=True, quiet=True)
    assert document["differences"]["val_top1"]["difference"] == 0.25
    assert document["predictions_identical"] is None
    said = "\n".join(document["warnings"])
    for part in (
        "source_fingerprint: of other images then",
        "keras: 2.0 then, 3.",
        "theano: 1.0 then, not installed now",
        "git_commit: abc then",
        "machine: a VAX then",
        "device: AMD EPYC, 2 threads then, a new one now",
        "config_hash: ",
    ):
        assert part in said
    shown = reproduce.text(document)
    assert "val_top1: 0.5 then, 0.75 now (+0.25)" in shown
    assert "identical, bit for bit: no metric" in shown


def test_a_run_that_fails_says_so(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(store)

    def run(job: Any, emit: Any) -> Outcome:
        raise RuntimeError("no memory")

    monkeypatch.setattr(fit, "run", run)
    document = stored.again(anyway=True, quiet=True)
    assert document["status"] == "failed"
    assert "RuntimeError: no memory" in reproduce.text(document)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"level": "trial"}, "of level trial, not a single fit; run `ilsvrc search`"),
        ({"level": "outer_fold"}, "run `ilsvrc nested` on the config.yaml of the run above it"),
        ({"level": "bench"}, "run `ilsvrc bench` again"),
        ({"level": "other"}, "it was not written by this suite"),
        ({"status": "FAILED"}, "is failed and has no results to compare with"),
    ],
)
def test_what_cannot_be_repeated_is_refused(
    changes: dict[str, Any], message: str, store: FakeStore
) -> None:
    with pytest.raises(BadInput, match=message):
        Stored(store, **changes).again()


def test_bad_requests_are_one_line(done: dict[str, Any]) -> None:
    uri = f"tracking.uri={done['uri']}"
    with pytest.raises(BadInput, match=f"of level sweep.*give one of its runs.*{done['runs'][0]}"):
        reproduce.reproduce(done["sweep"], [uri])
    with pytest.raises(BadInput, match="reproduce: no run 0123 in sqlite"):
        reproduce.reproduce("0123", [uri])
    with pytest.raises(BadInput, match=r"can be changed. Received: train.epochs=3"):
        reproduce.reproduce(done["runs"][0], [uri, "train.epochs=3"])
