"""What the read model promises its readers and its writer."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from query_svc.read_model import (
    GENERATION,
    Changes,
    ReadModel,
    ReadModelRewoundError,
    ReadModelUnavailableError,
    ReadModelWriter,
    connect,
    connect_maintenance,
    connect_writer,
)
from tests.redis_cluster import Servers
from tests.redis_server import content
from tests.stock import item, level, location

SOURCE = "inventory.journal:id-0"


async def test_what_is_written_is_read(writer: ReadModelWriter, view: ReadModel) -> None:
    levels = [level("MUG-1", "WH-2", 3), level("MUG-1", "WH-1", 1), level("a:b/levels:c", "x.y:z", 2, 10**15)]
    await writer.resume(SOURCE)
    counts = await writer.apply(
        Changes(levels, [item("MUG-1", 1)], [location("WH-2", 1), location("WH-1", 4)]), 1
    )
    assert counts == (6, 0)
    assert await view.level("a:b/levels:c", "x.y:z") == levels[2]
    assert await view.levels_of_item("MUG-1") == [levels[1], levels[0]]
    names = [("MUG-1", "WH-1"), ("MUG-1", "nowhere"), ("a:b/levels:c", "x.y:z"), ("MUG-1", "WH-1")]
    assert await view.levels(names) == [levels[1], None, levels[2], levels[1]]
    assert await view.item("MUG-1") == item("MUG-1", 1)
    assert await view.items(["x", "MUG-1"]) == [None, item("MUG-1", 1)]
    assert await view.locations() == [location("WH-1", 4), location("WH-2", 1)]


async def test_what_is_not_there_is_none(view: ReadModel) -> None:
    assert await view.level("MUG-1", "WH-1") is None
    assert await view.levels([]) == []
    assert await view.levels_of_item("MUG-1") == []
    assert await view.item("MUG-1") is None
    assert await view.items([]) == []
    assert await view.locations() == []


@pytest.mark.parametrize("versions", [(10, 9), (10, 10), (100, 99), (2**53 - 1, 2**53 - 2)])
async def test_a_stale_change_never_overwrites(
    writer: ReadModelWriter, view: ReadModel, versions: tuple[int, int]
) -> None:
    newer, older = versions
    await writer.resume(SOURCE)
    await writer.apply(Changes([level("A", "W", newer, 1)], [item("A", newer)], [location("W", newer)]), 1)
    late = Changes([level("A", "W", older, 2)], [item("A", older, "x")], [location("W", older, "x")])
    assert await writer.apply(late, 2) == (0, 3)
    assert await view.level("A", "W") == level("A", "W", newer, 1)
    assert await view.item("A") == item("A", newer)
    assert await view.locations() == [location("W", newer)]


async def test_a_newer_change_overwrites(writer: ReadModelWriter, view: ReadModel) -> None:
    await writer.resume(SOURCE)
    await writer.apply(Changes([level("A", "W", 9)]), 1)
    assert await writer.apply(Changes([level("A", "W", 10, 0)]), 2) == (1, 0)
    assert await view.level("A", "W") == level("A", "W", 10, 0)


async def test_applying_again_changes_no_byte(fresh: Servers, writer: ReadModelWriter) -> None:
    changes = Changes(
        [level(f"S{i}", f"W{i % 3}", 1 + i) for i in range(200)], [item("S1", 2)], [location("W1", 1)]
    )
    await writer.resume(SOURCE)
    assert await writer.apply(changes, 1) == (202, 0)
    with fresh.client() as client:
        before = content(client)
        assert await writer.apply(changes, 1) == (0, 202)
        assert content(client) == before


async def test_the_position_is_that_of_the_bucket_furthest_behind(writer: ReadModelWriter) -> None:
    everywhere = Changes([level(f"S{i}", "W", 1) for i in range(1000)])
    assert await writer.resume(SOURCE) is None
    await writer.apply(Changes([level("A", "W", 1)]), 5)
    assert await writer.resume(SOURCE) is None
    await writer.apply(everywhere, 7)
    await writer.apply(Changes([level("A", "W", 2)]), 9)
    assert await writer.resume(SOURCE) == 7
    await writer.apply(Changes([level("B", "W", 2)]), 12)
    await writer.settle()
    assert await writer.resume(SOURCE) == 12
    assert await writer.resume("another:id-0") is None


async def test_settling_before_anything_is_applied_changes_nothing(writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    await writer.settle()
    assert await writer.resume(SOURCE) is None


async def test_lost_data_are_noticed_by_the_next_call(fresh: Servers, writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    await writer.apply(Changes([level("A", "W", 1)]), 1)
    await writer.settle()
    await writer.verify()
    with fresh.client() as client:
        client.flushall()
        with pytest.raises(ReadModelRewoundError):
            await writer.apply(Changes([level("A", "W", 2)]), 2)
        assert content(client) == {}
    with pytest.raises(ReadModelRewoundError):
        await writer.verify()
    assert await writer.resume(SOURCE) is None


async def test_a_lost_function_counts_as_lost_data(fresh: Servers, writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    with fresh.client() as client:
        client.function_flush()
    with pytest.raises(ReadModelRewoundError):
        await writer.apply(Changes([level("A", "W", 1)]), 1)
    await writer.resume(SOURCE)
    assert await writer.apply(Changes([level("A", "W", 1)]), 1) == (1, 0)


async def test_a_writer_that_was_overtaken_is_refused(fresh: Servers, writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    async with connect_writer(fresh.url) as other:
        await other.resume(SOURCE)
        await other.apply(Changes([level("A", "W", 2)]), 2)
        with pytest.raises(ReadModelRewoundError):
            await writer.apply(Changes([level("A", "W", 1)]), 1)


async def test_the_library_is_loaded_once_and_leaves_others_alone(
    fresh: Servers, writer: ReadModelWriter
) -> None:
    with fresh.client() as client:
        client.function_load("#!lua name=older\nredis.register_function('older', function() return 1 end)")
        await writer.resume(SOURCE)
        await writer.resume(SOURCE)
        loads = client.info("commandstats")["cmdstat_function|load"]["calls"]
        assert len(client.function_list()) == 3  # the two of the read model beside the older one
        await writer.resume(SOURCE)
        assert client.info("commandstats")["cmdstat_function|load"]["calls"] == loads


async def test_generations_do_not_touch_each_other(fresh: Servers, writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    await writer.apply(Changes([level("A", "W", 1)]), 1)
    async with connect(fresh.url, generation="g9") as other:
        assert await other.level("A", "W") is None


async def test_every_name_is_walked(fresh: Servers, writer: ReadModelWriter) -> None:
    levels = [level(f"S{i}", f"W{j}", 1) for i in range(700) for j in range(3)]
    items = [item(f"S{i}", 1) for i in range(700)]
    await writer.resume(SOURCE)
    await writer.apply(Changes(levels, items), 1)
    async with connect_maintenance(fresh.url, GENERATION) as maintenance:
        pages = [page async for page in maintenance.names("levels")]
        assert {name for page in pages for name in page} == {(one.sku, one.location_id) for one in levels}
        pages = [page async for page in maintenance.names("items")]
    assert {name for page in pages for name in page} == {(one.sku,) for one in items}


async def test_a_level_takes_less_than_400_bytes(fresh: Servers, writer: ReadModelWriter) -> None:
    await writer.resume(SOURCE)
    before = _used_memory(fresh)
    await writer.apply(Changes([level(f"SKU-{i:07}", "WAREHOUSE-1", 1000, 10**6) for i in range(20_000)]), 1)
    assert 0 < (_used_memory(fresh) - before) / 20_000 < 400


async def test_many_readers_at_once_get_each_their_own(writer: ReadModelWriter, view: ReadModel) -> None:
    levels = [level(f"S{i}", "W", i + 1) for i in range(300)]
    await writer.resume(SOURCE)
    await writer.apply(Changes(levels), 1)
    readers = [view.levels([("nothing", "W"), (one.sku, "W")]) for one in levels]
    assert await asyncio.gather(*readers) == [[None, one] for one in levels]


async def test_a_reader_that_leaves_disturbs_nobody(writer: ReadModelWriter, view: ReadModel) -> None:
    await writer.resume(SOURCE)
    await writer.apply(Changes([level("A", "W", 1)]), 1)
    tasks = [asyncio.create_task(view.level("A", "W")) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    assert await asyncio.gather(*tasks[1::2]) == [level("A", "W", 1)] * 10
    assert await view.level("A", "W") == level("A", "W", 1)


async def test_a_lost_connection_is_replaced(fresh: Servers, view: ReadModel) -> None:
    await view.ping()
    for _ in range(3):
        for node in fresh.nodes:
            with node.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.02)
        await view.ping()


async def test_a_redis_that_hangs_fails_its_callers_and_recovers(fresh: Servers) -> None:
    async with connect(fresh.url, timeout=0.2) as view:
        await view.ping()
        with fresh.client() as client:
            client.execute_command("CLIENT PAUSE", 500, "ALL")
            outcomes = await asyncio.gather(*(view.ping() for _ in range(20)), return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {ReadModelUnavailableError}
            client.ping()
        await view.ping()


async def test_500_levels_at_once_and_no_more(writer: ReadModelWriter, view: ReadModel) -> None:
    levels = [level(f"S{i}", "W", 1) for i in range(500)]
    await writer.resume(SOURCE)
    await writer.apply(Changes(levels), 1)
    assert await view.levels([(one.sku, "W") for one in levels]) == levels
    with pytest.raises(ValueError, match="500"):
        await view.levels([("A", "W")] * 501)


async def test_a_full_redis_is_unavailable(fresh: Servers, writer: ReadModelWriter, view: ReadModel) -> None:
    await writer.resume(SOURCE)
    _limit_memory(fresh, "1")
    try:
        with pytest.raises(ReadModelUnavailableError):
            await writer.apply(Changes([level("A", "W", 1)]), 1)
        await view.ping()
    finally:
        _limit_memory(fresh, "0")
    await writer.resume(SOURCE)
    assert await writer.apply(Changes([level("A", "W", 1)]), 1) == (1, 0)


READS: list[Callable[[ReadModel], Awaitable[object]]] = [
    lambda view: view.level("A", "W"),
    lambda view: view.levels([("A", "W")]),
    lambda view: view.levels_of_item("A"),
    lambda view: view.item("A"),
    lambda view: view.items(["A"]),
    lambda view: view.locations(),
    lambda view: view.ping(),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("listening", [True, False])
async def test_a_redis_that_does_not_answer_is_unavailable(
    read: Callable[[ReadModel], Awaitable[object]], *, listening: bool
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        async with connect(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout=0.05) as view:
            with pytest.raises(ReadModelUnavailableError):
                await read(view)


async def test_a_writer_without_redis_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        async with connect_writer(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout=0.05) as writer:
            for call in (
                writer.resume(SOURCE),
                writer.apply(Changes([level("A", "W", 1)]), 1),
                writer.verify(),
                writer.ping(),
            ):
                with pytest.raises(ReadModelUnavailableError):
                    await call


def _limit_memory(servers: Servers, limit: str) -> None:
    for node in servers.nodes:
        with node.client() as client:
            client.config_set("maxmemory", limit)


def _used_memory(servers: Servers) -> int:
    total = 0
    for node in servers.nodes:
        with node.client() as client:
            total += client.info("memory")["used_memory"]
    return total
