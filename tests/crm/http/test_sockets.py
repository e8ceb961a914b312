"""The client on real sockets: what only a connection can show."""

from __future__ import annotations

import gzip
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from crm.errors import (
    ConfigurationError,
    OutcomeUnknownError,
    ProviderUnavailableError,
    UnexpectedAnswerError,
)
from crm.http.client import HttpClient
from crm.http.hosts import HostPolicy
from crm.http.transport import checked_session
from tests.crm.http.conftest import answer, drop


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_connection_is_used_again(serve, make_client):
    """Pooled: three requests, one connection, also after an error answer."""
    server = serve(answer(), answer({"no": 1}, status=404), answer())
    client = make_client(server.url, classify=lambda _: None)

    client.request("GET", "/", operation="x")
    with pytest.raises(Exception, match="status 404"):
        client.request("GET", "/", operation="x")
    client.request("GET", "/", operation="x")

    assert (len(server.requests), server.connections) == (3, 1)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_refused_connection_had_no_effect(make_client, sleeper, method):
    """Reads and writes alike are tried three times, then the CRM is unavailable."""
    client = make_client(f"http://127.0.0.1:{closed_port()}")

    with pytest.raises(ProviderUnavailableError):
        client.request(method, "/", operation="x")
    assert sleeper.slept == [0.5, 1.0]


def test_a_write_dropped_after_it_was_read_is_unknown_and_sent_once(serve, make_client):
    """The server had the whole request: nobody knows."""
    server = serve(drop)

    with pytest.raises(OutcomeUnknownError):
        make_client(server.url).request("POST", "/", operation="create", json={"a": 1})
    assert len(server.requests) == 1


def test_a_read_dropped_is_sent_again(serve, make_client):
    """A reset costs a read one retry."""
    server = serve(drop, answer({"ok": True}))

    assert make_client(server.url).request("GET", "/", operation="x").body == {"ok": True}


def test_a_write_on_a_kept_connection_that_breaks_is_unknown(serve, make_client):
    """The connection stood, so the request may have arrived."""
    server = serve(answer(), drop)
    client = make_client(server.url)
    client.request("GET", "/", operation="x")

    with pytest.raises(OutcomeUnknownError):
        client.request("POST", "/", operation="create", json={})
    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize(("method", "expected"), [("GET", ProviderUnavailableError), ("POST", OutcomeUnknownError)])
def test_half_a_body_is_no_answer(serve, make_client, method, expected):
    """A body shorter than announced is a broken connection, whatever its status."""

    def half(connection: socket.socket) -> None:
        answer(b'{"id":', length=100)(connection)
        drop(connection)

    with pytest.raises(expected):
        make_client(serve(half).url).request(method, "/", operation="x")


@pytest.mark.parametrize(("method", "expected"), [("GET", ProviderUnavailableError), ("POST", OutcomeUnknownError)])
def test_silence_after_the_request_is_a_timeout(serve, make_client, method, expected):
    """The read time-out applies to the wait for the answer."""
    client = make_client(serve(lambda _: None).url, read_timeout_seconds=0.05)

    with pytest.raises(expected):
        client.request(method, "/", operation="x")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: "])
