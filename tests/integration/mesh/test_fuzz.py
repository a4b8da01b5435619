"""Whatever comes is answered: no fault of ours without a reason, no process that ends, nobody else hurt."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import contracts
from tests.integration.mesh.hostile import PREFACE, REQUEST, SETTINGS, frame, secured
from tests.integration.mesh.trade import trading
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

PROCESSES = ("edge", "command-sidecar", "query-sidecar", "command", "query")
# What operators call changes more than an item.
METHODS = [
    (path, method) for path, method in contracts.METHODS.items() if not path.startswith("/inventory.admin.")
]
ROUTES = [route for route in contracts.ROUTES if not route.method.startswith("/inventory.admin.")]
# As HTTP knows them, these are faults of the server.
FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
CONNECTIONS = 150
SECONDS = 5
# The same every time, and the whole file within half a minute.
bounded = settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def web(mesh: RunningStack) -> Iterator[httpx.Client]:
    """Give a client of the edge by HTTP/1.1, who may do everything."""
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    headers = dict(mesh.metadata("fuzz"))
    with httpx.Client(base_url=f"https://{mesh.edge}", verify=context, headers=headers, timeout=30) as web:
        yield web


class Caller(NamedTuple):
    """Who may do everything, by gRPC."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def caller(mesh: RunningStack) -> Iterator[Caller]:
    """Give one, of the edge."""
    ca = mesh.tls().ca
    assert ca
    with grpc.secure_channel(mesh.edge, grpc.ssl_channel_credentials(ca.read_bytes())) as channel:
        yield Caller(channel, tuple(mesh.metadata("fuzz")))


@pytest.fixture(scope="module", autouse=True)
def _unhurt(mesh: RunningStack) -> Iterator[None]:
    """See afterwards that every process is the one it was."""
    before = {name: mesh.pid(name) for name in PROCESSES}
    yield
    assert {name: mesh.pid(name) for name in PROCESSES} == before


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=80),
    st.sampled_from(["2030-01-01T00:00:00Z", "9999999999s", "-1", "1e400", "NaN", "\u0000", "../..", "%2F"]),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


def shaped(message: Descriptor, depth: int = 2) -> st.SearchStrategy[Any]:
    """Return what has the fields of a message, with values that may be of their kinds."""
    fields = {field.json_name: _value(field, depth) for field in message.fields}
    return st.fixed_dictionaries({}, optional=fields)


def _value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    inner = field.message_type
    value = shaped(inner, depth - 1) if inner is not None and depth else scalars
    return st.one_of(value, st.lists(value, max_size=2), anything)


def body_of(method: MethodDescriptor) -> st.SearchStrategy[bytes]:
    """Return bodies for a method: bytes, JSON, and what looks like its request."""
    return st.one_of(
        st.binary(max_size=200),
        anything.map(lambda value: json.dumps(value).encode()),
        shaped(method.input_type).map(lambda value: json.dumps(value).encode()),
    )


@bounded
@given(data=st.data())
def test_any_body_of_json_is_answered(web: httpx.Client, data: st.DataObject) -> None:
    verb, address, method = data.draw(st.sampled_from(ROUTES))
    path = "".join(
        quote(data.draw(st.text(min_size=1, max_size=8)), safe="") if part.startswith("{") else part
        for part in address.replace("{", "\n{").replace("}", "}\n").split("\n")
    )
    body = data.draw(body_of(contracts.METHODS[method])) if verb != "get" else b""
    with web.stream(verb, path, content=body) as answer:
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            answer.read()
            assert _reason(json_format.Parse(answer.text, status_pb2.Status())), answer.text


@bounded
@given(data=st.data())
def test_any_message_is_answered(caller: Caller, data: st.DataObject) -> None:
    path, method = data.draw(st.sampled_from(METHODS))
    message = data.draw(
        st.binary(max_size=100) | shaped(method.input_type).map(lambda value: _packed(method, value))
    )
    # On the wire every kind of method is a stream of messages each way.
    stub: grpc.StreamStreamMultiCallable[bytes, bytes] = caller.channel.stream_stream(path)
    call = stub(iter([message]), metadata=caller.metadata, timeout=SECONDS)
    try:
        next(call, None)
    except grpc.RpcError:
        trailers = dict(call.trailing_metadata() or ())
        details = trailers.get("grpc-status-details-bin", b"")
        assert isinstance(details, bytes)
        told = _reason(status_pb2.Status.FromString(details))
        assert told or call.code() not in FAULTS, (path, message, call.code(), call.details())
    finally:
        call.cancel()


frames = st.builds(
    lambda flags, length, rest: struct.pack(">BI", flags, length) + rest,
    st.integers(0, 255),
    st.integers(0, 50) | st.integers(0, 2**32 - 1),
    st.binary(max_size=50),
)


@settings(bounded, max_examples=30)
@given(
    path=st.sampled_from([path for path, _ in METHODS]),
    body=frames,
    kind=st.sampled_from(["application/grpc-web+proto", "application/grpc-web-text", "application/grpc"]),
)
def test_any_frame_of_grpc_is_answered(web: httpx.Client, path: str, body: bytes, kind: str) -> None:
    headers = {"content-type": kind, "x-grpc-web": "1", "grpc-timeout": "300m"}
    # For the rest of a message that is not whole the service waits as long as its caller does.
    with web.stream("post", path, content=body, headers=headers) as answer:
        assert answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR, (path, body, kind)


async def test_any_frame_of_http_is_answered_or_ends_its_connection(mesh: RunningStack) -> None:
    async with trading(mesh):
        for begin in range(0, CONNECTIONS, 10):
            await asyncio.gather(*(_babble(mesh, random.Random(begin + one)) for one in range(10)))


async def _babble(mesh: RunningStack, chance: random.Random) -> None:
    """Send frames of any kind, some of them of a call, and read what comes for a moment."""
    reader, writer = await secured(mesh)
    frames = [PREFACE, SETTINGS] if chance.random() < 0.9 else []
    for _ in range(chance.randrange(1, 30)):
        stream = chance.choice([0, 1, 3, chance.getrandbits(31)])
        payload = chance.choice([REQUEST, b"", chance.randbytes(chance.randrange(100))])
        kind = chance.randrange(11) if chance.random() < 0.9 else chance.randrange(256)
        frames.append(frame(kind, chance.getrandbits(8), stream, payload))
    try:
        writer.write(b"".join(frames))
        async with asyncio.timeout(0.2):
            while await reader.read(65_536):
                pass
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()


def _packed(method: MethodDescriptor, value: dict[str, Any]) -> bytes:
    """Return a message of what JSON has of it, or that JSON itself."""
    try:
        return json_format.ParseDict(value, GetMessageClass(method.input_type)()).SerializeToString()
    except (json_format.ParseError, ValueError, TypeError, OverflowError):
        return json.dumps(value).encode()


def _reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    return info.reason if status.details and status.details[0].Unpack(info) else ""
