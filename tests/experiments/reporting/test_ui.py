"""The launcher: a real server on a real store, and its page in a real browser."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from browser import browser
from fake_store import FakeStore
from PIL import Image

from experiments.config.schema import Config
from experiments.errors import BadInput, FailedWork
from experiments.jobs.job import Job
from experiments.presentation.columns import COLUMNS
from experiments.reporting.ui import pictures, serve, views
from experiments.reporting.ui.browser import tab
from experiments.tracking import provenance

HARMLESS = (
    "AG Grid: since",  # MLflow's table, on two options that will be renamed
    "ResizeObserver loop completed",  # a layout that took two frames
)
METRICS = {"test_top1": 0.971, "val_top1": 0.962, "macs": 40_551_552.0, "params": 269_722.0}

METRICS |= {"latency_ms_p50": 1.5}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = FakeStore(tmp_path_factory.mktemp("store"))
    store.experiment("without-runs")
    store.run("older", "vgg16", 1, METRICS)
    store.sweep("quickstart")
    run_id = store.run("quickstart", "resnet20", 1, METRICS, train__epochs=30)
    job = Job(("run",), Config(), np.arange(7), None, None, "key", "folder")
    store.client.log_inputs(run_id, [provenance.record(job, "fedcba9876543210")])
    small = {"test_top1": 0.943, "macs": 4e5, "params": 6e4, "latency_ms_p50": 0.5}
    store.run("quickstart", "lenet5", 2, METRICS | small, train__epochs=20)
    store.run("quickstart", "lenet5", 3, METRICS | small | {"test_top1": 0.941}, train__epochs=20)
    return store


@pytest.fixture(scope="module")
def server(store):
    port = serve.free_port()
    server = serve.start(store.uri, port, origin=f"http://{pictures.NAME}:{port}")
    yield server
    serve.stop(server)


def test_browser_shows_runs_and_metrics_at_the_link(store, server, tmp_path):
    link, _ = serve.links(store.client, server.base_url)
    ready = f"{pictures.READY[views.TABLE]} >= 3 && document.body.innerText.includes('fedcba98')"
    page, errors = rendered(link, tmp_path, ready)
    assert errors == []
    assert "Accuracy and cost: table" in page
    for text in ("resnet20 seed 1", "lenet5 seed 2", "lenet5 seed 3", "0.971", "fedcba9876543210"):
        assert text in page, f"{text} is not on the page"
    assert "vgg16" not in page
    columns = set(re.findall(r'col-id="(?:metrics|params)\.`(.*?)`"', page))
    wanted = {"test_top1", "val_top1", "macs", "params", "latency_ms_p50", "train.epochs", "seed"}
    assert columns >= wanted | {"model.name"}
    assert "train.precision" not in columns, "the same in all runs"


def test_browser_draws_as_many_points_as_there_are_runs(store, server, tmp_path):
    _, link = serve.links(store.client, server.base_url)
    points = "document.querySelectorAll('.scatterlayer path.point').length >= 9"
    page, errors = rendered(link, tmp_path, f"{points} && {pictures.READY[views.CHARTS]}")
    assert errors == []
    assert len(set(re.findall(r"\w+ seed \d", page))) == 3
    assert ">sweep<" not in page, "a parent trains nothing"
    titles = [f"{cost} vs. test_top1" for cost in ("macs", "params", "latency_ms_p50")]
    for title in [*titles, "Parallel Coordinates"]:
        assert title in page, f"no chart {title}"
    assert len(re.findall(r'<path class="point', page)) == 3 * 3
    assert 'class="parcoords"' in page


def test_pictures_show_the_charts(store, server, tmp_path, monkeypatch):
    browser()
    monkeypatch.setattr(pictures, "SETTLING", 0.5)
    port = int(server.base_url.rpartition(":")[2])
    monkeypatch.setattr(serve, "free_port", lambda: port)
    monkeypatch.setattr(serve, "start", lambda uri, port, origin: server)
    monkeypatch.setattr(serve, "stop", lambda server: None)
    made = pictures.draw(store.uri, tmp_path / "pictures", "quickstart")
    assert [path.name for path in made] == [*pictures.FILES.values(), *pictures.PAGES]
    colours = []
    for path, size in zip(made, pictures.SIZES.values(), strict=True):
        assert path.stat().st_size < 200_000
        with Image.open(path) as picture:
            assert picture.size == size
            drawn = np.asarray(picture.convert("RGB"))[200:, 500:].reshape(-1, 3).astype(int)
        vivid = drawn[np.ptp(drawn, axis=1) > 90]
        colours.append(len(np.unique(vivid, axis=0)))
    table, charts, pareto, report = colours
    assert charts > 20 > table
    assert min(pareto, report) > 20


def test_pictures_of_what_cannot_be_drawn_are_refused(store, server, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"--pictures: .*database"):
        pictures.draw(server.base_url, tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match="needs a browser"):
        pictures.draw(store.uri, tmp_path)


def test_views_fit_into_tags_and_are_written_only_when_they_change(store, monkeypatch):
    written = []
    setter = store.client.set_experiment_tag
    number = store.client.get_experiment_by_name("older").experiment_id
    monkeypatch.setattr(
        store.client, "set_experiment_tag", lambda *given: written.append(given) or setter(*given)
    )
    assert views.write(store.client, number)
    assert views.write(store.client, number)
    assert [key for _, key, _ in written] == [views.TAG + key for key in views.NAMES]
    many = {f"train.some.quite.long.key.number_{at}" for at in range(50)}
    params = [dict.fromkeys(many, "a"), dict.fromkeys(many, "b")]
    state = views.charts({column.key for column in COLUMNS if column.view}, views.varying(params))
    text = views.packed("x", state, 0)
    assert len(text) < 5000
    stream = base64.b64decode(json.loads(text)["state"].removeprefix("deflate;"))
    assert json.loads(zlib.decompress(stream)) == json.loads(json.dumps(state))


def test_settings_that_vary_get_columns_and_reconstructions_their_errors():
    runs = [
        {"model.name": m, "seed": s, "train.epochs": e, "train.loss": "x", "data.train_images": e}
        for m, s, e in (("a", "1", "1"), ("b", "2", "2"), ("c", "3", "3"))
    ]
    runs[0]["model.options.width"] = "0.5"
    assert views.varying(runs) == ["train.epochs", "model.options.width"]
    table = views.table({"val_mse", "test_mse", "macs"}, [])
    assert table["orderByKey"] == "metrics.`test_mse`"
    assert table["orderByAsc"] is True
    assert "metrics.`val_top1`" not in table["selectedColumns"]
    untested = {"val_top1", "macs"}  # published results are of the validation part
    table = views.table(untested, [])
    assert (table["orderByKey"], table["orderByAsc"]) == ("metrics.`val_top1`", False)
    [drawn] = {card["yaxis"]["key"] for card in cards_of(untested, "SCATTER")}
    assert drawn == "val_top1"
    [parallel] = cards_of(untested, "PARALLEL")
    assert parallel["selectedMetrics"] == ["macs", "val_top1"]


def cards_of(metrics, kind):
    return [c for c in views.charts(metrics, [])["compareRunCharts"] if c["type"] == kind]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_command_and_leaves_nobody_behind(number, store, tmp_path):
    port = serve.free_port()
    words = (
        "from experiments.reporting.ui.serve import serve; "
        f"raise SystemExit(serve({store.uri!r}, port={port}))"
    )
    root = Path(serve.__file__).parents[3]
    command = subprocess.Popen(
        [sys.executable, "-c", words], cwd=root, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        link = command.stdout.readline().strip()
        [server] = psutil.Process(command.pid).children()  # leads a group, its workers in it
        assert len(members(server.pid)) > 1
        [log] = tmp_path.glob("ilsvrc-ui-*.log")
        command.send_signal(number)
        if number == signal.SIGTERM:
            assert command.wait(30) == 0
            assert not log.exists()
        else:  # nobody is left to end the server, which sees it
            assert command.wait(30) == -number
            psutil.wait_procs([server], timeout=5)
        assert not members(server.pid)
    finally:
        command.kill()
        command.stdout.close()
    assert link.startswith(f"http://127.0.0.1:{port}/#/experiments/")
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_link_leads_to_the_experiment_that_ran_last_or_the_named_one(store):
    def link(name=None):
        return serve.links(store.client, "http://127.0.0.1:5000", name)[0]

    def table(name):
        found = store.client.get_experiment_by_name(name).experiment_id
        return f"http://127.0.0.1:5000/#/experiments/{found}/runs"

    assert link().split("?")[0] == table("quickstart")
    assert link("older").split("?")[0] == table("older")
    with pytest.raises(BadInput, match="nearest: quickstart"):
        link("quickstat")


def test_without_runs_the_link_is_plain_and_says_what_to_do(tmp_path, capsys, monkeypatch):
    store = FakeStore(tmp_path)
    store.experiment("without-runs")
    (url,) = serve.links(store.client, "http://127.0.0.1:5000/")
    assert url == "http://127.0.0.1:5000"
    serve._announce([url], open_browser=False)
    printed = capsys.readouterr()
    assert printed.out == f"{url}\n"
    assert "ilsvrc sweep" in printed.err


def test_a_remote_store_is_not_served_again(server, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(serve.webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(serve, "start", None)  # a call would raise

    assert serve.serve(server.base_url, open_browser=True, experiment="older") == 0

    link, charts = capsys.readouterr().out.splitlines()
    assert link.startswith(f"{server.base_url}/#/experiments/")
    assert charts.endswith("compareRunsMode=CHART")
    assert opened == [link]


def test_a_taken_port_is_named(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"--port: {port} .*name another"):
            serve.start(store.uri, port)
    with pytest.raises(BadInput, match="1 to 65535"):
        serve.start(store.uri, 70_000)


def test_a_server_that_dies_shows_its_last_words(tmp_path):
    broken = tmp_path / "mlflow.db"
    broken.write_text("no database at all, but long enough to be looked at as one" * 20)
    with pytest.raises(FailedWork, match="file is not a database"):
        serve.start(f"sqlite:///{broken}")


def test_a_servers_last_words_and_arguments_hold_no_password(tmp_path, monkeypatch):
    log = tmp_path / "log"
    log.write_text("cannot connect to postgresql://me:hunter2@127.0.0.1:1/db\n")
    assert "hunter2" not in serve._tail(log)
    started = []

    def popen(command, **_):
        started.append(command)
        raise OSError("not for real")

    monkeypatch.setattr(serve.subprocess, "Popen", popen)
    with pytest.raises(OSError, match="not for real"):
        serve.start("postgresql://me:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in " ".join(started[0])


def rendered(url: str, folder: Path, ready: str) -> tuple[str, list[str]]:
    """The page once `ready`, an expression, holds in it, and what it said to the console."""
    log = folder / "chromium.log"
    with tab(browser(), ["--enable-logging", f"--log-file={log}"]) as page:
        page.open(url, (2800, 1400), ready)
        shown = page.evaluate("document.documentElement.outerHTML")
    said = [line for line in log.read_text().splitlines() if "CONSOLE" in line]
    return shown, [line for line in said if not any(word in line for word in HARMLESS)]


def members(group: int) -> list[int]:
    """Living processes of a group; the kernel may take a moment to bury the dead."""

    def living() -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group:
                    found.append(process.pid)
            except (psutil.Error, ProcessLookupError):
                continue
        return found

    for _ in range(20):
        if not (found := living()):
            break
        time.sleep(0.05)
    return found
