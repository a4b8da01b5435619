"""The settings of change data capture, read once from the environment; a class for each subcommand."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from serving.settings import Settings

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