def test_a_server_that_drips_cannot_hold_a_worker(serve, make_client, head):
    """Each byte comes in time, the whole does not: headers and body alike end at the total time."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head or b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n")
        for _ in range(1000):
            time.sleep(0.02)
            connection.sendall(b"1")

    client = make_client(serve(drip).url, read_timeout_seconds=5, total_seconds=0.3)
    started = time.monotonic()

    with pytest.raises(ProviderUnavailableError):
        client.request("GET", "/", operation="x")
    assert time.monotonic() - started < 10


def test_no_byte_is_waited_for_after_the_total_time(serve, make_client, sleeper):
    """The time passed before the call was sent: no connection is opened, and on an open one no answer awaited."""
    server = serve(answer())
    delays = [0, 100, 100]

    def authorize() -> dict[str, str]:
        sleeper.now += delays.pop(0)
        return {}

    client = make_client(server.url, authorize=authorize, monotonic=sleeper.monotonic)
    client.request("GET", "/", operation="x")
    with pytest.raises(OutcomeUnknownError):
        client.request("POST", "/", operation="x")
    with pytest.raises(ProviderUnavailableError):
        client.request("POST", "/", operation="x")
    assert server.connections == 1


def test_a_body_over_the_cap_is_cut_off(serve, make_client):
    """Counted in decoded bytes, while they come."""
    server = serve(answer(b'"' + b"x" * 5_000_000 + b'"'))

    with pytest.raises(UnexpectedAnswerError, match="longer than 1000000 bytes"):
        make_client(server.url, max_body_bytes=1_000_000).request("GET", "/", operation="x")


@pytest.mark.parametrize(("cap", "why"), [(1_000_000, "longer than"), (64 << 20, "compressed beyond belief")])
def test_a_compressed_bomb_is_refused_early(serve, make_client, cap, why):
    """50 MB of zeros in 50 KB stop at the cap or at the ratio, whichever comes first."""
    bomb = gzip.compress(b"0" * 50_000_000)
    server = serve(answer(bomb, headers={"Content-Encoding": "gzip"}))

    with pytest.raises(UnexpectedAnswerError, match=why):
        make_client(server.url, max_body_bytes=cap).request("GET", "/", operation="x")


def test_a_compressed_page_is_read(serve, make_client):
    """An ordinary ratio passes."""
    server = serve(answer(gzip.compress(b'{"a": "' + b"abc" * 1000 + b'"}'), headers={"Content-Encoding": "gzip"}))

    assert make_client(server.url).request("GET", "/", operation="x").body == {"a": "abc" * 1000}


def test_a_name_that_leads_to_a_private_address_is_not_connected_to(serve, make_client):
    """The address is checked where the connection is made; the request never leaves."""
    server = serve(answer())
    policy = HostPolicy(suffixes=("example.com",), resolve=lambda host, port: ["127.0.0.1"])
    client = make_client("https://api.example.com", hosts=policy)

    with pytest.raises(ConfigurationError) as caught:
        client.request("POST", "/", operation="x", json={})
    assert (caught.value.code, server.connections) == ("config.host", 0)


def test_the_checked_address_is_the_one_connected_to(serve, make_client):
    """The name is resolved once: an answer that changes afterwards gains nothing."""
    server = serve(answer())
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    name = f"crm.internal:{server.port}"
    policy = HostPolicy(extra_hosts=(name,), resolve=resolve)
    make_client(f"http://{name}", hosts=policy).request("GET", "/", operation="x")

    assert (asked, server.connections) == (["crm.internal"], 1)
    assert b"Host: crm.internal" in server.requests[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for crm.internal that vouches for itself: file of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "crm.internal")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("crm.internal")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "crm.internal.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    return str(path)


@pytest.fixture
def secure(serve, certificate):
    """A TLS server for crm.internal that notes the names asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = serve(answer({"ok": True}), tls=context)
    server.names = []
    context.sni_callback = lambda _socket, name, _context: server.names.append(name)
    return server


def secure_client(make_client, server, host, certificate):
    session = checked_session()
    if certificate:
        session.verify = certificate
    policy = HostPolicy(extra_hosts=(host,), resolve=lambda name, port: ["127.0.0.1"])
    return make_client(f"https://{host}:{server.port}", hosts=policy, session=session)


def test_tls_is_checked_against_the_name_although_the_address_was_chosen(secure, make_client, certificate):
    """The name goes into the handshake, and the connection is kept."""
    client = secure_client(make_client, secure, "crm.internal", certificate)

    assert client.request("POST", "/", operation="x", json={}).body == {"ok": True}
    client.request("GET", "/", operation="x")
    assert (secure.names, secure.connections) == (["crm.internal"], 1)


@pytest.mark.parametrize(("host", "trusted"), [("other.internal", True), ("crm.internal", False)])
def test_a_write_to_a_server_that_is_not_trusted_is_never_sent(secure, make_client, certificate, host, trusted):
    """Wrong name or unknown authority: the handshake fails before the first byte, so nothing happened."""
    client = secure_client(make_client, secure, host, certificate if trusted else None)

    with pytest.raises(ProviderUnavailableError):
        client.request("POST", "/", operation="create", json={})
    assert secure.requests == []


def test_an_unknown_name_is_unavailable(make_client):
    """A name without address had no effect on anything."""

    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    client = make_client("https://api.example.com", hosts=HostPolicy(suffixes=("example.com",), resolve=resolve))

    with pytest.raises(ProviderUnavailableError):
        client.request("POST", "/", operation="create", json={})


def test_a_cookie_is_neither_kept_nor_sent(serve, make_client):
    """Calls do not depend on each other."""
    server = serve(answer(headers={"Set-Cookie": "session=1; Path=/"}))
    client: HttpClient = make_client(server.url)

    client.request("GET", "/", operation="x")
    client.request("GET", "/", operation="x")

    assert [b"cookie" in request.lower() for request in server.requests] == [False, False]
