"""Where runs go, what is refused, and that no password is shown; servers are in test_server.py."""

from __future__ import annotations

import pytest

from experiments.errors import BadInput, shown
from experiments.tracking.run_log import RunLog
from experiments.tracking.store import connect, store_key, store_uri


def test_passwords_are_not_shown():
    assert shown("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert "secret" not in store_key("https://me:secret@host")
    for uri in (
        "https://me:se@cret/1'x@host/",
        "postgresql+psycopg2://host/db?user=me&password=secret&x=1",
        "API request to http://me:secret@host/api failed with exception no 'http://me:secret@host'",
    ):
        assert "secret" not in shown(uri)
        assert "cret" not in shown(uri)
        assert "host" in shown(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:secret@127.0.0.1:9",
        "http://me:secret@127.0.0.1:nine",
        "https://me:secret@127.0.0.1",
        "postgresql+psycopg2://me:secret@127.0.0.1:9/db",
        "postgresql+nothing://me:secret@127.0.0.1:9/db",
        "file://me:secret@host/mlruns",
        "s3://me:secret@host/mlruns",
    ],
)
def test_an_address_that_does_not_work_is_refused_without_its_password(uri):
    with pytest.raises(BadInput, match=r"tracking\.uri: ") as refused:
        connect(uri)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_store_is_the_option_then_the_variable_then_the_folder(monkeypatch):
    assert store_uri(None) == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///env.db")
    assert store_uri(None) == "sqlite:///env.db"
    assert store_uri("sqlite:///mine.db") == "sqlite:///mine.db"


@pytest.mark.parametrize("uri", ["file:mlruns", "mlruns", "sqlite:////no/such/place/x.db"])
def test_stores_that_cannot_be_are_refused(uri):
    with pytest.raises(BadInput, match=r"tracking\.uri"):
        connect(uri)


def test_metrics_that_a_server_did_not_take_are_sent_later():
    class Flaky:
        def __init__(self):
            self.up, self.got = False, []

        def log_batch(self, run_id, metrics):
            if not self.up:
                raise OSError("down")
            self.got += [(m.key, m.step) for m in metrics]

    client = Flaky()
    run = RunLog(client, "id")
    with pytest.raises(OSError, match="down"):
        run.metrics({"a": 1.0}, step=1, now=True)
    run.metrics({"a": 2.0}, step=2)  # no attempt so soon after a failure
    client.up = True
    run.flush()
    run.flush()
    assert client.got == [("a", 1), ("a", 2)]
