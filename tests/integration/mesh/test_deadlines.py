"""Each call ends in time, whatever its caller says of it: seen at the edge, by gRPC and by JSON."""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import grpc
import httpx
import psycopg
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from inventory.command.v1.stock_command_service_pb2 import AddStockRequest
from inventory.query.v1.consistency_pb2 import Consistency
from inventory.query.v1.stock_query_service_pb2 import GetStockLevelRequest
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT
from stack import programs
from stack.parts import Program
from stack.supervisor import Supervisor
from tests.stack_fixture import RunningStack

pytestmark = [pytest.mark.stack, pytest.mark.slow]

DEFAULT = 1.0
LATE = grpc.StatusCode.DEADLINE_EXCEEDED
# Of its time, a call leaves some for the answer.
EARLY = 0.1
AGES = 60
SKU, PLACE = "LATE-1", "LATE"
# Only the deadline shall end what waits. Of a command, that is what its lane has patience for.
SETTINGS = {"LOCK_TIMEOUT_SECONDS": str(AGES), "STATEMENT_TIMEOUT_SECONDS": str(AGES)}


class Times(NamedTuple):
    """Seconds: of a caller's own deadline, and the longest that a service grants."""

    own: float
    longest: float


# A query keeps a twentieth of its time for the answer: of two seconds, too little on a busy machine.
TIMES = {"command": Times(2.0, 3.0), "query": Times(4.0, 5.0)}
COMMAND = (
    "/inventory.command.v1.StockCommandService/AddStock",
    AddStockRequest(sku=SKU, location_id=PLACE, quantity=1, reason=MOVEMENT_REASON_RECEIPT),
)
QUERY = (
    "/inventory.query.v1.StockQueryService/GetStockLevel",
    GetStockLevelRequest(sku=SKU, location_id=PLACE, consistency=Consistency(fully_consistent=True)),
)
ADDRESSES = {
    COMMAND[0]: ("POST", "/v1/stock:add"),
    QUERY[0]: ("GET", f"/v1/items/{SKU}/stock/{PLACE}?consistency.fully_consistent=true"),
}


class Ended(NamedTuple):
    """How a call has ended: with which code and reason, after how many seconds."""

    code: grpc.StatusCode
    reason: str
    seconds: float


Call = Callable[[str, Message, float | None], Awaitable[Ended]]


@pytest.fixture(scope="module")
def hurried(mesh: RunningStack) -> Iterator[RunningStack]:
    """Give the mesh with services that have other deadlines, and a database in which both wait."""
    settings = {
        name: {
            f"INVENTORY_{name.upper()}_{key}": value
            for key, value in {
                **SETTINGS,
                "DEFAULT_DEADLINE_SECONDS": str(DEFAULT),
                "MAX_DEADLINE_SECONDS": str(times.longest),
            }.items()
        }
        for name, times in TIMES.items()
    }
    run_with(mesh, settings)
    with psycopg.connect(mesh.postgres_url("owner")) as connection:
        connection.execute("LOCK TABLE stock_levels IN ACCESS EXCLUSIVE MODE")
        yield mesh
        connection.rollback()
    run_with(mesh, {})


def run_with(mesh: RunningStack, settings: dict[str, dict[str, str]]) -> None:
    """Run the stack's programs with settings of theirs beside the usual ones."""
    everything = [part for part in programs.parts(mesh.home) if isinstance(part, Program)]
    Supervisor(mesh.home).start(
        [replace(one, environment=one.environment | settings.get(one.name, {})) for one in everything]
    )
    for name in ("command", "query", "edge"):
        mesh.wait_ready(name)


def by_grpc(mesh: RunningStack) -> Call:
    async def call(method: str, request: Message, seconds: float | None) -> Ended:
        async with mesh.channel() as channel:
            stub: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            begun = time.monotonic()
            made = stub(request.SerializeToString(), timeout=seconds, metadata=mesh.metadata("late"))
            code = await made.code()
            lasted = time.monotonic() - begun
            details = dict(await made.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        assert isinstance(details, bytes)
        return Ended(code, reason(status_pb2.Status.FromString(details)), lasted)

    return call


def by_json(mesh: RunningStack, said: str = "") -> Call:
    context = ssl.create_default_context(cafile=mesh.tls().ca)

    async def call(method: str, request: Message, seconds: float | None) -> Ended:
        verb, address = ADDRESSES[method]
        headers = dict(mesh.metadata("late")) | ({"grpc-timeout": said} if said else {})
        if seconds is not None:
            headers["grpc-timeout"] = f"{int(seconds * 1000)}m"
        body = json_format.MessageToJson(request) if verb == "POST" else None
        async with httpx.AsyncClient(base_url=f"https://{mesh.edge}", verify=context, timeout=AGES) as web:
            begun = time.monotonic()
            answer = await web.request(verb, address, content=body, headers=headers)
            lasted = time.monotonic() - begun
        assert answer.status_code == httpx.codes.GATEWAY_TIMEOUT, answer.text
        status = json_format.Parse(answer.text, status_pb2.Status())
        (code,) = [one for one in grpc.StatusCode if one.value[0] == status.code]
        return Ended(code, reason(status), lasted)

    return call


def reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    return info.reason if status.details and status.details[0].Unpack(info) else ""


CASES = pytest.mark.parametrize(
    ("call", "times"), [(COMMAND, TIMES["command"]), (QUERY, TIMES["query"])], ids=["command", "query"]
)


@pytest.mark.parametrize("way", [by_grpc, by_json])
@CASES
async def test_who_sets_no_deadline_or_too_long_a_one_has_the_services(
    hurried: RunningStack, way: Callable[[RunningStack], Call], call: tuple[str, Message], times: Times
) -> None:
    made = way(hurried)
    for asked, seconds in ((None, DEFAULT), (float(AGES), times.longest)):
        ended = await made(*call, asked)
        assert ended[:2] == (LATE, "DEADLINE_EXCEEDED")
        assert (1 - EARLY) * seconds <= ended.seconds < seconds + DEFAULT


@pytest.mark.parametrize("way", [by_grpc, by_json])
@CASES
async def test_the_service_knows_the_deadline_of_its_caller_and_leaves_time_to_say_why(
    hurried: RunningStack, way: Callable[[RunningStack], Call], call: tuple[str, Message], times: Times
) -> None:
    ended = await way(hurried)(*call, times.own)
    assert ended[:2] == (LATE, "DEADLINE_EXCEEDED")
    assert (1 - EARLY) * times.own <= ended.seconds < (1 - EARLY) * times.longest


async def test_what_is_no_time_is_no_deadline(hurried: RunningStack) -> None:
    for said in ("soon", "-1S", "5S, 9S"):
        ended = await by_json(hurried, said)(*QUERY, None)
        assert ended[:2] == (LATE, "DEADLINE_EXCEEDED")
        assert (1 - EARLY) * DEFAULT <= ended.seconds < 2 * DEFAULT


async def test_nobody_sets_a_deadline_by_the_edges_own_header(hurried: RunningStack) -> None:
    async with hurried.channel() as channel:
        stub: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(QUERY[0])
        begun = time.monotonic()
        metadata = [*hurried.metadata("late"), ("x-inventory-timeout", "60S")]
        assert await stub(QUERY[1].SerializeToString(), metadata=metadata).code() is LATE
        assert time.monotonic() - begun < 2 * DEFAULT
