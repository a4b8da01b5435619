"""Is it really ready? One check for each kind of process; each asks it something only a working one answers.

A check returns None when ready and otherwise, in a few words, what is still missing.
"""

from collections.abc import Callable
from typing import cast

import grpc
import httpx
import psycopg
import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client.tls import Tls

Check = Callable[[], str | None]

PATIENCE = 2.0


def postgres(url: str) -> Check:
    """Ready when it answers a query."""

    def check() -> str | None:
        try:
            with psycopg.connect(url, connect_timeout=int(PATIENCE)) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error as error:
            return _short(error)
        return None

    return check


def replication_slot(url: str, slot: str) -> Check:
    """Ready when a reader streams from the slot: what commits from now on cannot be missed."""

    def check() -> str | None:
        try:
            with psycopg.connect(url, connect_timeout=int(PATIENCE)) as connection:
                row = connection.execute(
                    "SELECT active FROM pg_replication_slots WHERE slot_name = %s", (slot,)
                ).fetchone()
        except psycopg.Error as error:
            return _short(error)
        if row is None:
            return f"slot {slot} is not created yet"
        return None if row[0] else f"nobody reads from slot {slot} yet"

    return check


def valkey(url: str) -> Check:
    """Ready when it answers PING (while it loads its data it answers with an error)."""

    def check() -> str | None:
        client = redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        try:
            client.ping()
        except redis.RedisError as error:
            return _short(error)
        finally:
            client.close()
        return None

    return check


def broker(servers: str) -> Check:
    """Ready when it answers a metadata request with at least one broker."""

    def check() -> str | None:
        client = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        try:
            metadata = client.list_topics(timeout=PATIENCE)
        except KafkaException as error:
            return _short(error)
        return None if metadata.brokers else "no broker is registered yet"

    return check


def http(url: str, expected: str = "") -> Check:
    """Ready when a GET answers 200 with the expected text somewhere in its body."""

    def check() -> str | None:
        response = _get(url)
        if isinstance(response, str):
            return response
        return None if expected in response.text else f"{url} does not answer {expected} yet"

    return check


def connector(connect_url: str, name: str) -> Check:
    """Ready when the connector and its task are RUNNING."""
    url = f"{connect_url}/connectors/{name}/status"

    def check() -> str | None:
        response = _get(url)
        if isinstance(response, str):
            return response
        status = response.json()
        states = [status["connector"]["state"], *(task["state"] for task in status["tasks"])]
        if len(states) > 1 and set(states) == {"RUNNING"}:
            return None
        trace = next((task["trace"] for task in status["tasks"] if "trace" in task), "").splitlines()
        return f"connector {', '.join(states)} {trace[0] if trace else ''}".rstrip()

    return check


def grpc_health(address: str, tls: Tls | None = None) -> Check:
    """Ready when grpc.health.v1 answers SERVING for the whole server."""

    def check() -> str | None:
        try:
            with _channel(address, tls) as channel:
                reply = _health(channel)
        except OSError as error:  # there is no certificate
            return _short(error)
        except grpc.RpcError as error:
            return _short(status_of(error)[1])
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
        return None if status == "SERVING" else f"health is {status}"

    return check


def grpc_role(address: str) -> Callable[[], str]:
    """Tell "active" or "standby" as the health of a program says, "" where it does not answer."""

    def role() -> str:
        with _channel(address, None) as channel:
            try:
                reply = _health(channel, "active")
            except grpc.RpcError:
                return ""
        return "active" if reply.status == health_pb2.HealthCheckResponse.SERVING else "standby"

    return role


def grpc_listener(address: str, tls: Tls) -> Check:
    """Ready when a server answers a gRPC call, be it that nobody may make it."""

    def check() -> str | None:
        try:
            with _channel(address, tls) as channel:
                _health(channel)
        except OSError as error:
            return _short(error)
        except grpc.RpcError as error:
            code, details = status_of(error)
            return None if code is grpc.StatusCode.UNAUTHENTICATED else _short(details)
        return None

    return check


def _channel(address: str, tls: Tls | None) -> grpc.Channel:
    options = [("grpc.enable_http_proxy", 0)]
    if tls is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, tls.credentials(), options=options)


def _health(channel: grpc.Channel, service: str = "") -> health_pb2.HealthCheckResponse:
    # The published stubs know this package's classes for asyncio only.
    call = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
    request = health_pb2.HealthCheckRequest(service=service)
    return cast("health_pb2.HealthCheckResponse", call(request, timeout=PATIENCE))


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Return the code and the message that a call has ended with."""
    # What a call raises is both an RpcError and a Call, which its types do not say.
    call = cast("grpc.Call", error)
    return call.code(), call.details() or ""


def every(*checks: Check) -> Check:
    """Ready when all of the checks are."""

    def check() -> str | None:
        return next((missing for one in checks if (missing := one()) is not None), None)

    return check


def _get(url: str) -> httpx.Response | str:
    """Return what a GET answers with 200, or what is missing."""
    try:
        response = httpx.get(url, timeout=PATIENCE, trust_env=False)
    except httpx.HTTPError as error:
        return _short(error)
    return response if response.status_code == httpx.codes.OK else f"HTTP {response.status_code} from {url}"


def _short(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
