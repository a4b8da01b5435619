"""Settings: read once from the environment, frozen, documented.

A service declares one subclass of `Settings` (or `ServerSettings`) with its environment prefix and reads
it with `load` before anything else happens.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from serving.identity_settings import IdentitySettings, is_loopback
from serving.tls_settings import TlsSettings

__all__ = ["ListenAddress", "ServerSettings", "Settings", "load", "split_address"]

LARGEST_PORT = 65_535


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port` (IPv6 as `[::1]:port`); ValueError when it is neither."""
    host, separator, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not separator or not host or (":" in host and not bracketed):
        raise ValueError("must be host:port")
    if not (port.isascii() and port.isdigit() and int(port) <= LARGEST_PORT):
        raise ValueError(f"port must be 0 to {LARGEST_PORT}")
    return host.strip("[]"), int(port)


def _checked_address(address: str) -> str:
    split_address(address)
    return address


ListenAddress = Annotated[str, AfterValidator(_checked_address)]


class Settings(BaseSettings):
    """Base of all settings: the environment is their only source, and every field has a description."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - the signature is pydantic's
        """Refuse a subclass with an undocumented field."""
        super().__pydantic_init_subclass__(**kwargs)
        undocumented = [name for name, field in cls.model_fields.items() if not field.description]
        if undocumented:
            raise TypeError(f"{cls.__name__}: no description for {', '.join(undocumented)}")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments (tests) and the environment, never a file."""
        return init_settings, env_settings


class ServerSettings(Settings, IdentitySettings, TlsSettings):
    """What every gRPC server of the project can be told; a service adds its own."""

    listen: ListenAddress = Field(description="host:port to serve gRPC on; port 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="server processes that share the port")
    metrics_listen: ListenAddress | None = Field(
        None, description="host:port on the loopback for Prometheus to read metrics from; off if not set"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level that is logged; debug logs every call"
    )
    default_deadline_seconds: float = Field(
        5.0, gt=0, le=600, description="deadline of a call that brings none"
    )
    max_deadline_seconds: float = Field(
        30.0, gt=0, le=600, description="longest deadline; a longer one is shortened to it"
    )
    max_concurrent_calls: int = Field(
        1000, ge=1, le=100_000, description="calls in progress in one process; more are refused"
    )
    audit_database_url: SecretStr | None = Field(
        None,
        description="postgresql:// address of the primary, for the role inventory_audit; without it, refused "
        "calls leave no entry in the audit log",
    )
    drain_seconds: float = Field(
        5.0, ge=0, le=600, description="time to report NOT_SERVING before calls are refused at shutdown"
    )
    grace_seconds: float = Field(
        10.0, ge=0, le=600, description="time that running calls get to finish at shutdown"
    )
    max_connection_age_seconds: float = Field(
        300.0, ge=1, le=86_400, description="age (+-10 %) at which a client is asked to connect anew"
    )

    @model_validator(mode="after")
    def _workers_share_a_known_port(self) -> Self:
        if self.workers > 1 and split_address(self.listen)[1] == 0:
            raise ValueError("several workers cannot listen on port 0")
        return self

    @model_validator(mode="after")
    def _metrics_are_of_one_process(self) -> Self:
        if self.metrics_listen is None:
            return self
        if self.workers > 1:
            raise ValueError("several workers cannot share metrics_listen: each has figures of its own")
        if not is_loopback(split_address(self.metrics_listen)[0]):
            raise ValueError("metrics_listen must be on the loopback: nobody is asked there who they are")
        return self

    @model_validator(mode="after")
    def _strangers_are_asked_who_they_are(self) -> Self:
        if not self.identity_issuer and not is_loopback(split_address(self.listen)[0]):
            raise ValueError(
                "listens beyond the loopback, where callers must prove who they are: set identity_issuer"
            )
        return self

    @model_validator(mode="after")
    def _plaintext_leaves_no_machine(self) -> Self:
        if not self.serves_tls and not is_loopback(split_address(self.listen)[0]):
            raise ValueError(
                "listens beyond the loopback, where plaintext is nobody's to read:"
                " set tls_certificate, tls_key, tls_ca and tls_peer"
            )
        return self


S = TypeVar("S", bound=Settings)


def load(cls: type[S]) -> S:
    """Read `cls` from the environment.

    When a setting is missing or invalid, prints one line for each such setting to stderr, with the
    variable's name and description but never its value, and exits with code 2.
    """
    try:
        return cls()
    except ValidationError as error:
        prefix = cls.model_config.get("env_prefix", "")
        for problem in error.errors(include_input=False, include_url=False):
            name = str(problem["loc"][0]) if problem["loc"] else ""
            message = "missing" if problem["type"] == "missing" else problem["msg"]
            if name in cls.model_fields:
                line = f"{(prefix + name).upper()}: {message} ({cls.model_fields[name].description})"
            else:
                line = f"{prefix.upper()}*: {message}"
            print(line, file=sys.stderr)  # noqa: T201 - logs are not configured before settings are read
        raise SystemExit(2) from None
