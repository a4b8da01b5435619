"""The settings of change data capture, read once from the environment; a class for each subcommand."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from query_svc.read_model import (
    CLOSED_DAYS,
    FEED_ENTRIES,
    FEWEST_CLOSED_DAYS,
    GENERATION,
    MOST_CLOSED_DAYS,
    RedisUrl,
)
from serving.settings import ServerSettings, Settings

PREFIX = "INVENTORY_CDC_"


class TopicsSettings(Settings):
    """What `python -m cdc topics` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    bootstrap_servers: str = Field(description="host:port of one or more brokers, separated by commas")
    replication_factor: int = Field(default=1, ge=1, description="copies of each partition; 3 in a cluster")


class SubjectsSettings(Settings):
    """What `python -m cdc subjects` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    registry_url: str = Field(description="base of the schema registry's Confluent-compatible interface")


class ConnectorSettings(Settings):
    """What `python -m cdc connector` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    connect_url: str = Field(description="URL of Kafka Connect's REST interface")
    connector_file: Path = Field(description="the connector's configuration, a JSON file")
    connector_name: str = Field(default="inventory", description="the name it is registered under")
    poll_seconds: float = Field(default=1.0, gt=0, description="how often its state is looked at")
    restart_backoff_max_seconds: float = Field(
        default=30.0, gt=0, description="longest wait between two restarts of what has failed"
    )


class DeadLetterSettings(ServerSettings):
    """What every reader of the journal needs; its group is its name among the dead letters."""

    bootstrap_servers: str = Field(description="host:port of one or more brokers, separated by commas")
    topic: str = Field("inventory.journal", description="the journal; one partition")
    group_id: str = Field(description="consumer group: one member of it reads")
    dead_letters_topic: str = Field(
        "inventory.dead-letters", description="the topic of the records that a reader cannot take"
    )
    dead_letters_limit: int = Field(
        1000, ge=1, le=100_000, description="most dead letters of this reader; at one more it halts"
    )


class ProjectorSettings(DeadLetterSettings):
    """What `python -m cdc projector` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    redis_url: RedisUrl = Field(
        description="the read model: redis://HOST:PORT/DB, or redis+cluster://HOST:PORT,HOST:PORT"
    )
    database_url: SecretStr = Field(
        description="URL of the database, as inventory_query: what has never come is fetched there"
    )
    group_id: str = Field("inventory.projector", description="consumer group: one member of it reads")
    generation: str = Field(GENERATION, pattern="^[a-z0-9]+$", description="the generation of keys to write")
    batch_records: int = Field(500, ge=1, le=10_000, description="most records applied at once")
    feed_entries: int = Field(
        FEED_ENTRIES, ge=1, le=1_000_000, description="changes kept for watches, in each of 64 buckets, about"
    )
    drain_seconds: float = Field(
        0.0, ge=0, le=600, description="time to report NOT_SERVING at shutdown; nobody balances over it"
    )


class RelaySettings(DeadLetterSettings):
    """What `python -m cdc relay` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    registry_url: str = Field(description="base URL of the schema registry's Confluent-compatible interface")
    group_id: str = Field("inventory.relay", description="consumer group: one member of it reads")
    transactional_id: str = Field(
        "inventory.relay", description="name under which one relay at a time writes; the same for standbys"
    )
    topics_prefix: str = Field(
        "inventory", description="what the topics of events begin with, as in PREFIX.stock.events"
    )
    gather_seconds: float = Field(
        0.25,
        ge=0,
        le=5,
        description="how long records are gathered before their events are told: a transaction of the broker"
        " costs it much the same for one event as for a thousand",
    )
    batch_records: int = Field(500, ge=1, le=10_000, description="most records read at once")
    batch_events: int = Field(2000, ge=1, le=50_000, description="about as many events in one transaction")
    remember_records: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="records of the journal known again if sent twice: what the connector may repeat",
    )
    stuck_seconds: float = Field(
        45.0,
        gt=0,
        le=3600,
        description="a step that takes so long ends the process; opening and committing may take 35",
    )
    max_event_bytes: int = Field(
        1_000_000, ge=1000, le=2_000_000, description="largest event; the topics must take it"
    )
    drain_seconds: float = Field(
        0.0, ge=0, le=600, description="time to report NOT_SERVING at shutdown; nobody balances over it"
    )


class PipelineSettings(ServerSettings):
    """What `python -m cdc pipeline` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    bootstrap_servers: str = Field(description="host:port of one or more brokers, separated by commas")
    connect_url: str = Field(description="URL of Kafka Connect's REST interface")
    connector_name: str = Field("inventory", description="the name the connector is registered under")
    database_url: SecretStr = Field(description="URL of the database, as a role that may read every table")
    slot_name: str = Field("inventory", description="the replication slot that the connector reads")
    redis_url: RedisUrl = Field(
        description="the read model: redis://HOST:PORT/DB, or redis+cluster://HOST:PORT,HOST:PORT"
    )
    generation: str = Field(GENERATION, pattern="^[a-z0-9]+$", description="the generations to compare")
    closed_days: int = Field(
        CLOSED_DAYS,
        ge=FEWEST_CLOSED_DAYS,
        le=MOST_CLOSED_DAYS,
        description="days for which reservations, orders and transfers stay in the read model when closed",
    )
    reconcile_seconds: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="from the beginning of a reconciliation to that of the next, at least",
    )
    readers: str = Field(
        pattern=r"^[^=,\s]+=[^=,\s]+(,[^=,\s]+=[^=,\s]+)*$",
        description="where the readers tell their health, as GROUP=HOST:PORT, separated by commas; each"
        " address of a host is a process",
    )
    topic: str = Field("inventory.journal", description="the journal; one partition")
    dead_letters_topic: str = Field(
        "inventory.dead-letters", description="the topic of the records that a reader cannot take"
    )
    transactional_id: str = Field(
        "inventory.pipeline", description="name under which dead letters are dealt with, one call at a time"
    )
    ask_seconds: float = Field(
        2.0, gt=0, le=60, description="longest wait for one part when all are asked how they stand"
    )


class ReconcileSettings(Settings):
    """What `python -m cdc reconcile` and `python -m cdc rebuild` need."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    database_url: SecretStr = Field(description="URL of the database, as a role that may read every table")
    redis_url: RedisUrl = Field(
        description="the read model: redis://HOST:PORT/DB, or redis+cluster://HOST:PORT,HOST:PORT"
    )
    generation: str = Field(GENERATION, pattern="^[a-z0-9]+$", description="the generation to compare")
    closed_days: int = Field(
        CLOSED_DAYS,
        ge=FEWEST_CLOSED_DAYS,
        le=MOST_CLOSED_DAYS,
        description="days for which reservations, orders and transfers stay in the read model when closed",
    )
