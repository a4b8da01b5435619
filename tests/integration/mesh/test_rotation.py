"""Certificates are renewed while calls go on, and none is dropped."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import pytest
from cryptography import x509

from client import InventoryClient, RetryPolicy, Tls
from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from inventory.command.v1.location_command_service_pb2 import CreateLocationRequest
from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1.consistency_pb2 import Consistency
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from inventory.type.v1.location_pb2 import LOCATION_KIND_WAREHOUSE
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from stack import tokens
from stack.authority import spiffe_id, write
from stack.certificates import Certificates
from tests.stack_fixture import RunningStack

pytestmark = pytest.mark.stack

ROTATIONS = 5
LISTENERS = ("edge", "query_sidecar", "query", "command_sidecar", "command")


class Load:
    """Callers of one level, none of whose calls is tried again: what fails fails the test."""

    def __init__(self, mesh: RunningStack) -> None:
        self._mesh = mesh
        self._sku, self._place = (f"M-{uuid.uuid4().hex[:8]}" for _ in range(2))
        self.stop = asyncio.Event()
        self.added = 0

    def client(self) -> InventoryClient:
        return self._mesh.client("mesh", timeout=30, retry=RetryPolicy(attempts=1))

    async def open(self, client: InventoryClient) -> None:
        await client.create_item(CreateItemRequest(sku=self._sku, name="Mug"))
        await client.create_location(
            CreateLocationRequest(location_id=self._place, name="Here", kind=LOCATION_KIND_WAREHOUSE)
        )
        await self.add(client)

    async def add(self, client: InventoryClient) -> None:
        request = AddStockRequest(
            sku=self._sku, location_id=self._place, quantity=1, reason=MOVEMENT_REASON_RECEIPT
        )
        await client.add_stock(request)
        self.added += 1

    async def on_hand(self, client: InventoryClient) -> int:
        present = Consistency(fully_consistent=True)
        request = GetStockLevelRequest(sku=self._sku, location_id=self._place, consistency=present)
        return (await client.get_stock_level(request)).level.on_hand

    async def keep_adding(self, client: InventoryClient) -> None:
        while not self.stop.is_set():
            await self.add(client)

    async def keep_asking(self, client: InventoryClient) -> None:
        while not self.stop.is_set():
            await self.on_hand(client)

    async def keep_connecting(self) -> None:
        """Call over one connection after another: with the certificate that is served just then."""
        while not self.stop.is_set():
            async with self.client() as client:
                await self.on_hand(client)


async def test_calls_go_on_while_everything_is_renewed(mesh: RunningStack) -> None:
    load = Load(mesh)
    async with load.client() as client:
        await load.open(client)

        async def rotate() -> None:
            for _ in range(ROTATIONS):
                before, calls = await serials(mesh), load.added
                await asyncio.to_thread(Certificates(mesh.home).rotate)
                await until(partial(all_new, mesh, before))
                await until(partial(passed, load, calls + 10))
            load.stop.set()

        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(load.keep_adding(client))
            group.create_task(load.keep_asking(client))
            group.create_task(load.keep_connecting())
            group.create_task(rotate())

        assert await load.on_hand(client) == load.added


async def test_a_caller_brings_the_certificate_that_it_has_now(mesh: RunningStack) -> None:
    """Calls, none of which is tried again, while the caller is one workload and then another by turns."""
    certificates = Certificates(mesh.home)
    both = [certificates.issue(name).read_bytes() for name in ("order-service", "stranger")]
    own = mesh.home.config / "caller.pem"
    write(own, both[0])
    load = Load(mesh)
    token = tokens.source(mesh, "caller")
    once = RetryPolicy(attempts=1)
    tls = Tls(certificates.ca, own, own)
    async with InventoryClient(mesh.edge, tls=tls, token=token, timeout=30, retry=once) as client:
        await load.open(client)

        async def replace() -> None:
            seen = mesh.home.log("edge-access")
            for turn in range(1, ROTATIONS + 1):
                name = ("order-service", "stranger")[turn % 2]
                begin = seen.stat().st_size
                write(own, both[turn % 2])

                async def is_seen(begin: int = begin, name: str = name) -> bool:
                    return spiffe_id(name).encode() in seen.read_bytes()[begin:]

                await until(is_seen)
            load.stop.set()

        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(load.keep_adding(client))
            group.create_task(load.keep_asking(client))
            group.create_task(replace())

        assert await load.on_hand(client) == load.added


async def test_what_has_lived_half_its_time_is_renewed_by_itself(mesh: RunningStack) -> None:
    certificates = Certificates(mesh.home)
    path = certificates.issue("short-lived", timedelta(seconds=30))
    first = x509.load_pem_x509_certificate(path.read_bytes()).serial_number

    async def renewed() -> bool:
        return x509.load_pem_x509_certificate(path.read_bytes()).serial_number != first

    await until(renewed)
    renewed_until = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    assert renewed_until > x509.load_pem_x509_certificate(
        certificates.identity("edge").read_bytes()
    ).not_valid_before_utc + timedelta(hours=20)
    path.unlink()


async def test_a_certificate_that_is_none_does_no_harm(mesh: RunningStack) -> None:
    path = Certificates(mesh.home).identity("query")
    good = path.read_bytes()
    served = await serials(mesh)
    log = mesh.home.log("query")
    try:
        write(path, b"this is no certificate")

        # At the next connection the service reads it, and keeps what it has.
        async def told() -> bool:
            return (await serial(mesh, "query", good)) == served["query"] and (
                "certificate not renewed" in log.read_text()
            )

        await until(told)
    finally:
        write(path, good)
    assert await serials(mesh) == served


async def serials(mesh: RunningStack) -> dict[str, int]:
    """Return the serial numbers of the certificates that are served now."""
    return {name: await serial(mesh, name) for name in LISTENERS}


async def serial(mesh: RunningStack, listener: str, identity: bytes | None = None) -> int:
    """Return the serial number of what a listener serves to its peer, or to the bearer of an identity."""
    peer = {"edge": "", "query_sidecar": "edge", "command_sidecar": "edge"}.get(listener, listener)
    context = ssl.create_default_context(cafile=mesh.tls().ca)
    context.set_alpn_protocols(["h2"])
    tls: Tls = mesh.tls(peer)
    if identity is not None:
        tls = Tls(tls.ca, mesh.home.config / "kept.pem", mesh.home.config / "kept.pem")
        write(mesh.home.config / "kept.pem", identity)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    port = mesh.home.ports[listener]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(der).serial_number


async def all_new(mesh: RunningStack, before: dict[str, int]) -> bool:
    now = await serials(mesh)
    return all(now[name] != before[name] for name in now)


async def passed(load: Load, added: int) -> bool:
    return load.added > added


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
