"""Ways to speak to the edge that no caller may, each until it is cut off or refused."""

from __future__ import annotations

import asyncio
import itertools
import os
import ssl

from tests.stack_fixture import RunningStack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
# HEADERS of stream 1 without END_HEADERS: more is to come, and never does. ":method: POST" is one byte.
BEGUN_HEADERS = b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x83"
# POST, https, the path /x, the authority x: of the table that every connection begins with.
REQUEST = b"\x83\x87\x04\x02/x\x01\x01x"
PATIENCE = 90
LATE = b'"reason":"DEADLINE_EXCEEDED"'


async def secured(
    mesh: RunningStack, protocol: str = "h2"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the edge, and end the handshake."""
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    context.set_alpn_protocols([protocol])
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


async def trickled_headers(mesh: RunningStack) -> None:
    """Send the headers of a request by HTTP/1.1, a byte at a time, and never end them."""
    reader, writer = await secured(mesh, "http/1.1")
    writer.write(b"GET /v1/items HTTP/1.1\r\nhost: x\r\nx-slow: ")
    assert LATE in await trickled(reader, writer)


async def trickled_body(mesh: RunningStack) -> None:
    """Send a command in JSON, a byte at a time, and never end it."""
    reader, writer = await secured(mesh, "http/1.1")
    writer.write(_request(mesh, b"transfer-encoding: chunked") + b"1\r\n{\r\n")
    # Blanks are as good as anything in JSON.
    assert LATE in await trickled(reader, writer, b"1\r\n \r\n")


async def forgotten_body(mesh: RunningStack) -> None:
    """Send half of a command in JSON, and never the rest."""
    reader, writer = await secured(mesh, "http/1.1")
    writer.write(_request(mesh, b"content-length: 1000") + b'{"sku": "')
    assert LATE in await cut_off(reader, writer)


def _request(mesh: RunningStack, length: bytes) -> bytes:
    token = dict(mesh.metadata("hostile"))["authorization"].encode()
    return b"POST /v1/stock:add HTTP/1.1\r\nhost: x\r\nauthorization: %s\r\n%s\r\n\r\n" % (token, length)


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
            # A transport of TLS that is broken off is not closing, and drains at once: unless others come to
            # run, nobody is told, and this goes on for ever.
            await asyncio.sleep(0)
        except ConnectionError:
            break
    await ended


async def trickled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes = b"x") -> bytes:
    """Send a piece every half second until the other side ends the connection; return what it sent."""
    ended = asyncio.create_task(cut_off(reader, writer))
    while not ended.done() and not writer.is_closing():
        writer.write(piece)
        await asyncio.sleep(0.5)
    return await ended


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


async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Wait until the other side ends the connection; return what it has sent."""
    came = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while some := await reader.read(65_536):
                came += some
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return came
