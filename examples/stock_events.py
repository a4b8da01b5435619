"""Follow the stock of all items through the public events, as another team would.

    python -m examples.stock_events --brokers 127.0.0.1:7407

What a reader of `inventory.stock.events` has to do, and nothing else:

- Read with `isolation.level=read_committed`: what a relay that crashed left half-written is never seen.
- Skip the registry's framing: a zero byte, four bytes of schema id, and a zero byte, the index of the
  message in its schema. The contract in `proto/inventory/event/v1` decodes the rest.
- Store the effect first and the position last, so that a crash repeats records and loses none. What is
  repeated is known by its version: the entries of a level are numbered without a gap. A reader whose effects
  have no such number, an e-mail say, keeps the `event_id`s of the last hours instead, as `Ids` does.
- Live with what a later version adds: fields that are not known are passed over, and an event that is not
  known still carries the entry and the level.
"""

import argparse
import json
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaException, Message

from inventory.event.v1.stock_event_pb2 import StockEvent

TOPIC = "inventory.stock.events"
FRAME_BYTES = 6
REMEMBERED_IDS = 100_000


class Ids:
    """The ids of the last events, to know one that comes again."""

    def __init__(self, most: int = REMEMBERED_IDS) -> None:
        self._most = most
        self._ids: dict[str, None] = {}

    def is_new(self, event_id: str) -> bool:
        """Take note of an id; tell whether it was not there."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
        return True


@dataclass
class Stock:
    """What is known of every level: its version and how much is on hand; and what was odd on the way."""

    on_hand: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    repeated: int = 0
    gaps: int = 0
    unknown: int = 0
    ids: Ids = field(default_factory=Ids)

    def take(self, event: StockEvent) -> None:
        """Bring a level up to date; doing it again changes nothing."""
        if not self.ids.is_new(event.event_id):
            self.repeated += 1
            return
        name = (event.entry.sku, event.entry.location_id)
        version, _ = self.on_hand.get(name, (0, 0))
        if event.entry.version <= version:
            # Repeated from longer ago than ids are kept, or a dead letter that was replayed late.
            self.repeated += 1
            return
        self.gaps += event.entry.version > version + 1
        if event.WhichOneof("event") is None:
            # Of a later version: what it is called is not known here, what it led to is.
            self.unknown += 1
        self.on_hand[name] = (event.entry.version, event.entry.result.on_hand)


def decode(value: bytes) -> StockEvent:
    """Return the event in the value of a record."""
    if value[:1] != b"\0" or value[5:FRAME_BYTES] != b"\0":
        raise ValueError(f"not framed as a message of the registry: {value[:FRAME_BYTES]!r}")
    return StockEvent.FromString(value[FRAME_BYTES:])


def follow(brokers: str, group: str, topic: str) -> Generator[list[Message], None, None]:
    """Yield what has come, an empty list when there is nothing; what was yielded is done with after that."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": group,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    try:
        while True:
            messages = consumer.consume(500, timeout=1.0)
            for message in messages:
                if error := message.error():
                    raise KafkaException(error)
            yield messages
            if messages:
                # The effect is there: now the position.
                consumer.commit(asynchronous=False)
    finally:
        consumer.close()


def main() -> None:
    """Follow the topic, and print what is known whenever nothing more has come."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--brokers", required=True, help="host:port")
    parser.add_argument("--group", default="example.stock", help="consumer group")
    parser.add_argument("--topic", default=TOPIC)
    arguments = parser.parse_args()
    # In memory, so it begins anew with every start; a real reader keeps it beside its position.
    stock, told = Stock(), 0
    for messages in follow(arguments.brokers, arguments.group, arguments.topic):
        for message in messages:
            stock.take(decode(message.value() or b""))
        if not messages and told != len(stock.on_hand):
            told = len(stock.on_hand)
            levels = {f"{sku}@{place}": on_hand for (sku, place), (_, on_hand) in stock.on_hand.items()}
            print(json.dumps(levels), flush=True)  # noqa: T201 - what it is for


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
