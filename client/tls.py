"""How the client reaches a server that speaks TLS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

__all__ = ["Tls", "channel"]


@dataclass(frozen=True)
class Tls:
    """Whom to believe, and who we are: PEM files, read when a connection is made.

    ca: the authorities that the server's certificate may come from; those that gRPC brings if left out.
    certificate, key: our own certificate, chain included, and its key, which may be one file; for a caller
        that proves by them who it is. One that is renewed counts for connections made after that.
    server_name: the name that the server's certificate must be for; the host of the address if empty.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a channel; raises OSError, and ValueError for half a pair."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key belong together")
        files = (self.ca, self.key, self.certificate)
        ca, key, certificate = (file.read_bytes() if file else None for file in files)
        return grpc.ssl_channel_credentials(ca, key, certificate)


def channel(address: str, tls: Tls | None, options: Sequence[tuple[str, str | int]] = ()) -> grpc.aio.Channel:
    """Return a channel to host:port, in plaintext where `tls` is None; raises as `Tls.credentials`."""
    if tls is None:
        return grpc.aio.insecure_channel(address, options=list(options))
    if tls.server_name:
        options = (*options, ("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(address, tls.credentials(), options=list(options))
