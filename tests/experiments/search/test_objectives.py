"""Searches for several objectives, on workers that are not there: what is true of a width is known.

Accuracy by width is 0.5, 0.7, 0.8 and 0.75, plus 0.01 a fold and less 0.1 for the second learning
rate; so the first three widths are the front, whatever the fourth costs.
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from simulated_cluster import RATE, Clock, Cluster, Store, config, run, run_cut

from experiments.comparison.plots import search_front
from experiments.config import settings
from experiments.config.schema import Config
from experiments.config.strategies import STRATEGIES, Strategy
from experiments.errors import BadInput
from experiments.jobs.job import Job, Outcome
from experiments.search import run as search_run
from experiments.search.results import text
from experiments.search.results.plots import pictures
from experiments.search.space import oracle_of, space_of
from experiments.tracking.journal import Journal
from tuning.objectives import signed
from tuning.oracles.oracle import Manual

HIDDEN = "model.options.hidden"
ACCURACY = {8: 0.5, 16: 0.7, 64: 0.8, 256: 0.75}
BOTH = ["val_top1", "macs"]
FRONT = [[8], [16], [64]]


class Known(Cluster):
    """Workers whose scores and times are known, and who all live."""

    def __init__(self, workers: int, seed: int, clock: Clock, cut: int | None = None):
        super().__init__(workers, seed, clock, deaths=0.0, cut=cut)

    def fit(self, job: Job) -> Any:
        says, seconds = super().fit(job)
        if isinstance(outcome := says[-1], Outcome):
            width = job.axes[HIDDEN][0]
            top1 = ACCURACY[width] - 0.1 * (job.axes[RATE] > 0.1)
            fold = next((part for at, part in enumerate(job.path) if job.path[at - 1] == "fold"), 0)
            assert isinstance(fold, int)
            outcome.scores["val_top1"] = top1 + 0.01 * fold
            outcome.scores |= {f"val_{one}_top1": top1 + 0.01 * one for one in job.pair or ()}
            if job.test is not None:
                outcome.scores["test_top1"] = top1 - 0.02
            outcome.cost["train_seconds"] = width + fold
        return says, seconds


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulated_cluster.Cluster", Known)


def asked(words: list[str] | None = None, **search: Any) -> Config:
    space = {RATE: [0.05, 0.2], HIDDEN: [[width] for width in ACCURACY]}
    section = {"strategy": "grid", "space": space, "objectives": BOTH, "max_failures": 9, **search}
    document = config(9, 2).model_dump(mode="json") | {"sweep": {}, "search": section}
    folds = ["validation.folds=3", "validation.test_fraction=0.2"]
    return settings.parse(settings.override(document, [*folds, *(words or [])]))


def searched(made: Config, store: Store | None = None, kind: Any = "search") -> dict[str, Any]:
    return run(made, Known(2, 1, Clock()), store or Store(), kind)


def macs(width: int) -> int:
    """Of the two dense layers on 16 x 16 pixels of grey."""
    return 256 * width + 10 * width


def settled(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What must not depend on when a search was stopped."""
    kept = ("objectives", "front", "hypervolume", "knee", "optimism")
    told = [{k: one[k] for k in kept if k in one} for one in (result, *result.get("outer", ()))]
    for one in told:
        one["front"] = [{**member, "run_id": ""} for member in one["front"]]
    return told


