"""Settings of the receiver, from environment variables that begin with INVENTORY_AUDIT_."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from serving.identity_settings import is_loopback
from serving.settings import ListenAddress, Settings, split_address
from serving.tls_settings import TlsSettings

__all__ = ["ReceiverSettings"]


class ReceiverSettings(Settings, TlsSettings):
    """What the receiver can be told."""

    model_config = SettingsConfigDict(env_prefix="INVENTORY_AUDIT_")

    listen: ListenAddress = Field(description="host:port to serve gRPC on; port 0 takes a free one")
    database_url: SecretStr = Field(
        description="postgresql:// address of the primary, for the role inventory_refusals"
    )
    proxies: tuple[str, ...] = Field(
        (), description="SPIFFE identities of the proxies that are let in beside tls_peer, as a JSON list"
    )
    pseudonyms: Literal["addresses", "all"] = Field(
        "addresses",
        description="whose sub stands in no record, but a pseudonym: those that are e-mail addresses, or all",
    )
    window_seconds: float = Field(
        5.0, gt=0, le=60, description="time whose refusals are counted together where they are alike"
    )
    grace_seconds: float = Field(
        10.0, ge=0, le=600, description="time that running calls get to finish at shutdown"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level that is logged"
    )

    @model_validator(mode="after")
    def _plaintext_leaves_no_machine(self) -> Self:
        if not self.serves_tls and not is_loopback(split_address(self.listen)[0]):
            raise ValueError(
                "listens beyond the loopback, where anybody could write entries:"
                " set tls_certificate, tls_key, tls_ca and tls_peer"
            )
        return self
