"""Several of each service: who gets which call, who gets none any more, and what is tried twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
import httpx
import pytest

from inventory.command.v1.item_command_service_pb2 import CreateItemRequest
from stack.envoy_proxy import replicas, sidecar
from stack.supervisor import Supervisor
from tests.integration.mesh.conftest import PARTS
from tests.integration.mesh.standing_in import standing_in
from tests.stack_fixture import RunningStack, running_stack

pytestmark = pytest.mark.stack

ADD = "/inventory.command.v1.StockCommandService/AddStock"
STREAM = "/inventory.command.v1.StockCommandService/StreamStock"
GET = "/inventory.query.v1.StockQueryService/GetStockLevel"
COMMANDS = ("command", "command-2", "command-3")
QUERIES = ("query", "query-2", "query-3")
ITEMS = [f"SKU-{number}" for number in range(40)]
# What a service itself says to a request of nothing: the call has come through.
ANSWERED = grpc.StatusCode.INVALID_ARGUMENT
FAILURES = 5


class Replica(NamedTuple):
    """What the edge knows of one."""

    calls: int
    healthy: bool
    ejected: bool


class Caller:
    """Calls through the edge, and sees what it does."""

    def __init__(self, mesh: RunningStack, channel: grpc.aio.Channel, admin: httpx.Client) -> None:
        self.mesh = mesh
        self._channel = channel
        self._metadata = mesh.metadata("caller")
        self._admin = admin

    async def call(self, method: str, item: str = "", seconds: float = 30) -> grpc.StatusCode:
        """Call with a request of nothing, for an item, and return what comes of it."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        named = [("x-inventory-item", item)] if item else []
        return await call(b"", timeout=seconds, metadata=[*self._metadata, *named]).code()

    async def commands(self, items: Iterable[str] = ITEMS) -> Counter[grpc.StatusCode]:
        """Send one command for each item, one after the other, and return what came of them."""
        return Counter([await self.call(ADD, item) for item in items])

    async def writer(self, item: str, method: str = ADD) -> str:
        """Return who gets a command for an item."""
        before = self.replicas("command")
        assert await self.call(method, item) is ANSWERED
        after = self.replicas("command")
        (found,) = [name for name in after if after[name].calls != before[name].calls]
        return found

    async def writers(self, items: Iterable[str] = ITEMS) -> dict[str, str]:
        """Return who gets the commands for each item."""
        return {item: await self.writer(item) for item in items}

    async def until_writers_are(self, writers: dict[str, str]) -> None:
        """Wait until the commands of each item go to its writer."""
        async with asyncio.timeout(90):
            while await self.writers() != writers:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.2)

    def replicas(self, service: str) -> dict[str, Replica]:
        """Return what the edge knows of the replicas of a service."""
        clusters = self._admin.get("/clusters?format=json").json()["cluster_statuses"]
        (cluster,) = [one for one in clusters if one["name"] == service]
        hosts = {one["address"]["socket_address"]["port_value"]: one for one in cluster["host_statuses"]}
        ports = self.mesh.home.ports
        return {name: _replica(hosts[ports[sidecar(name)]]) for name in replicas(self.mesh.home, service)}

    def ejected(self, service: str = "command") -> set[str]:
        """Return who gets nothing because calls have failed."""
        return {name for name, one in self.replicas(service).items() if one.ejected}

    def counted(self, name: str) -> int:
        """Return one of the edge's counters."""
        asked = {"format": "json", "filter": f"^{name}$"}
        (found,) = self._admin.get("/stats", params=asked).json()["stats"]
        return int(found["value"])

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what the edge knows is so."""
        async with asyncio.timeout(90):
            while not condition():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)

    async def all_in(self, service: str = "command") -> None:
        """Wait until calls go to every replica of a service."""
        await self.until(
            lambda: all(one.healthy and not one.ejected for one in self.replicas(service).values())
        )


def _replica(host: dict[str, Any]) -> Replica:
    counted = {one["name"]: int(one.get("value", 0)) for one in host["stats"]}
    status = host["health_status"]
    return Replica(
        counted["rq_total"],
        not status.get("failed_active_health_check", False),
        status.get("failed_outlier_check", False),
    )


@pytest.fixture(scope="module")
def mesh() -> Iterator[RunningStack]:
    """Give three of each service."""
    names = (*COMMANDS, *QUERIES, "pipeline")
    only = (*PARTS, *names, *map(sidecar, names))
    with running_stack("replicas", only=only, replicas=3) as running:
        yield running


@pytest.fixture
async def caller(mesh: RunningStack) -> AsyncIterator[Caller]:
    """Give a caller, once all commands' replicas get calls."""
    url = f"http://{mesh.home.ports.address('edge-admin')}"
    async with mesh.channel() as channel:
        with httpx.Client(base_url=url, trust_env=False) as admin:
            caller = Caller(mesh, channel, admin)
            await caller.all_in()
            yield caller


