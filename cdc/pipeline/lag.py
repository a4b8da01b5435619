"""How far the readers of a topic are behind, as the broker tells."""

import logging
from collections.abc import Sequence

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from inventory.admin.v1.pipeline_service_pb2 import PartitionLag


class BrokerUnavailableError(Exception):
    """The broker does not answer, or not in time."""


class Lags:
    """Asks for positions and ends. Every method blocks, `timeout` seconds for each question at most."""

    def __init__(self, bootstrap_servers: str, topic: str, timeout: float) -> None:
        self._connection = {
            "bootstrap.servers": bootstrap_servers,
            "logger": logging.getLogger("librdkafka"),
            "reconnect.backoff.max.ms": 1000,
        }
        self._topic = topic
        self._timeout = timeout
        # Reads nothing and joins no group: it is the one who can be asked for partitions and their ends.
        self._consumer = Consumer(
            {**self._connection, "group.id": "inventory.pipeline", "isolation.level": "read_uncommitted"}
        )

    def ask(self) -> None:
        """Return when the broker answers and has the topic. Raise BrokerUnavailableError."""
        self._partitions()

    def of(self, groups: Sequence[str]) -> dict[str, list[PartitionLag]]:
        """Return how far each group is behind in each partition. Raise BrokerUnavailableError."""
        partitions = self._partitions()
        try:
            ends = {
                one.partition: self._consumer.get_watermark_offsets(one, self._timeout)[1]
                for one in partitions
            }
            # Of its own for every question: one that has asked before a broker was killed may ask in vain
            # long after the broker is back, while a new one is answered.
            admin = AdminClient(self._connection)
            return {group: self._behind(admin, group, partitions, ends) for group in groups}
        except KafkaException as error:
            raise BrokerUnavailableError(str(error)) from error

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def _behind(
        self, admin: AdminClient, group: str, partitions: list[TopicPartition], ends: dict[int, int]
    ) -> list[PartitionLag]:
        asked = admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, partitions)], request_timeout=self._timeout
        )
        behind = []
        for found in asked[group].result().topic_partitions or ():
            position, end = max(0, found.offset), ends[found.partition]
            behind.append(
                PartitionLag(
                    topic=self._topic,
                    partition=found.partition,
                    position=position,
                    end=end,
                    lag=max(0, end - position),
                )
            )
        return behind

    def _partitions(self) -> list[TopicPartition]:
        try:
            topic = self._consumer.list_topics(self._topic, timeout=self._timeout).topics[self._topic]
        except KafkaException as error:
            raise BrokerUnavailableError(str(error)) from error
        if topic.error is not None:
            raise BrokerUnavailableError(str(topic.error))
        return [TopicPartition(self._topic, partition) for partition in sorted(topic.partitions)]
