"""Stock commands from a topic: on the real broker and the real database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from google.rpc import error_details_pb2

from command_svc.batcher import Batcher, Limits
from command_svc.broker import CommandTopic, Record
from command_svc.intake import Intake, workload_of
from inventory.command.v1 import stock_command_service_pb2 as pb
from inventory.command.v1.stock_command_failure_pb2 import StockCommandFailure
from inventory.type.v1.stock_pb2 import MOVEMENT_REASON_RECEIPT, MOVEMENT_REASON_SALE
from serving.identity_settings import Workload
from tests.door import Door
from tests.integration.command_svc.lanes import store
from tests.integration.command_svc.shop import Shop, open_shop
from tests.stack_fixture import RunningStack, running_stack

WORKLOAD = workload_of(Workload(roles=("administrator",)), "consumer")
pytestmark = pytest.mark.stack

PARTITIONS = 3
PATIENCE = 30.0
QUICK = Limits(patience=0.2)


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningStack]:
    """Give a database and a broker."""
    with running_stack("test-intake", only=("postgres", "database", "broker")) as running:
        yield running


class CrashError(Exception):
    """The process ends here."""


class Crashing(CommandTopic):
    """Crashes before the first offset is stored."""

    def mark_done(self, records: Sequence[Record]) -> None:
        """End the process."""
        raise CrashError(records)


@dataclass
class Topics:
    """Two topics of a test's own, and who writes to the one and reads the other."""

    stack: RunningStack
    name: str
    url: str

    def produce(self, *values: pb.StockCommand | bytes, key: str, actor: str | None = None) -> None:
        """Write commands, all with the same key; return when they are there."""
        producer = Producer({"bootstrap.servers": self.stack.bootstrap_servers, "acks": "all"})
        for value in values:
            body = value if isinstance(value, bytes) else value.SerializeToString()
            headers: dict[str, str | bytes] = {} if actor is None else {"x-inventory-actor": actor}
            while True:
                try:
                    producer.produce(self.name, body, key, headers=headers)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(PATIENCE) == 0

    def failures(self) -> list[tuple[bytes, StockCommandFailure]]:
        """Return every failure, with its key, those of a partition in order."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.stack.bootstrap_servers,
                "group.id": "test",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(f"{self.name}.failures", number, 0) for number in range(PARTITIONS)])
        found: list[tuple[bytes, StockCommandFailure]] = []
        ends = 0
        while ends < PARTITIONS:
            message = consumer.poll(PATIENCE)
            assert message is not None
            error = message.error()
            if error is None:
                key, value = message.key(), message.value()
                assert isinstance(key, bytes)
                assert value is not None
                found.append((key, StockCommandFailure.FromString(value)))
            else:
                assert error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's name for it
                ends += 1
        consumer.close()
        return found

    def topic(self, kind: type[CommandTopic] = CommandTopic) -> CommandTopic:
        """Return a member of the group."""
        return kind(self.stack.bootstrap_servers, self.name, self.name, f"{self.name}.failures")

    @asynccontextmanager
    async def intake(
        self, kind: type[CommandTopic] = CommandTopic, most: int = 100
    ) -> AsyncIterator[tuple[Intake, asyncio.Task[None]]]:
        """Run an intake with a lane of its own."""
        async with store(self.url) as opened, Batcher(opened, QUICK) as batcher:
            intake = Intake(self.topic(kind), batcher, workload=WORKLOAD, most=most)
            running = asyncio.create_task(intake.run())
            yield intake, running
            intake.stop()
            await asyncio.wait([running])


@pytest.fixture
async def shop(broker: RunningStack) -> Shop:
    return await open_shop(broker)


@pytest.fixture
def topics(broker: RunningStack, shop: Shop) -> Topics:
    name = f"commands-{uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    made = admin.create_topics([NewTopic(one, PARTITIONS, 1) for one in (name, f"{name}.failures")])
    for created in made.values():
        created.result()
    return Topics(broker, name, shop.url)


def add(shop: Shop, quantity: int = 1, reference: str = "", request_id: str = "") -> pb.StockCommand:
    """Return a receipt."""
    return pb.StockCommand(
        add=pb.AddStockRequest(
            request_id=request_id,
            sku=shop.sku,
            location_id=shop.north.location_id,
            quantity=quantity,
            reason=MOVEMENT_REASON_RECEIPT,
            reference=reference,
        )
    )


def sell(shop: Shop, quantity: int) -> pb.StockCommand:
    """Return a sale."""
    return pb.StockCommand(
        remove=pb.RemoveStockRequest(
            sku=shop.sku,
            location_id=shop.north.location_id,
            quantity=quantity,
            reason=MOVEMENT_REASON_SALE,
        )
    )


def ledger(shop: Shop) -> list[tuple[int, str, str, str]]:
    """Return on hand, reference, actor and request id of the item's entries in their order."""
    with psycopg.connect(shop.stack.postgres_url("owner")) as database:
        return database.execute(
            "SELECT on_hand, reference, actor, request_id FROM stock_movements WHERE sku = %s"
            " ORDER BY version",
            [shop.sku],
        ).fetchall()


