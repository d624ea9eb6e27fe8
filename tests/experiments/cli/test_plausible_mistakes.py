"""What people try first and write from habit: one line that says what to write instead."""

from __future__ import annotations

import pytest
from blank_store import blank_store
from command import inside, refused, write_config
from fake_store import COSTS, FakeStore

from experiments.config.meant import shipped
from experiments.tracking.tracked_run import find_run


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["model=resnet50"], "did you mean model.name=resnet50?"),
        (["train.optimizer=adam"], "did you mean train.optimizer.name=adam?"),
        (["train.schedule=cosine"], "did you mean train.schedule.name=cosine?"),
        (["augment=cifar"], "did you mean augment.preset=cifar?"),
        (["data=folder:photos"], "did you mean data.source=folder:photos?"),
        (["lr=0.1"], "lr: unknown key; did you mean train.optimizer.learning_rate?"),
        (["train.lr=0.1"], "did you mean train.optimizer.learning_rate?"),
        (["data.bs=8"], "did you mean data.batch_size?"),
        (["wd=0"], "did you mean train.optimizer.weight_decay?"),
        (["epochs=5"], "did you mean train.epochs?"),
        (["--epochs", "5"], "no such option: --epochs; settings are written key.path=value: "
                            "train.epochs=..."),
        (["--lr=1"], "train.optimizer.learning_rate=..."),
        (["--weight-decay", "1"], "train.optimizer.weight_decay=..."),
        (["--frobnicate"], "no such option: --frobnicate; settings are written key.path=value"),
        (["augment={preset:", "cifar}"], "; quote it for the shell"),
    ],
)  # fmt: skip
def test_settings_of_habit(monkeypatch, capsys, words, meant):
    assert meant in refused(monkeypatch, capsys, "train", "quickstart", *words)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("bench infer --names x", "bench infer: no such option: --names; settings are written "
                                  "key.path=value: bench.names=..."),
        ("bench suite --foo", "bench suite: no such option: --foo; see ilsvrc bench suite --help"),
        ("data check --foo", "data check: no such option: --foo; see ilsvrc data check --help"),
        ("data --foo", "data: no such option: --foo; see ilsvrc data --help"),
        ("models --epochs 5", "models: no such option: --epochs; see ilsvrc models --help"),
        ("data stats", "data stats: missing argument 'SPEC'; see ilsvrc data stats --help"),
        ("bench nothing", "bench: no such command 'nothing'; see ilsvrc bench --help"),
        ("trian x", "no such command 'trian'. Did you mean 'train'?"),
    ],
)  # fmt: skip
def test_words_that_a_command_does_not_take(monkeypatch, capsys, words, line):
    assert refused(monkeypatch, capsys, *words.split()) == f"ilsvrc: {line}\n"


def test_an_axis_of_habit(monkeypatch, capsys):
    line = refused(monkeypatch, capsys, "sweep", "quickstart", "sweep.lr=[0.1]")
    assert "did you mean train.optimizer.learning_rate?" in line


def test_shipped_configs_go_by_their_names(monkeypatch, capsys, tmp_path):
    names = shipped()
    assert {"quickstart", "ablations/depth", "search-random"} <= set(names)
    for name in ("quickstart", "ablations/depth", "quickstart.yaml"):
        assert inside(monkeypatch, "train", name, "data.source=digits", "--dry-run") == 0
    assert "name: depth" in capsys.readouterr().out
    # a file of the user's own comes first
    (tmp_path / "quickstart").write_text(write_config(tmp_path, name="mine").read_text())
    assert inside(monkeypatch, "train", "quickstart", "--dry-run") == 0
    assert "name: mine" in capsys.readouterr().out


def test_an_architecture_is_no_config(monkeypatch, capsys):
    line = refused(monkeypatch, capsys, "train", "resnet50")
    assert "resnet50 is an architecture: name a config, such as quickstart model.name=resnet50" in (
        line
    )
    assert "quickstart" in refused(monkeypatch, capsys, "sweep", "quickstrt")


def test_compare_without_a_name_lists_what_there_is(monkeypatch, capsys, tmp_path):
    line = refused(monkeypatch, capsys, "compare")
    assert "the store has: none yet" in line
    assert not (tmp_path / "mlflow.db").exists()  # looking makes nothing
    store = FakeStore(tmp_path / "store")
    store.run("flowers", "nin", 1, COSTS)
    store.run("thesis", "nin", 1, COSTS)
    for command in ("compare", "report"):
        line = refused(monkeypatch, capsys, command, f"tracking.uri={store.uri}")
        assert "the store has: thesis, flowers" in line


def test_an_experiment_is_no_network(monkeypatch, capsys, tmp_path):
    store = FakeStore(tmp_path / "store")
    runs = [
        store.run("thesis", model, 1, COSTS | {"val_top1": score, "params": 1e5})
        for model, score in (("nin", 0.5), ("lenet5", 0.9))
    ]
    again = store.run("thesis", "nin", 1, COSTS | {"val_top1": 0.95, "params": 1e5},
                      level="reproduction", tags={"reproduces": runs[0]})  # fmt: skip
    line = refused(monkeypatch, capsys, "evaluate", "thesis", f"tracking.uri={store.uri}",
                   "data.source=digits")  # fmt: skip
    assert "thesis is an experiment; name one of its runs: " in line
    assert again[:8] not in line
    assert line.index(runs[1][:8]) < line.index(runs[0][:8])  # best on validation first


def test_a_picture_is_no_network(monkeypatch, capsys, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(b"")
    line = refused(monkeypatch, capsys, "predict", str(tmp_path / "cat.jpg"))
    assert "name a network before the pictures: ilsvrc predict RUN_ID" in line


def test_the_first_digits_of_a_run_name_it(tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(blank_store(tmp_path))
    run = client.create_run("0").info.run_id
    assert find_run(client, run[:8]).id == run
    assert find_run(client, run[:31]).id == run
    assert find_run(client, "0" * 8) is None
    assert find_run(client, run[:7]) is None  # too few to be sure
