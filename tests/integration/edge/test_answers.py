"""Whatever the edge answers by itself has a reason, whichever way the caller came."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from inventory.type.v1.error_reason_pb2 import ErrorReason
from serving.errors import CODES
from tests.integration.edge.conftest import PATIENCE, connected
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

LIST_ITEMS = b"/inventory.query.v1.CatalogQueryService/ListItems"
MIB = 1024 * 1024
NO_BODY = b"Content-Length: 0\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WEB = b"Content-Type: application/grpc-web+proto\r\nX-Grpc-Web: 1\r\nContent-Length: 5\r\n"
FRAME = bytes(5)


class Answered(NamedTuple):
    """An answer by HTTP/1.1."""

    status: int
    headers: dict[str, str]
    body: str


class Case(NamedTuple):
    """What is sent, the line of the request first, and what comes back. The token is added."""

    line: bytes
    headers: bytes
    status: int
    reason: str
    body: bytes = b""
    signed: bool = True


CASES = {
    "too large a body": Case(
        b"POST /v1/items HTTP/1.1", b"Content-Length: 1048577\r\n", 413, "REQUEST_TOO_LARGE", bytes(MIB + 1)
    ),
    "too large a body in chunks": Case(
        b"POST /v1/items HTTP/1.1",
        CHUNKED,
        413,
        "REQUEST_TOO_LARGE",
        b"100001\r\n" + bytes(MIB + 1) + b"\r\n",
    ),
    "too large a header": Case(
        b"GET /v1/items HTTP/1.1", b"X: %b\r\n" % (b"y" * 20_000), 431, "REQUEST_TOO_LARGE"
    ),
    "too many headers": Case(
        b"GET /v1/items HTTP/1.1", b"".join(b"X-%d:\r\n" % n for n in range(100)), 431, "REQUEST_TOO_LARGE"
    ),
    "too long an address": Case(
        b"GET /v1/items?%b HTTP/1.1" % (b"y" * 20_000), b"", 431, "REQUEST_TOO_LARGE"
    ),
    "an address of nothing": Case(b"GET /v1/nowhere HTTP/1.1", b"", 404, "ADDRESS_NOT_FOUND"),
    "the root": Case(b"GET / HTTP/1.1", b"", 404, "ADDRESS_NOT_FOUND", signed=False),
    "a verb that the address has not": Case(
        b"DELETE /v1/items HTTP/1.1", b"", 404, "ADDRESS_NOT_FOUND", signed=False
    ),
    "the name of a method": Case(b"POST %b HTTP/1.1" % LIST_ITEMS, NO_BODY, 404, "ADDRESS_NOT_FOUND"),
    "a tunnel": Case(b"CONNECT x:443 HTTP/1.1", b"", 404, "ADDRESS_NOT_FOUND"),
    "no address at all": Case(b"OPTIONS * HTTP/1.1", b"", 404, "ADDRESS_NOT_FOUND"),
    "a field that is none": Case(b"GET /v1/items?colour=red HTTP/1.1", b"", 400, "INVALID_FIELD"),
    "no HTTP": Case(b"\x00\x01 nonsense", b"", 400, "INVALID_FIELD", signed=False),
    "a verb that is none": Case(b"BREW /v1/items HTTP/1.1", b"", 400, "INVALID_FIELD"),
    "half an address": Case(b"GET v1/items HTTP/1.1", b"", 400, "INVALID_FIELD"),
    "a part of a page": Case(b"GET /v1/items#part HTTP/1.1", b"", 400, "INVALID_FIELD"),
    "an underscore": Case(b"GET /v1/items HTTP/1.1", b"A_b: c\r\n", 400, "INVALID_FIELD"),
    "a header that is none": Case(b"GET /v1/items HTTP/1.1", b"a b: \x00\r\n", 400, "INVALID_FIELD"),
    "two lengths": Case(b"POST /v1/items HTTP/1.1", b"Content-Length: 5\r\n" + CHUNKED, 400, "INVALID_FIELD"),
    "a chunk that is none": Case(b"POST /v1/items HTTP/1.1", CHUNKED, 400, "INVALID_FIELD", b"zz\r\n"),
    "an encoding that nobody knows": Case(
        b"POST /v1/items HTTP/1.1", b"Transfer-Encoding: identity\r\n", 501, "INVALID_FIELD"
    ),
    "an old version": Case(b"GET /v1/items HTTP/1.0", b"", 426, "INVALID_FIELD"),
    "another protocol": Case(
        b"GET /v1/items HTTP/1.1", b"Connection: upgrade\r\nUpgrade: websocket\r\n", 400, "INVALID_FIELD"
    ),
    "another protocol, by nobody": Case(
        b"GET /v1/items HTTP/1.1",
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        400,
        "INVALID_FIELD",
        signed=False,
    ),
    "what nobody can answer": Case(b"GET /v1/items HTTP/1.1", b"", 503, "DEPENDENCY_UNAVAILABLE"),
}


async def answered(edge: RunningStack, sent: bytes) -> Answered:
    """Send bytes, and return the one answer to them."""
    reader, writer = await connected(edge)
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(sent)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {key.lower(): value for key, value in (line.split(": ", 1) for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
    finally:
        writer.transport.abort()
    return Answered(int(first.split()[1]), headers, body.decode())


def request(edge: RunningStack, case: Case) -> bytes:
    """Return the bytes of a case."""
    host = b"" if b"nonsense" in case.line else b"Host: x\r\n"
    token = f"authorization: {edge.metadata('web')[0][1]}\r\n".encode() if case.signed else b""
    return b"%b\r\n%b%b%b\r\n%b" % (case.line, host, token, case.headers, case.body)


def reason(status: status_pb2.Status) -> str:
    """Return the reason of a status, whose code it belongs to."""
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "inventory"
    assert status.message
    assert CODES[ErrorReason.Value(f"ERROR_REASON_{info.reason}")].value[0] == status.code
    return str(info.reason)


@pytest.mark.parametrize("name", CASES)
async def test_over_http_an_answer_is_a_status_as_json(edge: RunningStack, name: str) -> None:
    case = CASES[name]
    answer = await answered(edge, request(edge, case))
    assert answer.headers["content-type"] == "application/json"
    assert answer.status == case.status
    assert reason(json_format.Parse(answer.body, status_pb2.Status())) == case.reason


async def test_what_the_transcoder_cannot_read_it_says_itself(edge: RunningStack) -> None:
    answer = await answered(edge, request(edge, CASES["a field that is none"]))
    assert "colour" in json_format.Parse(answer.body, status_pb2.Status()).message


async def test_who_begins_and_does_not_go_on_is_told_so(edge: RunningStack) -> None:
    answer = await answered(edge, b"GET /v1/items HTTP/1.1\r\nHost: x\r\n")
    assert answer.status == 408
    assert reason(json_format.Parse(answer.body, status_pb2.Status())) == "DEADLINE_EXCEEDED"


async def test_who_is_to_come_again_is_told_when(edge: RunningStack) -> None:
    answer = await answered(edge, request(edge, CASES["what nobody can answer"]))
    assert answer.headers["retry-after"] == "1"
    retry = error_details_pb2.RetryInfo()
    assert json_format.Parse(answer.body, status_pb2.Status()).details[1].Unpack(retry)
    assert retry.retry_delay.ToTimedelta().total_seconds() == 0.25


METHODS = [
    (LIST_ITEMS, "DEPENDENCY_UNAVAILABLE"),
    (b"/inventory.query.v1.CatalogQueryService/Nothing", "PERMISSION_DENIED"),
]


@pytest.mark.parametrize(("method", "expected"), METHODS)
async def test_by_grpc_web_an_answer_has_trailers(edge: RunningStack, method: bytes, expected: str) -> None:
    case = Case(b"POST %b HTTP/1.1" % method, WEB, 200, expected, FRAME)
    answer = await answered(edge, request(edge, case))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/grpc-web+proto")
    assert answer.headers["grpc-message"]
    status = status_pb2.Status.FromString(b64decode(answer.headers["grpc-status-details-bin"]))
    assert reason(status) == expected
    assert answer.headers["grpc-status"] == str(status.code)


@pytest.mark.parametrize(("method", "expected"), METHODS)
async def test_by_grpc_an_answer_has_details(edge: RunningStack, method: bytes, expected: str) -> None:
    async with edge.channel() as channel:
        stub: Any = channel.unary_unary(method.decode())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub(b"", timeout=PATIENCE, metadata=edge.metadata("grpc"))
    status = rpc_status.from_call(refused.value)  # type: ignore[arg-type]
    assert status is not None
    assert reason(status) == expected