async def until(reached: Callable[[], bool]) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(reached):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def info(failure: StockCommandFailure) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo of a failure."""
    found = error_details_pb2.ErrorInfo()
    assert failure.error.details[0].Unpack(found)
    return found


async def test_commands_are_carried_out_in_order_for_who_acts_and_refused_with_the_same_error(
    shop: Shop, topics: Topics
) -> None:
    topics.produce(add(shop, 5, "PO-1", "po-1"), key=shop.sku)
    topics.produce(sell(shop, 9), sell(shop, 2), key=shop.sku, actor="till/3")
    async with topics.intake():
        await until(lambda: len(ledger(shop)) == 2)
        await until(lambda: len(topics.failures()) == 1)
    (first, second) = ledger(shop)
    assert first == (5, "PO-1", "topic:consumer", "po-1")
    assert second[:3] == (3, "", "topic:till/3")
    assert second[3].startswith(f"{topics.name}-")
    ((key, failure),) = topics.failures()
    assert key == failure.key == shop.sku.encode()
    assert (failure.topic, failure.offset, failure.actor) == (topics.name, 1, "topic:till/3")
    assert failure.command == sell(shop, 9)
    assert failure.request_id.startswith(f"{topics.name}-{failure.partition}-1-")
    assert failure.error.code == 9
    refused = info(failure)
    assert (refused.reason, refused.domain) == ("INSUFFICIENT_STOCK", "inventory")
    assert refused.metadata == {
        "sku": shop.sku,
        "location_id": shop.north.location_id,
        "requested": "9",
        "available": "5",
    }


async def test_what_is_no_good_command_goes_to_the_failures_and_holds_nobody_up(
    shop: Shop, topics: Topics
) -> None:
    topics.produce(b"\xff\xff\xff", b"", add(shop, -1), add(shop, 1), key=shop.sku)
    topics.produce(add(shop, 1), key=shop.sku, actor="a b")
    topics.produce(add(shop, 1), key=shop.sku)
    async with topics.intake():
        await until(lambda: len(ledger(shop)) == 2)
    failures = [failure for _, failure in topics.failures()]
    assert [failure.offset for failure in failures] == [0, 1, 2, 4]
    assert {failure.error.code for failure in failures} == {3}
    assert {info(failure).reason for failure in failures} == {"INVALID_FIELD"}
    fields = [info(failure).metadata["field"] for failure in failures]
    assert fields == ["value", "command", "quantity", "x-inventory-actor"]
    assert failures[0].undecodable == b"\xff\xff\xff"
    assert failures[2].command == add(shop, -1)


async def test_a_crash_between_effect_and_offset_doubles_nothing(shop: Shop, topics: Topics) -> None:
    topics.produce(add(shop, 5), sell(shop, 2), sell(shop, 9), key=shop.sku)
    async with topics.intake(Crashing) as (_, running):
        with pytest.raises(CrashError):
            await asyncio.wait_for(asyncio.shield(running), PATIENCE)
    before = ledger(shop)
    assert [entry[0] for entry in before] == [5, 3]
    topics.produce(sell(shop, 1), key=shop.sku)
    async with topics.intake():
        await until(lambda: len(ledger(shop)) == 3)
    assert ledger(shop)[:2] == before
    # The refused one was read twice too: it is told at least once, and each time the same.
    told = [failure for _, failure in topics.failures()]
    assert {(failure.offset, info(failure).reason) for failure in told} == {(2, "INSUFFICIENT_STOCK")}
    # What is done with is not read again.
    async with topics.intake() as (intake, _):
        topics.produce(add(shop, 1), key=shop.sku)
        await until(lambda: len(ledger(shop)) == 4)
        await intake.check()
    assert len(topics.failures()) == len(told)


async def test_while_the_database_is_away_commands_wait_and_nothing_is_lost(
    shop: Shop, topics: Topics
) -> None:
    async with Door.to(topics.url) as door:
        topics.url = door.instead(topics.url)
        async with topics.intake() as (intake, running):
            topics.produce(add(shop), key=shop.sku)
            await until(lambda: len(ledger(shop)) == 1)
            await door.shut()
            topics.produce(*[add(shop)] * 50, sell(shop, 99), key=shop.sku)
            await _fails(intake)
            assert not running.done()
            assert len(ledger(shop)) == 1
            await door.open()
            await until(lambda: len(ledger(shop)) == 51)
            await until(lambda: len(topics.failures()) == 1)
            await intake.check()


async def test_the_order_of_an_item_is_kept_while_members_come_and_go(shop: Shop, topics: Topics) -> None:
    number = 2000
    topics.produce(*[add(shop, 1, str(place)) for place in range(number)], key=shop.sku)
    async with topics.intake(most=20):
        await until(lambda: len(ledger(shop)) >= number // 4)
        async with topics.intake(most=20):
            await until(lambda: len(ledger(shop)) >= number // 2)
    async with topics.intake(most=20):
        await until(lambda: len(ledger(shop)) == number)
    assert [int(entry[1]) for entry in ledger(shop)] == list(range(number))
    assert topics.failures() == []


async def test_a_broker_that_comes_back_is_read_on_from(
    broker: RunningStack, shop: Shop, topics: Topics
) -> None:
    async with topics.intake() as (intake, running):
        topics.produce(add(shop), key=shop.sku)
        await until(lambda: len(ledger(shop)) == 1)
        await intake.check()
        broker.kill("broker")
        await _fails(intake)
        broker.wait_ready("broker")
        topics.produce(add(shop), sell(shop, 99), key=shop.sku)
        await until(lambda: len(ledger(shop)) == 2)
        await until(lambda: len(topics.failures()) == 1)
        await intake.check()
        assert not running.done()


async def _fails(intake: Intake) -> None:
    """Wait until the intake says that something is wrong."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            await intake.check()
        except Exception:  # noqa: BLE001 - whatever it says
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the intake says that all is well")
