"""`ilsvrc ui --pictures DIR`: the views of the MLflow UI as PNG files, by headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments import ui, ui_views
from experiments.errors import BadInput, FailedWork
from experiments.track import connect

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FILES = {ui_views.TABLE: "mlflow-table.png", ui_views.CHARTS: "mlflow-charts.png"}
WIDTH, HEIGHT = 1800, 1000
BYTES, COLOURS = 200_000, 256  # a larger file is written again with so few colours
# Opened by this name of this machine, the page leaves its chat panel closed.
NAME = "10.0.0.1"
SECONDS = 120


def draw(uri: str, folder: Path, experiment: str | None = None) -> list[Path]:
    """Write a picture of the run table and one of the charts.

    Args:
        uri: a store that is a database; it is served meanwhile.
        experiment: None for the one that ran last.

    Raises:
        BadInput: no browser, no runs, unknown experiment, or a store that is a server.
        FailedWork: the server or the browser failed.
    """
    if uri.startswith(("http://", "https://")):
        raise BadInput("--pictures: expected a store that is a database; this one is a server")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise BadInput(f"--pictures needs a browser: install one of {', '.join(BROWSERS)}")
    client = connect(uri)
    folder.mkdir(parents=True, exist_ok=True)
    port = ui.free_port()
    server = ui.start(uri, port, origin=f"http://{NAME}:{port}")
    try:
        links = ui.links(client, f"http://{NAME}:{port}", experiment)
        if len(links) < len(FILES):
            raise BadInput("--pictures: no runs to draw, or a store that takes no views")
        return [
            _draw(browser, link, folder / name)
            for link, name in zip(links, FILES.values(), strict=True)
        ]
    finally:
        ui.stop(server)


def flags(profile: Path, size: tuple[int, int]) -> list[str]:
    """Of a browser without a window that waits for the page's scripts and calls nobody."""
    return [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}",
        "--virtual-time-budget=30000", "--hide-scrollbars",
    ]  # fmt: skip


def _draw(browser: str, link: str, path: Path) -> Path:
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="ilsvrc-browser-") as scratch:
        raw = Path(scratch) / "page.png"
        own: Sequence[str] = [f"--host-resolver-rules=MAP {NAME} {ui.HOST}", f"--screenshot={raw}"]
        command = [browser, *flags(Path(scratch) / "profile", (WIDTH, HEIGHT)), *own, link]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise FailedWork(f"--pictures: {browser} took more than {SECONDS} s") from None
        if done.returncode or not raw.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise FailedWork(f"--pictures: {browser} ended with {done.returncode}: {last}")
        with Image.open(raw) as image:
            picture = image.convert("RGB")
        picture.save(path, optimize=True)
        if path.stat().st_size > BYTES:
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path
