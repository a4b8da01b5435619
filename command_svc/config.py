"""Settings of the command service and its tools, from environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from serving.identity_settings import Workload
from serving.settings import ServerSettings, Settings


class CommandSettings(ServerSettings):
    """What the command service can be told; see also ServerSettings."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_COMMAND_", frozen=True)

    database_url: SecretStr = Field(
        description="postgresql:// address of the primary, for the role inventory_command"
    )
    database_connections: int = Field(
        4, ge=2, le=100, description="most connections of one process: one for its lane, others for jobs"
    )
    statement_timeout_seconds: float = Field(
        5.0, gt=0, le=60, description="longest time for one statement, waiting for locks included"
    )
    lock_timeout_seconds: float = Field(
        0.5,
        gt=0,
        le=60,
        description="longest wait for one lock; a whole transaction waits with whoever waits for it",
    )
    connect_timeout_seconds: float = Field(
        3.0, gt=0, le=60, description="longest wait for a connection to the database"
    )
    max_batch_commands: int = Field(
        256,
        ge=1,
        le=1000,
        description="most commands gathered into one transaction; a larger call is its own",
    )
    max_queued_commands: int = Field(
        8192, ge=1, le=1_000_000, description="most commands that wait for a transaction; more are refused"
    )
    gather_seconds: float = Field(
        0.01,
        ge=0,
        le=0.1,
        description="longest wait of a transaction for callers who have just been answered and may ask again",
    )
    sweep_interval_seconds: float = Field(
        0.5, gt=0, le=60, description="pause between two looks for expired reservations"
    )
    summary_interval_seconds: float = Field(
        60.0, ge=1, le=86_400, description="time between two refreshes of mv_stock_summary"
    )
    partition_alarm_days: int = Field(
        3, ge=1, le=6, description="least days ahead with partitions; fewer are an alarm (7 are made)"
    )
    audit_seals_folder: Path | None = Field(
        None,
        description="folder for the last seal of each day of the audit log, a file for each; best on a "
        "volume that nobody who administers the database can write",
    )
    intake_bootstrap_servers: str = Field(
        "",
        description="host:port of brokers to take stock commands from, separated by commas; none when empty",
    )
    intake_topic: str = Field("inventory.stock.commands", description="the topic of stock commands")
    intake_failures_topic: str = Field(
        "inventory.stock.failures", description="the topic that refused stock commands are written to"
    )
    intake_group_id: str = Field(
        "inventory.command", description="consumer group: its members share the partitions"
    )
    intake_batch_records: int = Field(
        256, ge=1, le=1000, description="most commands of the topic in one transaction"
    )
    intake_actor: str = Field(
        "stock-commands",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$",
        max_length=122,
        description="who acts in the ledger, as topic:NAME, when a record names nobody",
    )
    intake_workload: Workload = Field(
        Workload(roles=("order_service",)),
        description='what commands of the topic may do, as JSON: {"roles": ["clerk"], "locations": ["B-1"]}; '
        "they are held to the table of roles like calls, and whoever may write to the topic acts so",
    )


class ArchiveSettings(Settings):
    """What the archive of the ledger can be told, from variables that begin with INVENTORY_ARCHIVE_."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_ARCHIVE_", frozen=True)

    database_url: SecretStr = Field(
        description="postgresql:// address of the primary, for the role inventory_archive"
    )
    retention_months: int = Field(
        36, ge=12, le=240, description="months that stay in the database after they have ended"
    )
    audit_retention_days: int = Field(
        400, ge=30, le=36_500, description="days that a month of the audit log stays after it has ended"
    )
