"""Who speaks slowly, too much or nonsense is cut off, and nobody else notices."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path

import grpc
import pytest

from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

ADD = "/inventory.command.v1.StockCommandService/AddStock"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
# HEADERS of stream 1 without END_HEADERS: more is to come, and never does. ":method: POST" is one byte.
BEGUN_HEADERS = b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x83"
MESSAGE_LIMIT = 4 * 1024 * 1024
PATIENCE = 90
PROCESSES = ("edge", "command-sidecar", "command")
# By the service, to an empty command: the call has come through.
ANSWERED = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED)


async def secured(mesh: RunningStack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    context.set_alpn_protocols(["h2"])
    port = mesh.home.ports["edge"]
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")


async def silent(mesh: RunningStack) -> None:
    """Connect, and never begin the handshake."""
    reader, writer = await asyncio.open_connection("127.0.0.1", mesh.home.ports["edge"])
    await cut_off(reader, writer)


async def unfinished(mesh: RunningStack) -> None:
    """Begin the headers of a call, and never end them."""
    reader, writer = await secured(mesh)
    writer.write(PREFACE + SETTINGS + BEGUN_HEADERS)
    await cut_off(reader, writer)


async def nonsense(mesh: RunningStack) -> None:
    """Send what is no HTTP/2."""
    reader, writer = await secured(mesh)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + os.urandom(1000))
    await cut_off(reader, writer)


async def broken_frames(mesh: RunningStack) -> None:
    """Send frames of no known length and kind."""
    reader, writer = await secured(mesh)
    writer.write(PREFACE + SETTINGS + b"\xff" * 9 + os.urandom(1000))
    await cut_off(reader, writer)


async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait until the other side ends the connection."""
    try:
        async with asyncio.timeout(PATIENCE):
            while await reader.read(65_536):
                pass
    except ConnectionError:
        return
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "way", [silent, pytest.param(unfinished, marks=pytest.mark.slow), nonsense, broken_frames]
)
async def test_who_does_not_speak_as_agreed_is_cut_off(
    mesh: RunningStack, way: Callable[[RunningStack], Coroutine[None, None, None]]
) -> None:
    pid = mesh.pid("edge")
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(way(mesh))
        # Who speaks as agreed is answered meanwhile.
        assert await code_of(mesh, b"") in ANSWERED
    assert await code_of(mesh, b"") in ANSWERED
    assert mesh.pid("edge") == pid


async def test_what_is_too_large_is_refused(mesh: RunningStack) -> None:
    before = {name: mesh.pid(name) for name in PROCESSES}

    assert await code_of(mesh, bytes(MESSAGE_LIMIT + 1)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await code_of(mesh, b"", (("x-large", "x" * 200_000),)) not in ANSWERED

    assert await code_of(mesh, b"") in ANSWERED
    assert {name: mesh.pid(name) for name in PROCESSES} == before


async def test_a_small_message_that_unpacks_to_a_huge_one_is_refused(mesh: RunningStack) -> None:
    before = {name: mesh.pid(name) for name in PROCESSES}
    memory = resident(before["command"])

    # A thousandth of it on the wire.
    huge = bytes(64 * 1024 * 1024)
    codes = [await code_of(mesh, huge, compression=grpc.Compression.Gzip) for _ in range(3)]

    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert await code_of(mesh, b"") in ANSWERED
    assert {name: mesh.pid(name) for name in PROCESSES} == before
    assert resident(before["command"]) - memory < len(huge)


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
