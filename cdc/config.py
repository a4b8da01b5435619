"""The settings of change data capture, read once from the environment; a class for each subcommand."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from query_svc.read_model import GENERATION
from serving.settings import ServerSettings, Settings

PREFIX = "INVENTORY_CDC_"


class TopicsSettings(Settings):
    """What `python -m cdc topics` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    bootstrap_servers: str = Field(description="host:port of one or more brokers, separated by commas")
    replication_factor: int = Field(default=1, ge=1, description="copies of each partition; 3 in a cluster")


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


class ProjectorSettings(ServerSettings):
    """What `python -m cdc projector` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    bootstrap_servers: str = Field(description="host:port of one or more brokers, separated by commas")
    redis_url: SecretStr = Field(description="URL of the read model's Redis, redis://HOST:PORT/DB")
    database_url: SecretStr = Field(
        description="URL of the database, as inventory_query: what has never come is fetched there"
    )
    topic: str = Field("inventory.journal", description="the journal; one partition")
    group_id: str = Field("inventory.projector", description="consumer group: one member of it reads")
    generation: str = Field(GENERATION, pattern="^[a-z0-9]+$", description="the generation of keys to write")
    batch_records: int = Field(500, ge=1, le=10_000, description="most records applied at once")
    drain_seconds: float = Field(
        0.0, ge=0, le=600, description="time to report NOT_SERVING at shutdown; nobody balances over it"
    )


class ReconcileSettings(Settings):
    """What `python -m cdc reconcile` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    database_url: SecretStr = Field(description="URL of the database, as a role that may read every table")
    redis_url: SecretStr = Field(description="URL of the read model's Redis, redis://HOST:PORT/DB")
    generation: str = Field(GENERATION, pattern="^[a-z0-9]+$", description="the generation to compare")