async def test_commands_of_an_item_go_to_one_writer_and_those_of_others_to_others(caller: Caller) -> None:
    first = await caller.writers()
    assert set(first.values()) == set(COMMANDS)
    assert await caller.writers() == first

    # Who names no item is served by any.
    before = caller.replicas("command")
    assert await caller.commands("" for _ in ITEMS) == {ANSWERED: len(ITEMS)}
    after = caller.replicas("command")
    assert all(after[name].calls > before[name].calls for name in COMMANDS)


async def test_a_stream_of_an_item_goes_to_its_writer_and_one_of_many_to_any(caller: Caller) -> None:
    writers = await caller.writers()
    assert {item: await caller.writer(item, STREAM) for item in ITEMS} == writers

    before = caller.replicas("command")
    assert Counter([await caller.call(STREAM) for _ in ITEMS]) == {ANSWERED: len(ITEMS)}
    after = caller.replicas("command")
    assert all(after[name].calls > before[name].calls for name in COMMANDS)


async def test_the_typed_client_names_the_item(caller: Caller) -> None:
    times = 10
    before = caller.replicas("command")
    async with caller.mesh.client("caller") as client:
        for _ in range(times):
            await client.create_item(CreateItemRequest(request_id="mug-1", sku="MUG-1", name="Mug"))
    after = caller.replicas("command")
    assert sorted(after[name].calls - before[name].calls for name in COMMANDS) == [0, 0, times]


