"""pareto.html and report.html in a real browser with the network cut."""

from __future__ import annotations

import html
import json
import re
import subprocess

import pytest
from browser import browser
from fake_store import row

from experiments.comparison import grouping, pareto_front
from experiments.comparison.plots import pareto_html
from experiments.reporting.facts import Facts
from experiments.reporting.page import report_page

NAMES = ["resnet20_cifar", "lenet5", 'a "b" <c> & d', "nin"]
PROBE = """<script>
addEventListener("load", () => {
  const found = {errors: window.errors};
  const points = [...document.querySelectorAll(".point")];
  found.names = points.map(point => point.dataset.name);
  found.hit = points.map(point => {
    point.scrollIntoView({block: "center"});
    const box = point.getBoundingClientRect();
    const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    there.dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
    return document.querySelector(".details").textContent;
  });
  const column = text => [...document.querySelectorAll("#results th")]
    .findIndex(head => head.textContent.includes(text));
  const names = () => [...document.querySelectorAll("#results tbody tr")]
    .map(row => row.cells[column("model")].textContent);
  const table = document.querySelector("#results");
  if (table) {
    const head = table.tHead.rows[0].cells[column("MACs")].querySelector("button");
    head.click();
    found.ascending = names();
    head.click();
    found.descending = names();
    document.querySelector('.choice button[data-axis="latency"]').click();
    found.axis = document.querySelector(".stage svg").dataset.axis;
    found.latencyPoints = document.querySelectorAll(".point").length;
    dispatchEvent(new Event("beforeprint"));
    found.printed = document.querySelectorAll("svg.pareto-figure").length;
    found.folded = document.querySelectorAll("details:not([open])").length;
    dispatchEvent(new Event("afterprint"));
    found.afterPrint = document.querySelectorAll("svg.pareto-figure").length;
  }
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
</script>"""
EARLY = """<script>
window.errors = [];
addEventListener("error", event => errors.push(event.message));
addEventListener("securitypolicyviolation", event => errors.push(event.blockedURI));
</script>"""


@pytest.fixture(scope="module")
def comparison():
    rows = [
        row(name, macs, 1e5, top1, 0.01, latency_ms_p50=ms, vs_best="", values=[], folds=None)
        for name, macs, top1, ms in zip(
            NAMES, (4e7, 4e5, 9e6, 2e8), (0.97, 0.9, 0.93, 0.95), (3, 1, 2, 4), strict=True
        )
    ]
    pareto_front.mark(rows)
    return grouping.Comparison(["history"], "test_top1", rows, ["model.name"], sources=["digits"])


def test_pareto_page_shows_its_rows_and_their_numbers(comparison, tmp_path):
    found = opened(pareto_html.page(comparison), tmp_path)
    assert found["errors"] == []
    assert sorted(found["names"]) == sorted(NAMES)
    for name, said in zip(found["names"], found["hit"], strict=True):
        assert said.startswith(name)
    texts = dict(zip(found["names"], found["hit"], strict=True))
    assert "top-1 97.0 ± 1.0 %, n = 3" in texts["resnet20_cifar"]
    assert "MACs 40.0 M, parameters 100 k" in texts["resnet20_cifar"]
    assert texts["nin"].startswith("nin\n")  # dominated
    assert texts["lenet5"].startswith("lenet5 (Pareto-optimal)\n")


def test_report_sorts_changes_its_axis_and_prints_everything(comparison, tmp_path):
    keys = ("git_commit", "git_dirty", "machine", "device", "python", "precision", "augment")
    tags: dict[str, list[str]] = {key: [] for key in keys}
    data = {"source": "digits", "fingerprint": "f", "train": 9, "validation": 3, "test": 3,
            "corrupt": 0, "parts": {}, "class_names": [], "unused": [], "notes": []}  # fmt: skip
    facts = Facts(4, 0, 1, {"train.epochs": 3}, tags, {"keras": ["3.15"]}, [data], 1.0, 0)
    found = opened(report_page(comparison, facts, {}), tmp_path)

    assert found["errors"] == []
    assert sorted(found["names"]) == sorted(NAMES)
    for name, said in zip(found["names"], found["hit"], strict=True):
        assert said.startswith(name)
    by_macs = ["lenet5", 'a "b" <c> & d', "resnet20_cifar", "nin"]
    assert found["ascending"] == by_macs
    assert found["descending"] == by_macs[::-1]
    assert (found["axis"], found["latencyPoints"]) == ("latency", len(NAMES))
    assert (found["printed"], found["folded"], found["afterPrint"]) == (10, 0, 1)  # top-5, too


def opened(page: str, folder) -> dict:
    """Open a page without any network, with the probe in it; what the probe saw."""
    file = folder / "page.html"
    page = page.replace("<head>", f"<head>{EARLY}").replace("</body>", f"{PROBE}</body>")
    file.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    flags += ["--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND"]
    flags += [f"--user-data-dir={folder / 'profile'}", "--window-size=1200,1000"]
    flags += ["--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [browser(), *flags, file.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    shown = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.S)
    assert shown, done.stdout[-2000:]
    return json.loads(html.unescape(shown[1]))
