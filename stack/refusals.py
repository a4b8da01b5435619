"""Who is refused where: every way into the running stack that must not lead in, tried."""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from client.tls import Tls
from stack.addresses import Addresses
from stack.authority import Authority, write
from stack.certificates import Certificates
from stack.envoy_proxy import SERVICES
from stack.readiness import status_of

__all__ = ["Attempt", "attempts", "try_all"]

PATIENCE = 5.0
NOTICE_SECONDS = 15.0
"""How long a certificate may take to expire, or Envoy to see that it has been revoked."""

HEALTH = "/grpc.health.v1.Health/Check"
NOWHERE = "/inventory.nowhere.v1.NoService/Call"
HANDSHAKE = frozenset({grpc.StatusCode.UNAVAILABLE})
DOOR = frozenset(
    {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
)


Trial = Callable[[], tuple[bool, str]]
"""Makes an attempt; tells whether it has led in, and what came."""


@dataclass(frozen=True)
class Attempt:
    """A way in: where and how, and whether it must lead in."""

    where: str
    how: str
    trial: Trial
    admitted: bool = False


def try_all(tried: Iterable[Attempt], say: Callable[[str], None]) -> bool:
    """Make every attempt, say what came of it, and return whether all went as they must."""
    right = True
    for attempt in tried:
        led_in, what = attempt.trial()
        expected = led_in == attempt.admitted
        verdict = "admitted" if led_in else "refused"
        say(f"{'ok   ' if expected else 'WRONG'} {attempt.where:<18} {attempt.how:<36} {verdict}: {what}")
        right &= expected
    return right


def attempts(at: Addresses, folder: Path) -> Iterator[Attempt]:
    """Yield every attempt on a running stack; `folder` is for certificates that nobody else needs.

    Those who belong there are among them: a refusal means nothing where nobody gets in.
    """
    caller = _issued(at, folder / "caller.pem")
    yield from _at_the_edge(at, caller, folder)
    for service in SERVICES:
        yield from _at_a_sidecar(at, service, caller)
        yield from _at_a_service(at, service, caller)


def _at_the_edge(at: Addresses, caller: Tls, folder: Path) -> Iterator[Attempt]:
    def attempt(tls: Tls | None) -> Trial:
        return _call(at.edge, tls, HEALTH, HANDSHAKE)

    yield Attempt("edge", "no certificate", attempt(at.tls()), admitted=True)
    yield Attempt("edge", "a caller's certificate", attempt(caller), admitted=True)
    yield Attempt("edge", "plaintext", attempt(None))
    yield Attempt("edge", "TLS 1.2", _tls_1_2(at.edge, caller))
    foreign = folder / "foreign.pem"
    with TemporaryDirectory() as elsewhere:
        write(foreign, Authority(Path(elsewhere)).issue("some-caller"))
    yield Attempt(
        "edge",
        "a certificate of another authority",
        attempt(replace(caller, certificate=foreign, key=foreign)),
    )
    expired = _issued(at, folder / "expired.pem", timedelta(seconds=1))
    yield Attempt("edge", "an expired certificate", _in_time(attempt(expired)))
    revoked = _issued(at, folder / "revoked.pem")
    Certificates(at.home).revoke(folder / "revoked.pem")
    yield Attempt("edge", "a revoked certificate", _in_time(attempt(revoked)))
    yield Attempt("edge", "a method that nobody has", _call(at.edge, caller, NOWHERE, DOOR))


def _at_a_sidecar(at: Addresses, service: str, caller: Tls) -> Iterator[Attempt]:
    address, where = at.home.ports.address(f"{service}_sidecar"), f"{service}'s sidecar"

    def attempt(tls: Tls | None) -> Trial:
        return _call(address, tls, HEALTH, HANDSHAKE)

    yield Attempt(where, "the edge's identity", attempt(at.tls("edge")), admitted=True)
    yield Attempt(where, "plaintext", attempt(None))
    yield Attempt(where, "TLS 1.2", _tls_1_2(address, at.tls("edge")))
    yield Attempt(where, "no certificate", attempt(at.tls()))
    yield Attempt(where, "a caller's identity", attempt(caller))
    yield Attempt(where, "its service's identity", attempt(at.tls(service)))


def _at_a_service(at: Addresses, service: str, caller: Tls) -> Iterator[Attempt]:
    address = at.home.ports.address(service)

    def attempt(tls: Tls | None) -> Trial:
        return _call(address, tls, HEALTH, HANDSHAKE | DOOR)

    yield Attempt(service, "its sidecar's identity", attempt(at.tls(service)), admitted=True)
    yield Attempt(service, "plaintext", attempt(None))
    yield Attempt(service, "TLS 1.2", _tls_1_2(address, at.tls(service)))
    yield Attempt(service, "no certificate", attempt(at.tls()))
    yield Attempt(service, "a caller's identity", attempt(caller))
    yield Attempt(service, "the edge's identity", attempt(at.tls("edge")))


def _issued(at: Addresses, path: Path, lifetime: timedelta = timedelta(minutes=10)) -> Tls:
    Certificates(at.home).issue("some-caller", lifetime, path)
    return replace(at.tls(), certificate=path, key=path)


def _call(address: str, tls: Tls | None, method: str, refusals: frozenset[grpc.StatusCode]) -> Trial:
    """Return what calls a method, which leads in unless it is answered with one of `refusals`."""

    def trial() -> tuple[bool, str]:
        # A connection of its own: one that an earlier attempt has made is no answer.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        with (
            grpc.secure_channel(address, tls.credentials(), options)
            if tls
            else grpc.insecure_channel(address, options)
        ) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            try:
                call(b"", timeout=PATIENCE)
            except grpc.RpcError as error:
                code, details = status_of(error)
                return code not in refusals, f"{code.name} {details.splitlines()[0] if details else ''}"
            return True, "OK"

    return trial


def _tls_1_2(address: str, tls: Tls) -> Trial:
    """Return what shakes hands by TLS 1.2, with a certificate that is good otherwise."""

    def trial() -> tuple[bool, str]:
        context = ssl.create_default_context(cafile=tls.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2"])
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
        host, _, port = address.rpartition(":")
        try:
            with (
                socket.create_connection((host, int(port)), PATIENCE) as connection,
                context.wrap_socket(connection, server_hostname=host) as secured,
            ):
                return True, str(secured.version())
        except (ssl.SSLError, ConnectionError) as error:
            return False, str(error)

    return trial


def _in_time(trial: Trial) -> Trial:
    """Return the same attempt, made until it leads in no longer."""

    def repeated() -> tuple[bool, str]:
        deadline = time.monotonic() + NOTICE_SECONDS
        while (found := trial())[0] and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    return repeated
