"""Every topic of Inventory in one table, and how they come to be.

Brokers do not create topics by themselves here: a topic made by accident has the wrong partitions for ever.
"""

import time
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from cdc.config import TopicsSettings
from serving import logs, settings

JOURNAL = "inventory.journal"
ITEMS = "inventory.catalog.items"
LOCATIONS = "inventory.catalog.locations"
STOCK_COMMANDS = "inventory.stock.commands"
STOCK_FAILURES = "inventory.stock.failures"
STOCK_EVENTS = "inventory.stock.events"
RESERVATION_EVENTS = "inventory.reservation.events"
ORDER_EVENTS = "inventory.order.events"
TRANSFER_EVENTS = "inventory.transfer.events"
DEAD_LETTERS = "inventory.dead-letters"

DAY_MS = 24 * 60 * 60 * 1000
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Topic:
    """A topic: its partitions, for good, and its settings, which may change."""

    name: str
    partitions: int
    settings: dict[str, str]


COMPACTED = {"cleanup.policy": "compact"}
EVENTS = {
    "cleanup.policy": "delete",
    "retention.ms": str(7 * DAY_MS),
    "max.message.bytes": str(1024 * 1024),
}

TOPICS = (
    # One partition: its order is the order of the commits. Records stay under 512 kB (a larger transaction
    # writes several), so 1 MiB leaves room for headers and batching.
    Topic(
        JOURNAL,
        1,
        {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS), "max.message.bytes": str(1024 * 1024)},
    ),
    # The current catalogue, for whoever wants it whole: the last state of each key, for ever.
    Topic(ITEMS, 1, COMPACTED),
    Topic(LOCATIONS, 1, COMPACTED),
    # Commands to the command service, keyed by SKU: the order of a partition is an item's. Kept for less
    # long than request ids are: what is read again is known.
    Topic(
        STOCK_COMMANDS,
        12,
        {"cleanup.policy": "delete", "retention.ms": str(6 * DAY_MS), "max.message.bytes": str(256 * 1024)},
    ),
    # Those it refused, each with the command and the reason.
    Topic(
        STOCK_FAILURES,
        12,
        {"cleanup.policy": "delete", "retention.ms": str(14 * DAY_MS), "max.message.bytes": str(512 * 1024)},
    ),
    # The public events, keyed by level or id: the order of a partition is that of each level, reservation,
    # order or transfer.
    Topic(STOCK_EVENTS, 12, EVENTS),
    Topic(RESERVATION_EVENTS, 12, EVENTS),
    Topic(ORDER_EVENTS, 12, EVENTS),
    Topic(TRANSFER_EVENTS, 12, EVENTS),
    # What a reader of the journal could not take, until somebody replays or discards it: kept for as long as
    # that takes, and what was decided for a month. Room for the largest record, its headers and its fate.
    Topic(
        DEAD_LETTERS,
        1,
        COMPACTED | {"delete.retention.ms": str(30 * DAY_MS), "max.message.bytes": str(2 * 1024 * 1024)},
    ),
    # Where Kafka Connect keeps configurations, positions and states. The first must have one partition.
    Topic("inventory.connect.configs", 1, COMPACTED),
    Topic("inventory.connect.offsets", 1, COMPACTED),
    Topic("inventory.connect.status", 1, COMPACTED),
)

log = structlog.get_logger()


def main() -> None:
    """Create what is missing; settings that differ from the table are set; partitions are never changed."""
    config = settings.load(TopicsSettings)
    logs.configure("info", "cdc.topics")
    client = AdminClient({"bootstrap.servers": config.bootstrap_servers})
    existing = client.list_topics(timeout=TIMEOUT_SECONDS).topics
    _create(client, [topic for topic in TOPICS if topic.name not in existing], config.replication_factor)
    present = [topic for topic in TOPICS if topic.name in existing]
    for topic in present:
        found = len(existing[topic.name].partitions)
        if found != topic.partitions:
            log.warning("partitions differ", topic=topic.name, found=found, wanted=topic.partitions)
    _configure(client, present)


def _create(client: AdminClient, missing: list[Topic], replication_factor: int) -> None:
    if not missing:
        return
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication_factor,
            config=topic.settings,
        )
        for topic in missing
    ]
    for name, created in client.create_topics(wanted, operation_timeout=TIMEOUT_SECONDS).items():
        try:
            created.result()
        except KafkaException as error:
            # Somebody else created it in between: as good.
            reason = error.args[0]
            if not isinstance(reason, KafkaError) or reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        log.info("topic created", topic=name)
    # The controller has answered; each broker learns of it a moment later.
    names = {topic.name for topic in missing}
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not names <= client.list_topics(timeout=TIMEOUT_SECONDS).topics.keys():
        if time.monotonic() > deadline:
            raise TimeoutError(f"created, but not to be seen: {', '.join(sorted(names))}")
        time.sleep(0.05)


def _configure(client: AdminClient, topics: list[Topic]) -> None:
    if not topics:
        return
    resources = {topic.name: ConfigResource(ResourceType.TOPIC, topic.name) for topic in topics}
    described = client.describe_configs(list(resources.values()))
    found = {resource.name: settings.result() for resource, settings in described.items()}
    changed = set()
    for topic in topics:
        for key, value in topic.settings.items():
            if found[topic.name][key].value != value:
                entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                resources[topic.name].add_incremental_config(entry)
                changed.add(topic.name)
                log.info("topic setting changed", topic=topic.name, setting=key, value=value)
    if changed:
        for altered in client.incremental_alter_configs([resources[name] for name in changed]).values():
            altered.result()
