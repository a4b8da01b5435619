"""What a caller is told who gets no token."""

import httpx
import pytest

from stack import tokens
from stack.addresses import Addresses
from stack.errors import StackError
from stack.home import from_name
from stack.ports import Ports

AT = Addresses(from_name("tokens", Ports(7400)))


def answered(monkeypatch: pytest.MonkeyPatch, status: int, body: bytes) -> None:
    """Have the issuer answer so."""
    monkeypatch.setattr(httpx, "post", lambda *_, **__: httpx.Response(status, content=body))


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (400, b'{"error": "invalid_request", "error_description": "no such role"}', "no such role"),
        (401, b'{"error": "invalid_client"}', "invalid_client"),
        (502, b"<html>Bad Gateway</html>", "HTTP status 502"),
        (503, b"", "HTTP status 503"),
        (500, b"\xff\xfe\xfd", "HTTP status 500"),
        (400, b'["error"]', "HTTP status 400"),
        (400, b"null", "HTTP status 400"),
        (200, b"{}", "HTTP status 200"),
        (200, b'"eyJ"', "HTTP status 200"),
    ],
)
def test_a_caller_is_told_why_whatever_the_answer_holds(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, why: str
) -> None:
    answered(monkeypatch, status, body)
    with pytest.raises(StackError, match=f"no token: {why}"):
        tokens.fetch(AT, {})


def test_a_token_is_returned_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, 200, b'{"access_token": "eyJ.x.y", "expires_in": 900}')
    assert tokens.fetch(AT, {}) == "eyJ.x.y"
