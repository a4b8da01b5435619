"""Who speaks slowly, too much or nonsense is cut off, nobody else notices, and nothing comes of it."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf import json_format

from tests.integration.mesh import hostile
from tests.integration.mesh.trade import Trade, trading
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

ADD = "/inventory.command.v1.StockCommandService/AddStock"
MIB = 1024 * 1024
MESSAGE_LIMIT = 4 * MIB
PATIENCE = 90
PROCESSES = ("edge", "command-sidecar", "command")
# Well within the minute that a call may take.
BODY_SECONDS = 20


@pytest.fixture
async def trade(mesh: RunningStack) -> AsyncIterator[Trade]:
    """Give good callers at work; that every one of their commands counts once is seen at the end."""
    before = {name: mesh.pid(name) for name in PROCESSES}
    async with trading(mesh) as trade:
        yield trade
    assert {name: mesh.pid(name) for name in PROCESSES} == before


@pytest.mark.parametrize(
    "way",
    [
        *(hostile.silent, hostile.nonsense, hostile.broken_frames, hostile.endless_headers),
        *(hostile.unpacked_headers, hostile.resets),
        pytest.param(hostile.unfinished, marks=pytest.mark.slow),
        pytest.param(hostile.trickled_headers, marks=pytest.mark.slow),
        pytest.param(hostile.trickled_body, marks=pytest.mark.slow),
        pytest.param(hostile.forgotten_body, marks=pytest.mark.slow),
    ],
)
async def test_who_does_not_speak_as_agreed_is_cut_off(
    trade: Trade, way: Callable[[RunningStack], Coroutine[None, None, None]]
) -> None:
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(2 if way is hostile.resets else 20):  # it keeps an edge busy
            group.create_task(way(trade.mesh))
        # Who speaks as agreed is answered meanwhile.
        await trade.goes_on()
    if way in {hostile.trickled_headers, hostile.trickled_body, hostile.forgotten_body}:
        assert time.monotonic() - begun < BODY_SECONDS


async def test_what_is_too_large_is_refused(trade: Trade) -> None:
    mesh, command = trade.mesh, trade.command("large").SerializeToString()

    assert await code_of(mesh, padded(command, MESSAGE_LIMIT)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await code_of(mesh, command, (("x-large", "x" * 200_000),)) is not grpc.StatusCode.OK
    many = tuple((f"x-{number}", "") for number in range(100))
    for metadata in ((("x-large", "x" * 20_000),), many):
        assert await code_of(mesh, command, metadata) is grpc.StatusCode.INTERNAL
    # Smaller by as much as it was too large, it would have been carried out.
    assert await code_of(mesh, padded(command, MESSAGE_LIMIT // 2)) is grpc.StatusCode.OK
    trade.answered.add("large")


async def test_a_small_message_that_unpacks_to_a_huge_one_is_refused(trade: Trade) -> None:
    memory = {name: resident(trade.mesh.pid(name)) for name in PROCESSES}

    # A thousandth of it on the wire.
    huge = padded(trade.command("bomb").SerializeToString(), 64 * MIB)
    codes = [await code_of(trade.mesh, huge, compression=grpc.Compression.Gzip) for _ in range(3)]

    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    for name, before in memory.items():
        assert resident(trade.mesh.pid(name)) - before < len(huge) // 2, name


async def test_a_body_of_json_is_never_unpacked(trade: Trade) -> None:
    memory = {name: resident(trade.mesh.pid(name)) for name in PROCESSES}
    command = json_format.MessageToJson(trade.command("packed")).encode()
    for body in (command, command + b" " * 64 * MIB):
        headers = {"content-encoding": "gzip", **dict(trade.mesh.metadata("hostile"))}
        async with web(trade.mesh) as client:
            answer = await client.post("/v1/stock:add", content=gzip.compress(body), headers=headers)
        assert answer.status_code == httpx.codes.BAD_REQUEST
        assert answer.json()["details"][0]["reason"] == "INVALID_FIELD"
    for name, before in memory.items():
        assert resident(trade.mesh.pid(name)) - before < 32 * MIB, name


async def test_who_may_not_and_does_not_stop_changes_nothing(trade: Trade) -> None:
    """As many calls as come through at once, again and again, each a command that its caller may not send."""
    command = trade.command("forbidden").SerializeToString()
    viewer = trade.mesh.metadata("viewer", "viewer")
    async with trade.mesh.channel([("grpc.use_local_subchannel_pool", 1)]) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ADD)
        for _ in range(10):
            calls = [method(command, timeout=PATIENCE, metadata=viewer) for _ in range(200)]
            codes = set(await asyncio.gather(*(call.code() for call in calls)))
            assert codes <= {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.RESOURCE_EXHAUSTED}
            await trade.goes_on()


def padded(message: bytes, size: int) -> bytes:
    """Return a message with a field of so many bytes more that its kind does not have."""
    length = bytearray()
    left = size
    while left >= 0x80:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    length.append(left)
    # Field 2000, of a length that is told.
    return message + b"\x82\x7d" + bytes(length) + bytes(size)


def web(mesh: RunningStack) -> httpx.AsyncClient:
    """Return a client of the edge by HTTP/1.1."""
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    return httpx.AsyncClient(base_url=f"https://{mesh.edge}", verify=context, timeout=PATIENCE)


async def code_of(
    mesh: RunningStack,
    message: bytes,
    metadata: tuple[tuple[str, str], ...] = (),
    *,
    compression: grpc.Compression = grpc.Compression.NoCompression,
) -> grpc.StatusCode:
    """Return what a command is answered with, over a connection of its own."""
    async with mesh.channel([("grpc.use_local_subchannel_pool", 1)]) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ADD)
        signed = (*metadata, *mesh.metadata("mesh"))
        call = method(message, timeout=PATIENCE, metadata=signed, compression=compression)
        return await call.code()


def resident(pid: int) -> int:
    """Return the bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
