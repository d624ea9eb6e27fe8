"""A set whose published results are of its own validation part: what is held out, and what the
commands say of runs that have no test part."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from blank_store import blank_store
from command import inside, write_config
from ilsvrc_set import WNIDS, draw_kaggle
from terminal_text import shown

from experiments.config import settings
from experiments.config.identity import config_hash
from experiments.config.schema import Config
from experiments.errors import BadInput
from experiments.inference.loading import load
from experiments.jobs.plan import prepare
from experiments.runs.ensemble import judge, render
from experiments.runs.members import plan_team
from experiments.search.study import open_study
from experiments.tracking.search_journal import what_matters
from pipelines.sources.open import open_source
from pipelines.sources.prepare import prepare as shrink

HELD_BACK = "validation is the official one, no test part is held out"
SEARCH = "search={strategy: random, trials: 2, space: {train.epochs: [1, 2]}, refit: true}"


@pytest.fixture(scope="module")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_kaggle(tmp_path_factory.mktemp("kaggle"), train=10, validation=6)


def config(source: object, *words: str) -> Config:
    given = (f"data.source={source}", "data.image_size=32", "model.name=mlp", *words)
    return settings.parse(settings.override({}, given))


def parts(source: object, *words: str) -> tuple[int, int, int]:
    split = prepare(config(source, *words)).split
    test = 0 if split.test is None else len(split.test)
    return len(split.train), len(split.validation), test


def test_no_test_part_is_held_out_of_train_unless_asked(kaggle: Path) -> None:
    assert parts(f"ilsvrc:{kaggle}") == (30, 6, 0)
    assert parts(f"ilsvrc:{kaggle}", "validation.test_fraction=0.2") == (24, 6, 6)
    images = kaggle / "ILSVRC" / "Data" / "CLS-LOC"
    assert parts(f"folder:{images / 'train'}")[2] == 6  # other sets as ever
    assert parts("digits") == parts("digits", "validation.test_fraction=0.2")


def test_a_prepared_copy_is_split_as_the_set_itself(kaggle: Path, tmp_path: Path) -> None:
    source = open_source(f"ilsvrc:{kaggle}")
    shrink(source, tmp_path / "small", size=24)
    copy = open_source(f"prepared:{tmp_path / 'small'}")
    assert (copy.headline, copy.titles) == ("validation", source.titles)
    assert parts(f"prepared:{tmp_path / 'small'}") == (30, 6, 0)
    manifest = tmp_path / "small" / "manifest.json"
    before = json.loads(manifest.read_text())
    manifest.write_text(
        json.dumps({k: before[k] for k in before if k not in ("titles", "headline")})
    )
    shrink(source, tmp_path / "small", size=24)  # what an earlier version wrote is the same folder
    assert parts(f"prepared:{tmp_path / 'small'}") == (24, 6, 6)


def test_what_is_settled_is_recorded_and_earlier_runs_keep_their_hash(kaggle: Path) -> None:
    open_, asked = (
        prepare(config(f"ilsvrc:{kaggle}", *words)).config
        for words in ((), ("validation.test_fraction=0.2",))
    )
    assert (open_.validation.test_fraction, asked.validation.test_fraction) == (0.0, 0.2)
    assert config_hash(open_) != config_hash(asked)
    for source in ("digits", "synthetic:classes=2,size=32,examples=40"):
        left, given = (config(source), config(source, "validation.test_fraction=0.2"))
        assert config_hash(left) == config_hash(given)
        assert prepare(left).config == prepare(given).config


def test_a_search_says_that_its_winner_has_no_test_images(kaggle: Path) -> None:
    with pytest.raises(BadInput, match=r"no test images; set validation.test_fraction=0.2"):
        open_study("search", config(f"ilsvrc:{kaggle}", SEARCH))
    asked = config(f"ilsvrc:{kaggle}", SEARCH, "validation.test_fraction=0.2")
    study = open_study("search", asked)
    assert study.folds[0].test is not None
    assert len(study.folds[0].test) == 6
    untested = open_study("search", config(f"ilsvrc:{kaggle}", SEARCH, "search.refit=false"))
    assert untested.folds[0].test is None
    assert untested.config.validation.test_fraction == 0.0
    assert what_matters(config("digits", SEARCH), "search", "") == what_matters(
        config("digits", SEARCH, "validation.test_fraction=0.2"), "search", ""
    )
    nested = open_study("nested", config(f"ilsvrc:{kaggle}", SEARCH, "validation.outer=2"))
    assert sum(len(fold.test) for fold in nested.folds if fold.test is not None) == 36


def test_an_ensemble_is_compared_on_the_part_of_the_published_results(kaggle: Path) -> None:
    words = ("evaluate.ensemble={kind: seeds, size: 2}",)
    assert plan_team(config(f"ilsvrc:{kaggle}", *words), "x.yaml").members
    with pytest.raises(BadInput, match=r"set validation\.test_fraction=0\.2"):
        plan_team(config("digits", *words, "validation.test_fraction=0"), "x.yaml")
    labels = np.array([0, 1, 0, 1])
    right, wrong = np.eye(2)[[0, 1, 0, 1]], np.eye(2)[[0, 1, 1, 0]]
    rows = [{"name": "a"}, {"name": "b"}]
    document = judge(rows, {"val": (labels, [wrong, right])}) | {"kind": "seeds"}
    assert (document["best_member"]["name"], document["mean_member_val_top1"]) == ("b", 0.75)
    assert not any("test" in key for key in document | document["ensemble"])
    said = shown(render(document))
    assert "points of validation top-1" in said
    assert "best on validation, and compared on it" in said


@pytest.fixture(scope="module")
def validation_alone(kaggle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alone")
    (root / "val").symlink_to(kaggle / "ILSVRC" / "Data" / "CLS-LOC" / "val")
    for name in ("LOC_val_solution.csv", "LOC_synset_mapping.txt"):
        (root / name).write_text((kaggle / name).read_text())
    return root


def test_runs_without_a_test_part_from_start_to_report(
    kaggle: Path,
    validation_alone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", blank_store(tmp_path))
    file = write_config(
        tmp_path,
        data={"source": f"ilsvrc:{kaggle}", "image_size": 32, "batch_size": 16},
        model={"name": "mlp"},
        launch={"executor": "inline"},
        sweep={"seed": [1, 2]},
    )

    def said(*words: object, code: int = 0) -> tuple[str, str]:
        capfd.readouterr()
        assert inside(monkeypatch, *words) == code
        return capfd.readouterr()

    out, _ = said("train", file, "sweep={}", "--dry-run")
    assert HELD_BACK in out
    out, err = said("sweep", file, "--json")
    assert err.count(HELD_BACK) == 1
    runs = json.loads(out)["runs"]
    assert all("val_top1" in run and "test_top1" not in run for run in runs)
    out, err = said("compare", "tiny")
    assert "validation" in out + err
    said("report", "tiny", "--out", "page.html")
    assert "6 validation and 0 test images" in Path("page.html").read_text()
    one = runs[0]["run_id"]
    team = "evaluate.ensemble={kind: seeds, size: 2}"
    document = json.loads(said("ensemble", file, "sweep={}", team, "--json")[0])
    assert document["ensemble"]["val_images"] == 6
    assert document["members"][0]["run_id"] == one  # the run of `ilsvrc train`
    table = " ".join(said("ensemble", file, "sweep={}", team)[0].split())
    assert "points of validation top-1" in table
    [network] = load([one], settings.load(file), with_models=False)
    assert (network.class_names, network.titles[WNIDS[0]]) == (WNIDS, "tench")
    for reuse in ("false", "true"):
        out, _ = said("evaluate", one, f"evaluate.reuse={reuse}", "--json")
        scored = json.loads(out)
        assert (scored["part"], scored["images"]) == ("validation", 6)
        assert scored["rows"][0]["top1"] == pytest.approx(runs[0]["val_top1"])
    said("evaluate", one, "evaluate.reuse=true", "--out", "scored")
    [table] = Path("scored").rglob("per_class.csv")
    with table.open(newline="", encoding="utf-8") as rows:
        assert [row["title"] for row in csv.DictReader(rows)] == ["tench", "dog", "crane"]
    picture = kaggle / "ILSVRC" / "Data" / "CLS-LOC" / "train" / WNIDS[0] / f"{WNIDS[0]}_0.JPEG"
    [row] = json.loads(said("predict", one, picture, "--json")[0])
    titles = {each["label"]: each["title"] for each in row["predictions"]}
    assert titles == open_source(f"ilsvrc:{kaggle}").titles
    out, _ = said("evaluate", one, f"data.source=ilsvrc:{validation_alone}", "--json")
    scored = json.loads(out)
    assert (scored["part"], scored["images"]) == ("validation", 6)
    assert scored["rows"][0]["top1"] == pytest.approx(runs[0]["val_top1"])
    _, err = said("train", file, "sweep={}", f"data.source=ilsvrc:{validation_alone}", code=2)
    assert err.count("\n") == 1
    assert "has no training images, only validation; `ilsvrc evaluate` scores" in err
    out, _ = said("data", "stats", f"ilsvrc:{validation_alone}")
    assert "of all images (no official training part), 6 images" in out


def test_readable_names_beside_the_wnids(
    kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.fitting.scoring import per_class
    from experiments.inspection import data, preview

    titles = open_source(f"ilsvrc:{kaggle}").titles
    labels, predicted = np.array([0, 1, 1]), np.array([0, 1, 2])
    table = per_class(labels, predicted, WNIDS, titles)
    column = table["columns"].index("title")
    assert [row[column] for row in table["data"]] == ["tench", "dog"]
    assert "title" not in per_class(labels, predicted, WNIDS, {})["columns"]
    plan = prepare(config(f"ilsvrc:{kaggle}", "augment.preset=none"))
    assert preview._names(plan, plan.split.train[[0, -1]]) == [
        (WNIDS[0], "tench"), (WNIDS[2], "crane")
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    document = data.check(f"ilsvrc:{kaggle}", quiet=True, tiny=100)
    assert {(f["class"], f["title"]) for f in document["findings"]} == set(titles.items())
    data.write_csv(tmp_path / "a.csv", document["findings"])
    assert (tmp_path / "a.csv").read_text().splitlines()[0].endswith("detail,title")
