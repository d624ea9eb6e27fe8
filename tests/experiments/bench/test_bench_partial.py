"""`ilsvrc bench ...` that is stopped, or where a part fails: what was measured is kept."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from command import inside

from experiments.bench import model_rows, models, pipeline, search, suite, table
from experiments.bench.course import Course, missing_lines
from experiments.bench.process import BenchProcess, KilledBySystem
from experiments.config import settings
from experiments.errors import FailedWork, Stopped

WORDS = ["bench.names=[mlp, lenet5]", "bench.precisions=[float32]", "bench.batch_sizes=[1, 4]"]


def fake_networks(monkeypatch: pytest.MonkeyPatch, *endings: Any) -> list[str]:
    """Processes that measure nothing; the last lines of each are an exception, where one is given.

    `endings`: by process in order, None or (lines that are said before it, exception).
    """
    asked: list[str] = []
    left = iter(endings)

    def listen(job: dict[str, Any]) -> Any:
        asked.append(job.get("name", "peak"))
        lines: list[dict[str, Any]] = [{"kind": "peak", "flops_per_second": 1e12, "side": 512.0}]
        if job["mode"] != "peak":
            cost = {"params": 10, "macs": 1000, "machine": "abacus", "framework": "beads 1.0"}
            lines = [{"kind": "built", "build_seconds": 1.0, **cost}]
            for item in job["batches"]:
                lines.append(
                    {"kind": "size", "seconds": [0.5], "first_step_seconds": 1.0, "host_peak": 1e8,
                     "device_peak": None, **item}
                )  # fmt: skip
            if job["mode"] == "infer":
                lines.append({"kind": "latency", "seconds": [0.01]})
        said, error = next(left, None) or (len(lines), None)
        yield from lines[:said]
        if error:
            raise error

    monkeypatch.setattr(model_rows, "listen", listen)
    return asked


def config(*words: str) -> Any:
    return settings.parse(settings.override({"name": "bench"}, [*WORDS, *words]))


def test_a_stopped_bench_writes_what_it_measured_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    # round 1 is whole; in round 2 the stop comes when mlp has its first batch
    fake_networks(monkeypatch, None, None, None, None, (2, Stopped()))
    words = [*WORDS, "bench.rounds=3", "--json", "--out", "here"]
    assert inside(monkeypatch, "bench", "infer", *words) == 130
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err.splitlines()[-1].startswith("ilsvrc: stopped; what was measured")
    assert document["status"] == "killed"
    rows = [(row["name"], row["batch"], row["rounds"]) for row in document["rows"]]
    assert rows == [("mlp", 1, 2), ("mlp", 4, 1), ("lenet5", 1, 1), ("lenet5", 4, 1)]
    assert document["missing"] == {
        "matrix-product peak, float32, tensorflow": "2 of 3 rounds: stopped",
        "mlp float32 batch 1": "2 of 3 rounds: stopped",
    } | dict.fromkeys(
        (
            "mlp float32 batch 4", "mlp float32 latency", "lenet5 float32 batch 1",
            "lenet5 float32 batch 4", "lenet5 float32 latency",
        ),
        "1 of 3 rounds: stopped",
    )  # fmt: skip
    assert document["rows"][0]["images_per_second"] == 2.0
    shown = table.text(document).splitlines()
    assert (
        "partial, 2 of 3 rounds: stopped: matrix-product peak, float32, tensorflow; "
        "mlp float32 batch 1" in shown
    )

    [file] = document["files"]
    assert Path(file).name == "infer-abacus-float32-beads-1.0-partial.csv"
    with Path(file).open() as opened:
        written = list(csv.DictReader(opened))
    assert [(row["rounds"], row["of_rounds"]) for row in written] == [("2", "3"), *[("1", "3")] * 3]


def test_a_network_that_fails_later_keeps_its_earlier_rounds(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    full = FailedWork("out of memory")
    # round 2: the peak fails, and mlp behind its first batch; both are left alone in round 3
    asked = fake_networks(monkeypatch, None, None, None, (0, full), (2, full))
    words = [*WORDS, "bench.rounds=3", "--out", "here"]
    assert inside(monkeypatch, "bench", "train", *words) == 1
    assert asked == ["peak", "mlp", "lenet5", "peak", "mlp", "lenet5", "lenet5"]
    shown = capsys.readouterr().out
    peak = "matrix-product peak, float32, tensorflow"
    assert f"partial, 1 of 3 rounds: out of memory: {peak}; mlp float32 batch 4\n" in shown
    assert "partial, 2 of 3 rounds: out of memory: mlp float32 batch 1\n" in shown
    assert "lenet5 float32 batch" not in shown, "it is whole"


def test_rows_without_a_peak_stand_without_their_share_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_networks(monkeypatch, (0, KilledBySystem("its process was killed; out of memory?")))
    document = models.run(config("bench.rounds=1"), "train", lambda line: None)
    assert {row["fraction_of_peak"] for row in document["rows"]} == {None}
    assert document["peaks"] == []
    assert list(document["missing"]) == ["matrix-product peak, float32, tensorflow"]
    assert "fraction_of_peak" not in table._metrics(document["rows"][0])
    assert table.text(document)


def test_what_is_stopped_before_the_first_row_has_nothing_to_write(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    fake_networks(monkeypatch, None, (1, Stopped()))
    assert inside(monkeypatch, "bench", "infer", *WORDS, "--out", "here") == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "ilsvrc: stopped before anything was measured"
    assert not Path("here").exists()


def fake_rows(monkeypatch: pytest.MonkeyPatch, ends: dict[tuple[str, int], BaseException]) -> None:
    """Rows of the pipeline whose rate is 10 for ours and 5 else; `ends`: by name and question."""

    @contextlib.contextmanager
    def processes(job: Any, cores: Any, folder: Any, row: Any) -> Any:
        questions = iter(range(100))

        def ask(recipe: str) -> float:
            if error := ends.get((row.name, next(questions))):
                raise error
            return 10.0 if row.worker == "ours" else 5.0

        if error := ends.get((row.name, -1)):
            raise error
        yield ask

    monkeypatch.setattr(pipeline, "_processes", processes)


PIPELINE = ["bench.count=4", "bench.rounds=3", "bench.cores=[1]"]
ROWS = "bench.only=[tf.data usual, ours uint8, PIL as torchvision]"


def test_a_stopped_bench_of_the_pipeline_shows_the_rounds_that_were_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    fake_rows(monkeypatch, {("ours uint8", 3): Stopped()})  # round 2, second recipe
    assert inside(monkeypatch, "bench", "pipeline", *PIPELINE, ROWS, "--json") == 130
    document = json.loads(capsys.readouterr().out)
    found = {(row["name"], row["recipe"]): row["rounds"] for row in document["rows"]}
    assert found == {
        ("tf.data usual", "resnet"): 2,
        ("tf.data usual", "inception"): 2,
        ("ours uint8", "resnet"): 2,
        ("ours uint8", "inception"): 1,
        ("PIL as torchvision", "resnet"): 2,
        ("PIL as torchvision", "inception"): 1,
    }
    assert {row["ratio"] for row in document["rows"] if row["name"] == "ours uint8"} == {2.0}
    assert len(document["missing"]) == 6
    assert document["missing"]["ours uint8, inception, cores: 1"] == "1 of 3 rounds: stopped"


def test_a_row_of_the_pipeline_that_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    ends: dict[tuple[str, int], BaseException] = {
        ("ours uint8", 2): FailedWork("its process was killed; out of memory?"),
        ("PIL as torchvision", -1): FailedWork("its process failed: no libjpeg"),
    }
    fake_rows(monkeypatch, ends)
    assert inside(monkeypatch, "bench", "pipeline", *PIPELINE, ROWS, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == "failed"
    assert document["left_out"]["PIL as torchvision"] == "its process failed: no libjpeg"
    rounds = {row["name"]: row["rounds"] for row in document["rows"]}
    assert rounds == {"tf.data usual": 3, "ours uint8": 1}
    why = "1 of 3 rounds: its process was killed; out of memory?"
    assert document["missing"] == {
        f"ours uint8, {recipe}, cores: 1": why for recipe in ("resnet", "inception")
    }
    assert f"partial, {why}: ours uint8, resnet" in pipeline.text(document)


def fake_sides(
    monkeypatch: pytest.MonkeyPatch, stops: dict[tuple[str, int], BaseException]
) -> None:
    """Sides of a search whose trials take 1 s (ours) and 4 s; `stops`: by side and trial."""

    class Side:
        def __init__(self, name: str, workload: search.Workload, folder: Path):
            self.name, self.number = name, 0

        def __enter__(self) -> Side:
            return self

        def __exit__(self, *raised: object) -> None:
            pass

        def answer(self) -> dict[str, Any]:
            return {"ready": True}

        def trial(self) -> dict[str, Any]:
            if error := stops.get((self.name, self.number)):
                raise error
            self.number += 1
            seconds = 1.0 if self.name == "ours" else 4.0
            return {"seconds": seconds, "step_seconds": 0.5, "scores": [0.9] * 3, "rss": 2**30}

    monkeypatch.setattr(search, "SearchProcess", Side)


def test_a_stopped_bench_of_a_search_shows_the_trials_that_were_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    fake_sides(monkeypatch, {("stock", 3): Stopped()})
    words = ["overhead", "two_epochs", "ten_epochs", "--trials", "5", "--json"]
    assert inside(monkeypatch, "bench", "search", *words) == 130
    document = json.loads(capsys.readouterr().out)
    assert document["overhead"]["trials"] == 5
    assert document["overhead"]["wall_over_steps"] == 2.0
    assert (document["two_epochs"]["trials"], document["two_epochs"]["ratio"]) == (3, 4.0)
    assert "ten_epochs" not in document
    assert document["missing"] == {
        "two_epochs": "3 of 5 trials: stopped",
        "ten_epochs": "0 of 5 trials: stopped",
    }
    assert "partial, 3 of 5 trials: stopped: two_epochs" in search.text(document)


def test_a_side_of_a_search_that_fails_leaves_the_other_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_sides(monkeypatch, {("stock", 0): FailedWork("its process was killed; out of memory?")})
    document = search.run(3, ["overhead", "two_epochs", "memory"], lambda line: None)
    assert document["status"] == "failed"
    why = "its process was killed; out of memory?"
    assert document["missing"]["two_epochs"] == f"0 of 3 trials: {why}"
    assert document["missing"]["memory"] == f"0 of 34 trials: {why}"
    assert document["memory"]["mib_a_fit"] == {"ours": 0.0}
    with pytest.raises(FailedWork, match=f"nothing could be measured: two_epochs: .*{why}"):
        search.run(3, ["two_epochs"], lambda line: None)


def test_a_stopped_bench_of_the_suite_shows_what_it_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    times = iter([1.0] * 7)  # a round that warms, one that counts, and the first of the next

    def seconds(words: Any) -> float:
        try:
            return next(times)
        except StopIteration:
            raise Stopped from None

    monkeypatch.setattr(suite, "_seconds", seconds)
    assert inside(monkeypatch, "bench", "suite", "--json") == 130
    document = json.loads(capsys.readouterr().out)
    assert [row["rounds"] for row in document["rows"]] == [2, 1, 1]
    assert document["missing"]["python -c pass"] == "2 of 11 rounds: stopped"
    assert document["missing"]["memory"] == "not measured: stopped"
    assert suite.report(document)


def test_a_number_of_workers_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def swept(path: Path, folder: str) -> dict[str, Any]:
        if "workers: 2" in path.read_text():
            raise FailedWork("the sweep of scaling.yaml ended with exit code 1")
        return {"runs": [{"test_top1": 0.9, "val_loss": 1.0}]}

    monkeypatch.setattr(suite, "_sweep", swept)
    found = suite.scaling((1, 2, 3), runs=1)
    assert [row["workers"] for row in found["rows"]] == [1, 3]
    why = "not measured: the sweep of scaling.yaml ended with exit code 1"
    assert found["missing"] == {"workers 2": why}
    assert f"partial, {why}: workers 2" in suite.scaling_report(found)


def test_a_worker_that_dies_says_of_what(tmp_path: Path) -> None:
    with (
        BenchProcess("json.tool", {}) as worker,
        pytest.raises(FailedWork, match=r"failed: .*'\{\}'"),
    ):
        worker.answer()
    (tmp_path / "mortal.py").write_text(
        "import os\nprint(1, flush=True)\ninput()\nos.kill(os.getpid(), 9)\n"
    )
    with BenchProcess("mortal", {}, tmp_path) as worker:
        assert worker.answer() == 1
        worker.tell("go")
        with pytest.raises(KilledBySystem, match="out of memory"):
            worker.hear()
        worker.tell("go")  # nobody takes it, and nothing is raised


def test_reasons_stand_once() -> None:
    course = Course()
    with course.trying("b"):
        raise FailedWork("broken")
    with course.until_stopped():
        raise Stopped
    missing = course.missing([("a", "a", 1), ("b1", "b", 1), ("b2", "b", 1), ("c", "c", 2)], 2)
    assert missing_lines(missing) == [
        "partial, 1 of 2 rounds: stopped: a",
        "partial, 1 of 2 rounds: broken: b1; b2",
    ]
    assert (course.status(missing), Course().status(missing)) == ("killed", "failed")
    assert Course().status({}) == "finished"
