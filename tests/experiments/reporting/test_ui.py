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
from experiments.presentation.columns import COLUMNS, rounded
from experiments.reporting.ui import pictures, serve, states, views
from experiments.reporting.ui.browser import tab
from experiments.reporting.ui.states import Held
from experiments.tracking import provenance

HARMLESS = (
    "AG Grid: since",  # MLflow's table, on two options that will be renamed
    "ResizeObserver loop completed",  # a layout that took two frames
    "NaN",  # parallel coordinates that are drawn before their card has a size
    "<rect> attribute height: A negative value",  # the same of MLflow's bars
)
MEASURED = {
    "test_top1": 0.97123, "test_top5": 0.99812, "val_top1": 0.96234, "macs": 40_551_552.0,
    "params": 269_722.0, "latency_ms_p50": 1.51234, "infer_images_per_second": 3210.6,
}  # fmt: skip
METRICS = MEASURED | rounded(MEASURED)


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
    for seed, top1 in ((2, 0.945), (3, 0.935)):
        metrics = MEASURED | small | {"test_top1": top1}
        store.run("quickstart", "lenet5", seed, metrics | rounded(metrics), train__epochs=20)
    repeated = {"reproduces": run_id}
    store.run("quickstart", "resnet20", 1, METRICS, level="reproduction", tags=repeated)
    return store


@pytest.fixture(scope="module")
def server(store):
    server = serve.start(store.uri)
    yield server
    serve.stop(server)


def test_a_fresh_browser_shows_a_row_a_setting_with_accuracy_and_all_costs(store, server, tmp_path):
    link = links(store, server)["table"]
    ready = (
        f"{pictures.READY[views.TABLE]} >= 2 && document.body.innerText.includes('94 (average)')"
    )
    page, errors, seen, heads = rendered(link, tmp_path, ready, (1600, 900))
    assert errors == []
    assert "Accuracy and cost: table" in page
    assert page.count("MLflow Assistant") == 0, "its panel is in the way"
    assert "lenet5 epochs=20" in seen
    assert "resnet20 epochs=30" in seen
    assert "seed 2" not in seen, "seeds stand folded under their mean"
    assert "vgg16" not in seen
    assert "sweep" not in seen
    wanted = ["test_top1_percent", "test_top5_percent", "macs_millions", "params_millions"]
    whole = [
        name for name, right in sorted(heads.items(), key=lambda head: head[1]) if right < 1580
    ]
    assert whole[:6] == [*wanted, "latency_ms", "images_per_second"]
    for value in ("94", "97.12", "99.81", "40.55", "0.2697", "1.512", "3211"):
        assert value in seen, f"{value} is not in the window"


def test_browser_draws_as_many_points_as_there_are_runs_a_colour_a_network(store, server, tmp_path):
    points = "document.querySelectorAll('.scatterlayer path.point').length >= 24"
    link = links(store, server)["charts"]
    ready = f"{points} && {pictures.READY[views.CHARTS]}"
    page, errors, _, _ = rendered(link, tmp_path, ready, (2800, 2200))
    assert errors == []
    assert len(set(re.findall(r"\w+ seed \d", page))) == 3
    assert ">sweep<" not in page, "a parent trains nothing"
    for cost in ("log10_macs", "log10_params", "latency_ms", "images_per_second"):
        for score in ("test_top1_percent", "test_top5_percent"):
            assert f"{cost} vs. {score}" in page
    drawn = re.findall(r'<path class="point.*?fill: (rgb\(.*?\))', page)
    assert len(drawn) == 3 * 8
    assert len(set(drawn)) == 2, "a colour a network"
    assert 'class="parcoords"' in page


def test_pictures_show_the_charts(store, server, tmp_path, monkeypatch):
    browser()
    monkeypatch.setattr(pictures, "SETTLING", 0.5)
    monkeypatch.setattr(serve, "start", lambda uri: server)
    monkeypatch.setattr(serve, "stop", lambda server: None)
    made = pictures.draw(store.uri, tmp_path / "pictures", "quickstart")
    there = [pictures.FILES[key] for key in (views.TABLE, views.CHARTS)]
    assert [path.name for path in made] == [*there, *pictures.PAGES]
    colours = []
    for path, key in zip(made, (views.TABLE, views.CHARTS, *pictures.PAGES), strict=True):
        size = pictures.SIZES[key]
        assert path.stat().st_size < 200_000
        with Image.open(path) as picture:
            assert picture.size == size
            drawn = np.asarray(picture.convert("RGB"))[200:, 500:].reshape(-1, 3).astype(int)
        vivid = drawn[np.ptp(drawn, axis=1) > 90]
        colours.append(len(np.unique(vivid, axis=0)))
    table, charts, pareto, report = colours
    assert charts > 10 > table
    assert min(pareto, report) > 20


