"""How the client reaches a server that speaks TLS."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

__all__ = ["Stamp", "Tls", "channel"]

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]
"""What changes with the files: of each, its time, number and size."""


@dataclass(frozen=True)
class Tls:
    """Whom to believe, and who we are: PEM files.

    ca: the authorities that the server's certificate may come from; those that gRPC brings if left out.
    certificate, key: our own certificate, chain included, and its key, which may be one file; for a caller
        that proves by them who it is.
    server_name: the name that the server's certificate must be for; the host of the address if empty.

    A client reads files again that have been replaced; do so by renaming, so that it never sees half of one.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files there are to read."""
        return tuple(file for file in (self.ca, self.certificate, self.key) if file)

    def stamp(self) -> Stamp:
        """Return what tells these files from those that may replace them; raises OSError."""
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in (f.stat() for f in self.files))

    def credentials(self) -> grpc.ChannelCredentials:
        """Return the credentials of a channel.

        Raises OSError for files that cannot be read or hold no certificates, or a key that is another's, and
        ValueError for half a pair.
        """
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key belong together")
        files = (self.ca, self.key, self.certificate)
        ca, key, certificate = (file.read_bytes() if file else None for file in files)
        # gRPC would take anything, and fail at every connection.
        try_out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca:
            try_out.load_verify_locations(self.ca)
        if self.certificate:
            try_out.load_cert_chain(self.certificate, self.key, password="")
        return grpc.ssl_channel_credentials(ca, key, certificate)


def channel(address: str, tls: Tls | None, options: Sequence[tuple[str, str | int]] = ()) -> grpc.aio.Channel:
    """Return a channel to host:port, in plaintext where `tls` is None; raises as `Tls.credentials`."""
    if tls is None:
        return grpc.aio.insecure_channel(address, options=list(options))
    if tls.server_name:
        options = (*options, ("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(address, tls.credentials(), options=list(options))
