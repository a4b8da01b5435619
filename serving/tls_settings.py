"""What a server must be told to serve TLS."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

__all__ = ["TlsSettings"]


class TlsSettings(BaseSettings):
    """TLS with one client: the proxy in front. All of it is set, or nothing, which is plaintext."""

    tls_certificate: str = Field(
        "", description="PEM file of the server's certificate, chain included; without it, plaintext"
    )
    tls_key: str = Field("", description="PEM file of its key; may be the same file")
    tls_ca: str = Field("", description="PEM file of the authorities that clients' certificates come from")
    tls_peer: str = Field("", description="SPIFFE identity of the proxy in front, the only client let in")

    @property
    def serves_tls(self) -> bool:
        """Tell whether the server serves TLS."""
        return bool(self.tls_certificate)

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        names = ("tls_certificate", "tls_key", "tls_ca", "tls_peer")
        missing = [name for name in names if not getattr(self, name)]
        if missing and len(missing) < len(names):
            raise ValueError(f"TLS needs {', '.join(missing)} too")
        if self.tls_peer and not self.tls_peer.startswith("spiffe://"):
            raise ValueError(
                "tls_peer must be a SPIFFE identity, as in spiffe://inventory/ns/inventory/sa/command"
            )
        return self
