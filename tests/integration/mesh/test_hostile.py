"""Who speaks slowly, too much or nonsense is cut off, and nobody else notices."""

from __future__ import annotations

import asyncio
import itertools
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


async def endless_headers(mesh: RunningStack) -> None:
    """Go on with the headers of a call, and never end them."""
    reader, writer = await secured(mesh)
    writer.write(PREFACE + SETTINGS + BEGUN_HEADERS)
    # A field that is not indexed, 100 bytes of it.
    field = b"\x00\x01x\x5f" + b"y" * 95
    await flooded(reader, writer, frame(0x9, 0, 1, field * 100))


async def unpacked_headers(mesh: RunningStack) -> None:
    """Name a large field of the headers a thousand times, each time by a byte."""
    reader, writer = await secured(mesh)
    # It is kept in the table of the connection: 4,000 bytes are 0x7f, then 3,873 in groups of seven bits.
    large = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000
    writer.write(PREFACE + SETTINGS + frame(0x1, 0x5, 1, REQUEST + large + b"\xbe" * 8000))
    await writer.drain()
    kind = await answered(reader)
    writer.transport.abort()
    assert kind in {"refused", "cut off"}


async def resets(mesh: RunningStack) -> None:
    """Begin calls, and take each back at once."""
    reader, writer = await secured(mesh)
    writer.write(PREFACE + SETTINGS)
    begun = (
        frame(0x1, 0x4, stream, REQUEST) + frame(0x3, 0, stream, b"\x00\x00\x00\x08")
        for stream in range(1, 40_001, 2)
    )
    await flooded(reader, writer, *begun)


# POST, https, the path /x, the authority x: of the table that every connection begins with.
REQUEST = b"\x83\x87\x04\x02/x\x01\x01x"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2."""
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


async def flooded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *frames: bytes) -> None:
    """Send the frames, one alone again and again, until the other side ends the connection."""
    ended = asyncio.create_task(cut_off(reader, writer))
    for one in itertools.cycle(frames) if len(frames) == 1 else frames:
        if ended.done() or writer.is_closing():
            break
        try:
            writer.write(one)
            await writer.drain()
        except ConnectionError:
            break
    await ended


async def answered(reader: asyncio.StreamReader) -> str:
    """Return whether a call is answered, which none is that is let through, or its connection ended."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] in {0x1, 0x3}:
                    return "refused"
    except (ConnectionError, asyncio.IncompleteReadError):
        return "cut off"


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
    "way",
    [
        *(silent, nonsense, broken_frames, endless_headers, unpacked_headers, resets),
        pytest.param(unfinished, marks=pytest.mark.slow),
    ],
)
async def test_who_does_not_speak_as_agreed_is_cut_off(
    mesh: RunningStack, way: Callable[[RunningStack], Coroutine[None, None, None]]
) -> None:
    pid = mesh.pid("edge")
    async with asyncio.TaskGroup() as group:
        for _ in range(2 if way is resets else 20):  # it keeps an edge busy
            group.create_task(way(mesh))
        # Who speaks as agreed is answered meanwhile.
        assert await code_of(mesh, b"") in ANSWERED
    assert await code_of(mesh, b"") in ANSWERED
    assert mesh.pid("edge") == pid


async def test_what_is_too_large_is_refused(mesh: RunningStack) -> None:
    before = {name: mesh.pid(name) for name in PROCESSES}

    assert await code_of(mesh, bytes(MESSAGE_LIMIT + 1)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await code_of(mesh, b"", (("x-large", "x" * 200_000),)) not in ANSWERED
    many = tuple((f"x-{number}", "") for number in range(100))
    for metadata in ((("x-large", "x" * 20_000),), many):
        assert await code_of(mesh, b"", metadata) is grpc.StatusCode.INTERNAL

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