def test_the_front_its_hypervolume_and_its_knee() -> None:
    store = Store()
    result = searched(asked(refit=True), store)
    assert [member["settings"][HIDDEN] for member in result["front"]] == FRONT
    for member in result["front"]:
        width = member["settings"][HIDDEN][0]
        assert member["values"] == {"val_top1": pytest.approx(ACCURACY[width] + 0.01),
                                    "macs": macs(width)}  # fmt: skip
        assert member["spread"] == {"val_top1": pytest.approx(0.01), "macs": None}
    # the worst seen: 0.4 + 0.01 at 8, and the widest network; of 8 to 256 a logarithmic scale
    assert result["objectives"] == [
        {"name": "val_top1", "direction": "max", "reference": pytest.approx(0.41),
         "best": pytest.approx(0.81), "log": False},
        {"name": "macs", "direction": "min", "reference": macs(256), "best": macs(8), "log": True},
    ]  # fmt: skip
    # widths stand at 5/5, 4/5, 2/5 and 0 on that scale, scores at 1/4, 3/4, 1 and 7/8 of the way
    covered = [1 / 4, 1 / 4 + 4 / 5 * 1 / 2, 1 / 4 + 4 / 5 * 1 / 2 + 2 / 5 * 1 / 4]
    assert result["hypervolume"] == pytest.approx([*covered, *[covered[-1]] * 5])
    # the chord from (1, 0) to (0, 1) of the front itself: 16 is at 2/3 both ways
    assert result["knee"] == result["best"]["number"] == result["refit"]["trial"] == 1
    assert result["choice"]["rule"] == "knee"
    assert result["choice"]["highest"] == 2
    assert result["fits"] == {"planned": 25, "done": 25, "failed": 0, "saved": 0}
    said = text.of_result(result)
    assert "front of val_top1 (max) and macs (min): 3 trials, hypervolume 75.0 % of the box" in said
    assert f"71.00% ± 1.00%  4.26 k  {RATE}=0.05, {HIDDEN}=[16]  <- knee" in said
    assert "chosen is trial 1, the knee of the front, not trial 2 (4.26 k MACs against" in said
    rows = list(csv.DictReader((Path(result["state"]) / "front.csv").open()))
    assert [row["front"] for row in rows] == ["True"] * 3 + ["False"] * 5
    assert [row["trial"] for row in rows if row["knee"] == "True"] == ["1"]
    assert [float(row["macs"]) for row in rows] == 2 * [macs(width) for width in ACCURACY]


def test_a_search_that_is_cut_has_the_same_front() -> None:
    whole = searched(asked())
    made = asked().model_copy(update={"name": "cut"})
    result, _ = run_cut(made, 2, [5, 9], Store(), tear=True)
    assert settled(result) == settled(whole)


def test_an_oracle_that_can_is_told_all_and_another_one_the_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, list[Any]] = {"one": [], "all": []}

    class One(Manual):
        def tell(self, number: int, score: Any) -> None:
            told["one"].append(score)
            super().tell(number, score)

    class All(Manual):
        several = True

        def __init__(self, settings: Any, start: Any, minimise: Any):
            assert list(minimise) == [False, True]
            super().__init__(settings, start)

        def tell(self, number: int, score: Any) -> None:
            told["all"].append(score)
            super().tell(number, score)

    for name, oracle in (("one", One), ("all", All)):
        made = Strategy(
            name, oracle, lambda search, space, epochs: (space.grid(), search.start),
            ends="all",
        )  # fmt: skip
        monkeypatch.setitem(STRATEGIES, name, made)
        searched(asked(strategy=name).model_copy(update={"name": name}))
    assert told["one"][:2] == pytest.approx([0.51, 0.71])
    assert told["all"][:2] == [
        pytest.approx((0.51, macs(8))), pytest.approx((0.71, macs(16))),
    ]  # fmt: skip


def test_what_fits_measure_is_the_mean_over_the_folds() -> None:
    made = asked(objectives=["train_seconds", "val_top1", "val_loss"])
    result = searched(made)
    first = result["trials"][0]
    assert first["values"]["train_seconds"] == 8 + 1  # of 8, 9 and 10 seconds
    assert first["spread"]["train_seconds"] == 1
    assert first["values"]["val_loss"] == pytest.approx(1.1 / 3)
    assert result["score_name"] == "val_top1"
    assert [member["settings"][HIDDEN] for member in result["front"]] == FRONT


def test_a_fit_without_a_measurement_fails_its_trial_alone() -> None:
    made = asked(objectives=["val_top1", "latency_ms_p50"])
    result = searched(made)
    assert {trial["error"] for trial in result["trials"]} == {
        "latency_ms_p50 is not a number: None"
    }
    assert result["front"] == []
    assert result["hypervolume"] == [0.0] * 8
    assert result["knee"] is None
    assert "no trial has finished" in result["error"]
    assert "front of val_top1 (max) and latency_ms_p50 (min): 0 trials" in text.of_result(result)


