"""The issuer's keys: fetched when needed, not too often, and not trusted for ever."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from serving import keys
from serving.keys import KeySource, KeysUnavailableError, UnknownKeyError
from tests.unit.serving.issuing import Issuer


class Clock:
    """Stands still until told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Give a clock."""
    return Clock()


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    """Give an issuer."""
    return Issuer(tmp_path / "jwks.json")


def another(issuer: Issuer) -> ECKey:
    """Publish another key in the place of all."""
    key = ECKey.generate_key("P-256", {"kid": "new"})
    issuer.publish(key)
    return key


async def test_a_new_key_is_fetched_once_its_tokens_come_but_not_too_often(
    issuer: Issuer, clock: Clock
) -> None:
    source = KeySource(str(issuer.file), clock=clock)
    assert await source.key("elliptic", "ES256")
    another(issuer)
    with pytest.raises(UnknownKeyError):
        await source.key("new", "ES256")
    clock.now += keys.PAUSE_SECONDS
    assert await source.key("new", "ES256")
    with pytest.raises(UnknownKeyError):
        await source.key("elliptic", "ES256")


async def test_a_key_that_is_withdrawn_is_good_no_longer_than_keys_are_kept(
    issuer: Issuer, clock: Clock
) -> None:
    source = KeySource(str(issuer.file), clock=clock)
    assert await source.key("elliptic", "ES256")
    another(issuer)
    clock.now += keys.REFRESH_SECONDS
    assert await source.key("elliptic", "ES256")
    clock.now += 1
    with pytest.raises(UnknownKeyError):
        await source.key("elliptic", "ES256")


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"keys": 7}', '{"keys": ["x"]}', "null"])
async def test_an_issuer_that_is_away_is_trusted_for_a_while_by_its_last_keys(
    issuer: Issuer, clock: Clock, broken: str
) -> None:
    source = KeySource(str(issuer.file), clock=clock)
    assert await source.key("elliptic", "ES256")
    issuer.file.write_text(broken)
    clock.now += keys.LAST_SECONDS
    assert await source.key("elliptic", "ES256")
    clock.now += 1
    with pytest.raises(KeysUnavailableError):
        await source.key("elliptic", "ES256")
    issuer.publish(issuer.elliptic)
    clock.now += keys.PAUSE_SECONDS
    assert await source.key("elliptic", "ES256")


async def test_an_issuer_that_never_answered_is_no_fault_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(KeysUnavailableError):
        await KeySource(str(tmp_path / "nothing")).key("elliptic", "ES256")
    with pytest.raises(KeysUnavailableError):
        await KeySource("http://127.0.0.1:9/jwks").key("elliptic", "ES256")


class Answers(BaseHTTPRequestHandler):
    """Answers what the server is told to."""

    def do_GET(self) -> None:
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[ThreadingHTTPServer]:
    """Give a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [200, 302, 404, 500])
async def test_keys_come_over_http_and_nothing_but_an_answer_is_taken(
    issuer: Issuer, web: ThreadingHTTPServer, status: int
) -> None:
    web.answer = (status, issuer.file.read_bytes())  # type: ignore[attr-defined]
    source = KeySource(f"http://127.0.0.1:{web.server_address[1]}/jwks")
    if status == 200:
        assert await source.key("rsa", "RS256")
    else:
        with pytest.raises(KeysUnavailableError):
            await source.key("rsa", "RS256")


async def test_a_key_set_has_a_bound(issuer: Issuer, web: ThreadingHTTPServer) -> None:
    huge = json.loads(issuer.file.read_text()) | {"padding": "x" * keys.MOST_BYTES}
    web.answer = (200, json.dumps(huge).encode())  # type: ignore[attr-defined]
    with pytest.raises(KeysUnavailableError):
        await KeySource(f"http://127.0.0.1:{web.server_address[1]}/jwks").key("rsa", "RS256")
