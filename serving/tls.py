"""TLS of a server: certificates that are read again when they change, and one peer that is let in."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from serving.audit import MOST_CHARACTERS, Entry, Recorder, entry_of
from serving.errors import CallError, abort
from serving.identity import unauthenticated
from serving.origin import FORWARDED_KEY, origin_of
from serving.wrapping import Behaviour, Kind, WrappingInterceptor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.tls_settings import TlsSettings

    Context = grpc.aio.ServicerContext[Any, Any]

__all__ = ["CertificateError", "PeerInterceptor", "server_credentials"]

SPIFFE = "spiffe://"

_log = structlog.get_logger()


class CertificateError(Exception):
    """What the settings name is no certificate to serve with; the message says why."""


def server_credentials(settings: TlsSettings) -> grpc.ServerCredentials:
    """Return credentials that ask clients for a certificate.

    The files are read again at the first connection after they have changed; what cannot be used then is
    logged, and the certificate before it stays. Raises CertificateError if they cannot be used at first.
    """
    files = _Files(Path(settings.tls_certificate), Path(settings.tls_key), Path(settings.tls_ca))
    return grpc.dynamic_ssl_server_credentials(
        files.load(), files.changed, require_client_authentication=True
    )


class _Files:
    """The three files of a server."""

    def __init__(self, certificate: Path, key: Path, ca: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._ca = ca
        self._loaded: list[tuple[int, int]] = []

    def load(self) -> grpc.ServerCertificateConfiguration:
        """Return what the files hold; raises CertificateError."""
        try:
            # Asked before they are read: what changes meanwhile is read again.
            self._loaded = self._stamps()
            chain, key, ca = (path.read_bytes() for path in (self._certificate, self._key, self._ca))
            ssl.create_default_context(cafile=self._ca).load_cert_chain(self._certificate, self._key)
            public = x509.load_pem_x509_certificate(chain).public_key()
        except (OSError, ValueError) as error:  # of ssl, too
            names = ", ".join(dict.fromkeys(map(str, (self._certificate, self._key, self._ca))))
            raise CertificateError(f"no certificate to serve with in {names}: {error}") from error
        if not isinstance(public, ec.EllipticCurvePublicKey):
            # See serving/__init__.py: with another key, TLS 1.2 would be possible.
            raise CertificateError(f"the key of {self._certificate} is not of an elliptic curve")
        return grpc.ssl_server_certificate_configuration([(key, chain)], ca)

    def changed(self) -> grpc.ServerCertificateConfiguration:
        """Return what the files hold, and None if it is what they held."""
        # gRPC takes None, whatever its types say.
        nothing = cast("grpc.ServerCertificateConfiguration", None)
        try:
            if self._stamps() == self._loaded:
                return nothing
            loaded = self.load()
        except (CertificateError, OSError) as error:
            _log.error("certificate not renewed", cause=str(error))
            return nothing
        _log.info("certificate renewed", file=str(self._certificate))
        return loaded

    def _stamps(self) -> list[tuple[int, int]]:
        found = [path.stat() for path in (self._certificate, self._key, self._ca)]
        return [(one.st_mtime_ns, one.st_ino) for one in found]


class PeerInterceptor(WrappingInterceptor):
    """Lets in the calls of some peers alone, by the identities in their certificates, to whatever method.

    To be the first of a server's interceptors, around behaviours that are coroutines. It asks at every call,
    for gRPC names a connection by nothing that cannot be another's a moment later.
    """

    def __init__(self, peers: Iterable[str], recorder: Recorder | None = None) -> None:
        """Take who is let in; who is not leaves an entry with the recorder, if there is one."""
        super().__init__()
        self._peers = frozenset(peer.encode() for peer in peers)
        self._recorder = recorder

    def around(self, method: str, _: Kind, behaviour: Behaviour) -> Behaviour:
        """Return the behaviour with the question before it."""
        peers, recorder = self._peers, self._recorder

        async def call(request: object, context: Context) -> object:
            # Those of the certificate's alternative names; our authority gives a URI to nobody else.
            identities = context.peer_identities() or ()
            if peers.isdisjoint(identities):
                error = unauthenticated("peer", "calls come through the proxy in front alone")
                entry = _entry(method, error, identities, context)
                _log.warning("peer refused", method=method, peer=entry.actor, source=entry.source)
                if recorder is not None:
                    recorder.record(entry)
                await abort(context, error)
            return await behaviour(request, context)

        return call


def _entry(method: str, error: CallError, identities: Iterable[bytes], context: Context) -> Entry:
    """Return the entry for a peer that is not let in, and is who its certificate says.

    Of what it writes into headers, the trace alone is believed.
    """
    metadata = [one for one in context.invocation_metadata() or () if one[0] != FORWARDED_KEY]
    source, trace_id = origin_of(metadata, context.peer())
    entry = entry_of(method, error)._replace(source=source, trace_id=trace_id)
    names = (name.decode(errors="replace") for name in identities)
    name = next((name for name in names if name.startswith(SPIFFE)), "")
    return entry._replace(actor=name[:MOST_CHARACTERS], proof="certificate" if name else "none")
