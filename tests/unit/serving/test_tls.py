"""TLS of a server: who gets in, and what happens when its files change."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from pydantic import ValidationError

from client import Tls
from client.tls import channel
from inventory.query.v1 import catalog_query_service_pb2 as pb2
from serving.server import GrpcServer, ListenError
from serving.settings import ServerSettings
from stack.authority import Authority, spiffe_id, write
from tests.unit.serving.conftest import SERVICE, echo, tiny_catalog

GET_ITEM = f"/{SERVICE}/GetItem"
HEALTH = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


class Files(NamedTuple):
    """An authority, and the files of a server and of its proxy."""

    authority: Authority
    ca: Path
    server: Path
    proxy: Path
    other: Path

    def settings(self, **changes: object) -> ServerSettings:
        given = {
            "listen": "127.0.0.1:0",
            "drain_seconds": 0,
            "grace_seconds": 1,
            "tls_certificate": str(self.server),
            "tls_key": str(self.server),
            "tls_ca": str(self.ca),
            "tls_peer": spiffe_id("proxy"),
        }
        return ServerSettings.model_validate(given | changes)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    authority = Authority(tmp_path / "authority")
    made = Files(authority, *(tmp_path / f"{name}.pem" for name in ("ca", "server", "proxy", "other")))
    write(made.ca, authority.certificate)
    for path in (made.server, made.proxy, made.other):
        write(path, authority.issue(path.stem))
    return made


@asynccontextmanager
async def serving(files: Files) -> AsyncIterator[str]:
    """Serve the tiny catalogue; give its address."""
    server = GrpcServer(files.settings(), [tiny_catalog(echo)], dependencies=(), unavailable={})
    port = await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.shut_down()


def bearer(files: Files, path: Path | None) -> Tls:
    return Tls(files.ca, path, path)


async def get_item(address: str, tls: Tls | None) -> str:
    # A pool of its own: no connection of an earlier call answers for this one.
    async with channel(address, tls, [("grpc.use_local_subchannel_pool", 1)]) as way:
        method: grpc.aio.UnaryUnaryMultiCallable[pb2.GetItemRequest, pb2.GetItemResponse] = way.unary_unary(
            GET_ITEM,
            request_serializer=pb2.GetItemRequest.SerializeToString,
            response_deserializer=pb2.GetItemResponse.FromString,
        )
        return (await method(pb2.GetItemRequest(sku="MUG-1"), timeout=20)).item.sku


async def test_the_peer_gets_in(files: Files) -> None:
    async with serving(files) as address:
        assert await get_item(address, bearer(files, files.proxy)) == "MUG-1"


async def test_another_of_the_same_authority_gets_in_nowhere(files: Files) -> None:
    async with serving(files) as address, channel(address, bearer(files, files.other)) as way:
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = way.unary_unary(HEALTH)
        get: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = way.unary_unary(GET_ITEM)
        for method in (check, get):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await method(b"", timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            details = dict(refused.value.trailing_metadata() or ())["grpc-status-details-bin"]
            info = error_details_pb2.ErrorInfo(
                reason="UNAUTHENTICATED", domain="inventory", metadata={"cause": "peer"}
            )
            assert isinstance(details, bytes)
            assert info.SerializeToString() in details
        watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = way.unary_stream(WATCH)
        with pytest.raises(grpc.aio.AioRpcError, match="proxy in front"):
            await watch(health_pb2.HealthCheckRequest().SerializeToString(), timeout=20).read()
        reflect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = way.stream_stream(REFLECTION)
        call = reflect(timeout=20)
        with pytest.raises(grpc.aio.AioRpcError, match="proxy in front"):
            await call.read()


async def test_no_certificate_one_of_another_authority_an_expired_one_and_plaintext_end_in_the_handshake(
    files: Files, tmp_path: Path
) -> None:
    stranger, expired = tmp_path / "stranger.pem", tmp_path / "expired.pem"
    write(stranger, Authority(tmp_path / "elsewhere").issue("proxy"))
    write(expired, files.authority.issue("proxy", timedelta(seconds=-1)))
    async with serving(files) as address:
        for tls in (bearer(files, None), bearer(files, stranger), bearer(files, expired), None):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await get_item(address, tls)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_renewed_certificate_is_served_to_the_next_connection(files: Files) -> None:
    async with serving(files) as address:
        first = await served(address, files)
        async with channel(address, bearer(files, files.proxy)) as old:
            check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = old.unary_unary(HEALTH)
            await check(b"", timeout=20)
            write(files.server, files.authority.issue("server"))
            second = await served(address, files)
            await check(b"", timeout=20)
        write(files.server, b"nothing of use")
        third = await served(address, files)
        files.server.unlink()
        fourth = await served(address, files)
    assert second != first
    assert third == fourth == second


async def served(address: str, files: Files) -> x509.Certificate:
    """Return the certificate that the server shows."""
    context = ssl.create_default_context(cafile=files.ca)
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(files.proxy)
    port = int(address.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(der)


@pytest.mark.parametrize("broken", ["missing", "no certificate", "another's key"])
async def test_files_that_are_of_no_use_are_named_at_the_start(files: Files, broken: str) -> None:
    if broken == "missing":
        files.server.unlink()
    elif broken == "no certificate":
        write(files.server, b"nothing of use")
    settings = files.settings(**({"tls_key": str(files.other)} if broken == "another's key" else {}))
    server = GrpcServer(settings, [tiny_catalog(echo)], dependencies=(), unavailable={})
    with pytest.raises(ListenError, match=r"no certificate to serve with in .*server\.pem"):
        await server.start()
    await server.shut_down()


async def test_a_key_with_which_older_tls_would_be_possible_is_refused(files: Files) -> None:
    key = rsa.generate_private_key(65537, 2048)
    issued = x509.load_pem_x509_certificate(files.server.read_bytes())
    certificate = (
        x509.CertificateBuilder(issued.issuer, issued.subject, key.public_key(), issued.serial_number)
        .not_valid_before(issued.not_valid_before_utc)
        .not_valid_after(issued.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write(files.server, pem + certificate.public_bytes(Encoding.PEM))
    server = GrpcServer(files.settings(), [tiny_catalog(echo)], dependencies=(), unavailable={})
    with pytest.raises(ListenError, match="not of an elliptic curve"):
        await server.start()
    await server.shut_down()


@pytest.mark.parametrize("left_out", ["tls_certificate", "tls_key", "tls_ca", "tls_peer"])
def test_half_of_tls_is_none(files: Files, left_out: str) -> None:
    with pytest.raises(ValidationError, match=f"TLS needs {left_out} too"):
        files.settings(**{left_out: ""})


def test_the_peer_is_named_by_its_spiffe_identity(files: Files) -> None:
    with pytest.raises(ValidationError, match="must be a SPIFFE identity"):
        files.settings(tls_peer="localhost")