def test_pictures_are_of_all_runs_not_of_those_that_the_page_begins_with(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "SETTLING", 0.2)
    page = tmp_path / "page.html"  # a list whose button is made when its end comes into view
    page.write_text(
        "<div class=ag-body-viewport style='height:50px;overflow:auto'>"
        "<p style='height:500px'>100</p></div><script>"
        "const list = document.querySelector('div'); let pages = 1; list.onscroll = () => {"
        "  if (list.scrollTop < 300 || pages == 3 || document.querySelector('button')) return;"
        "  const more = document.createElement('button'); more.textContent = 'Load more';"
        "  more.onclick = () => { pages++; more.remove(); list.scrollTop = 0; };"
        "  list.append(more); }</script>"
    )
    with tab(browser()) as opened:
        opened.open(page.as_uri(), (400, 300), "document.readyState == 'complete'")
        pictures._load_all(opened)
        assert opened.evaluate("pages") == 3
        assert opened.evaluate("list.scrollTop") == 0


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
    assert [key for _, key, _ in written] == [views.TAG + views.TABLE, views.TAG + views.CHARTS]
    many = [f"train.some.quite.long.key.number_{at}" for at in range(50)]
    params = [dict.fromkeys(many, str(at // 2)) | {"model.name": f"net{at}"} for at in range(200)]
    metrics = {column.key for column in COLUMNS} | set(METRICS)
    for view in views.VIEWS.values():
        state = view.state(Held(metrics, params))
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
    held = Held(set(), runs)
    assert held.varying() == ["train.epochs", "model.options.width"]
    assert held.settings() == ["a epochs=1 width=0.5", "b epochs=2", "c epochs=3"]
    assert states.table(held)["groupBy"] is None, "nothing is there twice"
    grouped = states.table(Held(set(), [*runs, runs[1] | {"seed": "7", "seeds.order": "3"}]))
    assert grouped["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "setting"}]
    assert grouped["groupsExpanded"]["tag.setting.b epochs=2"] is False
    assert "params.`seed`" in states.table(held)["selectedColumns"]
    assert "params.`seed`" not in grouped["selectedColumns"], "a mean of seeds says nothing"
    table = states.table(Held({"val_mse", "test_mse", "macs"}))
    assert table["orderByKey"] == "metrics.`test_mse`"
    assert table["orderByAsc"] is True
    assert "metrics.`val_top1`" not in table["selectedColumns"]
    untested = {"val_top1", "macs"}  # published results are of the validation part
    table = states.table(Held(untested))
    assert (table["orderByKey"], table["orderByAsc"]) == ("metrics.`val_top1`", False)
    [drawn] = {card["yaxis"]["key"] for card in cards_of(untested, "SCATTER")}
    assert drawn == "val_top1"
    [parallel] = cards_of(untested, "PARALLEL")
    assert parallel["selectedMetrics"] == ["macs", "val_top1"]


def cards_of(metrics, kind):
    return [c for c in states.charts(Held(metrics))["compareRunCharts"] if c["type"] == kind]


def links(store, server):
    """Addresses by label, of the experiment that ran last."""
    return {link.label: link.url for link in serve.links(store.client, server.page_url)}


def test_runs_without_rounded_metrics_are_shown_with_the_exact_ones():
    table = states.table(Held({"test_top1", "val_top1", "macs", "params"}))
    assert table["orderByKey"] == "metrics.`test_top1`"
    assert "metrics.`macs`" in table["selectedColumns"]
    cards = states.charts(Held({"test_top1", "macs"}))["compareRunCharts"]
    assert (cards[0]["xaxis"]["key"], cards[0]["yaxis"]["key"]) == ("macs", "test_top1")


def test_searches_and_nested_runs_have_views_of_their_own(tmp_path):
    store = FakeStore(tmp_path)
    for rate in ("0.1", "0.3"):
        scores = {"val_top1": 0.5, "val_top1_percent": 50.0}
        store.run("nest", "mlp", 1, scores, level="trial", train__optimizer__learning_rate=rate)
    store.run("nest", "mlp", 1, METRICS | {"inner_val_top1_percent": 50.0}, level="outer_fold")
    labels = [link.label for link in serve.links(store.client, "http://127.0.0.1:5000")]
    assert labels == ["table", "charts", "trials", "outer folds"]
    params = [{"model.name": "mlp", "train.optimizer.learning_rate": r} for r in ("0.1", "0.3")]
    state = states.trials(Held({"val_top1_percent"}, params))
    points, lines = state["compareRunCharts"]
    assert points["xaxis"] == {"key": "train.optimizer.learning_rate", "type": "PARAM"}
    assert points["yaxis"]["key"] == "val_top1_percent"
    assert lines["selectedParams"] == ["model.name", "train.optimizer.learning_rate"]
    assert state["searchFilter"] == "tags.level = 'trial'"
    folds = states.folds(Held(set(METRICS) | {"inner_val_top1_percent"}, params))
    axes = [folds["compareRunCharts"][0][axis]["key"] for axis in ("xaxis", "yaxis")]
    assert axes == ["inner_val_top1_percent", "test_top1_percent"]


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
    assert re.match(rf"table: +http://{serve.NAME}:{port}/#/experiments/", link)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_link_leads_to_the_experiment_that_ran_last_or_the_named_one(store):
    def link(name=None):
        return serve.links(store.client, "http://127.0.0.1:5000", name)[0].url

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
    (link,) = serve.links(store.client, "http://127.0.0.1:5000/")
    assert link.url == "http://127.0.0.1:5000"
    serve._announce([link], open_browser=False)
    printed = capsys.readouterr()
    assert printed.out.split() == ["MLflow:", link.url]
    assert "ilsvrc sweep" in printed.err


def test_more_runs_than_the_page_loads_are_said(tmp_path, capsys, monkeypatch):
    store = FakeStore(tmp_path)
    for seed in (1, 2):
        store.run("many", "mlp", seed, METRICS)
    store.run("many", "mlp", 1, METRICS, level="reproduction")  # which the page does not show
    assert serve.beyond_first_page(store.client) is None
    monkeypatch.setattr(serve, "PAGE", 2)
    assert serve.beyond_first_page(store.client, "many") is None
    monkeypatch.setattr(serve, "PAGE", 1)
    monkeypatch.setattr(serve, "connect", lambda uri: store.client)
    assert serve.serve("http://127.0.0.1:1", experiment="many") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("table: ")
    assert "More than 1 runs: MLflow's pages load the best 1 at first" in printed.err


def test_a_remote_store_is_not_served_again(server, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(serve.webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(serve, "start", None)  # a call would raise

    assert serve.serve(server.base_url, open_browser=True, experiment="older") == 0

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (table, link), (charts, drawn) = lines
    assert (table, charts) == ("table:", "charts:")
    assert link.startswith(f"{server.base_url}/#/experiments/")
    assert drawn.endswith("compareRunsMode=CHART")
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


def rendered(
    url: str, folder: Path, ready: str, size: tuple[int, int]
) -> tuple[str, list[str], str, dict[str, float]]:
    """The page once `ready`, an expression, holds in it, what it said to the console, its text, and
    where the columns of its metrics end."""
    log = folder / "chromium.log"
    with tab(browser(), ["--enable-logging", f"--log-file={log}"]) as page:
        page.open(url, size, ready)
        shown = page.evaluate("document.documentElement.outerHTML")
        text = page.evaluate("document.body.innerText")
        heads = page.evaluate(
            "Object.fromEntries([...document.querySelectorAll('.ag-header-cell[col-id^=metrics]')]"
            ".map(e => [e.getAttribute('col-id').slice(9, -1), e.getBoundingClientRect().right]))"
        )
    said = [line for line in log.read_text().splitlines() if "CONSOLE" in line]
    return shown, [line for line in said if not any(word in line for word in HARMLESS)], text, heads


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