@pytest.mark.parametrize("inner", [["validation.outer=3"], ["validation.outer=2"]])
def test_nested_tests_each_member_of_each_front_once(inner: list[str]) -> None:
    """Shared with three outer folds, apart with two."""
    store = Store()
    made = asked(["validation.folds=null", "validation.test_fraction=null", *inner])
    result = searched(made, store, "nested")
    outer = int(inner[0][-1])
    assert result["status"] == "finished"
    assert result["shared"] == (outer == 3)
    assert [row["fold"] for row in result["outer"]] == list(range(outer))
    for row in result["outer"]:
        assert [member["settings"][HIDDEN] for member in row["front"]] == FRONT
        assert row["knee"] == row["trial"] == 1
        for member in row["front"]:
            truth = ACCURACY[member["settings"][HIDDEN][0]]
            assert member["test_top1"] == pytest.approx(truth - 0.02)
            assert member["error"] is None
        inner_scores = [member["values"]["val_top1"] for member in row["front"]]
        tests = [member["test_top1"] for member in row["front"]]
        assert row["optimism"] == pytest.approx(fmean(inner_scores) - fmean(tests))
        assert row["hypervolume"][-1] > row["hypervolume"][0]
    assert [(m["outer"], m["trial"]) for m in result["front"]] == [
        (fold, trial) for fold in range(outer) for trial in range(3)
    ]
    assert result["mean_test_top1"] == pytest.approx(0.68)  # of the knees
    events = Journal(Path(result["state"])).events()
    tested = [tuple(e["path"]) for e in events if e["event"] == "ended" and "refit" in e["path"]]
    assert sorted(tested) == [
        ("outer", fold, "refit", trial) for fold in range(outer) for trial in range(3)
    ]
    levels = sorted(
        (run.data.tags["path"], run.data.tags["level"])
        for run in store.runs.values()
        if "refit" in run.data.tags["path"]
    )
    assert levels[:3] == [
        ("outer/0/refit/0", "front"), ("outer/0/refit/1", "outer_fold"),
        ("outer/0/refit/2", "front"),
    ]  # fmt: skip
    said = text.of_result(result)
    assert "optimism of the naive fronts: inner score less test of their members" in said
    assert result["fits"]["planned"] == result["fits"]["done"]
    cut = made.model_copy(update={"name": "cut"})
    resumed, _ = run_cut(cut, 2, [7, 9], Store(), tear=True, kind="nested")
    assert settled(resumed) == settled(result)


def test_a_longer_search_tests_new_members_and_none_again() -> None:
    words = ["validation.folds=null", "validation.test_fraction=null", "validation.outer=3"]
    store, settings_of = Store(), {"strategy": "random", "space": {RATE: [0.05],
                                   HIDDEN: [[width] for width in ACCURACY]}}  # fmt: skip
    few = searched(asked(words, **settings_of, trials=2), store, "nested")
    more = searched(asked(words, **settings_of, trials=4), store, "nested")
    assert len(more["front"]) == 9
    assert len(few["front"]) < 9
    events = Journal(Path(more["state"])).events()
    tested = [tuple(e["path"]) for e in events if e["event"] == "ended" and "refit" in e["path"]]
    assert len(tested) == len(set(tested))
    knees = {f"outer/{row['fold']}/refit/{row['knee']}" for row in more["outer"]}
    levels = {run.data.tags["path"]: run.data.tags["level"] for run in store.runs.values()}
    assert {path for path, level in levels.items() if level == "outer_fold"} == knees


def test_a_final_network_is_the_knee_over_all_folds() -> None:
    words = ["validation.folds=null", "validation.test_fraction=null", "validation.outer=3"]
    result = searched(asked(words, final=True), kind="nested")
    assert result["final"]["hyperparameters"][HIDDEN] == [16]
    assert result["final"]["expected_top1"] == pytest.approx(0.68)


def test_pictures_and_a_page_of_the_front(tmp_path: Path) -> None:
    made = asked()
    assert made.search
    result = searched(made)
    files = pictures.write(result, tmp_path, space_of(made.search))
    assert {"front.png", "front.html", "search.html"} <= {file.name for file in files}
    page = (tmp_path / "front.html").read_text()
    assert f"trial 1\n{RATE}=0.05\n{HIDDEN}=[16]\nval_top1 71.00% ± 1.00%\nmacs 4.26 k" in page
    assert page.count('class="hover"') == 8
    far = result["trials"][4] | {"values": {"val_top1": 0.0, "macs": 2128}}
    assert search_front.limits("val_top1", result["front"], result["trials"]) is None
    # members reach from 50 to 82 %: the far one is out, down to 32 points below them
    limits = search_front.limits("val_top1", result["front"], [*result["trials"], far])
    assert limits == pytest.approx((18.0, 85.2))
    whole = (tmp_path / "search.html").read_text()
    assert "<h2>Front</h2>" in whole
    nested = searched(
        asked(["validation.folds=null", "validation.test_fraction=null"]), kind="nested"
    )
    pictures.write(nested, tmp_path / "nested")
    page = (tmp_path / "nested" / "front.html").read_text()
    assert "outer fold 2, trial 1" in page
    assert "test_top1 68.00%" in page
    assert "optimism" in page


