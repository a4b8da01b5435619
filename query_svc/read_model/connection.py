"""Where Redis is: a server alone, or a cluster; and how it is reached."""

from collections.abc import Sequence
from typing import Annotated, cast

from pydantic import AfterValidator, SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from query_svc.read_model.slots import Node

CONNECTIONS = 4
CLUSTER = "+cluster"
FORMS = "redis://HOST:PORT/DB, or redis+cluster://HOST:PORT,HOST:PORT for a cluster"


class ClusterRedis(Redis):
    """A client of one node of a cluster, which knows the addresses of others: any of them tells of all."""

    others: Sequence[Node] = ()


def open_redis(url: str, timeout: float) -> Redis:
    """Return a client of the Redis at `url`, a ClusterRedis where that is a cluster.

    `url` is redis://HOST:PORT/DB, or redis+cluster://HOST:PORT,HOST:PORT with one or more of a cluster's
    nodes; a user and a password may stand before them, USER:PASSWORD@, once; rediss is redis over TLS. Raise
    ValueError when it is neither. Nothing is connected yet.

    Opening a socket and the wait for one of CONNECTIONS connections take at most `timeout` seconds each; who
    asks bounds the wait for the answer. A connection that broke is replaced once, at once: a restart of Redis
    costs no failed call, and a Redis that is away is reported without a wait.
    """
    (first, _), *others = _parsed(url)
    pool = BlockingConnectionPool.from_url(
        first,
        protocol=3,  # answers a hash as a map
        max_connections=CONNECTIONS,
        timeout=timeout,
        # With a timeout of its own the client sends within `asyncio.wait_for`, which in Python 3.11 drops a
        # cancellation that comes in the same turn as the end of the sending.
        socket_timeout=None,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 1),
    )
    # Owned by the client, so that closing it closes the connections.
    if not _is_cluster(url):
        return Redis.from_pool(pool)
    client = cast("ClusterRedis", ClusterRedis.from_pool(pool))
    client.others = [node for _, node in others]
    return client


def _parsed(url: str) -> list[tuple[str, Node]]:
    """Return each server's own URL, and its address."""
    scheme, _, rest = url.partition("://")
    user, at, hosts = rest.rpartition("@")
    plain, clustered = scheme.removesuffix(CLUSTER), _is_cluster(url)
    found = []
    for host in hosts.split(",") if clustered else [hosts]:
        own = f"{plain}://{user}{at}{host}"
        try:
            parts = dict(parse_url(own))
            address = Node(str(parts["host"]), int(str(parts["port"])))
        except (KeyError, ValueError):
            # The cause would tell the password.
            raise ValueError(f"must be {FORMS}") from None
        if clustered and "db" in parts:
            raise ValueError("a cluster has one database, without a number")
        found.append((own, address))
    return found


def _is_cluster(url: str) -> bool:
    return url.partition("://")[0].endswith(CLUSTER)


def _checked(url: SecretStr) -> SecretStr:
    _parsed(url.get_secret_value())
    return url


RedisUrl = Annotated[SecretStr, AfterValidator(_checked)]
"""A setting: what `open_redis` takes."""
