"""Requests of JSON whose bodies stop before their end: refused by their headers, or waited for."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPSConnection

import pytest

from tests.refusals import body_reason

# Of more, this client would learn that the connection is closed before it reads the answer.
BODY = b'{"sku": "A", "name": "' + b"x" * 10_000 + b'"}'
QUIET_SECONDS = 1.0
"""After which no answer is one that waits for the rest."""


def refused(connection: HTTPSConnection, authorization: str = "") -> tuple[int, str]:
    """Return the status and the reason of what is answered before the last byte is sent."""
    with closing(connection):
        _begin(connection, authorization)
        return _answer(connection)


def awaited(connection: HTTPSConnection, authorization: str = "") -> tuple[int, str]:
    """Return the status and the reason of what is answered after the last byte, and not before."""
    with closing(connection):
        _begin(connection, authorization)
        patience = connection.sock.gettimeout()
        connection.sock.settimeout(QUIET_SECONDS)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
        connection.sock.settimeout(patience)
        connection.send(BODY[-1:])
        return _answer(connection)


def _begin(connection: HTTPSConnection, authorization: str) -> None:
    connection.putrequest("POST", "/v1/items")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(BODY)))
    if authorization:
        connection.putheader("authorization", authorization)
    connection.endheaders(BODY[:-1])


def _answer(connection: HTTPSConnection) -> tuple[int, str]:
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "application/json"
    return answer.status, body_reason(answer.read())
