"""The client over https with an authority of one's own, and through the environment's proxies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from heldout_client.content import Content
from heldout_client.errors import NotReachable
from tests.client.conftest import Served, Silent
from tests.client.lines import line_to, tunnels
from tests.web.site import CSV

CONTENT = Content("mine.csv", data=CSV)
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def secure(server: Served, certificate: tuple[str, str]) -> Iterator[str]:
    """Serve the site over TLS; return its address."""
    serving = make_server(
        "127.0.0.1", 0, server.site.app, threaded=True, request_handler=Silent, ssl_context=certificate
    )
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    thread.join()
    serving.server_close()


def take_part(server: Served, address: str, folder: Path) -> None:
    participant = server.participant(address=address)
    participant.download("biopsy", ["sample_submission.csv"], folder)
    assert (folder / "sample_submission.csv").read_bytes() == CSV
    assert participant.submit(CONTENT, "biopsy").state == "queued"


def test_an_authority_of_ones_own_is_named_in_the_environment(
    server: Served, secure: str, certificate: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReachable, match=r"not trusted.*SSL_CERT_FILE"):
        server.participant(address=secure).me()
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    take_part(server, secure, tmp_path)
    elsewhere = secure.replace("127.0.0.1", "localhost")  # a name that the certificate does not have
    with pytest.raises(NotReachable, match="not trusted"):
        server.participant(address=elsewhere).me()


def test_plain_http_goes_through_http_proxy(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name resolves only for the proxy."""
    with line_to(server.address) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.setenv("no_proxy", "")
        take_part(server, "http://heldout.invalid:7777", tmp_path)
    assert all(b" http://heldout.invalid:7777/api/v1/" in sent for sent in proxy.sent)


def test_https_goes_through_a_tunnel_of_https_proxy(
    server: Served, secure: str, certificate: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tunnels() as (proxy, asked):
        monkeypatch.setenv("https_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
        take_part(server, secure, tmp_path)
    assert set(asked) == {f"CONNECT {secure.removeprefix('https://')}"}


@pytest.mark.parametrize("named", ["127.0.0.1", "example.org, 127.0.0.1", "*"])
def test_an_address_in_no_proxy_is_reached_directly(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("http_proxy", NOWHERE)
    monkeypatch.setenv("no_proxy", named)
    take_part(server, server.address, tmp_path)


def test_a_proxy_that_does_not_answer_is_reported(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", NOWHERE)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(NotReachable, match="cannot be reached"):
        server.participant().me()
