"""`search.race` and `search.choose` on real networks: answers kept, resumed, chosen, refused."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import inside
from search_fits import cut, watched
from small_search import quiet_folder, uri

from experiments.config import settings
from experiments.errors import BadInput
from experiments.jobs.predictions import HITS, packed_hits, unpacked_hits
from experiments.search import space
from experiments.search.candidates import Candidates
from experiments.search.results import text
from experiments.search.run import run
from experiments.tracking.journal import Journal
from experiments.tracking.search_journal import digest, what_matters

pytestmark = pytest.mark.usefixtures("own_store")

RATE = "train.optimizer.learning_rate"
BASE = {
    "name": "r",
    "data": {"source": "digits", "image_size": 16},
    "model": {"name": "mlp"},
    "train": {"epochs": 2},
    "validation": {"folds": 4},
    "search": {
        "strategy": "grid",
        "space": {RATE: [0.1, 1e-6, 0.05, 2e-6, 0.08]},
        "race": {},
        "refit": True,
    },
    "launch": {"executor": "inline"},
    "bench": {"latency_calls": 2, "throughput_batches": 1},
}


def config(*words, **sections):
    store = {"tracking": {"save_model": "none", "uri": uri()}}
    return settings.parse(settings.override({**BASE, **store, **sections}, words))


@pytest.fixture(scope="module")
def raced(tmp_path_factory):
    """A folder where a raced search has ended, and its JSON."""
    folder = tmp_path_factory.mktemp("raced")
    with quiet_folder(folder):
        return folder, run("search", config(), "r.yaml")


@pytest.fixture
def journal(raced, own_folder):
    """That search's state alone in this folder; its journal's file."""
    shutil.copytree(raced[0] / ".ilsvrc", own_folder / ".ilsvrc")
    return own_folder / raced[1]["state"] / "journal.jsonl"


@pytest.fixture
def trained(monkeypatch):
    """The fits that are run."""
    return watched(monkeypatch)


def told(result):
    """What must be equal however often a search was stopped."""
    keys = ("number", "status", "scores", "gave_up", "epochs")
    trials = [{key: trial[key] for key in keys} for trial in result["trials"]]
    return trials, result["fits"], result["race"], result["choice"], result["refit"]["test_top1"]


def test_what_is_at_chance_gives_up_after_two_folds_and_the_rest_has_all(raced):
    result = raced[1]
    statuses = [trial["status"] for trial in result["trials"]]
    assert statuses == ["finished", "gave_up", "finished", "gave_up", "finished"]
    for loser in (result["trials"][1], result["trials"][3]):
        assert loser["gave_up"]["folds"] == 2
        assert 0 < loser["gave_up"]["p"] < 0.05 * (2 / 3) / 4
    assert result["race"] == {"alpha": 0.05, "noise": None, "gave_up": 2, "folds_saved": 4}
    assert result["fits"]["saved"] == 4
    assert "race: 2 gave up, 4 fits saved" in text.of_result(result)


def test_a_fit_says_of_each_image_if_it_was_right(raced):
    folder, result = raced
    events = Journal(folder / result["state"]).events()
    ended = [event for event in events if event["event"] == "ended"]
    folds = [event for event in ended if "fold" in event["path"]]
    assert len(folds) == 16
    assert HITS not in next(e for e in ended if e["path"] == ["refit"])["outcome"]["artifacts"]
    for event in folds:
        hits = unpacked_hits(event["outcome"]["artifacts"][HITS]["val"])
        table = pq.read_table(folder / event["outcome"]["predictions"])
        labels, predicted = (table[name].to_numpy() for name in ("label", "predicted"))
        assert np.array_equal(hits, labels == predicted)
        assert hits.mean() == pytest.approx(event["outcome"]["scores"]["val_top1"])


@pytest.mark.parametrize("images", [1, 7, 8, 9, 360])
def test_hits_are_as_they_were_packed(images):
    rng = np.random.default_rng(images)
    columns = {"label": rng.integers(0, 2, images), "predicted": rng.integers(0, 2, images)}
    again = unpacked_hits(json.loads(json.dumps(packed_hits(columns))))
    assert again.dtype == bool
    assert np.array_equal(again, columns["label"] == columns["predicted"])


@pytest.mark.parametrize("kept", [3, 12])
def test_a_race_that_was_cut_goes_on_to_the_same_end(raced, journal, trained, kept):
    cut(journal, kept)
    again = run("search", config(), "r.yaml")
    assert len(trained) == 17 - kept
    assert told(again) == told(raced[1])


def test_the_lead_is_said(raced):
    choice, said = raced[1]["choice"], text.of_result(raced[1])
    lead, best = choice["lead"], raced[1]["best"]
    assert choice["rule"] == "best"
    assert choice["trial"] == choice["highest"] == best["number"]
    assert lead["of"] == "images and training"
    assert lead["level"] == 0.025
    scores = {trial["number"]: trial["score"] for trial in raced[1]["trials"]}
    assert lead["difference"] == pytest.approx(best["score"] - scores[lead["over"]])
    assert lead["within_noise"] == bool(lead["alike"])
    assert f"trial {best['number']} is {100 * lead['difference']:.2f} points ahead of" in said
    assert ("within noise" in said) == lead["within_noise"]


def test_another_rule_chooses_anew_and_trains_the_refit_alone(journal, trained, monkeypatch):
    """Costs are set so that the last trial is the cheapest; nothing else is trained again."""
    monkeypatch.setattr(Candidates, "cost", lambda self, trial: (-trial.number, 0))
    monkeypatch.setattr("tuning.choice.Choice.eligible", lambda *_: [0, 1, 2])
    result = run("search", config("search.choose=cheapest"), "r.yaml")
    assert result["best"]["number"] == result["refit"]["trial"] == 4
    assert [job.path for job in trained] in ([("refit",)], [])  # none where it was the best already
    if result["choice"]["highest"] != 4:
        assert "chosen is trial 4, the simplest that cannot be told from" in text.of_result(result)


def test_a_journal_without_answers_goes_on_and_folds_tell_the_lead(journal, trained):
    """As older versions wrote it, without a race."""
    lines = []
    for line in journal.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "ended":
            event["outcome"]["artifacts"].pop(HITS, None)
        if event["event"] == "started":
            unraced = config("search.race=null")
            matters = what_matters(unraced, "search", event["matters"]["data.fingerprint"])
            event["matters"] = matters
        lines.append(json.dumps(event))
    journal.write_text("\n".join(lines) + "\n")
    journal.parent.rename(journal.parent.with_name(f"search-{digest(matters)}"))
    result = run("search", config("search.race=null", "search.choose=one_standard_error"), "r.yaml")
    late = [job.path for job in trained if job.path != ("refit",)]
    assert sorted(late) == [("trial", n, "fold", f) for n in (1, 3) for f in (2, 3)]
    assert result["choice"]["lead"]["of"] == "folds"


def test_nested_chooses_in_every_outer_fold_by_macs_that_are_counted():
    made = config(
        "search.choose=cheapest", "search.race=null",
        "search.space={model.options.width: [1.0, 0.25]}", "search.refit=false",
        validation={"outer": 2, "inner": 2},
    )  # fmt: skip
    result = run("nested", made, "n.yaml")
    assert result["status"] == "finished"
    for row in result["outer"]:
        choice = row["choice"]
        assert choice["rule"] == "cheapest"
        assert choice["cost"]["macs"] <= choice["cost_of_highest"]["macs"]
        alike = {choice["highest"], *choice["lead"]["alike"]}
        assert row["trial"] == max(alike)  # the narrow one is the second
    assert "outer folds" in text.of_result(result)


@pytest.mark.parametrize(
    ("words", "folds", "said"),
    [
        (["search.race={}"], 1, "search.race: first looks after 2 folds, and 1 fold leaves none"),
        (["search.race={}"], 2, "2 folds leave none to give up; set validation.folds=5"),
        (["search.race={noise: 0.003}"], 1, "first looks after 1 fold, and 1 fold leaves none"),
        (["search.race={}", "search.objective=val_loss"], 5, "val_loss tells of none"),
        (["search.race={}", "search.objective=val_macro_f1"], 5, "val_macro_f1 tells of none"),
        (
            ["search.race=null", "search.choose=cheapest", "search.objective=val_balanced_top1"], 1,
            "one fold does not tell it of val_balanced_top1; set validation.folds=5",
        ),
        (["search.race={}", "search.racing={}"], 5, "racing: race takes its place; leave one"),
        (["search.race={alpha: 0.7}"], 5, "search.race.alpha"),
        (
            ["search.race=null", "search.choose=cheapest", "search.objective=val_loss"], 1,
            "search.choose: cheapest asks how far a score scatters, and one fold does not tell",
        ),
    ],
)  # fmt: skip
def test_a_race_or_choice_that_cannot_be_is_refused_in_one_line(words, folds, said):
    with pytest.raises(BadInput) as refused:
        space.check(config(*words), "r.yaml", folds)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_race_of_one_fold_trains_nothing_and_exits_2(tmp_path, monkeypatch, capsys, trained):
    made = config("validation.folds=null")
    (tmp_path / "r.json").write_text(made.model_dump_json())
    assert inside(monkeypatch, "search", tmp_path / "r.json") == 2
    err = capsys.readouterr().err
    assert "search.race: first looks after 2 folds" in err
    assert "Traceback" not in err
    assert not trained


@pytest.mark.parametrize(
    ("name", "kind"),
    [("search-grid", "search"), ("search-bayesian", "search"), ("nested", "nested")],
)
def test_searches_without_a_race_are_found_again_whatever_is_chosen(name, kind):
    made = settings.load(str(files("experiments.configs").joinpath(f"{name}.yaml")))
    matters = what_matters(made, kind, "f")
    assert not {"search.race", "search.choose"} & matters.keys()
    other = made.search.model_copy(update={"choose": "cheapest"})
    assert what_matters(made.model_copy(update={"search": other}), kind, "f") == matters


def test_a_race_is_another_search_and_one_on_means_goes_on_under_its_old_key():
    def matters(race):
        search = f"search={{strategy: grid, space: {{seed: [1, 2]}}, {race}: {{}}}}"
        made = settings.parse(settings.override({}, [search, "validation.folds=5"]))
        return what_matters(made, "search", "f")

    old = {"search.racing.after_folds": 2, "search.racing.alpha": 0.05, "search.racing.margin": 0.0}
    assert {key: of for key, of in matters("racing").items() if key.startswith("search.rac")} == old
    assert matters("race")["search.race.alpha"] == 0.05
