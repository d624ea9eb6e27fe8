"""`ilsvrc ui --pictures DIR`: MLflow's two views, the bubble chart and the report as PNG files."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.comparison.compare import compare
from experiments.comparison.plots import learning_curves, pareto_html
from experiments.errors import BadInput
from experiments.reporting.facts import gather
from experiments.reporting.page import report_page
from experiments.reporting.ui import serve, views
from experiments.reporting.ui.browser import BROWSERS, Tab, find_browser, tab
from experiments.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

FILES = {
    views.TABLE: "mlflow-table.png", views.CHARTS: "mlflow-charts.png",
    views.TRIALS: "mlflow-trials.png", views.FOLDS: "mlflow-folds.png",
}  # fmt: skip

PAGES = ("pareto.png", "report.png")
SIZES = {
    views.TABLE: (1600, 640), views.CHARTS: (1600, 2180),
    views.TRIALS: (1600, 1240), views.FOLDS: (1600, 1240),
    "pareto.png": (1040, 800), "report.png": (1240, 1280),
}  # fmt: skip
DRAWN = "document.querySelector('.scatterlayer .point') && document.querySelector('.parcoords')"
READY = {
    views.TABLE: "document.querySelectorAll('.ag-center-cols-container .ag-row').length",
    views.CHARTS: DRAWN, views.TRIALS: DRAWN, views.FOLDS: DRAWN,
}  # fmt: skip
LOADED = "document.querySelector('h1') && document.readyState == 'complete'"
IN_THE_WAY = {  # buttons to press; the browser remembers that the side bar is folded
    views.TABLE: ("Hide banner", "Toggle sidebar"),
}
TO_END = "document.querySelectorAll('.ag-body-viewport').forEach(list => list.scrollTop = {})"
MORE = """(() => {
    const texts = [...document.querySelectorAll('button')];
    const more = texts.find(button => button.textContent.trim() == 'Load more');
    more?.click();
    return Boolean(more);
})()"""
"""Press the button at the end of the list of runs; is there one?"""
MOST_PAGES = 20
SETTLING = 2.0  # seconds in which layouts move to their place
BYTES, COLOURS = 200_000, 256  # a larger file is written again with so few colours


def draw(uri: str, folder: Path, experiment: str | None = None) -> list[Path]:
    """Write a picture of the run table, the charts, accuracy against MACs, and the report.

    Args:
        uri: a store that is a database; it is served meanwhile.
        experiment: None for the one that ran last.

    Raises:
        BadInput: no browser, no runs, unknown experiment, or a store that is a server.
        FailedWork: the server or the browser failed.
    """
    if uri.startswith(("http://", "https://")):
        raise BadInput("--pictures: expected a store that is a database; this one is a server")
    browser = find_browser()
    if browser is None:
        raise BadInput(f"--pictures needs a browser: install one of {', '.join(BROWSERS)}")
    client = connect(uri)
    folder.mkdir(parents=True, exist_ok=True)
    server = serve.start(uri)
    try:
        urls = {link.label: link.url for link in serve.links(client, server.page_url, experiment)}
        if "charts" not in urls:
            raise BadInput("--pictures: no runs to draw, or a store that takes no views")
        with tab(browser) as page:
            drawn = [
                _view(page, urls[views.VIEWS[key].label], key, folder / file)
                for key, file in FILES.items()
                if views.VIEWS[key].label in urls
            ]
    finally:
        serve.stop(server)
    name = experiment or serve.newest_name(client)
    with tab(browser) as page:
        return drawn + [_page(page, text, folder / to) for text, to in _pages(client, name)]


def _view(page: Tab, link: str, key: str, path: Path) -> Path:
    page.open(link, SIZES[key], READY[key])
    for label in IN_THE_WAY.get(key, ("Hide banner",)):
        page.evaluate(f"document.querySelector('button[aria-label=\"{label}\"]')?.click()")
    _load_all(page)
    return _save(page, path)


def _load_all(page: Tab) -> None:
    """All runs of the list, not only those that it begins with: means and charts are of these."""
    for _ in range(MOST_PAGES):
        page.evaluate(TO_END.format(1e9))
        time.sleep(SETTLING / 4)  # rows are drawn as they come into view
        if not page.evaluate(MORE):
            break
        time.sleep(SETTLING)
    page.evaluate(TO_END.format(0))


def _pages(client: MlflowClient, name: str) -> list[tuple[str, str]]:
    """The two pages of an experiment, and the names of their pictures; none without a result."""
    try:
        comparison = compare(client, [name], test="auto")
    except BadInput:
        return []
    facts = gather(client, comparison)
    curves = learning_curves.fetch(client, comparison)
    texts = (pareto_html.page(comparison), report_page(comparison, facts, curves))
    return list(zip(texts, PAGES, strict=True))


def _page(page: Tab, text: str, path: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="ilsvrc-page-") as scratch:
        file = Path(scratch) / "page.html"
        file.write_text(text, encoding="utf-8")
        page.open(file.as_uri(), SIZES[path.name], LOADED)
        return _save(page, path)


def _save(page: Tab, path: Path) -> Path:
    from PIL import Image

    time.sleep(SETTLING)
    with Image.open(io.BytesIO(page.picture())) as image:
        picture = image.convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > BYTES:
        picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
