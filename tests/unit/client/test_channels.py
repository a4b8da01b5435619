"""A client that lives long brings the certificate that its files hold now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

import grpc
import pytest

from client import InventoryClient, RetryPolicy, Tls, UnavailableError, channels
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest, AddStockResponse
from inventory.query.v1.stock_query_service_pb2 import WatchStockRequest, WatchStockResponse
from stack.authority import Authority, spiffe_id, write

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
ONCE = RetryPolicy(attempts=1)
FAST = RetryPolicy(first_pause=0.01, longest_pause=0.02)


@dataclass
class World:
    """A server that asks for certificates, an authority, and the file of the one who calls."""

    authority: Authority
    folder: Path
    address: str = ""
    callers: list[str] = field(default_factory=list)
    watches: list[WatchStockRequest] = field(default_factory=list)

    @property
    def own(self) -> Path:
        """The file with the caller's certificate and key."""
        return self.folder / "own.pem"

    def become(self, name: str) -> None:
        """Replace the caller's certificate by that of another name."""
        write(self.own, self.authority.issue(name))

    def client(self, retry: RetryPolicy = ONCE, key: Path | None = None) -> InventoryClient:
        """Return a client that brings the caller's certificate, whose key may be in a file of its own."""
        tls = Tls(self.folder / "ca.pem", self.own, key or self.own)
        return InventoryClient(self.address, tls=tls, retry=retry)

    async def add_stock(self, request: AddStockRequest, context: Context) -> AddStockResponse:
        """Answer AddStock, and keep who calls."""
        self.callers += [name.decode() for name in context.peer_identities() or () if b"://" in name]
        await asyncio.sleep(request.quantity / 1000)
        return AddStockResponse()

    async def watch(self, request: WatchStockRequest, context: Context) -> None:
        """Tell one cursor after another."""
        self.watches.append(request)
        for number in range(int(request.cursor or 0) + 1, 10_000):
            await context.write(WatchStockResponse(cursor=str(number)))
            await asyncio.sleep(0.01)

    async def until(self, name: str, client: InventoryClient) -> None:
        """Call until the server sees the caller of this name."""
        while not self.callers or self.callers[-1] != spiffe_id(name):
            await client.add_stock(AddStockRequest())


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Give it; files are looked at for every call."""
    monkeypatch.setattr(channels, "LOOK_SECONDS", 0)
    world = World(Authority(tmp_path / "authority"), tmp_path)
    ca = world.authority.certificate
    write(tmp_path / "ca.pem", ca)
    world.become("first")
    server = grpc.aio.server()
    handlers: dict[tuple[str, str], grpc.RpcMethodHandler[Any, Any]] = {
        ("inventory.command.v1.StockCommandService", "AddStock"): grpc.unary_unary_rpc_method_handler(
            world.add_stock, AddStockRequest.FromString, AddStockResponse.SerializeToString
        ),
        ("inventory.query.v1.StockQueryService", "WatchStock"): grpc.unary_stream_rpc_method_handler(
            cast("Any", world.watch),  # a coroutine that writes is served as well
            WatchStockRequest.FromString,
            WatchStockResponse.SerializeToString,
        ),
    }
    for (service, method), handler in handlers.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    pem = world.authority.issue("server")
    credentials = grpc.ssl_server_credentials([(pem, pem)], ca, require_client_auth=True)
    world.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    await server.start()
    async with asyncio.timeout(60):
        yield world
    await server.stop(None)


async def exhaust(messages: AsyncIterator[WatchStockResponse]) -> None:
    """Read all there is."""
    async for _ in messages:
        pass


async def test_calls_begin_with_the_new_certificate_and_those_under_way_end_with_the_old(
    world: World,
) -> None:
    async with world.client() as client:
        watch = client.watch_stock(WatchStockRequest())
        await anext(watch)
        await world.until("first", client)
        slow = asyncio.create_task(client.add_stock(AddStockRequest(quantity=300)))
        for name in ("second", "third", "fourth"):
            world.become(name)
            await world.until(name, client)
        await slow
        told = [int((await anext(watch)).cursor) for _ in range(20)]
        assert told == list(range(2, 22))
        assert len(world.watches) == 1
        await watch.aclose()


async def test_a_watch_over_a_channel_of_long_ago_is_resumed_over_the_newest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "GRACE_SECONDS", 0.1)
    async with world.client(FAST) as client:
        watch = client.watch_stock(WatchStockRequest())
        told = [int((await anext(watch)).cursor)]
        world.become("second")
        await world.until("second", client)
        while len(world.watches) < 2:
            told.append(int((await anext(watch)).cursor))
        told.append(int((await anext(watch)).cursor))
        assert told == list(range(1, len(told) + 1))
        await watch.aclose()


async def test_one_that_is_closed_closes_what_is_left_of_its_former_channels(world: World) -> None:
    async with world.client(ONCE) as client:
        watch = client.watch_stock(WatchStockRequest())
        await anext(watch)
        world.become("second")
        await world.until("second", client)
    with pytest.raises(UnavailableError):
        await exhaust(watch)
    assert [task for task in asyncio.all_tasks() if "Channel.close" in repr(task)] == []


@pytest.mark.parametrize("broken", ["a key still to come", "no certificate", "no file"])
async def test_files_that_cannot_be_used_change_nothing_and_are_told_of_once(
    world: World, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = world.folder / "key.pem"
    write(key, world.own.read_bytes())
    spoil: dict[str, Callable[[], None]] = {
        "a key still to come": lambda: world.become("second"),
        "no certificate": lambda: write(world.own, b"this is no certificate"),
        "no file": world.own.unlink,
    }
    with caplog.at_level(logging.WARNING, channels.__name__):
        async with world.client(key=key) as client:
            await world.until("first", client)
            spoil[broken]()
            for _ in range(5):
                await client.add_stock(AddStockRequest())
            assert set(world.callers) == {spiffe_id("first")}
            assert len(caplog.records) == 1
            world.become("third")
            write(key, world.own.read_bytes())
            await world.until("third", client)


def test_a_key_that_is_anothers_is_told_at_once(world: World, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    write(key, world.authority.issue("first"))
    with pytest.raises(OSError, match="KEY_VALUES_MISMATCH"):
        world.client(key=key)
