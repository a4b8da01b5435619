"""Every refusal leaves one entry, whichever way the command came."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from command_svc.batcher import Batcher
from command_svc.server import services
from inventory.command.v1 import stock_command_service_pb2 as pb
from serving.audit import Entry
from serving.server import GrpcServer
from serving.settings import ServerSettings
from tests.unit.command_svc.memory_store import MemoryStore
from tests.unit.command_svc.services.calling import Commands, refusal
from tests.unit.command_svc.services.good import ADD, REMOVE
from tests.unit.command_svc.services.test_batches import batched
from tests.unit.serving.issuing import ISSUER, Issuer

STOCK = "inventory.command.v1.StockCommandService"


class Recorded(list[Entry]):
    """A recorder that keeps its entries for a look."""

    has_room = True

    def record(self, entry: Entry) -> None:
        """Keep it."""
        self.append(entry)


@pytest.fixture
def recorded() -> Recorded:
    """Give a recorder."""
    return Recorded()


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Give an issuer."""
    return Issuer(tmp_path_factory.mktemp("issuer") / "jwks.json")


@pytest.fixture
async def channel(store: MemoryStore, recorded: Recorded, issuer: Issuer) -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel to all commands, recorded, for callers with a token."""
    settings = ServerSettings.model_validate(
        {
            "listen": "127.0.0.1:0",
            "drain_seconds": 0,
            "grace_seconds": 1,
            "identity_issuer": ISSUER,
            "identity_jwks": str(issuer.file),
        }
    )
    async with Batcher(store) as batcher:
        server = GrpcServer(settings, services(batcher), dependencies=[], unavailable={}, recorder=recorded)
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
            yield opened
        await server.shut_down()


def clerk(channel: grpc.aio.Channel, issuer: Issuer) -> Commands:
    """Return the commands as called by a clerk of WH."""
    proof: dict[str, Any] = {"auth_time": int(time.time()), "amr": ["mfa"]}
    return Commands(channel, issuer.token(sub="c-1", roles=["clerk"], locations=["WH"], **proof))


async def test_a_refused_call_leaves_an_entry_that_says_who_what_where_and_why(
    channel: grpc.aio.Channel, issuer: Issuer, recorded: Recorded
) -> None:
    commands = clerk(channel, issuer)
    await commands.do("AddStock")
    assert recorded == []
    await refusal(commands.do("RemoveStock", quantity=10**9, request_id="r-1"))
    await refusal(commands.do("AddStock", quantity=0))
    await refusal(commands.do("AddStock", location_id="ST"))
    await refusal(commands.do("SetStockPolicy"))
    await refusal(Commands(channel).do("AddStock"))
    assert [(one.method.rpartition("/")[2], one.verdict) for one in recorded] == [
        ("RemoveStock", "INSUFFICIENT_STOCK"),
        ("AddStock", "INVALID_FIELD"),
        ("AddStock", "LOCATION_NOT_ALLOWED"),
        ("SetStockPolicy", "PERMISSION_DENIED"),
        ("AddStock", "UNAUTHENTICATED"),
    ]
    first = recorded[0]
    assert (first.method, first.request_id) == (f"{STOCK}/RemoveStock", "r-1")
    assert (first.actor, first.proof, first.source) == ("c-1", "token", "127.0.0.1")
    assert (first.skus, first.location_ids) == (("MUG",), ("WH",))
    assert {(one.actor, one.proof) for one in recorded[:4]} == {("c-1", "token")}
    assert (recorded[4].actor, recorded[4].proof, recorded[4].skus) == ("", "none", ("MUG",))


@pytest.mark.parametrize("rpc", ["BatchStock", "StreamStock"])
async def test_each_refused_command_of_many_leaves_its_own(
    channel: grpc.aio.Channel, issuer: Issuer, recorded: Recorded, rpc: str
) -> None:
    given = batched(ADD, {**ADD, "quantity": 0}, {**REMOVE, "kind": "remove", "quantity": 10**9})
    message: Any = getattr(pb, f"{rpc}Request")
    await clerk(channel, issuer).call(rpc, message(request_id="b-1", commands=[*given, pb.StockCommand()]))
    assert {(one.method, one.verdict, one.request_id, one.actor) for one in recorded} == {
        (f"{STOCK}/AddStock", "INVALID_FIELD", "b-1.1", "c-1"),
        (f"{STOCK}/{rpc}", "INVALID_FIELD", "b-1.3", "c-1"),
        (f"{STOCK}/RemoveStock", "INSUFFICIENT_STOCK", "b-1.2", "c-1"),
    }
    assert len(recorded) == 3


async def test_an_atomic_batch_that_is_refused_is_one_entry(
    channel: grpc.aio.Channel, issuer: Issuer, recorded: Recorded
) -> None:
    given = batched(ADD, {**ADD, "quantity": 0})
    batch = pb.BatchStockRequest(request_id="b-2", commands=given, atomic=True)
    await refusal(clerk(channel, issuer).call("BatchStock", batch))
    assert [(one.method, one.verdict, one.request_id) for one in recorded] == [
        (f"{STOCK}/BatchStock", "INVALID_FIELD", "b-2")
    ]