@pytest.mark.parametrize(
    ("words", "search", "said"),
    [
        (
            [], {"space": {RATE: [0.05, 0.2], "train.optimizer.momentum": [0.5, 0.9]}},
            "search.objectives: macs is 26.6 k for every candidate, as no key of the space changes",
        ),
        (
            ["launch.executor=ray", "launch.address=auto"],
            {"objectives": ["val_top1", "latency_ms_p50"]},
            "simulated.yaml: search.objectives: latency_ms_p50 is measured where a fit runs, and "
            "launch.address sends fits to machines that may differ",
        ),
        (
            [],
            {"space": {"train.threads": [1, 2]}, "objectives": ["val_top1", "latency_ms_p50"]},
            "latency_ms_p50 is of one device, and train.threads varies",
        ),
        (
            ["validation.folds=5"], {"racing": {}},
            "search.racing: looks at one score, and would drop cheap members",
        ),
        (
            [], {"objectives": ["val_mse", "macs"]},
            "search.objectives: mlp is a classification and has no val_mse; set val_top1",
        ),
    ],
)  # fmt: skip
def test_what_no_front_can_come_of_is_refused_before_anything_trains(
    words: list[str], search: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput) as caught:
        searched(asked(words, **search))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(Path(".ilsvrc").glob("*/*/journal.jsonl"))


def test_a_real_search_times_its_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency is measured in each fit, also of one whose other costs are not."""
    monkeypatch.setattr(pictures, "write", lambda *_: [])
    made = settings.parse(
        {
            "name": "real",
            "data": {"source": "digits", "image_size": 16, "train_fraction": 0.1},
            "model": {"name": "mlp"},
            "train": {"epochs": 1},
            "validation": {"folds": 2, "test_fraction": 0.2},
            "launch": {"executor": "inline"},
            "bench": {"latency_calls": 2, "throughput_batches": 1},
            "tracking": {"save_model": "none", "uri": f"sqlite:///{tmp_path}/mlflow.db"},
            "search": {
                "strategy": "grid",
                "space": {HIDDEN: [[4], [32]]},
                "objectives": ["val_top1", "params", "latency_ms_p50"],
            },
        }
    )
    result = search_run.run("search", made, "real.yaml")
    for trial in result["trials"]:
        values = [trial["values"][one] for one in ("val_top1", "params", "latency_ms_p50")]
        assert values[0] == trial["score"]
        assert values[2] > 0
    table = [list(trial["values"].values()) for trial in result["trials"]]
    assert made.search
    assert made.search.objectives
    numbers = signed(table, [one.resolved for one in made.search.objectives])
    assert numbers.shape == (2, 3)
    assert result["knee"] in [member["trial"] for member in result["front"]]


@pytest.mark.parametrize(
    "section", [{"strategy": "tpe", "tpe": {"startup_trials": 3}},
                {"strategy": "nsga2", "nsga2": {"population": 3}}]
)  # fmt: skip
def test_what_learns_hears_every_objective_in_its_direction(section: dict[str, Any]) -> None:
    made = asked(trials=8, **section)
    oracle: Any = oracle_of(made)
    first = oracle.ask()
    with pytest.raises(ValueError, match="1 scores of 2 objectives"):
        oracle.tell(first.number, 0.5)
    assert [one.name for one in oracle._study.directions] == ["MAXIMIZE", "MINIMIZE"]
    result = searched(made)  # all eight candidates of the space
    assert sorted(one["settings"][HIDDEN] for one in result["front"]) == FRONT


@pytest.mark.parametrize("strategy", ["tpe", "nsga2", "qmc"])
def test_a_search_for_several_goes_on_after_a_cut(strategy: str) -> None:
    space = {RATE: {"type": "float", "low": 0.02, "high": 0.3, "log": True},
             HIDDEN: [[width] for width in ACCURACY]}  # fmt: skip
    section = {"tpe": {"tpe": {"startup_trials": 4}}, "nsga2": {"nsga2": {"population": 4}}}
    search = {"strategy": strategy, "trials": 12, "space": space, **section.get(strategy, {})}
    whole = searched(asked(**search))
    assert (whole["status"], len(whole["trials"])) == ("finished", 12)
    cut, _ = run_cut(asked(**search).model_copy(update={"name": "cut"}), 2, [7, 11], Store())
    assert settled(cut) == settled(whole)