async def test_a_refusal_ejects_nobody(caller: Caller) -> None:
    refusals = set(grpc.StatusCode) - {
        grpc.StatusCode.OK,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    async with standing_in(caller.mesh, "command", "command-3") as stands:
        await caller.all_in()
        (item, *_) = [item for item in ITEMS if await _reaches(caller, item, stands.calls)]
        for code in refusals:
            stands.answer = code
            assert await caller.commands([item] * 2 * FAILURES) == {code: 2 * FAILURES}
            assert caller.ejected() == set(), code
    assert caller.counted("cluster.command.outlier_detection.ejections_enforced_total") == 0


async def _reaches(caller: Caller, item: str, calls: list[dict[str, str]]) -> bool:
    before = len(calls)
    await caller.call(ADD, item)
    return len(calls) > before


async def test_who_cannot_work_gets_nothing_until_it_is_tried_again(caller: Caller) -> None:
    writers = await caller.writers()
    own = [item for item in ITEMS if writers[item] == "command-2"]
    async with standing_in(caller.mesh, "command", "command-2") as stands:
        await caller.all_in()
        before = sum(one.calls for one in caller.replicas("command").values())
        stands.answer = grpc.StatusCode.UNAVAILABLE

        # As many commands fail as it takes, and a moment's; each was sent once, and nowhere else.
        failed = 0
        while await caller.call(ADD, own[0]) is grpc.StatusCode.UNAVAILABLE:
            failed += 1
        assert failed >= FAILURES
        assert [heard["x-inventory-item"] for heard in stands.calls] == [own[0]] * failed
        assert caller.ejected() == {"command-2"}

        # Its items have other writers, those of others the same; nothing fails any more.
        assert await caller.commands() == {ANSWERED: len(ITEMS)}
        sent = sum(one.calls for one in caller.replicas("command").values()) - before
        assert sent == failed + 1 + len(ITEMS)
        moved = await caller.writers()
        assert {item: moved[item] for item in ITEMS if item not in own} == {
            item: writers[item] for item in ITEMS if item not in own
        }
        # It says that it is healthy all the time, and that changes nothing.
        checks = caller.counted("cluster.command.health_check.success")
        await caller.until(lambda: caller.counted("cluster.command.health_check.success") >= checks + 6)
        assert caller.ejected() == {"command-2"}
        assert len(stands.calls) == failed

        stands.answer = ANSWERED
        await caller.until_writers_are(writers)


@asynccontextmanager
async def stopped_service(mesh: RunningStack, name: str) -> AsyncIterator[None]:
    """Have a service that answers nothing, not even that it does not work."""
    pid = mesh.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def no_sidecar(mesh: RunningStack, name: str) -> AsyncIterator[None]:
    """Have nobody where a replica was."""
    Supervisor(mesh.home).stop_program(sidecar(name))
    try:
        yield
    finally:
        Supervisor(mesh.home).start_program(sidecar(name))


@pytest.mark.parametrize("hurt", [stopped_service, no_sidecar])
async def test_who_is_gone_gets_nothing_until_it_is_back(caller: Caller, hurt: Any) -> None:  # noqa: ANN401 - either
    writers = await caller.writers()
    own = [item for item in ITEMS if writers[item] == "command"]
    async with hurt(caller.mesh, "command"):
        async with asyncio.timeout(60):
            while await caller.call(ADD, own[0], seconds=1) is not ANSWERED:
                pass
        assert await caller.commands() == {ANSWERED: len(ITEMS)}
        assert "command" not in (await caller.writers(own)).values()
    await caller.all_in()
    await caller.until_writers_are(writers)


async def test_a_killed_service_fails_its_callers_for_a_moment(caller: Caller) -> None:
    writers = await caller.writers()
    own = [item for item in ITEMS if writers[item] == "command-3"]
    caller.mesh.kill("command-3")
    came = Counter[grpc.StatusCode]()
    async with asyncio.timeout(60):
        while not came[ANSWERED]:
            came += await caller.commands(own[:1])
    assert set(came) <= {ANSWERED, grpc.StatusCode.UNAVAILABLE}
    await caller.all_in()
    await caller.until_writers_are(writers)


async def test_where_all_fail_no_more_is_tried_than_the_budget_allows(caller: Caller) -> None:
    calls = 60
    async with standing_in(caller.mesh, "query", *QUERIES) as stands:
        await caller.all_in("query")
        stands.answer = grpc.StatusCode.UNAVAILABLE
        stands.answers.clear()
        asked = [asyncio.create_task(caller.call(GET)) for _ in range(calls)]
        await caller.until(lambda: len(stands.calls) == calls)
        stands.answers.set()

        assert set(await asyncio.gather(*asked)) == {grpc.StatusCode.UNAVAILABLE}

        # Without a budget, each would have been tried twice more.
        assert calls < len(stands.calls) <= 1.5 * calls
        assert caller.counted("cluster.query.upstream_rq_retry_overflow") > 0


async def test_a_query_is_tried_again_elsewhere(caller: Caller) -> None:
    async with standing_in(caller.mesh, "query", "query-2") as stands:
        await caller.all_in("query")
        stands.answer = grpc.StatusCode.UNAVAILABLE
        before = caller.counted("cluster.query.upstream_rq_retry")

        assert Counter([await caller.call(GET) for _ in range(10 * FAILURES)]) == {ANSWERED: 10 * FAILURES}

        assert stands.calls
        assert caller.counted("cluster.query.upstream_rq_retry") - before == len(stands.calls)
        assert caller.ejected("query") == {"query-2"}


async def test_where_all_fail_not_all_are_ejected(caller: Caller) -> None:
    async with standing_in(caller.mesh, "command", *COMMANDS) as stands:
        await caller.all_in()
        stands.answer = grpc.StatusCode.UNAVAILABLE
        assert await caller.commands() == {grpc.StatusCode.UNAVAILABLE: len(ITEMS)}
        assert len(caller.ejected()) == len(COMMANDS) - 1
        # Nothing has been sent twice.
        assert len(stands.calls) == len(ITEMS)

        # As soon as what they share is back, whoever is left answers.
        stands.answer = ANSWERED
        assert await caller.commands() == {ANSWERED: len(ITEMS)}
        assert len(caller.ejected()) == len(COMMANDS) - 1
