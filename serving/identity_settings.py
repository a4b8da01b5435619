"""What a server must be told to know its callers."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from inventory.type.v1.access_pb2 import Role
from serving.access import role_named

__all__ = ["ClaimName", "IdentitySettings", "Workload", "is_loopback"]

ClaimName = Literal["roles", "locations", "acr", "amr", "auth_time"]
"""The claims that say what a caller may do, and when it has last proved that it is there."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_loopback(host: str) -> bool:
    """Tell whether nobody outside this machine reaches a host."""
    return host in LOOPBACK


class Workload(BaseModel):
    """What a workload is: its roles by their names, and the locations it acts at as a clerk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: tuple[str, ...]
    locations: tuple[str, ...] = ()

    @field_validator("roles")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if role_named(name) is None]
        if unknown:
            raise ValueError(f"there is no role {', '.join(unknown)}")
        return names

    @property
    def as_roles(self) -> frozenset[Role.ValueType]:
        """The roles."""
        return frozenset(role for name in self.roles if (role := role_named(name)) is not None)


class IdentitySettings(BaseSettings):
    """Who the callers are. With an issuer every call is held to the table of roles; without, none is."""

    identity_issuer: str = Field(
        "",
        description="issuer of access tokens, exactly as their iss says; without one, callers go unverified",
    )
    identity_audience: str = Field("inventory", min_length=1, description="what the tokens' aud must name")
    identity_jwks: str = Field(
        "", description="the issuer's key set: an https URL (http on the loopback) or the path of a file"
    )
    identity_claims: dict[ClaimName, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {},
        description='paths of claims that are elsewhere, as JSON: {"roles": ["realm_access", "roles"]}',
    )
    identity_workloads: dict[str, Workload] = Field(
        {},
        description='services by SPIFFE identity, as JSON: {"spiffe://…": {"roles": ["order_service"]}}',
    )
    identity_proxies: tuple[str, ...] = Field(
        (), description="SPIFFE identities of proxies that pass on the calls of others, as a JSON list"
    )
    identity_pseudonyms: Literal["addresses", "all"] = Field(
        "addresses",
        description="whose sub stands in no record, but a pseudonym: those that are e-mail addresses, or all",
    )
    step_up_seconds: float = Field(300.0, gt=0, le=86_400, description="how long a step-up counts")
    step_up_acr: tuple[str, ...] = Field((), description="acr values that are a step-up, as a JSON list")
    step_up_amr: tuple[str, ...] = Field(
        ("mfa",), description="amr values, any one of which is a step-up, as a JSON list"
    )

    @field_validator("identity_jwks")
    @classmethod
    def _is_safe(cls, source: str) -> str:
        parts = urlsplit(source)
        near = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if "://" in source and parts.scheme != "https" and not near:
            raise ValueError("must be an https URL: whoever can change the keys can be anybody")
        return source

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.identity_issuer and not self.identity_jwks:
            raise ValueError("identity_issuer needs identity_jwks")
        if not self.identity_issuer and (self.identity_jwks or self.identity_workloads):
            raise ValueError("identity_jwks and identity_workloads need identity_issuer")
        return self
