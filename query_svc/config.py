"""Settings of the query service, from environment variables that begin with INVENTORY_QUERY_."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from query_svc.read_model import CLOSED_DAYS, FEWEST_CLOSED_DAYS, GENERATION, MOST_CLOSED_DAYS, RedisUrl
from serving.settings import ServerSettings


class QuerySettings(ServerSettings):
    """What the query service can be told; see also ServerSettings."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_QUERY_", frozen=True)

    redis_url: RedisUrl = Field(
        description="the read model: redis://HOST:PORT/DB, or redis+cluster://HOST:PORT,HOST:PORT"
    )
    redis_timeout_seconds: float = Field(
        1.0, gt=0, le=60, description="longest wait for an answer of the read model, connecting included"
    )
    generation: str = Field(GENERATION, description="generation of the read model to read")
    closed_days: int = Field(
        CLOSED_DAYS,
        ge=FEWEST_CLOSED_DAYS,
        le=MOST_CLOSED_DAYS,
        description="days for which the read model keeps what is closed; INVENTORY_CDC_CLOSED_DAYS or fewer",
    )
    token_wait_seconds: float = Field(
        1.0, ge=0, le=60, description="longest wait for what a token names to arrive in the read model"
    )
    database_url: SecretStr = Field(
        description="postgresql:// address of the primary, for the role inventory_query"
    )
    history_database_url: SecretStr | None = Field(
        None,
        description="postgresql:// address of a replica, for the same role, that is to tell history",
    )
    database_connections: int = Field(
        4, ge=1, le=100, description="most connections of one process to the database"
    )
    connect_timeout_seconds: float = Field(
        3.0, gt=0, le=60, description="longest wait for a connection to the database"
    )
    max_watches: int = Field(
        2000, ge=1, le=100_000, description="watches in progress in one process; more are refused"
    )
