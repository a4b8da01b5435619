"""The settings of change data capture, read once from the environment; a class for each subcommand."""

import sys
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "INVENTORY_CDC_"
Settings = TypeVar("Settings", bound=BaseSettings)


def load(kind: type[Settings]) -> Settings:
    """Return the settings; a missing or wrong one ends the process with its name in one line and code 2."""
    try:
        return kind()
    except ValidationError as error:
        for one in error.errors():
            name = f"{PREFIX}{'_'.join(map(str, one['loc']))}".upper()
            sys.stderr.write(f"{name}: {'is not set' if one['type'] == 'missing' else one['msg']}\n")
        raise SystemExit(2) from error


class TopicsSettings(BaseSettings):
    """What `python -m cdc topics` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    bootstrap_servers: str = Field(description="host:port of one or more brokers, separated by commas")
    replication_factor: int = Field(default=1, ge=1, description="copies of each partition; 3 in a cluster")


class ConnectorSettings(BaseSettings):
    """What `python -m cdc connector` needs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    connect_url: str = Field(description="URL of Kafka Connect's REST interface")
    connector_file: Path = Field(description="the connector's configuration, JSON")
    connector_name: str = Field(default="inventory", description="the name it is registered under")
    poll_seconds: float = Field(default=1.0, gt=0, description="how often its state is looked at")
    restart_backoff_max_seconds: float = Field(
        default=30.0, gt=0, description="longest wait between two restarts"
    )
