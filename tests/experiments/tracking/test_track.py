"""Where runs go, what is refused, and that no password is shown; servers are in test_server.py."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from experiments.errors import BadInput, shown
from experiments.tracking.run_log import RunLog
from experiments.tracking.store import answers, connect, store_key, store_uri


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
        "http://me:secret@[::1",
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


@pytest.fixture
def certificate(tmp_path):
    """The file of a certificate that signs itself for 127.0.0.1, and of its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, file = serialization.Encoding.PEM, tmp_path / "certificate.pem"
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(signed.public_bytes(pem) + private)
    return file


@pytest.fixture
def secure(certificate):
    """The address of a server with this certificate that answers 404 to all that it is asked."""
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_is_asked_with_the_certificates_that_mlflow_is_told(
    secure, certificate, monkeypatch
):
    assert not answers(secure)
    with pytest.raises(BadInput, match=r"does not answer \(.*CERTIFICATE_VERIFY_FAILED"):
        connect(secure)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(certificate))
    assert answers(secure)
    monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    assert answers(secure)
