"""`ilsvrc ui`: MLflow's own pages on this store, opened where the runs are."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from experiments.comparison.compare import find_experiment
from experiments.errors import BadInput, FailedWork, Stopped, shown
from experiments.presentation.console import say, tell
from experiments.reporting import parent_page
from experiments.reporting.ui import views
from experiments.reporting.ui.states import TRAINED
from experiments.runtime import parent
from experiments.tracking.store import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOST = "127.0.0.1"
NAME = "ilsvrc.localhost"
"""What pages are opened by. Browsers take every name under localhost for this machine; opened as
localhost or 127.0.0.1, MLflow's page unfolds its chat panel over a quarter of the window."""
START_SECONDS = 120.0
PAGE = 100
"""Runs that MLflow's page loads at first (3.17; its JavaScript says so, and no setting does)."""


class Server(NamedTuple):
    """A running MLflow server: its process (leader of a group), port and log file."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def base_url(self) -> str:
        """For programs."""
        return f"http://{HOST}:{self.port}"

    @property
    def page_url(self) -> str:
        """For browsers."""
        return f"http://{NAME}:{self.port}"


class Link(NamedTuple):
    """A page: what it shows, and where."""

    label: str
    url: str


def serve(
    uri: str, *, port: int | None = None, open_browser: bool = False, experiment: str | None = None
) -> int:
    """Run the UI until Ctrl-C or SIGTERM, and return the exit code 0.

    Links to the run table, the charts and the report go to stdout, each after its label. A store
    that is a server already is not served again: its links are printed, and that is all.

    Raises:
        BadInput: unknown experiment, port taken, or a store that does not answer.
        FailedWork: the server did not start, or ended by itself; the text has its last lines.
    """
    client = connect(uri)
    if experiment is not None:
        find_experiment(client, experiment)
    if uri.startswith(("http://", "https://")):
        _announce(
            links(client, uri, experiment), open_browser, beyond_first_page(client, experiment)
        )
        return 0
    with _stoppable():
        server = None
        try:
            server = start(uri, port)
            shown_links = links(client, server.page_url, experiment)
            _announce(shown_links, open_browser, beyond_first_page(client, experiment))
            say(f"A browser that does not know {NAME}: {server.base_url}. Ctrl-C stops the server.")
            code = server.process.wait()
            raise FailedWork(f"The MLflow server ended with {code}: {_tail(server.log)}")
        except (KeyboardInterrupt, Stopped):
            return 0
        finally:
            if server is not None:
                stop(server)


def start(uri: str, port: int | None = None) -> Server:
    """Start an MLflow server on a database and wait until it answers (about ten seconds).

    Args:
        uri: the database.
        port: None for a free one.

    Raises:
        BadInput: the port is taken or out of range.
        FailedWork: the server died or did not answer.
    """
    port = free_port(port)
    handle, name = tempfile.mkstemp(prefix="ilsvrc-ui-", suffix=".log")
    words = ["server", "--host", HOST, "--port", str(port), "--workers", "1"]
    environment = os.environ | {
        "PYTHONPATH": parent.search_path(),
        "MLFLOW_BACKEND_STORE_URI": uri,  # its password is not for the list of processes
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # helper processes for GenAI judges
        # any port: a tunnel's other end may have another
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"localhost:*,{HOST}:*,{NAME}:*",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": f"http://{NAME}:*",
    }
    say(f"Starting MLflow on {shown(uri)} (about 10 s)...")
    with os.fdopen(handle, "wb") as log:
        # a group of its own, because the server forks workers that must go with it
        process = subprocess.Popen(  # nosec B603  # MLflow of this Python, no shell
            parent.command("mlflow", *words),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    server = Server(process, port, Path(name))
    try:
        _wait(server)
    except BaseException:
        stop(server)
        raise
    return server


def stop(server: Server) -> None:
    """End the server and all its workers, and remove its log."""
    group = server.process.pid
    try:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(5)
    finally:  # whoever did not listen; at once on a second Ctrl-C
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        server.process.wait()
        server.log.unlink(missing_ok=True)


def links(client: MlflowClient, base_url: str, experiment: str | None = None) -> list[Link]:
    """The run table and, where the store takes views, the charts and what else there is to show.

    MLflow's first page shows no runs, so these lead into an experiment (None: the one that ran
    last), each with a shared view that is kept in a tag of it. Without any run there is the plain
    address.

    Raises:
        BadInput: there is no experiment of this name.
    """
    experiment_id = find_experiment(client, experiment) if experiment else _newest(client)
    if experiment_id is None:
        return [Link("MLflow", base_url.rstrip("/"))]
    keys = views.write(client, experiment_id)
    if not keys:
        return [Link("table", views.address(base_url, experiment_id, None))]
    shown = [Link(views.VIEWS[k].label, views.address(base_url, experiment_id, k)) for k in keys]
    if parent := parent_page.newest(client, experiment_id):
        shown.append(Link("report", parent_page.address(base_url, experiment_id, parent)))
    return shown


def _newest(client: MlflowClient) -> str | None:
    """The experiment of the newest run that this suite made."""
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    if not ids:
        return None
    runs = client.search_runs(
        ids, "tags.level LIKE '%'", max_results=1, order_by=["attributes.start_time DESC"]
    )
    return str(runs[0].info.experiment_id) if runs else None


def newest_name(client: MlflowClient) -> str:
    """The name of the experiment that ran last. Raises BadInput: there is none."""
    newest = _newest(client)
    if newest is None:
        raise BadInput("no runs yet: run a sweep first, ilsvrc sweep CONFIG")
    return str(client.get_experiment(newest).name)


def beyond_first_page(client: MlflowClient, experiment: str | None = None) -> str | None:
    """A sentence where MLflow's page loads some of an experiment's runs only; else None.

    The page reads so many at first, by falling score, and its means and charts are of those.
    """
    experiment_id = find_experiment(client, experiment) if experiment else _newest(client)
    if experiment_id is None:
        return None
    runs = client.search_runs([experiment_id], TRAINED, max_results=PAGE + 1)
    if len(runs) <= PAGE:
        return None
    return (
        f"More than {PAGE} runs: MLflow's pages load the best {PAGE} at first, and their means and "
        "charts are of those; press Load more below the list of runs. The report has all."
    )


def _announce(shown: Sequence[Link], open_browser: bool, note: str | None = None) -> None:
    """Each link on a line of its own, after what it shows; the first one is opened."""
    width = max(len(link.label) for link in shown) + 2
    for link in shown:
        tell(f"{link.label + ':':{width}}{link.url}")
    if "/experiments/" not in shown[0].url:
        say("No runs yet: run a sweep first, ilsvrc sweep CONFIG.")
    if note:
        say(note)
    if open_browser and not webbrowser.open(shown[0].url):
        say("No browser could be opened here; open the address above.")


def free_port(port: int | None = None) -> int:
    """The port if it can be used, or a free one. Raises BadInput: it cannot."""
    if port is not None and not 1 <= port <= 65535:
        raise BadInput(f"--port: expected 1 to 65535. Received: {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
        try:
            probe.bind((HOST, port or 0))
        except OSError as error:
            raise BadInput(
                f"--port: {port} on {HOST} cannot be used ({error.strerror}); "
                "name another, or leave out --port to take a free one"
            ) from None
        return int(probe.getsockname()[1])


def _wait(server: Server) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy to localhost
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (code := server.process.poll()) is not None:
            raise FailedWork(f"The MLflow server did not start ({code}): {_tail(server.log)}")
        with (
            contextlib.suppress(OSError),
            direct.open(f"{server.base_url}/health", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise FailedWork(
        f"The MLflow server did not answer within {START_SECONDS:.0f} s: {_tail(server.log)}"
    )


def _tail(log: Path, lines: int = 8) -> str:
    kept = log.read_text(errors="replace").strip().splitlines()[-lines:]
    kept = [shown(line) for line in kept]
    return "\n  ".join(["its last lines were:", *kept]) if kept else "it wrote nothing"


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal raise Stopped meanwhile, so that the server is ended too."""

    def raise_stopped(number: int, _frame: object) -> None:
        raise Stopped(signal.Signals(number).name)

    before = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        with contextlib.suppress(ValueError):  # not the main thread
            before[number] = signal.signal(number, raise_stopped)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
